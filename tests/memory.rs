//! What a script or a table of a tenant can make the operator hold in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use orchestra_operator::api::{Approval, Effect, MigrationFormat};
use orchestra_operator::error::ErrorClass;
use orchestra_operator::migrate::guard::{Clearance, Consent, FindingKind};
use orchestra_operator::migrate::{Error, Options, SeedSource, Source, fingerprint};
use orchestra_operator::postgres;
use support::{INIT, execute, migrate, migrate_with, pending, postgres::server, review, session, source, source_of};

/// One test at a time: the peak is that of the process.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The memory of this process in KiB: `VmHWM` is the most since it was reset, `VmRSS` what it is now.
fn memory(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':')
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// Measures the most memory from now on.
struct Peak(usize);

impl Peak {
    fn reset() -> Self {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Self(memory("VmRSS"))
    }

    fn is_below(&self, mebibytes: usize) {
        let more = memory("VmHWM").saturating_sub(self.0) >> 10;
        assert!(more < mebibytes, "{more} MiB more, at most {mebibytes} are allowed");
    }
}

/// Whether an error says that the server sent too much, and waits for a person.
fn is_too_long(error: &Error) -> bool {
    matches!(error, Error::Database(postgres::Error::TooLong)) && error.class() == ErrorClass::Blocked
}

#[tokio::test]
async fn a_long_message_of_the_server_is_not_read() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let login = server.login("postgres");
    let peak = Peak::reset();
    for script in [
        "DO $$ BEGIN RAISE NOTICE '%', repeat('x', 100000000); END $$",
        "DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 100000000); END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'a' USING DETAIL = repeat('x', 100000000); END $$",
        "SELECT repeat('x', 100000000)",
        "SELECT 1; SELECT set_config('application_name', 'a', false), repeat('x', 5000000)",
    ] {
        let error = migrate(&login, &source(&[("1_long", script)])).await.unwrap_err();
        assert!(is_too_long(&error), "{script}: {error}");
    }
    // What real scripts do is read.
    let usual = "DO $$ BEGIN RAISE NOTICE '%', repeat('x', 1000000); END $$; SELECT repeat('x', 4000000);";
    migrate(&login, &source(&[("1_usual", usual)])).await.unwrap();
    peak.is_below(64);
}

#[tokio::test]
async fn long_columns_of_a_history_are_cut_by_the_server() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let login = server.login("postgres");
    let all = source(&[INIT]);
    migrate(&login, &all).await.unwrap();
    let conn = &mut session(&login).await;
    let peak = Peak::reset();
    execute(
        conn,
        "ALTER TABLE _prisma_migrations DROP CONSTRAINT _prisma_migrations_pkey; \
         ALTER TABLE _prisma_migrations ALTER migration_name TYPE text, ALTER checksum TYPE text, ALTER id TYPE text; \
         INSERT INTO _prisma_migrations (id, checksum, migration_name, logs, rolled_back_at, finished_at) VALUES \
         (repeat('i', 100000000), repeat('c', 100000000), 'long', repeat('l', 100000000), NULL, now()), \
         ('2', 'c', repeat('n', 100000000), repeat('l', 100000000), now(), NULL)",
    )
    .await
    .unwrap();
    let status = pending(&mut session(&login).await, &all).await.unwrap();
    assert_eq!((status.applied, status.pending), (1, 0));
    execute(
        conn,
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) \
         SELECT i, 'c', i, now() FROM generate_series(1, 100001) i",
    )
    .await
    .unwrap();
    let many = pending(&mut session(&login).await, &all).await.unwrap_err();
    assert!(matches!(&many, Error::OtherTool(_)), "{many}");
    assert!(many.to_string().contains("more than 100000 rows"), "{many}");
    peak.is_below(96);
}

#[tokio::test]
async fn a_history_in_another_schema_stays_in_the_server() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let login = server.login("postgres");
    let conn = &mut session(&login).await;
    execute(
        conn,
        "CREATE SCHEMA x; CREATE TABLE x._sqlx_migrations (version text, success bool); \
         INSERT INTO x._sqlx_migrations SELECT i || repeat('x', 4000000), true FROM generate_series(1, 100) i; \
         CREATE TABLE x._prisma_migrations (migration_name text, finished_at timestamptz, rolled_back_at timestamptz); \
         INSERT INTO x._prisma_migrations SELECT i || repeat('x', 3000), now() FROM generate_series(1, 100000) i",
    )
    .await
    .unwrap();
    let peak = Peak::reset();
    for (format, add) in [
        (
            MigrationFormat::Sqlx,
            "INSERT INTO x._sqlx_migrations VALUES ('1', true)",
        ),
        (
            MigrationFormat::Prisma,
            "INSERT INTO x._prisma_migrations VALUES ('1_a', now())",
        ),
    ] {
        let all = source_of(format, &[("1_a", "CREATE TABLE a ();"), ("2_b", "CREATE TABLE b ();")]);
        let status = pending(&mut session(&login).await, &all).await.unwrap();
        assert_eq!((status.applied, status.pending), (0, 2));
        execute(conn, add).await.unwrap();
        let refused = pending(&mut session(&login).await, &all).await.unwrap_err();
        assert!(refused.to_string().contains("records 1_a as applied"), "{refused}");
    }
    peak.is_below(64);
}

