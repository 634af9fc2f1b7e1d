//! Gives the owner of an entry's database a new password, as often as the login of its tenant is rotated, where the Orchestra
//! asks for that; and the stored one again, where the owner has another. May be interrupted at any point, and is repeated from
//! its beginning.

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use secrecy::SecretString;

use crate::api::condition::Reason;
use crate::api::{DatabaseServer, Orchestra, OrchestraDatabase};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::credentials::followed::{asks_for_password, password_follows_none};
use crate::credentials::made::{self, MadeEntry};
use crate::credentials::tenant::LoginMarks;
use crate::credentials::{self, made_password};
use crate::error::ErrorClass;
use crate::postgres::{self, APPLICATION, DatabaseIdentity, Login, PasswordEnd, RefusedLogins};

/// Whether the login of the entry's tenant was rotated since the owner's password was, and its Orchestra asks for both.
pub fn is_due(core: &Core, entry: &MadeEntry, member: &OrchestraDatabase) -> bool {
    let Some(claim) = member.spec.claim_ref.as_ref().filter(|_| member.is_held()) else {
        return false;
    };
    let holder = ObjectRef::<Orchestra>::new(&claim.name).within(&claim.namespace);
    let holder = core.stores.orchestras.get(&holder);
    let holder = holder.filter(|holder| holder.metadata.uid.as_ref() == Some(&claim.uid));
    holder.is_some_and(|holder| asks_for_password(&holder))
        && password_follows_none(core, &entry.name, &marks(core, member))
}

/// Whether the server has refused the owner's login at the last check of the entry.
pub fn is_refused(credentials: &credentials::Context, member: &OrchestraDatabase) -> bool {
    let trouble = credentials.entries.of(&member.name_any()).flatten();
    trouble.is_some_and(|trouble| trouble.reason == Reason::LoginFailed)
}

/// What is known of the login of the tenant that holds a database.
fn marks(core: &Core, member: &OrchestraDatabase) -> LoginMarks {
    let claim = member.spec.claim_ref.as_ref();
    let uid = claim.map(|claim| claim.uid.as_str()).unwrap_or_default();
    LoginMarks::of(core, &member.name_any(), uid)
}

/// An entry whose owner gets a new password.
pub struct Renewal<'a> {
    /// What every pass needs.
    pub core: &'a Core,
    /// Name of the pool.
    pub pool: &'a str,
    /// The pool's server.
    pub server: &'a DatabaseServer,
    /// The entry.
    pub entry: &'a MadeEntry,
    /// The entry's OrchestraDatabase, if it has one.
    pub member: Option<&'a OrchestraDatabase>,
    /// Refused logins of owners.
    pub logins: &'a RefusedLogins,
}

