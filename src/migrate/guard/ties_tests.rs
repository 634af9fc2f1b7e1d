//! Rows that are lost, changed or shown with another relation than their own, to which theirs is tied.

use super::catalog::{Catalog, Column, Relation, Sort};
use super::catalog_code::{CatalogRoutine, CatalogTrigger};
use super::finding::FindingKind::{self, *};
use super::names::Name;
use super::tests::{catalog, findings, findings_in, kinds};
use super::ties::Tie;
use super::types::Type;
use crate::api::Effect::Exposing;

fn kinds_in(script: &str, catalog: &Catalog) -> Vec<FindingKind> {
    let found = findings_in(&[script], catalog);
    found.iter().map(|finding| finding.kind).collect()
}

const GENERATIONS: &str = "CREATE TABLE root (LIKE members); CREATE TABLE mid () INHERITS (root); ";

#[test]
fn rows_are_lost_with_every_ancestor() {
    for (tail, found) in [
        ("ALTER TABLE members INHERIT mid; DELETE FROM root", DeleteAll),
        ("ALTER TABLE members INHERIT mid; TRUNCATE root", Truncate),
        (
            "ALTER TABLE root RENAME TO r; ALTER TABLE members INHERIT mid; DELETE FROM r",
            DeleteAll,
        ),
        (
            "CREATE TABLE top (); ALTER TABLE members INHERIT mid; ALTER TABLE root INHERIT top; DELETE FROM top",
            DeleteAll,
        ),
        (
            "ALTER TABLE members INHERIT mid; ALTER TABLE root DROP COLUMN email",
            DropColumn,
        ),
    ] {
        let script = format!("{GENERATIONS}{tail}");
        assert!(kinds(&script).contains(&found), "{script}: {:?}", kinds(&script));
    }
    for (script, found) in [
        (
            "CREATE TABLE root (k int) PARTITION BY LIST (k); CREATE TABLE mid PARTITION OF root DEFAULT PARTITION BY LIST (k); \
             ALTER TABLE mid ATTACH PARTITION members DEFAULT; DROP TABLE root",
            DropTable,
        ),
        (
            "ALTER TABLE empty ATTACH PARTITION members DEFAULT; DELETE FROM empty",
            DeleteAll,
        ),
        // The partition's own column of this name goes with it.
        (
            "ALTER TABLE empty ADD COLUMN extra text; ALTER TABLE empty ATTACH PARTITION members DEFAULT; \
             ALTER TABLE empty DROP COLUMN extra",
            DropColumn,
        ),
        // An update moves rows between partitions.
        (
            "CREATE TABLE p PARTITION OF members FOR VALUES IN (2); UPDATE members SET id = 2 WHERE id = 1; DROP TABLE p",
            DropTable,
        ),
        ("CREATE FOREIGN TABLE f (id int) SERVER s; DELETE FROM f", DeleteAll),
        (
            "CREATE TABLE v (id int); CREATE RULE \"_RETURN\" AS ON SELECT TO v DO INSTEAD SELECT id FROM members; DELETE FROM v",
            DeleteAll,
        ),
    ] {
        assert!(kinds(script).contains(&found), "{script}: {:?}", kinds(script));
    }
    // What the plan makes, it may undo.
    assert_eq!(
        kinds(&format!(
            "{GENERATIONS} DELETE FROM root; DROP TABLE mid; DROP TABLE root"
        )),
        []
    );
    let moved =
        "CREATE TABLE p PARTITION OF empty FOR VALUES IN (2); UPDATE empty SET id = 2 WHERE id = 1; DROP TABLE p";
    assert_eq!(kinds(moved), []);
}

#[test]
fn rows_are_shown_by_every_ancestor() {
    for tail in [
        "ALTER TABLE members INHERIT mid; GRANT SELECT ON root TO anon",
        "GRANT SELECT ON root TO anon; ALTER TABLE members INHERIT mid",
        "GRANT SELECT ON root TO anon; INSERT INTO mid SELECT * FROM members",
    ] {
        let found = findings(&[&format!("{GENERATIONS}{tail}")]);
        assert!(
            found.iter().any(|it| (it.kind, it.effect) == (Grant, Exposing)),
            "{tail}: {found:?}"
        );
    }
}

fn relation(name: &str, above: &[(&str, Tie)]) -> Relation {
    let above = above.iter();
    Relation {
        schema: "public".into(),
        name: name.into(),
        visible: true,
        above: above
            .map(|(name, tie)| ("public".to_owned(), (*name).to_owned(), *tie))
            .collect(),
        ..Relation::default()
    }
}

