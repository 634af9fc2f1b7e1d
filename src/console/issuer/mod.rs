//! Signing in at an OpenID Connect issuer: the authorization code flow with PKCE (RFC 7636), a state and a nonce.
//!
//! The ID token becomes the visitor's token for the API server, which must trust the same issuer and client.

mod error;
mod http;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, HttpRequest, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenUrl,
};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::error::Error;
use self::http::IssuerHttp;
use super::form::Fields;
use super::session::{PendingCookie, SessionKey};
use crate::loopback::is_loopback;

/// How long what the issuer says of itself is believed.
const DISCOVERED: Duration = Duration::from_mins(5);

/// Signatures that are accepted. Those by a shared secret (HS256) are not: the API server refuses them as well.
const SIGNATURES: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The issuer, and this console as its client.
pub struct IssuerSettings {
    /// Its identifier, as its tokens name it.
    pub issuer: String,
    /// The client that tokens are made for.
    pub client_id: String,
    /// The client's secret; none for a public client.
    pub client_secret: Option<SecretString>,
    /// Where it sends browsers back to: an address of this console.
    pub redirect: Url,
    /// What tokens are to tell beside who the visitor is: `email`.
    pub scopes: Vec<String>,
    /// Root certificates that it is verified with, in PEM; none: those of the system.
    pub roots: Option<Vec<u8>>,
}

/// An issuer that visitors sign in at.
pub struct Issuer {
    settings: IssuerSettings,
    http: IssuerHttp,
    discovered: Mutex<Option<(Instant, Arc<Discovered>)>>,
}

/// What the issuer says of itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Debug, Deserialize)]
struct Discovered {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// A sign-in that was begun and has not come back: the content of a cookie.
#[derive(Serialize, Deserialize)]
struct PendingSignIn {
    state: String,
    nonce: String,
    verifier: String,
    to: String,
}

/// What the answer with tokens has beside OAuth 2.0.
#[derive(Serialize, Deserialize)]
struct IdField {
    id_token: Option<String>,
}

impl fmt::Debug for IdField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IdField(..)")
    }
}

impl ExtraTokenFields for IdField {}

/// What of an ID token is checked beside its signature, issuer, client and time.
#[derive(Deserialize)]
struct IdTokenClaims {
    nonce: Option<String>,
    azp: Option<String>,
}

type Flow = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<IdField, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Whether nobody on the way can read or change what is sent there: by https, or on this machine.
pub fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

impl Issuer {
    /// An issuer with these settings. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When the root certificates cannot be read.
    pub fn new(settings: IssuerSettings) -> anyhow::Result<Self> {
        Ok(Self {
            http: IssuerHttp::new(settings.roots.as_deref())?,
            settings,
            discovered: Mutex::default(),
        })
    }

    /// The path that it sends browsers back to.
    pub fn callback(&self) -> &str {
        self.settings.redirect.path()
    }

    /// Begins a sign-in: the issuer's page, and the cookie by which its answer is recognized.
    ///
    /// # Errors
    /// When the issuer does not answer.
    pub async fn begin(&self, key: &SessionKey, to: &str, now: Timestamp) -> Result<(Url, HeaderValue), Error> {
        let found = self.discovered().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random();
        let scopes = self.settings.scopes.iter().map(|scope| Scope::new(scope.clone()));
        let flow = self.flow(&found);
        let (url, state) = flow
            .authorize_url(CsrfToken::new_random)
            .add_scope(Scope::new("openid".into()))
            .add_scopes(scopes)
            .add_extra_param("nonce", nonce.secret())
            .set_pkce_challenge(challenge)
            .url();
        let pending = PendingSignIn {
            state: state.into_secret(),
            nonce: nonce.into_secret(),
            verifier: verifier.into_secret(),
            to: to.to_owned(),
        };
        let cookie = key.pending(&pending, now);
        Ok((
            url,
            cookie.ok_or_else(|| Error::Odd("the way back is too long".into()))?,
        ))
    }

    /// Ends a sign-in: the visitor's ID token, and where they were on their way to.
    ///
    /// # Errors
    /// When this browser did not begin it, or the issuer refuses or does not answer.
    pub async fn end(
        &self,
        key: &SessionKey,
        headers: &HeaderMap,
        query: &Fields,
        now: Timestamp,
    ) -> Result<(SecretString, String), Error> {
        let pending: Option<PendingSignIn> = PendingCookie::of(headers).and_then(|cookie| key.begun(cookie, now));
        let pending = pending.ok_or_else(|| Error::Odd("this browser has begun no sign-in, or too long ago".into()))?;
        if query.get("state") != pending.state {
            return Err(Error::Odd("another sign-in was begun since".into()));
        }
        // RFC 9207: an answer of another issuer.
        if query.some("iss").is_some_and(|issuer| issuer != self.settings.issuer) {
            return Err(Error::Odd("it is another issuer's".into()));
        }
        if let Some(error) = query.some("error") {
            return Err(Error::refused(error));
        }
        let found = self.discovered().await?;
        let token = self.exchanged(&found, query.get("code"), pending.verifier).await?;
        let keys: JwkSet = self.http.read(&found.jwks_uri, "the keys").await?;
        self.verify(&token, &keys, &pending.nonce)?;
        Ok((token, pending.to))
    }

