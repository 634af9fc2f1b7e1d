//! Refused logins, counted for each database, whoever logs in. The hosted pooler blocks an address that keeps
//! failing, for up to two minutes and longer with each attempt (Supavisor's circuit breaker), so the next login has
//! to wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;

use super::connect::{APPLICATION, connect};
use super::error::{Error, Result};
use super::login::Login;
use crate::recent::Recent;

/// Refused logins by the name of the OrchestraDatabase.
pub struct RefusedLogins(Mutex<Recent<LoginRefusal>>);

/// How long a refused login is remembered if no other login follows.
const REMEMBERED: Duration = Duration::from_hours(24);

impl std::fmt::Debug for RefusedLogins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefusedLogins").finish_non_exhaustive()
    }
}

impl Default for RefusedLogins {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(REMEMBERED)))
    }
}

#[derive(Clone)]
struct LoginRefusal {
    at: Instant,
    wrong_owner_password: bool,
    /// What the server said, when the owner logged in by [`RefusedLogins::connect`].
    owner: Option<OwnerRefusal>,
}

/// The server's answer to the owner's login.
#[derive(Clone)]
enum OwnerRefusal {
    Login { sqlstate: String, message: String },
    UnknownTenant,
}

impl OwnerRefusal {
    fn of(error: &Error) -> Option<Self> {
        match error {
            Error::LoginFailed { sqlstate, message } => Some(Self::Login {
                sqlstate: sqlstate.clone(),
                message: message.clone(),
            }),
            Error::UnknownTenant => Some(Self::UnknownTenant),
            _ => None,
        }
    }

    fn error(self) -> Error {
        match self {
            Self::Login { sqlstate, message } => Error::LoginFailed { sqlstate, message },
            Self::UnknownTenant => Error::UnknownTenant,
        }
    }
}

/// The owner's login to one database, for further sessions beside the one that was opened with it. Refused ones are counted
/// with the other logins to the database, and wait for each other.
#[derive(Clone, Debug)]
pub struct CountedLogin {
    /// The address, user and password.
    pub login: Login,
    /// The name of the OrchestraDatabase.
    pub database: String,
    /// Where refused logins are counted.
    pub logins: Arc<RefusedLogins>,
    /// The least time between a refused login and the next one.
    pub spacing: Duration,
}

impl CountedLogin {
    /// As [`RefusedLogins::connect`].
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(&self) -> Result<PgConnection> {
        self.logins.connect(&self.database, &self.login, self.spacing).await
    }
}

impl RefusedLogins {
    /// Logs in as the owner of a database. A refusal is counted; until `spacing` has passed since the owner was refused,
    /// the refusal is returned again and the server is not asked.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(&self, database: &str, login: &Login, spacing: Duration) -> Result<PgConnection> {
        if let Some(refused) = self.owner_refused(database, spacing) {
            return Err(refused);
        }
        let connected = connect(login, APPLICATION).await;
        connected.inspect_err(|error| self.count(database, error))
    }

    /// As [`RefusedLogins::connect`], where the owner may have a second password, which is tried when the server refuses the
    /// first one. Also returns the login that has worked.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect_with(
        &self,
        database: &str,
        (login, second): (Login, Option<SecretString>),
        spacing: Duration,
    ) -> Result<(PgConnection, Login)> {
        let Some(second) = second else {
            return Ok((self.connect(database, &login, spacing).await?, login));
        };
        if let Some(refused) = self.owner_refused(database, spacing) {
            return Err(refused);
        }
        match connect(&login, APPLICATION).await {
            Ok(session) => Ok((session, login)),
            Err(error) if error.is_wrong_password() => {
                let login = login.as_user(login.user.clone(), second);
                Ok((self.connect(database, &login, spacing).await?, login))
            }
            Err(error) => {
                self.count(database, &error);
                Err(error)
            }
        }
    }

    /// Counts a login of the owner that the server refused. One that did not reach it does not count.
    fn count(&self, database: &str, error: &Error) {
        if let Some(owner) = OwnerRefusal::of(error) {
            self.note(database, error.is_wrong_password(), Some(owner));
        }
    }

    /// The last refusal of the owner's login, while the next one has to wait.
    fn owner_refused(&self, database: &str, spacing: Duration) -> Option<Error> {
        self.wait(database, spacing)?;
        Some(self.get(database)?.owner?.error())
    }

    /// Remembers that a login was refused. `wrong_owner_password` says that the owner logged in and the server
    /// called its password wrong.
    pub fn refused(&self, database: &str, wrong_owner_password: bool) {
        self.note(database, wrong_owner_password, None);
    }

    fn note(&self, database: &str, wrong_owner_password: bool, owner: Option<OwnerRefusal>) {
        let refusal = LoginRefusal {
            at: Instant::now(),
            wrong_owner_password,
            owner,
        };
        self.0.lock().insert(database, refusal);
    }

    /// Forgets a refused login: the password was set, a login succeeded, or the database is gone.
    pub fn forget(&self, database: &str) {
        self.0.lock().remove(database);
    }

    /// Whether the last login was the owner's and was refused for its password.
    pub fn wrong_password(&self, database: &str) -> bool {
        self.get(database).is_some_and(|refusal| refusal.wrong_owner_password)
    }

    /// How long the next login has to wait.
    pub fn wait(&self, database: &str, spacing: Duration) -> Option<Duration> {
        let left = spacing.checked_sub(self.get(database)?.at.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    fn get(&self, database: &str) -> Option<LoginRefusal> {
        self.0.lock().get(database).cloned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_refused_login_spaces_the_next_one_of_the_same_database() {
        let (logins, spacing) = (RefusedLogins::default(), Duration::from_secs(30));
        assert_eq!(logins.wait("a", spacing), None);
        logins.refused("a", true);
        assert!(logins.wait("a", spacing).is_some() && logins.wrong_password("a"));
        assert!(logins.wait("b", spacing).is_none() && !logins.wrong_password("b"));
        // The refused login of a tenant says nothing about the owner's password.
        logins.refused("a", false);
        assert!(logins.wait("a", spacing).is_some() && !logins.wrong_password("a"));
        assert_eq!(logins.wait("a", Duration::ZERO), None);
        logins.forget("a");
        assert_eq!(logins.wait("a", spacing), None);
    }

    #[tokio::test]
    async fn the_server_is_not_asked_again_while_the_owners_next_login_has_to_wait() {
        let (logins, spacing) = (RefusedLogins::default(), Duration::from_secs(30));
        let url = "postgresql://owner:hush@127.0.0.1:1/x?sslmode=disable";
        let login = Login::parse(&url.into()).unwrap();
        let wrong = Error::LoginFailed {
            sqlstate: "28P01".into(),
            message: "no".into(),
        };
        logins.count("a", &wrong);
        let told = |error: Error| (error.is_wrong_password(), error.to_string());
        let again = logins.connect("a", &login, spacing).await.unwrap_err();
        assert_eq!(told(again), told(wrong));
        let both = (login.clone(), Some("other".to_owned().into()));
        assert!(
            logins
                .connect_with("a", both, spacing)
                .await
                .is_err_and(|error| error.is_wrong_password())
        );
        assert!(logins.wrong_password("a"));
        // An unreachable server is not a refusal, and a refusal of a tenant is not one of the owner.
        logins.forget("a");
        let unreached = logins.connect("a", &login, spacing).await.unwrap_err();
        assert!(matches!(unreached, Error::Unreachable(_)) && logins.wait("a", spacing).is_none());
        logins.refused("a", false);
        assert!(logins.owner_refused("a", spacing).is_none());
    }
}