#[test]
fn ties_of_the_database_are_followed() {
    let key = Tie::Key {
        deletes: true,
        updates: false,
    };
    let mut catalog = catalog();
    catalog.relations.extend([
        relation("mid", &[("root", Tie::Child), ("far", key)]),
        relation("root", &[("far", key)]),
        relation("far", &[]),
        Relation {
            deletes: true,
            ..relation("held", &[])
        },
    ]);
    for (script, found) in [
        ("ALTER TABLE members INHERIT mid; DELETE FROM root", &[DeleteAll][..]),
        ("ALTER TABLE members INHERIT mid; DELETE FROM far", &[DeleteAll]),
        ("DELETE FROM root", &[]),
        ("DELETE FROM held", &[DeleteAll]),
        ("UPDATE held SET id = 1", &[]),
        ("DELETE FROM held WHERE held.id = 1", &[]),
    ] {
        assert_eq!(kinds_in(script, &catalog), found, "{script}");
    }
}

#[test]
fn rows_are_lost_by_foreign_keys_that_act() {
    let add = |action: &str, then: &str| {
        format!(
            "CREATE TABLE k (id int PRIMARY KEY); ALTER TABLE members ADD FOREIGN KEY (id) REFERENCES k {action} NOT VALID; {then}"
        )
    };
    for (script, found) in [
        (add("ON DELETE CASCADE", "DELETE FROM k"), vec![DeleteAll]),
        (add("ON DELETE SET NULL", "DELETE FROM k"), vec![DeleteAll]),
        (add("ON DELETE SET DEFAULT", "DELETE FROM public.k"), vec![DeleteAll]),
        (add("ON DELETE RESTRICT ON UPDATE CASCADE", "DELETE FROM k"), vec![]),
        (add("ON DELETE CASCADE", "UPDATE k SET id = 2"), vec![]),
        (add("ON UPDATE CASCADE", "UPDATE k SET id = 2"), vec![UpdateAll]),
        (add("ON DELETE CASCADE", "DELETE FROM k WHERE id = 2"), vec![]),
        (add("", "DELETE FROM k"), vec![]),
        (
            add(
                "ON DELETE CASCADE",
                "CREATE TABLE z (id int); ALTER TABLE k ADD FOREIGN KEY (id) REFERENCES z ON DELETE CASCADE; DELETE FROM z",
            ),
            vec![DeleteAll],
        ),
        (
            "CREATE TABLE k (id int PRIMARY KEY); ALTER TABLE members ADD COLUMN k int REFERENCES k ON DELETE CASCADE; \
             UPDATE members SET k = 1 WHERE id > 0; DELETE FROM k"
                .into(),
            vec![DeleteAll],
        ),
        (
            "CREATE TABLE k (id int PRIMARY KEY); CREATE TABLE n (k int REFERENCES k ON DELETE CASCADE); DELETE FROM k".into(),
            vec![],
        ),
    ] {
        assert_eq!(kinds(&script), found, "{script}");
    }
}

#[test]
fn a_sequence_is_lost_with_what_owns_it() {
    let mut catalog = catalog();
    catalog.relations.push(Relation {
        sort: Sort::Sequence,
        ..relation("numbers", &[])
    });
    for (script, found) in [
        (
            "CREATE TABLE t (id int); ALTER SEQUENCE numbers OWNED BY t.id; DROP TABLE t",
            &[DropTable][..],
        ),
        (
            "ALTER TABLE empty ADD COLUMN n int; ALTER SEQUENCE numbers OWNED BY empty.n; ALTER TABLE empty DROP COLUMN n",
            &[DropColumn],
        ),
        // The table has rows.
        (
            "ALTER TABLE members ADD COLUMN n int; ALTER SEQUENCE numbers OWNED BY members.n; ALTER TABLE members DROP COLUMN n",
            &[DropColumn],
        ),
        (
            "ALTER TABLE members ADD COLUMN n int; ALTER SEQUENCE numbers OWNED BY members.n; \
             ALTER TABLE members DROP COLUMN IF EXISTS n",
            &[DropColumn],
        ),
        (
            "ALTER TABLE members ADD COLUMN n int; DO $$ BEGIN ALTER SEQUENCE numbers OWNED BY members.n; END $$; \
             ALTER TABLE members DROP COLUMN n",
            &[DropColumn],
        ),
        (
            "ALTER TABLE members ADD COLUMN n int; CREATE SEQUENCE s OWNED BY members.n; ALTER TABLE members DROP COLUMN n",
            &[],
        ),
        (
            "CREATE TABLE t (id int); CREATE SEQUENCE s OWNED BY t.id; ALTER SEQUENCE s OWNED BY t.id; DROP TABLE t",
            &[],
        ),
        ("ALTER SEQUENCE numbers OWNED BY NONE", &[]),
    ] {
        assert_eq!(kinds_in(script, &catalog), found, "{script}");
    }
}

