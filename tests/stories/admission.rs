//! Who may provision: namespaces that a class admits, people whom an admin names, and a second key
//! for what cannot be undone. What RBAC and admission say, the real API server says.

mod deleted_class;
mod second_key;

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::proof::{generous_world, one_project_and_both_logins, soon};
use crate::support::{LONG, gone, orchestra, patch_config_map, project, ready, reason, sources, standard_class};

/// Whether a user may, as `kubectl auth can-i --as` asks the API server.
async fn may(world: &World, user: &str, verb: &str, resource: &str, namespace: &str) -> bool {
    let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.into()),
            groups: Some(vec!["system:authenticated".into()]),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.into()),
                group: Some(group.into()),
                resource: Some(resource.into()),
                subresource: Some(part.into()),
                namespace: Some(namespace.into()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(world.admin.clone());
    let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
    answer.status.is_some_and(|status| status.allowed)
}

fn bind(world: &World, role: &str, user: &str) {
    let (role, user) = (format!("--clusterrole={role}"), format!("--user={user}"));
    let name = format!("{}-{}", &role[14..], &user[7..]);
    world
        .kubectl(["create", "rolebinding", &name, &role, &user, "-n", TENANTS])
        .unwrap();
}

/// Runs kubectl as a user; the error is what the user reads.
fn kubectl_as<const N: usize>(world: &World, user: &str, arguments: [&str; N]) -> Result<String, String> {
    let output = world.plane.kubectl(arguments).args(["--as", user]).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_namespaces_that_the_class_admits_may_claim() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    let admits = "  allowedNamespaces: {selector: {matchLabels: {tenants: yes-please}, matchExpressions: [{key: closed, \
                  operator: DoesNotExist}]}}";
    standard_class(&world, admits);
    sources(&world);
    orchestra(&world, "one", "");
    let refused = reason(&world, "one", "NamespaceNotAllowed").await;
    assert!(is_true(&refused, "Stalled"), "{refused:#}");
    let (_, _, message) = condition(&refused, "Ready");
    assert!(
        message.contains("does not admit namespace tenants") && message.contains("tenants=yes-please"),
        "{message}"
    );
    assert!(
        world.list(Kind::Database).await.unwrap().is_empty(),
        "nothing is claimed"
    );
    assert!(world.api.ledger().projects().is_empty());

    // A label on the namespace, and it continues by itself.
    world
        .kubectl(["label", "namespace", TENANTS, "tenants=yes-please"])
        .unwrap();
    one_project_and_both_logins(&world, "one").await;

    // Closed again: who holds a database keeps it, who comes now is refused.
    world.kubectl(["label", "namespace", TENANTS, "closed=true"]).unwrap();
    orchestra(&world, "two", "");
    reason(&world, "two", "NamespaceNotAllowed").await;
    world
        .kubectl(["annotate", "orchestra", "one", "-n", TENANTS, "look=again"])
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_true(&ready(&world, "one").await, "Ready"));
    assert_eq!(world.api.ledger().projects().len(), 1);

    // A selector that no API server would take in a kind of its own.
    let wrong = r#"{"spec":{"allowedNamespaces":{"selector":{"matchLabels":null,"matchExpressions":[{"key":"a","operator":"Is"}]}}}}"#;
    world
        .kubectl(["patch", "orchclass", "standard", "--type=merge", "-p", wrong])
        .unwrap();
    let invalid = |object: &Value| condition(object, "Ready").1 == "SelectorInvalid" && is_true(object, "Stalled");
    let class = world.until(Kind::Class, ("", "standard"), LONG, invalid).await.unwrap();
    assert!(
        condition(&class, "Ready").2.contains("operator Is of key a"),
        "{class:#}"
    );
    reason(&world, "two", "SelectorInvalid").await;
    assert!(is_true(&ready(&world, "one").await, "Ready"));
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn only_whom_an_admin_names_may_create() {
    let world = generous_world().await;
    for (role, user) in [
        ("orchestra-viewer", "vera"),
        ("orchestra-editor", "edda"),
        ("orchestra-admin", "ada"),
        ("view", "viola"),
        ("edit", "ed"),
        ("admin", "adam"),
    ] {
        bind(&world, role, user);
    }
    world
        .kubectl([
            "create",
            "clusterrolebinding",
            "clara",
            "--clusterrole=orchestra-class-admin",
            "--user=clara",
        ])
        .unwrap();
    // The controller manager fills aggregated roles in.
    soon("roles are aggregated", async || {
        let edda = may(&world, "edda", "create", "orchestras.stagesub.io", TENANTS).await;
        let ada = may(&world, "ada", "create", "orchestras.stagesub.io", TENANTS).await;
        edda && ada && may(&world, "viola", "list", "orchestras.stagesub.io", TENANTS).await
    })
    .await;
    // Columns: may read, may create and change, may delete.
    for (user, reads, writes, deletes) in [
        ("vera", true, false, false),
        ("edda", true, true, false),
        ("ada", true, true, true),
        ("viola", true, false, false),
        ("ed", true, false, false),
        ("adam", true, false, false),
        ("clara", false, false, false),
        ("nobody", false, false, false),
    ] {
        for (verb, expected) in [
            ("get", reads),
            ("list", reads),
            ("watch", reads),
            ("create", writes),
            ("patch", writes),
            ("delete", deletes),
            ("deletecollection", deletes),
        ] {
            let found = may(&world, user, verb, "orchestras.stagesub.io", TENANTS).await;
            assert_eq!(found, expected, "{user} {verb} orchestras");
            assert!(
                !may(&world, user, verb, "orchestras.stagesub.io", SYSTEM).await,
                "{user} {verb} in {SYSTEM}"
            );
        }
        assert!(
            !may(&world, user, "patch", "orchestras.stagesub.io/status", TENANTS).await,
            "{user}"
        );
        let class_admin = user == "clara";
        for kind in ["orchestraclasses.stagesub.io", "orchestrapools.stagesub.io"] {
            assert_eq!(
                may(&world, user, "create", kind, "").await,
                class_admin,
                "{user} {kind}"
            );
        }
        // Only the built-in roles that have always shown Secrets show them.
        let secrets = may(&world, user, "get", "secrets", TENANTS).await;
        assert_eq!(secrets, matches!(user, "ed" | "adam"), "{user} get secrets");
        assert!(
            !may(&world, user, "get", "secrets", SYSTEM).await,
            "{user} get secrets of the operator"
        );
    }

    // Not only asked, but done; and an admin of the namespace cannot give it to himself.
    let manifest = world.dir().join("of-edda.yaml");
    let text = format!(
        "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: of-edda, namespace: {TENANTS}}}, spec: {{}}}}"
    );
    std::fs::write(&manifest, format!("---\n{text}")).unwrap();
    let file = manifest.to_str().unwrap();
    let refused = kubectl_as(&world, "ed", ["create", "-f", file]).unwrap_err();
    assert!(refused.contains("forbidden"), "{refused}");
    kubectl_as(&world, "edda", ["create", "-f", file]).unwrap();
    let refused = kubectl_as(&world, "edda", ["delete", "orchestra", "of-edda", "-n", TENANTS]).unwrap_err();
    assert!(refused.contains("forbidden"), "{refused}");
    let grant = [
        "create",
        "rolebinding",
        "mine",
        "--clusterrole=orchestra-editor",
        "--user=adam",
        "-n",
        TENANTS,
    ];
    let refused = kubectl_as(&world, "adam", grant).unwrap_err();
    assert!(
        refused.contains("attempting to grant RBAC permissions not currently held"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn what_cannot_be_undone_takes_a_second_key() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "  deletion: {policy: Delete}");
    sources(&world);
    for (name, more) in [
        ("by-class", ""),
        ("own", "  deletionPolicy: Delete"),
        ("kept", "  deletionPolicy: Retain"),
    ] {
        orchestra(&world, name, more);
    }
    for name in ["by-class", "own", "kept"] {
        ready(&world, name).await;
    }
    bind(&world, "orchestra-admin", "ada");
    world
        .plane
        .apply(&project().join("deploy/samples/second-key.yaml"))
        .unwrap();
    // The API server reads policies a moment after they are written.
    let delete = |name: &'static str| {
        kubectl_as(
            &world,
            "ada",
            ["delete", "orchestra", name, "-n", TENANTS, "--dry-run=server"],
        )
    };
    soon(
        "the policy is in force",
        async || matches!(delete("own"), Err(text) if text.contains("confirm-delete")),
    )
    .await;
    // The end of a ttl needs no key. Where another policy refuses it, the Orchestra stays.
    world.apply(KEPT).unwrap();
    let made: Vec<_> = world.api.ledger().projects().into_iter().map(|it| it.name).collect();
    for name in ["brief", "refused"] {
        orchestra(&world, name, "  deletionPolicy: Delete\n  ttl: 10s");
    }
    for name in ["by-class", "own"] {
        let refused = kubectl_as(
            &world,
            "ada",
            ["delete", "orchestra", name, "-n", TENANTS, "--wait=false"],
        )
        .unwrap_err();
        let says = format!("kubectl annotate orchestra {name} -n tenants stagesub.io/confirm-delete={name}");
        assert!(
            refused.contains(&says) && refused.contains("destroys its database"),
            "{refused}"
        );
        // Another name is no confirmation.
        annotate(&world, name, "stagesub.io/confirm-delete=other");
        kubectl_as(
            &world,
            "ada",
            ["delete", "orchestra", name, "-n", TENANTS, "--wait=false"],
        )
        .unwrap_err();
    }
    assert!(
        world
            .api
            .ledger()
            .projects()
            .iter()
            .filter(|project| made.contains(&project.name))
            .all(|project| project.deleted.is_none())
    );
    let all = kubectl_as(
        &world,
        "ada",
        ["delete", "orchestra", "--all", "-n", TENANTS, "--wait=false"],
    )
    .unwrap_err();
    assert!(all.contains("confirm-delete"), "{all}");

    // What is kept needs no key; what is confirmed goes, and its finalizer comes off as ever.
    gone(&world, Kind::Orchestra, TENANTS, "kept").await;
    for name in ["by-class", "own"] {
        annotate(&world, name, &format!("stagesub.io/confirm-delete={name}"));
        kubectl_as(
            &world,
            "ada",
            ["delete", "orchestra", name, "-n", TENANTS, "--wait=false"],
        )
        .unwrap();
        gone(&world, Kind::Orchestra, TENANTS, name).await;
    }
    let left = || {
        let projects = world.api.ledger().projects();
        projects.iter().filter(|project| project.deleted.is_none()).count()
    };
    gone(&world, Kind::Orchestra, TENANTS, "brief").await;
    what_is_not_deleted_lives_on(&world).await;
    // An Orchestra waits for no provider: its project is destroyed afterwards.
    soon("the confirmed ones are destroyed", async || left() <= 1).await;
    assert_eq!(left(), 1, "the one that is kept");
}

