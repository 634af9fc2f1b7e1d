//! The address of a project's database. It is read from the API and never composed: the cluster number in a pooler's
//! host name is assigned project by project.

use super::error::Error;
use super::fields::{AnswerFields, Item};
use super::operation::Operation;
use super::settings::ApiSettings;
use super::types::{DatabaseType, PoolMode};

/// The port for sessions on the shared pooler. The API lists the transaction entry only; the same host accepts
/// sessions of the same user on this port (the official CLI relies on it).
const SESSION_PORT: u16 = 5432;

/// The database of every project (Supabase, "Connect to your database"), for an entry that does not name it.
const DATABASE: &str = "postgres";

/// An entry of the shared pooler. Its connection strings are left out: the operator builds its own.
#[derive(Clone, Debug)]
pub struct PoolerConfig {
    /// Primary or replica.
    pub database_type: Option<DatabaseType>,
    /// The login, `postgres.<ref>`.
    pub db_user: String,
    /// The host.
    pub db_host: String,
    /// The port.
    pub db_port: u16,
    /// The database.
    pub db_name: String,
    /// How it shares connections.
    pub pool_mode: Option<PoolMode>,
}

impl Item for PoolerConfig {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        Some(Self {
            database_type: fields.name("database_type"),
            db_user: fields.text("db_user")?,
            db_host: fields.text("db_host")?,
            db_port: u16::try_from(fields.whole("db_port")?).ok().filter(|port| *port > 0)?,
            db_name: fields.text("db_name").unwrap_or_else(|| DATABASE.to_owned()),
            pool_mode: fields.name("pool_mode"),
        })
    }
}

/// The shared pooler's address of one project's primary database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolerEndpoint {
    /// The host, trusted with a password.
    pub host: String,
    /// The owner's login, `postgres.<ref>`. Other roles are `<role>.<ref>`.
    pub user: String,
    /// The database.
    pub database: String,
    /// For sessions: migrations, roles, long-running servers.
    pub session_port: u16,
    /// For single transactions, without prepared statements.
    pub transaction_port: u16,
}

impl PoolerEndpoint {
    /// The primary's address among the entries.
    ///
    /// # Errors
    /// [`Error::NotReady`] while there is no entry for the primary; [`Error::UntrustedHost`] when
    /// its host is not one that a password may be sent to, or its login is another project's.
    pub fn choose(entries: &[PoolerConfig], reference: &str, settings: &ApiSettings) -> Result<Self, Error> {
        // The only entry is the primary's, unless it names another type.
        let only = entries.len() == 1;
        let is_primary = |entry: &&PoolerConfig| match &entry.database_type {
            Some(kind) => *kind == DatabaseType::Primary,
            None => only,
        };
        let primary = || entries.iter().filter(is_primary);
        let is_session = |entry: &PoolerConfig| entry.pool_mode == Some(PoolMode::Session);
        let entry = primary()
            .find(|entry| entry.pool_mode == Some(PoolMode::Transaction))
            .or_else(|| primary().find(|entry| !is_session(entry)))
            .or_else(|| primary().next())
            .ok_or_else(|| Error::NotReady {
                operation: Operation::GetPoolerConfig,
                message: "the pooler has no entry for the primary database yet".to_owned(),
            })?;
        let untrusted = |name: &str| Error::UntrustedHost {
            host: super::said::capped(name),
        };
        if !settings.trusts(&entry.db_host) {
            return Err(untrusted(&entry.db_host));
        }
        if entry
            .db_user
            .rsplit_once('.')
            .is_none_or(|(_, tenant)| tenant != reference)
        {
            return Err(untrusted(&format!("{}@{}", entry.db_user, entry.db_host)));
        }
        let session = primary().find(|other| {
            let same = (&other.db_host, &other.db_user) == (&entry.db_host, &entry.db_user);
            same && is_session(other)
        });
        Ok(Self {
            host: entry.db_host.clone(),
            user: entry.db_user.clone(),
            database: entry.db_name.clone(),
            session_port: session.map_or(SESSION_PORT, |session| session.db_port),
            transaction_port: entry.db_port,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::super::fields::items;
    use super::*;

    const REF: &str = "abcdefghijklmnopqrst";

    fn entry(changes: &Value) -> Value {
        let mut entry = json!({
            "identifier": REF, "database_type": "PRIMARY", "is_using_scram_auth": false,
            "db_user": format!("postgres.{REF}"), "db_port": 6543, "db_name": "postgres",
            "db_host": "aws-1-eu-central-1.pooler.supabase.com", "pool_mode": "transaction",
            "connection_string": "postgresql://postgres.x:[YOUR-PASSWORD]@h:6543/postgres",
            "connectionString": "", "default_pool_size": null, "max_client_conn": null,
        });
        for (name, value) in changes.as_object().unwrap() {
            entry[name] = value.clone();
        }
        entry
    }

    fn choose(entries: &Value) -> Result<PoolerEndpoint, Error> {
        let entries = items::<PoolerConfig>(entries.as_array().unwrap()).items;
        PoolerEndpoint::choose(&entries, REF, &ApiSettings::hosted().unwrap())
    }

    #[test]
    fn an_entry_that_is_not_understood_takes_no_other_with_it() {
        let port = entry(&json!({"db_port": "6543", "default_pool_size": "15"}));
        let odd = entry(&json!({"db_host": null}));
        let one = choose(&json!([odd, null, {}, port])).unwrap();
        assert_eq!((one.session_port, one.transaction_port), (5432, 6543));
        let untyped = entry(&json!({"database_type": null, "pool_mode": null}));
        assert_eq!(choose(&json!([untyped])).unwrap().transaction_port, 6543);
        for nothing in [
            json!([untyped, untyped]),
            json!([entry(&json!({"database_type": "ANALYTICS_REPLICA"}))]),
            json!([entry(&json!({"db_port": 0}))]),
            json!([entry(&json!({"db_user": null}))]),
        ] {
            assert!(matches!(choose(&nothing), Err(Error::NotReady { .. })), "{nothing}");
        }
    }

    #[test]
    fn sessions_use_5432_unless_an_entry_says_otherwise() {
        let replica = entry(&json!({"database_type": "READ_REPLICA", "db_host": "r.supabase.com"}));
        let one = choose(&json!([replica, entry(&json!({}))])).unwrap();
        assert_eq!((one.session_port, one.transaction_port), (5432, 6543));
        assert_eq!(one.host, "aws-1-eu-central-1.pooler.supabase.com");
        assert_eq!(one.user, format!("postgres.{REF}"));
        let session = entry(&json!({"pool_mode": "session", "db_port": 5433}));
        let two = choose(&json!([session, entry(&json!({}))])).unwrap();
        assert_eq!((two.session_port, two.transaction_port), (5433, 6543));
    }

    #[test]
    fn a_password_goes_to_no_other_host_or_project() {
        for changes in [
            json!({"db_host": "pooler.supabase.com.attacker.example"}),
            json!({"db_host": "127.0.0.1"}),
            json!({"db_user": "postgres.zzzzzzzzzzzzzzzzzzzz"}),
            json!({"db_user": "postgres"}),
            json!({"db_user": format!("postgres.x{REF}")}),
        ] {
            let error = choose(&json!([entry(&changes)])).unwrap_err();
            assert!(matches!(error, Error::UntrustedHost { .. }), "{changes}");
        }
        assert!(matches!(choose(&json!([])), Err(Error::NotReady { .. })));
    }
}
