//! Seeds: scripts and tables with the orchestra's own values, applied as a whole or not at all.

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::proof::{generous_world, owner, tenant};
use crate::support::{LONG, ready, reason, scalar, standard_class};

/// A name that would drop a table, were it not a value.
const EVIL: &str = "L'Été \"O'Neill\"\\'); DROP TABLE \"Setting\"; --\n$$ :'locale' 🎻";

const SCHEMA: &str = r#"
CREATE TABLE "Setting" ("key" TEXT PRIMARY KEY, "value" TEXT NOT NULL);
CREATE TABLE "Template" ("code" TEXT PRIMARY KEY, "body" TEXT NOT NULL);
CREATE TABLE "Member" ("id" INT PRIMARY KEY, "full name" TEXT NOT NULL, "born" DATE, "note" TEXT);
"#;

const SETTINGS: &str = r#"-- Runs again when a value changes.
INSERT INTO "Setting" VALUES ('name', :'display_name'), ('locale', :'locale'), ('region', :'region'),
    ('orchestra', :'namespace' || '/' || :'orchestra'), ('season', :'label_season')
ON CONFLICT ("key") DO UPDATE SET "value" = excluded."value";
INSERT INTO "Template" VALUES ('call', 'Dear {{member}}, ' || :'display_name' || ' asks you to play')
ON CONFLICT ("code") DO UPDATE SET "body" = excluded."body";
DELETE FROM "Member";
"#;

const MEMBERS: &str =
    "id,full name,born,note\n1,\"Lind, \"\"Ada\"\"\",1990-02-03,\n2,Åsa,,\"two\nlines\"\n3,:'display_name',,\n";

fn config_map(world: &World, namespace: &str, name: &str, data: &Value) {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data,
    });
    world.apply(&object.to_string()).unwrap();
}

fn orchestra(world: &World, name: &str, labels: &Value, spec: &Value) -> anyhow::Result<()> {
    let object = json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
        "metadata": {"name": name, "namespace": TENANTS, "labels": labels}, "spec": spec,
    });
    world.apply(&object.to_string())
}

async fn text(session: &mut PgConnection, query: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_one(session)
        .await
        .unwrap()
}

async fn setting(session: &mut PgConnection, key: &str) -> String {
    text(
        session,
        &format!("SELECT \"value\" FROM \"Setting\" WHERE \"key\" = '{key}'"),
    )
    .await
}

/// Waits until it is Ready with another seed than this one.
async fn seeded_anew(world: &World, name: &str, before: &Value) -> Value {
    let is = |object: &Value| is_true(object, "Ready") && object["status"]["seed"] != before["status"]["seed"];
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap()
}

