#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::tests::{findings, kinds};
use super::*;
use crate::api::{Approval, Effect};
use crate::migrate::parse;

#[test]
fn a_long_insert_adds_rows_and_anything_else_that_is_long_is_not_judged() {
    let values = ", (1)".repeat(100_000);
    assert!(kinds(&format!("INSERT INTO members (id) VALUES (0){values}")).is_empty());
    assert_eq!(
        kinds(&format!("SELECT * FROM (VALUES (0){values}) v")),
        [FindingKind::Unparsed]
    );
    for (rows, found) in [
        ("(now()), ('purge(); x''y'), (NULL::numeric(10,2))", vec![]),
        ("(purge())", vec![FindingKind::Unparsed]),
        ("((SELECT members.purge FROM members))", vec![FindingKind::Unparsed]),
        (
            "(set_config('search_path', 'auth', false))",
            vec![FindingKind::Unparsed],
        ),
    ] {
        let insert = format!("INSERT INTO public.members (id) VALUES {rows}{values} ON CONFLICT (id) DO NOTHING");
        assert_eq!(kinds(&insert), found, "{rows}");
    }
    let trigger = "CREATE FUNCTION t() RETURNS trigger LANGUAGE plperl AS ''; CREATE TRIGGER t AFTER INSERT ON members \
                   EXECUTE FUNCTION t(); ";
    let fires = format!("{trigger}INSERT INTO members (id) VALUES (0){values}");
    assert_eq!(kinds(&fires), [FindingKind::Opaque]);
    let hidden =
        format!("INSERT INTO empty WITH d AS (DELETE FROM members RETURNING id) SELECT 1 FROM (VALUES (0){values}) v");
    assert_eq!(kinds(&hidden), [FindingKind::Unparsed]);
    // Deeper than the parser's limit: it returns an error, and the operator does not crash.
    for deep in [
        format!("SELECT {}1", "NOT ".repeat(50_000)),
        format!("SELECT {}1", "1||".repeat(5_000)),
    ] {
        assert_eq!(kinds(&deep), [FindingKind::Unparsed]);
    }
}

fn plan(findings: Vec<Finding>) -> Plan {
    let pending = vec![PendingMigration {
        name: "m1".into(),
        checksum: "abc".into(),
    }];
    Plan::new(Head::default(), pending, findings)
}

#[test]
fn who_waits() {
    use Approval::{Always, Automatic, OnDestructive};
    let harmless = plan(findings(&["CREATE INDEX i ON members (email)"]));
    let harmful = plan(findings(&["DROP TABLE members"]));
    assert_eq!((harmless.destructive(), harmless.locking()), (0, 1));
    assert_eq!((harmful.destructive(), harmful.locking()), (1, 0));
    let clearance = |policy, plan: &Plan, untouched, approved: Option<&Plan>| {
        let approved = approved.map(|plan| plan.digest.clone());
        decide(
            &Consent {
                policy,
                effects: Effect::APPROVED.into(),
                approved,
                handed_over: true,
                prepared: false,
            },
            plan,
            untouched,
        )
    };
    for (policy, plan, untouched, approved, expected) in [
        (Automatic, &harmful, false, None, Clearance::Free),
        (OnDestructive, &harmless, false, None, Clearance::Free),
        (OnDestructive, &harmful, false, None, Clearance::Waits),
        (OnDestructive, &harmful, true, None, Clearance::Free),
        (OnDestructive, &harmful, false, Some(&harmless), Clearance::Waits),
        (OnDestructive, &harmful, false, Some(&harmful), Clearance::Approved),
        (Always, &harmless, false, None, Clearance::Waits),
        (Always, &harmless, true, None, Clearance::Waits),
        (Always, &harmless, false, Some(&harmless), Clearance::Approved),
    ] {
        assert_eq!(
            clearance(policy, plan, untouched, approved),
            expected,
            "{policy:?} {untouched}"
        );
    }
}

