//! Certificates, signing keys and kubeconfig files of one control plane.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};

/// Files that the API server reads.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) ca: PathBuf,
    pub(super) serving_cert: PathBuf,
    pub(super) serving_key: PathBuf,
    pub(super) service_account_key: PathBuf,
    pub(super) service_account_public_key: PathBuf,
    pub(super) encryption: PathBuf,
    admin_cert: PathBuf,
    admin_key: PathBuf,
}

impl Keys {
    /// Mints everything into `dir`, readable by the owner only.
    pub(super) fn mint(dir: &Path) -> Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = named("orchestra-sandbox");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let issuer = Issuer::new(ca, ca_key);

        let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc"].map(str::to_owned);
        let mut serving = CertificateParams::new(names)?;
        serving.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let serving_key = KeyPair::generate()?;

        let mut admin = named("admin");
        admin
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let admin_key = KeyPair::generate()?;

        let token_key = KeyPair::generate()?;
        let keep = |name: &str, text: &str| write_private(&dir.join(name), text);
        Ok(Self {
            ca: keep("ca.crt", &ca_pem)?,
            serving_cert: keep("serving.crt", &serving.signed_by(&serving_key, &issuer)?.pem())?,
            serving_key: keep("serving.key", &serving_key.serialize_pem())?,
            admin_cert: keep("admin.crt", &admin.signed_by(&admin_key, &issuer)?.pem())?,
            admin_key: keep("admin.key", &admin_key.serialize_pem())?,
            service_account_key: keep("service-account.key", &token_key.serialize_pem())?,
            service_account_public_key: keep("service-account.pub", &token_key.public_key_pem())?,
            encryption: keep("encryption.json", &encryption_configuration().to_string())?,
        })
    }

    /// The user entry of a kubeconfig for `system:masters`.
    pub(super) fn admin_user(&self) -> Value {
        json!({ "client-certificate": self.admin_cert, "client-key": self.admin_key })
    }
}

/// Writes a kubeconfig of one cluster, one user and one context.
pub(super) fn write_kubeconfig(path: &Path, server: &str, ca: &Path, user: &Value, namespace: &str) -> Result<PathBuf> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "clusters": [{ "name": "sandbox", "cluster": { "server": server, "certificate-authority": ca } }],
        "users": [{ "name": "sandbox", "user": user }],
        "contexts": [{
            "name": "sandbox",
            "context": { "cluster": "sandbox", "user": "sandbox", "namespace": namespace },
        }],
    });
    write_private(path, &format!("{config:#}\n"))
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, text: &str) -> Result<PathBuf> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(path.to_owned())
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// Secrets encrypted with a random key. `identity` is absent, so nothing is stored or read in the clear.
fn encryption_configuration() -> Value {
    let key = ByteString(rand::random::<[u8; 32]>().to_vec());
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [{ "secretbox": { "keys": [{ "name": "sandbox", "secret": key }] } }],
        }],
    })
}
