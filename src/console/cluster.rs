//! The API server, asked with a visitor's own token.

use std::fmt::Debug;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, Request, Response};
use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, ListParams};
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config, Resource};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use tower_service::Service;

use crate::api::names::CONSOLE_MANAGER;
use crate::api::slim::Slim;
use crate::controller::write::post_parameters;

/// Time limits of a request to the API server.
const CONNECT: Duration = Duration::from_secs(4);
const READ: Duration = Duration::from_secs(10);

const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// The API server, and the connections to it. It holds no credentials.
pub struct Cluster {
    bare: Client,
}

impl Cluster {
    /// The API server of a configuration, whose credentials are dropped.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(mut config: Config) -> anyhow::Result<Self> {
        config.auth_info = AuthInfo::default();
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(READ);
        // A visitor waits: a busy API server is a page that says so, and a second backup is not made by a repeated request.
        config.default_retry = false;
        let bare = Client::try_from(config).context("the Kubernetes configuration cannot be used")?;
        Ok(Self { bare })
    }

    /// A client with a visitor's token; none when the token cannot be a token at all.
    pub fn of(&self, token: &SecretString) -> Option<Client> {
        let token = token.expose_secret();
        let printable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
            .ok()
            .filter(|_| printable)?;
        header.set_sensitive(true);
        let bare = self.bare.clone();
        Some(Client::new(WithToken { bare, header }, "default"))
    }
}

/// Adds the visitor's token to each request.
struct WithToken {
    bare: Client,
    header: HeaderValue,
}

impl Service<Request<Body>> for WithToken {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, kube::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(AUTHORIZATION, self.header.clone());
        let bare = self.bare.clone();
        Box::pin(async move { bare.send(request).await })
    }
}

/// The name of the user that the API server recognizes; none when it takes the visitor for nobody.
///
/// # Errors
/// When the API server refuses the token, or does not answer.
pub async fn identity(client: &Client) -> Result<Option<String>, kube::Error> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api
        .create(&post_parameters(CONSOLE_MANAGER), &SelfSubjectReview::default())
        .await?;
    let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
    let nobody = user.groups.iter().flatten().any(|group| group == UNAUTHENTICATED);
    Ok(user
        .username
        .filter(|name| name != ANONYMOUS && !name.is_empty() && !nobody))
}

/// Whether the API server says that the visitor lacks the right.
pub fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// What a visitor may want to do.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The verb: `list`, `patch`.
    pub verb: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The kind in the plural.
    pub resource: &'a str,
    /// The namespace; empty for all, or for a kind without namespaces.
    pub namespace: &'a str,
}

impl<'a> Wish<'a> {
    /// A wish about one of the operator's kinds.
    pub fn ours(verb: &'a str, resource: &'a str, namespace: &'a str) -> Self {
        Self {
            verb,
            group: "stagesub.io",
            resource,
            namespace,
        }
    }
}

/// Whether the API server would allow this to the visitor. What cannot be asked counts as refused.
pub async fn may(client: &Client, wish: Wish<'_>) -> bool {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(wish.verb.into()),
                group: Some(wish.group.into()),
                resource: Some(wish.resource.into()),
                namespace: Some(wish.namespace.into()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = api.create(&post_parameters(CONSOLE_MANAGER), &review).await;
    answer.is_ok_and(|review| review.status.is_some_and(|status| status.allowed))
}

/// Whether the API server would allow each of these, asked at the same time.
pub async fn may_all<const N: usize>(client: &Client, wishes: [Wish<'_>; N]) -> [bool; N] {
    let answers = join_all(wishes.map(|wish| may(client, wish))).await;
    let mut allowed = [false; N];
    allowed
        .iter_mut()
        .zip(answers)
        .for_each(|(allowed, answer)| *allowed = answer);
    allowed
}

/// Objects that are read at once.
const CHUNK: u32 = 500;

/// All objects of a kind in the cluster.
///
/// # Errors
/// When the API server refuses, or does not answer.
pub async fn list<K>(client: &Client) -> Result<Vec<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<Slim<K>>::all(client.clone());
    let mut all = Vec::new();
    each(&api, |Slim(object)| all.push(object)).await?;
    Ok(all)
}

/// Reads the objects of an API in chunks, and keeps of each what `take` keeps.
///
/// # Errors
/// When the API server refuses, or does not answer.
pub async fn each<K>(api: &Api<K>, mut take: impl FnMut(K)) -> Result<(), kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut params = ListParams::default().limit(CHUNK);
    loop {
        let chunk = api.list(&params).await?;
        chunk.items.into_iter().for_each(&mut take);
        params.continue_token = chunk.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(());
        }
    }
}
