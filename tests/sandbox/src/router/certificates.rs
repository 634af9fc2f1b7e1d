//! The pooler's certificate, issued as Supabase's are: by an intermediate of a root that no system knows.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// One root for all poolers of a process, so that a client needs one file.
static AUTHORITY: LazyLock<Result<Authority, rcgen::Error>> = LazyLock::new(|| Authority::new("Sandbox Root CA"));

/// A root, and the intermediate that issues certificates.
pub struct Authority {
    root: String,
    intermediate: CertificateDer<'static>,
    intermediate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new root with this name.
    ///
    /// # Errors
    /// When a key cannot be made.
    pub fn new(name: &str) -> Result<Self, rcgen::Error> {
        let root_key = KeyPair::generate()?;
        let root = authority(name);
        let pem = root.self_signed(&root_key)?.pem();
        let root = Issuer::new(root, root_key);
        let key = KeyPair::generate()?;
        let intermediate = authority(&format!("{name}, intermediate"));
        let signed = intermediate.signed_by(&key, &root)?;
        Ok(Self {
            root: pem,
            intermediate: signed.der().clone(),
            intermediate_pem: signed.pem(),
            issuer: Issuer::new(intermediate, key),
        })
    }

    /// The root of this process's poolers.
    ///
    /// # Errors
    /// When a key could not be made.
    pub fn of_poolers() -> anyhow::Result<&'static Self> {
        AUTHORITY.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// The root's certificate in PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The key and the certificates, both in PEM, of a server of these names that is another program.
    ///
    /// # Errors
    /// As [`Authority::acceptor`].
    pub fn server_pem(&self, names: impl Into<Vec<String>>) -> anyhow::Result<(String, String)> {
        let (server, key) = self.server(names)?;
        Ok((key.serialize_pem(), server.pem() + &self.intermediate_pem))
    }

    fn server(&self, names: impl Into<Vec<String>>) -> Result<(Certificate, KeyPair), rcgen::Error> {
        let mut server = CertificateParams::new(names)?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        Ok((server.signed_by(&key, &self.issuer)?, key))
    }

    /// What a server of these names shows: its certificate and the intermediate's.
    ///
    /// # Errors
    /// When a key cannot be made, or a name is none.
    pub fn acceptor(&self, names: impl Into<Vec<String>>) -> anyhow::Result<TlsAcceptor> {
        let (server, key) = self.server(names)?;
        let chain = vec![server.der().clone(), self.intermediate.clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// The names of a pooler at this address.
pub(super) fn names(host: IpAddr, name: &str) -> Vec<String> {
    let mut names = vec![host.to_string(), "localhost".to_owned(), name.to_owned()];
    names.sort();
    names.dedup();
    names
}
