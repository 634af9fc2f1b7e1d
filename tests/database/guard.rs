//! What waits for a person's approval, against a real database.

#[path = "guard/attacks.rs"]
mod attacks_by_way_of_what_is_there;
#[path = "guard/kept.rs"]
mod kept_and_extensions;
#[path = "guard/reading.rs"]
mod reading_of_scripts;
#[path = "guard/ties.rs"]
mod ties_and_other_names;

use crate::support::{INIT, ask, execute, migrate, migrate_with, postgres::server, resolve, review, session, source};
use orchestra_operator::api::{Approval, Effect, ResolvedAs};
use orchestra_operator::migrate::guard::{Clearance, Consent, FindingKind, Review};
use orchestra_operator::migrate::{Options, Source};
use sqlx::PgConnection;

/// Of a tenant in use.
fn consent(approved: Option<&str>) -> Consent {
    Consent {
        policy: Approval::OnDestructive,
        effects: Effect::APPROVED.into(),
        approved: approved.map(ToOwned::to_owned),
        handed_over: true,
        prepared: false,
    }
}

fn options(consent: &Consent) -> Options {
    Options {
        consent: Some(consent.clone()),
        ..Options::default()
    }
}

async fn look(conn: &mut PgConnection, source: &Source, options: &Options) -> Review {
    review(conn, source, options).await.unwrap().unwrap()
}

async fn clearance(conn: &mut PgConnection, source: &Source, consent: &Consent) -> Clearance {
    look(conn, source, &options(consent)).await.clearance
}

#[tokio::test]
async fn what_was_approved_is_looked_at_again_under_the_lock() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let all = source(&[INIT, ("2_tidy", "DROP TABLE a;")]);
    let mut conn = session(&login).await;
    let asking = options(&consent(None));
    let first = look(&mut conn, &all, &asking).await;
    assert_eq!(first.clearance, Clearance::Waits);
    assert_eq!(first.plan.findings[0].kind, FindingKind::DropTable);
    assert_eq!(look(&mut conn, &all, &asking).await.plan, first.plan);

    let approved = consent(Some(&first.plan.digest));
    assert_eq!(clearance(&mut conn, &all, &approved).await, Clearance::Approved);
    // Somebody else is quicker.
    execute(&mut conn, "UPDATE _prisma_migrations SET checksum = repeat('b', 64)")
        .await
        .unwrap();
    let status = migrate_with(&login, &all, &options(&approved)).await.unwrap();
    assert_eq!((status.applied, status.pending), (1, 1));
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM a").await, "2");
    assert_eq!(
        ask(&mut conn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").await,
        "0"
    );

    let second = look(&mut conn, &all, &asking).await;
    assert_eq!(second.clearance, Clearance::Waits);
    assert_ne!(second.plan.digest, first.plan.digest);
    let approved = options(&consent(Some(&second.plan.digest)));
    let status = migrate_with(&login, &all, &approved).await.unwrap();
    assert_eq!((status.applied, status.pending), (2, 0));
}

/// A person's word on the history is no approval, and what it settles needs none.
#[tokio::test]
async fn what_is_resolved_is_not_pending_and_is_settled_with_what_is_approved() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let gone = ("2_gone", "DROP TABLE a;");
    let settled = Options {
        consent: Some(consent(None)),
        ..resolve("2_gone", ResolvedAs::Applied, None)
    };
    let mut conn = session(&login).await;
    let all = source(&[INIT, gone]);
    assert!(review(&mut conn, &all, &settled).await.unwrap().is_none());

    let all = source(&[INIT, gone, ("3_tidy", "DELETE FROM a;")]);
    let waiting = look(&mut conn, &all, &settled).await;
    assert_eq!((waiting.clearance, waiting.plan.pending.len()), (Clearance::Waits, 1));
    let status = migrate_with(&login, &all, &settled).await.unwrap();
    assert_eq!((status.applied, status.pending, status.unsettled), (2, 1, 1));
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM _prisma_migrations").await, "1");

    let approved = Options {
        consent: Some(consent(Some(&waiting.plan.digest))),
        ..settled
    };
    let status = migrate_with(&login, &all, &approved).await.unwrap();
    assert_eq!((status.applied, status.pending), (3, 0));
    assert_eq!(ask(&mut conn, "SELECT count(*) FROM a").await, "0");
}

