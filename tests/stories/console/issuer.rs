//! Signing in at a real OpenID Connect issuer, whom a real API server trusts.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use orchestra_sandbox::router::Authority;
use orchestra_sandbox::world::World;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode};
use url::Url;

use super::browser::{Browser, Running, address};
use crate::npm;
use crate::proof::soon;
use crate::support::world;

const CLIENT: &str = "orchestra-console";
const SECRET: &str = "a secret of the client, which has more than 32 bytes";
const CALLBACK: &str = "/sign-in/callback";

/// The issuer, as a process.
struct Issuer {
    child: Child,
    /// It writes there later, too, and would end if nobody could read it.
    _said: BufReader<ChildStdout>,
    url: String,
    roots: PathBuf,
    http: Client,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a person answers the issuer's pages.
#[derive(Clone, Copy)]
enum Person {
    /// Types this name.
    Named(&'static str),
    /// Goes back.
    Leaves,
}

impl Issuer {
    fn start(world: &World, redirect: &str) -> Self {
        let authority = Authority::new("Root of the issuer").unwrap();
        let (key, certificate) = authority.server_pem(["127.0.0.1".to_owned()]).unwrap();
        let file = |name: &str, text: &str| {
            let path = world.dir().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let roots = file("issuer-roots.pem", authority.root());
        let modules = npm::installed("oidc", &["package.json", "package-lock.json", "provider.mjs"]);
        let mut child = Command::new("node")
            .arg(modules.join("provider.mjs"))
            .args([file("issuer-key.pem", &key), file("issuer.pem", &certificate)])
            .arg(redirect)
            .env("CLIENT_SECRET", SECRET)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut url).unwrap();
        let root = Certificate::from_pem(authority.root().as_bytes()).unwrap();
        // The issuer closes connections that nobody uses for seconds.
        let http = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .pool_max_idle_per_host(0);
        Self {
            child,
            _said: said,
            url: url.trim().to_owned(),
            roots,
            http: http.tls_certs_only([root]).build().unwrap(),
        }
    }

    fn flags(&self, world: &World) -> Vec<String> {
        let secret = world.dir().join("client-secret");
        std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
        vec![
            "--auth=oidc".to_owned(),
            format!("--oidc-issuer-url={}", self.url),
            format!("--oidc-client-id={CLIENT}"),
            format!("--oidc-client-secret-file={}", secret.display()),
            format!("--oidc-ca-file={}", self.roots.display()),
        ]
    }

    /// Goes through the issuer's pages as a browser does, until they lead back to the console: where to.
    async fn visited(&self, from: &str, person: Person) -> String {
        let (mut at, mut form, mut jar) = (from.parse::<Url>().unwrap(), None, BTreeMap::new());
        for _ in 0..12 {
            if !at.as_str().starts_with(&self.url) {
                return at
                    .as_str()
                    .split_at(at.origin().ascii_serialization().len())
                    .1
                    .to_owned();
            }
            let request = match form.take() {
                Some(fields) => self.http.post(at.clone()).body(fields),
                None => self.http.get(at.clone()),
            };
            let cookies: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let answer = request.header(COOKIE, cookies.join("; "));
            let answer = answer.header("content-type", "application/x-www-form-urlencoded");
            let answer = answer.send().await.unwrap();
            for line in answer.headers().get_all(SET_COOKIE) {
                let pair = line.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                jar.insert(name.to_owned(), value.to_owned());
            }
            if let Some(location) = answer.headers().get(LOCATION) {
                at = at.join(location.to_str().unwrap()).unwrap();
                continue;
            }
            let page = answer.text().await.unwrap();
            let attribute = |name: &str| page.split(name).nth(1).unwrap().split('"').next().unwrap().to_owned();
            at = attribute("action=\"").parse().unwrap();
            match person {
                Person::Leaves => at = format!("{at}/abort").parse().unwrap(),
                Person::Named(name) => {
                    let prompt = attribute("name=\"prompt\" value=\"");
                    form = Some(format!("prompt={prompt}&login={name}&password=any"));
                }
            }
        }
        panic!("the issuer's pages lead nowhere: {at}");
    }
}

/// A browser at the issuer, and where that sends it.
async fn sent<'a>(console: &'a Running, issuer: &Issuer, person: Person) -> (Browser<'a>, String) {
    let mut browser = console.visitor();
    let begun = browser.get("/sign-in/issuer?to=%2Fclasses").await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text);
    assert!(
        begun.cookies[0].ends_with("HttpOnly; Secure; SameSite=Lax"),
        "{:?}",
        begun.cookies
    );
    browser.keep(&begun);
    let back = issuer.visited(&begun.location, person).await;
    assert!(back.starts_with(CALLBACK), "{back}");
    (browser, back)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_signs_in_at_an_issuer_that_the_cluster_trusts() {
    let mut world = world().await;
    let place = address();
    let issuer = Issuer::start(&world, &format!("http://{place}{CALLBACK}"));
    let console = Running::start_at(&world, place, &issuer.flags(&world)).await;
    let page = console.visitor().get("/sign-in?to=%2Fclasses").await.text;
    assert!(page.contains("href=\"/sign-in/issuer?to=%2Fclasses\""), "{page}");
    assert!(!page.contains("name=\"token\""), "nobody pastes a token: {page}");

    let (ada, back) = sent(&console, &issuer, Person::Named("ada")).await;
    let refused = ada.get(&back).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.text);
    assert!(refused.text.contains("must trust the same issuer"), "{}", refused.text);

