#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::catalog::{Catalog, Column, Relation, Sort};
use super::judge::PendingScript;
use super::known::KnownObjects;
use super::types::Type;
use super::{Finding, FindingKind, statements};
use FindingKind::*;

/// `members`: in use, with a column of each interesting type. `empty`: no rows. `auth.users`: in use,
/// not in the search path.
pub(super) fn catalog() -> Catalog {
    let column = |name: &str, modifier, required| Column {
        type_: Type::of_catalog("pg_catalog".into(), name.into(), modifier, false),
        required,
        ..Column::default()
    };
    let relation = |schema: &str, name: &str, filled| Relation {
        schema: schema.into(),
        name: name.into(),
        visible: schema == "public",
        filled,
        unique: name == "members_unique",
        sort: match name {
            "members_view" => Sort::View,
            "members_email" | "members_unique" => Sort::Index,
            _ => Sort::Table,
        },
        constraints: [("members_pkey".to_owned(), 'p'), ("members_check".to_owned(), 'c')].into(),
        columns: [
            ("id".to_owned(), column("int4", -1, true)),
            ("email".to_owned(), column("varchar", 104, false)),
            ("fee".to_owned(), column("numeric", ((10 << 16) | 2) + 4, false)),
            ("note".to_owned(), column("text", -1, false)),
        ]
        .into(),
        ..Relation::default()
    };
    Catalog {
        current: Some("public".into()),
        relations: vec![
            relation("public", "members", true),
            relation("public", "Concert", true),
            relation("public", "empty", false),
            relation("public", "members_view", true),
            relation("public", "sessions", true),
            relation("auth", "sessions", true),
            relation("public", "members_email", true),
            relation("public", "members_unique", true),
            relation("auth", "users", true),
        ],
        empty: false,
        user: Some("owner".into()),
        ..Catalog::default()
    }
}

/// Judged twice, as in a review: what a script creates later is known only then.
pub(super) fn findings_in(texts: &[&str], catalog: &Catalog) -> Vec<Finding> {
    let script = |(at, text): (usize, &&str)| PendingScript {
        migration: format!("m{}", at + 1),
        text: Arc::new((*text).to_owned()),
        committed: 0,
        kept: crate::migrate::run_mode::kept_of(text),
        makes: super::makes::Makes::default(),
    };
    let mut scripts: Vec<_> = texts.iter().enumerate().map(script).collect();
    let (_, _, makes) = statements::judge(&scripts, KnownObjects::default());
    for (script, makes) in scripts.iter_mut().zip(makes) {
        script.makes = makes;
    }
    statements::judge(&scripts, KnownObjects::new(catalog)).0
}

pub(super) fn findings(texts: &[&str]) -> Vec<Finding> {
    findings_in(texts, &catalog())
}

pub(super) fn kinds(text: &str) -> Vec<FindingKind> {
    findings(&[text]).iter().map(|finding| finding.kind).collect()
}