/// What is behind the baseline was never run here, and is not looked at.
#[tokio::test]
async fn a_baseline_is_no_plan() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    execute(&mut conn, INIT.1).await.unwrap();
    let all = source(&[
        INIT,
        ("2_tidy", "DROP TABLE b;"),
        ("3_more", "ALTER TABLE a DROP COLUMN id;"),
    ]);
    let behind = |name: &str| Options {
        baseline: Some(name.to_owned()),
        consent: Some(consent(None)),
        ..Options::default()
    };
    assert!(review(&mut conn, &all, &behind("3_more")).await.unwrap().is_none());
    let waiting = look(&mut conn, &all, &behind("2_tidy")).await;
    assert_eq!(waiting.clearance, Clearance::Waits);
    let kinds: Vec<_> = waiting.plan.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::DropColumn]);
}

/// What an attempt before has committed is not run again, and not listed.
#[tokio::test]
async fn a_script_that_is_gone_on_with_is_judged_from_where_it_stands() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let mut conn = session(&login).await;
    let mixed = |last: &str| format!("DROP TABLE a;\nCREATE INDEX CONCURRENTLY c_id ON c (id);\n{last};");
    execute(&mut conn, "CREATE TABLE c (id int); INSERT INTO c VALUES (1), (1)")
        .await
        .unwrap();
    let script = mixed("ALTER TABLE c ADD UNIQUE (id)");
    let all = source(&[INIT, ("2_mixed", &script)]);
    let asking = options(&consent(None));
    let first = look(&mut conn, &all, &asking).await;
    assert_eq!(first.plan.findings[0].kind, FindingKind::DropTable);
    let approved = options(&consent(Some(&first.plan.digest)));
    migrate_with(&login, &all, &approved).await.unwrap_err();
    let second = look(&mut conn, &all, &asking).await;
    let kinds: Vec<_> = second.plan.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(
        (kinds, second.clearance),
        (vec![FindingKind::AddConstraint], Clearance::Free)
    );
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn the_guard_knows_what_is_in_the_database() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    let first = (
        "1_init",
        "CREATE TABLE filled (id int PRIMARY KEY, email varchar(40), fee numeric(10,2), tags varchar(9)[]);
         CREATE TABLE empty (id int, note text);
         CREATE TABLE parts (id int) PARTITION BY LIST (id);
         CREATE TABLE part PARTITION OF parts FOR VALUES IN (1);
         CREATE TABLE counted (id serial PRIMARY KEY); CREATE SEQUENCE numbers;
         CREATE SEQUENCE invoice_no; ALTER SEQUENCE invoice_no OWNED BY counted.id;
         ALTER TABLE filled ADD CONSTRAINT whole CHECK (id > 0); CREATE INDEX by_fee ON filled (fee);
         CREATE SCHEMA other; CREATE TABLE other.hidden (id int);
         DROP TABLE IF EXISTS nobody; DELETE FROM filled;",
    );
    // Nothing can be lost in a database that holds nothing.
    let in_use = consent(None);
    assert_eq!(clearance(&mut conn, &source(&[first]), &in_use).await, Clearance::Free);
    migrate(&login, &source(&[first])).await.unwrap();
    let drop = ("2_drop", "DROP TABLE filled;");
    let unused = Consent {
        handed_over: false,
        ..in_use.clone()
    };
    let prepared = Consent {
        prepared: true,
        ..unused.clone()
    };
    let all = source(&[first, drop]);
    assert_eq!(clearance(&mut conn, &all, &unused).await, Clearance::Free);
    assert_eq!(clearance(&mut conn, &all, &in_use).await, Clearance::Waits);
    execute(
        &mut conn,
        "INSERT INTO filled VALUES (1); INSERT INTO parts VALUES (1); INSERT INTO other.hidden VALUES (1)",
    )
    .await
    .unwrap();
    assert_eq!(clearance(&mut conn, &all, &unused).await, Clearance::Waits);
    // What is in a database that a template was applied to beforehand is the template's.
    assert_eq!(clearance(&mut conn, &all, &prepared).await, Clearance::Free);

    for (script, expected) in [
        ("ALTER TABLE filled ALTER COLUMN email TYPE varchar(50)", None),
        (
            "ALTER TABLE filled ALTER COLUMN email TYPE varchar(30)",
            Some(FindingKind::NarrowType),
        ),
        ("ALTER TABLE filled ALTER COLUMN fee TYPE numeric(12,2)", None),
        (
            "ALTER TABLE filled ALTER COLUMN fee TYPE numeric(12,4)",
            Some(FindingKind::RewriteTable),
        ),
        ("ALTER TABLE filled ALTER COLUMN tags TYPE varchar(20)[]", None),
        (
            "ALTER TABLE filled ALTER COLUMN tags TYPE varchar(2)[]",
            Some(FindingKind::NarrowType),
        ),
        ("ALTER TABLE filled ALTER COLUMN id SET NOT NULL", None),
        (
            "ALTER TABLE filled ALTER COLUMN fee SET NOT NULL",
            Some(FindingKind::RequireValue),
        ),
        ("ALTER TABLE empty ALTER COLUMN note SET NOT NULL", None),
        ("ALTER TABLE empty ADD COLUMN more int NOT NULL", None),
        (
            "ALTER TABLE filled ADD COLUMN more int NOT NULL",
            Some(FindingKind::RequireValue),
        ),
        // As Prisma changes an id to a text.
        (
            "ALTER TABLE counted DROP CONSTRAINT counted_pkey, ALTER COLUMN id DROP DEFAULT, ALTER COLUMN id SET DATA TYPE TEXT,
                 ADD CONSTRAINT counted_pkey PRIMARY KEY (id); DROP SEQUENCE counted_id_seq;",
            None,
        ),
        ("DROP SEQUENCE numbers", Some(FindingKind::DropSequence)),
        // The application may count with it.
        ("DROP SEQUENCE invoice_no", Some(FindingKind::DropSequence)),
        ("ALTER INDEX by_fee RENAME TO fees", None),
        ("ALTER INDEX filled RENAME TO junk", Some(FindingKind::Rename)),
        (
            "ALTER TABLE filled DROP CONSTRAINT whole, ADD CONSTRAINT whole CHECK (true) NOT VALID",
            Some(FindingKind::DropConstraint),
        ),
        (
            "ALTER TABLE filled DROP CONSTRAINT IF EXISTS odd, ADD CONSTRAINT odd CHECK (true) NOT VALID",
            None,
        ),
        ("CREATE INDEX ON empty (id)", None),
        ("CREATE INDEX ON filled (email)", Some(FindingKind::CreateIndex)),
        ("DELETE FROM parts", Some(FindingKind::DeleteAll)),
        ("DROP TABLE IF EXISTS hidden", None),
        ("DROP TABLE IF EXISTS other.hidden", Some(FindingKind::DropTable)),
        (
            "SET search_path = other; DROP TABLE IF EXISTS hidden",
            Some(FindingKind::DropTable),
        ),
    ] {
        let found = look(&mut conn, &source(&[first, ("2_next", script)]), &options(&in_use)).await;
        let found = found.plan.findings;
        assert_eq!(found.first().map(|finding| finding.kind), expected, "{script}");
    }
}

