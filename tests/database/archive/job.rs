//! The program of a pod, as a Job runs it: a folder with an order, an outcome.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use orchestra_operator::archive::{Manifest, Outcome, OutcomeReason};
use orchestra_operator::postgres::Login;
use orchestra_sandbox::postgres::ensure_clients;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

pub const PATH: &str = "cluster/tenants/acme-1/20261129T020000Z-b";

/// The key of the manifest of every backup, where a test does not say otherwise.
const KEY: &str = "0123456789-key-of-the-manifest-of-a-backup";

/// A store in a folder, and what the jobs of one test are given.
pub struct Place {
    pub root: tempfile::TempDir,
    pub store: Value,
    /// Texts that no output may hold.
    pub secrets: Vec<String>,
    /// Further files of the order's folder.
    pub files: Vec<(String, String)>,
    /// Folder of PostgreSQL's clients.
    pub clients: PathBuf,
    /// The key of the backup's manifest.
    pub key: String,
}

impl Place {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let volume = root.path().join("volume");
        fs::create_dir(&volume).unwrap();
        Self {
            store: json!({"kind": "folder", "path": volume, "prefix": "backups"}),
            root,
            secrets: vec![KEY.to_owned()],
            files: Vec::new(),
            clients: ensure_clients().unwrap(),
            key: KEY.to_owned(),
        }
    }

    pub fn folder(&self) -> PathBuf {
        self.root.path().join("volume/backups").join(PATH)
    }

    /// Names of all that is in the store.
    pub fn stored(&self) -> Vec<String> {
        let Ok(found) = fs::read_dir(self.folder()) else {
            return Vec::new();
        };
        let mut names: Vec<_> = found
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub fn manifest(&self) -> Manifest {
        Manifest::parse(&fs::read(self.folder().join("manifest.json")).unwrap(), None).unwrap()
    }

    pub fn start(&mut self, work: &Value, login: &Login) -> Job {
        self.start_within(work, login, 300)
    }

    pub fn start_within(&mut self, work: &Value, login: &Login, seconds: u64) -> Job {
        let dir = tempfile::tempdir_in(self.root.path()).unwrap();
        let order = json!({"work": work, "store": self.store, "deadlineSeconds": seconds});
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("order.json", &order.to_string());
        put("database-url", login.url().expose_secret());
        if work["kind"] == "backup" {
            put("manifest-key", &self.key);
        }
        for (name, text) in &self.files {
            put(name, text);
        }
        let secret = login.password.expose_secret().to_owned();
        if !self.secrets.contains(&secret) {
            self.secrets.push(secret);
        }
        let file = |name: &str| fs::File::create(dir.path().join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_orchestra-backup"))
            .arg("--order")
            .arg(dir.path())
            .env("ORCHESTRA_OUTCOME", dir.path().join("outcome"))
            .env("ORCHESTRA_PG_CLIENTS", &self.clients)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Job {
            child,
            dir,
            secrets: self.secrets.clone(),
        }
    }

    pub fn run(&mut self, work: &Value, login: &Login) -> Outcome {
        self.start(work, login).end()
    }

    /// As [`Place::run`], where this program serves the store meanwhile.
    pub async fn run_apart(&mut self, work: &Value, login: &Login) -> Outcome {
        let job = self.start(work, login);
        tokio::task::spawn_blocking(|| job.end()).await.unwrap()
    }

    pub fn backup(&mut self, login: &Login) -> Outcome {
        self.run(&backup(&json!({})), login)
    }

    pub fn verify(&mut self, login: &Login, assertions: &Value) -> Outcome {
        let digest =
            orchestra_operator::archive::manifest::digest_of(&fs::read(self.folder().join("manifest.json")).unwrap());
        let work = json!({"kind": "verify", "path": PATH, "manifestDigest": digest, "assertions": assertions});
        self.run(&work, login)
    }
}

/// An order for a backup, with these further fields.
pub fn backup(more: &Value) -> Value {
    let mut work = json!({"kind": "backup", "path": PATH, "subject": {"cluster": "c", "namespace": "tenants", "orchestra": "acme",
        "orchestraUid": "1", "class": "standard", "databaseName": "orchdb-1", "backupName": "acme-1"}});
    for (name, value) in more.as_object().unwrap() {
        work[name] = value.clone();
    }
    work
}

/// A job that runs.
pub struct Job {
    pub child: Child,
    dir: tempfile::TempDir,
    secrets: Vec<String>,
}

impl Job {
    pub fn said(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        format!("{}\n{}", read("stdout"), read("stderr"))
    }

    /// Waits for the end. What it says never holds a secret.
    pub fn end(mut self) -> Outcome {
        let status = self.child.wait().unwrap();
        let text = fs::read_to_string(self.dir.path().join("outcome")).unwrap_or_default();
        let said = self.said();
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            assert!(
                !said.contains(secret) && !text.contains(secret),
                "a secret is told: {said}"
            );
        }
        let outcome: Outcome = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{said}"));
        assert_eq!(status.success(), outcome.reason == OutcomeReason::Done, "{said}");
        assert!(text.len() <= 4000);
        println!("{:?}: {}", outcome.reason, outcome.message);
        outcome
    }

    /// No secret is in the command line or the environment of the job, or of a process that it has started.
    pub fn hides_secrets(&self) {
        for pid in self.children().into_iter().chain([self.child.id()]) {
            for file in ["cmdline", "environ"] {
                let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                let told = String::from_utf8_lossy(&bytes);
                let is_told = |secret: &String| !secret.is_empty() && told.contains(secret.as_str());
                assert!(!self.secrets.iter().any(is_told), "{file} has a secret");
            }
        }
    }

    /// Processes that the job has started.
    pub fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task", self.child.id());
        let tasks = fs::read_dir(Path::new(&path)).into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        lists
            .flat_map(|list| {
                list.split_whitespace()
                    .map(|pid| pid.parse().unwrap())
                    .collect::<Vec<u32>>()
            })
            .collect()
    }
}