/// Statements, and what is found in them.
const STATEMENTS: &[(&str, &[FindingKind])] = &[
    // Statements that only add something.
    ("CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL)", &[]),
    ("ALTER TABLE members ADD COLUMN a text", &[]),
    ("ALTER TABLE members ADD COLUMN a text NOT NULL DEFAULT 'x'", &[]),
    (
        "ALTER TABLE members ADD COLUMN a timestamptz NOT NULL DEFAULT now()",
        &[],
    ),
    ("ALTER TABLE members ADD COLUMN a date DEFAULT CURRENT_DATE", &[]),
    ("INSERT INTO members (id) VALUES (1)", &[]),
    ("COMMENT ON TABLE members IS 'DROP TABLE members'", &[]),
    ("CREATE INDEX CONCURRENTLY i ON members (email)", &[]),
    (
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM members'",
        &[],
    ),
    (
        "CREATE TYPE colour AS ENUM ('red'); ALTER TYPE colour ADD VALUE 'blue'",
        &[],
    ),
    ("ALTER TABLE members ENABLE ROW LEVEL SECURITY", &[]),
    ("ALTER TABLE members VALIDATE CONSTRAINT c", &[]),
    ("ALTER TABLE members ALTER COLUMN id DROP DEFAULT", &[]),
    // DROP.
    ("DROP TABLE members", &[DropTable]),
    ("DROP TABLE public.members, empty CASCADE", &[DropTable, DropTable]),
    ("DROP TABLE IF EXISTS nobody", &[]),
    ("DROP TABLE nobody", &[DropTable]),
    ("DROP TABLE users", &[DropTable]),
    ("DROP TABLE IF EXISTS users", &[]),
    ("SET search_path = auth; DROP TABLE IF EXISTS users", &[DropTable]),
    (
        "SELECT pg_catalog.set_config('search_path', '', false); DROP TABLE IF EXISTS users",
        &[DropTable],
    ),
    ("DROP TABLE IF EXISTS auth.users", &[DropTable]),
    ("ALTER TABLE members DROP COLUMN email", &[DropColumn]),
    ("ALTER TABLE members DROP COLUMN IF EXISTS nothing", &[]),
    ("ALTER TABLE IF EXISTS nobody DROP COLUMN email", &[]),
    ("ALTER TABLE nobody DROP COLUMN email", &[DropColumn]),
    ("DROP SCHEMA app CASCADE", &[DropSchema]),
    ("DROP VIEW members_view", &[DropView]),
    ("DROP VIEW members_view; CREATE VIEW members_view AS SELECT 1", &[]),
    (
        "DROP VIEW members_view CASCADE; CREATE VIEW members_view AS SELECT 1",
        &[DropView],
    ),
    (
        "DROP VIEW members_view; CREATE VIEW members_view AS SELECT 1; DROP VIEW members_view",
        &[DropView],
    ),
    ("DROP MATERIALIZED VIEW members_view", &[DropMaterializedView]),
    ("DROP SEQUENCE members_email", &[DropSequence]),
    ("DROP TYPE colour", &[DropType]),
    ("CREATE TYPE colour AS ENUM ('red'); DROP TYPE colour", &[]),
    ("DROP DOMAIN d", &[DropType]),
    ("DROP EXTENSION postgis", &[DropExtension]),
    ("DROP FUNCTION f(int)", &[DropFunction]),
    (
        "DROP FUNCTION IF EXISTS f(); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        &[],
    ),
    (
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION f()",
        &[DropFunction],
    ),
    ("DROP TRIGGER t ON members", &[DropTrigger]),
    (
        "DROP TRIGGER t ON members; CREATE TRIGGER t BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION f()",
        &[],
    ),
    ("ALTER TABLE members DROP CONSTRAINT c", &[DropConstraint]),
    (
        "ALTER TABLE members DROP CONSTRAINT c; ALTER TABLE members ADD CONSTRAINT c CHECK (id > 0) NOT VALID",
        &[],
    ),
    (
        "ALTER TABLE members DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (id > 0) NOT VALID",
        &[],
    ),
    ("DROP OWNED BY ada", &[DropOwned]),
    ("DROP DATABASE other", &[DropDatabase]),
    ("DROP ROLE ada", &[DropRole]),
    ("DROP PUBLICATION p", &[DropOther]),
    ("DROP INDEX members_email", &[DropIndex]),
    ("DROP INDEX CONCURRENTLY members_email", &[]),
    ("DROP INDEX CONCURRENTLY members_unique", &[DropIndex]),
    ("CREATE TABLE new (id int); LOCK TABLE new", &[]),
    // Rows.
    ("TRUNCATE members, empty", &[Truncate]),
    ("DELETE FROM members", &[DeleteAll]),
    ("DELETE FROM members WHERE true", &[DeleteAll]),
    ("DELETE FROM members WHERE 1 = 1", &[DeleteAll]),
    ("DELETE FROM members WHERE email IS NULL", &[]),
    ("DELETE FROM empty", &[]),
    (
        "WITH gone AS (DELETE FROM members RETURNING *) SELECT * FROM gone",
        &[DeleteAll],
    ),
    (
        "INSERT INTO empty WITH gone AS (DELETE FROM members RETURNING id) SELECT * FROM gone",
        &[DeleteAll],
    ),
    ("EXPLAIN ANALYZE DELETE FROM members", &[DeleteAll]),
    ("EXPLAIN DELETE FROM members", &[]),
    ("UPDATE members SET note = 'x'", &[UpdateAll]),
    ("UPDATE members SET note = 'x' WHERE id = 1", &[]),
    (
        "MERGE INTO members m USING empty e ON m.id = e.id WHEN NOT MATCHED BY SOURCE THEN DELETE",
        &[DeleteAll],
    ),
    // Columns.
    ("ALTER TABLE members ALTER COLUMN email TYPE varchar(200)", &[]),
    ("ALTER TABLE members ALTER COLUMN email TYPE text", &[]),
    ("ALTER TABLE members ALTER COLUMN email TYPE varchar(20)", &[NarrowType]),
    (
        "ALTER TABLE members ALTER COLUMN email TYPE varchar(200) USING left(email, 3)",
        &[NarrowType],
    ),
    ("ALTER TABLE members ALTER COLUMN id TYPE bigint", &[RewriteTable]),
    (
        "ALTER TABLE members ALTER COLUMN id TYPE bigint USING id::bigint",
        &[RewriteTable],
    ),
    ("ALTER TABLE members ALTER COLUMN id TYPE smallint", &[NarrowType]),
    ("ALTER TABLE members ALTER COLUMN fee TYPE numeric(12,2)", &[]),
    ("ALTER TABLE members ALTER COLUMN fee TYPE int", &[NarrowType]),
    ("ALTER TABLE nobody ALTER COLUMN fee TYPE text", &[NarrowType]),
    ("ALTER TABLE empty ALTER COLUMN fee TYPE int", &[]),
    (
        "ALTER TABLE members ALTER COLUMN id TYPE bigint; ALTER TABLE members ALTER COLUMN id TYPE int",
        &[RewriteTable, NarrowType],
    ),
    ("ALTER TABLE members ALTER COLUMN note SET NOT NULL", &[RequireValue]),
    ("ALTER TABLE members ALTER COLUMN id SET NOT NULL", &[]),
    (
        "ALTER TABLE members ALTER COLUMN id DROP NOT NULL; ALTER TABLE members ALTER COLUMN id SET NOT NULL",
        &[RequireValue],
    ),
    ("ALTER TABLE empty ALTER COLUMN note SET NOT NULL", &[]),
    ("ALTER TABLE members ADD COLUMN a text NOT NULL", &[RequireValue]),
    (
        "ALTER TABLE members ADD COLUMN a text NOT NULL DEFAULT NULL",
        &[RequireValue],
    ),
    ("ALTER TABLE empty ADD COLUMN a text NOT NULL", &[]),
    (
        "ALTER TABLE members ADD COLUMN a uuid NOT NULL DEFAULT gen_random_uuid()",
        &[RewriteTable],
    ),
    ("ALTER TABLE members ADD COLUMN a serial NOT NULL", &[RewriteTable]),
    (
        "ALTER TABLE members ADD COLUMN a int GENERATED ALWAYS AS (id * 2) STORED",
        &[RewriteTable],
    ),
    (
        "ALTER TABLE members ADD COLUMN a int GENERATED ALWAYS AS (id * 2) VIRTUAL",
        &[],
    ),
    ("ALTER TABLE members ADD COLUMN a int UNIQUE", &[AddConstraint]),
    (
        "ALTER TABLE members ADD COLUMN a text; ALTER TABLE members DROP COLUMN a",
        &[],
    ),
    // Names and places.
    ("ALTER TABLE members RENAME TO people", &[Rename]),
    ("ALTER TABLE members RENAME COLUMN email TO mail", &[Rename]),
    ("ALTER TABLE members RENAME CONSTRAINT a TO b", &[]),
    ("ALTER INDEX members_email RENAME TO members_mail", &[]),
    ("ALTER TYPE colour RENAME TO color", &[Rename]),
    ("ALTER TYPE colour RENAME VALUE 'red' TO 'crimson'", &[Rename]),
    (
        "ALTER TABLE members RENAME TO old; DROP TABLE old",
        &[Rename, DropTable],
    ),
    (
        "ALTER TABLE members RENAME TO old; DROP TABLE IF EXISTS members",
        &[Rename],
    ),
    (
        "ALTER TABLE members RENAME COLUMN email TO mail; ALTER TABLE members ALTER COLUMN mail TYPE text",
        &[Rename],
    ),
    (
        "ALTER TABLE members SET SCHEMA app; DROP TABLE IF EXISTS app.members",
        &[MoveSchema, DropTable],
    ),
    ("ALTER FUNCTION f(int) SET SCHEMA app", &[MoveSchema]),
    ("ALTER TABLE members DETACH PARTITION empty", &[DetachPartition]),
    // Rights.
    ("ALTER TABLE members DISABLE ROW LEVEL SECURITY", &[DisableRowSecurity]),
    ("ALTER TABLE members NO FORCE ROW LEVEL SECURITY", &[DisableRowSecurity]),
    ("DROP POLICY p ON members", &[DropPolicy]),
    (
        "DROP POLICY p ON members; CREATE POLICY p ON members USING (true)",
        &[OpenPolicy],
    ),
    // Locks.
    ("CREATE INDEX i ON members (email)", &[CreateIndex]),
    ("CREATE UNIQUE INDEX i ON empty (email)", &[]),
    ("REINDEX TABLE members", &[Reindex]),
    ("REINDEX TABLE CONCURRENTLY members", &[]),
    ("REINDEX SCHEMA public", &[Reindex]),
    ("LOCK TABLE members", &[LockTable]),
    ("ALTER TABLE members ADD CONSTRAINT c CHECK (id > 0)", &[AddConstraint]),
    ("ALTER TABLE members ADD CONSTRAINT c CHECK (id > 0) NOT VALID", &[]),
    (
        "ALTER TABLE members ADD FOREIGN KEY (id) REFERENCES empty (id)",
        &[AddConstraint],
    ),
    ("ALTER TABLE members ADD PRIMARY KEY (id)", &[AddConstraint]),
    ("ALTER TABLE members ADD CONSTRAINT c UNIQUE USING INDEX i", &[]),
    ("ALTER TABLE members ADD CONSTRAINT c NOT NULL note", &[RequireValue]),
    ("ALTER TABLE empty ADD CONSTRAINT c CHECK (id > 0)", &[]),
    (
        "ALTER TABLE members ATTACH PARTITION members_email FOR VALUES IN (1)",
        &[AttachPartition],
    ),
    ("REFRESH MATERIALIZED VIEW members_email", &[Refresh]),
    ("CLUSTER members USING i", &[RewriteTable]),
    ("VACUUM FULL members", &[RewriteTable]),
    ("VACUUM (FULL) members", &[RewriteTable]),
    ("VACUUM members", &[]),
    ("ANALYZE members", &[]),
    ("ALTER TABLE members SET UNLOGGED", &[RewriteTable]),
    ("ALTER DOMAIN d SET NOT NULL", &[RequireValue]),
    // Statements that cannot be judged.
    (
        "DO $$ BEGIN CREATE TYPE x AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN null; END $$",
        &[],
    ),
    ("DO $$ BEGIN EXECUTE 'DR' || 'OP TABLE members'; END $$", &[Opaque]),
    ("DO $$ BEGIN delete from members; END $$", &[DeleteAll]),
    ("DO LANGUAGE plperl $$ 1 $$", &[Opaque]),
    ("CALL p()", &[Opaque]),
    ("EXECUTE p", &[Opaque]),
    ("DROP TABEL members", &[Unparsed]),
    ("BEGIN; DROP TABLE members; COMMIT", &[DropTable]),
];

