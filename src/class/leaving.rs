//! A class that is being deleted stays until no database needs its token any more, and no backup its store.

use std::sync::Arc;

use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::api::condition::{ConditionType, Reason};
use crate::api::slim::Slim;
use crate::api::{CLASS_FINALIZER, DeletionPolicy, OrchestraBackup, OrchestraClass, OrchestraDatabase};
use crate::class::Context;
use crate::controller::backoff::SLOWEST;
use crate::controller::conditions::{Conditions, Standing, find};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{self, News};
use crate::controller::write::set_finalizer;
use crate::text;

/// The number of holders that the message names, at most.
const NAMED: usize = 5;

/// Puts the finalizer on a class, and returns the class as it is then.
pub async fn hold(class: OrchestraClass, ctx: &Context) -> Result<OrchestraClass, Error> {
    if class.finalizers().iter().any(|name| name == CLASS_FINALIZER) {
        return Ok(class);
    }
    let marked = set_finalizer(&ctx.core, &class, CLASS_FINALIZER, true).await?;
    Ok(marked.unwrap_or(class))
}

/// One pass over a class that is being deleted. Its tenants are not affected.
pub async fn pass(class: OrchestraClass, ctx: &Arc<Context>) -> Result<Next, Error> {
    // Read from the API server, because the watch may not show a claim yet.
    let selector = format!("spec.className={}", class.name_any());
    let databases: Api<Slim<OrchestraDatabase>> = Api::all(ctx.core.client.clone());
    let found = databases.list(&ListParams::default().fields(&selector)).await?;
    let found = found.items.iter().map(|Slim(database)| database);
    let holders: Vec<_> = found.filter(|database| needs(database)).collect();
    let backups = backups(ctx, &class);
    if holders.is_empty() && backups.is_empty() {
        super::forget(ctx, &class);
        set_finalizer(&ctx.core, &class, CLASS_FINALIZER, false).await?;
        return Ok(Next::Gone);
    }
    let message = what_keeps_it(&holders, &backups);
    let old = class.status.clone().unwrap_or_default();
    let mut new = old.clone();
    let mut conditions = Conditions::new(&old.conditions, class.metadata.generation);
    conditions.set(ConditionType::Ready, false, Reason::InUse, &message);
    for type_ in [
        ConditionType::Available,
        ConditionType::TokenAccepted,
        ConditionType::WithinBudget,
    ] {
        if find(&old.conditions, type_).is_some() {
            conditions.keep(type_, Reason::InUse);
        }
    }
    let progress = super::progress::drive(ctx, &class).await;
    new.rollout = super::progress::render(&class, progress, &mut conditions);
    conditions.stand(Standing::Stalled, Reason::InUse, &message);
    new.conditions = conditions.finish();
    new.observed_generation = class.metadata.generation.unwrap_or_default();
    let news = status::is_news(&old.conditions, &new.conditions).then(|| News::warning(Reason::InUse, message));
    status::write(&ctx.core, &class, new, news).await?;
    // A deleted database or backup triggers the class at once; this covers what no watch reports.
    Ok(Next::After(SLOWEST))
}

/// Whether a database needs its class: a hosted project, because the class's token is used to observe and destroy
/// it, and an entry of a pool while it is claimed.
fn needs(database: &OrchestraDatabase) -> bool {
    database.spec.supabase.is_some() || database.is_held()
}

/// The backups whose Jobs still need the class's store, by name.
fn backups(ctx: &Context, class: &OrchestraClass) -> Vec<String> {
    let name = class.name_any();
    let found = ctx.core.stores.backups.state_filter(|backup| {
        let of = backup.status.as_ref().and_then(|status| status.class_name.as_ref());
        of == Some(&name) && needs_store(backup)
    });
    let named = found.iter().map(|backup| {
        let namespace = backup.namespace().unwrap_or_default();
        format!("OrchestraBackup {namespace}/{}", backup.name_any())
    });
    named.collect()
}

/// Whether a backup is being made or drilled, or its data is to be removed now. A backup that is only kept needs no class.
fn needs_store(backup: &OrchestraBackup) -> bool {
    if backup.metadata.deletion_timestamp.is_some() {
        return backup.spec.deletion_policy == DeletionPolicy::Delete;
    }
    let is_made = !backup.is_complete() && !backup.has_failed();
    is_made || backup.is_being_verified()
}

/// What keeps the class from being deleted.
fn what_keeps_it(holders: &[&OrchestraDatabase], backups: &[String]) -> String {
    let mut parts = Vec::new();
    if !holders.is_empty() {
        parts.push(of_databases(holders));
    }
    if !backups.is_empty() {
        let mut names = backups.to_vec();
        names.sort();
        parts.push(format!(
            "deletion was requested, but {} of its backups are being made or removed, in its store: {}. The class is \
             deleted when that is done, or when these backups are set to deletionPolicy: Retain",
            names.len(),
            text::names(&names, NAMED, names.len())
        ));
    }
    parts.join(". ")
}

/// Which databases keep the class from being deleted.
fn of_databases(holders: &[&OrchestraDatabase]) -> String {
    let mut names: Vec<_> = holders
        .iter()
        .map(|database| match &database.spec.claim_ref {
            Some(claim) if database.is_held() => format!("Orchestra {}/{}", claim.namespace, claim.name),
            _ => format!("OrchestraDatabase {}", database.name_any()),
        })
        .collect();
    names.sort();
    format!(
        "deletion was requested, but {} of its databases still exist: {}. They are not affected, and the class \
         admits no new claim; it is deleted when the last of them is deleted",
        holders.len(),
        text::names(&names, NAMED, names.len())
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_backup_needs_its_store_while_a_job_works_on_it() {
        let digest = json!({"manifestDigest": "0"});
        let failed =
            json!({"failure": {"reason": "StoreFull", "message": "m", "time": "2026-11-29T02:00:00Z", "last": true}});
        let drilled = |attempts, concluded| json!({"manifestDigest": "0", "verification": {"attempts": attempts, "concluded": concluded}});
        for (policy, leaves, status, is) in [
            ("Retain", false, json!({}), true),
            ("Retain", false, digest.clone(), false),
            ("Delete", false, digest.clone(), false),
            ("Retain", false, failed.clone(), false),
            ("Retain", false, drilled(1, 0), true),
            ("Retain", false, drilled(1, 1), false),
            ("Retain", true, json!({}), false),
            ("Delete", true, digest, true),
            ("Delete", true, failed, true),
        ] {
            let mut backup: OrchestraBackup = serde_json::from_value(json!({
                "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraBackup", "metadata": {"name": "one"},
                "spec": {"orchestraRef": {"name": "acme"}, "deletionPolicy": policy}, "status": status,
            }))
            .unwrap();
            backup.metadata.deletion_timestamp = leaves.then_some(
                k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
            );
            assert_eq!(needs_store(&backup), is, "{policy} {leaves} {status}");
        }
        let backups = [
            "OrchestraBackup tenants/two".to_owned(),
            "OrchestraBackup tenants/one".to_owned(),
        ];
        let told = what_keeps_it(&[], &backups);
        assert!(
            told.contains("2 of its backups") && told.contains("tenants/one"),
            "{told}"
        );
    }
}
