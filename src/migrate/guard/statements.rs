//! The pending scripts, statement by statement: parse trees → findings. Pure.

use pg_query::NodeEnum;
use pg_query::protobuf::AlterDomainStmt;

use super::finding::{Finding, FindingKind};
use super::judge::{Judge, PendingScript};
use super::known::KnownObjects;
use super::makes::Makes;
use super::names::{dotted, inner, is_on, strings};
use super::{
    altered, code, drops, exposing, extensions, links, locks, made, objects, renames, replaced, rights, rows, settings,
    shown, tables,
};
use crate::migrate::parse;

/// Judges the scripts against the known relations and code. Also returns their state after the last script, and for
/// each script the objects that its statements create.
pub fn judge(scripts: &[PendingScript], known: KnownObjects) -> (Vec<Finding>, KnownObjects, Vec<Makes>) {
    let (mut judge, mut made) = (Judge::new(known, statement), Vec::new());
    for script in scripts {
        let mut makes = Makes::default();
        if !judge.is_spent() {
            go_through(&mut judge, script, &mut makes);
        }
        made.push(makes);
    }
    (judge.findings, judge.known, made)
}

/// How a statement ends a transaction.
#[derive(PartialEq, Eq)]
enum TransactionEnd {
    Commits,
    RollsBack,
}

fn ends(tree: &NodeEnum) -> Option<TransactionEnd> {
    use pg_query::protobuf::TransactionStmtKind as Is;
    let NodeEnum::TransactionStmt(it) = tree else {
        return None;
    };
    match it.kind() {
        Is::TransStmtCommit => Some(TransactionEnd::Commits),
        Is::TransStmtRollback | Is::TransStmtRollbackTo => Some(TransactionEnd::RollsBack),
        _ => None,
    }
}

/// Whether a server whose database is not in UTF-8 may read another name in a text than the parser does: it folds and cuts names
/// by its own encoding. Apart from letters beyond ASCII, these are `U&` texts and the escapes that stand for such letters.
fn may_read_otherwise(text: &str) -> bool {
    let escapes = |pair: &[u8]| matches!(pair, [b'u' | b'U', b'&'] | [b'\\', b'u' | b'U' | b'x' | b'0'..=b'9']);
    !text.is_ascii() || text.as_bytes().windows(2).any(escapes)
}

/// Judges the statements of a script until the allowance is spent.
fn go_through<'a>(judge: &mut Judge<'a>, script: &'a PendingScript, makes: &mut Makes) {
    let mut committed = false;
    judge.enter(script);
    if judge.known.recoded && may_read_otherwise(&script.text) {
        judge.go_to(0, 1);
        let statement = "the database is not in UTF-8: names in the script may mean other objects there";
        judge.find(FindingKind::Opaque, "", statement.into());
    }
    for (at, part) in parse::statements(&script.text, script.committed).enumerate() {
        judge.go_to(at, part.line);
        let allowance = &judge.known.code.allowance;
        allowance.work(part.work());
        makes.parted |= committed;
        match &part.tree {
            Some(tree) => {
                let end = ends(tree);
                committed |= end == Some(TransactionEnd::Commits);
                makes.rolls_back |= end == Some(TransactionEnd::RollsBack);
                let made = objects::made_by(tree).into_iter();
                for key in made.filter(|key| judge.known.is_certain(key)) {
                    makes.add(at, key, allowance);
                }
                judge.statement(tree, &script.text[part.span.clone()]);
            }
            None => judge.find(
                FindingKind::Unparsed,
                "",
                "a statement that the parser cannot read".into(),
            ),
        }
        makes.parted |= judge.keeps_parts();
        if judge.is_spent() {
            return judge.give_up();
        }
    }
}

/// Judges one statement. `text`: the statement, if it is known.
fn statement(judge: &mut Judge<'_>, tree: &NodeEnum, text: &str) {
    // `ALTER TABLE` drops constraints before it adds others.
    let alters = matches!(tree, NodeEnum::AlterTableStmt(_));
    if !alters {
        make(judge, tree);
    }
    // The objects of the statement are judged by their state before it.
    exposing::statement(judge, tree);
    rights::statement(judge, tree);
    settings::statement(judge, tree);
    altered::statement(judge, tree);
    replaced::statement(judge, tree);
    code::statement(judge, tree, text);
    extensions::statement(judge, tree);
    match tree {
        NodeEnum::AlterEnumStmt(it) if it.old_val.is_empty() => judge.adds_enum_value = true,
        NodeEnum::AlterTableStmt(it) => tables::alter(judge, it),
        NodeEnum::AlterDomainStmt(it) => alter_domain(judge, it),
        NodeEnum::ExplainStmt(it) if is_on(&it.options, "analyze") => {
            if let Some(query) = inner(it.query.as_deref()) {
                statement(judge, query, "");
            }
        }
        NodeEnum::CreateSchemaStmt(it) => {
            let made = it.schema_elts.iter().filter_map(|node| node.node.as_ref());
            for tree in made {
                statement(judge, tree, "");
            }
        }
        // Each of these functions judges its own kinds of statements and ignores the others.
        _ => {
            drops::statement(judge, tree);
            renames::statement(judge, tree);
            locks::statement(judge, tree);
            tables::create(judge, tree);
            rows::statement(judge, tree);
            shown::statement(judge, tree);
        }
    }
    if alters {
        make(judge, tree);
    }
    links::statement(judge, tree);
    for (name, sort) in made::relations(tree) {
        judge.known.create(&name, sort, true);
    }
}

/// Adds the objects that a statement creates.
fn make(judge: &mut Judge<'_>, tree: &NodeEnum) {
    if !objects::replaces(tree) {
        let certain = judge.is_certain();
        for key in objects::made_by(tree) {
            judge.known.make(key, certain);
        }
    }
}

/// Judges `ALTER DOMAIN`. The subtypes are those of `AlterDomainStmt` in PostgreSQL's `parsenodes.h`.
fn alter_domain(judge: &mut Judge<'_>, it: &AlterDomainStmt) {
    let name = dotted(&strings(&it.type_name));
    let (kind, words) = match it.subtype.as_str() {
        "X" => (FindingKind::DropConstraint, "DROP CONSTRAINT"),
        "O" => (FindingKind::RequireValue, "SET NOT NULL"),
        "C" => (FindingKind::AddConstraint, "ADD CONSTRAINT"),
        _ => return,
    };
    judge.find(kind, &name, format!("ALTER DOMAIN {name} {words}"));
}