#[test]
fn what_cascade_drops_with_a_part_that_the_plan_made_is_found() {
    for (script, found) in [
        (
            "ALTER TABLE members ADD x int; ALTER TABLE members DROP x CASCADE",
            &[DropColumn][..],
        ),
        ("ALTER TABLE members ADD x int; ALTER TABLE members DROP x", &[]),
        ("ALTER TABLE members DROP IF EXISTS x CASCADE", &[]),
        ("CREATE TABLE t (x int); ALTER TABLE t DROP x CASCADE", &[DropColumn]),
        ("CREATE TABLE t (x int); ALTER TABLE t DROP x", &[]),
        (
            "CREATE TABLE t (x int CONSTRAINT k PRIMARY KEY); ALTER TABLE t DROP CONSTRAINT k CASCADE",
            &[DropConstraint],
        ),
        (
            "CREATE TABLE t (x int CONSTRAINT k PRIMARY KEY); ALTER TABLE t DROP CONSTRAINT k",
            &[],
        ),
        (
            "ALTER TABLE empty ADD CONSTRAINT k UNIQUE (id); ALTER TABLE empty DROP CONSTRAINT k CASCADE",
            &[DropConstraint],
        ),
        (
            "ALTER TABLE empty ADD CONSTRAINT k UNIQUE (id); ALTER TABLE empty DROP CONSTRAINT k",
            &[],
        ),
    ] {
        assert_eq!(kinds(script), found, "{script}");
    }
}

#[test]
fn a_cast_function_may_lose_what_the_text_form_keeps() {
    let with = |cast| {
        let mut catalog = catalog();
        for relation in catalog.relations.iter_mut().filter(|it| it.name == "members") {
            let mood = Column {
                type_: Type::of_catalog("app".into(), "mood".into(), -1, false),
                cast,
                ..Column::default()
            };
            relation.columns.insert("m".into(), mood);
        }
        catalog
    };
    let create = "CREATE CAST (app.mood AS text) WITH FUNCTION app.f(app.mood) AS ASSIGNMENT";
    let alter = "ALTER TABLE members ALTER m TYPE text";
    for (script, there, found) in [
        (alter.to_owned(), false, RewriteTable),
        (alter.to_owned(), true, NarrowType),
        (format!("{alter} USING m::text"), true, NarrowType),
        ("ALTER TABLE members ALTER m TYPE varchar".to_owned(), true, NarrowType),
        (format!("{create}; {alter}"), false, NarrowType),
        (format!("{create}; {alter} USING m::text"), false, NarrowType),
        (format!("DO $$ BEGIN {create}; END $$; {alter}"), false, NarrowType),
        // PostgreSQL has casts of its own for these.
        (
            format!("{create}; ALTER TABLE members ALTER id TYPE bigint"),
            true,
            RewriteTable,
        ),
    ] {
        assert_eq!(kinds_in(&script, &with(there)), [found], "{script}");
    }
}

#[test]
fn triggers_fire_through_what_the_scripts_tie() {
    let name = |name: &str| Name {
        schema: Some("public".into()),
        name: name.into(),
    };
    let mut catalog = catalog();
    catalog.code.routines = vec![CatalogRoutine {
        name: name("purge"),
        definition: Some(
            "CREATE FUNCTION public.purge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM members; RETURN NEW; END $$"
                .into(),
        ),
        extension: None,
        acts: true,
        anon: false,
    }];
    catalog.code.triggers = vec![CatalogTrigger {
        table: name("empty"),
        events: super::known_code::INSERT,
        function: name("purge"),
    }];
    for (script, found) in [
        (
            "CREATE VIEW v AS SELECT id FROM empty; INSERT INTO v (id) VALUES (1)",
            &[DeleteAll][..],
        ),
        (
            "CREATE VIEW v AS SELECT id FROM empty; CREATE VIEW w AS SELECT id FROM v; INSERT INTO w (id) VALUES (1)",
            &[DeleteAll],
        ),
        (
            "CREATE TABLE root (id int) PARTITION BY LIST (id); ALTER TABLE root ATTACH PARTITION empty DEFAULT; \
             INSERT INTO root VALUES (1)",
            &[DeleteAll],
        ),
        (
            "CREATE VIEW v AS SELECT id FROM empty; UPDATE v SET id = 1 WHERE id = 2",
            &[],
        ),
        ("CREATE VIEW v AS SELECT id FROM empty; SELECT id FROM v", &[]),
    ] {
        assert_eq!(kinds_in(script, &catalog), found, "{script}");
    }
}
