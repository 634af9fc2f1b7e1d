//! `orchestra-operator console`: the web console.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use tokio::net::TcpListener;
use url::Url;

use crate::console::issuer::{Issuer, IssuerSettings, is_private};
use crate::console::session::SessionKey;
use crate::console::{Console, ConsoleSettings, SignInModes, serve};
use crate::run;
use crate::telemetry::logs::LogFormat;

/// A longer file is no key.
const KEY: u64 = 4 << 10;

/// How visitors may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthMode {
    /// They paste a token of the cluster, or sign in at the OpenID Connect issuer, where one is named.
    Token,
    /// They sign in at the OpenID Connect issuer only.
    Oidc,
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
    #[command(flatten)]
    pub issuer: IssuerArguments,
    /// Namespace of the operator, which holds the ledger of what databases have cost.
    #[arg(long, env = "POD_NAMESPACE", default_value = "orchestra-system")]
    pub operator_namespace: String,
    /// Format of log lines.
    #[arg(long, env = "ORCHESTRA_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// The level of logs, or targets with levels such as `info,orchestra_operator=debug`.
    #[arg(long, env = "ORCHESTRA_LOG", default_value = "info")]
    pub log: String,
}

/// The OpenID Connect issuer.
#[allow(clippy::struct_field_names, reason = "they are the names of flags")]
#[derive(clap::Args, Debug)]
pub struct IssuerArguments {
    /// OpenID Connect issuer that visitors may sign in at: `https://login.example.com`. The API server must trust the same issuer
    /// and client, because the ID token becomes the visitor's token.
    #[arg(long, env = "ORCHESTRA_CONSOLE_OIDC_ISSUER_URL", requires = "oidc_client_id")]
    pub oidc_issuer_url: Option<String>,
    /// The console's client at the issuer.
    #[arg(long, env = "ORCHESTRA_CONSOLE_OIDC_CLIENT_ID", requires = "oidc_issuer_url")]
    pub oidc_client_id: Option<String>,
    /// File with the client's secret. Omitted: a public client.
    #[arg(
        long,
        env = "ORCHESTRA_CONSOLE_OIDC_CLIENT_SECRET_FILE",
        requires = "oidc_issuer_url"
    )]
    pub oidc_client_secret_file: Option<PathBuf>,
    /// Where the issuer sends browsers back, as it is registered there: any path of --origin. Omitted: /sign-in/callback.
    #[arg(long, env = "ORCHESTRA_CONSOLE_OIDC_REDIRECT_URL", requires = "oidc_issuer_url")]
    pub oidc_redirect_url: Option<Url>,
    /// Scopes beside `openid`: those with the claims that the API server takes names and groups from.
    #[arg(
        long,
        env = "ORCHESTRA_CONSOLE_OIDC_SCOPES",
        value_delimiter = ',',
        default_value = "profile,email"
    )]
    pub oidc_scopes: Vec<String>,
    /// File with the root certificates (PEM) that the issuer is verified with. Omitted: those of the system.
    #[arg(long, env = "ORCHESTRA_CONSOLE_OIDC_CA_FILE", requires = "oidc_issuer_url")]
    pub oidc_ca_file: Option<PathBuf>,
}

/// Serves the console until a signal to stop.
///
/// # Errors
/// When a flag is wrong, no cluster is configured, or the address cannot be listened on.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let stop = run::stop_signal()?;
    let origin = origin(&arguments.origin)?;
    let settings = ConsoleSettings {
        issuer: issuer(&arguments, &origin)?,
        origin,
        key: key(&arguments)?,
        modes: SignInModes {
            token: arguments.auth == AuthMode::Token,
            proxy: arguments.auth == AuthMode::Proxy,
        },
        operator_namespace: arguments.operator_namespace.clone(),
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

/// The issuer of the flags.
fn issuer(arguments: &Arguments, origin: &str) -> anyhow::Result<Option<Issuer>> {
    let flags = &arguments.issuer;
    let Some((issuer, client_id)) = flags.oidc_issuer_url.clone().zip(flags.oidc_client_id.clone()) else {
        if arguments.auth == AuthMode::Oidc {
            bail!("--auth oidc needs --oidc-issuer-url and --oidc-client-id");
        }
        return Ok(None);
    };
    if arguments.auth == AuthMode::Proxy {
        bail!("--oidc-issuer-url: with --auth proxy, nobody signs in at the console");
    }
    let url: Url = issuer
        .parse()
        .with_context(|| format!("--oidc-issuer-url is no URL: {issuer}"))?;
    if !is_private(&url) || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        bail!("--oidc-issuer-url {issuer}: an address with https, without query and user");
    }
    let redirect = match flags.oidc_redirect_url.clone() {
        Some(redirect) => redirect,
        None => format!("{origin}/sign-in/callback").parse()?,
    };
    let is_ours = redirect.origin().ascii_serialization() == origin && redirect.path() != "/";
    if !is_ours || redirect.query().is_some() || redirect.fragment().is_some() {
        bail!("--oidc-redirect-url {redirect}: a path of {origin}, without query");
    }
    let read = |path: &PathBuf, what: &str| {
        std::fs::read(path).with_context(|| format!("{what} cannot be read from {}", path.display()))
    };
    let secret = flags.oidc_client_secret_file.as_ref();
    let secret = secret
        .map(|path| read(path, "the secret of the OpenID Connect client"))
        .transpose()?;
    let secret = secret.map(String::from_utf8).transpose();
    let secret = secret.map_err(|_| anyhow!("the secret of the OpenID Connect client is not text"))?;
    let roots = flags.oidc_ca_file.as_ref();
    let settings = IssuerSettings {
        issuer,
        client_id,
        client_secret: secret.map(|secret| secret.trim().into()),
        redirect,
        scopes: flags.oidc_scopes.clone(),
        roots: roots
            .map(|path| read(path, "the issuer's root certificates"))
            .transpose()?,
    };
    Ok(Some(Issuer::new(settings).context("--oidc-ca-file")?))
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
