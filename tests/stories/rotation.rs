//! The rotation of a tenant's login: a client that reads the Secret can log in at any time, and a former login works until
//! its overlap is over.

mod client;

use std::collections::BTreeMap;
use std::time::Duration;

use orchestra_sandbox::world::{Kind, Operator, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;

use crate::proof::{database_name, generous_world, one_project_and_both_logins, owner, projects, soon};
use crate::support::{
    LONG, events_with, kill, login, orchestra, project, ready, scalar, secret, sources, standard_class,
};

pub use client::Client;

/// Rotations of the long story; `ORCHESTRA_ROTATIONS` makes it longer.
const ROTATIONS: usize = 10;

/// Logins a second that the client has at least, of the ten that it tries. A busy machine is slow.
const RATE: f64 = 2.0;

/// Asks for a rotation.
pub fn ask(world: &World, name: &str, value: &str) {
    let annotation = format!("stagesub.io/rotate-requested-at={value}");
    world
        .kubectl(["annotate", "--overwrite", "orchestra", name, "-n", TENANTS, &annotation])
        .unwrap();
}

/// Waits until the login has this number, by the Orchestra's status.
pub async fn generation(world: &World, name: &str, number: usize) -> Value {
    let is = |object: &Value| object["status"]["credentials"]["generation"].as_u64() >= Some(number as u64);
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_login_of_a_client_that_reads_the_secret_fails() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let mut operator = world.operator("first", |_| {}).unwrap();
    orchestra(&world, "one", "  connection: {rotation: {overlap: 3s}}");
    one_project_and_both_logins(&world, "one").await;
    let client = Client::start(&world, "one-connection");
    let asked = std::env::var("ORCHESTRA_ROTATIONS")
        .ok()
        .and_then(|text| text.parse().ok());
    let rotations = asked.unwrap_or(ROTATIONS);
    let kills = ["begun", "made", "published", "ended", "revoking"];
    // Any value is a request, also a long one.
    let request = |number: usize| format!("rotation-{number}-{}", "x".repeat(200));
    for number in 1..=rotations {
        ask(&world, "one", &request(number));
        // Five kills, each at another step.
        if number % 2 == 0
            && let Some(step) = kills.get(number / 2 - 1)
        {
            killed_at(&world, &mut operator, step, number + 1).await;
        }
        generation(&world, "one", number + 1).await;
    }
    let object = ready(&world, "one").await;
    assert_eq!(object["status"]["credentials"]["handledRequest"], request(rotations));
    let (logins, rate) = client.end().await;
    println!(
        "{rotations} rotations, {} kills: {logins} logins, {rate:.1} a second, none failed",
        kills.len()
    );
    assert!(
        logins >= rotations && rate >= RATE,
        "{logins} logins, {rate:.1} a second"
    );
    // Every former login is gone from the server, and no project was made or lost.
    let mut session = owner(&world, "one").await;
    soon("the former logins are revoked", async || {
        scalar(
            &mut session,
            "SELECT count(*) FROM pg_roles WHERE rolname ~ '^orchestra_[0-9a-f]{32}' AND rolcanlogin",
        )
        .await
            == 1
    })
    .await;
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^orchestra_[0-9a-f]{32}'";
    soon("and dropped", async || scalar(&mut session, roles).await == 2).await;
    assert_eq!(projects(&world, "one").await.len(), 1);
    let database = database_name(&world, "one").await;
    let kept = secret(&world, SYSTEM, &format!("{database}-tenant")).await;
    let passwords = kept.keys().filter(|key| key.starts_with("tenant-password")).count();
    assert_eq!(passwords, 1, "{:?}", kept.keys());

    // Nothing of the tenant's logins is left after its end.
    world.kubectl(["delete", "orchestra", "one", "-n", TENANTS]).unwrap();
    assert_eq!(scalar(&mut session, roles).await, 0);
}

/// Kills the operator when the rotation to this login has come to a step, and starts another one.
pub async fn killed_at(world: &World, operator: &mut Operator, step: &str, number: usize) {
    let database = database_name(world, "one").await;
    let tenant = format!("{database}-tenant");
    let label = async |name: &str| {
        let object = world.get(Kind::Secret, SYSTEM, &tenant).await.unwrap();
        let object = object.unwrap_or(Value::Null); // A story may just have deleted it.
        object["metadata"]["labels"][format!("stagesub.io/{name}")].clone()
    };
    let is_published = async || label("generation").await.as_str() == Some(number.to_string().as_str());
    let mut session = owner(world, "one").await;
    let role = format!("{}_{number}", base(world, "one").await);
    let exists = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)";
    soon(step, async || match step {
        "begun" => label("rotating").await == "true" || is_published().await,
        "made" => sqlx::query_scalar(exists)
            .bind(&role)
            .fetch_one(&mut session)
            .await
            .unwrap(),
        "published" => secret(world, TENANTS, "one-connection").await["user"].starts_with(&role),
        "ended" => is_published().await,
        _ => {
            let before = format!("{}_{}", base(world, "one").await, number - 1);
            let able = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND rolcanlogin)";
            let able: bool = sqlx::query_scalar(able)
                .bind(before)
                .fetch_one(&mut session)
                .await
                .unwrap();
            is_published().await && !able
        }
    })
    .await;
    operator.kill().unwrap();
    *operator = world.operator(&format!("after-{step}"), |_| {}).unwrap();
}

