//! PostgreSQL: where a database is and how to log in, which database it is, whose claim it records, and the
//! tenant's login roles in it. Every connection is dedicated, never pooled: locks, roles and settings belong to
//! one session.

mod bounded;
mod channel;
pub mod claim_record;
mod connect;
mod custodian;
mod data_api;
mod error;
mod fault;
mod generations;
mod grants;
mod group_lock;
mod groups;
mod heir;
pub mod holdings;
mod identity;
mod login;
mod logins;
pub mod made;
mod measure;
mod members;
mod objections;
mod owner_password;
mod pooler;
mod probe;
mod provided;
mod quoted;
mod record_code;
mod records;
mod relay;
mod reopen;
pub mod reset;
pub mod restore_record;
mod role_change;
mod role_changes;
mod role_name;
mod role_plan;
mod roles;
mod row_security;
pub mod scratch;
mod search_path;
mod session_end;
mod session_settings;
mod shares;
mod shut;
mod spare;
mod sql;
mod startup;
mod transfer;
mod ungranted;
mod url;
mod url_parameters;
mod url_text;
mod usage;
mod wall;

pub use channel::{SUPABASE_ROOT, certificates_alone, to_pem};
pub use connect::{APPLICATION, CONNECT_TIMEOUT, connect, connect_through_transaction_pooler};
pub use custodian::take_kept;
pub use data_api::{expose_new_tables, unexposed};
pub use error::{Error, Result};
pub use fault::{Fault, FaultKind};
pub use generations::{FoundLogins, NextLogin, tenant_logins};
pub use grants::TenantRights;
pub use groups::{APP_GROUP, ensure_app_group};
pub use heir::{KeptRole, undropped};
pub use identity::{DatabaseIdentity, identity, identity_inside};
pub use login::{Login, RESERVED, SessionOptions, Tls};
pub use logins::{CountedLogin, RefusedLogins};
pub use measure::{Measured, SCOPES as CONNECTION_SCOPES, measure};
pub use owner_password::{PasswordEnd, set_owner_password};
pub use probe::{LONGEST as PROBE_LONGEST, probe};
pub use provided::PROVIDER_SCHEMAS;
pub use reopen::{is_closed, reopen};
pub use role_changes::TenantRole;
pub use role_name::{is_other_tenants, is_tenants, role_name};
pub use roles::{
    TenantRoles, drop_former_role, drop_made_roles, drop_tenant_role, ensure_tenant_logins, ensure_tenant_role,
    ensure_tenant_roles, grant_existing, is_member_prepared, is_prepared,
};
pub use row_security::{unreadable, unwritable};
pub use session_end::{SessionEnd, end_owners_sessions};
pub use shut::{shut_former_logins, shut_tenant_logins};
pub use spare::{drop_spare, make_spare, take_spare};
pub use sql::OPERATOR_SCHEMA;
pub use ungranted::ungranted;
pub use usage::{Usage, usage};
pub use wall::{Sharing, isolate};

pub(crate) use bounded::{ROWS, all, bytes as row_bytes, column, each};
pub(crate) use connect::watch_client;
pub(crate) use error::{is_too_long, is_transient};
pub(crate) use quoted::{QUOTES, up_to_values, without_quoted};
pub(crate) use records::{
    SoundRecords, check as check_record, protect as protect_records_inside, protect_alone as protect_records,
};
pub(crate) use sql::{begin, own, quote};
