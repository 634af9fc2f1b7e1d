//! A tenant's database and its ranks.

use orchestra_operator::postgres::{Login, Sharing, TenantRights, TenantRole, connect, ensure_tenant_role};
use sqlx::PgConnection;

use super::postgres::Server;
use super::{execute, session};

/// A database with an owner that is no superuser, and the role of its tenant.
pub async fn database(server: &Server) -> (Login, TenantRole) {
    let mut root = session(&server.login("postgres")).await;
    for sql in [
        "CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'owner'",
        "CREATE DATABASE one OWNER owner",
    ] {
        execute(&mut root, sql).await.unwrap();
    }
    let tenant = TenantRole {
        name: "tenant".into(),
        password: "tenant".to_owned().into(),
    };
    let owner = server.login("one").as_user("owner", "owner".to_owned().into());
    (owner, tenant)
}

/// Prepares the tenant's login as each pass does, and logs in with it.
pub async fn prepare(owner: &Login, tenant: &TenantRole, rights: &TenantRights) -> PgConnection {
    let mut own = connect(owner, "test").await.unwrap();
    ensure_tenant_role(&mut own, tenant, rights, Sharing::Shared)
        .await
        .unwrap();
    session(&owner.as_user(&tenant.name, tenant.password.clone())).await
}
