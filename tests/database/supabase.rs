//! The real Supabase CLI judges: what the operator applied is up to date for it, and the other way round.

use std::process::Command;
use std::time::Duration;

use crate::support::{ask, execute, migrate, npm::installed, pending, postgres::server, session, source_of};
use orchestra_operator::api::{MigrationFormat, SeedPolicy};
use orchestra_operator::migrate::{Error, SeedSource, SeedVariables, Source, seed};
use orchestra_operator::postgres::Login;
use secrecy::ExposeSecret;

/// A project's folder, with `supabase/migrations/`.
struct Project(tempfile::TempDir);

impl Project {
    fn new(migrations: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("supabase/migrations");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, sql) in migrations {
            std::fs::write(folder.join(format!("{name}.sql")), sql).unwrap();
        }
        Self(dir)
    }

    /// `supabase <what>`: whether it exited with 0, and what it said.
    async fn supabase(&self, login: &Login, what: &[&str]) -> (bool, String) {
        let home = installed("supabase", &["package.json", "package-lock.json"]);
        let url = format!("--remote={}", login.url().expose_secret());
        let mut command = Command::new(home.join("node_modules/@supabase/cli-linux-x64/bin/supabase"));
        command
            .args(["--agent", "no", "--yes", "--workdir"])
            .arg(self.0.path())
            .args(what)
            .arg(url)
            .env("HOME", self.0.path())
            .envs([
                ("DO_NOT_TRACK", "1"),
                ("SUPABASE_TELEMETRY_DISABLED", "1"),
                ("NO_COLOR", "1"),
            ]);
        let out = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let said = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    async fn push(&self, login: &Login) {
        let (good, said) = self.supabase(login, &["db", "push"]).await;
        assert!(good, "{said}");
    }

    async fn is_up_to_date(&self, login: &Login) {
        for what in [
            &["db", "push", "--dry-run"][..],
            &["db", "push", "--dry-run", "--include-all"],
        ] {
            let (good, said) = self.supabase(login, what).await;
            assert!(good && said.contains("is up to date"), "{said}");
        }
    }
}

fn source(migrations: &[(&str, &str)]) -> Source {
    source_of(MigrationFormat::Supabase, migrations)
}

const SET: [(&str, &str); 7] = [
    (
        "20260101000000_init",
        "-- what everything stands on\nCREATE TABLE public.users (\n    id serial PRIMARY KEY,\n    email text NOT NULL\n);\n\n-- the first\nINSERT INTO public.users (email) VALUES ('a;b@example.org');\n",
    ),
    (
        "20260102000000_crlf",
        "CREATE TYPE public.role AS ENUM ('A');\r\nALTER TABLE public.users ADD role public.role;\r\n",
    ),
    (
        "20260103000000_function",
        "CREATE FUNCTION public.f() RETURNS trigger AS $$ BEGIN NEW.email := 'a;b'; RETURN NEW; END; $$ LANGUAGE plpgsql;\nDO $$ BEGIN PERFORM 1; END $$;\n-- the end\n",
    ),
    (
        "20260104000000_index",
        "CREATE INDEX CONCURRENTLY users_email ON public.users (email);\n",
    ),
    ("20260105000000_comment", "-- nothing but a comment\n"),
    (
        "20260106000000_escapes",
        "INSERT INTO public.users (email) VALUES (E'it\\'s; fine');\nSELECT 1;;\n\n  SELECT 2 ;  \n",
    ),
    ("20260107000000_no_end", "CREATE TABLE public.parts (id int)"),
];

/// Everything that the history holds.
const ROWS: &str = "SELECT string_agg(format('%s|%s|%s', version, name, to_json(statements)), E'\\n' ORDER BY version) \
    FROM supabase_migrations.schema_migrations";

/// How its tables are made.
const TABLES: &str = "SELECT string_agg(format('%s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull), \
    ',' ORDER BY attrelid::regclass::text, attnum) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid \
    JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'supabase_migrations' AND relkind = 'r' AND attnum > 0";