#[test]
fn what_is_not_judged_waits_whatever_the_class_asks_for() {
    let mut found = findings(&["DROP TABLE members"]);
    for finding in &mut found {
        finding.kind = FindingKind::Unjudged;
        finding.effect = FindingKind::Unjudged.effect();
    }
    let plan = plan(found);
    let consent = Consent {
        policy: Approval::OnDestructive,
        effects: [Effect::Locking].into(),
        approved: None,
        handed_over: true,
        prepared: false,
    };
    assert_eq!(decide(&consent, &plan, false), Clearance::Waits);
    assert_eq!(decide(&consent, &plan, true), Clearance::Free);
}

#[test]
fn a_digest_is_of_the_whole_plan() {
    let base = plan(Vec::new());
    assert_eq!(base.digest, plan(Vec::new()).digest);
    let head = Head {
        count: 1,
        ..Head::default()
    };
    let changed = [
        plan(findings(&["DROP TABLE members"])),
        Plan::new(head, base.pending.clone(), Vec::new()),
        Plan::new(Head::default(), Vec::new(), Vec::new()),
        Plan::new(
            Head::default(),
            vec![PendingMigration {
                name: "m1".into(),
                checksum: "other".into(),
            }],
            Vec::new(),
        ),
    ];
    for other in changed {
        assert_ne!(other.digest, base.digest);
    }
}

#[test]
fn a_large_plan_fits_into_a_config_map() {
    let name = "x".repeat(crate::migrate::MAX_NAME_BYTES);
    let drop = format!("ALTER TABLE \"{0}\".\"{0}\" DROP COLUMN \"{0}\";", "É".repeat(31));
    let mut found = findings(&[drop.repeat(2000).as_str()]);
    for finding in &mut found {
        finding.migration.clone_from(&name);
    }
    let pending = vec![
        PendingMigration {
            name,
            checksum: "a".repeat(96)
        };
        crate::migrate::MAX_MIGRATIONS
    ];
    let plan = Plan::new(Head::default(), pending, found);
    let (text, json) = (plan.text("kubectl"), plan.json().unwrap());
    assert!(text.len() + json.len() < 1_000_000, "{} and {}", text.len(), json.len());
    assert!(
        text.contains("and 9500 more") && text.contains("and 1500 more"),
        "{text}"
    );
    assert!(json.contains("\"destructiveCount\": 2000"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any script is judged without a panic, in the order of its lines.
    #[test]
    fn any_text_is_judged(text in "(?s).{0,200}") {
        any(&text);
    }

    /// The same for texts that look like SQL; and each statement that the splitter finds is one statement for the parser.
    #[test]
    fn any_sql_is_judged(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..24)) {
        let text = words.join(" ");
        any(&text);
        let whole = pg_query::parse(&text, 0);
        let pieces = crate::migrate::lexer::split(&text);
        if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
            let count = pieces.iter().filter(|piece| piece.kind != crate::migrate::lexer::StatementKind::Empty).count();
            prop_assert_eq!(whole.protobuf.stmts.len(), count, "{}", text);
            prop_assert!(parse::statements(&text, 0).all(|statement| statement.tree.is_some()), "{}", text);
        }
    }
}

const WORDS: &[&str] = &[
    "DROP",
    "TABLE",
    "members",
    "IF EXISTS",
    ";",
    ";",
    "ALTER",
    "COLUMN",
    "TYPE",
    "int",
    "DELETE",
    "FROM",
    "WHERE",
    "true",
    "CREATE",
    "INDEX",
    "ON",
    "(",
    ")",
    "id",
    ",",
    "'a;b'",
    "$$;$$",
    "-- ;\n",
    "/* ; */",
    "SELECT",
    "1",
    "DO",
    "WITH x AS",
    "UPDATE",
    "SET",
    "=",
    "NOT NULL",
    "ADD",
    "CONSTRAINT",
    "c",
    "CHECK",
    "RENAME",
    "TO",
    "TRUNCATE",
    "BEGIN",
    "ATOMIC",
    "END",
    "FUNCTION",
    "f()",
    "RETURNS int",
    "LANGUAGE sql",
    "E'\\';'",
    "\"a;b\"",
    "CASCADE",
];

fn any(text: &str) {
    let found = findings(&[text]);
    let lines = text.matches('\n').count() + 1;
    assert!(found.iter().all(|finding| (1..=lines).contains(&finding.line)));
    assert!(found.is_sorted_by_key(|finding| finding.line));
}
