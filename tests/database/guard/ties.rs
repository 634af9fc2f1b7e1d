//! Scripts that lose or show rows with another relation than their own, or behind a name, a type or a transaction that says
//! something else.

use super::attacks_by_way_of_what_is_there::{LEFT, SHOWN, all_are_found};
use super::*;

const PREPARE: &str = "PREPARE p AS DELETE FROM hidden; \
                       DO $$ BEGIN IF false THEN EXECUTE 'PREPARE p AS SELECT 1'; END IF; END $$; EXECUTE p";

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_is_lost_or_shown_with_another_relation_is_found() {
    let deletes = (FindingKind::DeleteAll, Effect::Destructive);
    let drops = (FindingKind::DropTable, Effect::Destructive);
    let opaque = (FindingKind::Opaque, Effect::Unknown);
    let generations = "CREATE TABLE root (id int, note text); CREATE TABLE mid () INHERITS (root)";
    let narrow = generations.replace(", note text", "");
    let shown = format!("{SHOWN}root");
    let key = "CREATE TABLE k (id int PRIMARY KEY); \
               ALTER TABLE hidden ADD FOREIGN KEY (id) REFERENCES k ON DELETE CASCADE NOT VALID";
    all_are_found(&[
        (
            "a new grandparent",
            "",
            &format!("{narrow}; ALTER TABLE hidden INHERIT mid; DELETE FROM root"),
            deletes,
            LEFT,
        ),
        (
            "a grandparent that is there",
            &narrow,
            "ALTER TABLE hidden INHERIT mid; TRUNCATE root",
            (FindingKind::Truncate, Effect::Destructive),
            LEFT,
        ),
        (
            "an open grandparent",
            "",
            &format!("{generations}; ALTER TABLE members INHERIT mid; GRANT SELECT ON root TO anon"),
            (FindingKind::Grant, Effect::Exposing),
            &shown,
        ),
        (
            "a partition of a partition",
            "",
            "CREATE TABLE root (id int) PARTITION BY LIST (id);
             CREATE TABLE mid PARTITION OF root DEFAULT PARTITION BY LIST (id);
             ALTER TABLE mid ATTACH PARTITION hidden DEFAULT; DROP TABLE root",
            drops,
            "SELECT to_regclass('public.hidden') IS NULL",
        ),
        (
            "a partition to which an update moves rows",
            "CREATE TABLE parts (id int) PARTITION BY LIST (id); CREATE TABLE one PARTITION OF parts FOR VALUES IN (1);
             INSERT INTO parts VALUES (1)",
            "CREATE TABLE two PARTITION OF parts FOR VALUES IN (2); UPDATE parts SET id = 2 WHERE id = 1; DROP TABLE two",
            drops,
            "SELECT count(*) = 0 FROM parts",
        ),
        (
            "a foreign key that cascades",
            "",
            &format!("{key}; INSERT INTO k VALUES (1); DELETE FROM k"),
            deletes,
            LEFT,
        ),
        (
            "a foreign key that is there",
            key,
            "INSERT INTO k VALUES (1); DELETE FROM k",
            deletes,
            LEFT,
        ),
        (
            "a foreign key that sets to NULL",
            "",
            &format!("{}; INSERT INTO k VALUES (1); DELETE FROM k", key.replace("CASCADE", "SET NULL")),
            deletes,
            "SELECT id IS NULL FROM hidden",
        ),
        (
            "a sequence that a column owns",
            "CREATE SEQUENCE numbers",
            "CREATE TABLE t (id int); ALTER SEQUENCE numbers OWNED BY t.id; DROP TABLE t",
            drops,
            "SELECT to_regclass('public.numbers') IS NULL",
        ),
        (
            "a trigger below a new view",
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION dynamic()",
            "CREATE VIEW v AS SELECT id FROM a; INSERT INTO v VALUES (1)",
            opaque,
            LEFT,
        ),
        (
            "a trigger that is enabled",
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION dynamic(); ALTER TABLE a DISABLE TRIGGER t",
            "ALTER TABLE a ENABLE TRIGGER t; INSERT INTO a VALUES (1)",
            opaque,
            LEFT,
        ),
    ])
    .await;
}