#[tokio::test]
async fn the_cli_finds_our_work_up_to_date_and_writes_the_same() {
    let server = server().await;
    let ours = server.login("postgres");
    let project = Project::new(&SET);
    migrate(&ours, &source(&SET)).await.unwrap();
    project.is_up_to_date(&ours).await;

    let mut root = session(&ours).await;
    execute(&mut root, "CREATE DATABASE theirs").await.unwrap();
    let theirs = server.login("theirs");
    project.push(&theirs).await;
    let mut there = session(&theirs).await;
    for what in [ROWS, TABLES] {
        assert_eq!(ask(&mut root, what).await, ask(&mut there, what).await);
    }
    assert_eq!(server.dump("postgres"), server.dump("theirs"));
    let status = pending(&mut there, &source(&SET)).await.unwrap();
    assert_eq!(
        (status.applied, status.pending, status.divergence.as_str()),
        (SET.len(), 0, "")
    );
}

#[tokio::test]
async fn we_go_on_from_the_cli_and_the_cli_from_us() {
    let server = server().await;
    let login = server.login("postgres");
    for end in 1..=SET.len() {
        let project = Project::new(&SET[..end]);
        if end % 2 == 0 {
            migrate(&login, &source(&SET[..end])).await.unwrap();
        } else {
            project.push(&login).await;
        }
        project.is_up_to_date(&login).await;
        let status = pending(&mut session(&login).await, &source(&SET[..end])).await.unwrap();
        assert_eq!(
            (status.applied, status.pending, status.divergence.as_str()),
            (end, 0, "")
        );
    }
}

#[tokio::test]
async fn what_the_cli_refuses_we_refuse() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[SET[0], SET[2]])).await.unwrap();

    let late = &SET[..3];
    let (good, said) = Project::new(late).supabase(&login, &["db", "push"]).await;
    assert!(!good && said.contains("inserted before the last migration"), "{said}");
    let error = migrate(&login, &source(late)).await.unwrap_err().to_string();
    assert!(
        error.contains("20260102000000_crlf are older than the last one"),
        "{error}"
    );

    let gone = &SET[..1];
    let (good, said) = Project::new(gone).supabase(&login, &["db", "push"]).await;
    assert!(
        !good && said.contains("not found in local migrations directory"),
        "{said}"
    );
    let error = migrate(&login, &source(gone)).await.unwrap_err().to_string();
    assert!(
        error.contains("20260103000000 are applied and not in the source"),
        "{error}"
    );

    // An edited one neither of us applies again; only the operator says so.
    let edited = [(SET[0].0, "SELECT 'another';"), SET[2]];
    Project::new(&edited).is_up_to_date(&login).await;
    let status = migrate(&login, &source(&edited)).await.unwrap();
    assert_eq!(
        status.divergence,
        "changed since they were applied: 20260101000000_init"
    );

    // A failed one leaves nothing, and the CLI can apply it when it is cured.
    let failing = [
        SET[0],
        SET[2],
        ("20260108000000_bad", "CREATE TABLE t ();\nSELECT nope;"),
    ];
    let error = migrate(&login, &source(&failing)).await.unwrap_err().to_string();
    assert!(error.contains("20260108000000_bad failed at line 2"), "{error}");
    Project::new(&[SET[0], SET[2], ("20260108000000_bad", "CREATE TABLE t ();")])
        .push(&login)
        .await;
}

