//! The real Prisma judges: what the operator applied is up to date for it, and the other way round.

use std::process::Command;

use crate::support::{ask, execute, migrate, npm::installed, pending, postgres::server, session};
use orchestra_operator::migrate::Source;
use orchestra_operator::postgres::{Login, Sharing, TenantRights, TenantRole, ensure_tenant_role};
use secrecy::ExposeSecret;

const FILES: &[&str] = &[
    "package.json",
    "package-lock.json",
    "prisma.config.ts",
    "adapter.mjs",
    "schema.prisma",
];

/// A Prisma project's `migrations/` folder.
struct Project(tempfile::TempDir);

impl Project {
    fn new(migrations: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("migration_lock.toml"), "provider = \"postgresql\"\n").unwrap();
        for (name, sql) in migrations {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("migration.sql"), sql).unwrap();
        }
        Self(dir)
    }

    /// The same as a `ConfigMap` holds it.
    fn source(&self) -> Source {
        let files = std::fs::read_dir(self.0.path()).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name == "migration_lock.toml" {
                return (name, std::fs::read(entry.path()).unwrap());
            }
            (
                format!("{name}.sql"),
                std::fs::read(entry.path().join("migration.sql")).unwrap(),
            )
        });
        Source::read(None, files.collect()).unwrap()
    }

    /// The same as an archive or an artifact holds it.
    fn folders(&self) -> Source {
        let mut files = vec![("README.md".to_owned(), b"loose".to_vec())];
        for entry in std::fs::read_dir(self.0.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                let script = std::fs::read(path.join("migration.sql")).unwrap();
                files.push((format!("{name}/migration.sql"), script));
                files.push((format!("{name}/down.sql"), b"never run".to_vec()));
            }
        }
        Source::read(None, files).unwrap()
    }

    /// `prisma migrate <what>`: whether it exited with 0, and what it said.
    async fn prisma(&self, login: &Login, what: &str) -> (bool, String) {
        let (home, dir) = (installed("prisma", FILES), self.0.path().to_owned());
        let (url, what) = (login.url(), what.to_owned());
        tokio::task::spawn_blocking(move || {
            // The CLI looks for native engines; where the variables name files it downloads none.
            let unused = home.join("package.json");
            let out = Command::new("node")
                .args(["node_modules/prisma/build/index.js", "migrate", &what])
                .current_dir(&home)
                .env("DATABASE_URL", url.expose_secret())
                .env("MIGRATIONS_DIR", dir)
                .envs([
                    ("PRISMA_HIDE_UPDATE_MESSAGE", "1"),
                    ("CHECKPOINT_DISABLE", "1"),
                    ("NO_COLOR", "1"),
                    ("PRISMA_SCHEMA_ENGINE_BINARY", "/bin/true"),
                ])
                .env("PRISMA_QUERY_ENGINE_LIBRARY", &unused)
                .env("PRISMA_QUERY_ENGINE_BINARY", &unused)
                .output()
                .unwrap();
            let said = [out.stdout, out.stderr].concat();
            (out.status.success(), String::from_utf8_lossy(&said).into_owned())
        })
        .await
        .unwrap()
    }

    async fn is_up_to_date(&self, login: &Login) {
        let (good, said) = self.prisma(login, "status").await;
        assert!(good && said.contains("Database schema is up to date!"), "{said}");
    }
}

const SET: [(&str, &str); 7] = [
    (
        "20260101000000_init",
        "-- CreateTable\nCREATE TABLE \"User\" (\n    \"id\" SERIAL NOT NULL,\n    \"email\" TEXT NOT NULL,\n    CONSTRAINT \"User_pkey\" PRIMARY KEY (\"id\")\n);\n",
    ),
    (
        "20260102000000_crlf",
        "CREATE TYPE \"Role\" AS ENUM ('A');\r\nALTER TABLE \"User\" ADD \"role\" \"Role\";\r\n",
    ),
    (
        "20260103000000_enum",
        "BEGIN;\nCREATE TYPE \"Role_new\" AS ENUM ('A', 'B');\nALTER TABLE \"User\" ALTER COLUMN \"role\" TYPE \"Role_new\" USING (\"role\"::text::\"Role_new\");\nDROP TYPE \"Role\";\nALTER TYPE \"Role_new\" RENAME TO \"Role\";\nCOMMIT;\n",
    ),
    (
        "20260104000000_index",
        "CREATE INDEX CONCURRENTLY \"User_email_idx\" ON \"User\"(\"email\");\n",
    ),
    (
        "20260105000000_function",
        "CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN NEW.email := 'a;b'; RETURN NEW; END; $$ LANGUAGE plpgsql;\nDO $$ BEGIN PERFORM 1; END $$;\n",
    ),
    ("20260106000000_empty", ""),
    (
        "20260106000001_unended",
        "ALTER TABLE \"User\" ADD \"unended\" INT -- no end of line",
    ),
];