/// What was there before may go with a column or a constraint that the same script adds.
#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_goes_with_a_part_of_a_table_that_the_script_adds_is_found() {
    let drops = (FindingKind::DropColumn, Effect::Destructive);
    let no_sequence = "SELECT to_regclass('public.numbers') IS NULL";
    let view = "CREATE VIEW v AS SELECT id FROM members";
    let no_view = "SELECT to_regclass('public.v') IS NULL";
    all_are_found(&[
        (
            "a sequence that a new column of a table with rows owns",
            "CREATE SEQUENCE numbers",
            "ALTER TABLE members ADD COLUMN n int; ALTER SEQUENCE numbers OWNED BY members.n;
             ALTER TABLE members DROP COLUMN n",
            drops,
            no_sequence,
        ),
        (
            "a sequence that a column owns which a parent gave",
            "CREATE SEQUENCE numbers; CREATE TABLE root (id int); ALTER TABLE members INHERIT root",
            "ALTER TABLE root ADD COLUMN n int; ALTER SEQUENCE numbers OWNED BY members.n; ALTER TABLE root DROP COLUMN n",
            drops,
            no_sequence,
        ),
        (
            "a view that uses a new column",
            view,
            "ALTER TABLE members ADD COLUMN x int; CREATE OR REPLACE VIEW v AS SELECT id, x FROM members;
             ALTER TABLE members DROP COLUMN x CASCADE",
            drops,
            no_view,
        ),
        (
            "a restrictive policy that uses a new column",
            "CREATE POLICY every ON members TO anon USING (true);
             CREATE POLICY wall ON members AS RESTRICTIVE TO anon USING (false)",
            "ALTER TABLE members ADD COLUMN x int; ALTER POLICY wall ON members USING (x = 1);
             ALTER TABLE members DROP COLUMN x CASCADE",
            drops,
            &format!("{SHOWN}members"),
        ),
        (
            "a view that uses a column of a new table",
            view,
            "CREATE TABLE t (x int); CREATE OR REPLACE VIEW v AS SELECT id, x FROM members, t;
             ALTER TABLE t DROP COLUMN x CASCADE",
            drops,
            no_view,
        ),
        (
            "a view that groups by a new key",
            view,
            "CREATE TABLE t (id int CONSTRAINT k PRIMARY KEY, x int);
             CREATE OR REPLACE VIEW v AS SELECT id, x FROM t GROUP BY id; ALTER TABLE t DROP CONSTRAINT k CASCADE",
            (FindingKind::DropConstraint, Effect::Destructive),
            no_view,
        ),
    ])
    .await;
}

