//! What comes after a login was made.

use super::*;

#[tokio::test]
async fn a_login_of_an_earlier_version_is_brought_to_what_it_is_now() {
    let server = server().await;
    let (owner, _admin) = hosted(&server).await;
    let mut own = session(&owner).await;
    execute(
        &mut own,
        "CREATE ROLE tenant LOGIN PASSWORD 'tenant'; GRANT tenant TO CURRENT_USER; \
         GRANT CONNECT ON DATABASE postgres TO tenant",
    )
    .await
    .unwrap();
    execute(&mut own, "ALTER ROLE postgres SET search_path = public, auth")
        .await
        .unwrap();
    let rights = TenantRights::default();
    let mut before = session(&owner.as_user("tenant", tenant().password)).await;
    let is = async |conn: &mut PgConnection| is_prepared(conn, "tenant", &rights, Sharing::Own).await;
    assert!(!is(&mut own).await.unwrap());
    drop(theirs(&owner, &rights).await);
    // On this version, the attempt to give it BYPASSRLS is repeated.
    if is_modern(&mut own).await {
        assert!(is(&mut own).await.unwrap());
    }
    execute(&mut before, "SET ROLE service_role").await.unwrap();
}

#[tokio::test]
async fn new_tables_reach_the_data_api_where_somebody_says_so() {
    let server = server().await;
    let (owner, _admin) = hosted(&server).await;
    let mut own = session(&owner).await;
    let exposing = |wanted| TenantRights {
        expose_new_tables: Some(wanted),
        ..TenantRights::default()
    };
    let rights = async |own: &mut PgConnection, table: &str| {
        let of = |role: &str| format!("concat_ws(' ', '{role}', has_table_privilege('{role}', '{table}', 'INSERT'))");
        let [anon, service] = ["anon", "service_role"].map(of);
        ask(own, &format!("concat_ws(', ', {anon}, {service})")).await
    };
    // The platform's own default, as the fixture has it, stays while nobody says anything.
    drop(theirs(&owner, &TenantRights::default()).await);
    execute(&mut own, "CREATE TABLE before ()").await.unwrap();
    assert_eq!(rights(&mut own, "before").await, "anon t, service_role t");
    drop(theirs(&owner, &exposing(ExposeNewTables::None)).await);
    execute(&mut own, "CREATE TABLE unexposed (id serial)").await.unwrap();
    assert_eq!(rights(&mut own, "unexposed").await, "anon f, service_role f");
    assert_eq!(unexposed(&mut own, None).await.unwrap(), None, "they reach one");
    execute(&mut own, "DROP TABLE before").await.unwrap();
    let hint = unexposed(&mut own, None).await.unwrap().unwrap();
    assert!(
        hint.contains("none of the 1 tables") && hint.contains("exposeNewTables: All"),
        "{hint}"
    );
    // A column is something, and so is what may be written only.
    for (right, revoke) in [("SELECT (id)", "REVOKE SELECT (id)"), ("INSERT", "REVOKE INSERT")] {
        let grant = format!("GRANT {right} ON unexposed TO anon");
        execute(&mut own, &grant).await.unwrap();
        assert_eq!(unexposed(&mut own, None).await.unwrap(), None, "{grant}");
        execute(&mut own, &format!("{revoke} ON unexposed FROM anon"))
            .await
            .unwrap();
    }
    execute(
        &mut own,
        "CREATE SCHEMA app; CREATE TABLE app.first (); CREATE TABLE app.second ()",
    )
    .await
    .unwrap();
    let hint = unexposed(&mut own, Some(ExposeNewTables::All)).await.unwrap().unwrap();
    assert!(
        hint.contains("none of the 3 tables") && hint.contains("(app) must be exposed"),
        "{hint}"
    );
    execute(&mut own, "DROP SCHEMA app CASCADE").await.unwrap();
    drop(theirs(&owner, &exposing(ExposeNewTables::All)).await);
    execute(&mut own, "CREATE TABLE exposed (id serial)").await.unwrap();
    assert_eq!(rights(&mut own, "exposed").await, "anon t, service_role t");
    assert_eq!(rights(&mut own, "unexposed").await, "anon f, service_role f");
    assert_eq!(unexposed(&mut own, None).await.unwrap(), None);
    let mut login = session(&owner.as_user("tenant", tenant().password)).await;
    execute(&mut login, "SET ROLE authenticated; INSERT INTO exposed DEFAULT VALUES")
        .await
        .unwrap();
}
