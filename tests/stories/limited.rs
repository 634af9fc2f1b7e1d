//! An operator that serves a few namespaces, with rights in these only.

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition};

use crate::orphans::command;
use crate::process::get;
use crate::proof::{generous_world, soon};
use crate::support::{LONG, login, orchestra, ready, reason, scalar, secret, sources, standard_class};

/// Takes the rights in all namespaces from the operator, and grants it those of `rbac`, without those that `but` names.
fn limit(world: &World, but: Option<&str>) {
    for kind in ["clusterrolebinding", "clusterrole"] {
        world.kubectl(["delete", kind, "orchestra-operator-tenants"]).unwrap();
    }
    let printed = command(world, &["rbac", "--watch-namespaces", TENANTS]);
    assert!(printed.status.success(), "{printed:?}");
    let printed = String::from_utf8(printed.stdout).unwrap();
    let granted = printed.lines().filter(|line| but.is_none_or(|but| !line.contains(but)));
    world.apply(&granted.collect::<Vec<_>>().join("\n")).unwrap();
}

fn namespace(world: &World, name: &str) {
    world.kubectl(["create", "namespace", name]).unwrap();
}

/// An Orchestra without migrations in another namespace.
fn elsewhere(world: &World, namespace: &str, name: &str) {
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{}}}}"
        ))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_rights_in_a_few_namespaces_serves_these() {
    let world = generous_world().await;
    namespace(&world, "other");
    limit(&world, Some("customresourcedefinitions"));
    standard_class(
        &world,
        "  allowedNamespaces: {selector: {matchLabels: {kubernetes.io/metadata.name: tenants}}}",
    );
    sources(&world);
    elsewhere(&world, "other", "unserved");
    let serve = |name: &str, tenants: &'static str| {
        world
            .operator(name, |command| {
                command.arg(format!("--watch-namespaces={tenants}"));
            })
            .unwrap()
    };
    let mut operator = serve("operator", TENANTS);
    orchestra(&world, "one", "");
    ready(&world, "one").await;
    let connection = secret(&world, TENANTS, "one-connection").await;
    let mut session = login(&connection["DATABASE_URL"]).await.unwrap();
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Member\"").await, 3);

    // What is changed and deleted is seen, as with rights in all namespaces.
    world
        .kubectl(["delete", "secret", "one-connection", "-n", TENANTS])
        .unwrap();
    soon("the Secret is back", async || {
        let found = world.get(Kind::Secret, TENANTS, "one-connection").await.unwrap();
        found.is_some()
    })
    .await;
    world.kubectl(["delete", "orch", "one", "-n", TENANTS]).unwrap();
    assert!(world.get(Kind::Orchestra, TENANTS, "one").await.unwrap().is_none());
    let unserved = world.get(Kind::Orchestra, "other", "unserved").await.unwrap().unwrap();
    assert_eq!(unserved["status"]["observedGeneration"], -1, "{unserved:#}");
    operator.terminate().unwrap();
    let log = operator.log();
    assert!(!log.contains("is forbidden"), "{log}");
    // It continues without reading the definitions, and says that it cannot judge them.
    let unread = log
        .lines()
        .find(|line| line.contains("may not read CustomResourceDefinitions"));
    let unread = unread.unwrap_or_default();
    assert!(
        unread.contains("orchestras.stagesub.io") && unread.contains("orchestra-operator rbac"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_says_which_rights_it_lacks_and_waits_for_them() {
    let world = generous_world().await;
    namespace(&world, "other");
    limit(&world, None);
    standard_class(&world, "");
    let operator = world
        .operator("operator", |command| {
            command.arg("--watch-namespaces=tenants,other");
        })
        .unwrap();
    soon("it says what it lacks", async || {
        let log = operator.log();
        log.contains("the operator lacks rights") && log.contains("list orchestras.stagesub.io in namespace other")
    })
    .await;
    let log = operator.log();
    assert!(
        log.contains("orchestra-operator rbac") && !log.contains("in namespace tenants"),
        "{log}"
    );
    assert_eq!(get(&operator, "/readyz").await.0, 503);
    let printed = command(&world, &["rbac", "--watch-namespaces", "tenants,other"]);
    world.apply(&String::from_utf8(printed.stdout).unwrap()).unwrap();
    elsewhere(&world, "other", "one");
    world
        .until(Kind::Orchestra, ("other", "one"), LONG, |object| {
            condition(object, "Ready").0 == "True"
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestra_in_the_operators_own_namespace_is_refused() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    elsewhere(&world, SYSTEM, "inside");
    let refused = world
        .until(Kind::Orchestra, (SYSTEM, "inside"), LONG, |object| {
            condition(object, "Ready").1 == "NamespaceNotAllowed"
        })
        .await
        .unwrap();
    let message = condition(&refused, "Ready").2;
    assert!(message.contains("the operator's own"), "{message}");
    assert_eq!(refused["status"]["databaseName"], serde_json::Value::Null);
    assert!(world.api.ledger().projects().is_empty());
    // Elsewhere it is not.
    elsewhere(&world, TENANTS, "outside");
    reason(&world, "outside", "Ready").await;
}
