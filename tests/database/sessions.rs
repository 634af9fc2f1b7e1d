//! The operator's own sessions in a tenant's database, and those of others: what a script or a login left behind
//! reaches no statement of the operator's, and who came before a database was closed goes.

#[path = "sessions/former.rs"]
mod former;

use std::time::Duration;

use crate::support::postgres::server;
use crate::support::tenant::{database, prepare};
use crate::support::{ask, execute, migrate, missing_tables, pending, session, source, source_of};
use orchestra_operator::api::{MigrationFormat, SeedPolicy};
use orchestra_operator::migrate::{SeedSource, SeedVariables, fingerprint, seed, seeded};
use orchestra_operator::postgres::claim_record::{ClaimRecord, claim, holder};
use orchestra_operator::postgres::{Error, Sharing, TenantRights, connect, ensure_tenant_role, identity, isolate};

#[tokio::test]
async fn sessions_from_before_a_database_was_closed_are_ended() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let mut root = session(&server.login("one")).await;
    execute(&mut root, "CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        .await
        .unwrap();
    let stranger = owner.as_user("stranger", "stranger".to_owned().into());
    let mut inside = session(&stranger).await;
    let mut own = connect(&owner, "test").await.unwrap();
    // This owner may not end it, and says who can.
    for refused in [
        isolate(&mut own).await.unwrap_err(),
        ensure_tenant_role(&mut own, &tenant, &TenantRights::default(), Sharing::Shared)
            .await
            .unwrap_err(),
    ] {
        let told = refused.to_string();
        assert!(
            told.contains("session of the role stranger") && told.contains("pg_terminate_backend("),
            "{told}"
        );
    }
    assert!(connect(&stranger, "test").await.is_err());
    execute(&mut inside, "SELECT 1").await.unwrap();
    execute(&mut root, "GRANT pg_signal_backend TO owner").await.unwrap();
    let mut theirs = prepare(&owner, &tenant, &TenantRights::default()).await;
    assert!(execute(&mut inside, "SELECT 1").await.is_err());
    isolate(&mut own).await.unwrap();
    for conn in [&mut root, &mut own, &mut theirs] {
        execute(conn, "SELECT 1").await.unwrap();
    }
}

/// What comes before PostgreSQL's own names where a login's search path says so: each reports who called it.
const SNARES: &str = "CREATE SCHEMA snare; CREATE SCHEMA witness;
    CREATE TABLE witness.ran (what text);
    CREATE FUNCTION snare.trap(text) RETURNS bool LANGUAGE sql AS 'INSERT INTO witness.ran VALUES ($1) RETURNING true';
    CREATE FUNCTION snare.current_database() RETURNS name LANGUAGE sql AS $$SELECT snare.trap('f'); SELECT 'x'::name$$;
    CREATE FUNCTION snare.to_regclass(text) RETURNS regclass LANGUAGE sql AS $$SELECT snare.trap('f'); SELECT NULL::regclass$$;
    CREATE FUNCTION snare.same(text, text) RETURNS bool LANGUAGE sql AS $$SELECT snare.trap('text'); SELECT true$$;
    CREATE FUNCTION snare.same(name, name) RETURNS bool LANGUAGE sql AS $$SELECT snare.trap('name'); SELECT true$$;
    CREATE FUNCTION snare.same(name, text) RETURNS bool LANGUAGE sql AS $$SELECT snare.trap('name'); SELECT true$$;
    CREATE FUNCTION snare.same(varchar, text) RETURNS bool LANGUAGE sql AS $$SELECT snare.trap('varchar'); SELECT true$$;
    CREATE FUNCTION snare.same(oid, oid) RETURNS bool LANGUAGE sql AS $$SELECT snare.trap('oid'); SELECT true$$;
    CREATE OPERATOR snare.= (LEFTARG = text, RIGHTARG = text, FUNCTION = snare.same);
    CREATE OPERATOR snare.= (LEFTARG = name, RIGHTARG = name, FUNCTION = snare.same);
    CREATE OPERATOR snare.= (LEFTARG = name, RIGHTARG = text, FUNCTION = snare.same);
    CREATE OPERATOR snare.= (LEFTARG = varchar, RIGHTARG = text, FUNCTION = snare.same);
    CREATE OPERATOR snare.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = snare.same);
    CREATE VIEW snare.pg_roles AS SELECT r.*, snare.trap('pg_roles') FROM pg_catalog.pg_roles r;
    CREATE VIEW snare.pg_tables AS SELECT r.*, snare.trap('pg_tables') FROM pg_catalog.pg_tables r;
    CREATE VIEW snare.pg_class AS SELECT r.*, snare.trap('pg_class') FROM pg_catalog.pg_class r;
    CREATE VIEW snare.pg_index AS SELECT r.*, snare.trap('pg_index') FROM pg_catalog.pg_index r";

