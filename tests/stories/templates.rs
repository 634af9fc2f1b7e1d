//! Templates: migrations and a seed as one versioned unit of a class.

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::pool::{house, inventory};
use crate::proof::{generous_world, owner, soon};
use crate::support::{LONG, login, ready, reason, scalar, secret, standard_class};

/// The scripts of three versions, and a seed, in the operator's namespace.
fn scripts(world: &World) {
    world
        .apply(&format!(
            r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: symphony-1, namespace: {SYSTEM}}}
data:
  1_members.sql: CREATE TABLE "Member" (id serial PRIMARY KEY, name text NOT NULL);
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: symphony-2, namespace: {SYSTEM}}}
data:
  1_members.sql: CREATE TABLE "Member" (id serial PRIMARY KEY, name text NOT NULL);
  2_concerts.sql: CREATE TABLE "Concert" (id serial PRIMARY KEY);
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: symphony-3, namespace: {SYSTEM}}}
data:
  1_members.sql: CREATE TABLE "Member" (id serial PRIMARY KEY, name text NOT NULL);
  2_concerts.sql: CREATE TABLE "Concert" (id serial PRIMARY KEY);
  3_halls.sql: DROP TABLE "Concert"; CREATE TABLE "Concert" (id serial PRIMARY KEY, hall text);
  4_manner.sql: |
    CREATE TABLE "Manner" (transaction xid8 DEFAULT pg_current_xact_id(), "limit" text DEFAULT current_setting('statement_timeout'));
    INSERT INTO "Manner" DEFAULT VALUES;
    INSERT INTO "Manner" DEFAULT VALUES;
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: symphony-seed, namespace: {SYSTEM}}}
data:
  seed.sql: INSERT INTO "Member" (name) VALUES ('Ada'), ('Bo');
"#
        ))
        .unwrap();
}

fn class(world: &World, version: &str, source: &str, more: &str) {
    class_with(world, (version, source), "", more);
}

/// The class, with these settings of the template's migrations.
fn class_with(world: &World, (version, source): (&str, &str), settings: &str, more: &str) {
    standard_class(
        world,
        &format!(
            "  templates:\n  - name: symphony\n    version: {version:?}\n    \
             migrations: {{format: Prisma, {settings}source: {{configMapRef: {{name: {source}}}}}}}\n    \
             seed: {{configMapRef: {{name: symphony-seed}}}}\n{more}"
        ),
    );
}

fn tenant(world: &World, name: &str, spec: &str) -> anyhow::Result<()> {
    world.apply(&format!(
        "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {TENANTS}}}, spec: {{{spec}}}}}"
    ))
}

