//! The situations, and what each tool makes of them. It is the table of docs/gitops.md.

use serde_json::{Value, json};

/// What is made of an object.
#[derive(Clone, Copy)]
pub struct Row {
    /// The library of Flux, kpt and others, without expressions.
    pub kstatus: &'static str,
    /// Argo CD with `deploy/gitops/argocd/argocd-cm.yaml`.
    pub argo: &'static str,
    /// Flux with the expressions of `deploy/gitops/flux/tenants.yaml`.
    pub flux: &'static str,
}

const fn row(kstatus: &'static str, argo: &'static str, flux: &'static str) -> Row {
    Row { kstatus, argo, flux }
}

/// Queued, rate limited, retrying, being created, migrated or seeded; a new spec of a tenant in use.
const WORKS: Row = row("InProgress", "Progressing", "InProgress");
/// A person decides whether it continues.
const WAITS: Row = row("InProgress", "Suspended", "InProgress");
/// In use.
const IN_USE: Row = row("Current", "Healthy", "Current");
/// In use, and something passing has failed: Ready is True and Reconciling as well.
const BLIP: Row = row("InProgress", "Healthy", "Current");
/// Everything in the spec is done, and applications cannot use the database.
const OUTAGE: Row = row("Current", "Degraded", "Current");
/// A person must act.
const FAILED: Row = row("Failed", "Degraded", "Failed");
/// Paused on purpose.
const PAUSED: Row = row("Current", "Suspended", "Current");
/// An OrchestraDatabase that is paused on purpose: its Ready says that it is usable.
const ASLEEP: Row = row("InProgress", "Suspended", "Current");
/// Being deleted. Flux's expressions have no word for it.
const LEAVES: Row = row("Terminating", "Progressing", "InProgress");

/// Situations of which there is an object in `tests/fixtures/standings`.
pub const STORED: &[(&str, Row)] = &[
    ("orchestra-ready", IN_USE),
    ("orchestra-begins", WORKS),
    ("orchestra-claims", WORKS),
    ("orchestra-provisioning", WORKS),
    ("orchestra-queued", WORKS),
    ("orchestra-without-member", WORKS),
    ("orchestra-retries", WORKS),
    ("orchestra-migrating", WORKS),
    ("orchestra-seeding", WORKS),
    ("orchestra-updating", WORKS),
    ("orchestra-updating-queued", WORKS),
    ("orchestra-waits-for-rollout", WORKS),
    ("orchestra-waits-for-approval", WAITS),
    ("orchestra-waits-for-approval-in-use", WAITS),
    ("orchestra-unavailable", OUTAGE),
    ("orchestra-migration-failed", FAILED),
    ("orchestra-migration-failed-in-use", FAILED),
    ("orchestra-budget-exceeded", FAILED),
    ("orchestra-quota-exceeded", FAILED),
    ("orchestra-permission-denied", FAILED),
    ("orchestra-lost", FAILED),
    ("orchestra-late", FAILED),
    ("orchestra-without-source", FAILED),
    ("orchestra-must-not-pause", FAILED),
    ("orchestra-pausing", WORKS),
    ("orchestra-paused", PAUSED),
    ("orchestra-deleting", LEAVES),
    ("backup-ready", IN_USE),
    ("backup-running", WORKS),
    ("backup-without-destination", FAILED),
    ("backup-deleting", LEAVES),
    ("class-ready", IN_USE),
    ("class-of-pools", IN_USE),
    ("class-retries", BLIP),
    ("class-token-missing", FAILED),
    ("class-token-rejected", FAILED),
    ("pool-ready", IN_USE),
    ("pool-warm", IN_USE),
    ("pool-begins", WORKS),
    ("pool-provisioning", WORKS),
    ("pool-retries", WORKS),
    ("pool-bad-entry", FAILED),
    ("pool-full", FAILED),
    ("database-ready", IN_USE),
    ("database-provisioning", WORKS),
    ("database-replaced", WORKS),
    ("database-released", IN_USE),
    ("database-reclaiming", IN_USE),
    ("database-reclaiming-asleep", WORKS),
    ("database-resetting", WORKS),
    ("database-pausing", WORKS),
    ("database-paused", ASLEEP),
    ("database-paused-by-provider", FAILED),
    ("database-lost", FAILED),
    ("database-deleted-in-use", LEAVES),
    ("database-deleting", LEAVES),
];

/// A change of a settled object.
type Change = fn(Value) -> Value;

/// Situations that any kind may be in, as changes of an object at rest.
pub const DERIVED: &[(&str, Change, Row)] = &[
    ("just created", unseen, WORKS),
    ("a generation that nobody has seen", changed, WORKS),
    (
        "deleted, and nobody has seen it",
        |object| deleted(changed(object)),
        LEAVES,
    ),
    ("deleted", deleted, LEAVES),
    ("something passing is tried again", tried_again, BLIP),
];

fn unseen(mut object: Value) -> Value {
    // The default of the schema.
    object["status"] = json!({"observedGeneration": -1});
    object
}

fn changed(mut object: Value) -> Value {
    let generation = object["metadata"]["generation"].as_i64().unwrap();
    object["metadata"]["generation"] = json!(generation + 1);
    object
}

fn deleted(mut object: Value) -> Value {
    object["metadata"]["deletionTimestamp"] = json!("2026-11-29T00:00:00Z");
    object
}

fn tried_again(mut object: Value) -> Value {
    let condition = json!({
        "type": "Reconciling", "status": "True", "reason": "ProviderUnavailable", "message": "the provider fails",
        "lastTransitionTime": "2026-11-29T00:00:00Z",
    });
    object["status"]["conditions"].as_array_mut().unwrap().push(condition);
    object
}
