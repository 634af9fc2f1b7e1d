//! What the logins of a rotation have, and what a former one leaves.

use orchestra_operator::postgres::{
    NextLogin, TenantRoles, drop_former_role, ensure_tenant_roles, shut_former_logins, shut_tenant_logins,
    tenant_logins,
};

use super::*;

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_a_former_login_made_and_was_granted_is_the_first_roles() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    let [first, second, third] = ["t", "t_2", "t_3"].map(role);
    let as_role = async |role: &TenantRole| session(&owner.as_user(&role.name, role.password.clone())).await;
    let ensure = async |own: &mut _, logins: &[TenantRole], retired: &[&str], rights: &TenantRights| {
        let base = "t";
        for _ in 0..2 {
            let roles = TenantRoles {
                base,
                logins,
                unknown: &[],
            };
            shut_former_logins(own, base, &owned(retired)).await.unwrap();
            ensure_tenant_roles(own, roles, rights, Sharing::Shared).await.unwrap();
        }
        for role in retired.iter().filter(|role| **role != base) {
            for _ in 0..2 {
                drop_former_role(own, (base, role), &[], rights, Sharing::Shared)
                    .await
                    .unwrap();
            }
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
    let roles =
        "SELECT string_agg(rolname, ',' ORDER BY rolname COLLATE \"C\") FROM pg_roles WHERE rolname ~ '^t(_|$)'";
    assert_eq!(ask(&mut own, roles).await, "t,t_3");
    drop_tenant_role(&mut own, "t").await.unwrap();
    let left = "SELECT count(*) || '/' || count(*) FILTER (WHERE rolname ~ '^t_0[0-9]+$' AND NOT rolcanlogin) \
        FROM pg_roles WHERE rolname ~ '^t(_|$)'";
    assert_eq!(ask(&mut own, left).await, "1/1", "the custodian is left");
    assert_eq!(ask(&mut own, "SELECT count(*) FROM early").await, "1");
    let kept = "SELECT (SELECT string_agg(DISTINCT left(pg_get_userbyid(proowner), 3), ',') FROM pg_proc WHERE proname = 'made') || ' ' \
        || (SELECT string_agg(DISTINCT left(pg_get_userbyid(relowner), 3), ',') FROM pg_class WHERE relname IN ('early', 'late', 'seen'))";
    assert_eq!(ask(&mut own, kept).await, "t_0 t_0", "nothing is the owner's");
}

#[tokio::test]
async fn a_login_whose_password_is_lost_stays_as_it_is() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    let [first, second, third] = ["t", "t_2", "t_3"].map(role);
    let ensure = async |own: &mut _, logins: &[TenantRole], unknown: &[&str]| {
        let roles = TenantRoles {
            base: "t",
            logins,
            unknown,
        };
        ensure_tenant_roles(own, roles, &CREATES, Sharing::Shared).await
    };
    let works = async |role: &TenantRole| {
        connect(&owner.as_user(&role.name, role.password.clone()), "test")
            .await
            .is_ok()
    };
    ensure(&mut own, std::slice::from_ref(&first), &[]).await.unwrap();
    // A new login takes its place, and the first role still logs in.
    ensure(&mut own, std::slice::from_ref(&second), &["t"]).await.unwrap();
    assert!(works(&first).await && works(&second).await);
    // The same of a later one. By now the first role logs in no more.
    ensure(&mut own, std::slice::from_ref(&third), &["t_2"]).await.unwrap();
    assert!(!works(&first).await && works(&second).await && works(&third).await);
    // The role itself is lost.
    drop_tenant_role(&mut own, "t").await.unwrap();
    ensure(&mut own, std::slice::from_ref(&third), &["t"]).await.unwrap();
    assert!(!works(&first).await && works(&third).await);
}