/// What a script's author can hide from a reader of its text, and what it does where it runs.
#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_hides_a_loss_really_loses_and_is_found() {
    let server = server().await;
    let ways: &[(&str, &str, FindingKind)] = &[
        (
            "a search path in FROM",
            "SELECT 1 FROM set_config('search_path', 'other', false); DROP TABLE IF EXISTS second;",
            FindingKind::DropTable,
        ),
        (
            "a prepared statement with a data-modifying WITH",
            "PREPARE p AS WITH x AS (DELETE FROM other.hidden RETURNING 1) SELECT count(*) FROM x; EXECUTE p;",
            FindingKind::DeleteAll,
        ),
        (
            "a rule",
            "CREATE RULE r AS ON INSERT TO a DO ALSO DELETE FROM other.hidden; INSERT INTO a VALUES (3);",
            FindingKind::DeleteAll,
        ),
        (
            "a trigger of the script",
            "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN TRUNCATE other.hidden; RETURN NEW; END $$;
             CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION t(); INSERT INTO a VALUES (3);",
            FindingKind::Truncate,
        ),
        (
            "a function of the script, called in a default",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql VOLATILE AS $$ DELETE FROM other.hidden; SELECT 1 $$;
             ALTER TABLE a ADD COLUMN n int DEFAULT f();",
            FindingKind::DeleteAll,
        ),
        (
            "a DO block",
            "DO $$ BEGIN FOR i IN 1..2 LOOP EXECUTE 'DELETE FROM other.hidden'; END LOOP; END $$;",
            FindingKind::DeleteAll,
        ),
        ("a computed text", "DO $$ BEGIN EXECUTE 'DELETE FR' || 'OM other.hidden'; END $$;", FindingKind::Opaque),
        ("a function of the database", "SELECT public.purge();", FindingKind::DeleteAll),
        ("a function of the database through another", "SELECT public.outer_purge();", FindingKind::DeleteAll),
        ("a field that is a call", "SELECT a.purge_for FROM a LIMIT 1;", FindingKind::DeleteAll),
        ("a trigger of the database", "INSERT INTO b VALUES (1);", FindingKind::DeleteAll),
        ("a rule of the database", "UPDATE c SET id = 2 WHERE id = 1;", FindingKind::DeleteAll),
    ];
    for (what, script, expected) in ways {
        let login = server.login("postgres");
        let mut conn = session(&login).await;
        execute(
            &mut conn,
            "DROP SCHEMA IF EXISTS other CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE SCHEMA other;
             CREATE TABLE other.hidden (id int); INSERT INTO other.hidden VALUES (1);
             CREATE TABLE other.second (); CREATE TABLE b (id int); CREATE TABLE c (id int); INSERT INTO c VALUES (1);
             CREATE FUNCTION purge() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM other.hidden; END $$;
             CREATE FUNCTION outer_purge() RETURNS void LANGUAGE sql AS 'SELECT purge()';
             CREATE FUNCTION of_trigger() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM outer_purge(); NEW.id := 5; RETURN NEW; END $$;
             CREATE TRIGGER t BEFORE INSERT ON b FOR EACH ROW EXECUTE FUNCTION of_trigger();
             CREATE RULE r AS ON UPDATE TO c DO ALSO DELETE FROM other.hidden;
             CREATE TABLE a (id int); INSERT INTO a VALUES (1), (2);
             CREATE FUNCTION purge_for(a) RETURNS int LANGUAGE sql AS 'DELETE FROM other.hidden; SELECT 1'",
        )
        .await
        .unwrap();
        let first = ("1_first", "SELECT 1;");
        migrate_with(&login, &source(&[first]), &behind(&["1_first"]))
            .await
            .unwrap();
        let all = source(&[first, ("2_next", script)]);
        let review = look(&mut conn, &all, &options(&consent(None))).await;
        let kinds: Vec<_> = review.plan.findings.iter().map(|finding| finding.kind).collect();
        assert!(kinds.contains(expected), "{what}: {kinds:?}");
        assert_eq!(review.clearance, Clearance::Waits, "{what}");
        assert_eq!(ask(&mut conn, "SELECT count(*) FROM other.hidden").await, "1");
        // Without the guard it does what was found.
        let left = if expected == &FindingKind::DropTable {
            "SELECT to_regclass('other.second') IS NULL"
        } else {
            "SELECT count(*) = 0 FROM other.hidden"
        };
        migrate(&login, &all).await.unwrap();
        assert_eq!(ask(&mut conn, left).await, "true", "{what}");
    }
}

