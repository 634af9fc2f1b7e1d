//! The group of all tenants' logins of a server: nobody gains access through it, whoever created it or may change it.

use super::*;
use crate::support::postgres::server_as_hosted;

#[tokio::test]
async fn the_group_of_tenants_logins_leads_into_no_database() {
    leads_nowhere(server().await).await;
    leads_nowhere(server_as_hosted().await).await;
}

/// A second database of the server, and its owner.
async fn second(server: &Server, root: &mut PgConnection) -> Login {
    for sql in [
        "CREATE ROLE two_owner LOGIN CREATEROLE PASSWORD 'owner'",
        "CREATE DATABASE two OWNER two_owner",
    ] {
        execute(root, sql).await.unwrap();
    }
    server.login("two").as_user("two_owner", "owner".to_owned().into())
}

#[allow(clippy::too_many_lines, reason = "one list")]
async fn leads_nowhere(server: Server) {
    let (owner, tenant) = database(&server).await;
    let mut root = session(&server.login("postgres")).await;
    let two = second(&server, &mut root).await;
    let other = TenantRole {
        name: "other".into(),
        password: "other".to_owned().into(),
    };
    let rights = TenantRights::default();
    // Migrations of a member that waits for a claim can name it as well.
    ensure_app_group(&mut session(&two).await).await.unwrap();
    // Since version 16, its creator decides who else may grant it.
    let given = "GRANT orchestra_app TO owner WITH ADMIN OPTION";
    drop(prepare(&owner, &tenant, &rights).await);
    execute(&mut root, given).await.unwrap();
    drop(prepare(&two, &other, &rights).await);
    let mut login = prepare(&owner, &tenant, &rights).await;
    let modern = is_modern(&mut login).await;
    let scripts = source(&[(
        "1_init",
        "CREATE TABLE a (id int); GRANT ALL ON a TO orchestra_app; GRANT CREATE ON SCHEMA public TO orchestra_app; \
         GRANT ALL ON DATABASE one TO orchestra_app; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO orchestra_app",
    )]);
    migrate(&owner, &scripts).await.unwrap();
    let mut own = session(&owner).await;
    grant_existing(&mut own, &tenant.name, &rights).await.unwrap();
    execute(&mut own, "CREATE TABLE b (id int)").await.unwrap();
    let across = owner.as_user(&other.name, other.password.clone());
    assert!(
        connect(&across, "test").await.is_err(),
        "another tenant of the server gets in"
    );
    for sql in [
        "CREATE TABLE mine ()",
        "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE TRIGGER t AFTER INSERT ON b EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "DELETE FROM _prisma_migrations",
    ] {
        // Since version 16 a login has the rights of its group without becoming it.
        for role in ["tenant", "orchestra_app"].into_iter().take(2 - usize::from(modern)) {
            execute(&mut login, &format!("SET ROLE {role}")).await.unwrap();
            assert!(execute(&mut login, sql).await.is_err(), "{role}: {sql}");
        }
    }
    execute(
        &mut login,
        "RESET ROLE; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)",
    )
    .await
    .unwrap();

    // A history that the tenant's login could write as one of its groups is not the owner's.
    for sql in [
        "DROP TABLE _prisma_migrations, a, b",
        "CREATE TABLE _prisma_migrations (id text)",
        "ALTER TABLE _prisma_migrations OWNER TO orchestra_app",
    ] {
        execute(&mut session(&server.login("one")).await, sql).await.unwrap();
    }
    let refused = migrate(&owner, &scripts).await.unwrap_err().to_string();
    assert!(refused.contains("belongs to the role orchestra_app"), "{refused}");
    execute(
        &mut session(&server.login("one")).await,
        "DROP TABLE _prisma_migrations",
    )
    .await
    .unwrap();

    // A group that somebody has given more than members has none of ours that could use it.
    let member = "SELECT pg_has_role(current_user, 'orchestra_app', 'USAGE')";
    for (more, less, inherited) in [
        (
            "ALTER ROLE orchestra_app LOGIN",
            "ALTER ROLE orchestra_app NOLOGIN",
            false,
        ),
        (
            "ALTER ROLE orchestra_app CREATEROLE",
            "ALTER ROLE orchestra_app NOCREATEROLE",
            false,
        ),
        ("CREATE DATABASE third OWNER orchestra_app", "DROP DATABASE third", true),
        (
            "GRANT pg_read_all_data TO orchestra_app",
            "REVOKE pg_read_all_data FROM orchestra_app",
            true,
        ),
    ] {
        execute(&mut root, more).await.unwrap();
        let is = async |conn: &mut PgConnection| is_prepared(conn, &tenant.name, &rights, Sharing::Shared).await;
        let stays = modern && !inherited;
        assert_eq!(is(&mut own).await.unwrap(), stays, "{more}");
        drop(prepare(&owner, &tenant, &rights).await);
        assert!(is(&mut own).await.unwrap(), "{more}");
        assert_eq!(ask(&mut login, member).await, stays.to_string(), "{more}");
        assert!(execute(&mut login, "SET ROLE orchestra_app").await.is_err(), "{more}");
        execute(&mut root, less).await.unwrap();
        drop(prepare(&owner, &tenant, &rights).await);
        assert_eq!(ask(&mut login, member).await, "true", "{less}");
    }
    for (owner, role) in [(&owner, &tenant), (&two, &other)] {
        drop_tenant_role(&mut session(owner).await, &role.name).await.unwrap();
    }
}

