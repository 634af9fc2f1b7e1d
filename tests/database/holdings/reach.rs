//! What the login of an entry reaches, and who reaches it.

use super::*;

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn a_login_that_reaches_another_tenant_is_refused_whatever_the_pool_accepts() {
    let server = server().await;
    let (one, two) = (entry(&server, "one").await, entry(&server, "two").await);
    let vouched = || AcceptedHoldings {
        non_empty: true,
        ..AcceptedHoldings::default()
    };
    admin(&server, "postgres", "CREATE ROLE middle; CREATE ROLE root SUPERUSER").await;
    for (given, says, taken) in [
        (
            "ALTER DATABASE two OWNER TO one_owner",
            "also owns two",
            "ALTER DATABASE two OWNER TO two_owner",
        ),
        (
            "GRANT two_owner TO one_owner",
            "also owns two",
            "REVOKE two_owner FROM one_owner",
        ),
        (
            "GRANT two_owner TO middle; GRANT middle TO one_owner",
            "also owns two",
            "REVOKE two_owner FROM middle; REVOKE middle FROM one_owner",
        ),
        (
            "GRANT root TO middle; GRANT middle TO one_owner",
            "member of root",
            "REVOKE middle FROM one_owner",
        ),
        (
            "GRANT pg_read_all_data TO one_owner",
            "member of pg_read_all_data",
            "REVOKE pg_read_all_data FROM one_owner",
        ),
        (
            "ALTER ROLE one_owner NOCREATEROLE",
            "ALTER ROLE \"one_owner\" CREATEROLE",
            "ALTER ROLE one_owner CREATEROLE",
        ),
        (
            "ALTER ROLE one_owner SET default_transaction_read_only = on",
            "takes no writes",
            "ALTER ROLE one_owner RESET ALL",
        ),
        (
            "ALTER ROLE one_owner REPLICATION",
            "REPLICATION",
            "ALTER ROLE one_owner NOREPLICATION",
        ),
        (
            "ALTER DATABASE one OWNER TO middle; GRANT middle TO one_owner",
            "does not own the database one",
            "ALTER DATABASE one OWNER TO one_owner; REVOKE middle FROM one_owner",
        ),
    ] {
        admin(&server, "one", given).await;
        let said = said(&one, vouched()).await;
        assert!(said.contains(says), "{given}: {said}");
        admin(&server, "one", taken).await;
        accepted(&one).await;
    }
    // Two entries with one login own each other's databases, and neither is accepted.
    admin(&server, "one", "ALTER DATABASE two OWNER TO one_owner").await;
    let shared = Login {
        database: "two".into(),
        ..one.clone()
    };
    for login in [&one, &shared] {
        assert!(said(login, vouched()).await.contains("also owns"));
    }
    admin(
        &server,
        "one",
        "ALTER DATABASE two OWNER TO two_owner; GRANT one_owner TO two_owner",
    )
    .await;
    let allowed = AcceptedHoldings {
        other_entries: vec![("two_owner".into(), "another".into())],
        ..vouched()
    };
    let said = said(&one, allowed).await;
    assert!(said.contains("two_owner, the login of another entry"), "{said}");
    assert!(self::said(&two, vouched()).await.contains("also owns one"));
}

#[tokio::test]
async fn a_name_that_matters_is_not_hidden_behind_others() {
    let server = server().await;
    let (one, _) = (entry(&server, "one").await, entry(&server, "two").await);
    let vouched = || AcceptedHoldings {
        non_empty: true,
        ..AcceptedHoldings::default()
    };
    let crowd = |what: &str| {
        format!(
            "DO $$ BEGIN FOR i IN 1..70 LOOP EXECUTE format('CREATE ROLE a%s', i); \
             EXECUTE format('{what}', 'a' || i); END LOOP; END $$"
        )
    };
    let away = "DO $$ BEGIN FOR i IN 1..70 LOOP EXECUTE format('DROP OWNED BY a%s', i); \
                EXECUTE format('DROP ROLE a%s', i); END LOOP; END $$";
    admin(&server, "one", &format!("CREATE ROLE {TENANT}")).await;
    for (crowd, given, says, taken) in [
        (
            crowd("GRANT %s TO one_owner"),
            "GRANT pg_read_all_data TO one_owner",
            "pg_read_all_data",
            "REVOKE pg_read_all_data FROM one_owner",
        ),
        (
            crowd("GRANT %s TO one_owner"),
            "GRANT two_owner TO one_owner",
            "two",
            "REVOKE two_owner FROM one_owner",
        ),
        (
            crowd("GRANT one_owner TO %s"),
            &format!("GRANT one_owner TO {TENANT}"),
            TENANT,
            &format!("REVOKE one_owner FROM {TENANT}"),
        ),
        (
            crowd("GRANT CONNECT ON DATABASE one TO %s"),
            &format!("GRANT CONNECT ON DATABASE one TO {TENANT}"),
            TENANT,
            &format!("REVOKE ALL ON DATABASE one FROM {TENANT}"),
        ),
        (
            crowd("CREATE SCHEMA AUTHORIZATION %s"),
            &format!("CREATE SCHEMA x AUTHORIZATION {TENANT}"),
            TENANT,
            "DROP SCHEMA x",
        ),
    ] {
        admin(&server, "one", &crowd).await;
        assert_eq!(said(&one, vouched()).await, "", "{crowd}");
        admin(&server, "one", given).await;
        let told = said(&one, vouched()).await;
        assert!(told.contains(says), "{given}: {told}");
        admin(&server, "one", taken).await;
        admin(&server, "one", away).await;
    }
    let many = "DO $$ BEGIN FOR i IN 1..1000 LOOP EXECUTE format('CREATE ROLE b%s', i); \
                EXECUTE format('GRANT b%s TO one_owner', i); END LOOP; END $$";
    admin(&server, "one", many).await;
    let told = said(&one, vouched()).await;
    assert!(told.contains("not all looked at"), "{told}");
}

/// Since PostgreSQL 16, the creator of a role may make any login a member of it.
#[tokio::test]
async fn a_neighbours_script_keeps_no_entry_out() {
    let server = server().await;
    let (one, two) = (entry(&server, "one").await, entry(&server, "two").await);
    let mut own = session(&one).await;
    if ask(&mut own, "current_setting('server_version_num')::int >= 160000").await != "true" {
        return;
    }
    execute(
        &mut own,
        &format!("CREATE ROLE {TENANT}; CREATE ROLE eve; GRANT eve TO {TENANT}"),
    )
    .await
    .unwrap();
    for role in [TENANT, "eve"] {
        execute(&mut own, &format!("GRANT {role} TO two_owner")).await.unwrap();
    }
    execute(
        &mut own,
        &format!(
            "GRANT {TENANT}, eve TO two_owner WITH ADMIN OPTION; \
             DO $$ BEGIN FOR n IN 1..1100 LOOP EXECUTE 'CREATE ROLE many_' || n; \
             EXECUTE format('GRANT many_%s TO two_owner', n); END LOOP; END $$"
        ),
    )
    .await
    .unwrap();
    accepted(&two).await;
    // What the login itself has made is its own affair, also by way of a role that it has made.
    let mut theirs = session(&two).await;
    execute(&mut theirs, "CREATE ROLE mine CREATEROLE LOGIN PASSWORD 'mine'")
        .await
        .unwrap();
    let mut mine = session(&two.as_user("mine", "mine".to_owned().into())).await;
    execute(&mut mine, "CREATE ROLE left_behind; GRANT left_behind TO two_owner")
        .await
        .unwrap();
    refused(&two, "left_behind").await;
}
