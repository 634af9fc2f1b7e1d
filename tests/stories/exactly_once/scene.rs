//! A world with a gate before its API server, and what must hold in it in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use orchestra_sandbox::gate::Gate;
use orchestra_sandbox::random;
use orchestra_sandbox::world::{Kind, Operator, SYSTEM, TENANTS, World, is_true};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Case, Held};
use crate::pool::house;
use crate::proof::{database_name, generous_world, one_project_and_both_logins, owner_url};
use crate::secrets::all_secrets;
use crate::support::{decoded, gate, kill, login, secret, sources, standard_class};

/// Longest time that a round of many Orchestras takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(10);

/// How many scenes play at the same time. Each has dozens of projects with a server of its own: more of them than processors
/// take many times as long, until an operator loses its lease.
static STAGES: Semaphore = Semaphore::const_new(2);

pub struct Scene {
    pub world: World,
    pub gate: Gate,
    _stage: SemaphorePermit<'static>,
}

impl Scene {
    /// A world with a class of the provider, which is the default, and a class of a pool.
    pub async fn start(members: usize) -> Self {
        let stage = STAGES.acquire().await.unwrap();
        let world = generous_world().await;
        world
            .api
            .behave(|provider| provider.coming_up = Duration::from_millis(300));
        let gate = gate(&world).await;
        standard_class(&world, "");
        sources(&world);
        if members > 0 {
            world
                .apply(
                    "{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {name: pooled}, \
                     spec: {pools: {names: [house], policy: PoolOnly}}}",
                )
                .unwrap();
            house(&world, &entries(&world, members).await);
        }
        Self {
            world,
            gate,
            _stage: stage,
        }
    }

    /// An operator behind the gate.
    pub fn operator(&self, name: &str, more: &[&str]) -> Operator {
        let with = |command: &mut Command| {
            command
                .env("KUBECONFIG", self.gate.kubeconfig())
                // So many at once leave a small machine little time to renew it.
                .env("ORCHESTRA_LEASE_DURATION", "30s")
                .args(["--concurrency=300", "--login-spacing=200ms"])
                // No create request is held before its effect for so long.
                .env("ORCHESTRA_CREATE_SETTLE", "10s")
                .args(more);
        };
        self.world.operator(name, with).unwrap()
    }

    /// Kills an operator, and takes its lease away: that it runs out has stories of its own.
    pub fn kill(&self, operator: &mut Operator) {
        kill(&self.world, operator);
    }

    /// Waits until an operator leads.
    pub async fn leads(&self, operator: &Operator) {
        self.soon("an operator leads", async || operator.log().contains("leading"))
            .await;
    }

    /// Asks for Orchestras: name, whether of the pool, whether its policy is Delete.
    pub fn order(&self, wanted: impl IntoIterator<Item = (String, bool, bool)>) {
        let mut manifests = String::new();
        for (name, pool, delete) in wanted {
            let class = if pool { "pooled" } else { "standard" };
            let policy = if delete { "Delete" } else { "Retain" };
            write!(
                manifests,
                "---\napiVersion: stagesub.io/v1alpha1\nkind: Orchestra\nmetadata: {{name: {name}, namespace: {TENANTS}}}\n\
                 spec:\n  displayName: Test\n  className: {class}\n  deletionPolicy: {policy}\n  \
                 migrations: {{source: {{configMapRef: {{name: schema}}}}}}\n"
            )
            .unwrap();
        }
        if !manifests.is_empty() {
            self.world.apply(&manifests).unwrap();
        }
    }

    /// Asks for the Orchestras of these cases, each to be held where it says, and waits until all are.
    pub async fn order_held(&self, cases: &[Case]) -> Held {
        for case in cases {
            self.gate.follow(&case.name);
            case.arm(self);
        }
        self.order(cases.iter().map(|case| (case.name.clone(), case.pool, case.delete)));
        self.held(cases).await
    }