#[test]
fn each_statement_is_what_it_is() {
    for (text, expected) in STATEMENTS {
        assert_eq!(kinds(text), *expected, "{text}");
    }
}

#[test]
fn what_the_same_plan_makes_is_no_loss() {
    assert!(
        findings(&[
            "CREATE TABLE concerts (id int, title text)",
            "CREATE INDEX i ON concerts (id); ALTER TABLE concerts ADD CONSTRAINT c CHECK (id > 0); \
             ALTER TABLE concerts ALTER COLUMN title SET NOT NULL; ALTER TABLE concerts DROP COLUMN title",
            "ALTER TABLE concerts RENAME TO shows; DELETE FROM shows; DROP INDEX i; DROP TABLE shows",
        ])
        .is_empty()
    );
    // IF NOT EXISTS does not create an object that already existed.
    let found = findings(&["CREATE TABLE IF NOT EXISTS members (id int)", "DROP TABLE members"]);
    assert_eq!(
        found.iter().map(|it| it.kind).collect::<Vec<_>>(),
        [FindingKind::DropTable]
    );
    // A name that the plan created does not hide a table of another schema either.
    let found = findings(&["CREATE TABLE app.members (id int)", "DROP TABLE members"]);
    assert_eq!(found.len(), 1);
}

#[test]
fn a_finding_says_where_and_what_and_no_value() {
    let found = findings(&[
        "-- first\nCREATE TABLE x (id int);\n\nALTER TABLE \"Concert\"\n  DROP COLUMN \"email\",\n  ALTER COLUMN fee TYPE int;\n",
        "\nDELETE FROM members WHERE 'hush' = 'hush';\nUPDATE members SET note = 'hush';\nSELECT 'hush' hush hush;\n",
    ]);
    let told: Vec<_> = found
        .iter()
        .map(|it| {
            (
                it.migration.as_str(),
                it.line,
                it.object.as_str(),
                it.statement.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told[..2],
        [
            (
                "m1",
                4,
                "\"Concert\".email",
                "ALTER TABLE \"Concert\" DROP COLUMN email"
            ),
            (
                "m1",
                4,
                "\"Concert\".fee",
                "ALTER TABLE \"Concert\" ALTER COLUMN fee TYPE int4 (from numeric(10,2))"
            ),
        ]
    );
    let kinds: Vec<_> = found[2..].iter().map(|it| (it.line, it.kind)).collect();
    assert_eq!(
        kinds,
        [
            (2, FindingKind::DeleteAll),
            (3, FindingKind::UpdateAll),
            (4, FindingKind::Unparsed)
        ]
    );
    assert!(!format!("{found:?}").contains("hush"));
}