/// Since version 16, the creator of a role may change it, so a tenant's script may: the owner of the first entry.
#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_a_script_makes_of_the_group_is_of_no_use_to_its_members() {
    let server = server_as_hosted().await;
    let (owner, tenant) = database(&server).await;
    let mut root = session(&server.login("postgres")).await;
    if !is_modern(&mut root).await {
        return;
    }
    for sql in [
        "CREATE ROLE maker LOGIN CREATEROLE BYPASSRLS PASSWORD 'owner'",
        "CREATE DATABASE two OWNER maker",
    ] {
        execute(&mut root, sql).await.unwrap();
    }
    let maker = server.login("two").as_user("maker", "owner".to_owned().into());
    let mut maker = session(&maker).await;
    ensure_app_group(&mut maker).await.unwrap();
    execute(&mut root, "GRANT orchestra_app TO owner WITH ADMIN OPTION")
        .await
        .unwrap();
    let rights = enforce();
    let mut login = prepare(&owner, &tenant, &rights).await;
    let mut own = session(&owner).await;
    let is = async |conn: &mut PgConnection| is_prepared(conn, &tenant.name, &rights, Sharing::Shared).await;
    execute(&mut own, PLAYERS).await.unwrap();
    let policy = "CREATE POLICY app ON player FOR SELECT TO orchestra_app USING (name = 'Ester')";
    execute(&mut own, policy).await.unwrap();
    grant_existing(&mut own, &tenant.name, &rights).await.unwrap();
    let rows = "SELECT count(*) FROM player";

    // The login keeps its membership, so that its policies apply, and cannot become the group.
    let alter = "ALTER ROLE orchestra_app BYPASSRLS CREATEROLE LOGIN PASSWORD 'known'";
    execute(&mut maker, alter).await.unwrap();
    assert!(is(&mut own).await.unwrap());
    drop(prepare(&owner, &tenant, &rights).await);
    assert_eq!(ask(&mut login, rows).await, "1");
    assert!(execute(&mut login, "SET ROLE orchestra_app").await.is_err());
    assert_eq!(told(&owner, &rights).await, "");
    // The group itself gets into no database of others.
    let group = owner.as_user("orchestra_app", "known".to_owned().into());
    assert!(connect(&group, "test").await.is_err());

    // What an earlier version granted is made narrower at the next preparation.
    let old = format!("SET ROLE owner; GRANT orchestra_app TO {} WITH SET TRUE", tenant.name);
    execute(&mut root, &format!("{old}; RESET ROLE")).await.unwrap();
    execute(&mut login, "SET ROLE orchestra_app; RESET ROLE").await.unwrap();
    assert!(!is(&mut own).await.unwrap());
    assert!(
        told(&owner, &rights)
            .await
            .contains("becomes the role \"orchestra_app\"")
    );
    drop(prepare(&owner, &tenant, &rights).await);
    assert!(execute(&mut login, "SET ROLE orchestra_app").await.is_err());
    assert!(is(&mut own).await.unwrap());

    // A grant of somebody else stays after a REVOKE of ours, which is looked at again.
    execute(&mut maker, "GRANT orchestra_app TO tenant WITH SET TRUE")
        .await
        .unwrap();
    let refused = ensure_tenant_role(&mut own, &tenant, &rights, Sharing::Shared).await;
    let refused = refused.unwrap_err().to_string();
    let cure = refused
        .find("REVOKE")
        .map(|at| refused[at..].split(" (").next().unwrap().to_owned());
    let cure = cure.unwrap();
    assert!(cure.contains("GRANTED BY \"maker\""), "{refused}");
    execute(&mut root, &cure).await.unwrap();
    drop(prepare(&owner, &tenant, &rights).await);
    assert!(is(&mut own).await.unwrap());
    assert_eq!(ask(&mut login, rows).await, "1");

    // Any role of the creator is sufficient for that; the tenant's status reports it, and how to end it.
    execute(&mut maker, "CREATE ROLE passing BYPASSRLS; GRANT passing TO tenant")
        .await
        .unwrap();
    let said = told(&owner, &rights).await;
    let cure = said.find("ALTER ROLE").map(|at| said[at..].to_owned()).unwrap();
    assert!(cure.contains("passing"), "{said}");
    execute(&mut root, &cure).await.unwrap();
    assert_eq!(told(&owner, &rights).await, "");
}

