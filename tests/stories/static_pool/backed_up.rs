//! A database that is emptied (`recycle: Reset`) while a backup of it is under way.

use std::time::Duration;

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, is_true};

use super::{database, database_of, hall};
use crate::backup::{backup, manifests, runner, until};
use crate::proof::soon;
use crate::support::{LONG, login, orchestra, project, scalar, sources, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_reset_after_the_jobs_that_read_it() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    let files = tempfile::tempdir().unwrap();
    let hall = hall(&files).await;
    if hall.is_legacy() {
        eprintln!("no server of PostgreSQL 16 or later can be had: nothing is reset");
        return;
    }
    let url = database(&hall, "one").await;
    world
        .apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: rehearsal-databases, namespace: {SYSTEM}}}, \
             stringData: {{DATABASE_URL_POOL_1: \"{url}\"}}}}"
        ))
        .unwrap();
    let sample = project().join("deploy/samples/reset-pool.yaml");
    world.kubectl(["apply", "-f", sample.to_str().unwrap()]).unwrap();
    let class = r#"{"spec":{"deletion":{"gracePeriod":null},
        "backup":{"destination":{"persistentVolumeClaim":{"claimName":"backups"}}}}}"#;
    world
        .kubectl(["patch", "orchclass", "rehearsals", "--type=merge", "-p", class])
        .unwrap();
    orchestra(&world, "first", "  className: rehearsals");
    let first = database_of(&world, "first").await;
    let uid = world.get(Kind::Database, "", &first).await.unwrap().unwrap()["metadata"]["uid"].clone();

    // The pod of the Job has not started when the Orchestra is deleted.
    backup(&world, "last", "first", "Retain");
    soon("the Job is there", async || {
        world.list(Kind::Job).await.unwrap().len() == 1
    })
    .await;
    world
        .kubectl(["delete", "orch", "first", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    orchestra(&world, "second", "  className: rehearsals");
    let resetting = |object: &serde_json::Value| object["status"]["phase"] == "Resetting";
    world
        .until(Kind::Database, ("", &first), LONG, resetting)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    let members = "SELECT count(*) FROM pg_class WHERE relname = 'Member'";
    {
        let mut owner = login(&url).await.unwrap();
        assert_eq!(
            scalar(&mut owner, members).await,
            1,
            "nothing is dropped while the Job is there"
        );
    }

    // It does its work, and only then the next tenant comes in.
    let _runner = runner(&world).await;
    until(&world, "last", |object| is_true(object, "Ready")).await;
    assert_eq!(manifests(&world).len(), 1);
    assert_eq!(database_of(&world, "second").await, first);
    let now = world.get(Kind::Database, "", &first).await.unwrap().unwrap();
    assert_ne!(now["metadata"]["uid"], uid, "it is a new member");
}
