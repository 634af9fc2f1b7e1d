//! Rows that are lost through another name than the table's.

use super::finding::FindingKind::*;
use super::tests::{findings, kinds};
use crate::api::Effect::{Destructive, Locking};

#[test]
fn rows_are_lost_by_other_names_too() {
    for (script, found) in [
        ("DELETE FROM members_view;", DeleteAll),
        ("CREATE VIEW v AS SELECT * FROM members; DELETE FROM v;", DeleteAll),
        (
            "MERGE INTO members USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE;",
            DeleteAll,
        ),
        ("TRUNCATE empty CASCADE;", Truncate),
        (
            "CREATE TABLE venue (id int PRIMARY KEY); TRUNCATE venue CASCADE;",
            Truncate,
        ),
        (
            "SET search_path TO public; ALTER TABLE sessions ADD phone text, DROP COLUMN IF EXISTS email;",
            DropColumn,
        ),
        (
            "SET search_path TO public; ALTER TABLE sessions ADD COLUMN IF NOT EXISTS email text; ALTER TABLE public.sessions DROP email;",
            DropColumn,
        ),
        (
            "SET search_path TO public; ALTER TABLE sessions ADD COLUMN IF NOT EXISTS email text; ALTER TABLE sessions ALTER email TYPE varchar(3);",
            NarrowType,
        ),
        (
            "DO $$ BEGIN SET search_path = auth; END $$; DROP TABLE IF EXISTS users;",
            DropTable,
        ),
        (
            "ALTER TABLE members DROP CONSTRAINT members_pkey CASCADE; ALTER TABLE members ADD CONSTRAINT members_pkey PRIMARY KEY (id);",
            DropConstraint,
        ),
    ] {
        assert!(kinds(script).contains(&found), "{script}: {:?}", kinds(script));
    }
    let parent = "CREATE TABLE ev (id int) PARTITION BY RANGE (id); ALTER TABLE ev ATTACH PARTITION members FOR VALUES FROM (1) TO (9);";
    assert_eq!(kinds(parent), [AttachPartition]);
    for (then, found) in [("DELETE FROM ev;", DeleteAll), ("DROP TABLE ev;", DropTable)] {
        assert_eq!(kinds(&format!("{parent} {then}")), [AttachPartition, found]);
    }
    let heir = "CREATE TABLE ev (id int); ALTER TABLE members INHERIT ev; TRUNCATE ev;";
    assert_eq!(kinds(heir), [Truncate]);
    // A plan may undo what it created itself.
    for script in [
        "CREATE VIEW v AS SELECT * FROM members; DROP VIEW v;",
        "CREATE TABLE ev (id int); TRUNCATE ev; DELETE FROM ev; ALTER TABLE ev DROP id; DROP TABLE ev;",
    ] {
        assert_eq!(kinds(script), [], "{script}");
    }
}

