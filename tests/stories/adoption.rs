//! A project that the operator did not make becomes an Orchestra's: only when the class says so, with the password that its
//! author gives or allows, and it is never bought again or destroyed unasked.

use orchestra_sandbox::gate::{Point, Release};
use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::orphans::project;
use crate::proof::{generous_world, soon, tenant};
use crate::support::{LONG, SYSTEM, gate, gone, kill, ready, reason, scalar, secret, sources, standard_class};
use crate::way_back::{MEMBERS, delete, operator};

/// The password that [`project`] gives its owner.
const PASSWORD: &str = "Somebody-elses.1";

/// The write that takes the project.
const ADOPTS: &str = "POST orchestradatabases claimRef,className,reclaimPolicy,supabase";

fn adopter(world: &World, namespace: &str, name: &str, reference: &str, adopt: &str, more: &str) {
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {namespace}}}, \
             spec: {{source: {{existing: {{projectRef: {reference}, adopt: {{{adopt}}}}}}}{more}}}}}"
        ))
        .unwrap();
}

fn lets_adopt(world: &World, references: &[&String]) {
    let projects: Vec<_> = references
        .iter()
        .map(|reference| json!({"ref": reference, "namespace": TENANTS}))
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
    // No watch tells of it.
    let asked = format!("stagesub.io/check-requested-at={}", password.len());
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
    lets_adopt(&world, &[&shop, &marked, &claimed]);
    let object = reason(&world, "one", "PasswordNotFound").await;
    assert!(
        condition(&object, "Stalled").2.contains("Secret tenants/shop"),
        "{object:#}"
    );
    assert!(
        world.list(Kind::Database).await.unwrap().is_empty(),
        "nothing is claimed"
    );

    // A wrong password is told, and no other one is set.
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

    // Who may not have it is told why.
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
    adopter(&world, TENANTS, "missing", &"x".repeat(20), "resetPassword: true", "");
    for (namespace, name, part) in [
        ("others", "foreign", "of another namespace"),
        (TENANTS, "marked", "carries the marker of OrchestraDatabase orchdb-0f3c"),
        (TENANTS, "missing", "does not let"),
    ] {
        let has = |object: &Value| condition(object, "Ready").1 == "ExistingNotAllowed";
        let object = world
            .until(Kind::Orchestra, (namespace, name), LONG, has)
            .await
            .unwrap();
        let message = condition(&object, "Stalled").2;
        assert!(message.contains(part), "{name}: {message}");
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

    // It stays, whatever the policies say, and the next one has it.
    let is_two = |object: &Value| is_true(object, "Ready");
    world
        .kubectl(["delete", "orch", "one", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    let object = world
        .until(Kind::Orchestra, (TENANTS, "two"), LONG, is_two)
        .await
        .unwrap();
    assert_eq!(object["status"]["databaseName"], database.as_str());
    assert_eq!(scalar(&mut tenant(&world, "two").await, MEMBERS).await, 2);
    let kept = delete(&world, "two", &database, "Released").await;
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
    world.kubectl(["delete", "orchdb", &database, "--timeout=60s"]).unwrap();
    gone(&world, Kind::Secret, SYSTEM, &database).await;
    for reference in [&shop, &marked, &claimed] {
        assert!(!is_deleted(&world, reference));
    }
    assert_eq!(passwords_set(&world), 0);
    assert_eq!(world.api.ledger().projects().len(), 3, "none was bought");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_adopts_it_whenever_the_operator_dies_and_destroys_it_when_allowed() {
    let world = generous_world().await;
    let gate = gate(&world).await;
    let mut operator_ = operator(&world, &gate, "first");
    let stage = project(&world, "stage").await;
    // A template that the class puts into new databases.
    let class = "  deletion: {policy: Delete}\n  template: demo\n  templates:\n  - {name: demo, version: '1', \
                 migrations: {source: {configMapRef: {name: schema}}}, seed: {configMapRef: {name: demo-seed}}}";
    standard_class(&world, class);
    sources(&world);
    for map in ["schema", "demo-seed"] {
        let text = world
            .kubectl(["get", "configmap", map, "-n", TENANTS, "-o", "json"])
            .unwrap();
        let mut map: Value = serde_json::from_str(&text).unwrap();
        map["metadata"] = json!({"name": map["metadata"]["name"], "namespace": SYSTEM});
        world.apply(&map.to_string()).unwrap();
    }
    lets_adopt(&world, &[&stage]);
    let steps = [
        (ADOPTS, Point::Before, Release::Lose),
        (ADOPTS, Point::After, Release::Pass),
        ("POST secrets password", Point::Before, Release::Lose),
    ];
    gate.follow("staged");
    for (number, (label, point, release)) in steps.into_iter().enumerate() {
        // What was written before a kill is not written again.
        gate.hold("staged", label, point);
        if number == 0 {
            adopter(
                &world,
                TENANTS,
                "staged",
                &stage,
                "resetPassword: true, deletion: true",
                "",
            );
        }
        soon("the write is held", async || gate.held("staged").is_some()).await;
        kill(&world, &mut operator_);
        gate.release("staged", release);
        operator_ = operator(&world, &gate, &format!("after-{number}"));
    }
    ready(&world, "staged").await;
    adopter(
        &world,
        TENANTS,
        "rival",
        &stage,
        "resetPassword: true, deletion: true",
        "",
    );
    reason(&world, "rival", "InUse").await;
    assert_eq!(passwords_set(&world), 1, "once");
    // The rows of the class's template are not asked for.
    assert_eq!(scalar(&mut tenant(&world, "staged").await, MEMBERS).await, 0);
    world
        .kubectl(["delete", "orch", "rival", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    assert!(!is_deleted(&world, &stage));
    world
        .kubectl(["delete", "orch", "staged", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    gone(&world, Kind::Database, "", &format!("orchdb-{stage}")).await;
    assert!(is_deleted(&world, &stage));
    assert_eq!(world.api.ledger().projects().len(), 1, "none was bought");
}
