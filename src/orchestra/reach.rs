//! What the tenant's login and the keys of its Secret do not reach, as people are told of it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::EventType;
use sqlx::postgres::PgConnection;

use super::Pass;
use super::observe::Observed;
use crate::api::condition::{ConditionType as Is, Reason};
use crate::controller::Core;
use crate::controller::conditions::Conditions;
use crate::controller::error::Error;
use crate::controller::status::{News, has_come_to};
use crate::controller::write::publish;
use crate::postgres::{self, TenantRights};

/// The condition that names tables which the tenant's login cannot read, or tells that it passes policies which are to
/// apply; absent while neither is so. Without a look into the database, what the last look has found is told.
pub fn condition(observed: &Observed, conditions: &mut Conditions<'_>) {
    match observed.inside.found.as_ref().map(|found| &found.unreadable) {
        Some(Some(tables)) => conditions.set(Is::TablesReadable, false, Reason::NoPolicy, tables),
        Some(None) => {}
        None => conditions.keep_shown(Is::TablesReadable),
    }
}

/// The event when that condition has just come up.
pub fn unreadable(old: &[Condition], new: &[Condition], observed: &Observed) -> Option<News> {
    let tables = observed.inside.found.as_ref()?.unreadable.as_ref()?;
    has_come_to(old, new, Is::TablesReadable, Reason::NoPolicy).then(|| News::warning(Reason::NoPolicy, tables))
}

/// Whether the tenant has keys and nobody has said what they reach of new tables.
pub fn hints(pass: &Pass, rights: &TenantRights) -> bool {
    let way_in = pass.way_in.as_ref();
    way_in.is_some_and(|way_in| way_in.handover.address.is_some()) && rights.expose_new_tables.is_none()
}

/// An event after migrations when the login reads tables that it cannot write. Reference data is meant to be so: no
/// condition tells it.
pub async fn tell_unwritable(
    core: &Arc<Core>,
    subject: &ObjectReference,
    session: &mut PgConnection,
    role: &str,
) -> Result<(), Error> {
    if let Some(note) = postgres::unwritable(session, role).await? {
        publish(&core.recorder, subject, EventType::Normal, Reason::NoPolicy, &note).await;
    }
    Ok(())
}

/// An event after migrations that have made tables which the keys do not reach.
pub async fn tell_unexposed(
    core: &Arc<Core>,
    subject: &ObjectReference,
    session: &mut PgConnection,
) -> Result<(), Error> {
    if let Some(note) = postgres::unexposed(session).await? {
        publish(
            &core.recorder,
            subject,
            EventType::Normal,
            Reason::NothingExposed,
            &note,
        )
        .await;
    }
    Ok(())
}
