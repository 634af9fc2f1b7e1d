//! What the server of an entry says of itself.

use orchestra_operator::postgres::holdings::{look_inside, open_databases};

use super::*;

/// What a hosted project's server holds, as far as PostgreSQL without Supabase's extensions permits.
const HOSTED: &str = include_str!("../../fixtures/hosted.sql");

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn a_hosted_project_is_recognised_by_what_only_its_superuser_can_make() {
    let server = server().await;
    // The superuser that renames the one of `initdb`.
    admin(
        &server,
        "postgres",
        "CREATE ROLE admin SUPERUSER LOGIN PASSWORD 'admin'",
    )
    .await;
    let root = server.login("postgres").as_user("admin", "admin".to_owned().into());
    let mut root = session(&root).await;
    execute(&mut root, HOSTED).await.unwrap();
    let owner = server.login("postgres").as_user("postgres", "owner".to_owned().into());
    // No setting of the pool is needed, on this version too.
    let found = observe(&mut session(&owner).await).await.unwrap();
    assert_eq!(judge(&found, &AcceptedHoldings::default()), []);
    assert!(is_hosted_project(&mut session(&owner).await).await.unwrap());

    // The next owner of the project does not inherit what the last one left.
    for (given, says, taken) in [
        ("CREATE TABLE t AS SELECT 1 AS x", "public.t", "DROP TABLE t"),
        (
            "CREATE ROLE eve; GRANT postgres TO eve",
            "eve can reach",
            "DROP ROLE eve",
        ),
        (
            "CREATE ROLE eve; ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT ALL ON TABLES TO eve",
            "default privileges",
            "DROP OWNED BY eve; DROP ROLE eve",
        ),
        // A server with several tenants is no project of one tenant.
        (
            "CREATE DATABASE other OWNER postgres",
            "also owns other",
            "DROP DATABASE other",
        ),
    ] {
        for statement in given.split("; ") {
            execute(&mut root, statement).await.unwrap();
        }
        let found = observe(&mut session(&owner).await).await.unwrap();
        let all = judge(&found, &AcceptedHoldings::default());
        let said = all.into_iter().map(|one| one.message).collect::<Vec<_>>().join("\n");
        assert!(said.contains(says), "{says}: {said}");
        execute(&mut root, taken).await.unwrap();
    }
    let found = observe(&mut session(&owner).await).await.unwrap();
    assert_eq!(judge(&found, &AcceptedHoldings::default()), []);

    // Once it is a tenant's, what its owner makes there changes nothing, and what others have there does.
    let mut own = session(&owner).await;
    for own_database in [
        "CREATE DATABASE own",
        "CREATE ROLE mine",
        "GRANT mine TO postgres",
        "CREATE DATABASE more OWNER mine",
    ] {
        execute(&mut root, own_database).await.unwrap();
    }
    execute(&mut root, "ALTER DATABASE own OWNER TO postgres")
        .await
        .unwrap();
    assert!(is_hosted_project(&mut own).await.unwrap());
    check_project_is_alone(&mut own).await.unwrap();
    for others in ["CREATE ROLE stranger LOGIN", "CREATE DATABASE strangers OWNER stranger"] {
        execute(&mut root, others).await.unwrap();
    }
    // It is still a project, which nobody gets.
    assert!(is_hosted_project(&mut own).await.unwrap());
    let told = check_project_is_alone(&mut own).await.unwrap_err();
    assert!(
        told.to_string().contains("database strangers of the role stranger"),
        "{told}"
    );
    execute(&mut root, "DROP DATABASE strangers").await.unwrap();
    check_project_is_alone(&mut own).await.unwrap();
}

#[tokio::test]
async fn a_tenant_cannot_pass_its_shared_server_off_as_a_hosted_project() {
    let server = server().await;
    let one = entry(&server, "one").await;
    entry(&server, "two").await;
    let mut own = session(&one).await;
    for forgery in [
        "CREATE ROLE supabase_admin LOGIN CREATEROLE",
        "GRANT supabase_admin TO one_owner",
        "CREATE SCHEMA auth AUTHORIZATION supabase_admin",
        "CREATE SCHEMA storage AUTHORIZATION supabase_admin",
        "CREATE ROLE anon",
        "CREATE ROLE authenticator",
    ] {
        execute(&mut own, forgery).await.unwrap();
    }
    assert!(execute(&mut own, "ALTER ROLE supabase_admin SUPERUSER").await.is_err());
    assert!(!is_hosted_project(&mut own).await.unwrap());
    check_project_is_alone(&mut own).await.unwrap();
    let found = observe(&mut own).await.unwrap();
    assert!(!found.is_hosted_project());
    let said = said(&one, AcceptedHoldings::default()).await;
    assert!(said.contains("supabase_admin can reach"), "{said}");
}

#[tokio::test]
async fn the_databases_for_administration_are_open_until_an_admin_closes_them() {
    let server = server().await;
    let one = entry(&server, "one").await;
    let open = async || {
        let found = observe(&mut session(&one).await).await.unwrap();
        let names = found.open().iter().map(|open| open.database.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(open().await, ["postgres", "template1"]);
    admin(&server, "postgres", "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC").await;
    assert_eq!(open().await, ["template1"]);
    admin(&server, "postgres", "REVOKE ALL ON DATABASE template1 FROM PUBLIC").await;
    assert!(open().await.is_empty());

    // A provider's own, and one that was upgraded from a version that lets everybody create objects.
    admin(&server, "postgres", "CREATE DATABASE defaultdb").await;
    admin(&server, "postgres", "GRANT CONNECT ON DATABASE postgres TO PUBLIC").await;
    assert_eq!(open().await, ["postgres", "defaultdb"]);
    admin(&server, "defaultdb", "GRANT CREATE ON SCHEMA public TO PUBLIC").await;
    let mut found = open_databases(&mut session(&one).await).await.unwrap();
    look_inside(&one, &mut found).await;
    let found: Vec<_> = found
        .iter()
        .map(|open| (open.database.as_str(), open.creates))
        .collect();
    assert_eq!(found, [("postgres", false), ("defaultdb", true), ("one", false)]);
}
