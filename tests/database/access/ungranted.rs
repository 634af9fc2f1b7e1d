//! Tables that the login cannot read for want of a grant, and those that are private.

use orchestra_operator::postgres::ungranted;

use super::*;

async fn told(owner: &Login) -> String {
    let told = ungranted(&mut session(owner).await, "tenant").await.unwrap();
    told.unwrap_or_default()
}

/// Runs the statements that a message has, as the role that it names.
fn statements(message: &str) -> String {
    let from = message.find("GRANT ").unwrap();
    message[from..].split(". A table").next().unwrap().to_owned()
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn a_table_without_a_grant_is_told_with_the_statement_that_helps() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let mut login = prepare(&owner, &tenant, &TenantRights::default()).await;
    let mut root = session(&server.login("one")).await;
    execute(
        &mut root,
        "CREATE ROLE app NOINHERIT; GRANT app TO owner; GRANT CREATE ON SCHEMA public TO app; \
         CREATE TABLE public.\"Foreign\" (id int); CREATE SCHEMA other; CREATE TABLE other.kept (id int); \
         CREATE SCHEMA vault AUTHORIZATION app; SET ROLE app; CREATE TABLE vault.secret (id int); \
         CREATE TABLE public._sqlx_migrations (id int)",
    )
    .await
    .unwrap();
    let said = told(&owner).await;
    assert!(
        said.contains("no right to read public.\"Foreign\": another role owns"),
        "{said}"
    );
    execute(&mut root, &format!("RESET ROLE; {}", statements(&said)))
        .await
        .unwrap();
    assert_eq!(ask(&mut login, "SELECT count(*) FROM \"Foreign\"").await, "0");
    assert_eq!(told(&owner).await, "");

    // A column that it may read is somebody's decision; a partition is read through its table.
    execute(
        &mut root,
        "CREATE TABLE public.narrow (id int, pin text); GRANT SELECT (id) ON public.narrow TO tenant; \
         CREATE TABLE public.wide (id int) PARTITION BY LIST (id); \
         CREATE TABLE public.wide_1 PARTITION OF public.wide FOR VALUES IN (1); GRANT SELECT ON public.wide TO tenant",
    )
    .await
    .unwrap();
    assert_eq!(told(&owner).await, "");
    // A schema that the login was given is the tenant's.
    execute(&mut root, "GRANT USAGE ON SCHEMA vault TO tenant")
        .await
        .unwrap();
    let said = told(&owner).await;
    assert!(
        said.contains("read vault.secret") && said.contains("SET ROLE \"app\""),
        "{said}"
    );
    execute(&mut root, "REVOKE USAGE ON SCHEMA vault FROM tenant")
        .await
        .unwrap();

    let mut own = session(&owner).await;
    execute(
        &mut own,
        "CREATE SCHEMA sales; CREATE TABLE sales.a (); CREATE TABLE sales.b (); CREATE VIEW sales.c AS SELECT 1; \
         CREATE TABLE sales.d (); REVOKE ALL ON SCHEMA sales FROM tenant; REVOKE ALL ON ALL TABLES IN SCHEMA sales FROM tenant",
    )
    .await
    .unwrap();
    let said = told(&owner).await;
    assert!(
        said.contains("sales.a, sales.b, sales.c and 1 more: it was revoked"),
        "{said}"
    );
    execute(&mut own, &statements(&said)).await.unwrap();
    assert_eq!(ask(&mut login, "SELECT count(*) FROM sales.a").await, "0");
    let said = told(&owner).await;
    assert!(!said.contains("sales.a") && !said.contains("USAGE ON SCHEMA"), "{said}");
    // The next run of migrations grants what is the owner's.
    grant_existing(&mut own, "tenant", &TenantRights::default())
        .await
        .unwrap();
    assert_eq!(told(&owner).await, "");
}

#[tokio::test]
async fn the_schemas_of_a_hosted_platform_are_none_of_the_tenants() {
    let server = server().await;
    let (owner, mut admin) = hosted(&server).await;
    drop(theirs(&owner, &TenantRights::default()).await);
    assert_eq!(told(&owner).await, "");
    execute(&mut admin, "CREATE TABLE public.imported (id int)")
        .await
        .unwrap();
    let said = told(&owner).await;
    assert!(
        said.contains("public.imported") && said.contains("\"admin\" or a superuser"),
        "{said}"
    );
}
