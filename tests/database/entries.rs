//! Entries of a static pool: what their URLs say and lead to, and the sample that makes one.

use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::server;
use crate::support::tenant::{database, prepare};
use crate::support::{INIT, ask, execute, migrate, session, source};
use orchestra_operator::error::ErrorClass;
use orchestra_operator::postgres::holdings::{AcceptedHoldings, judge, observe};
use orchestra_operator::postgres::{
    Error, Login, Sharing, TenantRights, TenantRole, connect, connect_through_transaction_pooler, ensure_tenant_role,
    is_prepared, isolate,
};
use secrecy::ExposeSecret as _;
use sqlx::{PgConnection, Row as _};

#[tokio::test]
async fn a_url_can_set_options_of_its_sessions() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let url = owner.url();
    let url = url.expose_secret();
    let mark = if url.contains('?') { '&' } else { '?' };
    let with = format!("{url}{mark}options=-c%20timezone%3DAsia/Tokyo%20-c%20search_path%3Dapp&connect_timeout=5");
    let login = Login::parse(&with.into()).unwrap();
    let mut conn = session(&login).await;
    assert_eq!(
        ask(&mut conn, "pg_catalog.current_setting('timezone')").await,
        "Asia/Tokyo"
    );
    assert_eq!(ask(&mut conn, "pg_catalog.current_setting('search_path')").await, "app");

    // Who uses the parts of the Secret has no options, and finds what a migration made all the same.
    execute(&mut conn, "CREATE SCHEMA app").await.unwrap();
    migrate(&login, &source(&[INIT])).await.unwrap();
    let rights = TenantRights::default();
    drop(prepare(&login, &tenant, &rights).await);
    let by_parts = owner.as_user(&tenant.name, tenant.password.clone());
    assert_eq!(by_parts.session.options, None);
    let mut app = session(&by_parts).await;
    assert_eq!(ask(&mut app, "SELECT count(*) FROM a").await, "2");
    let mut own = connect(&login, "test").await.unwrap();
    assert!(is_prepared(&mut own, "tenant", &rights, Sharing::Shared).await.unwrap());
    // The options go: so does the path.
    drop(prepare(&owner, &tenant, &rights).await);
    let mut app = session(&by_parts).await;
    assert!(execute(&mut app, "SELECT count(*) FROM a").await.is_err());
    let mut own = connect(&owner, "test").await.unwrap();
    assert!(is_prepared(&mut own, "tenant", &rights, Sharing::Shared).await.unwrap());
}

#[tokio::test]
async fn a_path_with_the_schema_of_the_user_means_the_owners_to_the_tenant() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let url = owner.url();
    let url = url.expose_secret();
    let mark = if url.contains('?') { '&' } else { '?' };
    let mut conn = session(&owner).await;
    execute(&mut conn, "CREATE SCHEMA owner; CREATE TABLE owner.mine (id int)")
        .await
        .unwrap();
    for path in ["$user,public", "%22$user%22,public"] {
        let login = Login::parse(&format!("{url}{mark}options=-c%20search_path%3D{path}").into()).unwrap();
        drop(prepare(&login, &tenant, &TenantRights::default()).await);
        let published = login.as_user(&tenant.name, tenant.password.clone());
        let by_parts = owner.as_user(&tenant.name, tenant.password.clone());
        for theirs in [Login::parse(&published.url()).unwrap(), by_parts] {
            let mut app = session(&theirs).await;
            assert_eq!(ask(&mut app, "SELECT count(*) FROM mine").await, "0", "{path}");
        }
    }
}