#[tokio::test]
async fn no_setting_of_a_login_reaches_the_operators_statements() {
    let server = server().await;
    let (owner, tenant) = database(&server).await;
    let mut own = session(&owner).await;
    execute(&mut own, SNARES).await.unwrap();
    execute(&mut own, "ALTER ROLE owner SET search_path = snare, pg_catalog, pg_temp; ALTER ROLE owner SET standard_conforming_strings = off")
        .await
        .unwrap();
    let mut probe = connect(&owner, "test").await.unwrap();
    assert_eq!(
        ask(&mut probe, "pg_catalog.current_setting('search_path')").await,
        "pg_catalog, pg_temp"
    );
    identity(&mut probe).await.unwrap();
    holder(&mut probe).await.unwrap();
    isolate(&mut probe).await.unwrap();
    claim(&mut probe, ("1", "tenants", "one"), &[]).await.unwrap();
    seeded(&mut probe).await.unwrap();
    drop(prepare(&owner, &tenant, &TenantRights::default()).await);
    let scripts = source(&[
        ("1_init", "CREATE TABLE a (id int);"),
        (
            "2_index",
            "INSERT INTO a VALUES (1);\nCREATE INDEX CONCURRENTLY a_id ON a (id);\nVACUUM a;",
        ),
        ("3_whole", "VACUUM a;"),
    ]);
    pending(&mut probe, &scripts).await.unwrap();
    let status = migrate(&owner, &scripts).await.unwrap();
    assert_eq!((status.applied, status.pending), (3, 0));
    assert_eq!(
        missing_tables(&mut probe, &scripts).await.unwrap(),
        Vec::<String>::new()
    );
    let mut root = session(&server.login("one")).await;
    // Scripts find names where the login's own setting says.
    assert_eq!(ask(&mut root, "to_regclass('snare.a')").await, "snare.a");
    assert_eq!(
        ask(&mut root, "to_regclass('snare._prisma_migrations')").await,
        "snare._prisma_migrations"
    );
    assert_eq!(
        ask(&mut root, "SELECT string_agg(DISTINCT what, ' ') FROM witness.ran").await,
        "NULL"
    );
}

#[tokio::test]
async fn a_claim_record_that_a_script_dropped_or_forged_is_no_way_in() {
    let server = server().await;
    let (owner, _) = database(&server).await;
    let mut own = session(&owner).await;
    let ours = claim(&mut own, ("1", "tenants", "one"), &[]).await.unwrap();
    assert_eq!(ours, ClaimRecord::Ours);
    // The record is gone: the holder of the claim writes it again.
    for gone in [
        "DROP SCHEMA stagesub CASCADE",
        "DROP TABLE stagesub.claim",
        "DELETE FROM stagesub.claim",
    ] {
        execute(&mut own, gone).await.unwrap();
        assert_eq!(
            claim(&mut own, ("1", "tenants", "one"), &[]).await.unwrap(),
            ClaimRecord::Ours,
            "{gone}"
        );
        assert_eq!(
            holder(&mut own).await.unwrap().map(|holder| (holder.uid, holder.name)),
            Some(("1".to_owned(), "tenants/one".to_owned())),
            "{gone}"
        );
    }
    // A row of another Orchestra counts, beside ours or instead of it.
    execute(
        &mut own,
        "ALTER TABLE stagesub.claim DROP one; INSERT INTO stagesub.claim VALUES ('2', 'tenants', 'two')",
    )
    .await
    .unwrap();
    for uid in ["1", "2"] {
        let found = claim(&mut own, (uid, "tenants", "x"), &[]).await.unwrap();
        assert!(matches!(found, ClaimRecord::Other { .. }), "{uid}: {found:?}");
    }
    // What is no record is neither read nor written.
    for (forged, told) in [
        ("ALTER TABLE stagesub.claim OWNER TO other", "belongs to the role other"),
        (
            "DROP TABLE stagesub.claim; CREATE VIEW stagesub.claim AS SELECT '1' AS orchestra_uid",
            "not an ordinary table",
        ),
        (
            "DROP VIEW stagesub.claim; ALTER SCHEMA stagesub OWNER TO other; CREATE TABLE stagesub.claim ()",
            "belongs to the role other",
        ),
    ] {
        let mut root = session(&server.login("one")).await;
        let _ = execute(&mut root, "CREATE ROLE other LOGIN").await;
        execute(&mut root, forged).await.unwrap();
        for refused in [
            claim(&mut own, ("1", "tenants", "one"), &[])
                .await
                .map(drop)
                .unwrap_err(),
            holder(&mut own).await.map(drop).unwrap_err(),
        ] {
            assert!(
                matches!(&refused, Error::Untrusted(_)) && refused.to_string().contains(told),
                "{forged}: {refused}"
            );
        }
    }
}