async fn base(world: &World, name: &str) -> String {
    let database = database_name(world, name).await;
    format!("orchestra_{}", database.replace("orchdb-", "").replace('-', ""))
}

/// A tenant's login makes a table and a function, and the owner names it in a policy and a grant.
async fn makes(world: &World, former: &BTreeMap<String, String>, number: usize) -> PgConnection {
    let mut session = login(&former["DIRECT_URL"]).await.unwrap();
    let make = format!(
        "CREATE TABLE made_{number} (id int); INSERT INTO made_{number} VALUES (1);
         CREATE FUNCTION made_{number}() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(make))
        .execute(&mut session)
        .await
        .unwrap();
    let role = former["user"].split('.').next().unwrap();
    let mut owns = owner(world, "one").await;
    let named = format!(
        "CREATE TABLE named_{number} (id int); REVOKE ALL ON named_{number} FROM PUBLIC, {base};
         ALTER TABLE named_{number} ENABLE ROW LEVEL SECURITY;
         CREATE POLICY named ON named_{number} TO {role} USING (true);
         GRANT SELECT ON named_{number} TO {role}; INSERT INTO named_{number} VALUES (1)",
        base = base(world, "one").await
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(named))
        .execute(&mut owns)
        .await
        .unwrap();
    session
}

/// The former login works until the end that the status says, and not after it.
async fn ends(world: &World, object: &Value, former: &BTreeMap<String, String>, session: &mut PgConnection) {
    let ended = object["status"]["credentials"]["formerUntil"]
        .as_str()
        .unwrap()
        .to_owned();
    let ended: jiff::Timestamp = ended.parse().unwrap();
    // The former one works until the end, and its sessions with it.
    while jiff::Timestamp::now() < ended - jiff::SignedDuration::from_millis(700) {
        drop(login(&former["DATABASE_URL"]).await.unwrap());
        assert_eq!(scalar(session, "SELECT 1::bigint").await, 1);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    soon("the former login ends", async || {
        login(&former["DIRECT_URL"]).await.is_err()
    })
    .await;
    assert!(jiff::Timestamp::now() >= ended, "not before its end");
    let none = |object: &Value| object["status"]["credentials"]["formerUntil"].is_null();
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, none)
        .await
        .unwrap();
    assert!(login(&former["DIRECT_URL"]).await.is_err());
    assert!(
        sqlx::query("SELECT 1").execute(session).await.is_err(),
        "its session is ended"
    );
}