/// Prisma sets the path to the schema alone in every session; without the parameter it leaves the path as it is.
#[tokio::test]
async fn the_schema_public_of_a_url_is_the_path_of_every_session() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let url = owner.url();
    let url = url.expose_secret();
    let mark = if url.contains('?') { '&' } else { '?' };
    let login = Login::parse(&format!("{url}{mark}schema=public").into()).unwrap();
    // The schema of the login's name, and a setting of the login, come first in every session without the parameter.
    let mut conn = session(&owner).await;
    execute(&mut conn, "ALTER ROLE owner SET search_path TO app")
        .await
        .unwrap();
    let set = [
        INIT,
        ("2_schema", "CREATE SCHEMA \"owner\"; CREATE SCHEMA app"),
        ("3_member", "CREATE TABLE \"Member\" (id int)"),
    ];
    let first = source(&set[..2]);
    assert_eq!(migrate(&login, &first).await.unwrap().applied, 2);
    let whole = source(&set);
    assert_eq!(migrate(&login, &whole).await.unwrap().applied, 3);
    let mut conn = session(&login).await;
    let places = "SELECT string_agg(relname || ' in ' || nspname, ', ' ORDER BY relname COLLATE \"C\") FROM pg_class c \
        JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND relowner = 'owner'::regrole";
    let wanted = "Member in public, _prisma_migrations in public, a in public";
    assert_eq!(ask(&mut conn, places).await, wanted);
    // For a login with another path, the error says where the history is, and no second one is created.
    let error = migrate(&owner, &whole).await.unwrap_err();
    assert!(error.to_string().contains("public._prisma_migrations"), "{error}");

    // The tenant's login finds the same, by the published URL and by its parts.
    drop(prepare(&login, &tenant, &TenantRights::default()).await);
    let published = login.as_user(&tenant.name, tenant.password.clone());
    let by_parts = owner.as_user(&tenant.name, tenant.password.clone());
    for theirs in [Login::parse(&published.url()).unwrap(), by_parts] {
        let mut app = session(&theirs).await;
        assert_eq!(ask(&mut app, "SELECT count(*) FROM \"Member\"").await, "0");
        assert_eq!(
            ask(&mut app, "pg_catalog.current_setting('search_path')").await,
            "public"
        );
    }
}

/// `PgBouncer` refuses `options` unless it is configured to ignore them, and Supavisor ignores them.
#[tokio::test]
async fn a_pooler_that_does_not_pass_the_path_on_serves_where_names_mean_public_anyway() {
    let server = server().await;
    let (owner, _) = database(&server).await;
    let url = owner.url();
    let url = url.expose_secret();
    let mark = if url.contains('?') { '&' } else { '?' };
    let entry = Login::parse(&format!("{url}{mark}schema=public").into()).unwrap();
    for settings in [
        "pool_mode = session",
        "pool_mode = session\nignore_startup_parameters = options",
    ] {
        let Some(pooler) = PgBouncer::start(&entry, settings).await else {
            return;
        };
        let usual = pooler.login(&entry);
        assert_eq!(migrate(&usual, &source(&[INIT])).await.unwrap().applied, 1);
        let mut conn = session(&owner).await;
        execute(&mut conn, "CREATE SCHEMA owner").await.unwrap();
        let error = connect(&usual, "test").await.map(drop).unwrap_err();
        execute(&mut conn, "DROP SCHEMA owner").await.unwrap();
        assert!(matches!(error, Error::OptionsLost(_)), "{settings}: {error}");
        assert_eq!(error.class(), ErrorClass::Blocked);
        assert!(error.to_string().contains("SET search_path = public"), "{error}");
        // Where the login has the setting, the entry needs no parameter.
        drop(connect(&pooler.login(&owner), "test").await.unwrap());
    }
}

