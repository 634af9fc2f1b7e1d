//! The pending scripts, statement by statement: parse trees → findings. Pure.

use pg_query::NodeEnum;
use pg_query::protobuf::AlterDomainStmt;

use super::finding::{Finding, FindingKind};
use super::judge::{Judge, PendingScript};
use super::known::Known;
use super::names::{dotted, inner, is_on, strings};
use super::{drops, locks, objects, opaque, renames, rows, tables};

/// Judges the scripts against the known relations. Also returns the relations' state after the last script.
pub fn judge(scripts: &[PendingScript], known: Known) -> (Vec<Finding>, Known) {
    let mut judge = Judge::new(known);
    for script in scripts {
        judge.enter(script);
        for (at, statement) in script.statements.iter().enumerate() {
            judge.go_to(at);
            match &statement.tree {
                Some(tree) => self::statement(&mut judge, tree),
                None => judge.find(
                    FindingKind::Unparsed,
                    "",
                    "a statement that the parser cannot read".into(),
                ),
            }
        }
    }
    (judge.findings, judge.known)
}

fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    if !objects::replaces(tree) {
        for key in objects::made_by(tree) {
            judge.known.make(key);
        }
    }
    match tree {
        NodeEnum::AlterTableStmt(it) => tables::alter(judge, it),
        NodeEnum::AlterDomainStmt(it) => alter_domain(judge, it),
        NodeEnum::ExplainStmt(it) if is_on(&it.options, "analyze") => {
            if let Some(query) = inner(it.query.as_deref()) {
                statement(judge, query);
            }
        }
        NodeEnum::CreateSchemaStmt(it) => {
            let made = it.schema_elts.iter().filter_map(|node| node.node.as_ref());
            for tree in made {
                statement(judge, tree);
            }
        }
        NodeEnum::VariableSetStmt(it) if it.name == "search_path" => judge.known.elsewhere = true,
        // Each of these functions judges its own kinds of statements and ignores the others.
        _ => {
            drops::statement(judge, tree);
            renames::statement(judge, tree);
            locks::statement(judge, tree);
            opaque::statement(judge, tree);
            tables::create(judge, tree);
            rows::statement(judge, tree);
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
