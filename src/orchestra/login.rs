//! The access to the claimed database: the owner's login, and the values that the tenant will get.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;

use super::{Pass, direct, generations, record, ungrouped};
use crate::api::condition::Reason;
use crate::api::{ConnectionMode, OrchestraClass, OrchestraDatabase};
use crate::content::TenantContext;
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::credentials::connection::Handover;
use crate::credentials::inventory::{self, ProjectApi};
use crate::credentials::tenant::{LoginMarks, Logins};
use crate::credentials::{owner, published, rights, secrets, spare, tenant};
use crate::postgres::{self, KeptRole, Login, Sharing, TenantRole, TenantRoles, holdings};

/// The owner's login.
pub async fn owner(
    pass: &Pass,
    database: &OrchestraDatabase,
) -> Result<(Login, owner::OwnerSecret, Option<ProjectApi>), Error> {
    let (core, name) = (&pass.ctx.core, database.name_any());
    // An entry of a static pool has no owner's Secret, unless an earlier version stored the tenant's password there.
    let stored = if database.spec.inventory.is_none() || secrets::is_watched(core, &name) {
        owner::read(&owner::secrets(core), &name).await?.unwrap_or_default()
    } else {
        owner::OwnerSecret::default()
    };
    if let Some(entry) = &database.spec.inventory {
        let (login, project) = inventory::login(&pass.ctx.credentials, entry).await?;
        return Ok((login, stored, project));
    }
    let login = stored.login(&core.settings.database_roots).ok_or_else(|| {
        Error::transient(
            Reason::Provisioning,
            "the owner's login is not stored yet; the operator stores it again",
        )
    })?;
    Ok((login, stored, None))
}

/// The proven access to a database.
pub struct WayIn {
    /// The owner's login.
    pub owner: Login,
    /// The values that the tenant gets.
    pub handover: Handover,
}

/// The session, the access and the logins that the preparation of a tenant's login has opened and read.
pub struct Opened {
    /// The owner's session.
    pub session: PgConnection,
    /// The owner's access and the addresses that are published.
    pub way_in: WayIn,
    /// The tenant's logins.
    pub logins: Logins,
}

/// Disables all logins of the tenant, also those of a rotation; the owner keeps its access.
pub async fn shut(pass: &Pass, database: &OrchestraDatabase) -> Result<(), Error> {
    let mut session = open(pass, database).await?;
    shut_all(pass, database, &mut session).await.map(drop)
}

/// Returns whether none of them can log in any more.
pub async fn shut_all(pass: &Pass, database: &OrchestraDatabase, session: &mut PgConnection) -> Result<bool, Error> {
    let kept = postgres::shut_tenant_logins(session, &postgres::role_name(pass.uid())).await?;
    tell_kept(pass, database, &kept).await;
    Ok(!kept.iter().any(KeptRole::logs_in))
}

/// Tells of roles of a tenant that are left on the server.
pub async fn tell_kept(pass: &Pass, database: &OrchestraDatabase, kept: &[KeptRole]) {
    const TOLD: usize = 3;
    for kept in kept.iter().take(TOLD) {
        let note = format!("database {}: {kept}", database.name_any());
        tell(
            &pass.ctx.core,
            &pass.object,
            &News::warning(Reason::DatabaseRefused, note),
        )
        .await;
    }
}

/// Opens the owner's session for a look that `observe` takes. A wrong password is reported when the look has failed, by
/// [`report`].
pub async fn look(pass: &Pass, database: &OrchestraDatabase) -> Result<PgConnection, Error> {
    let (login, stored, _) = owner(pass, database).await?;
    Ok(connect(pass, (login, stored.pending), database).await?.0)
}

/// Opens the owner's session, and changes nothing in the database.
pub async fn open(pass: &Pass, database: &OrchestraDatabase) -> Result<PgConnection, Error> {
    let opened = look(pass, database).await;
    opened.inspect_err(|error| report(pass, database, error))
}

/// As [`connect`]; a wrong owner's password is reported.
async fn enter(
    pass: &Pass,
    passwords: (Login, Option<SecretString>),
    database: &OrchestraDatabase,
) -> Result<(PgConnection, Login), Error> {
    connect(pass, passwords, database)
        .await
        .inspect_err(|error| report(pass, database, error))
}

/// Reports a wrong password of the owner to the database's controller, which sets a new one.
pub fn report(pass: &Pass, database: &OrchestraDatabase, error: &Error) {
    let is_wrong = matches!(error, Error::Postgres(error) if error.is_wrong_password());
    if is_wrong && database.spec.supabase.is_some() {
        pass.ctx.database.wake(&database.name_any());
    }
}

