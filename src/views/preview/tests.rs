#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;

fn class(limit: &str) -> OrchestraClass {
    serde_json::from_value(json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraClass",
        "metadata": {"name": "standard", "annotations": {"stagesub.io/is-default-class": "true"}},
        "spec": {
            "provider": {"supabase": {"organization": "acme"}}, "budget": {"monthlyLimit": limit},
            "deletion": {"policy": "Delete", "gracePeriod": "1h"},
        },
        "status": {"conditions": [], "cost": {
            "currency": "USD", "pricePerProject": "10.00", "priceSource": "Default", "projects": 1, "projected": "10.00",
        }},
    }))
    .unwrap()
}

fn orchestra(name: &str, spec: &Value, status: &Value) -> Orchestra {
    serde_json::from_value(json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
        "metadata": {"name": name, "namespace": "tenants"}, "spec": spec, "status": status,
    }))
    .unwrap()
}

fn cluster(limit: &str) -> ClusterObjects {
    let map: ConfigMap = serde_json::from_value(json!({"data": {
        "migration_lock.toml": "provider = \"postgresql\"\n",
        "20260101000000_a.sql": "SELECT 1;", "20260102000000_b.sql": "SELECT 2;",
    }}))
    .unwrap();
    ClusterObjects {
        classes: Some(vec![class(limit)]),
        databases: Some(Vec::new()),
        config_maps: BTreeMap::from([(("tenants".into(), "schema".into()), Ok(map))]),
        ..ClusterObjects::default()
    }
}

#[test]
fn new_orchestras_cost_until_the_budget_has_no_room() {
    let mut cluster = cluster("25.00");
    let spec = json!({"migrations": {"source": {"configMapRef": {"name": "schema"}}}});
    let first = applied(&mut cluster, &orchestra("one", &spec, &Value::Null), None);
    assert_eq!(
        (first.action, first.monthly.as_deref()),
        (PreviewAction::Create, Some("10.00"))
    );
    assert_eq!(first.migrations.len(), 2);
    assert!(first.notes.is_empty(), "{first:?}");
    let second = applied(&mut cluster, &orchestra("two", &json!({}), &Value::Null), None);
    assert!(second.notes[0].contains("no room"), "{second:?}");
    assert_eq!(totals(&[first, second])["USD"].to_string(), "20.00");
}

#[test]
fn only_what_is_new_is_migrated() {
    let spec = json!({"migrations": {"source": {"configMapRef": {"name": "schema"}}}});
    let status = json!({"conditions": [], "migrations": {
        "source": "sha256:old", "applied": 1, "pending": 0, "current": "20260101000000_a",
    }});
    let current = orchestra("one", &spec, &status);
    let change = applied(&mut cluster("99.00"), &current, Some(&current));
    assert_eq!(
        (change.action, change.migrations),
        (PreviewAction::Change, vec!["20260102000000_b".to_owned()])
    );
}

#[test]
fn a_deletion_says_what_becomes_of_the_data() {
    let status = json!({
        "conditions": [], "databaseName": "orchdb-1", "cost": {"currency": "USD", "monthly": "10.00", "hourly": "0.01"},
    });
    let gone = deleted(&cluster("99.00"), &orchestra("one", &json!({}), &status));
    assert!(
        gone.destroys[1].contains("orchdb-1 with its data, after 1h"),
        "{gone:?}"
    );
    assert_eq!(gone.monthly.as_deref(), Some("-10.00"));
    let kept = deleted(
        &cluster("99.00"),
        &orchestra("one", &json!({"deletionPolicy": "Retain"}), &status),
    );
    assert_eq!((kept.destroys.len(), kept.monthly), (1, None));
    assert!(kept.notes[0].contains("still costs 10.00 USD"), "{:?}", kept.notes);
}

/// While migrations wait for their turn, the status shows a claim only after minutes.
#[test]
fn the_deletion_of_an_orchestra_whose_status_does_not_tell_of_its_claim_yet() {
    let mut object = orchestra("one", &json!({}), &json!({"conditions": [], "claiming": "orchdb-1"}));
    object.metadata.uid = Some("u".into());
    let member = |uid: &str| -> OrchestraDatabase {
        serde_json::from_value(json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraDatabase", "metadata": {"name": "orchdb-1"},
            "spec": {
                "supabase": {"name": "p", "region": "eu-central-1"},
                "claimRef": {"namespace": "tenants", "name": "one", "uid": uid},
            },
            "status": {"conditions": [], "cost": {"currency": "USD", "monthly": "10.00", "hourly": "0.01"}},
        }))
        .unwrap()
    };
    let with = |databases| ClusterObjects {
        databases,
        ..cluster("99.00")
    };
    let gone = deleted(&with(Some(vec![member("u")])), &object);
    assert!(
        gone.destroys[1].contains("orchdb-1 with its data, after 1h"),
        "{gone:?}"
    );
    assert_eq!(gone.monthly.as_deref(), Some("-10.00"));
    let of_another = deleted(&with(Some(vec![member("other")])), &object);
    assert_eq!(
        (of_another.destroys.len(), of_another.notes.len()),
        (1, 0),
        "{of_another:?}"
    );
    let unread = deleted(&with(None), &object);
    assert!(
        unread.notes[0].contains("you may not read OrchestraDatabases"),
        "{unread:?}"
    );
}