#[tokio::test]
async fn a_role_of_somebody_else_takes_its_name_and_nothing_more() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    let [first, fifth] = ["t", "t_5"].map(role);
    ensure_tenant_role(&mut own, &first, &CREATES, Sharing::Shared)
        .await
        .unwrap();
    let mut root = session(&server.login("postgres")).await;
    for made in [
        "CREATE ROLE t_2 LOGIN SUPERUSER",
        "CREATE ROLE t_3 LOGIN CREATEDB",
        "CREATE ROLE t_4",
        "CREATE ROLE t_04 LOGIN",
        "CREATE ROLE t_x LOGIN",
        "CREATE ROLE tt_2 LOGIN",
    ] {
        execute(&mut root, made).await.unwrap();
    }
    // Before version 16, whoever may create roles may change every one that is no superuser.
    let version = ask(&mut own, "SELECT current_setting('server_version_num')::int / 10000").await;
    let confined = version.parse::<u32>().unwrap() >= 16;
    let names = owned(&["t_2", "t_3", "t_4", "t_5"]);
    let new = |is_new| NextLogin { names: &names, is_new };
    let found = tenant_logins(&mut own, "t", new(true)).await.unwrap();
    assert_eq!((found.logins, found.next), (owned(&["t"]), Some("t_5".to_owned())));
    let found = tenant_logins(&mut own, "t", new(false)).await.unwrap();
    assert_eq!(found.next.as_deref(), Some(if confined { "t_5" } else { "t_4" }));
    let logins = [first, fifth];
    let roles = TenantRoles {
        base: "t",
        logins: &logins,
        unknown: &[],
    };
    ensure_tenant_roles(&mut own, roles, &CREATES, Sharing::Shared)
        .await
        .unwrap();
    drop_tenant_role(&mut own, "t").await.unwrap();
    let left = "SELECT string_agg(rolname, ',' ORDER BY rolname COLLATE \"C\") FROM pg_roles WHERE rolname ~ '^t+(_|$)' AND rolname NOT IN ('t_3', 't_4')";
    assert_eq!(ask(&mut own, left).await, "t_04,t_2,t_x,tt_2");
    assert_eq!(
        ask(&mut own, "SELECT count(*) FROM pg_roles WHERE rolname = 't_3'").await,
        u8::from(confined).to_string()
    );
}

#[tokio::test]
async fn very_many_objects_of_a_former_login_are_passed_on_in_steps() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    let logins = ["t", "t_2"].map(role);
    let ensure = async |own: &mut _, retired: &[&str]| {
        let roles = TenantRoles {
            base: "t",
            logins: &logins[1 - retired.len()..2 - retired.len()],
            unknown: &[],
        };
        shut_former_logins(own, "t", &owned(retired)).await.unwrap();
        ensure_tenant_roles(own, roles, &CREATES, Sharing::Shared)
            .await
            .unwrap();
    };
    ensure(&mut own, &[]).await;
    let mut made = session(&owner.as_user("t_2", logins[1].password.clone())).await;
    execute(
        &mut made,
        "DO $$ BEGIN FOR n IN 1..450 LOOP EXECUTE format('CREATE TABLE made_%s (id serial)', n); END LOOP; END $$;
         CREATE TYPE mood AS ENUM ('fine'); CREATE DOMAIN small AS int; CREATE TYPE pair AS (a int, b int);
         CREATE TYPE span AS RANGE (subtype = int); CREATE VIEW seen AS SELECT id FROM made_1;
         CREATE MATERIALIZED VIEW kept AS SELECT id FROM made_1; CREATE SEQUENCE apart;
         CREATE PROCEDURE done() LANGUAGE sql AS 'SELECT 1'; CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int);
         CREATE TABLE parted (id int) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF parted DEFAULT",
    )
    .await
    .unwrap();
    ensure(&mut own, &["t_2"]).await;
    assert!(execute(&mut made, "SELECT 1").await.is_err(), "its session has ended");
    let mut other = session(&owner).await;
    execute(&mut other, "BEGIN; LOCK made_450").await.unwrap();
    let drop_it = async |own: &mut _| drop_former_role(own, ("t", "t_2"), &[], &CREATES, Sharing::Shared).await;
    // It is interrupted while it waits for a table that is in use.
    let mut cut_off = session(&owner).await;
    let tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND pg_get_userbyid(relowner) = 't'";
    let cut = tokio::time::timeout(Duration::from_secs(6), drop_it(&mut cut_off)).await;
    assert!(cut.is_err() || cut.is_ok_and(|dropped| dropped.is_err()));
    drop(cut_off);
    let passed: i64 = ask(&mut own, tables).await.parse().unwrap();
    assert!(passed >= 100, "{passed} tables are passed on");
    execute(&mut other, "COMMIT").await.unwrap();
    drop_it(&mut own).await.unwrap();
    assert_eq!(ask(&mut own, tables).await, "451");
    let others = "SELECT count(*) FROM pg_roles WHERE rolname = 't_2' \
        OR EXISTS (SELECT FROM pg_type WHERE typname IN ('mood', 'small', 'pair', 'span') AND pg_get_userbyid(typowner) <> 't')";
    assert_eq!(ask(&mut own, others).await, "0");
    // The whole tenant ends in steps as well.
    drop_tenant_role(&mut own, "t").await.unwrap();
    assert_eq!(
        ask(
            &mut own,
            "SELECT count(*) FROM pg_class WHERE relname ~ '^made_[0-9]+$'"
        )
        .await,
        "450"
    );
}

