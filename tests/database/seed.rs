//! Seeds against a real PostgreSQL: scripts, tables and variables, in one transaction with their record.

#[path = "seed/first.rs"]
mod first_statements;
#[path = "seed/refused.rs"]
mod refused_seeds;

use std::time::Duration;

use crate::support::{ask, execute, postgres::server, session};
use orchestra_operator::api::SeedPolicy::{self, OnChange, Once};
use orchestra_operator::api::condition::Reason;
use orchestra_operator::error::ErrorClass;
use orchestra_operator::migrate::{Error, Script, SeedOutcome, SeedSource, SeedVariables, Seeded, seed, seeded};
use orchestra_operator::postgres::Login;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{AssertSqlSafe, PgConnection};

const LIMIT: Duration = Duration::from_secs(30);
const EVIL: &str = "O'Neill \\ \\' \"'); DROP TABLE a; --\n$$ E'x' :'x' 🎻 \u{202e}é";

fn source(files: &[(&str, &str)]) -> SeedSource {
    let files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    SeedSource::read(files.collect()).unwrap()
}

fn named(name: &str) -> SeedVariables {
    let mut variables = SeedVariables::default();
    variables.set("display_name", name, "display_name");
    variables
}

async fn run(
    login: &Login,
    source: &SeedSource,
    variables: &SeedVariables,
    policy: SeedPolicy,
) -> Result<SeedOutcome, Error> {
    seed(session(login).await, source, variables, policy, None, LIMIT)
        .await
        .map(|(_, outcome)| outcome)
}

async fn once(login: &Login, files: &[(&str, &str)]) -> Result<SeedOutcome, Error> {
    run(login, &source(files), &named(EVIL), Once).await
}

async fn record(conn: &mut PgConnection) -> Seeded {
    seeded(conn).await.unwrap().expect("a seed is recorded")
}

#[tokio::test]
async fn seeds_once_or_not_at_all() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    execute(
        &mut conn,
        "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)",
    )
    .await
    .unwrap();
    let first = ("1.sql", "INSERT INTO a VALUES (2); SET search_path = '';");
    let error = once(&login, &[first, ("2.sql", "\nINSERT INTO a VALUES (1);")])
        .await
        .unwrap_err();
    assert_eq!(
        (error.class(), error.reason()),
        (ErrorClass::Invalid, Reason::SeedFailed)
    );
    assert!(
        error
            .to_string()
            .starts_with("seed 2.sql failed at line 2, column 1: duplicate key"),
        "{error}"
    );
    assert_eq!(seeded(&mut conn).await.unwrap(), None);
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM a").await, "1");

    let good = [first, ("2.sql", "INSERT INTO a VALUES (3);")];
    assert_eq!(once(&login, &good).await.unwrap(), SeedOutcome::Applied);
    let before = record(&mut conn).await;
    assert_eq!(before.digest, source(&good).digest(&named("")).unwrap());
    let other = [("1.sql", "INSERT INTO a VALUES (9);")];
    assert_eq!(once(&login, &other).await.unwrap(), SeedOutcome::AlreadySeeded(before));
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM a").await, "3");
}

