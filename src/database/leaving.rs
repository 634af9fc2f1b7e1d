//! The end of an OrchestraDatabase whose database is gone, or stays without it.

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::observe::Observed;
use super::{Pass, adopted, former};
use crate::api::OrchestraDatabase;
use crate::api::condition::Reason;
use crate::api::names::PASSWORD_LABEL;
use crate::class::ledger;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{News, tell};
use crate::credentials::owner;
use crate::postgres::role_name;

/// Removes the finalizer from a database that is gone, or that the operator stops managing.
pub async fn forget(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    if pass.object.spec.inventory.is_some() || !observed.facts.leaves_nothing() {
        former::tell_left(pass).await;
    }
    if let Some(note) = entry_left(&pass.object, is_made(pass)).filter(|_| !pass.is_reset) {
        let reason = if observed.facts.abandon {
            Reason::Abandoned
        } else {
            Reason::Released
        };
        tell(&pass.ctx.core, &pass.object, &News::warning(reason, note)).await;
    }
    if observed.facts.leaves_nothing() {
        // The password belongs to no project.
        owner::forget(&owner::secrets(&pass.ctx.core), pass.name()).await?;
    } else {
        let listed = observed.project.as_ref().map(|project| project.reference.as_str());
        let given = adopted::was_given_password(pass);
        let set = pass.object.adopted().is_some() && !given && pass.has_stored(PASSWORD_LABEL);
        let secret = if set {
            adopted::password_is_in(pass)
        } else {
            String::new()
        };
        let note = format!(
            "project {} remains at the provider and continues to cost money: {}{secret}{}",
            pass.object
                .project_ref()
                .or(listed)
                .unwrap_or("without a reference, which may be that of this database,"),
            adopted::why_kept(&pass.object),
            adopted::unmark(pass).await.unwrap_or_default()
        );
        tell(&pass.ctx.core, &pass.object, &News::warning(Reason::Released, note)).await;
        if given {
            // The Orchestra's author gave the password, and still has it.
            owner::forget(&owner::secrets(&pass.ctx.core), pass.name()).await?;
        }
    }
    let_go(pass).await
}

/// Whether the entry's pool makes its databases itself.
fn is_made(pass: &Pass) -> bool {
    let entry = pass.object.spec.inventory.as_ref();
    let pool = entry.and_then(|entry| pass.ctx.core.stores.pools.get(&ObjectRef::new(&entry.pool)));
    pool.is_some_and(|pool| pool.spec.server.is_some())
}

/// What remains of an entry that an Orchestra has used, and what to do about it.
fn entry_left(object: &OrchestraDatabase, made: bool) -> Option<String> {
    let (entry, claim) = object.spec.inventory.as_ref().zip(object.spec.claim_ref.as_ref())?;
    let (key, pool) = (&entry.key, &entry.pool);
    let how = if made {
        let secret = key.split('/').next().unwrap_or_default();
        format!(
            "an admin of the server drops the database and its owner, and deletes Secret {secret} of the operator's namespace"
        )
    } else {
        "remove the entry, or recreate its database with the statements that `orchestra-operator recycle` prints"
            .to_owned()
    };
    let login = if object.spec.released_at.is_some() {
        String::new()
    } else {
        let role = role_name(&claim.uid);
        format!(
            " Its login was never revoked: run ALTER ROLE … NOLOGIN on its server for {role} and every role named {role}_<n>."
        )
    };
    Some(format!(
        "the database of entry {key} of pool {pool} remains, with its claim record and whatever Orchestra {}/{} ({}) has left in it: \
         no other Orchestra gets it.{login} Only when nobody needs its data, {how}",
        claim.namespace, claim.name, claim.uid
    ))
}

/// Removes the finalizer without a request to the provider, whose token may be invalid; the project, if there is one, stays.
/// The owner's password is kept in its Secret, unless the author of an Orchestra has it.
pub async fn abandon(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let status = pass.object.status.clone().unwrap_or_default();
    let cost = status.cost.map_or_else(
        || "and costs money".to_owned(),
        |cost| format!("and costs {} {} a month", cost.monthly, cost.currency),
    );
    let organization = status.organization.unwrap_or_default();
    let advice = "; only if nobody needs its data, delete it in the provider's dashboard";
    let left = match (status.project, status.create_issued_at) {
        (Some(project), _) => format!(
            "project {} of organization {organization} remains {cost}{advice}",
            project.reference
        ),
        (None, Some(_)) => {
            format!("a project that was requested in organization {organization} may exist {cost}{advice}")
        }
        (None, None) => "no project was requested".to_owned(),
    };
    former::tell_left(pass).await;
    let given = adopted::was_given_password(pass);
    let secret = if given {
        String::new()
    } else {
        adopted::password_is_in(pass)
    };
    let marked = adopted::unmark(pass).await.unwrap_or_default();
    let note = format!("abandoned: {left}{secret}{marked}");
    tracing::warn!(note, "the database is abandoned");
    tell(&pass.ctx.core, &pass.object, &News::warning(Reason::Abandoned, note)).await;
    if given {
        owner::forget(&owner::secrets(&pass.ctx.core), pass.name()).await?;
    }
    let_go(pass).await
}

async fn let_go(pass: &mut Pass) -> Result<Option<Next>, Error> {
    // Without the object nobody knows what it has cost.
    Box::pin(ledger::leave(&pass.ctx.class, &pass.object, Timestamp::now())).await?;
    // The decision may have been changed while everything was being dropped.
    pass.ctx
        .resets
        .stop(pass.object.metadata.uid.as_deref().unwrap_or_default());
    pass.ctx.forget(pass.name());
    pass.set_finalizer(false).await?;
    Ok(Some(Next::Gone))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn what_remains_of_an_entry_that_was_used_is_told_with_what_to_do() {
        let told = |released: Option<&str>, claimed: bool, made: bool| {
            let claim = json!({"namespace": "tenants", "name": "one", "uid": "01234567-89ab-cdef-0123-456789abcdef"});
            let spec = json!({
                "static": {"pool": "house", "key": "orchestra-entry-1/DATABASE_URL"},
                "claimRef": claimed.then_some(claim), "releasedAt": released,
            });
            let object = OrchestraDatabase::new("orchdb-1", serde_json::from_value(spec).unwrap());
            entry_left(&object, made)
        };
        let at = Some("2026-01-01T00:00:00Z");
        assert_eq!(told(None, false, true), None, "nobody has used it");
        let of_server = told(at, true, true).unwrap();
        assert!(
            of_server.contains("tenants/one") && of_server.contains("deletes Secret orchestra-entry-1 of"),
            "{of_server}"
        );
        assert!(
            !of_server.contains("recycle") && !of_server.contains("NOLOGIN"),
            "{of_server}"
        );
        let of_inventory = told(None, true, false).unwrap();
        assert!(
            of_inventory.contains("recycle") && of_inventory.contains("orchestra_0123456789abcdef0123456789abcdef and"),
            "{of_inventory}"
        );
    }
}