#[tokio::test]
async fn a_pause_shuts_every_login_of_a_tenant_and_its_end_opens_those_that_were_live() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    let [second, third] = ["t_2", "t_3"].map(role);
    let ensure = async |own: &mut _, base: &str, logins: &[TenantRole], retired: &[&str]| {
        let roles = TenantRoles {
            base,
            logins,
            unknown: &[],
        };
        shut_former_logins(own, base, &owned(retired)).await.unwrap();
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

#[tokio::test]
async fn a_script_that_makes_very_many_roles_of_the_tenants_name_ends_in_an_error() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let mut own = session(&owner).await;
    let first = role("t");
    ensure_tenant_role(&mut own, &first, &CREATES, Sharing::Shared)
        .await
        .unwrap();
    let make = |from: u32, to: u32| {
        format!("DO $$ BEGIN FOR i IN {from}..{to} LOOP EXECUTE format('CREATE ROLE t_%s LOGIN', i); END LOOP; END $$")
    };
    // The first role, and those that log in, are dealt with before others.
    execute(&mut own, &make(2, 150)).await.unwrap();
    let found = tenant_logins(&mut own, "t", NextLogin::default()).await.unwrap();
    assert_eq!(found.logins, ["t"], "the others have no rights");
    shut_tenant_logins(&mut own, "t").await.unwrap();
    let open = "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname ~ '^t(_|$)'";
    assert_eq!(ask(&mut own, open).await, "0");
    drop_tenant_role(&mut own, "t").await.unwrap();
    assert_eq!(
        ask(&mut own, "SELECT count(*) FROM pg_roles WHERE rolname ~ '^t(_|$)'").await,
        "0"
    );
    ensure_tenant_role(&mut own, &first, &CREATES, Sharing::Shared)
        .await
        .unwrap();
    // Since version 16 each new role is a membership of its maker's, and so many take minutes.
    let version = ask(&mut own, "SELECT current_setting('server_version_num')::int / 10000").await;
    if version.parse::<u32>().unwrap() >= 16 {
        return;
    }
    execute(&mut own, &make(2, 20_050)).await.unwrap();
    let found = tenant_logins(&mut own, "t", NextLogin::default()).await.unwrap();
    assert_eq!(found.logins, ["t"]);
    let error = shut_tenant_logins(&mut own, "t").await.unwrap_err();
    assert!(matches!(error, Error::TooMany { .. }), "{error}");
    let open = "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname IN ('t', 't_2')";
    assert_eq!(ask(&mut own, open).await, "0");
}

#[tokio::test]
async fn rights_without_number_on_the_records_are_revoked_in_rounds() {
    let server = server().await;
    let (owner, _) = two_tenants(&server).await;
    let (mut own, tenant) = (session(&owner).await, role("t"));
    let spread = |roles: u32, tables: u32| {
        format!(
            "CREATE SCHEMA IF NOT EXISTS stagesub; DO $$ BEGIN \
                 FOR i IN 1..{roles} LOOP EXECUTE format('CREATE ROLE r%s_{roles}', i); END LOOP; \
                 FOR i IN 1..{tables} LOOP EXECUTE format('CREATE TABLE stagesub.t%s_{roles} ()', i); END LOOP; \
                 EXECUTE (SELECT 'GRANT ALL ON ALL TABLES IN SCHEMA stagesub TO ' || string_agg(format('r%s_{roles}', i), ', ') \
                     FROM generate_series(1, {roles}) i); END $$"
        )
    };
    execute(&mut own, &spread(50, 50)).await.unwrap();
    ensure_tenant_role(&mut own, &tenant, &CREATES, Sharing::Shared)
        .await
        .unwrap();
    let left = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(relacl) \
                WHERE nspname = 'stagesub' AND grantee <> relowner";
    assert_eq!(ask(&mut own, left).await, "0");
    execute(&mut own, &spread(140, 100)).await.unwrap();
    let refused = ensure_tenant_role(&mut own, &tenant, &CREATES, Sharing::Shared)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("too many rights"), "{refused}");
}