#[tokio::test]
async fn on_change_runs_what_changed_and_keeps_all_digests() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    execute(&mut conn, "CREATE TABLE a (who text)").await.unwrap();
    let uses = source(&[("1.sql", "INSERT INTO a VALUES (:'display_name')")]);
    let fixed = source(&[("1.sql", "INSERT INTO a VALUES ('fixed')")]);
    let all = "SELECT string_agg(who, ' ') FROM a";
    for (seed, name, outcome, rows) in [
        (&uses, "one", true, "one"),
        (&uses, "one", false, "one"),
        (&uses, "two", true, "one two"),
        (&fixed, "two", true, "one two fixed"),
        (&fixed, "three", false, "one two fixed"),
        (&uses, "one", true, "one two fixed one"),
    ] {
        let ran = run(&login, seed, &named(name), OnChange).await.unwrap();
        assert_eq!(ran == SeedOutcome::Applied, outcome, "{name}: {ran:?}");
        assert_eq!(record(&mut conn).await.digest, seed.digest(&named(name)).unwrap());
        assert_eq!(ask(&mut conn, all).await, rows);
    }
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM stagesub.seed").await, "3");

    // A failure changes nothing, the record included; a clock that was set back does not matter.
    let before = record(&mut conn).await;
    let bad = source(&[("1.sql", "DELETE FROM a; SELECT nope")]);
    assert!(run(&login, &bad, &named(""), OnChange).await.is_err());
    assert_eq!(record(&mut conn).await, before);
    assert_eq!(ask(&mut conn, all).await, "one two fixed one");
    execute(
        &mut conn,
        "UPDATE stagesub.seed SET applied_at = applied_at + interval '1 year'",
    )
    .await
    .unwrap();
    run(&login, &fixed, &named(""), OnChange).await.unwrap();
    assert_eq!(record(&mut conn).await.digest, fixed.digest(&named("")).unwrap());
    // With Once whatever ran is enough.
    let ran = run(&login, &uses, &named("four"), Once).await.unwrap();
    assert!(matches!(ran, SeedOutcome::AlreadySeeded(_)), "{ran:?}");
}

#[tokio::test]
async fn variables_are_values_and_nothing_else() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    execute(&mut conn, "CREATE TABLE a (name text, length int, line text)")
        .await
        .unwrap();
    let script = "INSERT INTO a VALUES (:'display_name', length(:'display_name'), ':display_name');\n\
                  CREATE TABLE :\"display_name\" (id int);\nDO $$ BEGIN PERFORM ':x'::text; END $$;";
    let long = EVIL.repeat(2);
    for name in [EVIL, &EVIL[..40], &long] {
        let all = source(&[("1.sql", script)]);
        let ran = run(&login, &all, &named(name), OnChange).await;
        if name.len() > 63 {
            let error = ran.unwrap_err().to_string();
            assert!(
                error.starts_with("1.sql:2:14: the value of display_name is no name"),
                "{error}"
            );
            continue;
        }
        ran.unwrap();
        let same = sqlx::query_scalar::<_, bool>(
            "SELECT count(*) = 1 AND EXISTS (SELECT FROM pg_class WHERE relname = $1) FROM a \
             WHERE name = $1 AND length = length($1) AND line = ':display_name'",
        );
        assert!(same.bind(name).fetch_one(&mut conn).await.unwrap());
    }

    // A failure is placed where the file has it, whatever the values are.
    let odd = source(&[(
        "1.sql",
        "SELECT :'display_name', :'display_name',\n :'display_name', nope",
    )]);
    let error = run(&login, &odd, &named(EVIL), OnChange).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("seed 1.sql failed at line 2, column 19: column \"nope\""),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn any_value_comes_back_as_it_was() {
    let server = server().await;
    let login = server.login("postgres");
    let conn = tokio::sync::Mutex::new(session(&login).await);
    let script = Script::read("a.sql", b"SELECT :'display_name' AS :\"display_name\"".to_vec()).unwrap();
    let handle = tokio::runtime::Handle::current();
    let mut runner = TestRunner::new(Config::with_cases(400));
    let values = r#"([^\x00]|['"\\;$/*-]|--|\$\$|'\);|\\'|E'|:'x'|\n){1,30}"#;
    runner
        .run(&values, |value: String| {
            let Ok(rendered) = script.render(&named(&value)) else {
                // A name of more than 63 bytes.
                prop_assert!(value.len() > 63);
                return Ok(());
            };
            let found = tokio::task::block_in_place(|| {
                handle.block_on(async {
                    let (mut conn, mut found) = (conn.lock().await, Vec::new());
                    for conforming in ["on", "off"] {
                        let set = format!("SET standard_conforming_strings = {conforming}");
                        execute(&mut conn, &set).await.unwrap();
                        let rows = sqlx::raw_sql(AssertSqlSafe(rendered.text.clone()))
                            .fetch_all(&mut *conn)
                            .await
                            .unwrap();
                        let row = &rows[0];
                        assert_eq!((rows.len(), sqlx::Row::len(row)), (1, 1));
                        let name = sqlx::Column::name(&sqlx::Row::columns(row)[0]).to_owned();
                        found.push((sqlx::Row::get::<String, _>(row, 0), name));
                    }
                    found
                })
            });
            prop_assert_eq!(&found, &vec![(value.clone(), value.clone()), (value.clone(), value)]);
            Ok(())
        })
        .unwrap();
}

