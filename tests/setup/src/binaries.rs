//! The programs of the control plane: found, else fetched from envtest's archive, else built with Go.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::archive::{self, Source};
use crate::cache::{cache_dir, on_path};
use crate::go::{Build, required};
use crate::progress::Progress;

/// The tools module, whose `go.mod` fixes the versions.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../control-plane");

/// The controller manager, which no archive holds.
const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// Program, Go package, and the name that `go build` gives the program.
const TOOLS: [(&str, &str, &str); 4] = [
    ("etcd", "go.etcd.io/etcd/server/v3", "server"),
    (
        "kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-apiserver",
    ),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl", "kubectl"),
    (
        CONTROLLER_MANAGER,
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        CONTROLLER_MANAGER,
    ),
];

/// Where the programs of a control plane are.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The storage.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The command line client.
    pub kubectl: PathBuf,
}

/// Finds each program in `$KUBEBUILDER_ASSETS`, then `PATH`, then the cache. What is nowhere is fetched into the cache, from
/// the archive of envtest where it can be had within seconds, and else built with Go.
///
/// `ORCHESTRA_SANDBOX_ENVTEST_INDEX` is the address of another index of archives; empty, none is asked. A file lock lets only
/// one process fetch or build. Blocks for minutes when it builds.
///
/// # Errors
/// When Go is needed and missing, or the build fails.
pub fn ensure_binaries() -> Result<Binaries> {
    ensure(&archive::PROGRAMS, &Progress::new())?;
    let cache = Cache::open()?;
    Ok(Binaries {
        etcd: cache.require("etcd")?,
        kube_apiserver: cache.require("kube-apiserver")?,
        kubectl: cache.require("kubectl")?,
    })
}

/// The controller manager: garbage collection and deletion of namespaces. As [`ensure_binaries`], but never from an archive.
///
/// # Errors
/// As [`ensure_binaries`].
pub fn ensure_controller_manager() -> Result<PathBuf> {
    ensure(&[CONTROLLER_MANAGER], &Progress::new())?;
    Cache::open()?.require(CONTROLLER_MANAGER)
}

/// The controller manager, where there is one already.
pub fn find_controller_manager() -> Option<PathBuf> {
    Cache::open().ok()?.find(CONTROLLER_MANAGER)
}

/// What the demo needs, or, with the controller manager, the tests too.
///
/// # Errors
/// As [`ensure_binaries`].
pub fn ensure_all(with_controller_manager: bool, progress: &Progress) -> Result<()> {
    let count = archive::PROGRAMS.len() + usize::from(with_controller_manager);
    let names = TOOLS.map(|(name, ..)| name);
    ensure(&names[..count], progress)
}

fn ensure(names: &[&str], progress: &Progress) -> Result<()> {
    let cache = Cache::open()?;
    if cache.missing(names).is_empty() {
        return Ok(());
    }
    fs::create_dir_all(&cache.dir).with_context(|| format!("create {}", cache.dir.display()))?;
    let lock = File::create(cache.dir.join(".lock"))?;
    lock.lock()?;
    cache.fetch(names, progress);
    let tools = cache.missing(names);
    if tools.is_empty() {
        Ok(())
    } else {
        cache.build(&tools, progress)
    }
}

struct Cache {
    versions: Versions,
    dir: PathBuf,
}

impl Cache {
    fn open() -> Result<Self> {
        let versions = Versions::read()?;
        let dir = cache_dir()?.join(format!("kubernetes-{}-etcd-{}", versions.kubernetes, versions.etcd));
        Ok(Self { versions, dir })
    }

    /// Programs of an archive have a folder of their own, since their versions are not those of `go.mod`.
    fn fetched(&self) -> PathBuf {
        self.dir.join("envtest")
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let assets = env::var_os("KUBEBUILDER_ASSETS").map(|dir| PathBuf::from(dir).join(name));
        assets
            .filter(|path| path.is_file())
            .or_else(|| on_path(name))
            .or_else(|| Some(self.dir.join(name)).filter(|path| path.is_file()))
            .or_else(|| Some(self.fetched().join(name)).filter(|path| path.is_file()))
    }

    fn require(&self, name: &str) -> Result<PathBuf> {
        self.find(name)
            .with_context(|| format!("{name} is missing after it was made"))
    }

    fn missing(&self, names: &[&str]) -> Vec<(&'static str, &'static str, &'static str)> {
        let wanted = TOOLS.into_iter().filter(|(name, ..)| names.contains(name));
        wanted.filter(|(name, ..)| self.find(name).is_none()).collect()
    }

    /// Takes what is missing from the archive; one line says why where it cannot be had.
    fn fetch(&self, names: &[&str], progress: &Progress) {
        let missing = self.missing(names);
        if !missing.iter().any(|(name, ..)| archive::PROGRAMS.contains(name)) {
            return;
        }
        let index = env::var("ORCHESTRA_SANDBOX_ENVTEST_INDEX").unwrap_or_else(|_| archive::INDEX.to_owned());
        if index.is_empty() {
            return;
        }
        let task = progress.task("control plane");
        let source = Source::new(index, self.versions.minor());
        let fetch = || {
            fs::create_dir_all(self.fetched())?;
            source.fetch(&self.fetched(), &task)
        };
        match fetch() {
            Ok(version) => task.say(&format!(
                "fetched {} of Kubernetes {version} in {} s, kept in {}",
                archive::PROGRAMS.join(", "),
                task.seconds(),
                self.fetched().display()
            )),
            Err(error) => task.say(&format!("envtest's archive is not used, Go builds instead: {error:#}")),
        }
    }

    /// Builds beside the final names and renames, so that an interrupted build leaves no half program.
    fn build(&self, tools: &[(&str, &str, &str)], progress: &Progress) -> Result<()> {
        let names: Vec<_> = tools.iter().map(|(name, ..)| *name).collect();
        let packages: Vec<_> = tools.iter().map(|(_, package, _)| *package).collect();
        let log = self.dir.join("build.log");
        let building = self.dir.join("building");
        fs::create_dir_all(&building)?;
        let task = progress.task("control plane");
        task.say(&format!(
            "building {} once with Go, minutes on two cores; Go's output is in {}",
            names.join(", "),
            log.display()
        ));
        let build = Build {
            module: Path::new(MODULE),
            packages: &packages,
            linker_flags: &self.versions.linker_flags(),
            // The slash makes it a folder also for one program.
            output: &building.join(""),
            log: &log,
        };
        build.run(&task).with_context(|| {
            format!(
                "{} not found in $KUBEBUILDER_ASSETS, PATH or {}, and not built",
                names.join(", "),
                self.dir.display()
            )
        })?;
        for (name, _, built_as) in tools {
            fs::rename(building.join(built_as), self.dir.join(name))?;
        }
        fs::remove_dir_all(&building)?;
        task.say(&format!(
            "built in {} s, kept in {}",
            task.seconds(),
            self.dir.display()
        ));
        Ok(())
    }
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

    fn numbers(&self) -> (&str, &str) {
        let mut numbers = self.kubernetes.trim_start_matches('v').split('.');
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
    }

    fn minor(&self) -> String {
        let (major, minor) = self.numbers();
        format!("{major}.{minor}")
    }

    /// Stamps the version that the API server tells its clients, as the release builds of Kubernetes do.
    fn linker_flags(&self) -> String {
        let package = "k8s.io/component-base/version";
        let (major, minor) = self.numbers();
        format!(
            "-s -w -X {package}.gitVersion={} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}",
            self.kubernetes
        )
    }
}