fn behind(names: &[&str]) -> Options {
    Options {
        baseline: names.last().map(|name| (*name).to_owned()),
        ..Options::default()
    }
}

/// The class says for which effects `OnDestructive` asks.
#[tokio::test]
async fn the_effects_that_ask_are_those_of_the_class() {
    let server = server().await;
    let login = server.login("postgres");
    migrate(&login, &source(&[INIT])).await.unwrap();
    let mut conn = session(&login).await;
    let asks = |effects: &[Effect]| Consent {
        effects: effects.iter().copied().collect(),
        ..consent(None)
    };
    let opaque = source(&[INIT, ("2_opaque", "DO $$ BEGIN EXECUTE 'SELECT ' || 1; END $$;")]);
    let exposing = source(&[INIT, ("2_open", "ALTER TABLE a DISABLE TRIGGER ALL;")]);
    let granting = source(&[INIT, ("2_grant", "GRANT SELECT ON a TO pg_monitor;")]);
    for (source, effects, clearance) in [
        (&opaque, &Effect::APPROVED[..], Clearance::Waits),
        (&opaque, &[Effect::Destructive], Clearance::Free),
        (&exposing, &Effect::APPROVED, Clearance::Waits),
        (&exposing, &[Effect::Destructive], Clearance::Free),
        (&granting, &Effect::APPROVED, Clearance::Free),
        (&granting, &[Effect::Destructive, Effect::Granting], Clearance::Waits),
    ] {
        let review = look(&mut conn, source, &options(&asks(effects))).await;
        assert_eq!(review.clearance, clearance, "{effects:?}: {:?}", review.plan.findings);
        assert_eq!(review.plan.findings.len(), 1);
    }
    let text = look(&mut conn, &exposing, &options(&consent(None)))
        .await
        .plan
        .text("approve");
    let section = text
        .split("Statements that expose data or give rights:")
        .nth(1)
        .unwrap();
    assert!(
        section.contains("ALTER TABLE a DISABLE TRIGGER ALL (DisableTrigger, Exposing)"),
        "{text}"
    );
}