/// Names that another object gets or has, and objects that were only possibly created.
#[test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
fn what_was_there_is_lost_by_the_name_of_what_the_plan_made() {
    for (script, found) in [
        (
            "ALTER INDEX members RENAME TO junk; DROP TABLE IF EXISTS junk;",
            DropTable,
        ),
        (
            "SET search_path = app; CREATE INDEX members ON app.x (a); ALTER INDEX members RENAME TO junk; DROP TABLE IF EXISTS members;",
            DropTable,
        ),
        (
            "CREATE SCHEMA app; CREATE TABLE app.x(a int); CREATE INDEX members ON app.x(a); SET search_path = app; \
             DROP INDEX CONCURRENTLY members; SET search_path = public; DROP TABLE IF EXISTS members;",
            DropTable,
        ),
        (
            "DO $$ BEGIN IF false THEN ALTER TABLE members RENAME TO junk; END IF; END $$; DROP TABLE IF EXISTS members;",
            DropTable,
        ),
        (
            "CREATE SCHEMA app; CREATE TABLE app.users(); ALTER SCHEMA app RENAME TO old; ALTER SCHEMA auth RENAME TO app; DROP TABLE app.users;",
            DropTable,
        ),
        (
            "DO $$ BEGIN ALTER TABLE members ADD COLUMN email text; EXCEPTION WHEN duplicate_column THEN null; END $$; \
             ALTER TABLE members DROP COLUMN email;",
            DropColumn,
        ),
        (
            "DO $$ BEGIN CREATE TYPE c AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN null; END $$; DROP TYPE c;",
            DropType,
        ),
        (
            "CREATE TYPE c AS ENUM ('a'); SET search_path = app; DROP TYPE c;",
            DropType,
        ),
        (
            "CREATE TYPE app.x AS ENUM ('a'); ALTER TYPE app.x RENAME TO c; DROP TYPE c;",
            DropType,
        ),
        (
            "ALTER TABLE members ADD COLUMN IF NOT EXISTS id int CONSTRAINT members_pkey PRIMARY KEY; \
             ALTER TABLE members DROP CONSTRAINT members_pkey CASCADE;",
            DropConstraint,
        ),
        (
            "ALTER TABLE members ADD FOREIGN KEY (team_id) REFERENCES decoy(id) NOT VALID; \
             ALTER TABLE members DROP CONSTRAINT members_team_id_fkey;",
            DropConstraint,
        ),
        (
            "ALTER TABLE members DROP CONSTRAINT members_check, ADD CONSTRAINT members_check CHECK (true) NOT VALID;",
            DropConstraint,
        ),
        (
            "ALTER TABLE members DROP CONSTRAINT members_pkey, ADD CONSTRAINT members_pkey CHECK (true);",
            DropConstraint,
        ),
        (
            "ALTER TABLE members DROP CONSTRAINT members_pkey; ALTER TABLE members ADD CONSTRAINT members_pkey CHECK (true);",
            DropConstraint,
        ),
        (
            "ALTER TABLE members DROP CONSTRAINT members_check, ADD CONSTRAINT members_check CHECK (id > 0); \
             ALTER TABLE members DROP CONSTRAINT members_check;",
            DropConstraint,
        ),
        (
            "ALTER TABLE members ADD CONSTRAINT c CHECK (true) NOT VALID; ALTER TABLE members RENAME CONSTRAINT c TO d; \
             ALTER TABLE public.members RENAME CONSTRAINT members_pkey TO c; ALTER TABLE members DROP CONSTRAINT c CASCADE;",
            DropConstraint,
        ),
        (
            "ALTER TABLE members ADD CONSTRAINT c CHECK (true) NOT VALID; SET search_path = app; \
             ALTER TABLE members DROP CONSTRAINT c CASCADE;",
            DropConstraint,
        ),
        (
            "ALTER INDEX members_pkey RENAME TO c; ALTER TABLE members DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (true);",
            DropConstraint,
        ),
        (
            "ALTER TABLE members ADD CONSTRAINT c UNIQUE USING INDEX members_email; ALTER TABLE members DROP CONSTRAINT c;",
            DropConstraint,
        ),
        (
            "CREATE POLICY p ON members USING (false); ALTER POLICY p ON members RENAME TO q; \
             ALTER POLICY own ON members RENAME TO p; DROP POLICY p ON members;",
            DropPolicy,
        ),
        (
            "DROP TRIGGER t ON members; SET search_path = app; CREATE TRIGGER t BEFORE INSERT ON members EXECUTE FUNCTION f();",
            DropTrigger,
        ),
    ] {
        assert!(kinds(script).contains(&found), "{script}: {:?}", kinds(script));
    }
}

#[test]
fn what_the_plan_made_is_followed_through_renames() {
    for script in [
        "ALTER TABLE members ADD CONSTRAINT c CHECK (true) NOT VALID; ALTER TABLE members RENAME CONSTRAINT c TO d; \
         ALTER TABLE members DROP CONSTRAINT d;",
        "ALTER INDEX members_email RENAME TO mail; DROP INDEX CONCURRENTLY mail;",
        "CREATE TABLE t (a int); CREATE INDEX i ON t (a); ALTER INDEX i RENAME TO j; DROP INDEX j; DROP TABLE t;",
        "SET search_path = ''; CREATE TYPE app.c AS ENUM ('a'); ALTER TYPE app.c RENAME TO d; DROP TYPE app.d;",
    ] {
        assert_eq!(kinds(script), [], "{script}");
    }
}

#[test]
fn a_unique_index_is_lost_by_any_name() {
    let cases: [(&str, &[super::FindingKind]); 3] = [
        ("DROP INDEX CONCURRENTLY IF EXISTS public.members_unique", &[DropIndex]),
        (
            "ALTER INDEX members_unique RENAME TO other; DROP INDEX CONCURRENTLY other",
            &[DropIndex],
        ),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY i ON members (id); DROP INDEX CONCURRENTLY i",
            &[],
        ),
    ];
    for (text, found) in cases {
        assert_eq!(kinds(text), found, "{text}");
    }
}

#[test]
fn a_refresh_without_data_loses_the_rows() {
    for (script, effect) in [
        ("REFRESH MATERIALIZED VIEW members", Locking),
        ("REFRESH MATERIALIZED VIEW members WITH NO DATA", Destructive),
    ] {
        let found: Vec<_> = findings(&[script]).iter().map(|it| (it.kind, it.effect)).collect();
        assert_eq!(found, [(Refresh, effect)], "{script}");
    }
    assert_eq!(kinds("REFRESH MATERIALIZED VIEW empty WITH NO DATA"), []);
}
