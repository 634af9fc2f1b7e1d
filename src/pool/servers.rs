//! The databases on the servers of a pool that are no entry's, such as those for administration: every role may connect to
//! them until an admin closes them, and the operator has no right to. The pool's status names the statements.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use secrecy::SecretString;

use super::{Pass, probe};
use crate::controller::background::WorkKind;
use crate::credentials::inventory::Inventory;
use crate::migrate::Watch;
use crate::postgres::Login;
use crate::postgres::holdings::{self, Open};
use crate::text;

/// The results of the last checks of each pool's servers, by the UID of the pool and the server's address.
#[derive(Default)]
pub struct ServerLooks(Mutex<HashMap<String, BTreeMap<String, ServerLook>>>);

/// The last check of one server.
#[derive(Clone, Debug)]
struct ServerLook {
    at: Instant,
    /// None while nothing is known.
    open: Option<Vec<Open>>,
}

/// What is known of the servers of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownServers {
    /// A server was not checked since the operator started.
    Nothing,
    /// No server has an open database.
    Closed,
    /// What an admin has to do.
    Open(String),
}

impl ServerLooks {
    /// Records the result of a check.
    pub fn note(&self, pool: &str, login: &Login, open: &[Open]) {
        let look = ServerLook {
            at: Instant::now(),
            open: Some(open.to_vec()),
        };
        let mut looks = self.0.lock();
        looks.entry(pool.into()).or_default().insert(address(login), look);
    }

    /// Fills in what the last look has found inside of these databases, if they are those that were open then.
    fn recall(&self, pool: &str, login: &Login, open: &mut [Open]) -> bool {
        let looks = self.0.lock();
        let look = looks.get(pool).and_then(|looks| looks.get(&address(login)));
        let Some(last) = look.and_then(|look| look.open.as_ref()) else {
            return false;
        };
        let is_same = |(last, open): (&Open, &Open)| last.database == open.database;
        if last.len() != open.len() || !last.iter().zip(&*open).all(is_same) {
            return false;
        }
        open.clone_from_slice(last);
        true
    }

    fn begin(&self, pool: &str, login: &Login) {
        let mut looks = self.0.lock();
        let looks = looks.entry(pool.into()).or_default();
        let look = looks.entry(address(login)).or_insert(ServerLook {
            at: Instant::now(),
            open: None,
        });
        look.at = Instant::now();
    }

    /// Whether a server needs another check: a database was open there, or may have been.
    fn is_due(&self, pool: &str, login: &Login, told: bool, spacing: Duration) -> bool {
        let looks = self.0.lock();
        match looks.get(pool).and_then(|looks| looks.get(&address(login))) {
            None => told,
            Some(look) => {
                let closed = look.open.as_ref().is_some_and(Vec::is_empty);
                !closed && look.at.elapsed() >= spacing
            }
        }
    }

    /// How long until the next check of a server whose databases are not known to be closed.
    fn again(&self, pool: &str, login: &Login, spacing: Duration) -> Option<Duration> {
        let looks = self.0.lock();
        let look = looks.get(pool)?.get(&address(login))?;
        let closed = look.open.as_ref().is_some_and(Vec::is_empty);
        (!closed).then(|| spacing.saturating_sub(look.at.elapsed()))
    }

    /// What is known of the servers of a pool, which are those with these addresses; others are forgotten. The database of an
    /// entry, by its name, is closed when the entry is taken in.
    fn known(&self, pool: &str, wanted: &[(String, Option<String>)]) -> KnownServers {
        let mut looks = self.0.lock();
        let looks = looks.entry(pool.into()).or_default();
        looks.retain(|address, _| wanted.iter().any(|(known, _)| known == address));
        let found = looks.iter().filter_map(|(address, look)| {
            let is_entry = |open: &&Open| wanted.contains(&(address.clone(), Some(open.database.clone())));
            let open: Vec<_> = look.open.iter().flatten().filter(|open| !is_entry(open)).collect();
            (!open.is_empty()).then(|| statements(address, &open))
        });
        let found: Vec<_> = found.collect();
        match (found.is_empty(), looks.values().all(|look| look.open.is_some())) {
            (false, _) => KnownServers::Open(found.join("; ")),
            (true, true) if wanted.iter().all(|(address, _)| looks.contains_key(address)) => KnownServers::Closed,
            (true, _) => KnownServers::Nothing,
        }
    }