fn has(version: &'static str) -> impl Fn(&Value) -> bool {
    move |object| is_true(object, "Ready") && object["status"]["template"]["version"] == version
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_one_versioned_unit() {
    let world = generous_world().await;
    scripts(&world);
    class(&world, "1.0.0", "symphony-1", "  template: symphony");
    let _operator = world
        .operator("operator", |command| {
            command.arg("--resync=2s");
        })
        .unwrap();
    tenant(&world, "named", "source: {templateRef: {name: symphony}}").unwrap();
    tenant(&world, "default", "").unwrap();
    for name in ["named", "default"] {
        let object = ready(&world, name).await;
        assert_eq!(object["status"]["template"]["name"], "symphony");
        assert!(has("1.0.0")(&object));
        let mut session = owner(&world, name).await;
        assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Member\"").await, 2);
    }
    class(&world, "2.0.0", "symphony-2", "  template: symphony");
    for name in ["named", "default"] {
        let object = world
            .until(Kind::Orchestra, (TENANTS, name), LONG, has("2.0.0"))
            .await
            .unwrap();
        assert_eq!(object["status"]["migrations"]["current"], "2_concerts");
    }

    // A template that is not there is waited for.
    tenant(&world, "odd", "source: {templateRef: {name: chamber}}").unwrap();
    let object = reason(&world, "odd", "TemplateNotFound").await;
    let message = condition(&object, "Stalled").2;
    assert!(
        message.contains("OrchestraClass standard has no template chamber"),
        "{message}"
    );
    let chamber = "  - {name: chamber, version: '1', migrations: {format: Prisma, source: {configMapRef: {name: symphony-1}}}}\n  template: symphony";
    class(&world, "2.0.0", "symphony-2", chamber);
    let object = ready(&world, "odd").await;
    assert_eq!(object["status"]["template"]["name"], "chamber");
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_pool_is_prepared_and_meets_claims_of_its_template_only() {
    let world = generous_world().await;
    scripts(&world);
    class(
        &world,
        "1.0.0",
        "symphony-1",
        "  pools: {names: [house], policy: PoolOnly}\n  template: symphony",
    );
    let _operator = world.operator("operator", |_| {}).unwrap();
    house(&world, &inventory(&world, &["one", "two"]).await);
    let prepare = r#"{"spec": {"prepare": {"className": "standard", "templateRef": {"name": "symphony"}}}}"#;
    world
        .kubectl(["patch", "orchpool", "house", "--type=merge", "-p", prepare])
        .unwrap();
    let prepared = async |version: &str, count: usize| {
        soon("the databases are prepared", async || {
            let all = world.list(Kind::Database).await.unwrap();
            all.iter()
                .filter(|database| database["status"]["template"]["version"] == version)
                .count()
                == count
        })
        .await;
    };
    prepared("1.0.0", 2).await;
    // A new version comes to those that wait, too.
    class(
        &world,
        "2.0.0",
        "symphony-2",
        "  pools: {names: [house], policy: PoolOnly}\n  template: symphony",
    );
    prepared("2.0.0", 2).await;
    // Nor does one that destroys need approval, while nobody has anything to lose.
    class_with(
        &world,
        ("3.0.0", "symphony-3"),
        "transactions: PerStatement, timeouts: {statement: 7m}, ",
        "  pools: {names: [house], policy: PoolOnly}\n  template: symphony",
    );
    prepared("3.0.0", 2).await;

    // Nobody else's migrations are applied beside them.
    tenant(
        &world,
        "other",
        "migrations: {format: Prisma, source: {configMapRef: {name: own}}}",
    )
    .unwrap();
    reason(&world, "other", "PoolExhausted").await;

    tenant(&world, "named", "source: {templateRef: {name: symphony}}").unwrap();
    let object = ready(&world, "named").await;
    assert!(has("3.0.0")(&object));
    let url = &secret(&world, TENANTS, "named-connection").await["DATABASE_URL"];
    let mut session = login(url).await.unwrap();
    assert_eq!(
        scalar(&mut session, "SELECT count(*) FROM \"Member\"").await,
        2,
        "the seed came with the claim"
    );
    assert_eq!(scalar(&mut session, "SELECT count(hall) FROM \"Concert\"").await, 0);
    let manner = "SELECT count(DISTINCT transaction) FROM \"Manner\" WHERE \"limit\" = '7min'";
    assert_eq!(
        scalar(&mut session, manner).await,
        2,
        "each statement by itself, within the template's limit"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_database_that_is_being_prepared_is_nobodys_until_it_is_whole() {
    let world = generous_world().await;
    world
        .apply(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: slow, namespace: {SYSTEM}}}, data: {{\
             1_slow.sql: 'CREATE TABLE \"Slow\" AS SELECT 1 AS id; SELECT pg_sleep(15);'}}}}"
        ))
        .unwrap();
    let template = |migrations: &str| {
        format!(
            "pools: {{names: [house], policy: PoolOnly}}, template: slow, templates: [{{name: slow, version: '1', \
             migrations: {{format: Prisma, source: {{configMapRef: {{name: {migrations}}}}}}}}}]"
        )
    };
    scripts(&world);
    for (name, migrations) in [("ours", "slow"), ("theirs", "symphony-1")] {
        world
            .apply(&format!(
                "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {{name: {name}}}, spec: {{{}}}}}",
                template(migrations)
            ))
            .unwrap();
    }
    let mut operator = world.operator("operator", |_| {}).unwrap();
    house(&world, &inventory(&world, &["one"]).await);
    let prepare = r#"{"spec": {"prepare": {"className": "ours", "templateRef": {"name": "slow"}}}}"#;
    world
        .kubectl(["patch", "orchpool", "house", "--type=merge", "-p", prepare])
        .unwrap();
    let begun = |database: &Value| database["status"]["template"]["version"] == "";
    soon("it is being prepared", async || {
        world.list(Kind::Database).await.unwrap().iter().any(begun)
    })
    .await;
    // One that is killed meanwhile leaves nothing half done.
    operator.kill().unwrap();
    let _next = world.operator("next", |_| {}).unwrap();
    let says = |object: &Value| {
        condition(object, "Ready")
            .2
            .contains("is being prepared from version 1")
    };
    world.until(Kind::Pool, ("", "house"), LONG, says).await.unwrap();

    // The template of another class may be another one, whatever it is called.
    tenant(&world, "stranger", "className: theirs").unwrap();
    tenant(&world, "fellow", "className: ours").unwrap();
    for (name, why) in [("stranger", "from another template"), ("fellow", "is being prepared")] {
        let waits = |object: &Value| {
            let (_, reason, message) = condition(object, "Ready");
            reason == "PoolExhausted" && message.contains(why)
        };
        world
            .until(Kind::Orchestra, (TENANTS, name), LONG, waits)
            .await
            .unwrap();
    }
    ready(&world, "fellow").await;
    let url = &secret(&world, TENANTS, "fellow-connection").await["DATABASE_URL"];
    let mut session = login(url).await.unwrap();
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Slow\"").await, 1);
    // Claims of others trigger no waiting Orchestra: this one is triggered explicitly.
    world
        .kubectl([
            "annotate",
            "orch",
            "stranger",
            "-n",
            TENANTS,
            "stagesub.io/check-requested-at=now",
        ])
        .unwrap();
    let waits = |object: &Value| {
        let (_, reason, message) = condition(object, "Ready");
        reason == "PoolExhausted" && message.contains("no database is left in pool house")
    };
    world
        .until(Kind::Orchestra, (TENANTS, "stranger"), LONG, waits)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_together_is_refused_at_once() {
    let world = generous_world().await;
    let own = "migrations: {source: {configMapRef: {name: a}}}";
    tenant(&world, "first", "source: {templateRef: {name: symphony}}").unwrap();
    for (name, spec, says) in [
        (
            "both",
            &*format!("source: {{templateRef: {{name: symphony}}}}, {own}"),
            "a template has its own migrations",
        ),
        (
            "first",
            "source: {templateRef: {name: chamber}}",
            "source is immutable once set",
        ),
        ("first", "deletionPolicy: Retain", "source is immutable once set"),
        ("bad", "source: {templateRef: {name: Symphony_1}}", "should match"),
        ("bad", "source: {}", "set templateRef, existing or backupRef"),
        ("bad", "migrations: {format: Prisma}", "format belongs to a source"),
    ] {
        let error = tenant(&world, name, spec).unwrap_err().to_string();
        assert!(error.contains(says), "{spec}: {error}");
    }
    let class = |spec: &str| {
        let spec = format!("provider: {{supabase: {{}}}}, {spec}");
        let error = world.apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {{name: bad}}, spec: {{{spec}}}}}"
        ));
        error.unwrap_err().to_string()
    };
    let template = format!("name: a, version: '1', {own}");
    for (spec, says) in [
        (
            "migrations: {drift: {fingerprint: true}}".to_owned(),
            "a class's migrations need a source",
        ),
        (
            own.replace("source:", "baseline: x, source:"),
            "set them in its Orchestra",
        ),
        (
            format!("template: b, templates: [{{{template}}}]"),
            "template must be the name of one of templates",
        ),
        (
            format!("template: a, templates: [{{{template}}}], {own}"),
            "a template has its own",
        ),
        (
            format!("templates: [{{{template}}}, {{{template}}}]"),
            "duplicate entries",
        ),
        (
            "templates: [{name: a, version: '1', migrations: {}}]".to_owned(),
            "a template's migrations need a source",
        ),
    ] {
        let error = class(&spec);
        assert!(error.contains(says), "{spec}: {error}");
    }
}
