//! The end of a tenant's logins with the release of its database.

use kube::ResourceExt as _;
use sqlx::PgConnection;

use super::{Pass, login, record};
use crate::api::OrchestraDatabase;
use crate::controller::error::Error;
use crate::database::enter_released;
use crate::error::ErrorClass;
use crate::postgres::claim_record::{self, ClaimRecord};
use crate::postgres::{self, KeptRole};

/// Ends the sessions of the tenant's login and drops its role, so that a released database has no way in
/// but the owner's. Whatever becomes of the role, a claim record that a script has dropped is written again, so that the
/// database is not taken for a fresh one. The pass notes whether the database has this Orchestra's claim record. Returns
/// whether no login of the tenant works any more.
pub async fn revoke(pass: &mut Pass, database: &OrchestraDatabase) -> Result<bool, Error> {
    pass.recorded = false;
    let mut session = open(pass, database).await?;
    let dropped = postgres::drop_tenant_role(&mut session, &postgres::role_name(pass.uid())).await;
    let recorded = record_again(pass, database, &mut session).await;
    pass.recorded = matches!(recorded, Ok(true));
    let dropped = dropped?;
    login::tell_kept(pass, database, &dropped).await;
    recorded.map(|_| !dropped.iter().any(KeptRole::logs_in))
}

/// Disables all logins of the tenant, where their roles cannot be dropped: the database has the claim record as after
/// [`revoke`].
pub async fn shut(pass: &mut Pass, database: &OrchestraDatabase) -> Result<bool, Error> {
    let mut session = open(pass, database).await?;
    let shut = login::shut_all(pass, database, &mut session).await;
    pass.recorded = matches!(record_again(pass, database, &mut session).await, Ok(true));
    shut
}

/// Opens the owner's session, also where a script has closed the database to the owner.
async fn open(pass: &Pass, database: &OrchestraDatabase) -> Result<PgConnection, Error> {
    let (owner, stored, _) = login::owner(pass, database).await?;
    let passwords = (owner, stored.pending);
    let entered = enter_released(&pass.ctx.database, database, passwords, &[pass.uid()]).await;
    entered.inspect_err(|error| login::report(pass, database, error))
}

/// Writes the claim record of a database that is released. Returns whether the database has it.
async fn record_again(pass: &Pass, database: &OrchestraDatabase, session: &mut PgConnection) -> Result<bool, Error> {
    match claim_record::claim(session, record::own(pass), &database.spec.former_uids).await {
        Err(error) if error.class() == ErrorClass::Transient => Err(error.into()),
        // The login is still revoked. What replaces the record keeps other tenants away as well.
        Err(error) => {
            tracing::warn!(%error, database = database.name_any(), "the claim record cannot be written");
            Ok(false)
        }
        Ok(record) => Ok(record == ClaimRecord::Ours),
    }
}
