//! What somebody who may not delete could have the operator destroy: an Orchestra by a ttl, and a backup by the labels of a
//! schedule. Policies decide about both, without an operator.

use orchestra_sandbox::world::{TENANTS, World};
use serde_json::json;

use super::{bind, kubectl_as};
use crate::proof::{generous_world, soon};
use crate::support::{orchestra, patch_status, project, standard_class};

const OPERATOR: &str = "system:serviceaccount:orchestra-system:orchestra-operator";

/// A ttl that is over soon.
const BRIEF: &str = r#"{"spec":{"deletionPolicy":"Delete","ttl":"10s"}}"#;

/// Another class, with a ttl of its own.
const BRIEF_CLASS: &str = "
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {name: brief}
spec:
  provider: {supabase: {organization: acme-org, tokenSecretRef: {name: supabase-token}}}
  deletion: {policy: Delete}
  ttl: 24h
";

/// Tries a change as a person who may change everything in the namespace, and delete nothing.
fn patch(world: &World, kind: &str, name: &str, patch: &str) -> Result<String, String> {
    let arguments = [
        "patch",
        kind,
        name,
        "-n",
        TENANTS,
        "--type=merge",
        "--dry-run=server",
        "-p",
        patch,
    ];
    kubectl_as(world, "edda", arguments)
}