    async fn exchanged(&self, found: &Discovered, code: &str, verifier: String) -> Result<SecretString, Error> {
        let http = self.http.clone();
        let send = move |request: HttpRequest| {
            let http = http.clone();
            async move { http.send(request).await }
        };
        let flow = self.flow(found);
        let answer = flow
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&send)
            .await;
        let answer = answer.map_err(|error| match error {
            RequestTokenError::ServerResponse(answer) => Error::refused(answer.error().as_ref()),
            RequestTokenError::Request(error) => error,
            // The body may hold tokens.
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => Error::Away {
                what: "the token",
                cause: "the answer is not one of OAuth 2.0".into(),
            },
        })?;
        let token = answer.extra_fields().id_token.as_deref();
        token
            .map(Into::into)
            .ok_or_else(|| Error::Odd("there is no ID token in it".into()))
    }

    /// OpenID Connect Core 1.0, section 3.1.3.7.
    fn verify(&self, token: &SecretString, keys: &JwkSet, nonce: &str) -> Result<(), Error> {
        let token = token.expose_secret();
        let header = decode_header(token).map_err(|error| Error::odd(&error))?;
        if !SIGNATURES.contains(&header.alg) {
            return Err(Error::Odd(format!("ID tokens are signed by {:?}", header.alg)));
        }
        let mut validation = Validation::new(header.alg);
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.client_id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let mut wrong = Error::Odd("the issuer has no key of the ID token's signature".into());
        let is_named = |id: Option<&String>| header.kid.is_none() || id == header.kid.as_ref();
        for key in keys.keys.iter().filter(|key| is_named(key.common.key_id.as_ref())) {
            let checked = DecodingKey::from_jwk(key).and_then(|key| decode::<IdTokenClaims>(token, &key, &validation));
            match checked {
                Ok(token) => return self.meant(&token.claims, nonce),
                Err(error) => wrong = Error::odd(&error),
            }
        }
        Err(wrong)
    }

    /// Whether the token was made for this client, in answer to this sign-in.
    fn meant(&self, claims: &IdTokenClaims, nonce: &str) -> Result<(), Error> {
        if claims
            .azp
            .as_ref()
            .is_some_and(|party| *party != self.settings.client_id)
        {
            return Err(Error::Odd("the ID token was made for another client".into()));
        }
        if claims.nonce.as_deref() != Some(nonce) {
            return Err(Error::Odd("the ID token belongs to another sign-in".into()));
        }
        Ok(())
    }

    fn flow(&self, found: &Discovered) -> Flow {
        let settings = &self.settings;
        let mut flow = oauth2::Client::new(ClientId::new(settings.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(found.authorization_endpoint.clone()))
            .set_token_uri(TokenUrl::from_url(found.token_endpoint.clone()))
            .set_redirect_uri(RedirectUrl::from_url(settings.redirect.clone()));
        if let Some(secret) = &settings.client_secret {
            flow = flow.set_client_secret(ClientSecret::new(secret.expose_secret().into()));
        }
        let methods = found.token_endpoint_auth_methods_supported.as_deref();
        let takes = |method: &str| methods.is_none_or(|all| all.iter().any(|other| other == method));
        if !takes("client_secret_basic") && takes("client_secret_post") {
            flow = flow.set_auth_type(AuthType::RequestBody);
        }
        flow
    }

    async fn discovered(&self) -> Result<Arc<Discovered>, Error> {
        let kept = self.discovered.lock().clone();
        if let Some((at, found)) = kept
            && at.elapsed() < DISCOVERED
        {
            return Ok(found);
        }
        let what = "the description";
        let wrong = |cause: &str| Error::Away {
            what,
            cause: cause.to_owned(),
        };
        let issuer = &self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let url: Url = url.parse().map_err(|_| wrong("its address is no URL"))?;
        let found: Discovered = self.http.read(&url, what).await?;
        if found.issuer != *issuer {
            return Err(wrong("it names another issuer"));
        }
        let all = [&found.authorization_endpoint, &found.token_endpoint, &found.jwks_uri];
        if !all.into_iter().all(is_private) {
            return Err(wrong("it names an address without https"));
        }
        let found = Arc::new(found);
        *self.discovered.lock() = Some((Instant::now(), found.clone()));
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
