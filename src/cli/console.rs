//! `orchestra-operator console`: the web console.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use url::Url;

use crate::console::session::SessionKey;
use crate::console::{Console, Settings, SignInModes, serve};
use crate::run;
use crate::telemetry::logs::LogFormat;

/// A longer file is no key.
const KEY: u64 = 4 << 10;

/// How visitors may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthMode {
    /// They paste a token of the cluster.
    Token,
    /// A proxy before the console sends `Authorization: Bearer` with each request.
    Proxy,
}

/// Flags of `orchestra-operator console`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Address to listen on. TLS ends before the console, at an ingress or a proxy.
    #[arg(long, env = "ORCHESTRA_CONSOLE_ADDRESS", default_value = "127.0.0.1:8090")]
    pub address: SocketAddr,
    /// Where browsers reach the console, without a path: `https://console.example.com`. Changes that pages of other
    /// origins ask for are refused. Plain http is accepted for this machine only.
    #[arg(long, env = "ORCHESTRA_CONSOLE_ORIGIN", default_value = "http://localhost:8090")]
    pub origin: String,
    /// File with at least 32 random bytes that encrypt the cookie. Replicas share it. Omitted: a random key, so that every
    /// sign-in ends with the process.
    #[arg(long, env = "ORCHESTRA_CONSOLE_COOKIE_KEY_FILE")]
    pub cookie_key_file: Option<PathBuf>,
    /// How visitors sign in. With `proxy`, the console must be reachable through the proxy only.
    #[arg(long, env = "ORCHESTRA_CONSOLE_AUTH", value_enum, default_value = "token")]
    pub auth: AuthMode,
    /// Format of log lines.
    #[arg(long, env = "ORCHESTRA_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// The level of logs, or targets with levels such as `info,orchestra_operator=debug`.
    #[arg(long, env = "ORCHESTRA_LOG", default_value = "info")]
    pub log: String,
}

/// Serves the console until a signal to stop.
///
/// # Errors
/// When a flag is wrong, no cluster is configured, or the address cannot be listened on.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let stop = run::stop_signal()?;
    let settings = Settings {
        origin: origin(&arguments.origin)?,
        key: key(&arguments)?,
        modes: SignInModes {
            token: arguments.auth == AuthMode::Token,
            proxy: arguments.auth == AuthMode::Proxy,
        },
    };
    let config = kube::Config::infer()
        .await
        .context("no Kubernetes cluster is configured: run in a pod with a service account, or set KUBECONFIG")?;
    let origin = settings.origin.clone();
    let console = Console::new(config, settings)?;
    let listener = TcpListener::bind(arguments.address)
        .await
        .with_context(|| format!("cannot listen on {} (--address)", arguments.address))?;
    tracing::info!(address = %listener.local_addr()?, origin, "serving the console");
    serve(listener, console, run::stopped(stop)).await;
    Ok(())
}

/// The origin as browsers send it.
fn origin(text: &str) -> anyhow::Result<String> {
    let url: Url = text.parse().with_context(|| format!("--origin is no URL: {text}"))?;
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        _ => bail!("--origin {text}: browsers keep the cookie only with https, or on this machine"),
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        bail!("--origin {text}: name the scheme, the host and the port only");
    }
    Ok(url.origin().ascii_serialization())
}

fn key(arguments: &Arguments) -> anyhow::Result<SessionKey> {
    let Some(path) = &arguments.cookie_key_file else {
        tracing::warn!("no --cookie-key-file: sign-ins end with the process, and replicas do not share them");
        return SessionKey::random();
    };
    let told = || format!("the key of the cookie cannot be read from {}", path.display());
    if std::fs::metadata(path).with_context(told)?.len() > KEY {
        bail!("{} is too long for a key: head -c 32 /dev/urandom", path.display());
    }
    SessionKey::of(&std::fs::read(path).with_context(told)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for (text, is) in [
            ("https://console.example.com", Some("https://console.example.com")),
            ("https://Console.example.com:443/", Some("https://console.example.com")),
            ("http://localhost:8090", Some("http://localhost:8090")),
            ("http://console.example.com", None),
            ("https://console.example.com/console", None),
            ("https://user@console.example.com", None),
            ("console.example.com", None),
        ] {
            assert_eq!(origin(text).ok().as_deref(), is, "{text}");
        }
    }
}
