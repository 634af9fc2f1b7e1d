//! Whether a database can be given to a tenant. Pure: it gets the facts that were read before.

use super::facts::{Holdings, LoginFacts, Open, Role};

use crate::api::condition::Reason;
use crate::postgres::groups::APP_GROUP;
use crate::postgres::objections::{self, CONFINED, TAKES_NO_WRITES};
use crate::postgres::role_name::is_tenants;
use crate::text;

/// Roles that every hosted project has. Their names mean nothing on another server.
const HOSTED_ROLES: [&str; 21] = [
    "anon",
    "authenticated",
    "authenticator",
    "cli_login_postgres",
    "dashboard_user",
    "pgbouncer",
    "pgsodium_keyholder",
    "pgsodium_keyiduser",
    "pgsodium_keymaker",
    "pgtle_admin",
    "postgres",
    "service_role",
    "supabase_admin",
    "supabase_auth_admin",
    "supabase_etl_admin",
    "supabase_functions_admin",
    "supabase_privileged_role",
    "supabase_read_only_user",
    "supabase_realtime_admin",
    "supabase_replication_admin",
    "supabase_storage_admin",
];

/// What an admin has accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptedHoldings {
    /// Servers before PostgreSQL 16.
    pub legacy_servers: bool,
    /// Databases that hold rows, or on which other roles have rights.
    pub non_empty: bool,
    /// Logins of other entries with the same address, with the name of their entry.
    pub other_entries: Vec<(String, String)>,
}

/// Why a database is not given to a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The login or the server is not fit, or the database is in use.
    pub reason: Reason,
    /// What is wrong, and what to do about the login or the server.
    pub message: String,
    /// Whose data the database may hold. The advice depends on whether they still use it, which the database does not show.
    pub left_by: Option<LeftBy>,
}

/// Who has used a database, according to its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftBy {
    /// Somebody.
    Somebody,
    /// Orchestras, by their login roles.
    Tenants(Vec<String>),
}

/// How to create an acceptable entry.
const HOW: &str = "make the entry as deploy/samples/pool-entry.sql does";

impl Holdings {
    /// Whether the server is a hosted project: it is the tenant's own.
    pub fn is_hosted_project(&self) -> bool {
        self.server.supabase && !self.login.superuser && self.server.neighbours.is_empty()
    }

    /// The databases for administration that an admin of a shared server must close.
    pub fn open(&self) -> &[Open] {
        if self.is_hosted_project() {
            &[]
        } else {
            &self.server.open
        }
    }
}

/// The objections to giving the database to a tenant: first about the server and the login, then about its contents.
pub fn judge(found: &Holdings, allowed: &AcceptedHoldings) -> Vec<Objection> {
    let hosted = found.is_hosted_project();
    let mut objections = Vec::new();
    let mut refuse = |reason, message: Option<String>| {
        objections.extend(message.map(|message| Objection {
            reason,
            message,
            left_by: None,
        }));
    };
    if found.login.superuser {
        let message = format!(
            "its login is a superuser: a tenant's scripts would run as this login and reach every database of the \
             server; {HOW}"
        );
        refuse(Reason::InvalidEntry, Some(message));
        return objections;
    }
    if !hosted {
        let legacy = found.server.version < CONFINED && !allowed.legacy_servers;
        let objection = || objections::legacy(found.server.version, "static.allowLegacyServers");
        refuse(Reason::InvalidEntry, legacy.then(objection));
        refuse(Reason::InvalidEntry, attributes(&found.login));
        refuse(Reason::InvalidEntry, mighty_roles(&found.login));
    }
    refuse(Reason::InvalidEntry, entangled(&found.login));
    refuse(Reason::InvalidEntry, open_schemas(found, hosted));
    refuse(Reason::InvalidEntry, namesake(found));
    refuse(Reason::InvalidEntry, another_role(&found.login));
    refuse(Reason::InvalidEntry, createrole(&found.login));
    refuse(Reason::InvalidEntry, read_only(found));
    refuse(Reason::InvalidEntry, ownership(found));
    refuse(
        Reason::InvalidEntry,
        other_entries(&found.login, &allowed.other_entries),
    );
    objections.extend(used(found, allowed, hosted));
    objections
}