const RUNS: &str = "SELECT count(*) FROM stagesub.seed";

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_carries_the_orchestras_own_values_and_follows_them() {
    let world = generous_world().await;
    standard_class(&world, "  placement: {region: eu-west-3}");
    config_map(&world, TENANTS, "schema", &json!({"1_init.sql": SCHEMA}));
    let files = json!({"10_settings.sql": SETTINGS, "20_Member.csv": MEMBERS, "README.md": "none of it"});
    config_map(&world, TENANTS, "rows", &files);
    let mut operator = world.operator("operator", |_| {}).unwrap();
    let spec = |policy: &str| {
        json!({
            "displayName": EVIL, "locale": "fr-CA",
            "migrations": {"format": "Prisma", "source": {"configMapRef": {"name": "schema"}}},
            "seed": {"configMapRef": {"name": "rows"}, "policy": policy},
        })
    };
    let season = |season: &str| json!({"seed.stagesub.io/season": season, "team": "none"});
    orchestra(&world, "ete", &season("2026-27"), &spec("OnChange")).unwrap();
    orchestra(&world, "once", &season("2026-27"), &spec("Once")).unwrap();
    let first = ready(&world, "ete").await;
    let mut session = owner(&world, "ete").await;
    for (key, value) in [
        ("name", EVIL),
        ("locale", "fr-CA"),
        ("region", "eu-west-3"),
        ("orchestra", "tenants/ete"),
        ("season", "2026-27"),
    ] {
        assert_eq!(setting(&mut session, key).await, value);
    }
    let body = text(&mut session, "SELECT \"body\" FROM \"Template\"").await;
    assert_eq!(body, format!("Dear {{{{member}}}}, {EVIL} asks you to play"));
    let names = "SELECT string_agg(\"full name\", '|' ORDER BY \"id\") FROM \"Member\"";
    assert_eq!(text(&mut session, names).await, "Lind, \"Ada\"|Åsa|:'display_name'");
    let digest = text(&mut session, "SELECT digest FROM stagesub.seed").await;
    assert_eq!(first["status"]["seed"], digest);
    let mut login = tenant(&world, "ete").await;
    assert_eq!(scalar(&mut login, "SELECT count(*) FROM \"Member\"").await, 3);
    assert!(
        sqlx::query(RUNS).execute(&mut login).await.is_err(),
        "the record is not the tenant's"
    );

    // A value of the Orchestra changes, then a file; what does not matter does not.
    orchestra(&world, "ete", &season("2027-28"), &spec("OnChange")).unwrap();
    let second = seeded_anew(&world, "ete", &first).await;
    assert_eq!(setting(&mut session, "season").await, "2027-28");
    let more = format!("{MEMBERS}4,Bo,,\n");
    config_map(
        &world,
        TENANTS,
        "rows",
        &json!({"10_settings.sql": SETTINGS, "20_Member.csv": more}),
    );
    seeded_anew(&world, "ete", &second).await;
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Member\"").await, 4);
    assert_eq!(scalar(&mut session, RUNS).await, 3);
    let mut other = owner(&world, "once").await;
    ready(&world, "once").await;
    let rows = (
        scalar(&mut other, "SELECT count(*) FROM \"Member\"").await,
        scalar(&mut other, RUNS).await,
    );
    assert_eq!(rows, (3, 1), "Once is once");

    // A new operator looks at everything, and applies nothing again.
    operator.kill().unwrap();
    let _next = world.operator("next", |_| {}).unwrap();
    let labels = json!({"seed.stagesub.io/season": "2027-28", "team": "other", "seed.stagesub.io/unused": "x"});
    orchestra(
        &world,
        "ete",
        &labels,
        &json!({"displayName": "Short", "locale": "fr-CA",
        "migrations": spec("")["migrations"], "seed": spec("OnChange")["seed"]}),
    )
    .unwrap();
    let renamed = |object: &Value| is_true(object, "Ready") && object["status"]["observedGeneration"] == 2;
    world
        .until(Kind::Orchestra, (TENANTS, "ete"), LONG, renamed)
        .await
        .unwrap();
    assert_eq!(setting(&mut session, "name").await, "Short");
    assert_eq!(scalar(&mut session, RUNS).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_fails_leaves_nothing_and_says_where() {
    let world = generous_world().await;
    standard_class(&world, "");
    config_map(&world, TENANTS, "schema", &json!({"1_init.sql": SCHEMA}));
    let rows = |name: &str, data: Value| config_map(&world, TENANTS, name, &data);
    rows(
        "good",
        json!({"10_settings.sql": "INSERT INTO \"Setting\" VALUES ('a', 'b')", "20_Member.csv": MEMBERS}),
    );
    rows(
        "bad",
        json!({"10_settings.sql": "INSERT INTO \"Setting\" VALUES ('a', 'b')",
        "20_Member.csv": "id,full name,born\n1,Ada,1990-02-03\n2,geheim,1990-22-03\n"}),
    );
    rows(
        "lacks",
        json!({"10_a.sql": "INSERT INTO \"Setting\" VALUES ('a', 'b');\nINSERT INTO \"Later\" VALUES (1)"}),
    );
    rows("unknown", json!({"10_a.sql": "SELECT 1;\nSELECT :'display_nmae'"}));
    rows(
        "bare",
        json!({"10_a.sql": "INSERT INTO \"Setting\" VALUES ('a', :display_name)"}),
    );
    let _operator = world.operator("operator", |_| {}).unwrap();
    let make = |name: &str, rows: &str| {
        let spec = json!({
            "migrations": {"format": "Prisma", "source": {"configMapRef": {"name": "schema"}}},
            "seed": {"configMapRef": {"name": rows}, "policy": "OnChange"},
        });
        orchestra(&world, name, &json!({}), &spec).unwrap();
    };
    for (name, seed, why, says) in [
        (
            "row",
            "bad",
            "SeedFailed",
            "20_Member.csv failed at line 3, column born",
        ),
        (
            "table",
            "lacks",
            "SeedFailed",
            "10_a.sql failed at line 2, column 13: relation \"Later\" does not exist",
        ),
        (
            "variable",
            "unknown",
            "SourceInvalid",
            "10_a.sql:2:8: the variable display_nmae is not known; there are: display_name",
        ),
        (
            "quotes",
            "bare",
            "SourceInvalid",
            "10_a.sql:1:36: a variable without quotes",
        ),
    ] {
        make(name, seed);
        let object = reason(&world, name, why).await;
        let message = condition(&object, "Stalled").2;
        assert!(message.contains(says), "{message}");
        assert!(!object.to_string().contains("geheim"), "{object}");
        assert_eq!(condition(&object, "Available").0, "False");
        if why == "SeedFailed" {
            let mut session = owner(&world, name).await;
            let left = "SELECT (SELECT count(*) FROM \"Setting\") + (SELECT count(*) FROM \"Member\") \
                        + (SELECT count(*) FROM pg_tables WHERE schemaname = 'stagesub' AND tablename = 'seed')";
            assert_eq!(scalar(&mut session, left).await, 0);
        }
    }

    // What it lacked comes with a migration.
    let later = json!({"1_init.sql": SCHEMA, "2_later.sql": "CREATE TABLE \"Later\" (\"id\" INT);"});
    config_map(&world, TENANTS, "schema", &later);
    ready(&world, "table").await;
    assert_eq!(
        scalar(&mut owner(&world, "table").await, "SELECT count(*) FROM \"Later\"").await,
        1
    );

    // A tenant in use keeps its rows, and stays in use.
    make("used", "good");
    let before = ready(&world, "used").await;
    make("used", "bad");
    let object = reason(&world, "used", "SeedFailed").await;
    assert!(
        is_true(&object, "Available") && !is_true(&object, "Seeded"),
        "{object:#}"
    );
    assert_eq!(object["status"]["seed"], before["status"]["seed"]);
    let mut session = owner(&world, "used").await;
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Member\"").await, 3);
    assert_eq!(scalar(&mut session, RUNS).await, 1);
    make("used", "good");
    ready(&world, "used").await;
    assert_eq!(scalar(&mut session, RUNS).await, 1, "it was applied before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_templates_seed_knows_its_settings_and_comes_with_its_migrations() {
    let world = generous_world().await;
    let class = |version: &str, schema: &str, currency: &str| {
        let template = |name: &str| {
            json!({
                "name": name, "version": version, "settings": {"currency": currency},
                "migrations": {"format": "Prisma", "source": {"configMapRef": {"name": schema}}},
                "seed": {"configMapRef": {"name": format!("{schema}-rows")}, "policy": "OnChange"},
            })
        };
        let mut later = template("later");
        if schema == "one" {
            later.as_object_mut().unwrap().remove("seed");
        }
        let templates = json!([template("chamber"), later]);
        standard_class(&world, &format!("  templates: {templates}\n  template: chamber"));
    };
    config_map(&world, SYSTEM, "one", &json!({"1_init.sql": SCHEMA}));
    config_map(
        &world,
        SYSTEM,
        "one-rows",
        &json!({"a.sql": "DELETE FROM \"Setting\"; INSERT INTO \"Setting\" VALUES ('name', :'setting_currency' || ' ' || :'display_name')"}),
    );
    config_map(
        &world,
        SYSTEM,
        "two",
        &json!({"1_init.sql": SCHEMA, "2_more.sql": "CREATE TABLE \"More\" (\"id\" INT)"}),
    );
    config_map(
        &world,
        SYSTEM,
        "two-rows",
        &json!({"a.sql": "UPDATE \"Setting\" SET \"value\" = :'setting_currency'; INSERT INTO \"More\" VALUES (1)"}),
    );
    class("1", "one", "SEK");
    let _operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "free", &json!({}), &json!({"displayName": "Quartet"})).unwrap();
    orchestra(&world, "pinned", &json!({}), &json!({"pinMigrations": true})).unwrap();
    let bare = json!({"pinMigrations": true, "source": {"templateRef": {"name": "later"}}});
    orchestra(&world, "bare", &json!({}), &bare).unwrap();
    let first = ready(&world, "free").await;
    ready(&world, "bare").await;
    let pinned = ready(&world, "pinned").await;
    let mut session = owner(&world, "free").await;
    assert_eq!(setting(&mut session, "name").await, "SEK Quartet");
    class("2", "two", "EUR");
    seeded_anew(&world, "free", &first).await;
    assert_eq!(setting(&mut session, "name").await, "EUR");
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"More\"").await, 1);

    // Whoever keeps its migrations keeps the seed that was made for them.
    let touched = json!({"touched": "yes"});
    orchestra(&world, "pinned", &touched, &json!({"pinMigrations": true})).unwrap();
    orchestra(&world, "bare", &touched, &bare).unwrap();
    let told = |object: &Value| object["status"]["migrations"]["available"].is_string();
    let object = world
        .until(Kind::Orchestra, (TENANTS, "bare"), LONG, told)
        .await
        .unwrap();
    assert!(
        is_true(&object, "Ready") && object["status"]["seed"].is_null(),
        "{object:#}"
    );
    let object = world
        .until(Kind::Orchestra, (TENANTS, "pinned"), LONG, told)
        .await
        .unwrap();
    assert!(is_true(&object, "Ready"), "{object:#}");
    assert_eq!(object["status"]["seed"], pinned["status"]["seed"]);
    let mut session = owner(&world, "pinned").await;
    assert_eq!(setting(&mut session, "name").await, "SEK pinned");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_values_are_refused_at_once() {
    let world = generous_world().await;
    for (spec, says) in [
        (json!({"locale": "fr_FR"}), "should match"),
        (json!({"locale": "'; DROP TABLE x"}), "should match"),
        (json!({"seed": {"policy": "Once"}}), "exactly one of configMapRef"),
        (
            json!({"seed": {"configMapRef": {"name": "a"}, "policy": "Twice"}}),
            "Unsupported value",
        ),
    ] {
        let error = orchestra(&world, "odd", &json!({}), &spec).unwrap_err().to_string();
        assert!(error.contains(says), "{spec}: {error}");
    }
    for name in ["Currency", "1st", "a-b", "x'y", ""] {
        let template = json!([{"name": "a", "version": "1", "settings": {name: "x"},
            "migrations": {"source": {"configMapRef": {"name": "a"}}}}]);
        let class = json!({"apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraClass", "metadata": {"name": "odd"},
            "spec": {"provider": {"supabase": {}}, "templates": template}});
        let error = world.apply(&class.to_string()).unwrap_err().to_string();
        assert!(error.contains("the name of a setting must be"), "{name}: {error}");
    }
}
