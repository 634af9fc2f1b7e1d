//! A status is replaced as a whole, whoever has set its fields.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use orchestra_operator::api::names::FIELD_MANAGER;
use orchestra_operator::controller::status::replacement;
use serde_json::{Value, json};

fn condition(type_: &str, message: &str) -> Value {
    json!({"type": type_, "status": "True", "reason": "Tested", "message": message,
        "lastTransitionTime": "2026-01-05T09:00:00Z"})
}

/// The object `fresh` of a kind.
pub async fn are_replaced(api: &Api<DynamicObject>, kind: &str) {
    let mut versions = Vec::new();
    // What an operator has left that applied its statuses, and what somebody else has added.
    for (manager, conditions) in [
        (
            FIELD_MANAGER,
            vec![condition("Ready", "applied"), condition("Reconciling", "applied")],
        ),
        ("somebody", vec![condition("Forged", "forged")]),
    ] {
        let status = json!({"apiVersion": "stagesub.io/v1alpha1", "kind": kind, "status": {"conditions": conditions}});
        let parameters = PatchParams::apply(manager).force();
        let applied = api.patch_status("fresh", &parameters, &Patch::Apply(status)).await;
        versions.push(applied.unwrap().metadata.resource_version);
    }
    let before = api.get("fresh").await.unwrap();
    assert_eq!(before.data["status"]["conditions"].as_array().unwrap().len(), 3);

    // With what the schema fills in.
    let mut wanted = before.data["status"].clone();
    wanted["observedGeneration"] = json!(1);
    wanted["conditions"] = json!([condition("Ready", "replaced")]);
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    let replace = async |version: &Option<String>| {
        let patch = replacement(version.as_deref(), &wanted).unwrap();
        api.patch_status("fresh", &parameters, &patch).await
    };
    // Of the version before what somebody has added.
    let conflict = match replace(&versions[0]).await.unwrap_err() {
        kube::Error::Api(status) => status,
        other => panic!("{kind}: {other}"),
    };
    assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"), "{kind}");
    assert_eq!(
        api.get("fresh").await.unwrap().metadata.resource_version,
        versions[1],
        "{kind}"
    );

    let after = replace(&versions[1]).await.unwrap();
    assert_eq!(after.data["status"], wanted, "{kind}");
    assert_eq!(after.data["spec"], before.data["spec"], "{kind}");
    assert_eq!(after.metadata.generation, before.metadata.generation, "{kind}");
    let managers = after.metadata.managed_fields.unwrap();
    let managers = managers.iter().filter(|of| of.subresource.as_deref() == Some("status"));
    assert!(
        managers
            .clone()
            .all(|of| of.manager.as_deref() == Some(FIELD_MANAGER) && of.fields_v1.is_some()),
        "{kind}: {managers:?}"
    );
    // The same once more is no write.
    let again = replace(&after.metadata.resource_version).await.unwrap();
    assert_eq!(
        again.metadata.resource_version, after.metadata.resource_version,
        "{kind}"
    );
}
