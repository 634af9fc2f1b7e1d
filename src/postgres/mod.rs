//! PostgreSQL: where a database is and how to log in, which database it really is, and the
//! tenant's own role in it. Every connection is dedicated, never pooled: locks, roles and
//! settings belong to one session.

mod connect;
mod error;
mod identity;
mod login;
mod roles;

pub use connect::{CONNECT_TIMEOUT, connect, connect_through_transaction_pooler};
pub use error::Error;
pub use identity::{Identity, identity};
pub use login::{Login, Tls};
pub use roles::{Sharing, TenantRole, drop_tenant_role, ensure_tenant_role, grant_existing, isolate};

pub(crate) use connect::watch_client;
pub(crate) use error::is_transient;
pub(crate) use roles::{begin, quote};

/// The operator's own schema in a tenant's database. The tenant's role has no right on it.
pub const OPERATOR_SCHEMA: &str = "stagesub";

/// Name of the operator's sessions in `pg_stat_activity`.
pub const APPLICATION: &str = "orchestra-operator";

/// A short result of this module.
pub type Result<T> = std::result::Result<T, Error>;
