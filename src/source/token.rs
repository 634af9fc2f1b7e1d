//! The handshake with a registry: how it wants to be asked, and a token from the service that it names (Distribution
//! documentation, "Token Authentication Specification").
//!
//! oci-client's own handshake is not used: it sends the login to a service without TLS when the registry names one,
//! and reads an answer of any length.

use http_auth::{ChallengeRef, parse_challenges};
use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::pull_secret::RegistryLogin;
use crate::loopback::is_loopback;

/// The most bytes of the answer with a token. Tokens with many claims have some KiB.
const MAX_ANSWER: usize = 64 << 10;

/// Why there is no token.
#[derive(Debug)]
pub enum TokenRefusal {
    /// The login is refused.
    Login,
    /// The registry, or the token service that it names, is not one that can be used now.
    Service(String),
    /// No answer.
    Lost(reqwest::Error),
}

/// The answer of a token service. Older ones say `token`, and those that speak OAuth 2 `access_token`.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
}

/// The header that authorizes pulls from a repository of the registry at `base`, its scheme and host. The client
/// decides whether connections without TLS are made at all.
///
/// # Errors
/// See [`TokenRefusal`]. No text of an answer is repeated.
pub async fn authorization(
    http: &Client,
    base: &str,
    repository: &str,
    login: Option<&RegistryLogin>,
) -> Result<Option<HeaderValue>, TokenRefusal> {
    let answer = http
        .get(format!("{base}/v2/"))
        .send()
        .await
        .map_err(TokenRefusal::Lost)?;
    let challenge = answer.headers().get(WWW_AUTHENTICATE);
    let challenge = challenge
        .and_then(|challenge| challenge.to_str().ok())
        .unwrap_or_default();
    let challenges = parse_challenges(challenge).unwrap_or_default();
    let bearer = challenges
        .iter()
        .find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"));
    let Some(bearer) = bearer else {
        // The registry takes the login itself, or needs none.
        return login.map(basic).transpose();
    };
    let mut request = http.get(service(bearer, repository, base)?);
    if let Some(login) = login {
        request = request.header(AUTHORIZATION, basic(login)?);
    }
    let token = token(request).await?;
    sensitive(format!("Bearer {}", token.expose_secret())).map(Some)
}

/// The address of the token service that a challenge of the registry at `base` names. A registry on this machine, which an
/// Orchestra may name without TLS, sends no login without TLS to another machine.
fn service(bearer: &ChallengeRef<'_>, repository: &str, base: &str) -> Result<Url, TokenRefusal> {
    let parameter = |name: &str| {
        let found = bearer.params.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let unusable = || TokenRefusal::Service("the registry names no token service that can be used".into());
    let mut url = Url::parse(&parameter("realm").ok_or_else(unusable)?).map_err(|_| unusable())?;
    match url.scheme() {
        "https" => {}
        "http"
            if Url::parse(base)
                .is_ok_and(|base| base.scheme() == "http" && (!is_loopback(&base) || is_loopback(&url))) => {}
        _ => {
            return Err(TokenRefusal::Service(
                "the registry names a token service without TLS".into(),
            ));
        }
    }
    let mut query = url.query_pairs_mut();
    if let Some(service) = parameter("service") {
        query.append_pair("service", &service);
    }
    query.append_pair("scope", &format!("repository:{repository}:pull"));
    drop(query);
    Ok(url)
}

async fn token(request: RequestBuilder) -> Result<SecretString, TokenRefusal> {
    let answer = request.send().await.map_err(TokenRefusal::Lost)?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(TokenRefusal::Login),
        status => {
            return Err(TokenRefusal::Service(format!(
                "the registry's token service answers {status}"
            )));
        }
    }
    let bytes = bounded(answer).await?;
    let answer = serde_json::from_slice::<TokenAnswer>(&bytes).ok();
    answer
        .and_then(|answer| answer.token.or(answer.access_token))
        .ok_or_else(|| TokenRefusal::Service("the registry's token service answers without a token".into()))
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>, TokenRefusal> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(TokenRefusal::Lost)? {
        if bytes.len() + piece.len() > MAX_ANSWER {
            let what = format!("the registry's token service answers more than {MAX_ANSWER} bytes");
            return Err(TokenRefusal::Service(what));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn basic(login: &RegistryLogin) -> Result<HeaderValue, TokenRefusal> {
    use base64::Engine as _;
    let pair = format!("{}:{}", login.user, login.password.expose_secret());
    sensitive(format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    ))
}

fn sensitive(value: String) -> Result<HeaderValue, TokenRefusal> {
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| TokenRefusal::Service("the registry's token cannot be sent in a header".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TLS: &str = "https://registry.example";
    const PLAIN: &str = "http://registry.example:5000";
    const HERE: &str = "http://127.0.0.1:5000";

    fn asked(challenge: &str, base: &str) -> Result<String, String> {
        let challenges = parse_challenges(challenge).unwrap();
        match service(&challenges[0], "acme/migrations", base) {
            Ok(url) => Ok(url.into()),
            Err(TokenRefusal::Service(what)) => Err(what),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_login_goes_to_a_token_service_with_tls() {
        let of = |scheme: &str| format!(r#"Bearer realm="{scheme}://auth.example/token?a=b",service="registry \"x\"""#);
        let url = "://auth.example/token?a=b&service=registry+%22x%22&scope=repository%3Aacme%2Fmigrations%3Apull";
        assert_eq!(asked(&of("https"), TLS).unwrap(), format!("https{url}"));
        assert_eq!(asked(&of("https"), HERE).unwrap(), format!("https{url}"));
        assert_eq!(asked(&of("http"), PLAIN).unwrap(), format!("http{url}"));
        assert!(asked(r#"Bearer realm="http://localhost:5001/token""#, HERE).is_ok());
        for (challenge, base, says) in [
            (of("http").as_str(), TLS, "without TLS"),
            (of("http").as_str(), HERE, "without TLS"),
            (of("file").as_str(), PLAIN, "without TLS"),
            (r#"Bearer service="registry""#, PLAIN, "names no token service"),
            (r#"Bearer realm="/token""#, PLAIN, "names no token service"),
        ] {
            let refused = asked(challenge, base).unwrap_err();
            assert!(refused.contains(says), "{challenge}: {refused}");
        }
    }
}