fn refused(answer: &Result<String, String>, part: &str) -> bool {
    matches!(answer, Err(text) if text.contains(part))
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_ttl_that_begins_or_becomes_shorter_takes_the_second_key() {
    let world = generous_world().await;
    standard_class(&world, "  deletion: {policy: Delete}");
    for (name, more) in [
        ("by-class", ""),
        ("own", "  deletionPolicy: Delete"),
        ("kept", "  deletionPolicy: Retain"),
        ("demo", "  deletionPolicy: Delete\n  ttl: 48h"),
        ("of-brief", ""),
        ("of-brief-longer", "  deletionPolicy: Delete\n  ttl: 48h"),
        ("of-brief-kept", "  deletionPolicy: Retain"),
    ] {
        orchestra(&world, name, more);
    }
    for name in ["by-class", "kept"] {
        patch_status(&world, "orch", name, &json!({"className": "standard"}));
    }
    // The policy is evaluated for every class; what another one says about the ttl does not count.
    world.apply(BRIEF_CLASS).unwrap();
    for name in ["of-brief", "of-brief-longer", "of-brief-kept"] {
        patch_status(&world, "orch", name, &json!({"className": "brief"}));
    }
    let sample = project().join("deploy/samples/second-key.yaml");
    world.plane.apply(&sample).unwrap();
    bind(&world, "orchestra-editor", "edda");
    soon("the policy is in force", async || {
        refused(&patch(&world, "orch", "own", BRIEF), "confirm-delete")
    })
    .await;
    for name in ["by-class", "own", "kept"] {
        let says = format!("kubectl annotate orchestra {name} -n tenants stagesub.io/confirm-delete={name}");
        assert!(refused(&patch(&world, "orch", name, BRIEF), &says), "{name}");
        // The confirmation comes before the change, as before a deletion.
        let both = format!(
            r#"{{"metadata":{{"annotations":{{"stagesub.io/confirm-delete":"{name}"}}}},"spec":{{"deletionPolicy":"Delete","ttl":"10s"}}}}"#
        );
        assert!(refused(&patch(&world, "orch", name, &both), &says), "{name}");
    }
    patch(&world, "orch", "kept", r#"{"spec":{"deletionPolicy":"Delete"}}"#).unwrap();
    patch(&world, "orch", "own", r#"{"spec":{"displayName":"Other AB"}}"#).unwrap();
    for (ttl, is_refused) in [
        (r#""72h""#, false),
        (r#""2880m""#, false),
        (r#""47h""#, true),
        (r#""10s""#, true),
        ("null", false),
    ] {
        let answer = patch(&world, "orch", "demo", &format!(r#"{{"spec":{{"ttl":{ttl}}}}}"#));
        assert_eq!(answer.is_err(), is_refused, "{ttl}: {answer:?}");
    }
    for (name, ttl, is_refused) in [
        ("of-brief", "72h", false),
        ("of-brief", "24h", false),
        ("of-brief", "23h", true),
        ("of-brief-longer", "72h", false),
        ("of-brief-longer", "47h", true),
        ("of-brief-kept", "72h", true),
    ] {
        let change = format!(r#"{{"spec":{{"deletionPolicy":"Delete","ttl":"{ttl}"}}}}"#);
        let answer = patch(&world, "orch", name, &change);
        assert_eq!(answer.is_err(), is_refused, "{name} {ttl}: {answer:?}");
    }
    // The class's ttl is the shorter one.
    let by_class = patch(&world, "orch", "of-brief-longer", r#"{"spec":{"ttl":null}}"#);
    assert!(refused(&by_class, "ttl 24h"), "{by_class:?}");

    // An extension is not taken back either.
    let extended = |at: &str| format!(r#"{{"metadata":{{"annotations":{{"stagesub.io/extended-at":{at}}}}}}}"#);
    let at = "stagesub.io/extended-at=2026-01-02T00:00:00Z";
    world
        .kubectl(["annotate", "orchestra", "demo", "-n", TENANTS, at])
        .unwrap();
    for (at, is_refused) in [
        (r#""2026-01-03T00:00:00Z""#, false),
        (r#""2026-01-01T00:00:00Z""#, true),
        (r#""soon""#, true),
        ("null", true),
    ] {
        let answer = patch(&world, "orch", "demo", &extended(at));
        assert_eq!(answer.is_err(), is_refused, "{at}: {answer:?}");
    }

    let confirmed = "stagesub.io/confirm-delete=own";
    world
        .kubectl(["annotate", "orchestra", "own", "-n", TENANTS, confirmed])
        .unwrap();
    patch(&world, "orch", "own", BRIEF).unwrap();

    // The ttl of the class begins to apply.
    let ttl = r#"{"spec":{"ttl":"24h"}}"#;
    world
        .kubectl(["patch", "orchclass", "standard", "--type=merge", "-p", ttl])
        .unwrap();
    soon("the policy reads the class", async || {
        let by_class = patch(&world, "orch", "kept", r#"{"spec":{"deletionPolicy":null}}"#);
        refused(&by_class, "ttl 24h")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operator_labels_a_backup_as_one_of_a_schedule() {
    let world = generous_world().await;
    let sample = project().join("deploy/samples/second-key.yaml");
    world.plane.apply(&sample).unwrap();
    bind(&world, "orchestra-editor", "edda");
    let backup = |name: &str, labels: &str| {
        format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraBackup, metadata: {{name: {name}, namespace: {TENANTS}, \
             labels: {{{labels}}}}}, spec: {{orchestraRef: {{name: acme}}}}}}"
        )
    };
    let create = |labels: &str| {
        let manifest = world.dir().join("backup.yaml");
        std::fs::write(&manifest, format!("---\n{}", backup("new", labels))).unwrap();
        let file = manifest.to_str().unwrap();
        kubectl_as(&world, "edda", ["create", "-f", file, "--dry-run=server"])
    };
    let says = "only the operator sets the labels";
    soon("the policy is in force", async || {
        refused(&create("stagesub.io/scheduled-at: '1'"), says)
    })
    .await;
    assert!(refused(&create("stagesub.io/orchestra-uid: 'a'"), says));
    create("team: 'a'").unwrap();

    world.apply(&backup("by-hand", "team: 'a'")).unwrap();
    let labels = |label: &str| format!(r#"{{"metadata":{{"labels":{{{label}}}}}}}"#);
    for (label, is_refused) in [
        (r#""stagesub.io/scheduled-at":"1""#, true),
        (r#""stagesub.io/orchestra-uid":"a""#, true),
        (r#""team":"b""#, false),
    ] {
        let answer = patch(&world, "orchbackup", "by-hand", &labels(label));
        assert_eq!(answer.is_err(), is_refused, "{label}: {answer:?}");
    }
    let of_operator = labels(r#""stagesub.io/scheduled-at":"1""#);
    let arguments = [
        "patch",
        "orchbackup",
        "by-hand",
        "-n",
        TENANTS,
        "--type=merge",
        "-p",
        of_operator.as_str(),
    ];
    kubectl_as(&world, OPERATOR, arguments).unwrap();
    for (label, is_refused) in [
        (r#""stagesub.io/scheduled-at":"2""#, true),
        (r#""stagesub.io/scheduled-at":null"#, false),
        (r#""team":"b""#, false),
    ] {
        let answer = patch(&world, "orchbackup", "by-hand", &labels(label));
        assert_eq!(answer.is_err(), is_refused, "{label}: {answer:?}");
    }
}