/// PostgreSQL takes a cast function, where there is one, instead of a value's text form. A refresh may leave nothing.
#[tokio::test]
async fn values_that_a_cast_function_or_a_refresh_loses_are_found() {
    let narrows = (FindingKind::NarrowType, Effect::Destructive);
    let moods =
        "CREATE TYPE mood AS ENUM ('good'); ALTER TABLE members ADD COLUMN m mood; UPDATE members SET m = 'good'";
    let cast = "CREATE FUNCTION f(mood) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT ''::text $$;
                CREATE CAST (mood AS text) WITH FUNCTION f(mood) AS ASSIGNMENT";
    let alter = "ALTER TABLE members ALTER COLUMN m TYPE text";
    let lost = "SELECT bool_and(m = '') FROM members";
    let of_array = cast.replace("(mood", "(mood[]");
    all_are_found(&[
        (
            "a cast of the script",
            moods,
            &format!("{cast}; {alter}"),
            narrows,
            lost,
        ),
        (
            "a cast that is there",
            &format!("{moods}; {cast}"),
            alter,
            narrows,
            lost,
        ),
        (
            "a cast that is there, in USING",
            &format!("{moods}; {cast}"),
            &format!("{alter} USING m::text"),
            narrows,
            lost,
        ),
        (
            "a cast from the type below a domain",
            &format!("{moods}; {cast}; CREATE DOMAIN feeling AS mood; ALTER TABLE members ALTER COLUMN m TYPE feeling"),
            alter,
            narrows,
            lost,
        ),
        (
            "a cast from an array",
            &format!("{moods}; {of_array}; ALTER TABLE members ALTER COLUMN m TYPE mood[] USING ARRAY[m]"),
            alter,
            narrows,
            lost,
        ),
        (
            "a refresh without data",
            "CREATE MATERIALIZED VIEW counts AS SELECT id FROM members",
            "REFRESH MATERIALIZED VIEW counts WITH NO DATA",
            (FindingKind::Refresh, Effect::Destructive),
            "SELECT NOT relispopulated FROM pg_class WHERE relname = 'counts'",
        ),
    ])
    .await;
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_is_lost_behind_a_name_a_type_or_a_transaction_is_found() {
    let deletes = (FindingKind::DeleteAll, Effect::Destructive);
    let opaque = (FindingKind::Opaque, Effect::Unknown);
    let wipe = "CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM hidden; SELECT 1'";
    all_are_found(&[
        ("a statement that may be prepared anew", "", PREPARE, deletes, LEFT),
        (
            "the parameter of a cursor",
            wipe,
            "DO $$ DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE 'SELECT 1' USING wipe(); END $$",
            deletes,
            LEFT,
        ),
        (
            "the value of a record",
            wipe,
            "DO $$ DECLARE r record := (SELECT row(wipe())); BEGIN END $$",
            opaque,
            LEFT,
        ),
        (
            "a field behind a subscript",
            "CREATE FUNCTION wipe(hidden) RETURNS int LANGUAGE sql AS 'DELETE FROM hidden; SELECT 1'",
            "SELECT (array_agg(h))[abs(1)].wipe FROM hidden h",
            deletes,
            LEFT,
        ),
        (
            "a function with another search path",
            "CREATE SCHEMA s; CREATE TABLE s.a (id int); INSERT INTO s.a VALUES (1);
             CREATE FUNCTION tidy() RETURNS void LANGUAGE plpgsql AS 'BEGIN DELETE FROM a; END'",
            "ALTER FUNCTION tidy() SET search_path = s; SELECT tidy()",
            deletes,
            "SELECT count(*) = 0 FROM s.a",
        ),
        (
            "a MERGE whose condition is on its source",
            "",
            "MERGE INTO hidden USING (SELECT 1 AS x) s ON s.x = 1 WHEN MATCHED THEN DELETE",
            deletes,
            LEFT,
        ),
        (
            "a type of the same name",
            "UPDATE members SET note = 'long'",
            "CREATE SCHEMA s; CREATE DOMAIN s.text AS varchar(1); ALTER TABLE members ALTER note TYPE s.text USING note::s.text",
            (FindingKind::NarrowType, Effect::Destructive),
            "SELECT bool_and(note = 'l') FROM members",
        ),
        (
            "a modifier in quotes",
            "UPDATE members SET note = 'long'",
            "ALTER TABLE members ALTER note TYPE pg_catalog.varchar('1') USING note::pg_catalog.varchar('1')",
            (FindingKind::NarrowType, Effect::Destructive),
            "SELECT bool_and(note = 'l') FROM members",
        ),
        (
            "a view of the settings",
            "CREATE SCHEMA s; CREATE TABLE s.second ()",
            "CREATE VIEW v AS SELECT * FROM pg_settings; UPDATE v SET setting = 's' WHERE name = 'search_path';
             DROP TABLE IF EXISTS second",
            opaque,
            "SELECT to_regclass('s.second') IS NULL",
        ),
        (
            "a policy that is taken back",
            "CREATE POLICY p ON members AS RESTRICTIVE TO anon USING (false)",
            "DROP POLICY p ON members; SAVEPOINT a; CREATE POLICY p ON members AS RESTRICTIVE USING (false); ROLLBACK TO a",
            (FindingKind::DropPolicy, Effect::Exposing),
            "SELECT count(*) = 0 FROM pg_policy",
        ),
    ])
    .await;
}

/// Of a hosted project's own schemas, what people have put there counts, and large objects do.
#[tokio::test]
async fn logins_and_large_objects_are_data_to_lose() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    let of_provider = "CREATE ROLE provider; CREATE SCHEMA auth; CREATE TABLE auth.users (id int);
         CREATE TABLE auth.schema_migrations (version text); INSERT INTO auth.schema_migrations VALUES ('1');
         ALTER TABLE auth.users OWNER TO provider; ALTER TABLE auth.schema_migrations OWNER TO provider";
    execute(&mut conn, of_provider).await.unwrap();
    let all = source(&[("1_first", "TRUNCATE auth.users CASCADE;")]);
    let unused = Consent {
        handed_over: false,
        ..consent(None)
    };
    assert_eq!(clearance(&mut conn, &all, &unused).await, Clearance::Free);
    execute(&mut conn, "INSERT INTO auth.users VALUES (1)").await.unwrap();
    assert_eq!(clearance(&mut conn, &all, &unused).await, Clearance::Waits);
    execute(&mut conn, "TRUNCATE auth.users").await.unwrap();
    assert_eq!(clearance(&mut conn, &all, &unused).await, Clearance::Free);
    execute(&mut conn, "SELECT lo_create(0)").await.unwrap();
    assert_eq!(clearance(&mut conn, &all, &unused).await, Clearance::Waits);
}
