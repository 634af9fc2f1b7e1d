//! Artifacts of a real registry, and what a registry may do wrong.

use std::time::Instant;

use crate::artifact::{flux, oras_files, oras_folder, push, push_changed};
use oci_client::client::ImageLayer;
use orchestra_operator::api::OciSource;
use orchestra_operator::api::condition::Reason;
use orchestra_operator::error::ErrorClass;
use orchestra_operator::source::pull_secret::RegistryLogin;
use orchestra_operator::source::{Error, Files, oci};
use orchestra_sandbox::registry::{Fault, Login as Asked, Registry};

type Texts = &'static [(&'static str, &'static str)];

const FILES: Texts = &[("1_a.sql", "CREATE TABLE a ();\r\n"), ("2_b.sql", "SELECT 2")];
const FOLDERS: Texts = &[
    ("migrations/", ""),
    ("migrations/1_a/migration.sql", "CREATE TABLE a ();\r\n"),
    ("migrations/2_b/migration.sql", ""),
];

async fn registry() -> (tempfile::TempDir, Registry) {
    // An error means that the process has chosen a provider already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path()).await.unwrap();
    (dir, registry)
}

fn of(registry: &Registry, repository: &str) -> OciSource {
    OciSource {
        image: format!("oci://{}/{repository}", registry.host()),
        tag: Some("v1".into()),
        insecure: true,
        ..OciSource::default()
    }
}

fn login(password: &str) -> RegistryLogin {
    RegistryLogin {
        user: "ada".into(),
        password: password.to_owned().into(),
    }
}

async fn pull(source: &OciSource, login: Option<RegistryLogin>) -> Result<(String, Files), Error> {
    let artifact = oci::look_up(source, login.clone()).await?;
    let digest = artifact.digest.clone();
    oci::pull(source, artifact, login, orchestra_operator::source::Share::default())
        .await
        .map(|files| (digest, files))
}

