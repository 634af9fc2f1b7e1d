//! Requests to the issuer: bounded in time and size, and never redirected.

use std::time::Duration;

use oauth2::{HttpRequest, HttpResponse};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use serde::de::DeserializeOwned;
use url::Url;

use super::error::Error;

/// Time limits of a request.
const CONNECT: Duration = Duration::from_secs(4);
const TIME: Duration = Duration::from_secs(10);

/// The most bytes of an answer.
const ANSWER: usize = 256 << 10;

/// The HTTP client of the issuer.
#[derive(Clone)]
pub(super) struct IssuerHttp(Client);

impl IssuerHttp {
    /// With root certificates in PEM, or those of the system.
    pub(super) fn new(roots: Option<&[u8]>) -> anyhow::Result<Self> {
        let mut http = Client::builder()
            .user_agent(concat!("orchestra-operator/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(TIME)
            // A redirect could carry the code and the client's secret elsewhere.
            .redirect(Policy::none());
        if let Some(roots) = roots {
            http = http.tls_certs_only(Certificate::from_pem_bundle(roots)?);
        }
        Ok(Self(http.build()?))
    }

    /// A document.
    pub(super) async fn read<T: DeserializeOwned>(&self, url: &Url, what: &'static str) -> Result<T, Error> {
        let answer = self.0.get(url.clone()).send().await.map_err(Error::away(what))?;
        let status = answer.status();
        let body = body(answer, what).await?;
        let cause = format!("HTTP status {status}");
        let read = serde_json::from_slice(&body).ok().filter(|_: &T| status.is_success());
        read.ok_or(Error::Away { what, cause })
    }

    /// A request of the flow.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let what = "the token";
        let request = reqwest::Request::try_from(request).map_err(Error::away(what))?;
        let mut answer = self.0.execute(request).await.map_err(Error::away(what))?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut whole = HttpResponse::new(body(answer, what).await?);
        (*whole.status_mut(), *whole.headers_mut()) = (status, headers);
        Ok(whole)
    }
}

async fn body(mut answer: reqwest::Response, what: &'static str) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(Error::away(what))? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER {
            return Err(Error::Away {
                what,
                cause: format!("it has more than {ANSWER} bytes"),
            });
        }
    }
    Ok(body)
}