#[tokio::test]
async fn a_transaction_pooler_is_recognised_and_nothing_is_set_there() {
    let server = server().await;
    let (owner, _) = database(&server).await;
    let mut root = session(&server.login("one")).await;
    for (settings, refused) in [
        ("pool_mode = transaction\ndefault_pool_size = 20", true),
        ("pool_mode = transaction\ndefault_pool_size = 2", true),
        ("pool_mode = transaction\ndefault_pool_size = 1", true),
        ("pool_mode = transaction\nserver_round_robin = 1", true),
        ("pool_mode = statement", true),
        ("pool_mode = session\ndefault_pool_size = 20", false),
        ("pool_mode = session\ndefault_pool_size = 1", false),
    ] {
        let Some(pooler) = PgBouncer::start(&owner, settings).await else {
            return;
        };
        let login = pooler.login(&owner);
        let mut app = session_through(&login).await;
        let path = ask_plainly(&mut app, "SHOW search_path").await;
        if settings.contains("session") {
            // It would keep the only session of the server.
            drop(app);
            let mut own = connect(&login, "test")
                .await
                .unwrap_or_else(|error| panic!("{settings}: {error}"));
            assert_eq!(ask(&mut own, "1").await, "1");
            continue;
        }
        let error = connect(&login, "test").await.map(drop).unwrap_err();
        assert!(
            refused && matches!(error, Error::TransactionPooler),
            "{settings}: {error}"
        );
        assert_eq!(error.class(), ErrorClass::Blocked);
        for _ in 0..3 {
            assert_eq!(ask_plainly(&mut app, "SHOW search_path").await, path, "{settings}");
        }
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
        assert_eq!(ask(&mut root, locks).await, "0");
    }
}