    /// Deletes Orchestras without waiting for it.
    pub fn delete<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let names: Vec<_> = names.into_iter().collect();
        let arguments = [
            "delete",
            "orchestra",
            "-n",
            TENANTS,
            "--wait=false",
            "--ignore-not-found",
        ];
        if names.is_empty() {
            return;
        }
        let output = self
            .world
            .plane
            .kubectl(arguments.into_iter().chain(names))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Waits until every case is held, or came to its end without (a write more or less is a matter
    /// of timing), and returns what they are held at.
    pub async fn held(&self, cases: &[Case]) -> Held {
        let began = Instant::now();
        loop {
            let open: Vec<_> = cases.iter().filter(|case| case.held(self).is_none()).collect();
            // One list for all: a request for each case would keep the API server busy.
            let orchestras = self.world.list(Kind::Orchestra).await.unwrap();
            let databases = self.world.list(Kind::Database).await.unwrap();
            let is_open = |case: &&&Case| {
                match orchestras
                    .iter()
                    .find(|it| it["metadata"]["name"] == case.name.as_str())
                {
                    Some(object) => !has_ended(object),
                    // The Orchestra goes before its database.
                    None => !has_settled(case, &databases),
                }
            };
            let waiting: Vec<_> = open.iter().filter(is_open).map(|case| case.name.as_str()).collect();
            if waiting.is_empty() {
                for case in &open {
                    eprintln!("{} came to its end before {:?}", case.name, case.cut);
                }
                break;
            }
            assert!(began.elapsed() < PATIENCE, "neither held nor at their end: {waiting:?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        cases.iter().filter_map(|case| case.held(self)).collect()
    }

    async fn ended(&self, name: &str) -> bool {
        let object = self.world.get(Kind::Orchestra, TENANTS, name).await.unwrap();
        object.is_none_or(|object| has_ended(&object))
    }

    /// What is known of a tenant: its status, and its database's.
    async fn told(&self, name: &str) -> String {
        let orchestra = self.world.get(Kind::Orchestra, TENANTS, name).await.unwrap();
        let status = orchestra.as_ref().map(|object| object["status"].clone());
        let database = database_name(&self.world, name).await;
        let claimed = self.world.get(Kind::Database, "", &database).await.unwrap();
        let claimed = claimed.map(|object| json!([object["spec"], object["status"]]));
        format!("{status:#?}\n{database}: {claimed:#?}")
    }

    /// Whether the Secret is there, whole, and its login is taken.
    async fn logs_in(&self, namespace: &str, name: &str, url: impl Fn(&BTreeMap<String, String>) -> String) -> bool {
        let stored = self.world.get(Kind::Secret, namespace, name).await.unwrap();
        let whole = stored.as_ref().is_some_and(|secret| {
            let data = &secret["data"];
            data["host"].is_string() || data["DATABASE_URL"].is_string()
        });
        whole && login(&url(&decoded(&stored.unwrap_or_default()))).await.is_ok()
    }

    /// As [`crate::proof::soon`], with the patience for many.
    pub async fn soon(&self, what: &str, mut is: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        while !is().await {
            assert!(began.elapsed() < PATIENCE, "{what}: not so after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The Orchestra is usable, and its database is its own and the only one. A Secret that somebody
    /// deleted while no operator led is missing beside a Ready of before: it is waited for.
    pub async fn usable(&self, name: &str, pool: bool) {
        let began = Instant::now();
        while !self.ended(name).await {
            assert!(
                began.elapsed() < PATIENCE,
                "{name} is not Ready: {}",
                self.told(name).await
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if !pool {
            self.soon(&format!("{name}: the stored password is the project's"), async || {
                let database = database_name(&self.world, name).await;
                self.logs_in(SYSTEM, &database, owner_url).await
            })
            .await;
        }
        self.soon(&format!("{name}: the tenant's Secret logs in"), async || {
            self.logs_in(TENANTS, &format!("{name}-connection"), |keys| {
                keys["DATABASE_URL"].clone()
            })
            .await
        })
        .await;
        if !pool {
            one_project_and_both_logins(&self.world, name).await;
            return;
        }
        let object = self.world.get(Kind::Orchestra, TENANTS, name).await.unwrap().unwrap();
        let uid = object["metadata"]["uid"].as_str().unwrap();
        let claimed = self.world.list(Kind::Database).await.unwrap();
        let claimed = claimed.iter().filter(|it| it["spec"]["claimRef"]["uid"] == uid).count();
        assert_eq!(claimed, 1, "{name} claims one database");
        let url = &secret(&self.world, TENANTS, &format!("{name}-connection")).await["DATABASE_URL"];
        drop(login(url).await.unwrap());
        let mut inside = url::Url::parse(&self.world.api.postgres().unwrap().admin_url()).unwrap();
        inside.set_path(url::Url::parse(url).unwrap().path());
        let mut inside = login(inside.as_str()).await.unwrap();
        let marks: Vec<String> = sqlx::query_scalar("SELECT orchestra_uid FROM stagesub.claim")
            .fetch_all(&mut inside)
            .await
            .unwrap();
        assert_eq!(marks, [uid], "{name}: the database carries its mark");
    }

    /// The Orchestra is gone, and left what its policy says: nothing, or one Released database. One
    /// that had not bought anything yet leaves nothing.
    pub async fn left(&self, case: &Case) {
        let name = &case.name;
        let gone = async || self.world.get(Kind::Orchestra, TENANTS, name).await.unwrap().is_none();
        self.soon(&format!("{name} is gone"), gone).await;
        self.soon(&format!("{name} left what it should"), async || {
            self.settled(case).await
        })
        .await;
        let projects = self.projects(name);
        let alive = projects.iter().filter(|project| project.deleted.is_none()).count();
        let kept = if case.delete { 0 } else { projects.len() };
        assert!(
            projects.len() <= 1 && alive == kept,
            "{name}, Delete is {}: {projects:?}",
            case.delete
        );
    }

    async fn settled(&self, case: &Case) -> bool {
        has_settled(case, &self.world.list(Kind::Database).await.unwrap())
    }

    /// The projects ever created for the Orchestras of this name.
    pub fn projects(&self, name: &str) -> Vec<orchestra_sandbox::api::Created> {
        let ours = |project: &orchestra_sandbox::api::Created| project.name.contains(&format!("-{name}-"));
        self.world.api.ledger().projects().into_iter().filter(ours).collect()
    }

    /// What holds for everything that was ever created here, now that all has settled.
    pub async fn sound(&self) {
        let ledger = self.world.api.ledger();
        let twice: Vec<_> = ledger.most_alive().into_iter().filter(|(_, most)| *most > 1).collect();
        assert!(twice.is_empty(), "bought twice: {twice:?}");
        let databases = self.world.list(Kind::Database).await.unwrap();
        let reference = |it: &Value| it["status"]["project"]["ref"].as_str().map(ToString::to_string);
        let held: BTreeSet<_> = databases.iter().filter_map(reference).collect();
        for project in ledger.projects().iter().filter(|project| project.deleted.is_none()) {
            assert!(held.contains(&project.reference), "nobody holds {project:?}");
        }
        let mut claims: Vec<_> = databases
            .iter()
            .filter_map(|it| it["spec"]["claimRef"]["uid"].as_str())
            .collect();
        claims.sort_unstable();
        let all = claims.len();
        claims.dedup();
        assert_eq!(claims.len(), all, "an Orchestra claims two databases: {databases:#?}");
        let violations = self.world.api.violations();
        assert!(violations.is_empty(), "{violations:?}");
        self.quiet().await;
    }

    /// No secret is in the log of any operator.
    async fn quiet(&self) {
        let secrets = all_secrets(&self.world).await;
        for file in std::fs::read_dir(self.world.dir()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let log = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                let shown = secrets.iter().any(|secret| log.contains(secret.as_str()));
                assert!(!shown, "{} shows a secret", path.display());
            }
        }
    }
}

fn has_ended(orchestra: &Value) -> bool {
    orchestra["metadata"]["deletionTimestamp"].is_null() && is_true(orchestra, "Ready")
}

/// Whether the Orchestra of a case, which is gone, has left of these databases what it should.
fn has_settled(case: &Case, databases: &[Value]) -> bool {
    let ours: Vec<_> = databases
        .iter()
        .filter(|it| it["spec"]["claimRef"]["name"] == case.name.as_str())
        .collect();
    let released = ours.iter().all(|database| database["status"]["phase"] == "Released");
    match (case.pool, case.delete) {
        (false, true) => ours.is_empty(),
        _ => ours.len() <= 1 && released,
    }
}

/// Databases for the pool, each with an owner of its own; their URLs as the inventory's entries.
async fn entries(world: &World, count: usize) -> Vec<String> {
    let server = world.api.postgres().unwrap();
    let mut entries = Vec::new();
    for number in 1..=count {
        let name = format!("member{number}");
        let password = random::alphanumeric(20);
        let url = server
            .create_database(&name, &format!("{name}_owner"), &password)
            .await
            .unwrap();
        entries.push(format!("DATABASE_URL_POOL_{number}: {url:?}"));
    }
    entries
}