fn attributes(login: &LoginFacts) -> Option<String> {
    let role = &login.role;
    login.replication.then(|| {
        format!(
            "its login {role} has REPLICATION, which reads every database of the server: ALTER ROLE \"{role}\" NOREPLICATION"
        )
    })
}

/// A script can get the session's own rights with `SET ROLE NONE`, whatever role the session starts with.
fn another_role(login: &LoginFacts) -> Option<String> {
    login.acts_as_another.then(|| {
        "the login begins its sessions as another role: name that role as the URL's user, or reset the setting with ALTER \
         ROLE name RESET role"
            .to_owned()
    })
}

fn createrole(login: &LoginFacts) -> Option<String> {
    let role = printable(&login.role).replace('"', "\"\"");
    login.lacks_createrole.then(|| {
        format!(
            "its login {role} cannot make the tenants' logins: an admin of the server runs ALTER ROLE \"{role}\" CREATEROLE"
        )
    })
}

fn read_only(found: &Holdings) -> Option<String> {
    found.server.read_only.then(|| TAKES_NO_WRITES.to_owned())
}

fn mighty_roles(login: &LoginFacts) -> Option<String> {
    let mighty = |role: &&Role| role.superuser || role.name.starts_with("pg_") && role.name != "pg_database_owner";
    let names = listed(login.member_of.iter().filter(mighty).map(|role| role.name.as_str()))?;
    Some(format!(
        "its login {} is a member of {names}, with rights beyond its database: revoke the membership, or {HOW}",
        login.role
    ))
}

fn entangled(login: &LoginFacts) -> Option<String> {
    login.entangled.then(|| {
        format!(
            "its login {} has so many memberships or members that they are not all looked at: revoke them, or {HOW}",
            printable(&login.role)
        )
    })
}

/// A hosted project's services have schemas of their own.
fn open_schemas(found: &Holdings, hosted: bool) -> Option<String> {
    let schemas = found.database.open_schemas.iter().map(String::as_str);
    let names = listed(schemas.filter(|name| !hosted || *name == "public"))?;
    Some(format!(
        "every role that connects may create functions in {names}, which the next script may call, and the login cannot \
         revoke that: as the schema's owner or a superuser, in the database {}: REVOKE CREATE ON SCHEMA … FROM PUBLIC",
        printable(&found.database.name)
    ))
}

fn namesake(found: &Holdings) -> Option<String> {
    let (owner, role) = (found.database.namesake.as_deref()?, printable(&found.login.role));
    Some(format!(
        "its schema {role}, which comes first where {role} looks for names, belongs to {}: the next script may call that \
         role's functions. Drop the schema, or give it to {role}, after a look at what it holds",
        printable(owner)
    ))
}

fn ownership(found: &Holdings) -> Option<String> {
    let LoginFacts {
        role,
        owns_database,
        other_databases,
        ..
    } = &found.login;
    if !owns_database {
        let database = &found.database.name;
        return Some(format!(
            "its login {role} does not own the database {database}, so it cannot close it to other tenants: {HOW}"
        ));
    }
    let others = listed(other_databases.iter().map(String::as_str))?;
    Some(format!(
        "its login {role} also owns {others}, or is a member of the owner: the scripts of one tenant would reach both \
         databases. Give each entry a login of its own that owns nothing else: {HOW}"
    ))
}

fn other_entries(login: &LoginFacts, entries: &[(String, String)]) -> Option<String> {
    let is_known = |name: &str| entries.iter().any(|(user, _)| user == name);
    let reached = login.member_of.iter().map(|role| role.name.as_str());
    let joined = reached.chain(login.members.iter().map(String::as_str));
    let names = listed(joined.filter(|name| is_known(name)))?;
    Some(format!(
        "its login {} and {names}, the login of another entry, are members of one another: the scripts of one tenant \
         would reach both databases. Revoke the membership",
        login.role
    ))
}

