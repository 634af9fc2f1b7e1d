//! A project that the operator did not make becomes an Orchestra's: only when the class says so, with the password that its
//! author gives or allows, and it is never bought again or destroyed unasked.

mod interrupted;

use orchestra_sandbox::world::{Kind, TENANTS, World, condition};
use serde_json::{Value, json};

use crate::orphans::project;
use crate::proof::{generous_world, owner_url, soon, tenant};
use crate::support::{LONG, SYSTEM, gate, gone, login, ready, reason, scalar, secret, sources, standard_class};
use crate::way_back::{MEMBERS, delete, operator, taker};

/// The password that [`project`] gives its owner.
const PASSWORD: &str = "Somebody-elses.1";

/// The one that somebody sets later.
const CHANGED: &str = "Set-in-the-dashboard.2";

fn adopter(world: &World, namespace: &str, name: &str, reference: &str, adopt: &str, more: &str) {
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {namespace}}}, \
             spec: {{source: {{existing: {{projectRef: {reference}, adopt: {{{adopt}}}}}}}{more}}}}}"
        ))
        .unwrap();
}

/// Lists the projects in the class; `all`: also what destroys them or locks others out is allowed.
fn lets_adopt(world: &World, references: &[&String], all: bool) {
    let right = all.then_some(true);
    let projects: Vec<_> = references
        .iter()
        .map(|reference| {
            json!({
                "ref": reference, "namespace": TENANTS, "allowDeletion": right, "allowResetPassword": right,
            })
        })
        .collect();
    let patch = json!({"spec": {"adoption": {"projects": projects}}}).to_string();
    world
        .kubectl(["patch", "orchclass", "standard", "--type=merge", "-p", &patch])
        .unwrap();
}

/// The Secret in which the author of "one" gives the password.
fn give(world: &World, password: &str) {
    let given = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop", "namespace": TENANTS},
        "stringData": {"password": format!("{password}\n")},
    });
    world.apply(&given.to_string()).unwrap();
    // No watch reports it.
    look(world, &password.len().to_string());
}

/// Has the operator look into the database of "one".
fn look(world: &World, when: &str) {
    let asked = format!("stagesub.io/check-requested-at={when}");
    world
        .kubectl(["annotate", "orch", "one", "-n", TENANTS, "--overwrite", &asked])
        .unwrap();
}

fn passwords_set(world: &World) -> usize {
    let requests = world.api.ledger().requests();
    let sets = requests.iter().filter(|it| it.path.ends_with("/database/password"));
    sets.count()
}

fn is_deleted(world: &World, reference: &str) -> bool {
    let made = world.api.ledger().projects();
    made.iter().any(|it| it.reference == reference && it.deleted.is_some())
}