/// Opens the owner's session in the claimed database. While the owner's password is being rotated, either of two is valid.
async fn connect(
    pass: &Pass,
    passwords: (Login, Option<SecretString>),
    database: &OrchestraDatabase,
) -> Result<(PgConnection, Login), Error> {
    let (ctx, name) = (&pass.ctx.database, database.name_any());
    let spacing = ctx.core.settings.login_spacing;
    let (mut session, login) = ctx.logins.connect_with(&name, passwords, spacing).await?;
    inventory::check_identity(&mut session, database).await?;
    Ok((session, login))
}

/// Opens the owner's session, records the claim in the database, and makes the tenant's login role. The password is stored
/// before the role gets it, so a crash between the two loses nothing.
pub async fn prepare(
    pass: &Pass,
    database: &OrchestraDatabase,
    class: Option<&OrchestraClass>,
    now: Timestamp,
) -> Result<Opened, Error> {
    let (login, stored, project) = owner(pass, database).await?;
    let mut logins = match pass.access.logins() {
        Some(logins) => logins.clone(),
        None => read_logins(pass, database, stored.tenant_password).await?,
    };
    let (mut session, login) = enter(pass, (login, stored.pending), database).await?;
    for former in &database.spec.former_uids {
        let kept = postgres::drop_tenant_role(&mut session, &postgres::role_name(former)).await?;
        tell_kept(pass, database, &kept).await;
    }
    if !database.spec.former_uids.is_empty() && !pass.is_serving() {
        // A script of the former tenant may still run in one.
        postgres::end_owners_sessions(&mut session).await?;
    }
    record::claim(&mut session, pass, database).await?;
    generations::compare(pass, database, (&mut logins, now), &mut session).await?;
    ensure(pass, database, class, (&logins, now), &mut session).await?;
    if !database.spec.former_uids.is_empty() {
        postgres::take_kept(&mut session, &postgres::role_name(pass.uid())).await?;
    }
    let handover = handed_over(
        pass,
        database,
        class,
        (&login, stored.address, project),
        logins.newest(pass.uid()),
    )
    .await?;
    let way_in = WayIn { handover, owner: login };
    Ok(Opened {
        session,
        way_in,
        logins,
    })
}

/// The values that the tenant got, without a look into the database.
pub async fn handover(
    pass: &Pass,
    database: &OrchestraDatabase,
    class: Option<&OrchestraClass>,
) -> Result<Handover, Error> {
    let (login, stored, project) = owner(pass, database).await?;
    let logins = read_logins(pass, database, stored.tenant_password).await?;
    handed_over(
        pass,
        database,
        class,
        (&login, stored.address, project),
        logins.current(pass.uid()),
    )
    .await
}

async fn handed_over(
    pass: &Pass,
    database: &OrchestraDatabase,
    class: Option<&OrchestraClass>,
    (login, address, project): (&Login, Option<owner::Address>, Option<ProjectApi>),
    role: Option<TenantRole>,
) -> Result<Handover, Error> {
    let role = role.ok_or_else(|| {
        let message = "the tenant's Secret no longer holds the password of the login; the operator makes a new one";
        Error::transient(Reason::PreparingLogin, message)
    })?;
    let mut handover = tenant::handover(login, &role, address.as_ref(), project);
    if pass.object.spec.connection.mode == ConnectionMode::Direct && handover.transaction.is_some() {
        handover.direct = Some(Login {
            host: direct::host(pass, database, class).await?,
            port: published::DIRECT_PORT,
            user: role.name,
            ..handover.session.clone()
        });
    }
    Ok(handover)
}

/// Creates or corrects the tenant's roles.
async fn ensure(
    pass: &Pass,
    database: &OrchestraDatabase,
    class: Option<&OrchestraClass>,
    (logins, now): (&Logins, Timestamp),
    session: &mut PgConnection,
) -> Result<(), Error> {
    let sharing = sharing(session, database).await?;
    let (kept, unknown) = generations::live(pass.uid(), logins, now);
    let rights = rights::of(&pass.object, class);
    if let ([first], [], false) = (&*kept, &*unknown, pass.is_serving())
        && first.name == postgres::role_name(pass.uid())
        && let Some(spare) = spare::role(database)
        && postgres::take_spare(session, &spare, first, &rights).await?
    {
        return Ok(());
    }
    let roles = TenantRoles {
        base: &postgres::role_name(pass.uid()),
        logins: &kept,
        unknown: &unknown.iter().map(String::as_str).collect::<Vec<_>>(),
    };
    let locked = postgres::ensure_tenant_roles(session, roles, &rights, sharing).await?;
    ungrouped::keep(pass, database, locked).await;
    Ok(())
}

