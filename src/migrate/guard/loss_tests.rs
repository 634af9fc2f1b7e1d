//! Rows that are lost by another name than the table's.

use super::finding::FindingKind::*;
use super::tests::kinds;

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
    // What the plan makes, it may undo.
    for script in [
        "CREATE VIEW v AS SELECT * FROM members; DROP VIEW v;",
        "CREATE TABLE ev (id int); TRUNCATE ev; DELETE FROM ev; ALTER TABLE ev DROP id; DROP TABLE ev;",
    ] {
        assert_eq!(kinds(script), [], "{script}");
    }
}