    /// Forgets the pools that do not exist any more.
    pub fn retain_pools(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|pool, _| exists(pool));
    }
}

/// What is known of the servers of a pool. `own`: the login of its `server`, where no entry leads there.
pub fn known(pass: &Pass, inventory: &Inventory, own: Option<&Login>) -> KnownServers {
    let addresses = addresses(inventory).chain(own.map(|own| (address(own), None)));
    pass.ctx
        .memory
        .servers
        .known(pass.uid(), &addresses.collect::<Vec<_>>())
}

/// The addresses of the entries, and the names of their databases there.
fn addresses(inventory: &Inventory) -> impl Iterator<Item = (String, Option<String>)> {
    let logins = inventory.values().filter_map(|url| Login::parse(url).ok());
    logins.map(|login| (address(&login), Some(login.database)))
}

fn address(login: &Login) -> String {
    format!("{}:{}", login.host, login.port)
}

/// Open databases of a server that are named.
const NAMED: usize = 8;

/// Lists the functions and operators of a schema `public` in which every login may create, but for those of superusers. A name
/// in a statement of an admin may mean one of them, which then runs with the admin's rights.
const FOREIGN: &str = "SET search_path = pg_catalog, pg_temp; SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = \
     'public'::regnamespace AND proowner NOT IN (SELECT oid FROM pg_roles WHERE rolsuper) UNION ALL SELECT oid::regoperator::text \
     FROM pg_operator WHERE oprnamespace = 'public'::regnamespace AND oprowner NOT IN (SELECT oid FROM pg_roles WHERE rolsuper)";