fn texts(files: &Files) -> Vec<(&str, &str)> {
    files
        .iter()
        .map(|(path, bytes)| (path, std::str::from_utf8(bytes).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_oras_and_flux_push_is_pulled() {
    let (_dir, registry) = registry().await;
    let folders = &FOLDERS[1..];
    let layouts: [(&str, Vec<ImageLayer>, Texts); 3] = [
        ("files", oras_files(FILES), FILES),
        ("folder", oras_folder("migrations", FOLDERS), folders),
        ("flux", flux(FOLDERS), folders),
    ];
    for (repository, layers, wanted) in layouts {
        let pushed = push(&registry.push_host(), repository, "v1", &layers).await;
        let mut source = of(&registry, repository);
        let (digest, files) = pull(&source, None).await.unwrap();
        assert_eq!((digest.as_str(), texts(&files).as_slice()), (pushed.as_str(), wanted));
        source.digest = Some(digest);
        source.tag = None;
        assert_eq!(pull(&source, None).await.unwrap().1, files);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_goes_to_its_registry_only() {
    let (_dir, registry) = registry().await;
    let (_other_dir, other) = self::registry().await;
    for host in [registry.push_host(), other.push_host()] {
        push(&host, "a", "v1", &oras_files(FILES)).await;
    }
    let source = of(&registry, "a");
    for asked in [
        Asked::Basic("ada".into(), "s3cret".into()),
        Asked::Token("ada".into(), "s3cret".into()),
    ] {
        registry.require(Some(asked));
        assert_eq!(texts(&pull(&source, Some(login("s3cret"))).await.unwrap().1), FILES);
        // Blobs may lie elsewhere, where nobody must learn the login.
        registry.fail(Some(Fault::Redirect(other.host().into())));
        other.seen();
        assert_eq!(texts(&pull(&source, Some(login("s3cret"))).await.unwrap().1), FILES);
        let told = other.seen();
        assert_eq!(told.len(), FILES.len());
        assert!(told.iter().all(|seen| seen.authorization.is_none()), "{told:?}");
        registry.fail(None);
        for wrong in [None, Some(login("wrong"))] {
            let error = pull(&source, wrong).await.unwrap_err();
            assert_eq!(
                (error.class(), error.reason()),
                (ErrorClass::Blocked, Reason::SourceDenied),
                "{error}"
            );
            assert!(
                !error.to_string().contains("wrong") && error.to_string().contains("pullSecretRef"),
                "{error}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_not_believed() {
    let (_dir, registry) = registry().await;
    let host = registry.push_host();
    push(&host, "a", "v1", &oras_files(FILES)).await;
    let source = of(&registry, "a");
    for (fault, class, reason, says) in [
        (
            Fault::Corrupt,
            ErrorClass::Invalid,
            Reason::SourceInvalid,
            "does not match its digest",
        ),
        (
            Fault::Endless,
            ErrorClass::Invalid,
            Reason::SourceInvalid,
            "more than the 4194304 bytes",
        ),
        (Fault::NoBlobs, ErrorClass::Blocked, Reason::SourceNotFound, "has no "),
        (Fault::Down, ErrorClass::Transient, Reason::SourceUnavailable, "503"),
    ] {
        registry.fail(Some(fault.clone()));
        let error = pull(&source, None).await.unwrap_err();
        assert_eq!((error.class(), error.reason()), (class, reason), "{fault:?}: {error}");
        assert!(error.to_string().contains(says), "{fault:?}: {error}");
    }
    registry.require(Some(Asked::Token("ada".into(), "s3cret".into())));
    registry.fail(Some(Fault::Endless));
    let error = pull(&source, Some(login("s3cret"))).await.unwrap_err();
    assert!(error.to_string().contains("answers more than 65536 bytes"), "{error}");
    registry.require(None);
    registry.fail(None);
    let missing = OciSource {
        tag: Some("v2".into()),
        ..source.clone()
    };
    assert!(matches!(pull(&missing, None).await, Err(Error::NoArtifact(_))));
    let pinned = OciSource {
        digest: Some(format!("sha256:{}", "0".repeat(64))),
        ..source.clone()
    };
    assert!(matches!(pull(&pinned, None).await, Err(Error::NoArtifact(_))));
    let tls = OciSource {
        insecure: false,
        ..source.clone()
    };
    assert!(
        matches!(pull(&tls, None).await, Err(Error::Unavailable { .. })),
        "HTTP only where it is asked for"
    );
    drop(registry);
    let began = Instant::now();
    let away = pull(&source, None).await.unwrap_err();
    assert!(
        matches!(away, Error::Unavailable { .. }) && began.elapsed().as_secs() < 15,
        "{away}"
    );
}

/// Whoever pushes writes the manifest.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_not_believed() {
    let (_dir, registry) = registry().await;
    let (_other_dir, other) = self::registry().await;
    let (host, layers) = (registry.push_host(), oras_files(FILES));
    push_changed(&host, "short", "v1", &layers, |manifest| manifest.layers[1].size = 3).await;
    let error = pull(&of(&registry, "short"), None).await.unwrap_err();
    assert!(error.to_string().contains("more than the 3 bytes"), "{error}");
    push_changed(&host, "large", "v1", &layers, |manifest| {
        manifest.layers[1].size = 1 << 40;
    })
    .await;
    registry.seen();
    let error = pull(&of(&registry, "large"), None).await.unwrap_err();
    assert!(error.to_string().contains("more than 64 MiB"), "{error}");
    assert!(
        !registry.seen().iter().any(|seen| seen.path.contains("/blobs/")),
        "nothing is fetched"
    );
    push_changed(&host, "up", "v1", &oras_files(&[("../up.sql", "x")]), |_| {}).await;
    let error = pull(&of(&registry, "up"), None).await.unwrap_err();
    assert!(error.to_string().contains("../up.sql"), "{error}");
    // An address in the manifest is no address to call.
    let urls = vec![format!("http://{}/internal", other.host())];
    push_changed(&host, "urls", "v1", &layers, |manifest| {
        manifest.layers[0].urls = Some(urls);
    })
    .await;
    registry.fail(Some(Fault::NoBlobs));
    other.seen();
    assert!(pull(&of(&registry, "urls"), None).await.is_err());
    assert!(other.seen().is_empty());
}
