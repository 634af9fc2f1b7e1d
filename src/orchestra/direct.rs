//! The direct connection to a hosted project's database server, without its pooler.

use super::Pass;
use crate::api::condition::Reason;
use crate::api::{ConnectionMode, OrchestraClass, OrchestraDatabase};
use crate::controller::error::Error;
use crate::credentials::connection::Handover;
use crate::{class, postgres, supabase, text};

/// The host of a hosted project's database server, as the provider names it.
pub async fn host(pass: &Pass, database: &OrchestraDatabase, class: Option<&OrchestraClass>) -> Result<String, Error> {
    let unknown = || {
        Error::transient(
            Reason::ProviderUnavailable,
            "the provider does not name the database's host yet",
        )
    };
    let status = database.status.as_ref().ok_or_else(unknown)?;
    let project = status.project.as_ref().ok_or_else(unknown)?;
    let account = class::account(
        &pass.ctx.class,
        class.ok_or_else(unknown)?,
        status.organization.as_deref(),
    )
    .await?;
    let found = account.client().get_project(&project.reference).await?;
    let host = found.database_host.ok_or_else(unknown)?;
    if pass.ctx.class.accounts.settings().trusts(&host) {
        return Ok(host);
    }
    Err(supabase::Error::UntrustedHost {
        host: text::line(&host, 200),
    }
    .into())
}

/// A direct host that cannot be reached is most often one without IPv4.
pub fn unreachable(handover: &Handover, mode: ConnectionMode, error: postgres::Error) -> Error {
    let direct = handover.direct.as_ref().filter(|_| mode == ConnectionMode::Direct);
    match direct {
        Some(login) if error.reason() == Reason::DatabaseUnreachable => Error::transient(
            Reason::DatabaseUnreachable,
            format!(
                "{error}. The direct host {} has an IPv6 address only, unless the project has the provider's IPv4 add-on: \
                 set connection.mode to SessionPooler, buy the add-on, or give the operator and the applications IPv6",
                login.host
            ),
        ),
        _ => error.into(),
    }
}
