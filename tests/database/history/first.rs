//! A script that takes the history away and is the first one, so that the history begins with it: nothing is kept of it,
//! and the next look at the database does not believe that it ran.

use super::*;

const CLEAN: (&str, &str) = (
    "20260901090000_clean_start/migration.sql",
    "-- Somebody's reset script that became the first migration.
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;

CREATE TABLE \"Member\" (
    \"id\" SERIAL NOT NULL,
    \"name\" TEXT NOT NULL,
    CONSTRAINT \"Member_pkey\" PRIMARY KEY (\"id\")
);
",
);
const SECTION: (&str, &str) = (
    "20260902090000_add_section/migration.sql",
    "ALTER TABLE \"Member\" ADD COLUMN \"section\" TEXT;\n",
);
const LOCK: (&str, &str) = ("migration_lock.toml", "provider = \"postgresql\"\n");

#[tokio::test]
async fn a_first_script_that_takes_the_history_away_leaves_nothing() {
    let server = server().await;
    let first = server.login("postgres");
    for (number, scripts) in [&[CLEAN][..], &[CLEAN, SECTION]].into_iter().enumerate() {
        let database = format!("f{number}");
        databases(&first, &[&database]).await;
        let login = server.login(&database);
        let files = scripts.iter().chain([&LOCK]);
        let files = files.map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        let all = Source::read(None, files.collect()).unwrap();
        assert_eq!((all.format(), all.len()), (MigrationFormat::Prisma, scripts.len()));
        // The second time is the attempt after somebody has asked for a look.
        for attempt in 1..=2 {
            let error = migrate(&login, &all).await.unwrap_err();
            assert!(
                matches!(&error, Error::HistoryGone { kept: false, .. }),
                "{database}, attempt {attempt}: {error}"
            );
            assert!(error.to_string().contains("20260901090000_clean_start"), "{error}");
            let mut conn = session(&login).await;
            let look = pending(&mut conn, &all).await.unwrap();
            assert!(!look.is_done(), "{database}, attempt {attempt}");
            assert_eq!(
                (look.applied, look.pending),
                (0, scripts.len()),
                "{database}, attempt {attempt}"
            );
            for (what, found) in [
                ("SELECT to_regclass('public.\"Member\"')", "NULL"),
                ("SELECT count(*) FROM pg_namespace WHERE nspname = 'public'", "1"),
                ("SELECT count(*) FROM public._prisma_migrations", "0"),
            ] {
                assert_eq!(ask(&mut conn, what).await, found, "{what}, attempt {attempt}");
            }
        }
    }
}
