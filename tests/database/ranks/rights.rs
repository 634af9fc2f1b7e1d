//! Rights that scripts grant the tenant's login, its groups or everybody, and that its preparation takes.

use orchestra_operator::postgres::is_prepared;

use super::*;
use crate::support::postgres::server_as_hosted;

#[tokio::test]
async fn a_tenants_login_makes_no_schema_of_the_owners_name() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, tenant) = database(&server).await;
        let mut own = session(&owner).await;
        let mut theirs = prepare(&owner, &tenant, &creates()).await;
        let group = "CREATE ROLE helpers; GRANT helpers TO tenant; CREATE ROLE middle; GRANT middle TO CURRENT_USER";
        execute(&mut own, group).await.unwrap();
        let by_another = "GRANT CREATE ON DATABASE one TO middle WITH GRANT OPTION; SET ROLE middle; \
            GRANT CREATE ON DATABASE one TO PUBLIC; RESET ROLE";
        for given in [
            "GRANT CREATE ON DATABASE one TO tenant",
            "GRANT CREATE ON DATABASE one TO orchestra_app",
            "GRANT CREATE ON DATABASE one TO helpers",
            "GRANT ALL ON DATABASE one TO PUBLIC",
            by_another,
        ] {
            execute(&mut own, given).await.unwrap();
            execute(&mut theirs, "CREATE SCHEMA owner; DROP SCHEMA owner")
                .await
                .unwrap_or_else(|error| panic!("{given}: {error}"));
            // As after each script, and as at each preparation.
            grant_existing(&mut own, &tenant.name, &creates()).await.unwrap();
            denied(&mut theirs, "CREATE SCHEMA owner").await;
            drop(prepare(&owner, &tenant, &creates()).await);
            let everybody =
                "SELECT count(*) FROM pg_database, aclexplode(datacl) WHERE datname = 'one' AND grantee = 0";
            assert_eq!(ask(&mut own, everybody).await, "0", "{given}");
        }
    }
}

#[tokio::test]
async fn a_right_to_refer_to_a_column_is_taken_as_one_to_the_table() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, tenant) = database(&server).await;
        let mut own = session(&owner).await;
        let mut theirs = prepare(&owner, &tenant, &creates()).await;
        execute(&mut own, "CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
        for grantee in ["tenant", "orchestra_app", "PUBLIC"] {
            execute(&mut own, &format!("GRANT REFERENCES (id) ON t TO {grantee}"))
                .await
                .unwrap();
            execute(&mut theirs, "CREATE TABLE mine (id int REFERENCES t); DROP TABLE mine")
                .await
                .unwrap();
            grant_existing(&mut own, &tenant.name, &creates()).await.unwrap();
            denied(&mut theirs, "CREATE TABLE mine (id int REFERENCES t)").await;
            execute(&mut theirs, "SELECT id FROM t").await.unwrap();
        }
    }
}

#[tokio::test]
async fn timeouts_that_a_login_sets_for_itself_are_found_and_set_again() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, tenant) = database(&server).await;
        let limits = LoginLimits {
            connections: Some(5),
            statement_timeout: Some("10m".parse().unwrap()),
            idle_in_transaction_timeout: None,
        };
        let rights = TenantRights {
            limits: Some(limits),
            ..TenantRights::default()
        };
        let mut theirs = prepare(&owner, &tenant, &rights).await;
        let mut own = session(&owner).await;
        assert!(is_prepared(&mut own, "tenant", &rights, Sharing::Shared).await.unwrap());
        for set in [
            "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
            "ALTER ROLE CURRENT_USER IN DATABASE one SET statement_timeout = 0",
            "ALTER ROLE CURRENT_USER SET idle_in_transaction_session_timeout = '1h'",
        ] {
            execute(&mut theirs, set).await.unwrap();
            assert!(
                !is_prepared(&mut own, "tenant", &rights, Sharing::Shared).await.unwrap(),
                "{set}"
            );
            let mut again = prepare(&owner, &tenant, &rights).await;
            assert_eq!(
                ask(&mut again, "current_setting('statement_timeout')").await,
                "10min",
                "{set}"
            );
            assert!(
                is_prepared(&mut own, "tenant", &rights, Sharing::Shared).await.unwrap(),
                "{set}"
            );
        }
    }
}
