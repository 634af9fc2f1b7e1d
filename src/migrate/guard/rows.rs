//! Statements that change rows, also inside the WITH clause of another statement.

use std::collections::BTreeSet;

use pg_query::protobuf::{CmdType, DropBehavior, MergeMatchKind, MergeStmt, RangeVar, SelectStmt, WithClause};
use pg_query::{Node, NodeEnum};

use super::calls::references;
use super::catalog::Sort;
use super::code::fires;
use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Existence;
use super::known_code::{DELETE, INSERT, TRUNCATE, UPDATE};
use super::names::{Name, inner, ranges};
use super::{extensions, settings, shown};

/// Judges a statement that changes or reads rows.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::TruncateStmt(it) => {
            for name in ranges(&it.relations).map(Name::from) {
                // CASCADE also truncates every table that refers to this one.
                if loses(judge, &name, DELETE) || it.behavior() == DropBehavior::DropCascade {
                    judge.find(FindingKind::Truncate, &name, format!("TRUNCATE {name}"));
                }
                fires(judge, &name, TRUNCATE);
            }
        }
        NodeEnum::DeleteStmt(it) => {
            with(judge, it.with_clause.as_ref());
            if let Some(range) = &it.relation {
                changes(judge, range, it.where_clause.as_deref(), DELETE);
            }
        }
        NodeEnum::UpdateStmt(it) => {
            with(judge, it.with_clause.as_ref());
            if let Some(range) = &it.relation {
                changes(judge, range, it.where_clause.as_deref(), UPDATE);
            }
        }
        NodeEnum::InsertStmt(it) => {
            with(judge, it.with_clause.as_ref());
            if let Some(select) = inner(it.select_stmt.as_deref()) {
                statement(judge, select);
            }
            if let Some(name) = it.relation.as_ref().map(Name::from) {
                // ON CONFLICT DO UPDATE.
                let updates = if it.on_conflict_clause.is_some() { UPDATE } else { 0 };
                if updates > 0 {
                    moves(judge, &name);
                }
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

/// Judges a DELETE or an UPDATE.
fn changes(judge: &mut Judge<'_>, range: &RangeVar, condition: Option<&Node>, event: i32) {
    let (name, target) = (Name::from(range), TargetTable::of(judge, range));
    let (kind, words) = match event {
        UPDATE => (FindingKind::UpdateAll, "UPDATE"),
        _ => (FindingKind::DeleteAll, "DELETE FROM"),
    };
    // It calls `set_config` for each row.
    if event == UPDATE && name.name == "pg_settings" {
        settings::set_config(judge, None);
    }
    if is_unbounded(condition, &target) && loses(judge, &name, event) {
        judge.find(kind, &name, format!("{words} {name}"));
    }
    if event == UPDATE {
        moves(judge, &name);
    }
    fires(judge, &name, event);
}

fn merge(judge: &mut Judge<'_>, it: &MergeStmt) {
    with(judge, it.with_clause.as_ref());
    let Some(range) = it.relation.as_ref() else { return };
    let (name, target) = (Name::from(range), TargetTable::of(judge, range));
    let all = is_unbounded(it.join_condition.as_deref(), &target);
    let does = |command| {
        it.merge_when_clauses.iter().any(|node| match &node.node {
            Some(NodeEnum::MergeWhenClause(when)) => {
                when.command_type() == command
                    && (all || when.match_kind() == MergeMatchKind::MergeWhenNotMatchedBySource)
                    && is_unbounded(when.condition.as_deref(), &target)
            }
            _ => false,
        })
    };
    if does(CmdType::CmdDelete) && loses(judge, &name, DELETE) {
        judge.find(
            FindingKind::DeleteAll,
            &name,
            format!("MERGE INTO {name} … THEN DELETE"),
        );
    }
    if does(CmdType::CmdUpdate) && loses(judge, &name, UPDATE) {
        judge.find(
            FindingKind::UpdateAll,
            &name,
            format!("MERGE INTO {name} … THEN UPDATE"),
        );
    }
    moves(judge, &name);
    fires(judge, &name, INSERT | UPDATE | DELETE);
}

/// Whether a change of all rows of a table loses or changes rows that were there before: its own, or by foreign keys.
fn loses(judge: &mut Judge<'_>, name: &Name, event: i32) -> bool {
    let filled = judge.is_filled(name);
    let marks = judge.known.marks(name);
    filled || if event == UPDATE { marks.updates } else { marks.deletes }
}

/// An update may move rows to other partitions.
fn moves(judge: &mut Judge<'_>, name: &Name) {
    if judge.is_filled(name) {
        judge.known.fill_partitions(name);
    }
}

fn with(judge: &mut Judge<'_>, clause: Option<&WithClause>) {
    for node in clause.iter().flat_map(|clause| &clause.ctes) {
        if let Some(NodeEnum::CommonTableExpr(common)) = &node.node
            && let Some(query) = inner(common.ctequery.as_deref())
        {
            statement(judge, query);
            extensions::statement(judge, query);
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

/// The table whose rows a statement changes.
struct TargetTable {
    /// The name by which the statement knows it.
    called: String,
    /// The names of its columns, if they are known.
    columns: Option<BTreeSet<String>>,
}

impl TargetTable {
    fn of(judge: &mut Judge<'_>, range: &RangeVar) -> Self {
        let called = range.alias.as_ref().map_or(&range.relname, |alias| &alias.aliasname);
        let columns = match judge.known.existence(&range.into()) {
            Existence::There { columns, .. } => columns.map(|columns| columns.into_keys().collect()),
            Existence::New | Existence::Absent => None,
        };
        Self {
            called: called.clone(),
            columns,
        }
    }

    /// Whether the name of a column can mean one of this table, or its row.
    fn may_have(&self, column: &[String]) -> bool {
        match column {
            [.., table_or_alias, _] => *table_or_alias == self.called,
            [column] => {
                let is_of_all = SYSTEM.contains(&column.as_str()) || *column == self.called;
                is_of_all || self.columns.as_ref().is_none_or(|columns| columns.contains(column))
            }
            [] => true,
        }
    }
}

/// The columns that every table has.
const SYSTEM: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Whether a statement has no condition on rows: it has none, or one in which no column is. A column of another table is no
/// condition on rows of the one that is changed.
fn is_unbounded(condition: Option<&Node>, target: &TargetTable) -> bool {
    let has_one = |node: &NodeEnum| references(node).columns.iter().any(|column| target.may_have(column));
    !inner(condition).is_some_and(has_one)
}

/// Whether an expression has the same value in each row and session.
pub fn is_constant(node: &NodeEnum) -> bool {
    let found = references(node);
    !found.has_columns && !found.varies
}
