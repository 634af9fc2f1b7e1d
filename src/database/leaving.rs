//! The end of an OrchestraDatabase whose database is gone, or stays without it.

use super::observe::Observed;
use super::{Pass, adopted, former};
use crate::api::condition::Reason;
use crate::api::names::PASSWORD_LABEL;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{News, tell};
use crate::credentials::owner;

/// Removes the finalizer from a database that is gone, or that the operator stops managing.
pub async fn forget(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    if pass.object.spec.inventory.is_some() || !observed.facts.leaves_nothing() {
        former::tell_left(pass).await;
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

/// Removes the finalizer without a request to the provider, whose token may be invalid; the project, if there is one, stays.
/// The owner's password is kept in its Secret, unless the author of an Orchestra has it.
pub async fn abandon(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let status = pass.object.status.clone().unwrap_or_default();
    let cost = status.cost.map_or_else(
        || "and costs money".to_owned(),
        |cost| format!("and costs {} {} a month", cost.monthly, cost.currency),
    );
    let organization = status.organization.unwrap_or_default();
    let left = match (status.project, status.create_issued_at) {
        (Some(project), _) => format!(
            "project {} of organization {organization} remains {cost}",
            project.reference
        ),
        (None, Some(_)) => format!("a project that was requested in organization {organization} may exist {cost}"),
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
    let note = format!("abandoned: {left}; delete it in the provider's dashboard{secret}{marked}");
    tracing::warn!(note, "the database is abandoned");
    tell(&pass.ctx.core, &pass.object, &News::warning(Reason::Abandoned, note)).await;
    if given {
        owner::forget(&owner::secrets(&pass.ctx.core), pass.name()).await?;
    }
    let_go(pass).await
}

async fn let_go(pass: &mut Pass) -> Result<Option<Next>, Error> {
    // The decision may have been changed while everything was being dropped.
    pass.ctx
        .resets
        .stop(pass.object.metadata.uid.as_deref().unwrap_or_default());
    pass.ctx.forget(pass.name());
    pass.set_finalizer(false).await?;
    Ok(Some(Next::Gone))
}