#[tokio::test]
async fn at_once_each_migration_is_applied_once_although_the_cli_takes_no_lock() {
    let server = server().await;
    let login = server.login("postgres");
    let set: Vec<_> = (0..40)
        .map(|number| {
            let script = format!("CREATE TABLE public.t{number} (id int);\nINSERT INTO public.t{number} VALUES (1);");
            (format!("{}_step", 20_260_101_000_000_i64 + number), script)
        })
        .collect();
    let set: Vec<_> = set.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    let project = Project::new(&set);
    let all = source(&set);
    // The CLI needs a moment to start: the operator waits until it has started.
    let operator = async {
        let mut root = session(&login).await;
        let begun = "SELECT to_regclass('supabase_migrations.schema_migrations') IS NOT NULL";
        while ask(&mut root, begun).await != "true" {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        loop {
            match migrate(&login, &all).await {
                Ok(status) => return status,
                // Whichever of the two was second at a migration, or waited for the other in a circle:
                // the next look finds it applied.
                Err(Error::Overtaken { .. }) => {}
                Err(Error::Failed(failure))
                    if ["42P07", "42710", "23505", "40P01"].contains(&failure.sqlstate.as_str()) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let (status, _) = tokio::join!(operator, project.supabase(&login, &["db", "push"]));
    assert_eq!((status.applied, status.pending), (40, 0));
    project.is_up_to_date(&login).await;
    let mut root = session(&login).await;
    let rows = "SELECT count(*) FROM supabase_migrations.schema_migrations";
    assert_eq!(ask(&mut root, rows).await, "40");
    for number in 0..40 {
        let rows = format!("SELECT count(*) FROM public.t{number}");
        assert_eq!(ask(&mut root, &rows).await, "1", "t{number}");
    }
}

/// What the CLI says of the seed, and what there is afterwards.
async fn push_with_seed(project: &Project, login: &Login) -> String {
    let (good, said) = project.supabase(login, &["db", "push", "--include-seed"]).await;
    assert!(good, "{said}");
    said
}

fn seed_source(files: &[(&str, &str)]) -> SeedSource {
    let files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    SeedSource::read(files.collect()).unwrap()
}

async fn seed_with(login: &Login, source: &SeedSource, policy: SeedPolicy) {
    let format = Some(MigrationFormat::Supabase);
    let limit = Duration::from_secs(30);
    seed(
        session(login).await,
        source,
        &SeedVariables::default(),
        policy,
        format,
        limit,
    )
    .await
    .unwrap();
}

const SEEDS: &str = "SELECT string_agg(path || ' ' || hash, ',' ORDER BY path) FROM supabase_migrations.seed_files";

#[tokio::test]
async fn seeds_are_recorded_as_the_cli_records_them() {
    const ROWS: &str = "INSERT INTO public.users (email) VALUES ('seed@example.org');\n";
    const USERS: &str = "SELECT count(*) FROM public.users";
    let server = server().await;
    let ours = server.login("postgres");
    let project = Project::new(&SET[..1]);
    std::fs::write(project.0.path().join("supabase/seed.sql"), ROWS).unwrap();
    let rows = seed_source(&[("seed.sql", ROWS)]);
    migrate(&ours, &source(&SET[..1])).await.unwrap();
    seed_with(&ours, &rows, SeedPolicy::Once).await;
    let mut here = session(&ours).await;
    assert_eq!(ask(&mut here, USERS).await, "2");
    let said = push_with_seed(&project, &ours).await;
    assert!(said.contains("is up to date"), "{said}");
    assert_eq!(ask(&mut here, USERS).await, "2");

    // The other way round, on another database.
    execute(&mut here, "CREATE DATABASE theirs").await.unwrap();
    let theirs = server.login("theirs");
    push_with_seed(&project, &theirs).await;
    let mut there = session(&theirs).await;
    assert_eq!(ask(&mut here, SEEDS).await, ask(&mut there, SEEDS).await);
    assert_eq!(ask(&mut here, TABLES).await, ask(&mut there, TABLES).await);
    seed_with(&theirs, &rows, SeedPolicy::OnChange).await;
    assert_eq!(ask(&mut there, USERS).await, "2", "what the CLI applied is applied");

    // Changed, it is applied again by OnChange, and the CLI finds it so.
    let changed = format!("{ROWS}-- changed\n");
    std::fs::write(project.0.path().join("supabase/seed.sql"), &changed).unwrap();
    seed_with(&theirs, &seed_source(&[("seed.sql", &changed)]), SeedPolicy::OnChange).await;
    assert_eq!(ask(&mut there, USERS).await, "3");
    let said = push_with_seed(&project, &theirs).await;
    assert!(said.contains("is up to date"), "{said}");
    assert_eq!(ask(&mut there, USERS).await, "3");
}
