//! Scripts that lose or show rows by way of what is already in the database, or of what reads like something else.

use super::*;

/// One way: its name, what is in the database, the script, what is found, and what is true where the script has run.
pub(super) type Way<'a> = (&'a str, &'a str, &'a str, (FindingKind, Effect), &'a str);

pub(super) const LEFT: &str = "SELECT count(*) = 0 FROM hidden";
pub(super) const SHOWN: &str = "SET ROLE anon; SELECT count(*) = 2 FROM ";

/// A server with the role of the Data API without a login.
async fn server_with_anon() -> crate::support::postgres::Server {
    let server = server().await;
    execute(&mut session(&server.login("postgres")).await, "CREATE ROLE anon")
        .await
        .unwrap();
    server
}

/// A database with two members behind row level security, and with a table whose rows nothing should lose.
async fn fill(login: &orchestra_operator::postgres::Login, prepared: &str) {
    let mut conn = session(login).await;
    execute(
        &mut conn,
        "DROP SCHEMA IF EXISTS s CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;
         ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM anon; GRANT USAGE ON SCHEMA public TO anon;
         CREATE TABLE members (id int PRIMARY KEY, note text); INSERT INTO members VALUES (1, 'a'), (2, 'b');
         ALTER TABLE members ENABLE ROW LEVEL SECURITY; GRANT SELECT ON members TO anon;
         CREATE TABLE hidden (id int); INSERT INTO hidden VALUES (1); CREATE TABLE a (id int);
         CREATE FUNCTION dyn() RETURNS bool LANGUAGE plpgsql AS
             $$ BEGIN EXECUTE 'DELETE FR' || 'OM hidden'; RETURN true; END $$;
         CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce(NEW, OLD); END $$;
         CREATE FUNCTION dynamic() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN EXECUTE 'DELETE FR' || 'OM hidden'; RETURN coalesce(NEW, OLD); END $$",
    )
    .await
    .unwrap();
    execute(&mut conn, prepared).await.unwrap();
    migrate_with(login, &source(&[("1_first", "SELECT 1;")]), &behind(&["1_first"]))
        .await
        .unwrap();
}

