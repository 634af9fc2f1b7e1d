//! Programs that are built once with Go, from a module of tools whose `go.mod` fixes their versions.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::cache::{cache_dir, on_path};
use crate::progress::{Progress, Task};
use crate::watched;

/// How long a build may take, with its downloads.
const LIMIT: Duration = Duration::from_hours(1);

/// A program, and where it comes from.
pub struct Program {
    /// Folder of the module of tools.
    pub module: &'static str,
    /// Go package of the program.
    pub package: &'static str,
    /// Name of the program.
    pub name: &'static str,
}

/// The OCI registry of go-containerregistry: in memory, and complete.
pub const REGISTRY: Program = Program {
    module: concat!(env!("CARGO_MANIFEST_DIR"), "/../registry"),
    package: "github.com/google/go-containerregistry/cmd/registry",
    name: "registry",
};

/// Versity's S3 gateway: complete, checks signatures and digests, and knows conditional writes.
pub const S3_SERVER: Program = Program {
    module: concat!(env!("CARGO_MANIFEST_DIR"), "/../s3"),
    package: "github.com/versity/versitygw/cmd/versitygw",
    name: "versitygw",
};

/// What kstatus and Argo CD make of objects: `tests/judges`.
pub const JUDGES: Program = Program {
    module: concat!(env!("CARGO_MANIFEST_DIR"), "/../judges"),
    package: ".",
    name: "judges",
};

/// The version of a module that a `go.mod` requires, such as `v1.36.3`.
pub(crate) fn required(go_mod: &Path, module: &str) -> Result<String> {
    let text = fs::read_to_string(go_mod).with_context(|| format!("read {}", go_mod.display()))?;
    text.lines()
        .filter_map(|line| {
            line.trim()
                .trim_start_matches("require ")
                .strip_prefix(module)?
                .strip_prefix(' ')
        })
        .find_map(|rest| rest.split_whitespace().next().filter(|word| word.starts_with('v')))
        .map(str::to_owned)
        .with_context(|| format!("{} does not require {module}", go_mod.display()))
}

/// The program in the cache, built when it is not there; a change of its module's `go.mod`, `go.sum` or sources rebuilds it.
/// A file lock lets only one process build.
///
/// # Errors
/// When Go is needed and missing, or the build fails.
pub fn ensure(program: &Program, progress: &Progress) -> Result<PathBuf> {
    let module = Path::new(program.module);
    let dir = cache_dir()?.join(format!("{}-{}", program.name, digest(module)?));
    let path = dir.join(program.name);
    if path.is_file() {
        return Ok(path);
    }
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let lock = File::create(dir.join(".lock"))?;
    lock.lock()?;
    if path.is_file() {
        return Ok(path);
    }
    let build = Build {
        module,
        packages: &[program.package],
        linker_flags: "-s -w",
        output: &dir.join("building"),
        log: &dir.join("build.log"),
    };
    build.run(&progress.task(program.name))?;
    fs::rename(build.output, &path)?;
    Ok(path)
}

/// Twelve hexadecimal digits of what a program of this module is made of.
fn digest(module: &Path) -> Result<String> {
    let entries = fs::read_dir(module).with_context(|| format!("read {}", module.display()))?;
    let mut sources: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default();
            name == "go.mod" || name == "go.sum" || path.extension().is_some_and(|extension| extension == "go")
        })
        .collect();
    sources.sort();
    let mut digest = Sha256::new();
    for source in sources {
        let text = fs::read(&source).with_context(|| format!("read {}", source.display()))?;
        digest.update(source.file_name().unwrap_or_default().as_encoded_bytes());
        digest.update([0]);
        digest.update(u64::try_from(text.len())?.to_be_bytes());
        digest.update(text);
    }
    Ok(hex::encode(&digest.finalize()[..6]))
}

/// One run of `go build`.
pub(crate) struct Build<'a> {
    /// Folder of the module.
    pub module: &'a Path,
    /// What is built.
    pub packages: &'a [&'a str],
    /// For `-ldflags`.
    pub linker_flags: &'a str,
    /// The program's file, or a folder for several.
    pub output: &'a Path,
    /// Go's own output.
    pub log: &'a Path,
}

impl Build<'_> {
    /// Builds, and says how far it is.
    pub(crate) fn run(&self, task: &Task) -> Result<()> {
        let Some(go) = on_path("go") else {
            bail!("Go is not installed: install Go 1.26 or later (https://go.dev/doc/install) and run again");
        };
        fs::write(self.log, "")?;
        let total = self.packages_to_compile(&go, task)?;
        let mut command = self.go(&go);
        command
            // Nothing debugs these programs, and an eighth of the compiler's time is DWARF's.
            .args([
                "build",
                "-v",
                "-gcflags=all=-dwarf=false",
                "-ldflags",
                self.linker_flags,
                "-o",
            ])
            .arg(self.output)
            .args(self.packages);
        watched::run(&mut command, (self.log, None), LIMIT, |said| {
            task.set("packages compiled:", packages(said).min(total), Some(total));
        })
    }

    /// Their number; downloads the modules that are needed.
    fn packages_to_compile(&self, go: &Path, task: &Task) -> Result<u64> {
        let listing = tempfile::NamedTempFile::new()?;
        let mut command = self.go(go);
        command.args(["list", "-deps"]).args(self.packages);
        watched::run(&mut command, (self.log, Some(listing.reopen()?)), LIMIT, |said| {
            task.set("modules downloaded:", downloads(said), None);
        })?;
        let listed = fs::read_to_string(listing.path())?;
        Ok(u64::try_from(listed.lines().count())?)
    }

    fn go(&self, go: &Path) -> Command {
        let mut command = Command::new(go);
        command.current_dir(self.module).env("CGO_ENABLED", "0");
        command
    }
}

fn downloads(said: &str) -> u64 {
    count(said, |line| line.starts_with("go: downloading "))
}

/// `go build -v` writes the name of each package that it compiles.
fn packages(said: &str) -> u64 {
    count(said, |line| !line.starts_with("go: ") && !line.starts_with("# "))
}

fn count(text: &str, is: impl Fn(&str) -> bool) -> u64 {
    text.lines().filter(|line| is(line)).fold(0, |count, _| count + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_source_of_a_program_names_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("go.mod", "module judges\n");
        write("go.sum", "");
        write("main.go", "package main\n");
        let mut seen = vec![digest(dir.path()).unwrap()];
        write("README.md", "not a part of the program");
        assert_eq!(digest(dir.path()).unwrap(), seen[0]);
        for (name, text) in [
            ("go.mod", "module judges\n\ngo 1.26\n"),
            ("go.sum", "a"),
            ("main.go", "package main\n\n"),
            ("other.go", "package main\n"),
        ] {
            write(name, text);
            let now = digest(dir.path()).unwrap();
            assert!(!seen.contains(&now), "{name}");
            seen.push(now);
        }
    }

    #[test]
    fn gos_output_is_counted() {
        let said = "go: downloading a v1\ngo: downloading b v1\ninternal/cpu\nk8s.io/api/core/v1\n# k8s.io/api\n";
        assert_eq!((downloads(said), packages(said)), (2, 2));
    }

    #[test]
    fn the_version_of_a_module_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("go.mod");
        let text = "module x\n\nrequire (\n\tk8s.io/kubernetes v1.36.3 // indirect\n)\n\nreplace (\n\tk8s.io/api => k8s.io/api v0.36.3\n)\n";
        fs::write(&path, text).unwrap();
        assert_eq!(required(&path, "k8s.io/kubernetes").unwrap(), "v1.36.3");
        assert!(required(&path, "k8s.io/api").is_err());
    }
}