/// What real projects do beyond that, and its effect on the next session.
const ODD: [(&str, &str); 6] = [
    (
        "20260110000000_batches",
        "DO $$ BEGIN FOR n IN 1..3 LOOP INSERT INTO \"User\" (\"email\") VALUES (n); COMMIT; END LOOP; END $$;",
    ),
    (
        "20260111000000_procedure",
        "CREATE PROCEDURE tidy() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM \"User\"; COMMIT; END $$;",
    ),
    ("20260112000000_call", "CALL tidy();"),
    (
        "20260113000000_reindex",
        "REINDEX (VERBOSE, CONCURRENTLY) INDEX \"User_email_idx\";",
    ),
    (
        "20260114000000_isolation",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;",
    ),
    (
        "20260115000000_path",
        "CREATE SCHEMA app; SET ROLE pg_monitor; RESET ROLE; DEALLOCATE ALL; ALTER ROLE CURRENT_USER SET search_path TO app, public;",
    ),
];

#[tokio::test]
async fn prisma_finds_our_work_up_to_date() {
    let server = server().await;
    let login = server.login("postgres");
    let all = [&SET[..], &ODD].concat();
    let project = Project::new(&all);
    let (good, said) = project.prisma(&login, "status").await;
    assert!(!good && said.contains("20260101000000_init"), "{said}");
    let role = TenantRole {
        name: "tenant".into(),
        password: "tenant".to_owned().into(),
    };
    ensure_tenant_role(
        &mut session(&login).await,
        &role,
        &TenantRights::default(),
        Sharing::Shared,
    )
    .await
    .unwrap();
    assert_eq!(project.folders().digest(), project.source().digest());
    migrate(&login, &project.folders()).await.unwrap();
    let project = Project::new(&[&all[..], &[("20260116000000_more", "CREATE TABLE app.more ();")]].concat());
    migrate(&login, &project.folders()).await.unwrap();
    project.is_up_to_date(&login).await;
    let (good, said) = project.prisma(&login, "deploy").await;
    assert!(good && said.contains("No pending migrations to apply"), "{said}");
    // A tenant's own Prisma sees the same.
    project.is_up_to_date(&login.as_user(role.name, role.password)).await;
}

#[tokio::test]
async fn we_go_on_from_prisma_and_prisma_from_us() {
    let server = server().await;
    let login = server.login("postgres");
    for end in 1..=SET.len() {
        let project = Project::new(&SET[..end]);
        if end % 2 == 0 {
            migrate(&login, &project.source()).await.unwrap();
        } else {
            let (good, said) = project.prisma(&login, "deploy").await;
            assert!(good, "{said}");
        }
        project.is_up_to_date(&login).await;
        let status = pending(&mut session(&login).await, &project.source()).await.unwrap();
        assert_eq!((status.applied, status.pending), (end, 0));
        assert_eq!(status.divergence, "");
    }
    // The operator makes the same table that Prisma makes.
    let columns = "SELECT string_agg(format('%s %s %s %s', attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)), ',' ORDER BY attnum) \
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = '_prisma_migrations'::regclass AND attnum > 0";
    let mut root = session(&login).await;
    let theirs = ask(&mut root, columns).await;
    execute(&mut root, "CREATE DATABASE ours").await.unwrap();
    let login = server.login("ours");
    migrate(&login, &Project::new(&SET[..1]).source()).await.unwrap();
    assert_eq!(ask(&mut session(&login).await, columns).await, theirs);
}

#[tokio::test]
async fn names_that_prisma_orders_in_another_way_are_told() {
    let server = server().await;
    let login = server.login("postgres");
    let mut names = ["zed", "20240101_a", "_x", "0_init", "Zed", "20240101_A"];
    let project = Project::new(&names.map(|name| (name, "SELECT 1;")));
    let (good, said) = project.prisma(&login, "deploy").await;
    assert!(good, "{said}");
    let mut root = session(&login).await;
    let order = "SELECT string_agg(migration_name, ' ' ORDER BY started_at) FROM _prisma_migrations";
    let theirs = ask(&mut root, order).await;
    names.sort_unstable();
    let displaced: Vec<_> = names
        .iter()
        .zip(theirs.split(' '))
        .filter(|(ours, theirs)| *ours != theirs)
        .map(|(ours, _)| *ours)
        .collect();
    assert_eq!(displaced, ["0_init", "20240101_A", "Zed", "_x", "zed"], "{theirs}");
    let status = pending(&mut root, &project.source()).await.unwrap();
    assert_eq!(
        status.divergence,
        "in another order for Prisma from 6.6 on: 0_init, 20240101_A, Zed and 2 more"
    );
}

