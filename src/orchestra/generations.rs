//! The logins of a tenant, by their numbers, and the roles of its server.

use jiff::Timestamp;
use kube::ResourceExt as _;
use sqlx::postgres::PgConnection;

use super::{Pass, login, rotation};
use crate::api::{OrchestraClass, OrchestraDatabase};
use crate::controller::error::Error;
use crate::credentials::rights;
use crate::credentials::tenant::{self, LoginState, Logins};
use crate::postgres::{self, NextLogin, TenantRole};

/// Compares what is known of the logins with the roles of the server: a new login gets a number that no role of others has,
/// and unknown logins end after the overlap.
pub async fn compare(
    pass: &Pass,
    database: &OrchestraDatabase,
    (logins, now): (&mut Logins, Timestamp),
    session: &mut PgConnection,
) -> Result<(), Error> {
    let (core, name) = (&pass.ctx.core, database.name_any());
    let wanted = logins.state.candidates(jumps());
    let names: Vec<_> = wanted.map(|number| tenant::role_of(pass.uid(), number)).collect();
    let new = NextLogin {
        names: &names,
        is_new: logins.state.tentative,
    };
    let found = postgres::tenant_logins(session, &postgres::role_name(pass.uid()), new).await?;
    let next = found.next.and_then(|role| tenant::generation_of(pass.uid(), &role));
    let found = numbers(pass.uid(), &found.logins);
    logins.choose(core, &name, next).await?;
    let overlap = rotation::overlap(&pass.object);
    let change = |state: &mut LoginState| state.found(&found, now, overlap);
    logins.change(core, &name, change).await
}

/// Whether the roles that log in are those that are known. A database that was restored to a state before a rotation has a
/// former login again, and not the published one.
pub async fn agree(pass: &Pass, database: &OrchestraDatabase, session: &mut PgConnection) -> Result<bool, Error> {
    let known = tenant::state(&pass.ctx.core, &database.name_any(), pass.uid()).await?;
    let Some(known) = known else { return Ok(true) };
    let found = postgres::tenant_logins(session, &postgres::role_name(pass.uid()), NextLogin::default()).await?;
    Ok(known.agrees(&numbers(pass.uid(), &found.logins)))
}

/// Random distances to further numbers of a new login: nobody has made roles of all these names before.
fn jumps() -> [u32; 8] {
    std::array::from_fn(|_| rand::random_range(3..=1_000_000))
}

/// The numbers of logins of these roles.
fn numbers(uid: &str, roles: &[String]) -> Vec<u32> {
    let numbers = roles.iter().filter_map(|role| tenant::generation_of(uid, role));
    numbers.collect()
}

/// The roles that log in, with their passwords, and those whose passwords nobody knows. A former login whose overlap has
/// ended is never created again.
pub fn live(uid: &str, logins: &Logins, now: Timestamp) -> (Vec<TenantRole>, Vec<String>) {
    let overdue = logins.state.overdue(now);
    let stays = |role: &str| tenant::generation_of(uid, role).is_none_or(|number| !overdue.contains(&number));
    let kept = logins.roles(uid).into_iter().filter(|role| stays(&role.name));
    let unknown = logins.unknown(uid).into_iter().filter(|role| stays(role));
    (kept.collect(), unknown.collect())
}

/// Drops the role of a former login, by number, with a session of its own.
pub async fn drop_former(
    pass: &Pass,
    database: &OrchestraDatabase,
    class: Option<&OrchestraClass>,
    (logins, number): (&Logins, u32),
) -> Result<(), Error> {
    let (base, role) = (postgres::role_name(pass.uid()), tenant::role_of(pass.uid(), number));
    let mut session = login::open(pass, database).await?;
    let sharing = login::sharing(&mut session, database).await?;
    let (family, rights) = (logins.roles(pass.uid()), rights::of(&pass.object, class));
    let names = (base.as_str(), role.as_str());
    Ok(postgres::drop_former_role(&mut session, names, &family, &rights, sharing).await?)
}
