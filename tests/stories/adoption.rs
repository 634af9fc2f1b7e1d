//! A project that the operator did not make becomes an Orchestra's: only when the class says so, with the password that its
//! author gives or allows, and it is never bought again or destroyed unasked.

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::orphans::project;
use crate::proof::{generous_world, soon, tenant};
use crate::support::{LONG, SYSTEM, gate, gone, ready, reason, scalar, secret, sources, standard_class};
use crate::way_back::{MEMBERS, delete, operator};

/// The password that [`project`] gives its owner.
const PASSWORD: &str = "Somebody-elses.1";

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
async fn a_project_of_somebody_else_is_adopted_and_kept() {
    let world = generous_world().await;
    let gate = gate(&world).await;
    let _operator = operator(&world, &gate, "operator");
    standard_class(&world, "  deletion: {policy: Delete}");
    sources(&world);
    let shop = project(&world, "shop").await;
    let marked = "tenants-x-7d1f0c2e93ab-orchdb-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";
    let marked = project(&world, marked).await;
    soon("the project is up", async || world.api.project(&shop).await.is_ok()).await;
    sqlx::raw_sql(
        "SET ROLE postgres; CREATE TABLE \"Member\" (\"id\" SERIAL PRIMARY KEY, \"name\" TEXT NOT NULL); \
         INSERT INTO \"Member\" (\"name\") VALUES ('Ada'), ('Bo')",
    )
    .execute(&mut world.api.project(&shop).await.unwrap())
    .await
    .unwrap();

    let given = "passwordSecretRef: {name: shop}";
    let baseline = ", migrations: {source: {configMapRef: {name: schema}}, baseline: 20260101000000_members}, \
                    deletionPolicy: Delete";
    adopter(&world, TENANTS, "one", &shop, given, baseline);
    let object = reason(&world, "one", "ExistingNotAllowed").await;
    let message = condition(&object, "Stalled").2;
    assert!(message.contains("spec.adoption.projects"), "{message}");
    lets_adopt(&world, &[&shop, &marked]);
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
    assert!(!is_deleted(&world, &shop) && !is_deleted(&world, &marked));
    assert_eq!(passwords_set(&world), 0);
    assert_eq!(world.api.ledger().projects().len(), 2, "none was bought");
}