/// Ends former logins, by number: they can no longer log in, and their sessions end.
pub async fn shut_former(pass: &Pass, database: &OrchestraDatabase, former: &[u32]) -> Result<(), Error> {
    let mut session = open(pass, database).await?;
    let (base, numbers) = (postgres::role_name(pass.uid()), former.iter());
    let roles: Vec<_> = numbers.map(|number| tenant::role_of(pass.uid(), *number)).collect();
    Ok(postgres::shut_former_logins(&mut session, &base, &roles).await?)
}

/// The tenant's logins.
pub async fn logins(pass: &Pass, database: &OrchestraDatabase) -> Result<Logins, Error> {
    let (_, stored, _) = owner(pass, database).await?;
    read_logins(pass, database, stored.tenant_password).await
}

async fn read_logins(
    pass: &Pass,
    database: &OrchestraDatabase,
    earlier: Option<SecretString>,
) -> Result<Logins, Error> {
    let status = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.credentials.as_ref());
    // The password of an earlier version is that of the Orchestra which had the database first.
    let earlier = earlier.filter(|_| database.spec.former_uids.is_empty());
    let last = status
        .and_then(|known| u32::try_from(known.generation).ok())
        .unwrap_or(1);
    let known = tenant::KnownLogins {
        uid: pass.uid(),
        earlier,
        generation: last,
        published: pass.is_serving() || pass.known_secret().is_some(),
    };
    Logins::read(&pass.ctx.core, &database.name_any(), known).await
}

/// How long the preparation or the end of a tenant's login may take: statements that may wait for locks.
pub const LOGIN_LIMIT: Duration = Duration::from_mins(1);

/// Whether other tenants share the server of a database.
pub async fn sharing(session: &mut PgConnection, database: &OrchestraDatabase) -> Result<Sharing, Error> {
    if database.spec.inventory.is_none() {
        return Ok(Sharing::Own);
    }
    if !holdings::is_hosted_project(session).await? {
        return Ok(Sharing::Shared);
    }
    holdings::check_project_is_alone(session).await?;
    Ok(Sharing::Own)
}

/// Whether the tenant's logins are as this version of the operator creates them, and are the known ones.
pub async fn is_prepared(
    pass: &Pass,
    database: &OrchestraDatabase,
    class: Option<&OrchestraClass>,
    session: &mut PgConnection,
) -> Result<bool, Error> {
    let sharing = sharing(session, database).await?;
    let (base, published) = (postgres::role_name(pass.uid()), published_role(pass, database));
    let rights = rights::of(&pass.object, class);
    let mut prepared = postgres::is_prepared(session, &base, &rights, sharing).await?;
    if published != base {
        prepared = prepared && postgres::is_member_prepared(session, &base, &published, &rights, sharing).await?;
    }
    Ok(prepared && generations::agree(pass, database, session).await?)
}

/// The role of the login that the connection Secret has. After a rotation it is not the tenant's first role: it has that
/// role's rights, and attributes of its own, such as BYPASSRLS.
pub fn published_role(pass: &Pass, database: &OrchestraDatabase) -> String {
    let marks = LoginMarks::of(&pass.ctx.core, &database.name_any(), pass.uid());
    tenant::role_of(pass.uid(), marks.generation)
}

/// Reason and message of tables that the published login cannot read; none when it reads them all.
pub async fn unreadable(
    pass: &Pass,
    tenant: &TenantContext<'_>,
    session: &mut PgConnection,
) -> Result<Option<(Reason, String)>, Error> {
    let Some(database) = tenant.database else {
        return Ok(None);
    };
    let role = published_role(pass, database);
    let hidden = postgres::unreadable(session, &role, &rights::of(&pass.object, tenant.class)).await?;
    let ungranted = postgres::ungranted(session, &role).await?;
    Ok(match (hidden, ungranted) {
        (Some(hidden), None) => Some((Reason::NoPolicy, hidden)),
        (None, ungranted) => ungranted.map(|ungranted| (Reason::NoGrant, ungranted)),
        (Some(hidden), Some(ungranted)) => Some((Reason::NoPolicy, format!("{hidden}. And {ungranted}"))),
    })
}

/// Ends work that takes too long: a server that stalls after the login delays only its own tenant, and no pass that others
/// wait for.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Err(postgres::Error::Timeout(limit).into());
    tokio::time::timeout(limit, Box::pin(work)).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;

    #[tokio::test]
    async fn a_server_that_stalls_is_given_up() {
        let stalled = within(Duration::from_millis(1), std::future::pending::<Result<(), Error>>()).await;
        assert!(stalled.is_err_and(|error| {
            error.class() == ErrorClass::Transient && error.reason() == Reason::DatabaseUnreachable
        }));
    }
}
