//! The control plane's programs in the archives that the Kubernetes project builds for envtest: etcd, the API server and
//! kubectl. Their index is read as `setup-envtest` reads it
//! (<https://pkg.go.dev/sigs.k8s.io/controller-runtime/tools/setup-envtest>).

use std::collections::BTreeMap;
use std::env::consts;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use reqwest::{Client, Response};
use serde::Deserialize;
use sha2::{Digest, Sha512};

use crate::progress::Task;

/// The index of the official archives, which `setup-envtest` reads too.
pub const INDEX: &str = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml";

/// The programs that an archive holds.
pub const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

/// An index is larger by no means: the official one has 200 KB.
const INDEX_BYTES: u64 = 8 << 20;
/// Of an archive, which has 80 MB.
const ARCHIVE_BYTES: u64 = 512 << 20;
/// Of all that an archive unpacks to, which is 250 MB.
const UNPACKED_BYTES: u64 = 2 << 30;

/// When the archives are given up.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the index, from the name's resolution to the last byte.
    pub index: Duration,
    /// For the archive's first byte, and for each further one.
    pub silence: Duration,
    /// From this time on, the archive must have come with `bytes_per_second` on average.
    pub grace: Duration,
    /// As slow as this, the download takes as long as Go's build.
    pub bytes_per_second: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            index: Duration::from_secs(6),
            silence: Duration::from_secs(6),
            grace: Duration::from_secs(15),
            bytes_per_second: 400 << 10,
        }
    }
}

/// Where archives are, for which version and machine.
#[derive(Clone, Debug)]
pub struct Source {
    /// Address of the index.
    pub index: String,
    /// The minor version of Kubernetes, such as `1.36`. Its newest patch is taken.
    pub minor: String,
    /// Go's name of the system and the architecture, such as `linux-amd64`.
    pub platform: String,
    /// When it is given up.
    pub patience: Patience,
}

impl Source {
    /// For this machine.
    #[must_use]
    pub fn new(index: String, minor: String) -> Self {
        let system = if consts::OS == "macos" { "darwin" } else { consts::OS };
        let architecture = match consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            index,
            minor,
            platform: format!("{system}-{architecture}"),
            patience: Patience::default(),
        }
    }

    /// Puts the programs into `dir`, and gives their version. Nothing is put there unless all of them are whole. Blocks for as
    /// long as the download takes.
    ///
    /// # Errors
    /// When the archive cannot be had in time, or is not the one of the index.
    pub fn fetch(&self, dir: &Path, task: &Task) -> Result<String> {
        // On a thread of its own, because the caller may be in a runtime already.
        let fetched = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(self.fetch_into(dir, task))
            });
            thread.join()
        });
        fetched.unwrap_or_else(|_| bail!("the download has panicked"))
    }

    async fn fetch_into(&self, dir: &Path, task: &Task) -> Result<String> {
        let client = client(&self.index)?;
        let read = read_index(&client, &self.index);
        let index = tokio::time::timeout(self.patience.index, read)
            .await
            .with_context(|| format!("{} did not answer in {:?}", self.index, self.patience.index))??;
        let (version, archive) = index.newest(&self.minor, &self.platform)?;
        let work = tempfile::tempdir_in(dir)?;
        let packed = work.path().join("archive.tar.gz");
        let download = self.download(&client, archive, &packed, task);
        download.await.with_context(|| archive.self_link.clone())?;
        unpack(&packed, work.path()).with_context(|| archive.self_link.clone())?;
        for name in PROGRAMS {
            fs::rename(work.path().join(name), dir.join(name))?;
        }
        Ok(version)
    }

    async fn download(&self, client: &Client, archive: &Archive, packed: &Path, task: &Task) -> Result<()> {
        let silence = self.patience.silence;
        let late = || format!("nothing came for {silence:?}");
        let began = Instant::now();
        let request = client.get(&archive.self_link).send();
        let mut response = tokio::time::timeout(silence, request).await.with_context(late)??;
        response = response.error_for_status()?;
        let total = bounded(&response, ARCHIVE_BYTES)?;
        let (mut file, mut digest, mut come) = (File::create(packed)?, Sha512::new(), 0);
        while let Some(chunk) = tokio::time::timeout(silence, response.chunk())
            .await
            .with_context(late)??
        {
            come += u64::try_from(chunk.len())?;
            ensure!(come <= ARCHIVE_BYTES, "the archive has more than {ARCHIVE_BYTES} bytes");
            let wanted = self.patience.bytes_per_second.saturating_mul(began.elapsed().as_secs());
            ensure!(
                began.elapsed() < self.patience.grace || come >= wanted,
                "only {come} bytes came in {} s",
                began.elapsed().as_secs()
            );
            digest.update(&chunk);
            file.write_all(&chunk)?;
            task.bytes("fetching envtest's archive", come, total);
        }
        let found = hex::encode(digest.finalize());
        ensure!(
            found.eq_ignore_ascii_case(&archive.hash),
            "the archive's SHA-512 is {found} and not {}",
            archive.hash
        );
        Ok(())
    }
}

