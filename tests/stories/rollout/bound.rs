//! Many tenants on one server: never more at once than may be, whatever happens to the operator.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use orchestra_sandbox::world::World;
use serde_json::json;

use super::{FIRST, all_have, change, class, databases, names, phase, rollout, source, tenants};
use crate::proof::soon;
use crate::support::world;

/// How many databases were being migrated at once at most, as the server itself tells.
struct Most {
    seen: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Most {
    async fn watch(world: &World) -> Self {
        let mut session = world.api.postgres().unwrap().connect_admin().await.unwrap();
        let (most, stop) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
        let task = tokio::spawn({
            let (most, stop) = (most.clone(), stop.clone());
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let query = "SELECT count(DISTINCT datname) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
                    let now: i64 = sqlx::query_scalar(query).fetch_one(&mut session).await.unwrap();
                    most.fetch_max(now, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        Self { seen: most, stop, task }
    }

    fn so_far(&self) -> i64 {
        self.seen.load(Ordering::Relaxed)
    }

    async fn end(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.seen.load(Ordering::Relaxed)
    }
}

/// 40, or as many as `ROLLOUT_TENANTS` says (`make rollout-bound`).
fn how_many() -> usize {
    std::env::var("ROLLOUT_TENANTS").map_or(40, |count| count.parse().unwrap())
}

pub fn per_server(most: u16) -> impl FnOnce(&mut Command) {
    move |command| {
        command.env("ORCHESTRA_MIGRATIONS_PER_SERVER", most.to_string());
        // So many at once keep a small machine busy.
        command.env("ORCHESTRA_LEASE_DURATION", "10s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_on_one_server_are_bounded_by_the_class_and_by_the_server() {
    let world = world().await;
    let count = how_many();
    let all = names(count);
    databases(&world, count).await;
    let slow = |name: &'static str| (name, "SELECT pg_sleep(0.2);");
    source(&world, &[FIRST, slow("2_slow")]);
    class(&world, "{maxConcurrent: 5}");

    // New tenants wait for nobody but their server.
    let mut operator = world.operator("three", per_server(3)).unwrap();
    let most = Most::watch(&world).await;
    let began = Instant::now();
    tenants(&world, &all, None);
    all_have(&world, &all, 2).await;
    eprintln!("{count} new tenants in {:?}", began.elapsed());
    let most = most.end().await;
    assert!((2..=3).contains(&most), "{most}");

    // The class's bound is the narrower one; the operator is killed in the middle of it, twice.
    operator.kill().unwrap();
    operator = world.operator("many", per_server(100)).unwrap();
    rollout(&world, phase("Complete")).await;
    let most = Most::watch(&world).await;
    let began = Instant::now();
    source(&world, &[FIRST, slow("2_slow"), ("3_slow", "SELECT pg_sleep(1);")]);
    for name in ["second", "third"] {
        soon("it is in the middle", async || most.so_far() >= 2).await;
        operator.kill().unwrap();
        operator = world.operator(name, per_server(100)).unwrap();
        soon("it went on", async || operator.log().contains("applied migration")).await;
    }
    all_have(&world, &all, 3).await;
    rollout(&world, phase("Complete")).await;
    eprintln!("{count} tenants five at once in {:?}, with two kills", began.elapsed());
    let most = most.end().await;
    assert!((2..=5).contains(&most), "{most}");

    // The server's bound is the narrower one, and holds for the class's tenants as for new ones.
    operator.terminate().unwrap();
    operator = world.operator("two", per_server(2)).unwrap();
    change(&world, &json!({"maxConcurrent": 20}));
    let most = Most::watch(&world).await;
    let began = Instant::now();
    source(
        &world,
        &[FIRST, slow("2_slow"), ("3_slow", "SELECT pg_sleep(1);"), slow("4_slow")],
    );
    all_have(&world, &all, 4).await;
    rollout(&world, phase("Complete")).await;
    eprintln!("{count} tenants two at once in {:?}", began.elapsed());
    let most = most.end().await;
    assert!((1..=2).contains(&most), "{most}");
    drop(operator);
}
