//! Conditions and events about tables that the tenant's login, or the keys of its Secret, do not reach.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use sqlx::postgres::PgConnection;

use super::Pass;
use super::observe::Observed;
use crate::api::ExposeNewTables;
use crate::api::condition::{ConditionType as Is, Reason};
use crate::controller::Core;
use crate::controller::conditions::{Conditions, find};
use crate::controller::error::Error;
use crate::controller::status::{News, tell_of};
use crate::postgres::{self, TenantRights};

/// The condition that names tables which the tenant's login cannot read, or tells that it passes policies which are to
/// apply; absent while neither is so. Without a look into the database, what the last look has found is told.
pub fn condition(observed: &Observed, conditions: &mut Conditions<'_>) {
    match observed.inside.found.as_ref().map(|found| &found.unreadable) {
        Some(Some((reason, tables))) => conditions.set(Is::TablesReadable, false, *reason, tables),
        Some(None) => {}
        None => conditions.keep_shown(Is::TablesReadable),
    }
}

/// The condition that the keys of the connection Secret do not work any more, as the database's own says; absent while
/// they work.
pub fn keys(observed: &Observed, conditions: &mut Conditions<'_>) {
    let Some(database) = &observed.database else {
        return conditions.keep_shown(Is::KeysUsable);
    };
    if let Some(disabled) = find(database.conditions(), Is::KeysUsable) {
        conditions.set(Is::KeysUsable, false, Reason::KeysDisabled, &disabled.message);
    }
}

/// The conditions of this file, each with an event when it appears.
pub const WARNED: [(Is, Reason); 3] = [
    (Is::TablesReadable, Reason::NoPolicy),
    (Is::TablesReadable, Reason::NoGrant),
    (Is::KeysUsable, Reason::KeysDisabled),
];

/// Whether a hint is due where the keys reach nothing.
#[derive(Clone, Copy, Debug)]
pub enum Hint {
    /// The tenant has no keys, or somebody has said that they are to reach nothing.
    Never,
    /// It has keys, and this is what is wanted of new tables.
    WithKeys(Option<ExposeNewTables>),
}

/// Whether a hint is due where the keys reach nothing.
pub fn hints(pass: &Pass, rights: &TenantRights) -> Hint {
    let way_in = pass.access.way_in();
    let has_keys = way_in.is_some_and(|way_in| way_in.handover.project.is_some());
    match rights.expose_new_tables {
        Some(ExposeNewTables::None) => Hint::Never,
        wanted if has_keys => Hint::WithKeys(wanted),
        _ => Hint::Never,
    }
}

/// The events after migrations: tables that the login reads and cannot write, which no condition tells because
/// reference data is meant to be so, and, where a `hint` is due, that the keys reach none of the new tables.
pub async fn tell(
    core: &Arc<Core>,
    subject: &ObjectReference,
    session: &mut PgConnection,
    role: &str,
    hint: Hint,
) -> Result<(), Error> {
    let unwritable = postgres::unwritable(session, role).await?;
    let unexposed = match hint {
        Hint::WithKeys(wanted) => postgres::unexposed(session, wanted).await?,
        Hint::Never => None,
    };
    for (reason, note) in [(Reason::NoPolicy, unwritable), (Reason::NothingExposed, unexposed)] {
        if let Some(note) = note {
            tell_of(core, subject, &News::normal(reason, note)).await;
        }
    }
    Ok(())
}