/// Nobody deletes the Orchestra `refused`.
const KEPT: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: kept}
spec:
  matchConstraints:
    resourceRules:
      - {apiGroups: [stagesub.io], apiVersions: [v1alpha1], operations: [DELETE], resources: [orchestras]}
  validations:
    - {expression: "oldObject.metadata.name != 'refused'", message: a person keeps it}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: kept}
spec: {policyName: kept, validationActions: [Deny]}
"#;

/// Its ttl is over, and the API server refuses the deletion: everything else continues.
async fn what_is_not_deleted_lives_on(world: &World) {
    let told = |object: &Value| condition(object, "Ready").2.contains("a person keeps it");
    let object = world
        .until(Kind::Orchestra, (TENANTS, "refused"), LONG, told)
        .await
        .unwrap();
    assert!(is_true(&object, "Ready") && is_true(&object, "Available"), "{object:#}");
    let more = json!({"20260103000000_halls.sql": "CREATE TABLE \"Hall\" (\"id\" INT);"});
    patch_config_map(world, "schema", &more);
    let applied = |object: &Value| object["status"]["migrations"]["applied"] == 3;
    world
        .until(Kind::Orchestra, (TENANTS, "refused"), LONG, applied)
        .await
        .unwrap();
    world
        .kubectl(["delete", "validatingadmissionpolicybinding", "kept"])
        .unwrap();
    // Each pass tries again.
    soon("it is deleted", async || {
        let asks = format!("stagesub.io/check-requested-at={}", jiff::Timestamp::now());
        let asked = world.kubectl(["annotate", "--overwrite", "orch", "refused", "-n", TENANTS, &asks]);
        tokio::time::sleep(Duration::from_millis(500)).await;
        asked.is_err()
    })
    .await;
}

fn annotate(world: &World, name: &str, annotation: &str) {
    kubectl_as(
        world,
        "ada",
        ["annotate", "--overwrite", "orchestra", name, "-n", TENANTS, annotation],
    )
    .unwrap();
}
