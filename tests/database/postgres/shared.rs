//! What the logins of a rotated tenant share.

use orchestra_operator::postgres::{TenantRoles, ensure_tenant_roles};

use super::*;

#[tokio::test]
async fn former_logins_share_one_limit_of_connections() {
    const LIMITS: &str = "SELECT string_agg(rolname || '=' || rolconnlimit, ' ' ORDER BY rolname) FROM pg_roles \
        WHERE rolname ~ '^t(_|$)' AND rolcanlogin";
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    let roles = ["t", "t_2", "t_3", "t_4", "t_5"].map(role);
    let rights = TenantRights {
        limits: Some(LoginLimits {
            connections: Some(10),
            ..LoginLimits::default()
        }),
        ..TenantRights::default()
    };
    let ensure = async |own: &mut _, logins: &[TenantRole], unknown: &[&str]| {
        let roles = TenantRoles {
            base: "t",
            logins,
            unknown,
        };
        ensure_tenant_roles(own, roles, &rights, Sharing::Shared).await.unwrap();
    };
    ensure(&mut own, &roles[..2], &[]).await;
    assert_eq!(ask(&mut own, LIMITS).await, "t=10 t_2=10");
    let login = owner.as_user("t", roles[0].password.clone());
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(session(&login).await);
    }
    assert!(connect(&login, "test").await.is_err(), "an eleventh");
    for _ in 0..2 {
        ensure(&mut own, &roles, &[]).await;
        assert_eq!(ask(&mut own, LIMITS).await, "t=1 t_2=1 t_3=1 t_4=7 t_5=10");
    }
    // Its sessions beyond its share have ended, and the first one continues.
    let mut alive = 0;
    for session in &mut open {
        alive += usize::from(execute(session, "SELECT 1").await.is_ok());
    }
    assert_eq!(alive, 1);
    assert!(execute(&mut open[0], "SELECT 1").await.is_ok());
    assert!(connect(&login, "test").await.is_err(), "a second");
    // A login whose password is lost has its share too, and what ends leaves it to the others.
    ensure(&mut own, &roles[3..], &["t_3"]).await;
    assert_eq!(ask(&mut own, LIMITS).await, "t_2=1 t_3=1 t_4=9 t_5=10");
}
