//! The web console of the demo, and a token to visit it with.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use orchestra_sandbox::World;
use orchestra_sandbox::world::SYSTEM;
use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use url::form_urlencoded::Serializer;

/// Where the console is, unless somebody else is there.
const USUAL: &str = "127.0.0.1:8090";

/// The service account that the token belongs to.
const PERSON: &str = "superadmin";

/// How long the token lives, in seconds.
const TOKEN: i64 = 3600;

/// How long a start may take.
const START: Duration = Duration::from_secs(10);

/// All that a person may do who is responsible for the whole fleet, and nothing with Secrets. Roles that the control plane puts
/// together are empty without a controller manager, so this is one role.
const MANIFESTS: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: superadmin, namespace: orchestra-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: demo-superadmin}
rules:
  - {apiGroups: [stagesub.io], resources: [orchestras, orchestrabackups, orchestraclasses, orchestrapools, orchestradatabases], verbs: [get, list, watch, create, update, patch, delete]}
  - {apiGroups: [""], resources: [configmaps], verbs: [get]}
  - {apiGroups: [""], resources: [events], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: demo-superadmin}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: demo-superadmin}
subjects: [{kind: ServiceAccount, name: superadmin, namespace: orchestra-system}]
"#;

/// A console that runs. Dropping it ends it.
pub(super) struct Console {
    child: Child,
    /// Where browsers reach it.
    pub(super) origin: String,
    /// The token of a superadmin.
    pub(super) token: String,
    http: Client,
}

impl Drop for Console {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The usual address, or else a free one.
fn address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(USUAL).or_else(|_| TcpListener::bind("127.0.0.1:0"))?;
    Ok(listener.local_addr()?)
}

impl Console {
    /// Starts the console of a world, on a loopback address. It drops the credentials of its kubeconfig.
    pub(super) async fn start(world: &World, program: &Path) -> Result<Self> {
        let address = address()?;
        let origin = format!("http://localhost:{}", address.port());
        let log = File::create(world.dir().join("console.log"))?;
        let child = Command::new(program)
            .env_clear()
            .env("KUBECONFIG", world.plane.admin_kubeconfig())
            .args(["console", "--address", &address.to_string(), "--origin", &origin])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let http = Client::builder().no_proxy().redirect(Policy::none()).build()?;
        let mut console = Self {
            child,
            origin,
            token: String::new(),
            http,
        };
        world.apply(MANIFESTS)?;
        console.token = token(world).await?;
        console.answers(address).await?;
        Ok(console)
    }

    async fn answers(&mut self, address: SocketAddr) -> Result<()> {
        let alive = format!("http://{address}/livez");
        let began = Instant::now();
        while self.http.get(&alive).send().await.is_err() {
            let ended = self.child.try_wait()?;
            ensure!(
                ended.is_none() && began.elapsed() < START,
                "the console does not answer: {ended:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Signs in with the token as a browser does, and reads the start page.
    pub(super) async fn tenants(&self) -> Result<String> {
        let form = Serializer::new(String::new())
            .append_pair("token", &self.token)
            .finish();
        let sign_in = self
            .http
            .post(format!("{}/sign-in", self.origin))
            .header(ORIGIN, &self.origin);
        let answer = sign_in.body(form).send().await?;
        ensure!(
            answer.status() == StatusCode::SEE_OTHER,
            "the console refuses the token: {}",
            answer.status()
        );
        let cookies = answer
            .headers()
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok());
        let pairs = cookies
            .filter_map(|line| line.split(';').next())
            .filter(|pair| !pair.ends_with('='));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        let page = self.http.get(&self.origin).header(COOKIE, cookies).send().await?;
        ensure!(
            page.status() == StatusCode::OK,
            "the console's start page: {}",
            page.status()
        );
        Ok(page.text().await?)
    }
}

async fn token(world: &World) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.admin.clone(), SYSTEM);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(TOKEN),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let made = accounts
        .create_token_request(PERSON, &PostParams::default(), &request)
        .await?;
    Ok(made.status.context("the token request has no status")?.token)
}