/// What an admin of a server has to run.
fn statements(address: &str, open: &[&Open]) -> String {
    let names: Vec<_> = open.iter().take(NAMED).map(|open| identifier(&open.database)).collect();
    let names = text::names(&names, NAMED, open.len());
    let schemas = open.iter().filter(|open| open.creates).map(|open| {
        let database = identifier(&open.database);
        format!(", and in database {database} REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    });
    let schemas: String = schemas.collect();
    let foreign = if schemas.is_empty() {
        String::new()
    } else {
        format!(
            "; before an admin runs anything else there, look for functions and operators of tenants, which would run with the \
             admin's rights: {FOREIGN}"
        )
    };
    format!(
        "every tenant's login can connect to {names} of server {address}; an admin of the server closes them: REVOKE \
         CONNECT, TEMPORARY ON DATABASE {names} FROM PUBLIC{schemas}{foreign}"
    )
}

/// The name of a database as statements have it. Whoever makes one has named it.
fn identifier(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let name = text::line(name, LONGEST);
    if name.bytes().all(is_plain) && !name.starts_with(|first: char| first.is_ascii_digit()) {
        return name;
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Bytes of the name of a database.
const LONGEST: usize = 63;

/// The members whose server is to be looked at again, one for each server.
pub fn due(pass: &Pass, members: impl Iterator<Item = (String, SecretString)>) -> Vec<String> {
    let told = pass.pool.tells_of_servers();
    let spacing = pass.ctx.core.settings.login_spacing;
    let mut due = BTreeMap::new();
    for (key, url) in members {
        let Ok(login) = Login::parse(&url) else { continue };
        if pass.ctx.memory.servers.is_due(pass.uid(), &login, told, spacing) {
            due.entry(address(&login)).or_insert(key);
        }
    }
    due.into_values().collect()
}

/// When the server of a pool without entries is to be checked; none when it need not be. No probe of an entry reports it.
pub fn due_of_own(pass: &Pass, own: &Login) -> Option<Duration> {
    let (servers, spacing) = (&pass.ctx.memory.servers, pass.ctx.core.settings.login_spacing);
    if servers.is_due(pass.uid(), own, true, spacing) {
        return Some(Duration::ZERO);
    }
    servers.again(pass.uid(), own, spacing)
}

/// The login with which a server is checked.
pub enum Looker<'a> {
    /// The owner's of the database of a member.
    Member(&'a str),
    /// That of the pool's `server`.
    Own,
}

/// Starts the check of a server. Its end triggers the pool.
pub fn begin(pass: &Pass, login: Login, looker: &Looker<'_>) {
    let (uid, memory) = (pass.uid().to_owned(), pass.ctx.memory.clone());
    memory.servers.begin(&uid, &login);
    let work = format!("{uid}/{}/server", address(&login));
    let (logins, spacing) = (pass.ctx.logins.clone(), pass.ctx.core.settings.login_spacing);
    let (name, is_own) = match looker {
        Looker::Member(name) => ((*name).to_owned(), false),
        // No OrchestraDatabase has such a name.
        Looker::Own => (format!("pool/{}", pass.name()), true),
    };
    let look = async move {
        let found = probe::bounded(async {
            let mut session = logins.connect(&name, &login, spacing).await?;
            let mut open = if is_own {
                holdings::open_databases(&mut session).await?
            } else {
                holdings::observe(&mut session).await?.open().to_vec()
            };
            if !memory.servers.recall(&uid, &login, &mut open) {
                holdings::look_inside(&login, &mut open).await;
            }
            Ok(open)
        });
        match found.await {
            Ok(open) => memory.servers.note(&uid, &login, &open),
            Err(error) => tracing::debug!(%error, "a server could not be looked at"),
        }
        Ok(())
    };
    let object = ObjectRef::from_obj(&*pass.pool);
    pass.ctx
        .probes
        .start((&work, object), WorkKind::Probe, Watch::default(), look);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `entries::the_samples_run_nothing_of_a_tenants_in_an_open_database` runs it as the docs have it.
    #[test]
    fn the_docs_have_the_statement_that_lists_what_tenants_have_made() {
        let docs = include_str!("../../docs/classes-and-pools.md");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(docs).contains(FOREIGN), "{FOREIGN}");
    }

    fn open(database: &str, creates: bool) -> Open {
        Open {
            database: database.into(),
            creates,
        }
    }

    #[test]
    fn a_warning_names_the_statements_and_stays_while_nothing_is_known() {
        let looks = ServerLooks::default();
        let url = SecretString::from("postgres://a:x@one/a");
        let login = Login::parse(&url).unwrap();
        let inventory: Inventory = [("KEY".to_owned(), url)].into();
        let inventory: Vec<_> = addresses(&inventory).collect();
        assert_eq!(looks.known("pool", &inventory), KnownServers::Nothing);
        assert_eq!(looks.again("pool", &login, Duration::ZERO), None);
        assert!(looks.is_due("pool", &login, true, Duration::ZERO));
        assert!(!looks.is_due("pool", &login, false, Duration::ZERO));
        looks.begin("pool", &login);
        assert_eq!(looks.again("pool", &login, Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(looks.known("pool", &inventory), KnownServers::Nothing);
        let mut found = [open("postgres", false), open("template1", false)];
        assert!(!looks.recall("pool", &login, &mut found));
        looks.note("pool", &login, &[open("postgres", false), open("template1", true)]);
        assert!(looks.recall("pool", &login, &mut found) && found[1].creates);
        assert!(!looks.recall("pool", &login, &mut found[..1]));
        let KnownServers::Open(says) = looks.known("pool", &inventory) else {
            panic!("it is open");
        };
        for part in [
            "of server one:5432",
            "REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC",
            "in database template1 REVOKE CREATE ON SCHEMA public FROM PUBLIC; before an admin runs anything else there",
            FOREIGN,
        ] {
            assert!(says.contains(part), "{says}");
        }
        assert!(says.len() < crate::text::MESSAGE, "it is not cut off: {}", says.len());
        assert!(!looks.is_due("pool", &login, true, Duration::from_mins(1)));
        assert!(looks.is_due("pool", &login, true, Duration::ZERO));
        looks.note("pool", &login, &[]);
        assert_eq!(looks.known("pool", &inventory), KnownServers::Closed);
        assert!(!looks.is_due("pool", &login, true, Duration::ZERO));
        assert_eq!(looks.again("pool", &login, Duration::ZERO), None);
        // A provider's own, beside the database of an entry that is not closed yet.
        let found = ["a", "defaultdb", "Our \"own\""].map(|name| open(name, false));
        looks.note("pool", &login, &found);
        let KnownServers::Open(says) = looks.known("pool", &inventory) else {
            panic!("it is open");
        };
        let part = "ON DATABASE defaultdb, \"Our \"\"own\"\"\" FROM PUBLIC";
        assert!(says.ends_with(part), "{says}");
        looks.note("pool", &login, &[open("postgres", false)]);
        assert_eq!(looks.known("pool", &[]), KnownServers::Closed);
    }
}