/// The tenant has moved to another entry of the same server, as an admin has confirmed.
#[tokio::test]
async fn a_login_that_another_entry_made_is_taken_over_when_an_admin_says_so() {
    let server = server_as_hosted().await;
    let (owner, tenant) = database(&server).await;
    let mut root = session(&server.login("postgres")).await;
    let two = second(&server, &mut root).await;
    let rights = TenantRights::default();
    drop(prepare(&owner, &tenant, &rights).await);
    let mut other = session(&two).await;
    if is_modern(&mut root).await {
        let refused = ensure_tenant_role(&mut other, &tenant, &rights, Sharing::Shared).await;
        let refused = refused.unwrap_err().to_string();
        let cure = refused
            .find("REVOKE")
            .map(|at| refused[at..].split(" (").next().unwrap());
        execute(&mut root, cure.unwrap()).await.unwrap();
    }
    let changed = TenantRole {
        password: "changed".to_owned().into(),
        ..tenant.clone()
    };
    let mut login = prepare(&two, &changed, &rights).await;
    execute(&mut other, "CREATE TABLE later ()").await.unwrap();
    assert_eq!(ask(&mut login, "SELECT count(*) FROM later").await, "0");
    assert!(
        is_prepared(&mut other, &tenant.name, &rights, Sharing::Shared)
            .await
            .unwrap()
    );
    if is_modern(&mut root).await {
        // The former owner, who made it, changes it no more, and what it has there does not hold up the release here.
        let known = format!("ALTER ROLE {} PASSWORD 'known'", tenant.name);
        assert!(execute(&mut session(&owner).await, &known).await.is_err());
        let kept = drop_tenant_role(&mut other, &tenant.name).await.unwrap();
        assert!(kept.iter().all(|kept| !kept.logs_in()), "{kept:?}");
        assert!(execute(&mut login, "SELECT 1").await.is_err());
    }
}