pub(super) async fn all_are_found(ways: &[Way<'_>]) {
    let server = server_with_anon().await;
    let login = server.login("postgres");
    for (what, prepared, script, expected, proof) in ways {
        fill(&login, prepared).await;
        let all = source(&[("1_first", "SELECT 1;"), ("2_next", *script)]);
        let mut conn = session(&login).await;
        let review = look(&mut conn, &all, &options(&consent(None))).await;
        let found: Vec<_> = review.plan.findings.iter().map(|it| (it.kind, it.effect)).collect();
        assert!(found.contains(expected), "{what}: {:?}", review.plan.findings);
        assert_eq!(review.clearance, Clearance::Waits, "{what}");
        // Without the guard it does what was found.
        migrate(&login, &all).await.unwrap();
        let (set, query) = proof.split_once("; ").unwrap_or(("SELECT 1", *proof));
        execute(&mut conn, set).await.unwrap();
        assert_eq!(ask(&mut conn, query).await, "true", "{what}");
    }
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_shows_rows_by_way_of_what_is_there_really_shows_them_and_is_found() {
    let granted = (FindingKind::Grant, Effect::Exposing);
    let policy = (FindingKind::AlterPolicy, Effect::Exposing);
    let definer = (FindingKind::SecurityDefiner, Effect::Exposing);
    let view = "CREATE VIEW v AS SELECT id FROM members WHERE false; GRANT SELECT ON v TO anon";
    let invoker = "CREATE VIEW v WITH (security_invoker) AS SELECT id FROM members; GRANT SELECT ON v TO anon";
    let admin = "CREATE FUNCTION is_admin() RETURNS bool LANGUAGE sql AS 'SELECT false'; \
                 CREATE POLICY p ON members TO anon USING (is_admin())";
    let [of_v, of_members] = ["v", "members"].map(|name| format!("{SHOWN}{name}"));
    let (of_v, of_members) = (of_v.as_str(), of_members.as_str());
    let leak = "CREATE FUNCTION leak() RETURNS SETOF int LANGUAGE sql SECURITY DEFINER SET search_path = '' \
                AS 'SELECT id FROM public.members'";
    let called = format!("{SHOWN}leak()");
    let called = called.as_str();
    all_are_found(&[
        (
            "a view without its condition",
            view,
            "CREATE OR REPLACE VIEW v AS SELECT id FROM members",
            granted,
            of_v,
        ),
        (
            "a view of a view",
            &format!(
                "CREATE VIEW inside AS SELECT id FROM members WHERE false; {}",
                view.replace("members WHERE false", "inside")
            ),
            "CREATE OR REPLACE VIEW inside AS SELECT id FROM members",
            policy,
            of_v,
        ),
        (
            "a view that loses its option",
            invoker,
            "CREATE OR REPLACE VIEW v AS SELECT id FROM members",
            granted,
            of_v,
        ),
        (
            "an option that is off by another word",
            invoker,
            "ALTER VIEW v SET (security_invoker = n)",
            definer,
            of_v,
        ),
        (
            "the same by another statement",
            invoker,
            "ALTER TABLE v RESET (security_invoker)",
            definer,
            of_v,
        ),
        (
            "the rule of a view",
            view,
            "CREATE OR REPLACE RULE \"_RETURN\" AS ON SELECT TO v DO INSTEAD SELECT id FROM members",
            granted,
            of_v,
        ),
        (
            "a function of a policy",
            admin,
            "CREATE OR REPLACE FUNCTION is_admin() RETURNS bool LANGUAGE sql AS 'SELECT true'",
            policy,
            of_members,
        ),
        (
            "a function of a function of a policy",
            "CREATE FUNCTION helper() RETURNS bool LANGUAGE sql AS 'SELECT false';
             CREATE FUNCTION is_admin() RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN HELPER(); END';
             CREATE POLICY p ON members TO anon USING (is_admin())",
            "DROP FUNCTION helper(); CREATE FUNCTION helper() RETURNS bool LANGUAGE sql AS 'SELECT true'",
            policy,
            of_members,
        ),
        (
            "a view that a policy reads",
            "CREATE VIEW mine AS SELECT 1 AS id WHERE false; GRANT SELECT ON mine TO anon;
             CREATE POLICY p ON members TO anon USING (id IN (SELECT id FROM mine))",
            "CREATE OR REPLACE VIEW mine AS SELECT generate_series(1, 9) AS id",
            policy,
            of_members,
        ),
        (
            "an open parent",
            "",
            "CREATE TABLE v (id int, note text); GRANT SELECT ON v TO anon; ALTER TABLE members INHERIT v",
            granted,
            of_v,
        ),
        (
            "an open parent that is there",
            "CREATE TABLE v (id int, note text); GRANT SELECT ON v TO anon",
            "ALTER TABLE members INHERIT v",
            granted,
            of_v,
        ),
        (
            "default privileges",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO anon",
            "CREATE VIEW v AS SELECT id FROM members",
            granted,
            of_v,
        ),
        (
            "a table that everybody reads, filled in WITH",
            "CREATE TABLE v (id int); GRANT SELECT ON v TO anon",
            "WITH m AS (SELECT id FROM members), x AS (INSERT INTO v SELECT id FROM members RETURNING 1) SELECT 1",
            granted,
            of_v,
        ),
        (
            "a function in PL/pgSQL",
            "",
            "CREATE FUNCTION leak() RETURNS SETOF int LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' \
             AS $$ BEGIN RETURN QUERY SELECT id FROM public.members; END $$",
            definer,
            called,
        ),
        (
            "a function that gets the owner's rights later",
            "CREATE FUNCTION leak() RETURNS SETOF int LANGUAGE sql AS 'SELECT id FROM public.members'",
            "ALTER FUNCTION leak() SECURITY DEFINER SET search_path = ''",
            definer,
            called,
        ),
        (
            "a function that is closed and opened again",
            "",
            &format!("{leak}; REVOKE ALL ON FUNCTION leak() FROM PUBLIC; GRANT EXECUTE ON FUNCTION leak() TO anon"),
            granted,
            called,
        ),
        (
            "another function that is closed",
            "CREATE SCHEMA s; CREATE FUNCTION s.leak() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            &format!("{leak}; REVOKE ALL ON FUNCTION s.leak() FROM PUBLIC"),
            definer,
            called,
        ),
    ])
    .await;
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn what_loses_rows_by_way_of_what_is_there_really_loses_them_and_is_found() {
    let deletes = (FindingKind::DeleteAll, Effect::Destructive);
    let opaque = (FindingKind::Opaque, Effect::Unknown);
    let number = "CREATE FUNCTION n() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'; \
                  ALTER TABLE a ADD COLUMN n int DEFAULT n()";
    let purging = "CREATE OR REPLACE FUNCTION n() RETURNS int LANGUAGE plpgsql AS \
                   'BEGIN DELETE FROM hidden; RETURN 1; END'; INSERT INTO a (id) VALUES (1)";
    let chain: Vec<_> = (1..20)
        .map(|at| {
            format!(
                "CREATE FUNCTION f{at}() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM f{}(); END';",
                at + 1
            )
        })
        .collect();
    let chain = format!(
        "{} CREATE FUNCTION f20() RETURNS void LANGUAGE sql AS 'DELETE FROM hidden'",
        chain.concat()
    );
    all_are_found(&[
        ("a function that a default runs", number, purging, deletes, LEFT),
        (
            "the same in one script",
            "",
            &format!("{number}; {purging}"),
            deletes,
            LEFT,
        ),
        (
            "a function that a constraint runs",
            "CREATE FUNCTION n() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'; \
             ALTER TABLE a ADD CONSTRAINT c CHECK (n() = 1)",
            purging,
            deletes,
            LEFT,
        ),
        (
            "the condition of a trigger",
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW WHEN (dyn()) EXECUTE FUNCTION noop()",
            "INSERT INTO a VALUES (1)",
            opaque,
            LEFT,
        ),
        (
            "a trigger of a partition",
            "CREATE TABLE parts (id int) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF parts DEFAULT;
             CREATE TRIGGER t BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION dynamic()",
            "INSERT INTO parts VALUES (1)",
            opaque,
            LEFT,
        ),
        (
            "a trigger of the whole on a partition",
            "CREATE TABLE parts (id int) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF parts DEFAULT;
             CREATE TRIGGER t AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION dynamic()",
            "INSERT INTO part VALUES (1)",
            opaque,
            LEFT,
        ),
        (
            "a trigger of what a view reads",
            "CREATE VIEW w AS SELECT id FROM a; CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION dynamic()",
            "INSERT INTO w VALUES (1)",
            opaque,
            LEFT,
        ),
        (
            "a trigger behind a foreign key",
            "CREATE TABLE orders (id int REFERENCES members ON DELETE CASCADE); INSERT INTO orders VALUES (1);
             CREATE TRIGGER t BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION dynamic()",
            "DELETE FROM members WHERE id = 1",
            opaque,
            LEFT,
        ),
        (
            "a long way from function to function",
            &chain,
            "SELECT f1()",
            (FindingKind::Unjudged, Effect::Unknown),
            LEFT,
        ),
        (
            "a condition on another table",
            "INSERT INTO a VALUES (1)",
            "DELETE FROM hidden USING a WHERE a.id = 1",
            deletes,
            LEFT,
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_only_looks_like_it_does_not_wait() {
    let server = server_with_anon().await;
    let login = server.login("postgres");
    fill(
        &login,
        "CREATE VIEW v WITH (security_invoker) AS SELECT id FROM members; GRANT SELECT ON v TO anon;
         CREATE VIEW own AS SELECT id FROM members; CREATE TABLE open (id int); INSERT INTO open VALUES (1);
         GRANT SELECT ON open TO anon; CREATE TABLE target (id int); GRANT SELECT ON target TO anon;
         CREATE TABLE orders (id int REFERENCES members ON DELETE CASCADE);
         CREATE TRIGGER t AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION dynamic();
         CREATE FUNCTION price() RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
         CREATE TRIGGER s BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION stamp();
         CREATE POLICY p ON members TO anon USING (id = 0)",
    )
    .await;
    for script in [
        "CREATE OR REPLACE VIEW v WITH (security_invoker) AS SELECT id FROM members WHERE id > 0",
        "CREATE OR REPLACE VIEW own AS SELECT id FROM members WHERE id > 0",
        "INSERT INTO target SELECT id FROM open",
        "INSERT INTO members VALUES (3, 'c')",
        "CREATE OR REPLACE FUNCTION price() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN EXECUTE format('SELECT %L', TG_OP); RETURN NEW; END $$",
        "CREATE TEMP TABLE kept AS SELECT id FROM members",
        "DELETE FROM hidden h USING a WHERE h.id = a.id",
        "DELETE FROM hidden WHERE EXISTS (SELECT FROM a WHERE a.id = hidden.id)",
    ] {
        let all = source(&[("1_first", "SELECT 1;"), ("2_next", script)]);
        let review = look(&mut session(&login).await, &all, &options(&consent(None))).await;
        assert_eq!(
            review.clearance,
            Clearance::Free,
            "{script}: {:?}",
            review.plan.findings
        );
    }
}

/// What is beyond the most that is read may be anything.
#[tokio::test]
async fn triggers_and_functions_without_number_are_opaque() {
    let server = server().await;
    let login = server.login("postgres");
    let mut conn = session(&login).await;
    execute(
        &mut conn,
        "DO $$ BEGIN FOR f IN 1..30 LOOP EXECUTE format('CREATE FUNCTION t%s() RETURNS trigger LANGUAGE plpgsql AS \
             ''BEGIN RETURN NEW; END''', f); END LOOP; \
         FOR s IN 1..70 LOOP EXECUTE format('CREATE SCHEMA s%s; CREATE TABLE s%1$s.t (id int)', s); \
             FOR f IN 1..30 LOOP EXECUTE format('CREATE TRIGGER t%s BEFORE INSERT ON s%s.t EXECUTE FUNCTION t%1$s()', f, s); \
             END LOOP; END LOOP; END $$",
    )
    .await
    .unwrap();
    migrate_with(&login, &source(&[("1_first", "SELECT 1;")]), &behind(&["1_first"]))
        .await
        .unwrap();
    let all = source(&[("1_first", "SELECT 1;"), ("2_next", "INSERT INTO s1.t VALUES (1)")]);
    let review = look(&mut conn, &all, &options(&consent(None))).await;
    let found = &review.plan.findings;
    assert!(
        found
            .iter()
            .any(|it| it.kind == FindingKind::Opaque && it.statement.contains("triggers")),
        "{found:?}"
    );
}
