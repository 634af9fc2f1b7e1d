//! A console that runs, and someone who visits it.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use orchestra_sandbox::world::{SYSTEM, World};
use reqwest::header::{ACCEPT_LANGUAGE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};

use crate::proof::soon;

/// A loopback address that nobody listens on.
pub fn address() -> SocketAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

/// A console, and where it is.
pub struct Running {
    child: Child,
    pub origin: String,
    pub http: Client,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer of the console.
pub struct Answer {
    pub status: StatusCode,
    pub location: String,
    pub cookies: Vec<String>,
    pub policy: String,
    pub text: String,
}

/// Someone who visits the console with these cookies.
pub struct Browser<'a> {
    console: &'a Running,
    cookies: String,
}

impl Running {
    /// A console with the kubeconfig of the cluster's admin: that it has no rights of its own is what is tested.
    pub async fn start(world: &World) -> Self {
        Self::start_at(world, address(), &[]).await
    }

    /// As [`Running::start`], at an address and with more flags.
    pub async fn start_at(world: &World, address: SocketAddr, flags: &[String]) -> Self {
        let key = world.dir().join("cookie-key");
        std::fs::write(&key, [7; 32]).unwrap();
        let origin = format!("http://{address}");
        let child = Command::new(env!("CARGO_BIN_EXE_orchestra-operator"))
            .env_clear()
            .env("KUBECONFIG", world.plane.admin_kubeconfig())
            .args([
                "console",
                "--address",
                &address.to_string(),
                "--origin",
                &origin,
                "--cookie-key-file",
            ])
            .arg(key)
            .args(flags)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let http = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        let alive = format!("{origin}/livez");
        soon("the console answers", async || http.get(&alive).send().await.is_ok()).await;
        Self { child, origin, http }
    }

    pub fn visitor(&self) -> Browser<'_> {
        Browser {
            console: self,
            cookies: String::new(),
        }
    }

    /// A browser after the sign-in of a service account with these roles in the whole cluster.
    pub async fn signed_in(&self, world: &World, name: &str, roles: &[&str]) -> Browser<'_> {
        let subject = account(world, name);
        for role in roles {
            let (binding, flag) = (format!("{name}-{role}"), format!("--clusterrole={role}"));
            world
                .kubectl(["create", "clusterrolebinding", &binding, &flag, &subject])
                .unwrap();
        }
        self.signed_in_as(world, name).await
    }

    /// A browser after the sign-in of a service account with a role in one namespace.
    pub async fn signed_in_within(&self, world: &World, name: &str, role: &str, namespace: &str) -> Browser<'_> {
        let (subject, flag) = (account(world, name), format!("--clusterrole={role}"));
        world
            .kubectl(["create", "rolebinding", name, &flag, &subject, "-n", namespace])
            .unwrap();
        self.signed_in_as(world, name).await
    }

    async fn signed_in_as(&self, world: &World, name: &str) -> Browser<'_> {
        let token = world.kubectl(["create", "token", name, "-n", SYSTEM]).unwrap();
        let mut browser = self.visitor();
        let answer = browser
            .post("/sign-in", &[("token", token.trim()), ("to", "/classes")])
            .await;
        assert_eq!(
            (answer.status, answer.location.as_str()),
            (StatusCode::SEE_OTHER, "/classes")
        );
        assert!(answer.cookies.iter().all(|cookie| !cookie.contains(token.trim())));
        browser.keep(&answer);
        browser
    }
}

/// Makes a service account; the flag that binds a role to it.
fn account(world: &World, name: &str) -> String {
    world.kubectl(["create", "serviceaccount", name, "-n", SYSTEM]).unwrap();
    format!("--serviceaccount={SYSTEM}:{name}")
}

impl Browser<'_> {
    /// Keeps the cookies of an answer, instead of those before.
    pub fn keep(&mut self, answer: &Answer) {
        let pairs = answer.cookies.iter().map(|cookie| cookie.split(';').next().unwrap());
        self.cookies = pairs.filter(|pair| !pair.ends_with('=')).collect::<Vec<_>>().join("; ");
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.header(COOKIE, &self.cookies).send().await.unwrap();
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
                .to_owned()
        };
        Answer {
            status: answer.status(),
            location: header(LOCATION.as_str()),
            policy: header("content-security-policy"),
            cookies: answer
                .headers()
                .get_all(SET_COOKIE)
                .iter()
                .map(|value| value.to_str().unwrap().to_owned())
                .collect(),
            text: answer.text().await.unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.console.http.get(format!("{}{path}", self.console.origin)))
            .await
    }

    /// As a person reads it again and again.
    pub async fn slowly(&self, path: &str) -> Answer {
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.get(path).await
    }

    pub async fn get_swedish(&self, path: &str) -> Answer {
        let request = self.console.http.get(format!("{}{path}", self.console.origin));
        self.send(request.header(ACCEPT_LANGUAGE, "sv-SE,sv;q=0.9,en;q=0.5"))
            .await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_from(path, form, Some(&self.console.origin)).await
    }

    pub async fn post_from(&self, path: &str, form: &[(&str, &str)], origin: Option<&str>) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = self
            .console
            .http
            .post(format!("{}{path}", self.console.origin))
            .body(body);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        self.send(request).await
    }
}
