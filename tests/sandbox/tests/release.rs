//! What `scripts/release`, `scripts/images` and `scripts/backup-clients` check, without a release build and without Docker.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Where a program of this machine is.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    folders.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
}

/// `scripts/release` on a machine with the system's own tools and Rust, and nothing that cargo has installed.
struct Machine {
    work: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self::named("machine-")
    }

    /// Whose folders have a name that begins so.
    fn named(prefix: &str) -> Self {
        let work = tempfile::Builder::new().prefix(prefix).tempdir().unwrap();
        fs::create_dir(work.path().join("bin")).unwrap();
        let tools = [
            "bash",
            "cut",
            "dirname",
            "env",
            "grep",
            "readelf",
            "sed",
            "sha256sum",
            "stat",
            "uname",
        ];
        for tool in tools {
            let file = program(tool).unwrap_or_else(|| panic!("{tool} is not in PATH"));
            symlink(file, work.path().join("bin").join(tool)).unwrap();
        }
        // That of the toolchain, not rustup's, which adds a folder of its own to PATH.
        symlink(env!("CARGO"), work.path().join("bin/cargo")).unwrap();
        Self { work }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn release(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(project().join("scripts/release"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .env("CARGO_TARGET_DIR", self.path("target"))
            .output()
            .unwrap();
        (output.status.code(), said(&output))
    }

    /// A static program in a folder of what was built, and these bytes behind it.
    fn built(&self, bytes: &[u8]) -> String {
        let folder = self.path("built");
        fs::create_dir_all(&folder).unwrap();
        let (source, file) = (self.path("main.c"), folder.join("orchestra-operator"));
        fs::write(&source, "int main(void) { return 0; }\n").unwrap();
        let output = Command::new("cc")
            .args(["-static", "-o"])
            .args([&file, &source])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        fs::copy(&file, folder.join("orchestra-backup")).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(file).unwrap();
        file.write_all(bytes).unwrap();
        folder.display().to_string()
    }

    /// A bill of materials beside the program.
    fn bill(&self, reference: &str) {
        let bill = format!("{{\"bomFormat\": \"CycloneDX\", \"components\": [{{\"bom-ref\": \"{reference}\"}}]}}\n");
        fs::write(self.path("built/orchestra-operator.cdx.json"), bill).unwrap();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn what_is_missing_is_told_before_anything_is_built() {
    let machine = Machine::new();
    let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "amd64" };
    for (arguments, code, words) in [
        (
            &["--sbom"][..],
            1,
            "cargo install --locked cargo-auditable cargo-cyclonedx",
        ),
        (&["--arch", "riscv64"], 2, "no architecture riscv64: amd64 or arm64"),
        (&["--arch"], 2, "--arch amd64|arm64"),
        (&["--sbon"], 2, "--sbom"),
        (
            &["--arch", other],
            1,
            &format!("apt-get install crossbuild-essential-{other}"),
        ),
    ] {
        let (status, said) = machine.release(arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert!(!machine.path("target").exists());
}

#[test]
fn a_path_that_compilers_would_split_is_refused() {
    let (status, said) = Machine::named("two words").release(&[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("build where no path has one"), "{said}");
}

#[test]
fn what_was_built_holds_no_path_of_this_machine() {
    let machine = Machine::new();
    let home = machine.path("home");
    let folder = machine.built(b"/rustc/0a1b/library/core /crates/serde-1 /source/src/lib.rs");
    let (status, said) = machine.release(&["--check", &folder]);
    assert_eq!(status, Some(0), "{said}");
    for path in [
        project().join("src/lib.rs"),
        machine.path("target/release/build/x/out/y.rs"),
        home.join(".cargo/registry/src/mirror-0a1b/serde-1/src/lib.rs"),
        home.join(".rustup/toolchains/1.95/lib"),
        home.join("elsewhere"),
    ] {
        let path = path.display().to_string();
        let folder = machine.built(path.as_bytes());
        let (status, said) = machine.release(&["--check", &folder]);
        assert_eq!(status, Some(1), "{path}: {said}");
        assert!(said.contains("a path of this machine"), "{path}: {said}");
    }
}

#[test]
fn what_was_built_is_static_and_small() {
    let machine = Machine::new();
    let folder = machine.built(b"");
    let file = Path::new(&folder).join("orchestra-operator");
    fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len((25 << 20) + 1)
        .unwrap();
    let (status, said) = machine.release(&["--check", &folder]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("is larger than 25 MiB"), "{said}");

    fs::copy("/bin/sh", &file).unwrap();
    let (status, said) = machine.release(&["--check", &folder]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("is not static"), "{said}");

    fs::remove_file(file).unwrap();
    let (status, said) = machine.release(&["--check", &folder]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("does not exist"), "{said}");
}

#[test]
fn a_bill_of_materials_is_of_a_program_that_names_its_dependencies() {
    let machine = Machine::new();
    let folder = machine.built(b"");
    machine.bill("path+file:///source#orchestra-operator@0.1.0");
    let (status, said) = machine.release(&["--check", &folder]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("does not name its dependencies"), "{said}");

    let section = machine.path("dependencies");
    fs::write(&section, "x").unwrap();
    let argument = format!(".dep-v0={}", section.display());
    for program in ["orchestra-operator", "orchestra-backup"] {
        let mut objcopy = Command::new("objcopy");
        objcopy
            .args(["--add-section", &argument])
            .arg(Path::new(&folder).join(program));
        let output = objcopy.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let (status, said) = machine.release(&["--check", &folder]);
    assert_eq!(status, Some(0), "{said}");

    // Cargo writes a space of a path as %20.
    machine.bill("path+file:///home/two%20words/orchestra#0.1.0");
    let (status, said) = machine.release(&["--check", &folder]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("file:///home/two%20words"), "{said}");
}

/// `scripts/images` on a copy of the project in which one text was replaced.
fn images(file: &str, from: &str, to: &str) -> Output {
    let work = tempfile::tempdir().unwrap();
    for path in [
        "scripts/images",
        "deploy/Dockerfile",
        "deploy/backup.Dockerfile",
        "rust-toolchain.toml",
        "src/archive/clients.rs",
    ] {
        let copy = work.path().join(path);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(project().join(path), &copy).unwrap();
        if path == file {
            let text = fs::read_to_string(&copy).unwrap();
            assert!(text.contains(from), "{file} has no {from}");
            fs::write(&copy, text.replacen(from, to, 1)).unwrap();
        }
    }
    // By name of its interpreter: a file that was written just now cannot be executed while another thread forks.
    let script = work.path().join("scripts/images");
    Command::new("bash").arg(script).output().unwrap()
}

#[test]
fn images_are_pinned_and_have_the_clients_that_the_program_knows() {
    let output = images("deploy/Dockerfile", "", "");
    assert!(output.status.success(), "{}", said(&output));
    let backup = "deploy/backup.Dockerfile";
    for (file, from, to, words) in [
        ("deploy/Dockerfile", "@sha256:", "@", "without tag and digest"),
        (backup, ":trixie-slim@", "@", "without tag and digest"),
        (
            backup,
            "FROM program",
            "FROM scratch\nCOPY --from=debian:sid /bin/sh /\nFROM program",
            "debian:sid",
        ),
        (
            backup,
            "clients 15 16 17 18",
            "clients 15 16 17",
            "has clients of PostgreSQL 15 16 17,",
        ),
        (
            backup,
            "postgresql-client-18",
            "postgresql-client-19",
            "has clients of PostgreSQL 15 16 17 19,",
        ),
        ("src/archive/clients.rs", "15..=18", "15..=19", "knows 15 to 19"),
        (
            "src/archive/clients.rs",
            "const KNOWN",
            "const MAJORS",
            "no const KNOWN",
        ),
        (
            "rust-toolchain.toml",
            "channel = \"1.",
            "channel = \"2.",
            "does not build with Rust 2.",
        ),
    ] {
        let output = images(file, from, to);
        assert!(!output.status.success(), "{file}: {to}");
        assert!(said(&output).contains(words), "{file}: {to}: {}", said(&output));
    }
}

#[test]
fn clients_are_copied_with_what_they_load() {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().join("clients");
    let run = |major: &str| {
        let mut command = Command::new(project().join("scripts/backup-clients"));
        command.arg(&folder).arg(major).output().unwrap()
    };
    let output = run("9");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("apt-get install postgresql-client-9"),
        "{}",
        said(&output)
    );
    assert!(!folder.exists());

    let installed = ["15", "16", "17", "18"]
        .into_iter()
        .find(|major| Path::new(&format!("/usr/lib/postgresql/{major}/bin/pg_dump")).is_file());
    let Some(major) = installed.filter(|_| fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)) else {
        orchestra_sandbox::left_out("copying clients needs Debian's packages of them, and root for chroot");
        return;
    };
    let output = run(major);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains(&format!("pg_restore (PostgreSQL) {major}.")),
        "{}",
        said(&output)
    );
    let status = fs::read_to_string(folder.join(format!("var/lib/dpkg/status.d/postgresql-client-{major}"))).unwrap();
    assert!(status.contains("\nVersion: "), "{status}");
    assert!(folder.join("usr/share/doc/libpq5/copyright").is_file());
}

/// Every file below a folder.
fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.push(path);
        }
    }
}

/// What `.dockerignore` lets through: everything is excluded, and each further line lets one file or folder in.
#[test]
fn the_image_is_built_of_what_docker_is_sent() {
    let text = fs::read_to_string(project().join("deploy/Dockerfile.dockerignore")).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(first, "**");
    let sent: Vec<_> = rest
        .lines()
        .map(|line| project().join(line.strip_prefix('!').unwrap()))
        .collect();

    let members = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version=1",
            "--manifest-path",
        ])
        .arg(project().join("Cargo.toml"))
        .output()
        .unwrap();
    let members: serde_json::Value = serde_json::from_slice(&members.stdout).unwrap();
    let manifests = members["packages"].as_array().unwrap().iter();
    let mut needed: Vec<_> = manifests
        .map(|package| PathBuf::from(package["manifest_path"].as_str().unwrap()))
        .collect();
    assert!(needed.len() > 3, "{members:#}");

    let mut sources = Vec::new();
    files(&project().join("src"), &mut sources);
    let included = regex::Regex::new(r#"include_(?:str|bytes)!\("([^"]+)"\)"#).unwrap();
    for source in sources
        .iter()
        .filter(|source| source.extension().is_some_and(|extension| extension == "rs"))
    {
        // Files of tests alone are named after what they test.
        if source.to_str().unwrap().ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(source).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        needed.extend(
            included
                .captures_iter(code)
                .map(|found| source.parent().unwrap().join(&found[1]).canonicalize().unwrap()),
        );
    }
    assert!(needed.contains(&project().join("docs/conditions.md")), "{needed:?}");
    for file in needed {
        assert!(
            sent.iter().any(|sent| file.starts_with(sent)),
            "deploy/Dockerfile.dockerignore keeps {} from the image's build",
            file.display()
        );
    }
}