/// A rotation was due while no operator was there, and the spec is edited before one looks.
fn was_due_before_an_edit(world: &World) {
    let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(40 * 24);
    let then = then.in_tz("Europe/Stockholm").unwrap().date();
    let due = jiff::civil::date(then.year(), then.month(), 1).at(3, 0, 0, 0);
    let due = due.in_tz("Europe/Stockholm").unwrap().timestamp();
    let status = json!({"status": {"credentials": {"nextRotation": due.to_string()}}}).to_string();
    let spec = json!({"spec": {"connection": {"labels": {"team": "strings"}}}}).to_string();
    for (patch, part) in [(&status, "--subresource=status"), (&spec, "--subresource=")] {
        world
            .kubectl([
                "patch",
                "orchestra",
                "one",
                "-n",
                TENANTS,
                "--type=merge",
                part,
                "-p",
                patch,
            ])
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_former_login_works_until_the_overlap_ends_and_what_it_made_stays() {
    let world = generous_world().await;
    standard_class(&world, "  connection: {createObjects: Allowed}");
    sources(&world);
    let mut first = world.operator("first", |_| {}).unwrap();
    soon("it leads", async || first.log().contains("leading")).await;
    let _second = world.operator("second", |_| {}).unwrap();
    orchestra(
        &world,
        "one",
        "  connection: {mode: TransactionPooler, rotation: {schedule: 0 3 1 * *, timeZone: Europe/Stockholm, overlap: 6s}}",
    );
    one_project_and_both_logins(&world, "one").await;
    let object = ready(&world, "one").await;
    let credentials = &object["status"]["credentials"];
    assert_eq!(
        (&credentials["generation"], &credentials["rotatedAt"]),
        (&json!(1), &Value::Null),
        "{object:#}"
    );
    assert!(
        credentials["nextRotation"]
            .as_str()
            .is_some_and(|next| next.contains("-01T0"))
    );

    let mut former = secret(&world, TENANTS, "one-connection").await;
    for number in 2..=3 {
        let mut session = makes(&world, &former, number).await;
        match number {
            2 => was_due_before_an_edit(&world),
            _ => ask(&world, "one", &format!("2026-11-28T12:00:0{number}Z")),
        }
        let object = generation(&world, "one", number).await;
        assert!(is_true(&object, "Ready"));
        let next = object["status"]["credentials"]["nextRotation"].as_str().unwrap();
        assert!(
            next.parse::<jiff::Timestamp>().unwrap() > jiff::Timestamp::now(),
            "{next}"
        );
        let now = secret(&world, TENANTS, "one-connection").await;
        assert_ne!((&now["user"], &now["password"]), (&former["user"], &former["password"]));
        ends(&world, &object, &former, &mut session).await;

        // What it made and was granted is the new one's.
        let mut session = login(&now["DIRECT_URL"]).await.unwrap();
        let change = format!(
            "ALTER TABLE made_{number} ADD COLUMN more int; DROP FUNCTION made_{number}(); SELECT id FROM named_{number}"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(change))
            .execute(&mut session)
            .await
            .unwrap();
        let named = format!("SELECT count(*) FROM named_{number}");
        let seen: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(named))
            .fetch_one(&mut session)
            .await
            .unwrap();
        assert_eq!(seen, 1);
        former = now;
    }
    // A migration that comes later reaches the login of the rotation, and the rows that were there are there.
    let more = r#"{"data": {"20260103000000_halls.sql": "CREATE TABLE \"Hall\" (\"id\" SERIAL PRIMARY KEY);"}}"#;
    world
        .kubectl(["patch", "configmap", "schema", "-n", TENANTS, "-p", more])
        .unwrap();
    let applied = |object: &Value| object["status"]["migrations"]["applied"] == 3 && is_true(object, "Ready");
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, applied)
        .await
        .unwrap();
    let mut session = login(&secret(&world, TENANTS, "one-connection").await["DIRECT_URL"])
        .await
        .unwrap();
    sqlx::raw_sql(r#"INSERT INTO "Hall" DEFAULT VALUES; UPDATE "Member" SET name = name"#)
        .execute(&mut session)
        .await
        .unwrap();
    assert_eq!(scalar(&mut session, r#"SELECT count(*) FROM "Member""#).await, 3);
    for reason in ["LoginRotated", "LoginRevoked"] {
        events_with(&world, reason).await;
    }
    the_database_is_down(&world, &mut first).await;
}

/// A rotation begins while the database does not answer, and another operator ends it.
async fn the_database_is_down(world: &World, first: &mut Operator) {
    let object = ready(world, "one").await;
    let reference = object["status"]["project"]["ref"].as_str().unwrap();
    let former = secret(world, TENANTS, "one-connection").await;
    world.api.stop_server(reference).await.unwrap();
    ask(world, "one", "while-it-is-down");
    let tenant = format!("{}-tenant", database_name(world, "one").await);
    soon("the rotation is begun", async || {
        let kept = world.get(Kind::Secret, SYSTEM, &tenant).await.unwrap().unwrap();
        kept["metadata"]["labels"]["stagesub.io/rotating"] == "true"
    })
    .await;
    let told = |object: &Value| condition(object, "Reconciling").1 == "DatabaseUnreachable";
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, told)
        .await
        .unwrap();
    kill(world, first);
    assert_eq!(secret(world, TENANTS, "one-connection").await, former);
    world.api.start_server(reference).await.unwrap();
    drop(login(&former["DATABASE_URL"]).await.unwrap());
    let object = generation(world, "one", 4).await;
    let handled = &object["status"]["credentials"]["handledRequest"];
    assert_eq!(*handled, "while-it-is-down");
    let now = secret(world, TENANTS, "one-connection").await;
    assert_ne!(now["user"], former["user"]);
    drop(login(&now["DATABASE_URL"]).await.unwrap());
    soon("the former login ends", async || {
        login(&former["DATABASE_URL"]).await.is_err()
    })
    .await;
    assert_eq!(projects(world, "one").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_is_applied() {
    let world = generous_world().await;
    standard_class(&world, "");
    let _operator = world.operator("operator", |_| {}).unwrap();
    let folder = project().join("deploy/samples/rotation");
    world.kubectl(["apply", "-k", folder.to_str().unwrap()]).unwrap();
    let object = ready(&world, "quartet").await;
    assert_eq!(object["status"]["binding"]["name"], "quartet-connection");
    assert!(
        object["status"]["credentials"]["nextRotation"].is_string(),
        "{object:#}"
    );
    assert_eq!(condition(&object, "CredentialsReady").0, "True");
    let keys = secret(&world, TENANTS, "quartet-connection").await;
    assert!(
        keys["PRISMA_URL"].ends_with("&pgbouncer=true"),
        "{}",
        keys["PRISMA_URL"].len()
    );
    assert!(keys["application.properties"].contains(&keys["password"]));
}