#[tokio::test]
async fn recorded_statements_and_definitions_stay_in_the_server() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let login = server.login("postgres");
    let all = source_of(
        MigrationFormat::Supabase,
        &[("1_a", "CREATE TABLE é (id int);\n-- ü\nSELECT 'ß';")],
    );
    migrate_with(&login, &all, &Options::default()).await.unwrap();
    let conn = &mut session(&login).await;
    let status = pending(conn, &all).await.unwrap();
    assert_eq!(status.divergence, "");
    let peak = Peak::reset();
    execute(
        conn,
        "UPDATE supabase_migrations.schema_migrations SET statements = ARRAY[repeat('x', 100000000), repeat('y', 100000000)]",
    )
    .await
    .unwrap();
    let status = pending(conn, &all).await.unwrap();
    assert_eq!(status.divergence, "changed since they were applied: 1_a");
    let one = fingerprint(conn).await.unwrap();
    execute(
        conn,
        "DO $$ BEGIN EXECUTE format('CREATE FUNCTION long() RETURNS text LANGUAGE sql AS %L', \
         '/*' || repeat('x', 50000000) || '*/ SELECT ''a'''); END $$",
    )
    .await
    .unwrap();
    assert_ne!(fingerprint(conn).await.unwrap(), one);
    peak.is_below(64);
}

#[test]
fn text_that_grows_when_it_is_read_is_refused() {
    let _alone = ALONE.blocking_lock();
    let peak = Peak::reset();
    let migration = |text: String| {
        let files = vec![("1_a.sql".to_owned(), text.into_bytes())];
        Source::read(Some(MigrationFormat::Prisma), files).map(drop)
    };
    let seed = |file: &str, text: String| SeedSource::read(vec![(file.to_owned(), text.into_bytes())]).map(drop);
    for (refused, says) in [
        (migration(";".repeat(60 << 20)), "more than 250,000 statements"),
        (migration("a;".repeat(20 << 20)), "more than 250,000 statements"),
        (seed("a.sql", ";".repeat(60 << 20)), "more than 250,000 statements"),
        (seed("a.sql", ":'x' ".repeat(10 << 20)), "more than 10,000 variables"),
        (seed("a.csv", "a,".repeat(20 << 20)), "at most 1600 in 128 KiB"),
        (
            seed("a.csv", format!("a{}\n", ",b".repeat(2_000))),
            "at most 1600 in 128 KiB",
        ),
    ] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    // A word may be as long as the script, and is no keyword then.
    migration("x".repeat(60 << 20)).unwrap();
    peak.is_below(256);
    // What real projects have: a dump with a row in each statement, and a wide table.
    migration("INSERT INTO t VALUES (1);\n".repeat(100_000)).unwrap();
    let columns: Vec<_> = (0..1_600).map(|number| format!("column_{number}")).collect();
    seed("a.csv", format!("{}\n", columns.join(","))).unwrap();
}

/// Options with which the scripts are reviewed against the catalog.
fn reviewed() -> Options {
    Options {
        consent: Some(Consent {
            policy: Approval::OnDestructive,
            effects: Effect::APPROVED.into(),
            approved: None,
            handed_over: true,
            prepared: false,
        }),
        ..Options::default()
    }
}

#[tokio::test]
async fn rows_that_a_script_adds_to_the_history_are_counted_by_the_server() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let fill = "ALTER TABLE _prisma_migrations ALTER migration_name TYPE text; \
                INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) \
                    SELECT g::text, 'x', g || repeat('x', 900), now() FROM generate_series(1, 150000) g;";
    let peak = Peak::reset();
    migrate(&login, &source(&[INIT, ("2_fill", fill)])).await.unwrap();
    // What it has left is too much to be read, with few rows as well.
    let all = source(&[INIT, ("2_fill", fill), ("3_more", "SELECT 1")]);
    let conn = &mut session(&login).await;
    for keep in [150_000, 20_000] {
        execute(
            conn,
            &format!("DELETE FROM _prisma_migrations WHERE length(id) < 10 AND id::int > {keep}"),
        )
        .await
        .unwrap();
        let refused = pending(conn, &all).await.unwrap_err();
        assert!(matches!(&refused, Error::OtherTool(_)), "{refused}");
    }
    peak.is_below(64);
}

