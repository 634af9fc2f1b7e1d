//! Everything at once, at random: tenants come and go, operators die, stop and continue, answers get lost, Secrets and
//! tokens change. The seed decides what happens; when, the machine does.

use std::process::Command;
use std::time::{Duration, Instant};

use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::world::{Operator, SYSTEM, TENANTS};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::scene::Scene;
use super::{Case, Cut};

/// Entries of the pool: as many tenants may claim one.
const MEMBERS: usize = 12;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct Soak {
    scene: Scene,
    dice: StdRng,
    operators: Vec<Operator>,
    stopped: Vec<bool>,
    started: usize,
    alive: Vec<Case>,
    gone: Vec<Case>,
    pooled: usize,
}

/// `SOAK_SECONDS` (45 unless set) of it, decided by `SOAK_SEED`.
#[tokio::test(flavor = "multi_thread")]
async fn soak() {
    let seed = variable("SOAK_SEED").unwrap_or_else(rand::random);
    let span = Duration::from_secs(variable("SOAK_SECONDS").unwrap_or(45));
    println!("SOAK_SEED={seed} SOAK_SECONDS={}", span.as_secs());
    let mut soak = Soak {
        scene: Scene::start(MEMBERS).await,
        dice: StdRng::seed_from_u64(seed),
        operators: Vec::new(),
        stopped: Vec::new(),
        started: 0,
        alive: Vec::new(),
        gone: Vec::new(),
        pooled: 0,
    };
    soak.scene
        .world
        .api
        .behave(|provider| provider.refuse_duplicate_names = true);
    soak.start();
    soak.start();
    let began = Instant::now();
    while began.elapsed() < span {
        soak.happen().await;
        let pause = soak.dice.random_range(30..400);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    soak.settle().await;
    println!(
        "{} tenants came, {} went, {} operators",
        soak.alive.len() + soak.gone.len(),
        soak.gone.len(),
        soak.started
    );
}

fn operator(scene: &Scene, number: usize) -> Operator {
    scene.operator(&format!("soak-{number}"), &["--create-settle=5s"])
}

impl Soak {
    fn start(&mut self) {
        self.started += 1;
        self.operators.push(operator(&self.scene, self.started));
        self.stopped.push(false);
    }

    async fn happen(&mut self) {
        match self.dice.random_range(0..100) {
            0..40 => self.create(),
            40..55 => self.delete(),
            55..67 => self.kill(),
            67..73 => self.pause(),
            73..90 => self.fault(),
            90..95 => self.lose_secret().await,
            _ => self.swap_token(),
        }
    }

    fn create(&mut self) {
        let pool = self.pooled < MEMBERS && self.dice.random_bool(0.25);
        self.pooled += usize::from(pool);
        let case = Case {
            name: format!("so{:03}", self.alive.len() + self.gone.len()),
            pool,
            delete: self.dice.random_bool(0.5),
            cut: Cut::Nowhere,
        };
        self.scene.order([(case.name.clone(), case.pool, case.delete)]);
        self.alive.push(case);
    }

    fn delete(&mut self) {
        if self.alive.is_empty() {
            return;
        }
        let index = self.dice.random_range(0..self.alive.len());
        let case = self.alive.remove(index);
        self.scene.delete([case.name.as_str()]);
        self.gone.push(case);
    }

    fn kill(&mut self) {
        let index = self.dice.random_range(0..self.operators.len());
        self.stopped.remove(index);
        self.operators.remove(index).kill().unwrap();
        self.start();
    }

    /// Stops an operator, or lets a stopped one continue.
    fn pause(&mut self) {
        let index = self.dice.random_range(0..self.operators.len());
        if self.operators[index].ended().unwrap().is_some() {
            return;
        }
        let signal = if self.stopped[index] { "-CONT" } else { "-STOP" };
        self.stopped[index] = !self.stopped[index];
        let id = self.operators[index].id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    fn fault(&mut self) {
        let operations = [
            Operation::CreateProject,
            Operation::ListOrganizationProjects,
            Operation::Health,
            Operation::PoolerConfig,
            Operation::ListKeys,
            Operation::DeleteProject,
            Operation::UpdatePassword,
        ];
        let faults = [
            Fault::LoseResponse,
            Fault::CloseBefore,
            Fault::HtmlBadGateway,
            Fault::Truncate,
            Fault::Twice,
            Fault::Delay { ms: 1500 },
            Fault::Status {
                status: 500,
                retry_after: None,
            },
            Fault::AnswerAfter {
                status: 502,
                message: "Bad gateway".into(),
            },
        ];
        let times = self.dice.random_range(1..4);
        if let (Some(operation), Some(fault)) = (operations.choose(&mut self.dice), faults.choose(&mut self.dice)) {
            self.scene.world.api.faults().add(*operation, times, fault.clone());
        }
    }

    /// Somebody deletes a Secret: a tenant's, or an owner's.
    async fn lose_secret(&mut self) {
        let Some(case) = self.alive.choose(&mut self.dice).cloned() else {
            return;
        };
        let (namespace, name) = if self.dice.random_bool(0.5) {
            (TENANTS, format!("{}-connection", case.name))
        } else {
            (SYSTEM, crate::proof::database_name(&self.scene.world, &case.name).await)
        };
        let arguments = ["delete", "secret", &name, "-n", namespace, "--ignore-not-found"];
        assert!(
            self.scene
                .world
                .plane
                .kubectl(arguments)
                .output()
                .unwrap()
                .status
                .success()
        );
    }

    /// The token is revoked, and another one takes its place a moment later.
    fn swap_token(&mut self) {
        let token = format!("sbp_{:040x}", self.dice.random::<u128>());
        self.scene.world.api.set_tokens(vec![token.clone()]);
        self.scene
            .world
            .store_secret("supabase-token", "token", &token)
            .unwrap();
    }

    /// Nothing more happens: every tenant that was not deleted becomes usable, and of the others there
    /// is what their policy says.
    async fn settle(&mut self) {
        self.scene.world.api.faults().clear();
        for (operator, stopped) in self.operators.iter().zip(&self.stopped) {
            if *stopped {
                let id = operator.id().to_string();
                assert!(Command::new("kill").args(["-CONT", &id]).status().unwrap().success());
            }
        }
        self.start();
        let Self {
            scene,
            operators,
            started,
            alive,
            gone,
            ..
        } = self;
        let settled = async {
            for case in &*alive {
                scene.usable(&case.name, case.pool).await;
            }
            for case in &*gone {
                scene.left(case).await;
            }
            scene.sound().await;
        };
        // A leader that could not renew its lease ends, and Kubernetes starts it again.
        let restarts = async {
            loop {
                if operators.iter_mut().all(|operator| operator.ended().unwrap().is_some()) {
                    *started += 1;
                    operators.push(operator(scene, *started));
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = settled => {}
            () = restarts => {}
        }
    }
}
