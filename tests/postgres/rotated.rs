//! What the logins of a rotation have, and what a former one leaves.

use orchestra_operator::postgres::{TenantRoles, ensure_tenant_roles, shut_tenant_logins};

use super::*;

#[tokio::test]
async fn what_a_former_login_made_and_was_granted_is_the_first_roles() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    let [first, second, third] = ["t", "t_2", "t_3"].map(role);
    let as_role = async |role: &TenantRole| session(&owner.as_user(&role.name, role.password.clone())).await;
    let ensure = async |own: &mut _, logins: &[TenantRole], retired: &[&str], rights: &TenantRights| {
        let base = "t";
        for _ in 0..2 {
            let roles = TenantRoles { base, logins, retired };
            ensure_tenant_roles(own, roles, rights, Sharing::Shared).await.unwrap();
        }
    };
    ensure(&mut own, std::slice::from_ref(&first), &[], &CREATES).await;
    ensure(&mut own, &[first.clone(), second.clone()], &[], &CREATES).await;
    execute(&mut as_role(&first).await, "CREATE TABLE early (id int)")
        .await
        .unwrap();
    let mut session = as_role(&second).await;
    for made in [
        "INSERT INTO early VALUES (1)",
        "ALTER TABLE early ADD COLUMN more int",
        "CREATE TABLE late (id serial)",
        "CREATE FUNCTION made() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "CREATE VIEW seen AS SELECT id FROM late",
    ] {
        execute(&mut session, made)
            .await
            .unwrap_or_else(|error| panic!("{made}: {error}"));
    }
    for given in [
        "CREATE TABLE named (id int, secret int); REVOKE ALL ON named FROM t; GRANT SELECT (id) ON named TO t_2",
        "ALTER TABLE named ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON named TO t_2 USING (true)",
        "CREATE ROLE helpers; GRANT helpers TO t_2; INSERT INTO named VALUES (1, 2)",
    ] {
        execute(&mut own, given)
            .await
            .unwrap_or_else(|error| panic!("{given}: {error}"));
    }
    // Also of a tenant that may create nothing any more: nothing of it gets the owner's rights.
    let logins = [second, third.clone()];
    ensure(&mut own, &logins, &["t"], &TenantRights::default()).await;
    ensure(&mut own, &logins[1..], &["t_2"], &TenantRights::default()).await;
    assert!(
        execute(&mut session, "SELECT 1").await.is_err(),
        "its session has ended"
    );
    assert!(connect(&owner.as_user("t", first.password), "test").await.is_err());
    let owners = "SELECT string_agg(DISTINCT pg_get_userbyid(proowner), ',') || has_schema_privilege('t', 'public', 'CREATE') \
        FROM pg_proc WHERE proname = 'made'";
    assert_eq!(ask(&mut own, owners).await, "tfalse");
    let mut session = as_role(&third).await;
    execute(&mut session, "INSERT INTO late DEFAULT VALUES").await.unwrap();
    for count in [
        "SELECT count(id) FROM late",
        "SELECT sum(made()) FROM early",
        "SELECT count(id) FROM named WHERE pg_has_role(current_user, 'helpers', 'MEMBER')",
    ] {
        assert_eq!(ask(&mut session, count).await, "1", "{count}");
    }
    let roles = "SELECT string_agg(rolname, ',' ORDER BY 1) FROM pg_roles WHERE rolname ~ '^t(_|$)'";
    assert_eq!(ask(&mut own, roles).await, "t,t_3");
    drop_tenant_role(&mut own, "t").await.unwrap();
    assert_eq!(
        ask(&mut own, "SELECT count(*) FROM pg_roles WHERE rolname ~ '^t(_|$)'").await,
        "0"
    );
    assert_eq!(ask(&mut own, "SELECT count(*) FROM early").await, "1");
    let armed = "SELECT (SELECT count(*) FROM pg_proc WHERE proname = 'made' AND prosecdef) \
        + (SELECT count(*) FROM pg_class WHERE relname = 'seen' AND reloptions IS NULL)";
    assert_eq!(
        ask(&mut own, armed).await,
        "0",
        "what is the owner's now has not its rights"
    );
}

#[tokio::test]
async fn a_pause_shuts_every_login_of_a_tenant_and_its_end_opens_those_that_were_live() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    let [second, third] = ["t_2", "t_3"].map(role);
    let ensure = async |own: &mut _, base: &str, logins: &[TenantRole], retired: &[&str]| {
        let roles = TenantRoles { base, logins, retired };
        let rights = TenantRights::default();
        ensure_tenant_roles(own, roles, &rights, Sharing::Shared).await.unwrap();
    };
    let logs_in = async |role: &TenantRole| {
        let login = owner.as_user(&role.name, role.password.clone());
        connect(&login, "test").await.is_ok()
    };
    // The first login is revoked, and the second one is a former one. Another tenant's name begins in the same way.
    let other = role("t_2x");
    ensure(&mut own, "t_2x", std::slice::from_ref(&other), &[]).await;
    ensure(&mut own, "t", &[role("t"), second.clone()], &[]).await;
    let logins = [second.clone(), third.clone()];
    ensure(&mut own, "t", &logins, &["t"]).await;
    let mut open = session(&owner.as_user(&third.name, third.password.clone())).await;
    for _ in 0..2 {
        shut_tenant_logins(&mut own, "t").await.unwrap();
    }
    assert!(execute(&mut open, "SELECT 1").await.is_err(), "its session has ended");
    for shut in [&role("t"), &second, &third] {
        assert!(!logs_in(shut).await, "{}", shut.name);
    }
    assert!(logs_in(&other).await, "the other tenant's");
    shut_tenant_logins(&mut own, "nobody").await.unwrap();

    // The overlap of the former one has ended meanwhile.
    ensure(&mut own, "t", &logins[1..], &["t_2"]).await;
    assert!(logs_in(&third).await);
    for shut in [&role("t"), &second] {
        assert!(!logs_in(shut).await, "{}", shut.name);
    }
}
