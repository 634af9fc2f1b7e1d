//! Real restores, into a database that an Orchestra claims: refused where it is not its own, interrupted, started again.

use std::time::{Duration, Instant};

use orchestra_operator::archive::OutcomeReason as Reason;
use orchestra_operator::postgres::{Login, claim_record, identity};
use orchestra_sandbox::hosted::{Projects, Switches};
use serde_json::{Value, json};

use super::cut_off::signal;
use super::hosted;
use super::job::{Job, PATH, Place, backup};
use super::pool::{database, fill};
use crate::support::postgres::{server, server_as_hosted};
use crate::support::{ask, execute, session};

/// The first role of the tenant that the backup is of.
const FORMER: &str = "orchestra_0123456789abcdef0123456789abcdef";

fn restore(claim: &str) -> Value {
    json!({"kind": "restore", "path": PATH, "claim": claim})
}

async fn claim(target: &Login, uid: &str) {
    let mut owner = session(target).await;
    claim_record::claim(&mut owner, (uid, "tenants", "acme"), &[])
        .await
        .unwrap();
}

/// Kills a job and its client as soon as the client's arguments hold this.
async fn kill_at(job: Job, argument: &str) {
    let began = Instant::now();
    loop {
        for pid in job.children() {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains(argument) && line.contains("--exit-on-error") {
                signal(job.child.id(), "-KILL");
                signal(pid, "-KILL");
                let mut job = job;
                job.child.wait().unwrap();
                return;
            }
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{argument}: {}", job.said());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_restore_that_was_cut_off_is_begun_again_and_nothing_in_use_is_touched() {
    let (from, to) = (server().await, server_as_hosted().await);
    let source = database(&from, "source", "owner_a").await;
    fill(&source).await;
    let mut owner = session(&source).await;
    for sql in [
        format!("CREATE ROLE {FORMER} LOGIN PASSWORD 'x'"),
        format!("CREATE ROLE {FORMER}_2 LOGIN PASSWORD 'x'"),
        format!("GRANT SELECT, INSERT ON player TO {FORMER}, {FORMER}_2"),
        format!("GRANT UPDATE (name) ON player TO {FORMER}"),
        format!("GRANT USAGE ON SCHEMA \"a \"\"quoted\"\" schema\" TO {FORMER}"),
        "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE SEQUENCE numbers; SELECT nextval('numbers')".into(),
        "CREATE TABLE large AS SELECT n, gen_random_uuid()::text AS t FROM generate_series(1, 200000) n".into(),
        "CREATE INDEX ON large (t); CREATE PUBLICATION everything FOR TABLE player".into(),
        "SELECT lo_from_bytea(0, 'large')".into(),
    ] {
        execute(&mut owner, &sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let mut place = Place::new();
    assert_eq!(place.backup(&source).reason, Reason::Done);
    let target = database(&to, "target", "owner_b").await;
    // Nobody says whose it is; then it is another's.
    let refused = place.run(&restore("u1"), &target);
    assert!(refused.reason == Reason::NotEmpty && !refused.retry, "{refused:?}");
    claim(&target, "u0").await;
    let refused = place.run(&restore("u1"), &target);
    assert!(
        refused.reason == Reason::NotEmpty && refused.message.contains("tenants/acme"),
        "{refused:?}"
    );
    let mut owner = session(&target).await;
    execute(&mut owner, "DELETE FROM stagesub.claim").await.unwrap();
    claim(&target, "u1").await;
    for section in ["--section=pre-data", "--section=data", "--section=post-data"] {
        let job = place.start(&restore("u1"), &target);
        kill_at(job, section).await;
    }
    let left = "SELECT count(*) FROM pg_class WHERE relname = 'player'";
    assert_eq!(ask(&mut owner, left).await, "1", "the first stages were committed");
    // Another Orchestra does not continue it.
    execute(&mut owner, "UPDATE stagesub.claim SET orchestra_uid = 'u2'")
        .await
        .unwrap();
    assert_eq!(place.run(&restore("u2"), &target).reason, Reason::NotEmpty);
    assert_eq!(ask(&mut owner, left).await, "1");
    execute(&mut owner, "UPDATE stagesub.claim SET orchestra_uid = 'u1'")
        .await
        .unwrap();
    drop(owner);
    let done = place.run(&restore("u1"), &target);
    assert_eq!(done.reason, Reason::Done, "{done:?}");
    let mut owner = session(&target).await;
    for (question, answer) in [
        ("SELECT count(*) FROM large", "200000"),
        ("SELECT count(*) FROM player", "3"),
        (
            "SELECT count(*) FROM \"a \"\"quoted\"\" schema\".\"t; 1 2 -- x\"",
            "1000",
        ),
        ("SELECT count(*) FROM pg_largeobject_metadata", "1"),
        ("SELECT count(*) FROM pg_publication", "1"),
        ("SELECT count(*) FROM pg_roles WHERE rolname ~ '^orchestra_0123'", "0"),
        ("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'acme login'", "false"),
        ("SELECT pg_has_role(current_user, 'acme login', 'USAGE')", "false"),
        ("SELECT has_table_privilege('acme login', 'player', 'INSERT')", "true"),
        ("SELECT finished_at IS NOT NULL FROM stagesub.restore", "true"),
    ] {
        assert_eq!(ask(&mut owner, question).await, answer, "{question}");
    }
    // It is in use: an answer that was lost is given again, and nothing is touched.
    execute(&mut owner, "INSERT INTO player (name) VALUES ('new')")
        .await
        .unwrap();
    assert_eq!(place.run(&restore("u1"), &target).reason, Reason::Done);
    assert_eq!(ask(&mut owner, "SELECT count(*) FROM player").await, "4");
    // Without the record, it is a database with somebody's data.
    execute(&mut owner, "DROP TABLE stagesub.restore").await.unwrap();
    assert_eq!(place.run(&restore("u1"), &target).reason, Reason::NotEmpty);
    assert_eq!(ask(&mut owner, "SELECT count(*) FROM player").await, "4");
}

#[tokio::test]
async fn a_restore_writes_into_no_other_database_than_the_orchestras() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut place = Place::new();
    assert_eq!(place.backup(&source).reason, Reason::Done);
    // The entry leads to another database, in which a script has forged the Orchestra's claim record.
    let other = database(&server, "other", "owner_b").await;
    claim(&other, "u1").await;
    let own = database(&server, "own", "owner_c").await;
    claim(&own, "u1").await;
    let digest = identity(&mut session(&own).await).await.unwrap().digest();
    let mut order = restore("u1");
    order["target"] = json!({"databaseName": "orchdb-7", "identity": digest});
    let refused = place.run(&order, &other);
    assert!(refused.reason == Reason::OtherDatabase && !refused.retry, "{refused:?}");
    assert!(
        refused
            .message
            .contains("annotate orchdb orchdb-7 stagesub.io/identity="),
        "{refused:?}"
    );
    let tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    assert_eq!(ask(&mut session(&other).await, tables).await, "0");
    assert_eq!(place.run(&order, &own).reason, Reason::Done);
}

#[tokio::test]
async fn a_former_login_that_lives_on_the_same_server_has_no_rights_in_the_copy() {
    let server = server_as_hosted().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut owner = session(&source).await;
    for sql in [
        format!("CREATE ROLE {FORMER} LOGIN PASSWORD 'x'"),
        format!("CREATE ROLE {FORMER}_2 LOGIN PASSWORD 'x'"),
        format!("GRANT SELECT, INSERT ON player TO {FORMER}, {FORMER}_2"),
        format!("GRANT UPDATE (name) ON player TO {FORMER}; GRANT EXECUTE ON FUNCTION twice TO {FORMER}_2"),
        format!("SELECT lo_from_bytea(4711, 'x'); GRANT SELECT ON LARGE OBJECT 4711 TO {FORMER}_2"),
        format!("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {FORMER}_2"),
        format!("ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {FORMER}_2"),
    ] {
        execute(&mut owner, &sql).await.unwrap();
    }
    let mut place = Place::new();
    assert_eq!(place.backup(&source).reason, Reason::Done);
    // The first role went meanwhile, and the newest login is in use.
    let first_goes = format!("GRANT {FORMER} TO CURRENT_USER; DROP OWNED BY {FORMER}; DROP ROLE {FORMER}");
    execute(&mut owner, &first_goes).await.unwrap();
    let target = database(&server, "target", "owner_b").await;
    let mut root = session(&server.login("postgres")).await;
    execute(&mut root, "CREATE DATABASE again OWNER owner_a").await.unwrap();
    let again = Login {
        database: "again".into(),
        ..source.clone()
    };
    for target in [target, again] {
        has_no_rights_of_a_former_login(&mut place, &target).await;
    }
    for kept in [
        "SELECT has_table_privilege('$_2', 'player', 'INSERT')",
        "SELECT rolcanlogin FROM pg_roles WHERE rolname = '$_2'",
    ] {
        assert_eq!(ask(&mut owner, &kept.replace('$', FORMER)).await, "true", "{kept}");
    }
}

async fn has_no_rights_of_a_former_login(place: &mut Place, target: &Login) {
    claim(target, "u1").await;
    let done = place.run(&restore("u1"), target);
    assert_eq!(done.reason, Reason::Done, "{done:?}");
    let mut restored = session(target).await;
    for (question, answer) in [
        (
            "SELECT has_any_column_privilege('$_2', 'player', 'SELECT, INSERT, UPDATE')",
            "false",
        ),
        ("SELECT has_function_privilege('$_2', 'twice(int)', 'EXECUTE')", "false"),
        ("SELECT count(*) FROM pg_roles WHERE rolname = '$'", "0"),
        ("SELECT count(*) FROM player", "3"),
        (
            "SELECT count(*) FROM pg_largeobject_metadata WHERE lomacl::text LIKE '%$%'",
            "0",
        ),
        (
            "SELECT count(*) FROM pg_default_acl WHERE defaclacl::text LIKE '%$%'",
            "0",
        ),
    ] {
        let question = question.replace('$', FORMER);
        assert_eq!(ask(&mut restored, &question).await, answer, "{question}");
    }
}

#[tokio::test]
async fn a_project_whose_restore_was_cut_off_is_emptied_and_restored() {
    let projects = Projects::prepare().await.unwrap();
    let source = hosted::project(&projects, "source", Switches::default()).await;
    let mut owner = session(&source).await;
    for sql in hosted::CONTENT {
        execute(&mut owner, sql).await.unwrap();
    }
    let mut place = Place::new();
    let made = place.run(&backup(&json!({"historySchemaIncluded": true})), &source);
    assert_eq!(made.reason, Reason::Done, "{made:?}");
    let target = hosted::project(&projects, "target", Switches::default()).await;
    claim(&target, "u1").await;
    for stage in ["--data-only", "--section=post-data", "hooks.list"] {
        let job = place.start(&restore("u1"), &target);
        kill_at(job, stage).await;
    }
    let done = place.run(&restore("u1"), &target);
    assert_eq!(done.reason, Reason::Done, "{done:?}");
    let mut restored = session(&target).await;
    for (question, answer) in [
        ("SELECT count(*) FROM auth.users", "1"),
        ("SELECT count(*) FROM storage.buckets", "1"),
        ("SELECT count(*) FROM profile", "1"),
        ("SELECT count(*) FROM pg_policy WHERE polname = 'own files'", "1"),
        ("SELECT count(*) FROM pg_trigger WHERE tgname = 'on new user'", "1"),
        ("SELECT count(*) FROM supabase_migrations.schema_migrations", "1"),
    ] {
        assert_eq!(ask(&mut restored, question).await, answer, "{question}");
    }
}