const TABLES: &str = "CREATE TABLE \"Member\" (id int PRIMARY KEY, \"full name\" text NOT NULL, born date, note text);
    CREATE TABLE part (id int GENERATED ALWAYS AS IDENTITY, member int REFERENCES \"Member\" (id), title text);
    CREATE SCHEMA app; CREATE TABLE app.pay (grade text, cents bigint CHECK (cents >= 0));";

#[tokio::test]
async fn tables_are_copied_in_their_turn() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    execute(&mut conn, TABLES).await.unwrap();
    let files = [
        (
            "10_Member.csv",
            "\u{feff}\"full name\",id,note\r\n\"Lind, \"\"Ada\"\"\",1,\r\nÅsa\u{1f3bb},2,\"two\r\nlines\"\r\n:'display_name',3,\"\"\r\n",
        ),
        ("20_born.sql", "UPDATE \"Member\" SET born = '1990-01-01' WHERE id < 3"),
        ("30_app.pay.csv", "grade,cents\nA,125000\nB,\n"),
        ("40_part.csv", "member,title,id\n1,Violin I,7"),
        (
            "50_empty.sql",
            "CREATE TEMPORARY TABLE staged (LIKE app.pay) ON COMMIT DROP",
        ),
        ("60_staged.csv", "grade,cents\nC,90000\n"),
        ("70_merge.sql", "INSERT INTO app.pay SELECT * FROM staged"),
    ];
    assert_eq!(once(&login, &files).await.unwrap(), SeedOutcome::Applied);
    for (query, value) in [
        (
            "SELECT string_agg(\"full name\", '|' ORDER BY id) FROM \"Member\"",
            "Lind, \"Ada\"|Åsa🎻|:'display_name'",
        ),
        ("SELECT note IS NULL FROM \"Member\" WHERE id = 1", "true"),
        ("SELECT note FROM \"Member\" WHERE id = 2", "two\r\nlines"),
        ("SELECT note = '' FROM \"Member\" WHERE id = 3", "true"),
        ("SELECT count(born) FROM \"Member\"", "2"),
        ("SELECT sum(cents) FROM app.pay", "215000"),
        ("SELECT id FROM part", "7"),
    ] {
        assert_eq!(ask(&mut conn, query).await, value, "{query}");
    }
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn a_broken_row_is_placed_and_not_shown() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    execute(&mut conn, TABLES).await.unwrap();
    execute(
        &mut conn,
        "CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'no %', NEW.title USING ERRCODE = '23514'; END $$;
         CREATE TRIGGER told BEFORE INSERT ON part FOR EACH ROW WHEN (NEW.title LIKE 'geheim%') EXECUTE FUNCTION told();
         CREATE TABLE act (data jsonb, raw text); CREATE FUNCTION casts() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN NEW.data := NEW.raw::jsonb; RETURN NEW; END $$;
         CREATE TRIGGER casts BEFORE INSERT ON act FOR EACH ROW WHEN (NEW.raw <> '') EXECUTE FUNCTION casts()",
    )
    .await
    .unwrap();
    let member = ("10_Member.csv", "id,full name\n1,Ada\n");
    for (file, text, says) in [
        (
            "20_Member.csv",
            "id,full name\n2,Bo\ngeheim,Cleo\n",
            "20_Member.csv failed at line 3, column id: invalid input syntax for type integer: \"…\" (SQLSTATE 22P02)",
        ),
        (
            "20_Member.csv",
            "id,full name\n2,\"geheim\nBo\"\n3,\n",
            "20_Member.csv failed at line 4, column full name: null value in column \"full name\"",
        ),
        (
            "20_Member.csv",
            "id,full name\n2,Bo\n1,geheim\n",
            "20_Member.csv failed at line 3: duplicate key value violates unique constraint \"Member_pkey\" (SQLSTATE 23505)",
        ),
        (
            "20_Member.csv",
            "id,full name,born\n2,Bo,1990-13-45\n",
            "20_Member.csv failed at line 2, column born: date/time field value out of range: \"…\" (SQLSTATE 22008)",
        ),
        (
            "20_Member.csv",
            "id,full name\n2\n",
            "20_Member.csv failed at line 2: missing data for column \"full name\" (SQLSTATE 22P04)",
        ),
        (
            "20_Member.csv",
            "id,full name\n2,Bo,geheim\n",
            "20_Member.csv failed at line 2: extra data after last expected column (SQLSTATE 22P04)",
        ),
        (
            "20_Member.csv",
            "id,full name\n2,\"geheim\n",
            "20_Member.csv failed at line 3: unterminated CSV quoted field (SQLSTATE 22P04)",
        ),
        (
            "20_part.csv",
            "title,member\nx,1\nVerdi,4711\n",
            "20_part.csv failed at line 3, column member: insert or update on table \"part\" violates foreign key constraint \"part_member_fkey\" (SQLSTATE 23503)",
        ),
        (
            "20_part.csv",
            "title,member\nx,1\ngeheim,1\n",
            "20_part.csv failed at line 3: a trigger or a function refused the row (SQLSTATE 23514)",
        ),
        (
            "20_act.csv",
            "data\n{}\n{geheim: 1}\n",
            "20_act.csv failed at line 3, column data: invalid input syntax for type json (SQLSTATE 22P02)",
        ),
        (
            "20_act.csv",
            "raw\ngeheim\n",
            "20_act.csv failed at line 2: a trigger or a function refused the row (SQLSTATE 22P02)",
        ),
        (
            "20_app.pay.csv",
            "grade,cents\nA,-5\n",
            "20_app.pay.csv failed at line 2: new row for relation \"pay\" violates check constraint \"pay_cents_check\" (SQLSTATE 23514)",
        ),
        (
            "20_nowhere.csv",
            "id\n1\n",
            "20_nowhere.csv failed at line 1: relation \"nowhere\" does not exist (SQLSTATE 42P01)",
        ),
        (
            "20_member.csv",
            "id\n1\n",
            "20_member.csv failed at line 1: relation \"member\" does not exist (SQLSTATE 42P01)",
        ),
        (
            "20_Member.csv",
            "id,\"x\"\") FROM STDIN; DROP TABLE part; --\"\n1,2\n",
            "20_Member.csv failed at line 1: column \"x\") FROM STDIN; DROP TABLE part; --\" of relation \"Member\" does not exist",
        ),
    ] {
        let error = once(&login, &[member, (file, text)]).await.unwrap_err();
        assert_eq!(
            (error.class(), error.reason()),
            (ErrorClass::Invalid, Reason::SeedFailed)
        );
        let error = error.to_string();
        assert!(error.starts_with(&format!("seed {says}")), "{error}\nwanted {says}");
        for value in ["geheim", "4711", "1990"] {
            assert!(!error.contains(value), "{error}");
        }
        assert_eq!(ask(&mut conn, "SELECT count(*) FROM \"Member\"").await, "0", "{says}");
        assert_eq!(seeded(&mut conn).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_killed_session_leaves_nothing() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    execute(&mut conn, "CREATE TABLE a (id int)").await.unwrap();
    let slow = source(&[
        ("1_a.csv", "id\n1\n2\n"),
        ("2.sql", "INSERT INTO a VALUES (3); SELECT pg_sleep(60)"),
    ]);
    let task = tokio::spawn({
        let login = login.clone();
        async move { run(&login, &slow, &SeedVariables::default(), Once).await }
    });
    let sleeper = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while ask(&mut conn, &format!("SELECT count(*) {sleeper}")).await == "0" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    execute(&mut conn, &format!("SELECT pg_terminate_backend(pid) {sleeper}"))
        .await
        .unwrap();
    let error = task.await.unwrap().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM a").await, "0");
    assert_eq!(seeded(&mut conn).await.unwrap(), None);
}