#[tokio::test]
async fn the_catalog_that_scripts_name_is_read_up_to_a_bound() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let conn = &mut session(&login).await;
    for part in 0..4 {
        execute(
            conn,
            &format!(
                "DO $$ BEGIN FOR s IN 1..20 LOOP EXECUTE format('CREATE SCHEMA s%s_{part}', s); \
                     EXECUTE format('CREATE TABLE s%s_{part}.wide (%s)', s, \
                         (SELECT string_agg('c' || i || ' int', ', ') FROM generate_series(1, 1000) i)); END LOOP; END $$"
            ),
        )
        .await
        .unwrap();
    }
    execute(
        conn,
        "DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE format( \
             'CREATE FUNCTION f(%s) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT %L::text; END', \
             (SELECT string_agg('int', ', ') FROM generate_series(1, i)), repeat('x', 1000000)); END LOOP; END $$; \
         CREATE TABLE ruled (a int); \
         DO $$ BEGIN FOR i IN 1..20 LOOP EXECUTE format( \
             'CREATE RULE r%s AS ON INSERT TO ruled DO ALSO SELECT %L::text', i, repeat('x', 1000000)); END LOOP; END $$; \
         CREATE TABLE wide (mine int); INSERT INTO wide VALUES (1)",
    )
    .await
    .unwrap();
    let peak = Peak::reset();
    let scripts = "ALTER TABLE wide DROP COLUMN mine; SELECT f(1); INSERT INTO ruled VALUES (1);";
    let all = source(&[INIT, ("2_wide", scripts)]);
    let review = review(&mut session(&login).await, &all, &reviewed())
        .await
        .unwrap()
        .unwrap();
    let found: Vec<_> = review.plan.findings.iter().map(|finding| finding.kind).collect();
    let told: Vec<_> = review
        .plan
        .findings
        .iter()
        .map(|finding| finding.statement.as_str())
        .collect();
    // Tables in the search path are judged, and a finding says that others were not read, as for functions and rules.
    assert!(found.contains(&FindingKind::DropColumn), "{told:?}");
    assert!(
        told.iter().any(|told| told.contains("only those in the search path")),
        "{told:?}"
    );
    let opaque = found.iter().filter(|kind| **kind == FindingKind::Opaque).count();
    assert!(opaque >= 3, "{told:?}");
    peak.is_below(64);
}

#[tokio::test]
async fn what_the_guard_remembers_of_scripts_is_bounded() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let again = "CREATE OR REPLACE FUNCTION f()RETURNS int RETURN 1;".repeat(150_000);
    let names: Vec<_> = (0..2).map(|number| format!("2_{number}_a")).collect();
    let mut scripts = vec![INIT];
    scripts.extend(names.iter().map(|name| (name.as_str(), again.as_str())));
    scripts.push(("3_last", "DROP TABLE a"));
    let all = source(&scripts);
    let conn = &mut session(&login).await;
    let peak = Peak::reset();
    let review = review(conn, &all, &reviewed()).await.unwrap().unwrap();
    let last = review.plan.findings.last().map(|finding| finding.kind);
    assert_eq!(
        (last, review.clearance),
        (Some(FindingKind::Unjudged), Clearance::Waits)
    );
    // Without the scripts themselves, which are there before. All of these functions would take 90 MiB.
    peak.is_below(64);
}

#[tokio::test]
async fn what_is_kept_of_a_failure_is_short() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let login = server.login("postgres");
    let peak = Peak::reset();
    let mut kept = Vec::new();
    for number in 0..40 {
        let script = "DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 1300000) \
                      USING DETAIL = repeat('y', 1300000), HINT = repeat('z', 1300000); END $$";
        let name = format!("{number}_long");
        kept.push(migrate(&login, &source(&[(&name, script)])).await.unwrap_err());
    }
    peak.is_below(64);
    let told = kept.pop().unwrap().to_string();
    assert!(told.len() < 10_000 && told.contains("xxx…"), "{}", told.len());
    // A value does not appear because the text around it is cut.
    execute(
        &mut session(&login).await,
        "CREATE TABLE u (a text UNIQUE); CREATE TYPE e AS ENUM ('a')",
    )
    .await
    .unwrap();
    for script in [
        "INSERT INTO u SELECT 'geheim) ' || repeat('x', 2400) FROM generate_series(1, 2)",
        "SELECT ('geheim' || repeat('x', 5000))::int",
    ] {
        let failed = migrate(&login, &source(&[("1_value", script)]))
            .await
            .unwrap_err()
            .to_string();
        assert!(!failed.contains("geheim"), "{failed}");
    }
}
