//! What was read of a server, a login and its database.

/// The most names of each kind that are read. Where single names matter, those of tenants' logins come first.
pub(super) const MOST: i64 = 50;

/// The facts about a server, a login and its database. Names are as the catalog holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// The server.
    pub server: ServerHoldings,
    /// The login that was used.
    pub login: LoginFacts,
    /// The database that it reached.
    pub database: DatabaseHoldings,
}

/// The facts about the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHoldings {
    /// Major version of PostgreSQL.
    pub version: u32,
    /// It accepts no writes: a standby, or one whose transactions are read-only.
    pub read_only: bool,
    /// The server is a hosted project: it has a superuser `supabase_admin` that owns the schemas `auth` and `storage` of
    /// this database. Only a superuser can create either.
    pub supabase: bool,
    /// Databases other than this one, templates and those of superusers.
    pub neighbours: Vec<String>,
    /// Other databases that let PUBLIC connect.
    pub open: Vec<Open>,
}

/// A database that every role of the server may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its name.
    pub database: String,
    /// Every role may also create objects in its schema `public`: PostgreSQL grants it up to version 14, and keeps it in
    /// an upgrade. False until it is looked into.
    pub creates: bool,
}

/// The facts about the login.
#[allow(clippy::struct_excessive_bools, reason = "each is an attribute of a role")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginFacts {
    /// Its role.
    pub role: String,
    /// It is a superuser.
    pub superuser: bool,
    /// It has REPLICATION, with which it can read the whole server.
    pub replication: bool,
    /// Its sessions begin as another role.
    pub acts_as_another: bool,
    /// It lacks CREATEROLE, so that it cannot make a tenant's login.
    pub lacks_createrole: bool,
    /// It is itself the owner of the current database.
    pub owns_database: bool,
    /// Further databases that it owns, or a role that it is a member of.
    pub other_databases: Vec<String>,
    /// Roles that it is a member of, also indirectly, or administers.
    pub member_of: Vec<Role>,
    /// It has more members, or memberships in roles that are not harmless, than are read.
    pub entangled: bool,
    /// Roles that are members of it, also indirectly. Superusers are left out, and roles that may only administer it because
    /// they created it.
    pub members: Vec<String>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// It is a superuser.
    pub superuser: bool,
    /// Nobody reaches the database by it. Another login of the server has made it, and it owns no database (PostgreSQL 16 and
    /// later); or it is dropped but for what another database grants it.
    pub is_harmless: bool,
}

/// What the current database holds. Superusers are left out everywhere: they have access to every database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseHoldings {
    /// Its name.
    pub name: String,
    /// Roles other than the login that have rights on the database itself; PUBLIC when it may create schemas.
    pub grantees: Vec<String>,
    /// Default privileges: the role whose objects they are for, and the role that is granted them; none for PUBLIC.
    pub defaults: Vec<(String, Option<String>)>,
    /// Roles other than the login that own objects of the database, have rights on them or are named by their
    /// policies.
    pub dependents: Vec<String>,
    /// Tables and materialized views that hold rows, apart from migration histories, extensions' own and those in a
    /// hosted project's own schemas.
    pub filled: Vec<String>,
    /// It holds large objects.
    pub large_objects: bool,
    /// Schemas of others in which every role may create objects.
    pub open_schemas: Vec<String>,
    /// The owner of the schema that has the login's name, when it is not the login.
    pub namesake: Option<String>,
}