/// Makes the mark in the database another Orchestra's; the second time, the former one's again.
async fn turn_mark(world: &World, reference: &str) {
    let mut session = world.api.project(reference).await.unwrap();
    let turn = "UPDATE stagesub.claim SET orchestra_uid = reverse(orchestra_uid)";
    sqlx::raw_sql(turn).execute(&mut session).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one project's life, in its order")]
async fn a_project_of_somebody_else_is_adopted_and_kept() {
    let world = generous_world().await;
    let gate = gate(&world).await;
    let _operator = operator(&world, &gate, "operator");
    standard_class(&world, "  deletion: {policy: Delete}");
    sources(&world);
    let shop = project(&world, "shop").await;
    let marked = "tenants-x-7d1f0c2e93ab-orchdb-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";
    let marked = project(&world, marked).await;
    let claimed = project(&world, "claimed").await;
    for reference in [&shop, &claimed] {
        soon("the project is up", async || world.api.project(reference).await.is_ok()).await;
    }
    sqlx::raw_sql(
        "SET ROLE postgres; CREATE TABLE \"Member\" (\"id\" SERIAL PRIMARY KEY, \"name\" TEXT NOT NULL); \
         INSERT INTO \"Member\" (\"name\") VALUES ('Ada'), ('Bo')",
    )
    .execute(&mut world.api.project(&shop).await.unwrap())
    .await
    .unwrap();

    sqlx::raw_sql(
        "SET ROLE postgres; CREATE SCHEMA stagesub; \
         CREATE TABLE stagesub.claim (orchestra_uid text, namespace text, name text); \
         INSERT INTO stagesub.claim VALUES ('7d1f0c2e-93ab-4c1d-8e2f-001122334455', 'far', 'away')",
    )
    .execute(&mut world.api.project(&claimed).await.unwrap())
    .await
    .unwrap();

    let given = "passwordSecretRef: {name: shop}";
    let baseline = ", migrations: {source: {configMapRef: {name: schema}}, baseline: 20260101000000_members}, \
                    deletionPolicy: Delete";
    adopter(&world, TENANTS, "one", &shop, given, baseline);
    let object = reason(&world, "one", "ExistingNotAllowed").await;
    let message = condition(&object, "Stalled").2;
    assert!(message.contains("spec.adoption.projects"), "{message}");
    lets_adopt(&world, &[&shop, &marked, &claimed], false);
    let object = reason(&world, "one", "PasswordNotFound").await;
    assert!(
        condition(&object, "Stalled").2.contains("Secret tenants/shop"),
        "{object:#}"
    );
    assert!(
        world.list(Kind::Database).await.unwrap().is_empty(),
        "nothing is claimed"
    );

    // A wrong password is reported, and no other one is set.
    give(&world, "wrong");
    let object = reason(&world, "one", "LoginFailed").await;
    assert!(
        condition(&object, "Stalled").2.contains("passwordSecretRef"),
        "{object:#}"
    );
    give(&world, PASSWORD);
    let object = ready(&world, "one").await;
    assert_eq!(object["status"]["migrations"]["applied"], 2, "{object:#}");
    assert_eq!(object["status"]["project"]["ref"], shop.as_str());
    assert_eq!(scalar(&mut tenant(&world, "one").await, MEMBERS).await, 2);
    assert_eq!(passwords_set(&world), 0);
    let database = format!("orchdb-{shop}");
    assert_eq!(secret(&world, SYSTEM, &database).await["password"], PASSWORD);

    // Somebody sets another password while it is in use: that is reported, and the corrected Secret is read.
    let mut owner = login(&owner_url(&secret(&world, SYSTEM, &database).await))
        .await
        .unwrap();
    sqlx::raw_sql("ALTER ROLE CURRENT_USER PASSWORD 'Set-in-the-dashboard.2'")
        .execute(&mut owner)
        .await
        .unwrap();
    look(&world, "first");
    reason(&world, "one", "LoginFailed").await;
    give(&world, CHANGED);
    ready(&world, "one").await;
    let stored = async || secret(&world, SYSTEM, &database).await["password"] == CHANGED;
    soon("the corrected password is stored", stored).await;

    // An Orchestra that may not have it says why.
    world.kubectl(["create", "namespace", "others"]).unwrap();
    adopter(&world, TENANTS, "two", &shop, "resetPassword: true", "");
    let object = reason(&world, "two", "InUse").await;
    assert!(
        condition(&object, "Stalled").2.contains("Orchestra tenants/one"),
        "{object:#}"
    );
    adopter(&world, "others", "foreign", &shop, "resetPassword: true", "");
    adopter(
        &world,
        TENANTS,
        "marked",
        &marked,
        "resetPassword: true, deletion: true",
        "",
    );
    let object = reason(&world, "marked", "ExistingNotAllowed").await;
    assert!(condition(&object, "Stalled").2.contains("allowDeletion"), "{object:#}");
    lets_adopt(&world, &[&shop, &marked, &claimed], true);
    adopter(&world, TENANTS, "missing", &"x".repeat(20), "resetPassword: true", "");
    for (namespace, name, part) in [
        ("others", "foreign", "of another namespace"),
        (TENANTS, "marked", "carries the marker of OrchestraDatabase orchdb-0f3c"),
        (TENANTS, "missing", "does not let"),
    ] {
        let has = |object: &Value| {
            condition(object, "Ready").1 == "ExistingNotAllowed" && condition(object, "Stalled").2.contains(part)
        };
        world
            .until(Kind::Orchestra, (namespace, name), LONG, has)
            .await
            .unwrap();
    }

    // What another cluster uses gets no other password.
    adopter(
        &world,
        TENANTS,
        "claimed",
        &claimed,
        "resetPassword: true, deletion: true",
        "",
    );
    let object = reason(&world, "claimed", "ClaimConflict").await;
    assert!(
        condition(&object, "Stalled").2.contains("Orchestra far/away"),
        "{object:#}"
    );
    world
        .kubectl(["delete", "orch", "claimed", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    gone(&world, Kind::Database, "", &format!("orchdb-{claimed}")).await;

    // It stays, whatever the policies say. Who allows something else does not get it, and who allows nothing does.
    world
        .kubectl(["delete", "orch", "one", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    let object = reason(&world, "two", "ExistingNotAllowed").await;
    let message = condition(&object, "Stalled").2;
    assert!(message.contains("resetPassword is true here"), "{message}");
    world
        .kubectl(["delete", "orch", "two", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    taker(&world, TENANTS, "three", &database, "");
    let object = ready(&world, "three").await;
    assert_eq!(object["status"]["databaseName"], database.as_str());
    assert_eq!(scalar(&mut tenant(&world, "three").await, MEMBERS).await, 2);
    let kept = delete(&world, "three", &database, "Released").await;
    assert_eq!(kept["spec"]["reclaimPolicy"], "Retain");
    let refused = world.kubectl([
        "patch",
        "orchdb",
        &database,
        "--type=merge",
        "-p",
        r#"{"spec":{"reclaimPolicy":"Delete"}}"#,
    ]);
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("adopted without adopt.deletion")
    );
    // A status that was lost is proven again: a project that was in use is not released.
    let lost = r#"[{"op": "remove", "path": "/status"}]"#;
    world
        .kubectl([
            "patch",
            "orchdb",
            &database,
            "--subresource=status",
            "--type=json",
            "-p",
            lost,
        ])
        .unwrap();
    let offered = r#"{"spec":{"offeredTo":"others"}}"#;
    world
        .kubectl(["patch", "orchdb", &database, "--type=merge", "-p", offered])
        .unwrap();
    let proven =
        |object: &Value| object["status"]["phase"] == "Released" && object["status"]["usableSince"].is_string();
    world
        .until(Kind::Database, ("", &database), LONG, proven)
        .await
        .unwrap();
    world.kubectl(["delete", "orchdb", &database, "--timeout=60s"]).unwrap();
    gone(&world, Kind::Secret, SYSTEM, &database).await;
    // No mark is left, so that it can be adopted again, as the sample does.
    let file = crate::support::project().join("deploy/samples/adopted.yaml");
    let sample = std::fs::read_to_string(file).unwrap();
    let sample = sample
        .replace("abcdefghijklmnopqrst", &shop)
        .replace("the-password-of-the-role-postgres", CHANGED);
    world.apply(&sample).unwrap();
    let object = ready(&world, "adopted").await;
    assert_eq!(object["status"]["databaseName"], database.as_str());
    for reference in [&shop, &marked, &claimed] {
        assert!(!is_deleted(&world, reference));
    }
    assert_eq!(passwords_set(&world), 0);
    assert_eq!(world.api.ledger().projects().len(), 3, "none was bought");
}