#[tokio::test]
async fn a_pooler_that_gives_one_session_only_is_not_believed() {
    let server = server().await;
    let (owner, _) = database(&server).await;
    for mode in ["transaction", "session"] {
        let settings = format!("pool_mode = {mode}\nmax_client_conn = 1");
        let Some(pooler) = PgBouncer::start(&owner, &settings).await else {
            return;
        };
        let login = pooler.login(&owner);
        // The pooler may still count the connection that waited for its start.
        let mut tries = 0;
        let error = loop {
            let error = connect(&login, "test").await.map(drop).unwrap_err();
            tries += 1;
            if matches!(error, Error::NoSecondSession(_)) || tries == 20 {
                break error;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        let text = error.to_string();
        assert!(
            text.contains("transaction pooler") && text.contains("CONNECTION LIMIT"),
            "{mode}: {text}"
        );
        assert!(!text.contains(login.password.expose_secret()), "{text}");
        assert_eq!(error.class(), ErrorClass::Transient, "{text}");
    }
    // The server itself tells that it is no pooler: one session is enough.
    let mut root = session(&server.login("postgres")).await;
    let limit = format!("ALTER ROLE \"{}\" CONNECTION LIMIT 1", owner.user);
    sqlx::raw_sql(sqlx::AssertSqlSafe(limit))
        .execute(&mut root)
        .await
        .unwrap();
    let mut alone = owner.clone();
    alone.session.may_be_pooled = true;
    let mut own = connect(&alone, "test").await.unwrap();
    assert_eq!(ask(&mut own, "1").await, "1");
}

/// A client of the pooler, which sets nothing.
async fn session_through(login: &Login) -> PgConnection {
    connect_through_transaction_pooler(login, "app").await.unwrap()
}

/// One value, without a prepared statement.
async fn ask_plainly(conn: &mut PgConnection, sql: &'static str) -> String {
    let row = sqlx::raw_sql(sql).fetch_one(conn).await.unwrap();
    row.get(0)
}

/// As on PostgreSQL 14: the databases for administration are open, and every login may create in their schemas `public`.
#[tokio::test]
async fn the_samples_run_nothing_of_a_tenants_in_an_open_database() {
    let server = server().await;
    let superuser = server.login("postgres");
    let mut root = session(&superuser).await;
    let open = "GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE neighbour LOGIN PASSWORD 'neighbour'";
    execute(&mut root, open).await.unwrap();
    let neighbour = superuser.as_user("neighbour", "neighbour".to_owned().into());
    let names = include_str!("../fixtures/names_of_a_tenant.sql");
    execute(&mut session(&neighbour).await, names).await.unwrap();
    let rose = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = 'neighbour'";

    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for sample in [
        include_str!("../../deploy/samples/pool-entry.sql"),
        include_str!("../../deploy/samples/pool-server.sql"),
    ] {
        // psql asks at a terminal.
        let sample = sample.replace("\\password :\"entry\"", "ALTER ROLE :\"entry\" PASSWORD 'owner';");
        std::fs::write(file.path(), sample).unwrap();
        server.psql_as(&superuser, &["-v", "entry=one", "-f", path]);
        assert_eq!(ask(&mut root, rose).await, "false");
    }

    // What the docs have an admin look at first names all of it.
    let docs = include_str!("../../docs/classes-and-pools.md");
    let (_, after) = docs.split_once("```sql\nSET search_path").unwrap();
    let (statement, _) = after.split_once("```").unwrap();
    let listed = server.psql_as(&superuser, &["-At", "-c", &format!("SET search_path{statement}")]);
    let mut listed: Vec<_> = listed.lines().collect();
    listed.sort_unstable();
    let all = [
        "public.\"left\"(name,integer)",
        "public.format(text,name)",
        "public.matches(name,name)",
        "public.rise()",
        "public.~(name,name)",
    ];
    assert_eq!(listed, all);
    // The same names, as an admin would otherwise find them.
    execute(&mut root, "SELECT format('%I', datname) FROM pg_database LIMIT 1")
        .await
        .unwrap();
    assert_eq!(ask(&mut root, rose).await, "true", "they would run");
}

/// Runs the sample as an admin of the server, and checks what it has made as the pool does.
#[tokio::test]
async fn the_sample_makes_an_entry_that_is_accepted_whoever_runs_it() {
    let server = server().await;
    let mut root = session(&server.login("postgres")).await;
    // As on managed servers: an admin who is no superuser.
    execute(
        &mut root,
        "CREATE ROLE \"cloud admin\" LOGIN CREATEROLE CREATEDB PASSWORD 'admin'",
    )
    .await
    .unwrap();
    let sample = include_str!("../../deploy/samples/pool-entry.sql");
    // psql asks at a terminal.
    let sample = sample.replace("\\password :\"entry\"", "ALTER ROLE :\"entry\" PASSWORD 'owner';");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), sample).unwrap();
    let path = file.path().to_str().unwrap();
    let superuser = server.login("postgres");
    let admin = superuser.as_user("cloud admin", "admin".to_owned().into());
    for (number, by) in [&admin, &admin, &superuser, &superuser].into_iter().enumerate() {
        let entry = format!("Pool {number}");
        server.psql_as(by, &["-v", &format!("entry={entry}"), "-f", path]);
        let login = server.login(&entry).as_user(&entry, "owner".to_owned().into());
        let mut own = session(&login).await;
        let found = observe(&mut own).await.unwrap();
        let allowed = AcceptedHoldings {
            legacy_servers: true,
            ..AcceptedHoldings::default()
        };
        assert_eq!(judge(&found, &allowed), []);
        // Only who owns the databases for administration closes them.
        assert_eq!(found.open().is_empty(), number > 1, "{entry}");
        isolate(&mut own).await.unwrap();
        let tenant = TenantRole {
            name: format!("orchestra_{number:032}"),
            password: "tenant".to_owned().into(),
        };
        ensure_tenant_role(&mut own, &tenant, &TenantRights::default(), Sharing::Shared)
            .await
            .unwrap();
        let mut theirs = session(&login.as_user(&tenant.name, tenant.password.clone())).await;
        // Whichever entry of the server came first.
        let member = "SELECT pg_has_role(current_user, 'orchestra_app', 'USAGE')";
        assert_eq!(ask(&mut theirs, member).await, "true", "{entry}");
        // The admin has no way left to what the tenant's scripts make.
        assert!(
            connect(
                &server.login(&entry).as_user("cloud admin", "admin".to_owned().into()),
                "test"
            )
            .await
            .is_err()
        );
    }
}