#[derive(Deserialize)]
struct Index {
    releases: BTreeMap<String, BTreeMap<String, Archive>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Archive {
    /// SHA-512, in hexadecimal digits.
    hash: String,
    self_link: String,
}

impl Index {
    /// The newest patch of this minor version that has an archive for the platform. Release candidates do not count.
    fn newest(&self, minor: &str, platform: &str) -> Result<(String, &Archive)> {
        let releases = self.releases.iter().filter_map(|(version, archives)| {
            let patch = version.strip_prefix('v')?.strip_prefix(minor)?.strip_prefix('.')?;
            let archive = archives.get(&format!("envtest-{version}-{platform}.tar.gz"))?;
            Some((patch.parse::<u32>().ok()?, (version.clone(), archive)))
        });
        let newest = releases.max_by_key(|(patch, _)| *patch);
        let (_, found) =
            newest.with_context(|| format!("envtest has no archive of Kubernetes {minor} for {platform}"))?;
        Ok(found)
    }
}

/// What is on this machine is not behind the proxy that the environment names.
fn client(index: &str) -> Result<Client> {
    let url = reqwest::Url::parse(index).with_context(|| format!("the index's address {index}"))?;
    let builder = Client::builder().connect_timeout(Duration::from_secs(3));
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1"));
    Ok(if local { builder.no_proxy() } else { builder }.build()?)
}

async fn read_index(client: &Client, url: &str) -> Result<Index> {
    let mut response = client.get(url).send().await?.error_for_status()?;
    bounded(&response, INDEX_BYTES)?;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        text.extend_from_slice(&chunk);
        let len = u64::try_from(text.len())?;
        ensure!(len <= INDEX_BYTES, "{url} has more than {INDEX_BYTES} bytes");
    }
    let text = String::from_utf8(text).with_context(|| format!("{url} is not text"))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{url} is no index of envtest"))
}

/// The length that the server says; too long a one is an error.
fn bounded(response: &Response, limit: u64) -> Result<Option<u64>> {
    let length = response.content_length();
    ensure!(
        length.is_none_or(|length| length <= limit),
        "{} has more than {limit} bytes",
        response.url()
    );
    Ok(length)
}

/// Unpacks the programs alone, wherever in the archive they are.
fn unpack(packed: &Path, dir: &Path) -> Result<()> {
    let unpacked = GzDecoder::new(File::open(packed)?).take(UNPACKED_BYTES);
    for entry in tar::Archive::new(unpacked).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let known = |name: &&str| path.file_name().is_some_and(|file| file == *name);
        let Some(name) = PROGRAMS.into_iter().find(known) else {
            continue;
        };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let mut file = File::create_new(dir.join(name)).with_context(|| format!("a second {name}"))?;
        io::copy(&mut entry, &mut file)?;
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    for name in PROGRAMS {
        ensure!(dir.join(name).is_file(), "the archive holds no {name}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = "\
releases:
  v1.36.0:
    envtest-v1.36.0-linux-amd64.tar.gz: {hash: aa, selfLink: https://example.com/0}
  v1.36.10:
    envtest-v1.36.10-linux-amd64.tar.gz: {hash: bb, selfLink: https://example.com/10}
  v1.36.9:
    envtest-v1.36.9-linux-amd64.tar.gz: {hash: cc, selfLink: https://example.com/9}
    envtest-v1.36.9-darwin-arm64.tar.gz: {hash: dd, selfLink: https://example.com/mac}
  v1.36.11-rc.0:
    envtest-v1.36.11-rc.0-linux-amd64.tar.gz: {hash: ee, selfLink: https://example.com/rc}
  v1.360.0:
    envtest-v1.360.0-linux-amd64.tar.gz: {hash: ff, selfLink: https://example.com/360}
";

    #[test]
    fn the_newest_patch_of_the_minor_is_taken() {
        let index: Index = serde_saphyr::from_str(TEXT).unwrap();
        let (version, archive) = index.newest("1.36", "linux-amd64").unwrap();
        assert_eq!(
            (version.as_str(), archive.self_link.as_str()),
            ("v1.36.10", "https://example.com/10")
        );
        let (version, archive) = index.newest("1.36", "darwin-arm64").unwrap();
        assert_eq!((version.as_str(), archive.hash.as_str()), ("v1.36.9", "dd"));
        assert!(index.newest("1.35", "linux-amd64").is_err());
        assert!(index.newest("1.36", "linux-riscv64").is_err());
    }
}