/// As a product of some years has: tables, columns, indexes built concurrently, enums, functions, rows.
fn years() -> Vec<(String, String)> {
    (0..210)
        .map(|number| {
            let table = number / 7;
            let script = match number % 7 {
                0 => format!("CREATE TABLE t{table} (id serial PRIMARY KEY, name text NOT NULL DEFAULT 'a;b');"),
                1 => format!("CREATE TYPE e{table} AS ENUM ('A', 'B');\r\nALTER TABLE t{table} ADD kind e{table};\r\n"),
                2 => format!("-- one\nCREATE INDEX CONCURRENTLY t{table}_name ON t{table} (name);"),
                3 => format!("INSERT INTO t{table} (name) SELECT 'row ' || n FROM generate_series(1, 20) n;"),
                4 => format!(
                    "CREATE FUNCTION f{table}() RETURNS trigger AS $$ BEGIN NEW.name := 'x;'; RETURN NEW; END; $$ LANGUAGE plpgsql;\nCREATE TRIGGER g BEFORE UPDATE ON t{table} FOR EACH ROW EXECUTE FUNCTION f{table}();"
                ),
                5 => format!("BEGIN;\nALTER TYPE e{table} ADD VALUE 'C';\nCOMMIT;"),
                _ => format!("UPDATE t{table} SET kind = 'C' WHERE id = 1;\nALTER TABLE t{table} RENAME name TO \"Name\";"),
            };
            (format!("{}_step", 20_200_101_000_000_i64 + number), script)
        })
        .collect()
}

#[tokio::test]
async fn two_hundred_migrations_end_alike_whoever_applies_them() {
    let server = server().await;
    let ours = server.login("postgres");
    let set = years();
    let set: Vec<_> = set
        .iter()
        .map(|(name, script)| (name.as_str(), script.as_str()))
        .collect();
    let project = Project::new(&set);
    let status = migrate(&ours, &project.source()).await.unwrap();
    assert_eq!((status.applied, status.pending), (210, 0));
    project.is_up_to_date(&ours).await;

    let mut root = session(&ours).await;
    for database in ["theirs", "turns"] {
        execute(&mut root, &format!("CREATE DATABASE {database}"))
            .await
            .unwrap();
    }
    let (good, said) = project.prisma(&server.login("theirs"), "deploy").await;
    assert!(good, "{said}");
    assert_eq!(server.dump("postgres"), server.dump("theirs"));
    // By turns.
    let both = server.login("turns");
    for (turn, end) in [40, 90, 150, 210].into_iter().enumerate() {
        let part = Project::new(&set[..end]);
        if turn % 2 == 0 {
            let (good, said) = part.prisma(&both, "deploy").await;
            assert!(good, "{said}");
        } else {
            migrate(&both, &part.source()).await.unwrap();
        }
    }
    assert_eq!(server.dump("turns"), server.dump("theirs"));
}

#[tokio::test]
async fn two_operators_and_a_laptop_at_once_apply_each_migration_once() {
    let server = server().await;
    let login = server.login("postgres");
    let set = years();
    let set: Vec<_> = set[..35]
        .iter()
        .map(|(name, script)| (name.as_str(), script.as_str()))
        .collect();
    let project = Project::new(&set);
    let source = project.source();
    let operator = async || {
        loop {
            match migrate(&login, &source).await {
                Ok(status) => return status,
                Err(error) => assert_eq!(error.reason().as_str(), "MigrationLocked", "{error}"),
            }
        }
    };
    let (one, two, (laptop, said)) = tokio::join!(operator(), operator(), project.prisma(&login, "deploy"));
    assert_eq!((one.pending, two.pending), (0, 0));
    // Prisma gives up after ten seconds of waiting, or when an index that is built concurrently waits for its waiting session.
    let gives_up = ["P1002", "deadlock detected"];
    assert!(laptop || gives_up.iter().any(|why| said.contains(why)), "{said}");
    let mut root = session(&login).await;
    let rows = "SELECT format('%s %s', count(*), count(DISTINCT migration_name)) FROM _prisma_migrations";
    assert_eq!(ask(&mut root, rows).await, "35 35");
    project.is_up_to_date(&login).await;
}

#[tokio::test]
async fn each_stops_at_what_the_other_left_unfinished() {
    let server = server().await;
    let login = server.login("postgres");
    let failing = ("20260107000000_vacuum", "VACUUM nope;");
    let project = Project::new(&[SET[0], failing]);
    migrate(&login, &project.source()).await.unwrap_err();
    let (good, said) = project.prisma(&login, "deploy").await;
    assert!(!good && said.contains("P3009") && said.contains(failing.0), "{said}");
    // Ours is cured by a changed file.
    let project = Project::new(&[SET[0], (failing.0, "VACUUM \"User\";")]);
    migrate(&login, &project.source()).await.unwrap();
    project.is_up_to_date(&login).await;

    let project = Project::new(&[SET[0], (failing.0, ""), ("20260108000000_theirs", "SELECT nope;")]);
    let (good, said) = project.prisma(&login, "deploy").await;
    assert!(!good, "{said}");
    let error = migrate(&login, &project.source()).await.unwrap_err();
    assert!(
        error.to_string().contains("20260108000000_theirs, started at 20"),
        "{error}"
    );
}
