//! The rules for a claim that the status shows later.

use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::json;

/// The spec of an Orchestra that is claiming a database changes no more than that of one that has it; that of one whose claim
/// cannot be met may be corrected.
pub async fn fields_of_a_claim_are_kept(api: &Api<DynamicObject>) {
    let name = "claims";
    let object = json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra", "metadata": {"name": name}, "spec": {},
    });
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
    let parameters = PatchParams::default();
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let existing = json!({"source": {"existing": {"databaseName": "orchdb-2"}}});
    for (phase, claiming, is_kept) in [
        ("Queued", json!("orchdb-1"), true),
        ("Provisioning", json!("orchdb-1"), true),
        // The pool has no database left.
        ("Pending", json!("orchdb-1"), false),
        ("Failed", json!("orchdb-1"), false),
        ("Provisioning", json!(null), false),
    ] {
        let status =
            json!({"status": {"conditions": [], "phase": phase, "claiming": claiming, "className": "standard"}});
        api.patch_status(name, &parameters, &Patch::Merge(status))
            .await
            .unwrap();
        for (spec, says) in [
            (existing.clone(), "source.existing cannot be added"),
            (
                json!({"source": {"backupRef": {"name": "last"}}}),
                "source.backupRef cannot be added",
            ),
            (
                json!({"placement": {"region": "eu-west-1"}}),
                "placement cannot be added",
            ),
            (json!({"className": "other"}), "className must be the class"),
        ] {
            let changed = api.patch(name, &dry, &Patch::Merge(json!({"spec": spec}))).await;
            let refused = changed.err().map(|error| error.to_string());
            let is = refused.as_ref().is_some_and(|refused| refused.contains(says));
            assert_eq!(is, is_kept, "{phase} {claiming} {spec}: {refused:?}");
            assert_eq!(refused.is_some(), is_kept, "{phase} {claiming} {spec}: {refused:?}");
        }
        for allowed in [
            json!({"className": "standard"}),
            json!({"source": {"templateRef": {"name": "symphony"}}}),
        ] {
            let changed = api.patch(name, &dry, &Patch::Merge(json!({"spec": allowed}))).await;
            assert!(changed.is_ok(), "{phase} {claiming} {allowed}: {changed:?}");
        }
    }
}
