//! Statements that change rows, also inside the WITH clause of another statement.

use pg_query::protobuf::{CmdType, DropBehavior, MergeMatchKind, MergeStmt, RangeVar, SelectStmt, WithClause};
use pg_query::{Node, NodeEnum};

use super::calls::references;
use super::catalog::Sort;
use super::code::fires;
use super::finding::FindingKind;
use super::judge::Judge;
use super::known_code::{DELETE, INSERT, TRUNCATE, UPDATE};
use super::names::{Name, inner, ranges};
use super::shown;

/// Judges a statement that changes or reads rows.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::TruncateStmt(it) => {
            for name in ranges(&it.relations).map(Name::from) {
                // CASCADE also truncates every table that refers to this one.
                if judge.is_filled(&name) || it.behavior() == DropBehavior::DropCascade {
                    judge.find(FindingKind::Truncate, &name, format!("TRUNCATE {name}"));
                }
                fires(judge, &name, TRUNCATE);
            }
        }
        NodeEnum::DeleteStmt(it) => {
            with(judge, it.with_clause.as_ref());
            let name = it.relation.as_ref().map(Name::from);
            let Some(name) = name else { return };
            let named = it.relation.as_ref().map(called);
            if is_unbounded_of(it.where_clause.as_deref(), named) && judge.is_filled(&name) {
                judge.find(FindingKind::DeleteAll, &name, format!("DELETE FROM {name}"));
            }
            fires(judge, &name, DELETE);
        }
        NodeEnum::UpdateStmt(it) => {
            with(judge, it.with_clause.as_ref());
            let name = it.relation.as_ref().map(Name::from);
            let Some(name) = name else { return };
            let named = it.relation.as_ref().map(called);
            if is_unbounded_of(it.where_clause.as_deref(), named) && judge.is_filled(&name) {
                judge.find(FindingKind::UpdateAll, &name, format!("UPDATE {name}"));
            }
            fires(judge, &name, UPDATE);
        }
        NodeEnum::InsertStmt(it) => {
            with(judge, it.with_clause.as_ref());
            if let Some(select) = inner(it.select_stmt.as_deref()) {
                statement(judge, select);
            }
            if let Some(name) = it.relation.as_ref().map(Name::from) {
                // ON CONFLICT DO UPDATE.
                let updates = if it.on_conflict_clause.is_some() { UPDATE } else { 0 };
                fires(judge, &name, INSERT | updates);
            }
        }
        NodeEnum::MergeStmt(it) => merge(judge, it),
        NodeEnum::SelectStmt(it) => select(judge, it),
        NodeEnum::CreateTableAsStmt(it) => {
            if let Some(query) = inner(it.query.as_deref()) {
                statement(judge, query);
            }
        }
        NodeEnum::CopyStmt(it) => {
            if let Some(name) = it.relation.as_ref().filter(|_| it.is_from).map(Name::from) {
                fires(judge, &name, INSERT);
            }
            if let Some(query) = inner(it.query.as_deref()) {
                statement(judge, query);
            }
        }
        _ => {}
    }
}

fn merge(judge: &mut Judge<'_>, it: &MergeStmt) {
    with(judge, it.with_clause.as_ref());
    let all = is_unbounded(it.join_condition.as_deref());
    let deletes = it.merge_when_clauses.iter().any(|node| match &node.node {
        Some(NodeEnum::MergeWhenClause(when)) => {
            when.command_type() == CmdType::CmdDelete
                && (all || when.match_kind() == MergeMatchKind::MergeWhenNotMatchedBySource)
                && is_unbounded(when.condition.as_deref())
        }
        _ => false,
    });
    let name = it.relation.as_ref().map(Name::from);
    let Some(name) = name else { return };
    if deletes && judge.is_filled(&name) {
        judge.find(
            FindingKind::DeleteAll,
            &name,
            format!("MERGE INTO {name} … THEN DELETE"),
        );
    }
    fires(judge, &name, INSERT | UPDATE | DELETE);
}

fn with(judge: &mut Judge<'_>, clause: Option<&WithClause>) {
    for node in clause.iter().flat_map(|clause| &clause.ctes) {
        if let Some(NodeEnum::CommonTableExpr(common)) = &node.node
            && let Some(query) = inner(common.ctequery.as_deref())
        {
            statement(judge, query);
            shown::statement(judge, query);
        }
    }
}

fn select(judge: &mut Judge<'_>, it: &SelectStmt) {
    with(judge, it.with_clause.as_ref());
    for part in [&it.larg, &it.rarg].into_iter().flatten() {
        select(judge, part);
    }
    if let Some(made) = it.into_clause.as_ref().and_then(|into| into.rel.as_ref()) {
        judge.known.create(&made.into(), Sort::Table, false);
        if made.relpersistence == "t" {
            judge.known.mark(&made.into(), |marks| marks.open = false);
        }
    }
}

/// Whether a statement has no condition on rows: it has no condition, or one without a column.
fn is_unbounded(condition: Option<&Node>) -> bool {
    inner(condition).is_none_or(|node| !references(node).has_columns)
}

/// The same, where a column of another table does not count as a condition on rows of the changed table, whose name in the
/// statement is given.
fn is_unbounded_of(condition: Option<&Node>, table: Option<&str>) -> bool {
    let may_be_of = |column: &[String]| match column {
        [.., table_or_alias, _] => Some(table_or_alias.as_str()) == table,
        _ => true,
    };
    inner(condition).is_none_or(|node| !references(node).columns.iter().any(|column| may_be_of(column)))
}

/// The name by which a statement knows a table.
fn called(range: &RangeVar) -> &str {
    range.alias.as_ref().map_or(&range.relname, |alias| &alias.aliasname)
}

/// Whether an expression has the same value in each row and session.
pub fn is_constant(node: &NodeEnum) -> bool {
    let found = references(node);
    !found.has_columns && !found.varies
}
