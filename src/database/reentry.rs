//! The owner's session in a database whose tenant's logins must end, also where a script has closed the database to the owner.

use kube::ResourceExt as _;
use secrecy::SecretString;
use sqlx::PgConnection;

use super::Context;
use crate::api::OrchestraDatabase;
use crate::controller::error::Error;
use crate::credentials::inventory;
use crate::postgres::{self, Login};

/// Opens a session of the owner, who may have a second password, in a database that is being released or reset. Where the
/// database does not admit its owner, it is opened to the owner again from another one of the server, and the logins of the
/// Orchestras with these UIDs are shut.
///
/// # Errors
/// When the login fails, with what an admin must do where nothing admits the owner; when it is not the database of the object.
pub async fn enter_released(
    ctx: &Context,
    object: &OrchestraDatabase,
    passwords: (Login, Option<SecretString>),
    uids: &[&str],
) -> Result<PgConnection, Error> {
    let (name, spacing) = (object.name_any(), ctx.core.settings.login_spacing);
    let entered = ctx.logins.connect_with(&name, passwords.clone(), spacing).await;
    let (mut session, _) = match entered {
        Err(error) if postgres::is_closed(&error) => {
            tracing::warn!(%error, database = name, "the database does not admit its owner");
            let roles: Vec<_> = uids.iter().map(|uid| postgres::role_name(uid)).collect();
            let (login, second) = &passwords;
            let expected = inventory::expected(object);
            postgres::reopen((login, second.as_ref()), &roles, expected.as_deref(), error).await?;
            ctx.logins.connect_with(&name, passwords, spacing).await?
        }
        entered => entered?,
    };
    inventory::check_identity(&mut session, object).await?;
    Ok(session)
}