#[tokio::test]
async fn nothing_that_a_script_leaves_reaches_the_operators_statements() {
    let server = server().await;
    let login = server.login("postgres");
    let snares = "CREATE SCHEMA snare; CREATE SCHEMA witness; CREATE TABLE witness.ran (what text); CREATE ROLE small;
        CREATE FUNCTION snare.same(varchar, text) RETURNS bool LANGUAGE sql AS
            'INSERT INTO witness.ran VALUES (''varchar''); SELECT true';
        CREATE FUNCTION snare.same(bigint, bigint) RETURNS bool LANGUAGE sql AS
            'INSERT INTO witness.ran VALUES (''bigint''); SELECT true';
        CREATE OPERATOR snare.= (LEFTARG = varchar, RIGHTARG = text, FUNCTION = snare.same);
        CREATE OPERATOR snare.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = snare.same);
        CREATE FUNCTION snare.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
            'INSERT INTO witness.ran VALUES (''clock''); SELECT now()';";
    // The operator's own statements have such names in its sessions.
    let prepared: Vec<_> = (1..40)
        .map(|at| format!("PREPARE sqlx_s_{at} AS SELECT 1;\n"))
        .collect();
    let prepared = prepared.concat();
    let leaves = format!(
        "SET search_path = snare, pg_catalog;\nDEALLOCATE ALL;\n{prepared}\
         CREATE TEMPORARY TABLE IF NOT EXISTS pg_class (oid oid);\nCREATE TEMPORARY TABLE IF NOT EXISTS pg_index (indexrelid oid);\n\
         CREATE TEMPORARY TABLE IF NOT EXISTS pg_tables (schemaname name);\nCREATE TEMPORARY TABLE IF NOT EXISTS pg_roles (rolname name);\n"
    );
    let one_by_one = format!("{leaves}CREATE INDEX CONCURRENTLY a_id ON public.a (id);\nVACUUM public.a;\nSELECT 1;");
    let in_one = format!("{leaves}SET standard_conforming_strings = off;\nSET ROLE small;");
    for (format, names) in [
        (MigrationFormat::Prisma, ["1", "2", "3", "4"]),
        (MigrationFormat::Sqlx, ["11_a", "12_b", "13_c", "14_d"]),
    ] {
        execute(
            &mut session(&login).await,
            "DROP TABLE IF EXISTS a, b, _prisma_migrations",
        )
        .await
        .unwrap();
        let prelude = if format == MigrationFormat::Prisma { snares } else { "" };
        let first = format!("{prelude}\nCREATE TABLE a (id int);");
        let last = "CREATE TABLE b (id int);";
        // sqlx itself refuses the second.
        let second = if format == MigrationFormat::Prisma {
            one_by_one.as_str()
        } else {
            "SELECT 1;"
        };
        let scripts = [&first, second, &in_one, last].map(str::to_owned);
        let files: Vec<_> = names.into_iter().zip(scripts.iter().map(String::as_str)).collect();
        let status = migrate(&login, &source_of(format, &files)).await.unwrap();
        assert_eq!((status.applied, status.pending), (4, 0), "{format:?}");
    }
    // The last one found its names where the database's own settings say.
    assert_eq!(
        ask(&mut session(&login).await, "SELECT to_regclass('public.b')").await,
        "b"
    );
    assert_eq!(
        ask(
            &mut session(&login).await,
            "SELECT string_agg(what, ' ') FROM witness.ran"
        )
        .await,
        "NULL"
    );
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn dates_are_read_by_the_databases_settings_unless_the_tool_sets_them() {
    let server = server().await;
    let (owner, _) = database(&server).await;
    let mut conn = session(&owner).await;
    for setting in [
        "timezone = 'Europe/Stockholm'",
        "datestyle = 'ISO, DMY'",
        "intervalstyle = 'sql_standard'",
        "bytea_output = 'escape'",
    ] {
        execute(&mut conn, &format!("ALTER DATABASE one SET {setting}"))
            .await
            .unwrap();
    }
    let mut conn = session(&owner).await;
    // PGOPTIONS of the operator's environment, and what the driver sets, reach no session.
    for (setting, value) in [
        ("timezone", "Europe/Stockholm"),
        ("datestyle", "ISO, DMY"),
        ("intervalstyle", "sql_standard"),
        ("bytea_output", "escape"),
        ("extra_float_digits", "1"),
        ("client_encoding", "UTF8"),
    ] {
        let now = format!("pg_catalog.current_setting('{setting}')");
        assert_eq!(ask(&mut conn, &now).await, value);
    }
    let plain = "CREATE TABLE concert (id bigint PRIMARY KEY, on_day date NOT NULL DEFAULT '03/04/2026', begins_at timestamptz NOT NULL, lasts text, jit text DEFAULT current_setting('jit'));\n\
         INSERT INTO concert VALUES (1, '03/04/2026', '2026-01-10 19:30', interval '1 day 2 hours'::text);";
    let alone = "INSERT INTO concert VALUES (5, '03/04/2026', '2026-01-10 19:30', interval '1 day 2 hours'::text);\n\
         CREATE INDEX CONCURRENTLY concert_day ON concert (on_day);";
    let rows = "SELECT string_agg(concat_ws(' ', id, on_day::text, to_char(begins_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), lasts), ', ' ORDER BY id) FROM concert";
    let tools = "1 2026-04-03 01-10 18:30 1 2:00:00, 5 2026-04-03 01-10 18:30 1 2:00:00";
    // The operator's own statements are not compiled; scripts and seeds have the database's setting.
    let jit = "SELECT string_agg(DISTINCT jit, ', ') FROM concert";
    assert_eq!(
        ask(&mut connect(&owner, "test").await.unwrap(), "current_setting('jit')").await,
        "off"
    );
    let sqlxs = "1 2026-03-04 01-10 19:30 1 2:00:00, 5 2026-03-04 01-10 19:30 1 2:00:00";
    for (format, names, found) in [
        (MigrationFormat::Sqlx, ["1_plain", "2_alone"], sqlxs),
        (
            MigrationFormat::Supabase,
            ["20260101000000_plain", "20260102000000_alone"],
            tools,
        ),
        (MigrationFormat::Prisma, ["1_plain", "2_alone"], tools),
    ] {
        let reset = "DROP TABLE IF EXISTS concert, _sqlx_migrations; DROP SCHEMA IF EXISTS supabase_migrations CASCADE";
        execute(&mut conn, reset).await.unwrap();
        // sqlx refuses the second in one message.
        let second = if format == MigrationFormat::Sqlx {
            alone.split_once('\n').unwrap().0
        } else {
            alone
        };
        let scripts = [(names[0], plain), (names[1], second)];
        migrate(&owner, &source_of(format, &scripts)).await.unwrap();
        assert_eq!(ask(&mut conn, rows).await, found, "{format:?}");
        assert_eq!(ask(&mut conn, jit).await, "on", "{format:?}");
    }

    // Seeds are read as psql reads them.
    let files = [
        (
            "10_concert.csv",
            "id,on_day,begins_at\n2,03/04/2026,2026-01-10 19:30\n3,24/12/2026,2026-07-10 19:30\n",
        ),
        (
            "20_concert.sql",
            "INSERT INTO concert VALUES (4, '03/04/2026', '2026-01-10 19:30')",
        ),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    let source = SeedSource::read(files.into()).unwrap();
    let own = connect(&owner, "test").await.unwrap();
    let limit = Duration::from_secs(30);
    seed(own, &source, &SeedVariables::default(), SeedPolicy::Once, None, limit)
        .await
        .unwrap();
    assert_eq!(
        ask(
            &mut conn,
            &rows.replace("FROM concert", "FROM concert WHERE id BETWEEN 2 AND 4")
        )
        .await,
        "2 2026-04-03 01-10 18:30, 3 2026-12-24 07-10 17:30, 4 2026-04-03 01-10 18:30"
    );
    assert_eq!(ask(&mut conn, jit).await, "on");

    // A digest is the same whatever the settings are.
    let before = fingerprint(&mut connect(&owner, "test").await.unwrap()).await.unwrap();
    execute(&mut conn, "ALTER DATABASE one RESET ALL").await.unwrap();
    let after = fingerprint(&mut connect(&owner, "test").await.unwrap()).await.unwrap();
    assert_eq!(before, after);
}
