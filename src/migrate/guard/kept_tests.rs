//! A script that may stop halfway: what it drops is lost although it creates it again.

use std::sync::Arc;

use super::FindingKind::{self, *};
use super::judge::PendingScript;
use super::known::KnownObjects;
use super::makes::Makes;
use super::statements;
use super::tests::catalog;
use crate::migrate::run_mode::Kept;

fn kinds(text: &str, kept: Kept) -> Vec<FindingKind> {
    let mut scripts = [PendingScript {
        migration: "m".into(),
        text: Arc::new(text.to_owned()),
        committed: 0,
        kept,
        makes: Makes::default(),
    }];
    let (_, _, mut makes) = statements::judge(&scripts, KnownObjects::default());
    scripts[0].makes = makes.remove(0);
    let (found, ..) = statements::judge(&scripts, KnownObjects::new(&catalog()));
    found.iter().map(|finding| finding.kind).collect()
}

#[test]
fn what_is_made_again_counts_only_where_both_statements_stay_or_go() {
    let again = "DROP VIEW members_view; CREATE VIEW members_view AS SELECT id FROM members;";
    let closed = "CREATE FUNCTION leak() RETURNS SETOF members LANGUAGE sql SECURITY DEFINER SET search_path = '' AS \
                  'SELECT * FROM public.members'; REVOKE ALL ON FUNCTION leak() FROM PUBLIC;";
    let value = "ALTER TYPE mood ADD VALUE 'calm';";
    let code = "DO $$ BEGIN ALTER TYPE mood ADD VALUE 'calm'; END $$;";
    for (script, kept, found) in [
        (again.to_owned(), Kept::Nothing, vec![]),
        (again.to_owned(), Kept::Statements, vec![DropView]),
        (again.to_owned(), Kept::StatementsOfNewEnumValue, vec![]),
        (
            format!("{again} {value}"),
            Kept::StatementsOfNewEnumValue,
            vec![DropView],
        ),
        (
            format!("{again} {code}"),
            Kept::StatementsOfNewEnumValue,
            vec![DropView],
        ),
        (format!("{again} {value}"), Kept::Nothing, vec![]),
        (
            format!("{again} ALTER TYPE mood RENAME VALUE 'a' TO 'b';"),
            Kept::StatementsOfNewEnumValue,
            vec![Rename],
        ),
        (closed.to_owned(), Kept::Nothing, vec![]),
        (closed.to_owned(), Kept::Statements, vec![SecurityDefiner]),
    ] {
        assert_eq!(kinds(&script, kept), found, "{kept:?}: {script}");
    }
}
