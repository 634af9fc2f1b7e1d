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

/// What would have a migration skipped, by a view over a history.
fn forging(view: &str) -> [String; 3] {
    [
        format!("INSERT INTO {view} (id, checksum, migration_name, finished_at) VALUES ('9', '9', '9_never', now())"),
        format!("UPDATE {view} SET finished_at = now()"),
        format!("DELETE FROM {view}"),
    ]
}

#[tokio::test]
async fn a_view_over_a_history_is_read_and_never_written() {
    let early = (
        "2_early",
        "CREATE VIEW early AS SELECT * FROM _prisma_migrations; CREATE VIEW over_early AS SELECT * FROM early;",
    );
    let late = (
        "3_late",
        "CREATE VIEW late AS SELECT * FROM _prisma_migrations; CREATE VIEW over_late AS SELECT * FROM late; \
         CREATE VIEW plain AS SELECT * FROM a;",
    );
    for server in [server().await, server_as_hosted().await] {
        let (owner, tenant) = database(&server).await;
        let mut own = session(&owner).await;
        migrate(&owner, &source(&[INIT, early])).await.unwrap();
        let given = "GRANT ALL ON early TO PUBLIC; GRANT UPDATE (finished_at) ON over_early TO PUBLIC";
        execute(&mut own, given).await.unwrap();
        let mut theirs = prepare(&owner, &tenant, &creates()).await;
        // Default privileges grant on the later ones, and the script's own transaction takes that.
        let all = source(&[INIT, early, late]);
        assert_eq!(migrate(&owner, &all).await.unwrap().applied, 3);
        let views = ["early", "over_early", "late", "over_late"];
        let granted = [
            "GRANT ALL ON early, late TO orchestra_app",
            "GRANT ALL ON over_early, over_late TO PUBLIC",
            "GRANT INSERT (id, checksum, migration_name, finished_at), UPDATE (finished_at) ON late, over_late TO tenant",
        ];
        for given in [None].into_iter().chain(granted.map(Some)) {
            if let Some(given) = given {
                execute(&mut own, given).await.unwrap();
                // As after each script.
                grant_existing(&mut own, &tenant.name, &creates()).await.unwrap();
            }
            for view in views {
                for forged in forging(view) {
                    denied(&mut theirs, &forged).await;
                }
                execute(&mut theirs, &format!("SELECT count(*) FROM {view}"))
                    .await
                    .unwrap();
            }
        }
        execute(
            &mut theirs,
            "INSERT INTO plain VALUES (3); DELETE FROM plain WHERE id = 3",
        )
        .await
        .unwrap();
        assert_eq!(migrate(&owner, &all).await.unwrap().pending, 0);
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
