//! The connection below a session: TCP, and TLS with the certificate checked as `sslmode` says.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::{Error, Result};
use super::login::{Login, Tls};

/// Supabase's root certificate of 2021, valid to 2031-04-26, which issues its poolers' certificates.
pub const SUPABASE_ROOT: &str = include_str!("certificates/supabase-root-2021-ca.pem");

/// The message that asks for TLS (PostgreSQL manual, "Message Formats", `SSLRequest`).
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A byte stream to a server.
pub(super) trait Channel: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Channel for T {}

/// Connects to the server of a login, with TLS as the login says. No password is sent here.
pub(super) async fn open(login: &Login) -> Result<Box<dyn Channel>> {
    let stream = TcpStream::connect((login.host.as_str(), login.port)).await;
    let stream = stream.map_err(|error| Error::unreachable(&error.to_string()))?;
    Ok(secure(login, stream).await?)
}

/// Why a connection is not secured as its login says.
#[derive(Debug)]
pub(super) enum Unsecured {
    /// The connection broke.
    Lost(std::io::Error),
    /// The server does not offer TLS.
    NotOffered,
    /// The server that answers is not PostgreSQL.
    OtherProtocol,
    /// The certificate is refused.
    Untrusted(String),
    /// The handshake failed.
    Handshake(String),
    /// The settings of the login cannot be used.
    Unusable(Error),
}

impl From<Unsecured> for Error {
    fn from(unsecured: Unsecured) -> Self {
        match unsecured {
            Unsecured::Lost(error) => Self::unreachable(&error.to_string()),
            Unsecured::NotOffered => Self::unreachable("the server does not offer TLS"),
            Unsecured::OtherProtocol => Self::unreachable("the server answers in another protocol than PostgreSQL's"),
            Unsecured::Untrusted(cause) => Self::untrusted_server(&cause),
            Unsecured::Handshake(cause) => Self::unreachable(&cause),
            Unsecured::Unusable(error) => error,
        }
    }
}

/// Secures a connection as the login says. No password is sent here.
pub(super) async fn secure(login: &Login, mut stream: TcpStream) -> std::result::Result<Box<dyn Channel>, Unsecured> {
    stream.set_nodelay(true).map_err(Unsecured::Lost)?;
    if login.tls == Tls::Disable {
        return Ok(Box::new(stream));
    }
    stream.write_all(&TLS_REQUEST).await.map_err(Unsecured::Lost)?;
    match stream.read_u8().await.map_err(Unsecured::Lost)? {
        b'S' => {}
        b'N' if login.tls == Tls::Prefer => return Ok(Box::new(stream)),
        b'N' => return Err(Unsecured::NotOffered),
        _ => return Err(Unsecured::OtherProtocol),
    }
    let host = ServerName::try_from(login.host.clone());
    let host = host.map_err(|_| Unsecured::Unusable(Error::invalid_url("the host is no DNS name")))?;
    let connector = TlsConnector::from(Arc::new(config(login).map_err(Unsecured::Unusable)?));
    let secured = connector.connect(host, stream).await;
    Ok(Box::new(secured.map_err(failure)?))
}

/// Whether the certificate was refused, the handshake failed for another reason, or the connection broke.
fn failure(error: std::io::Error) -> Unsecured {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(cause)) => Unsecured::Untrusted(cause.to_string()),
        Some(_) => Unsecured::Handshake(error.to_string()),
        None => Unsecured::Lost(error),
    }
}

fn config(login: &Login) -> Result<ClientConfig> {
    let failed = |error: &dyn std::fmt::Display| Error::unreachable(&format!("TLS cannot be set up: {error}"));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let authority = match login.tls {
        Tls::VerifyFull => {
            let roots = roots(login.roots.as_deref())?;
            return Ok(builder.with_root_certificates(roots).with_no_client_auth());
        }
        Tls::VerifyCa => {
            login.check_authority()?;
            let roots = Arc::new(only(login.roots.as_deref().unwrap_or_default())?);
            let authority = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
            Some(authority.map_err(|error| failed(&error))?)
        }
        Tls::Disable | Tls::Prefer | Tls::Require => None,
    };
    let lenient = Arc::new(Lenient { authority, provider });
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(lenient)
        .with_no_client_auth())
}

/// The system's root certificates, read once.
static SYSTEM: LazyLock<RootCertStore> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("no root certificates were found on this system");
    }
    roots
});

/// The system's roots, and those given in PEM.
fn roots(more: Option<&str>) -> Result<RootCertStore> {
    let mut roots = SYSTEM.clone();
    if let Some(more) = more {
        roots.extend(only(more)?.roots);
    }
    Ok(roots)
}

/// Those given in PEM.
fn only(pem: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|_| UNREADABLE)?;
    }
    Ok(roots)
}

const UNREADABLE: Error = Error::InvalidUrl(Cow::Borrowed("its root certificates are not PEM of X.509 certificates"));

/// The certificates of a PEM text, of which there is at least one.
///
/// # Errors
/// When it holds none, or one that cannot be read.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| UNREADABLE)?;
    let mut check = RootCertStore::empty();
    if found.is_empty() || check.add_parsable_certificates(found.iter().cloned()).1 > 0 {
        return Err(UNREADABLE);
    }
    Ok(found)
}

/// Certificates in PEM.
pub fn to_pem<T: AsRef<[u8]>>(certificates: &[T]) -> String {
    let sections: Vec<_> = certificates
        .iter()
        .map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()))
        .collect();
    pem::encode_many_config(&sections, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

/// The certificates of a PEM text as PEM of their own: other content, such as a private key or a person's notes, is not
/// passed on.
///
/// # Errors
/// As [`certificates`].
pub fn certificates_alone(pem: &str) -> Result<Arc<str>> {
    Ok(to_pem(&certificates(pem)?).into())
}

/// Accepts certificates of any host; with an authority, only those that it has issued.
#[derive(Debug)]
struct Lenient {
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        // The name is checked last, so a wrong name means that everything else is right.
        match authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_shipped_root_is_supabases() {
        let found = certificates(SUPABASE_ROOT).unwrap();
        assert_eq!(found.len(), 1);
        let fingerprint = hex::encode_upper(Sha256::digest(&found[0]));
        assert_eq!(
            fingerprint,
            "807025AD50D4ED219D2C9C7D299C004F824EB00CF7F65AFEF607D07B72E6CAFA"
        );
        let all = roots(Some(SUPABASE_ROOT)).unwrap();
        assert_eq!(all.len(), SYSTEM.len() + 1, "beside the system's");
        assert_eq!(only(SUPABASE_ROOT).unwrap().len(), 1, "alone");
    }

    #[test]
    fn what_is_passed_on_are_the_certificates_alone() {
        let combined = format!(
            "Bag Attributes\n  friendlyName: hush\n{SUPABASE_ROOT}\n-----BEGIN PRIVATE KEY-----\naHVzaA==\n-----END PRIVATE \
             KEY-----\n{SUPABASE_ROOT}"
        );
        let alone = certificates_alone(&combined).unwrap();
        assert!(!alone.contains("PRIVATE") && !alone.contains("hush"), "{alone}");
        assert_eq!(certificates(&alone).unwrap(), certificates(&combined).unwrap());
        assert_eq!(alone.matches("-----BEGIN CERTIFICATE-----\n").count(), 2);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let broken = SUPABASE_ROOT.replace("MII", "AAA");
        for text in ["", "text", &broken, &SUPABASE_ROOT[..300]] {
            assert!(certificates(text).is_err(), "{text}");
        }
    }
}
