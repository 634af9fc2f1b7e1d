//! Finds the programs of the control plane, or builds them once from the Go tools module.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use super::go::{cache_dir, required};

/// The tools module, whose `go.mod` fixes the versions.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../control-plane");

/// Program, Go package, and the name that `go build` gives the program.
const TOOLS: [(&str, &str, &str); 4] = [
    ("etcd", "go.etcd.io/etcd/server/v3", "server"),
    (
        "kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-apiserver",
    ),
    (
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-controller-manager",
    ),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl", "kubectl"),
];

/// Where the programs of a control plane are.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The storage.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Runs garbage collection and namespace deletion.
    pub kube_controller_manager: PathBuf,
    /// The command line client.
    pub kubectl: PathBuf,
}

/// Finds each program in `$KUBEBUILDER_ASSETS`, then `PATH`, then the cache; builds into the cache what is nowhere.
///
/// The cache is `$ORCHESTRA_SANDBOX_CACHE`, else `$XDG_CACHE_HOME/orchestra-sandbox`, else
/// `~/.cache/orchestra-sandbox`, with one folder for each pair of Kubernetes and etcd versions.
/// A file lock lets only one process build. Blocks for minutes when it builds.
///
/// # Errors
/// When Go is needed and missing, or the build fails.
pub fn ensure_binaries() -> Result<Binaries> {
    let versions = Versions::read()?;
    let cache = cache_dir()?.join(format!("kubernetes-{}-etcd-{}", versions.kubernetes, versions.etcd));
    if missing(&cache).next().is_some() {
        fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
        let lock = File::create(cache.join(".lock"))?;
        lock.lock()?;
        let tools: Vec<_> = missing(&cache).collect();
        if !tools.is_empty() {
            build(&tools, &versions, &cache)?;
        }
    }
    let found = |name| find(name, &cache).with_context(|| format!("{name} is missing after the build"));
    Ok(Binaries {
        etcd: found("etcd")?,
        kube_apiserver: found("kube-apiserver")?,
        kube_controller_manager: found("kube-controller-manager")?,
        kubectl: found("kubectl")?,
    })
}

/// The program of that name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

fn find(name: &str, cache: &Path) -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS")
        .map(|dir| PathBuf::from(dir).join(name))
        .filter(|path| path.is_file())
        .or_else(|| on_path(name))
        .or_else(|| Some(cache.join(name)).filter(|path| path.is_file()))
}

fn missing(cache: &Path) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    TOOLS.into_iter().filter(move |(name, ..)| find(name, cache).is_none())
}

/// Builds beside the cache's final names and renames, so that an interrupted build leaves no half program.
fn build(tools: &[(&str, &str, &str)], versions: &Versions, cache: &Path) -> Result<()> {
    let Some(go) = on_path("go") else {
        let names: Vec<_> = tools.iter().map(|(name, ..)| *name).collect();
        bail!(
            "{} not found in $KUBEBUILDER_ASSETS, PATH or {}, and Go is not installed to build them: \
             install Go 1.26 or later (https://go.dev/doc/install) and run again",
            names.join(", "),
            cache.display()
        );
    };
    let started = Instant::now();
    let out = cache.join("building");
    fs::create_dir_all(&out)?;
    eprintln!("building the control plane once, about six minutes on two cores");
    for (name, package, built_as) in tools {
        eprintln!("building {name}");
        let status = Command::new(&go)
            .args(["build", "-ldflags", &versions.linker_flags(), "-o"])
            .arg(out.join(built_as))
            .arg(package)
            .current_dir(MODULE)
            .env("CGO_ENABLED", "0")
            .status()?;
        ensure!(status.success(), "go build {package} failed with {status}");
        fs::rename(out.join(built_as), cache.join(name))?;
    }
    fs::remove_dir(&out)?;
    eprintln!(
        "built the control plane in {} s, kept in {}",
        started.elapsed().as_secs(),
        cache.display()
    );
    Ok(())
}

/// The versions that the tools module requires, such as `v1.36.3`.
struct Versions {
    kubernetes: String,
    etcd: String,
}

impl Versions {
    fn read() -> Result<Self> {
        let path = Path::new(MODULE).join("go.mod");
        let version = |module: &str| required(&path, module);
        Ok(Self {
            kubernetes: version("k8s.io/kubernetes")?,
            etcd: version("go.etcd.io/etcd/server/v3")?,
        })
    }

    /// Stamps the version that the API server tells its clients, as the release builds of Kubernetes do.
    fn linker_flags(&self) -> String {
        let package = "k8s.io/component-base/version";
        let mut numbers = self.kubernetes.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        format!(
            "-s -w -X {package}.gitVersion={} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}",
            self.kubernetes
        )
    }
}
