//! What everybody may do in a database until it is closed, and what its closing leaves.

use orchestra_operator::postgres::holdings::close_if_fit;
use orchestra_operator::postgres::{self, APPLICATION, isolate};

use super::*;
use crate::support::postgres::server_as_hosted;

#[tokio::test]
async fn a_database_in_which_everybody_makes_schemas_is_refused_and_is_closed_where_that_is_accepted() {
    let vouched = || AcceptedHoldings {
        non_empty: true,
        ..AcceptedHoldings::default()
    };
    for server in [server().await, server_as_hosted().await] {
        let two = entry(&server, "two").await;
        accepted(&two).await;
        let mut own = session(&two).await;
        // A script of the tenant that had it before, also by way of a role that it made.
        let by_another = "CREATE ROLE middle; GRANT middle TO CURRENT_USER; GRANT ALL ON DATABASE two TO middle \
            WITH GRANT OPTION; SET ROLE middle; GRANT CREATE, CONNECT ON DATABASE two TO PUBLIC; RESET ROLE";
        for given in ["GRANT CREATE ON DATABASE two TO PUBLIC", by_another] {
            execute(&mut own, given).await.unwrap();
            refused(&two, "PUBLIC").await;
            assert_eq!(said(&two, vouched()).await, "", "{given}");
            isolate(&mut postgres::connect(&two, APPLICATION).await.unwrap())
                .await
                .unwrap();
            let everybody =
                "SELECT count(*) FROM pg_database, aclexplode(datacl) WHERE datname = 'two' AND grantee = 0";
            assert_eq!(ask(&mut own, everybody).await, "0", "{given}");
        }
        let gone = "DROP OWNED BY middle; DROP ROLE middle";
        execute(&mut own, gone).await.unwrap();
        accepted(&two).await;
        // What somebody has made meanwhile comes before every other schema.
        admin(
            &server,
            "two",
            "CREATE ROLE eve; CREATE SCHEMA two_owner AUTHORIZATION eve",
        )
        .await;
        let told = said(&two, vouched()).await;
        assert!(told.contains("its schema two_owner, which comes first"), "{told}");
        admin(&server, "two", "ALTER SCHEMA two_owner OWNER TO two_owner").await;
        accepted(&two).await;
    }
}

#[tokio::test]
async fn what_a_neighbour_leaves_until_the_database_is_closed_is_found() {
    let allowed = AcceptedHoldings {
        legacy_servers: true,
        ..AcceptedHoldings::default()
    };
    for server in [server().await, server_as_hosted().await] {
        let (one, two) = (entry(&server, "one").await, entry(&server, "two").await);
        admin(&server, "one", "GRANT CREATE ON SCHEMA public TO PUBLIC").await;
        let neighbour = Login {
            database: "one".into(),
            ..two
        };
        let mut waiting = session(&neighbour).await;
        let mut own = postgres::connect(&one, APPLICATION).await.unwrap();
        let found = observe(&mut own).await.unwrap();
        assert_eq!(judge(&found, &allowed), []);
        let planted = "CREATE FUNCTION public.helper() RETURNS int LANGUAGE sql AS 'SELECT 1'";
        execute(&mut waiting, planted).await.unwrap();
        sqlx::Connection::close(waiting).await.unwrap();
        let (_, objections) = close_if_fit(&mut own, found, &allowed).await.unwrap();
        let told = objections[0].message.clone();
        assert!(told.contains("two_owner can reach the database"), "{told}");
        // It is closed all the same, also to who would be let in again.
        admin(
            &server,
            "one",
            "DROP FUNCTION public.helper(); GRANT CONNECT ON DATABASE one TO two_owner",
        )
        .await;
        let mut back = session(&neighbour).await;
        assert!(execute(&mut back, planted).await.is_err());
        sqlx::Connection::close(back).await.unwrap();
        admin(&server, "one", "REVOKE CONNECT ON DATABASE one FROM two_owner").await;
        let found = observe(&mut own).await.unwrap();
        let (_, objections) = close_if_fit(&mut own, found, &allowed).await.unwrap();
        assert_eq!(objections, []);
    }
}