impl Renewal<'_> {
    /// Gives the owner a new password, or else the stored one if it has another. Returns whether a login with the stored one
    /// may work now that did not work before.
    pub async fn run(&self) -> Result<bool, Error> {
        let Some(identity) = &self.entry.made else {
            return Ok(false);
        };
        let is_due = |member: &OrchestraDatabase| is_due(self.core, self.entry, member);
        if self.entry.pending || self.member.is_some_and(is_due) {
            self.renew(identity).await
        } else {
            self.restore(identity).await
        }
    }

    /// Stores a new password as pending, sets it on the server, and stores it as the owner's when a login with it has worked.
    async fn renew(&self, identity: &DatabaseIdentity) -> Result<bool, Error> {
        let (core, name) = (self.core, &self.entry.name);
        let login = self.member.map(|member| marks(core, member)).unwrap_or_default();
        let Some(pending) = made_password::begin(core, name, login.generation).await? else {
            return Ok(false);
        };
        let owner = made::entry_login_with(core, self.server, (name, &pending.password)).await?;
        // After a crash or an answer that was lost, the owner may have it.
        if pending.fresh || !self.proves(&owner).await? {
            self.set(identity, &pending.password).await?;
            if !self.proves(&owner).await? {
                let message = "the server has set a new password of the database's owner, and refuses a login with it";
                return Err(Error::blocked(Reason::InUse, message));
            }
        }
        let at = login.rotated_at.unwrap_or_else(Timestamp::now);
        if made_password::end(core, name, &pending.password, at).await? {
            tracing::info!(entry = name, "the owner of a database has a new password");
            self.told().await;
        }
        Ok(true)
    }

    /// Sets the stored password again. The server may have been restored to an earlier state, or a script has set another one.
    async fn restore(&self, identity: &DatabaseIdentity) -> Result<bool, Error> {
        let (core, name) = (self.core, &self.entry.name);
        let stored = made::stored_password(core, name).await?;
        let owner = made::entry_login_with(core, self.server, (name, &stored)).await?;
        match postgres::connect(&owner, APPLICATION).await {
            Ok(_) => {}
            Err(error) if error.is_wrong_password() => {
                self.set(identity, &stored).await?;
                tracing::info!(entry = name, "the owner of a database has the stored password again");
            }
            // The check of the entry reports it.
            Err(_) => return Ok(false),
        }
        self.forget_refusals();
        Ok(true)
    }

    /// Whoever was refused meanwhile need not wait.
    fn forget_refusals(&self) {
        if let Some(member) = self.member {
            self.logins.forget(&member.name_any());
        }
    }

    async fn set(&self, identity: &DatabaseIdentity, password: &SecretString) -> Result<(), Error> {
        let login = made::server_login(self.core, self.server).await?;
        let mut session = postgres::connect(&login, APPLICATION).await?;
        let name = &self.entry.name;
        let (role, record) = (made::database(name), made::record(self.pool, name));
        let set = postgres::set_owner_password(&mut session, (&role, &record), identity, password).await;
        match set.map_err(refused)? {
            PasswordEnd::Set => Ok(()),
            PasswordEnd::Kept(why) => Err(Error::blocked(Reason::InUse, why)),
        }
    }

    /// Whether the owner has this password. The server checks it before it refuses a database that a script has closed to its
    /// owner. Where that has too many connections, which may come before or after the check, the database of the pool's login
    /// answers.
    async fn proves(&self, owner: &Login) -> Result<bool, Error> {
        let full = match proof(owner).await {
            Err(error) if state_of(&error) == "53300" => error,
            other => return other.map_err(refused),
        };
        let server = made::server_login(self.core, self.server).await?;
        let mut elsewhere = owner.clone();
        elsewhere.database = server.database;
        proof(&elsewhere).await.map_err(|_| refused(full))
    }

    async fn told(&self) {
        self.forget_refusals();
        let Some(member) = self.member else { return };
        let note = "the database's owner has a new password; the former one no longer works";
        tell(self.core, member, &News::normal(Reason::PasswordRotated, note)).await;
    }
}

/// Whether a login with its password works, or is refused for the right to connect alone.
async fn proof(login: &Login) -> postgres::Result<bool> {
    match postgres::connect(login, APPLICATION).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_wrong_password() => Ok(false),
        Err(error) if ["42501", "55000"].contains(&state_of(&error)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The SQLSTATE of a refusal; empty for other errors.
fn state_of(error: &postgres::Error) -> &str {
    match error {
        postgres::Error::Refused { sqlstate, .. } => sqlstate,
        _ => "",
    }
}

/// The message about a refusal. It says nothing about the creation of other databases.
fn refused(error: postgres::Error) -> Error {
    if error.class() == ErrorClass::Transient {
        return error.into();
    }
    let cure = match &error {
        postgres::Error::Refused { sqlstate, .. } if sqlstate == "42501" => {
            ": give the pool's login ADMIN OPTION on the database's owner, as the login that has made it had"
        }
        _ => "",
    };
    Error::blocked(
        Reason::InUse,
        format!("the password of the database's owner is not changed ({error}){cure}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::attempts::Refusal;
    use crate::pool::server::work::is_of_entry;

    #[test]
    fn a_refused_password_holds_up_no_other_entry() {
        for (sqlstate, passing, says) in [
            ("42501", false, "ADMIN OPTION on the database's owner"),
            ("22023", false, "SQLSTATE 22023"),
            ("57P03", true, "SQLSTATE 57P03"),
        ] {
            let refusal = Refusal::from(&refused(postgres::Error::Refused {
                sqlstate: sqlstate.into(),
                message: "no".into(),
            }));
            assert_eq!(
                (refusal.is_passing(), is_of_entry(&refusal)),
                (passing, !passing),
                "{sqlstate}"
            );
            assert!(refusal.message.contains(says), "{}", refusal.message);
        }
    }
}
