//! PostgreSQL: where a database is and how to log in, which database it is, whose claim it records, and the
//! tenant's login roles in it. Every connection is dedicated, never pooled: locks, roles and settings belong to
//! one session.

mod channel;
pub mod claim_record;
mod connect;
mod error;
pub mod holdings;
mod identity;
mod login;
mod logins;
mod relay;
mod role_plan;
mod roles;
mod sql;

pub use channel::{SUPABASE_ROOT, certificates};
pub use connect::{APPLICATION, CONNECT_TIMEOUT, connect, connect_through_transaction_pooler};
pub use error::{Error, Result};
pub use identity::{DatabaseIdentity, identity};
pub use login::{Login, Tls};
pub use logins::Logins;
pub use role_plan::Sharing;
pub use roles::{TenantRole, drop_tenant_role, ensure_tenant_logins, ensure_tenant_role, grant_existing, isolate};
pub use sql::OPERATOR_SCHEMA;

pub(crate) use connect::watch_client;
pub(crate) use error::{is_too_long, is_transient};
pub(crate) use sql::{begin, quote};
