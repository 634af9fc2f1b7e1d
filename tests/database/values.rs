//! What a failure tells of the rows of a database.

use crate::support::{execute, migrate, postgres::server, session, source};

const TABLES: &str = "\
CREATE TABLE words (word text, lines text); INSERT INTO words VALUES ('geheim', E'SELECT 1\\nFROM geheim');
CREATE TABLE members (id int, mail text);
CREATE VIEW few AS SELECT * FROM members WHERE id < 5 WITH CHECK OPTION;
CREATE TABLE parts (word text) PARTITION BY LIST (word);
CREATE FUNCTION of_row() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DROP TABLE ' || (SELECT word FROM words); END $$;
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT ' || NEW.word; RETURN NEW; END $$;
CREATE TABLE fires (word text); CREATE TRIGGER told BEFORE INSERT ON fires FOR EACH ROW EXECUTE FUNCTION told();";

/// Code that runs a text which it makes of a row.
fn executes(text: &str) -> String {
    format!(
        "DO $$ DECLARE w text := (SELECT word FROM words); l text := (SELECT lines FROM words); BEGIN EXECUTE {text}; END $$"
    )
}

#[tokio::test]
async fn no_failure_of_a_script_tells_a_value_of_a_row() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[("0_tables", TABLES)])).await.unwrap();
    for (sqlstate, script) in [
        ("44000", "INSERT INTO few SELECT 9, word FROM words".to_owned()),
        ("23514", "INSERT INTO parts SELECT word FROM words".to_owned()),
        ("22P02", "SELECT word::int FROM words".to_owned()),
        ("42601", executes("'SELEC ' || w || ' x'")),
        ("42601", executes("w")),
        ("42601", executes("'SELECT ''' || w")),
        ("42601", executes("'SELECT \"' || w")),
        ("42P01", executes("'SELECT 1 FROM ' || w")),
        ("42P01", executes("'DROP TABLE ' || w")),
        ("42P01", executes("l")),
        ("42703", executes("'SELECT ' || w")),
        ("42703", executes("'SELECT m.' || w || ' FROM members m'")),
        ("42883", executes("'SELECT ' || w || '(1)'")),
        ("42704", executes("'DROP ROLE ' || w")),
        ("42704", executes("'SELECT NULL::' || w")),
        ("3F000", executes("'DROP SCHEMA ' || w")),
        ("42P01", "SELECT of_row()".to_owned()),
        ("42703", "INSERT INTO fires SELECT word FROM words".to_owned()),
    ] {
        let told = failure(&login, &script).await;
        assert!(told.contains(sqlstate), "{script}: {told}");
        assert!(!told.contains("geheim"), "{script}: {told}");
        assert!(told.contains("line 1"), "{script}: {told}");
    }
    // What stands in the script is told, also in code, and what its author raises.
    for (script, says) in [
        ("DROP TABLE missing", "table \"missing\" does not exist"),
        ("SELECT 1 FROM missing", "relation \"missing\" does not exist"),
        ("CREATE TABEL a ()", "at or near \"TABEL\""),
        (
            "DO $$ BEGIN DROP TABLE missing; END $$",
            "table \"missing\" does not exist",
        ),
        (
            "DO $$ BEGIN PERFORM 1\nFROM missing; END $$",
            "relation \"missing\" does not exist",
        ),
        (
            "DO $$ BEGIN EXECUTE 'DROP TABLE missing'; END $$",
            "table \"missing\" does not exist",
        ),
        (
            "DO $$ BEGIN RAISE EXCEPTION 'member % has no mail', 7; END $$",
            "member 7 has no mail",
        ),
    ] {
        let told = failure(&login, script).await;
        assert!(told.contains(says), "{script}: {told}");
    }
}

async fn failure(login: &orchestra_operator::postgres::Login, script: &str) -> String {
    let all = source(&[("0_tables", TABLES), ("1_a", script)]);
    let failed = migrate(login, &all).await.unwrap_err().to_string();
    // The failure of a script that runs as a whole is recorded.
    execute(
        &mut session(login).await,
        "DELETE FROM _prisma_migrations WHERE migration_name = '1_a'",
    )
    .await
    .unwrap();
    failed
}