/// What shows that somebody has used the database.
fn used(found: &Holdings, allowed: &AcceptedHoldings, hosted: bool) -> Vec<Objection> {
    let in_use = |message: String, left_by| Objection {
        reason: Reason::InUse,
        message,
        left_by: Some(left_by),
    };
    let mut objections = Vec::new();
    objections.extend(other_tenants(found).map(|(message, roles)| in_use(message, LeftBy::Tenants(roles))));
    if !allowed.non_empty {
        let left = [rows(found), foreign_roles(found, hosted), defaults(found, hosted)];
        objections.extend(
            left.into_iter()
                .flatten()
                .map(|message| in_use(message, LeftBy::Somebody)),
        );
    }
    objections
}

/// Login roles of Orchestras that exist, and what they mean.
fn other_tenants(found: &Holdings) -> Option<(String, Vec<String>)> {
    let tenants: Vec<_> = everybody(found).into_iter().filter(|name| is_tenants(name)).collect();
    let names = listed(tenants.iter().copied())?;
    let message = format!(
        "{names} of another Orchestra has rights here or on its login: whoever has that Orchestra's Secret would read \
         and write the next tenant's data"
    );
    Some((message, tenants.into_iter().map(ToOwned::to_owned).collect()))
}

fn rows(found: &Holdings) -> Option<String> {
    let database = &found.database;
    let large = database.large_objects.then_some("large objects");
    let names = listed(database.filled.iter().map(String::as_str).chain(large))?;
    Some(format!(
        "the database holds somebody's data ({names}): no Orchestra gets it. An empty database is accepted, also with \
         migrations applied"
    ))
}

fn foreign_roles(found: &Holdings, hosted: bool) -> Option<String> {
    let foreign = everybody(found)
        .into_iter()
        .filter(|name| !is_tenants(name) && !is_own(name, hosted));
    let names = listed(foreign)?;
    Some(format!(
        "{names} can reach the database: the role has rights on it or on its objects, or its login {} and the role are \
         members of one another. Whoever used the database before may have left it",
        found.login.role
    ))
}

fn defaults(found: &Holdings, hosted: bool) -> Option<String> {
    let foreign = found.database.defaults.iter().filter(|(creator, grantee)| {
        !hosted || !is_own(creator, hosted) || grantee.as_deref().is_some_and(|name| !is_own(name, hosted))
    });
    let creators = listed(foreign.map(|(creator, _)| creator.as_str()))?;
    Some(format!(
        "the database has default privileges for objects of {creators} (\\ddp in psql), which would apply to the next \
         tenant's tables"
    ))
}

/// The roles other than the login that own something in the database or have rights on it. The login may be a member of the
/// group of tenants' logins, which has no rights of its own, and of roles of other logins, which can make it a member at any
/// time.
fn everybody(found: &Holdings) -> Vec<&str> {
    let Holdings { login, database, .. } = found;
    let reached = login
        .member_of
        .iter()
        .filter(|role| !role.superuser && !role.is_harmless);
    let reached = reached.map(|role| role.name.as_str());
    let dependents = database.dependents.iter().map(String::as_str);
    let mut all: Vec<_> = [&login.members, &database.grantees]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .chain(reached.filter(|name| *name != APP_GROUP))
        .chain(dependents)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Roles that may have rights in any database: PostgreSQL's own, and a hosted project's.
fn is_own(role: &str, hosted: bool) -> bool {
    role.starts_with("pg_") || hosted && HOSTED_ROLES.contains(&role)
}

/// The first of these names, once each; none when there are none. Names come from a tenant's script.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    const NAMED: usize = 3;
    let mut all: Vec<_> = names.collect();
    all.sort_unstable();
    all.dedup();
    let shown: Vec<_> = all.iter().take(NAMED).map(|name| printable(name)).collect();
    (!all.is_empty()).then(|| text::names(&shown, NAMED, all.len()))
}

fn printable(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