    world
        .plane
        .trust_issuer(&issuer.url, CLIENT, &issuer.roots)
        .await
        .unwrap();
    world
        .kubectl([
            "create",
            "clusterrolebinding",
            "ada",
            "--clusterrole=orchestra-viewer",
            "--user=oidc:ada",
        ])
        .unwrap();
    soon("the API server knows the issuer", async || {
        let (ada, back) = sent(&console, &issuer, Person::Named("ada")).await;
        ada.get(&back).await.status == StatusCode::SEE_OTHER
    })
    .await;
    whoever_comes_back_is_who_went(&console, &issuer).await;
    others_are_not_let_in(&console, &issuer).await;
    world.plane.stop_api_server();
}

async fn whoever_comes_back_is_who_went(console: &Running, issuer: &Issuer) {
    let (mut ada, back) = sent(console, issuer, Person::Named("ada")).await;
    let arrived = ada.get(&back).await;
    assert_eq!(arrived.location, "/classes", "{}", arrived.text);
    let ends = |cookie: &String| cookie.starts_with("__Host-orchestra-sign-in=;") && cookie.contains("Max-Age=0");
    assert!(arrived.cookies.iter().any(ends), "{:?}", arrived.cookies);
    let again = ada.get(&back).await;
    assert_eq!(
        again.status,
        StatusCode::FORBIDDEN,
        "a code is good once: {}",
        again.text
    );
    ada.keep(&arrived);
    let page = ada.get("/classes").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("oidc:ada"), "{}", page.text);
    // Who the issuer knows has no rights by that.
    let (mut bob, back) = sent(console, issuer, Person::Named("bob")).await;
    let arrived = bob.get(&back).await;
    bob.keep(&arrived);
    assert_eq!(bob.get("/classes").await.status, StatusCode::FORBIDDEN);
}

async fn others_are_not_let_in(console: &Running, issuer: &Issuer) {
    // The answer to a sign-in that another browser has begun.
    let (ada, of_ada) = sent(console, issuer, Person::Named("ada")).await;
    let (eve, of_eve) = sent(console, issuer, Person::Named("eve")).await;
    let state = |back: &str| {
        back.split("state=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap()
            .to_owned()
    };
    let mixed = of_eve.replace(&state(&of_eve), &state(&of_ada));
    let elsewhere = format!("{of_ada}&iss=https%3A%2F%2Fevil.example");
    for (browser, back, status) in [
        (&console.visitor(), &of_ada, StatusCode::BAD_REQUEST),
        (&eve, &of_ada, StatusCode::BAD_REQUEST),
        (&ada, &elsewhere, StatusCode::BAD_REQUEST),
        // Its code was made for another challenge (PKCE).
        (&ada, &mixed, StatusCode::FORBIDDEN),
    ] {
        let refused = browser.get(back).await;
        assert_eq!(refused.status, status, "{back}: {}", refused.text);
        assert!(
            !refused
                .cookies
                .iter()
                .any(|cookie| cookie.starts_with("__Host-orchestra-0"))
        );
    }
    let (leaver, back) = sent(console, issuer, Person::Leaves).await;
    assert!(back.contains("error=access_denied"), "{back}");
    let refused = leaver.get(&back).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    assert!(refused.text.contains("refused you"), "{}", refused.text);
    let pasted = console.visitor().post("/sign-in", &[("token", "a.b.c")]).await;
    assert_eq!(pasted.status, StatusCode::FORBIDDEN, "{}", pasted.text);
}
