//! Relations that show rows of existing tables to the roles that may read them: views, tables that a query fills, and
//! parents of tables.

use pg_query::NodeEnum;
use pg_query::protobuf::{CmdType, RangeVar};

use super::calls::references;
use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Existence;
use super::leaks::{self, source};
use super::names::{Name, is_on};
use crate::api::Effect;

/// Judges a statement by which a relation or a function shows rows of a table that was there before.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    let (relation, view) = match tree {
        NodeEnum::ViewStmt(it) if is_on(&it.options, "security_invoker") => {
            if let Some(name) = it.view.as_ref().map(Name::from) {
                judge.known.mark(&name, |marks| marks.behind = true);
            }
            return;
        }
        NodeEnum::ViewStmt(it) => (it.view.as_ref(), true),
        // The query of a view.
        NodeEnum::RuleStmt(it) if it.event() == CmdType::CmdSelect => (it.relation.as_ref(), true),
        NodeEnum::CreateTableAsStmt(it) => (it.into.as_ref().and_then(|into| into.rel.as_ref()), false),
        NodeEnum::SelectStmt(it) => (it.into_clause.as_ref().and_then(|into| into.rel.as_ref()), false),
        NodeEnum::InsertStmt(it) => (it.relation.as_ref(), false),
        NodeEnum::UpdateStmt(it) => (it.relation.as_ref(), false),
        NodeEnum::MergeStmt(it) => (it.relation.as_ref(), false),
        _ => return leaks::statement(judge, tree),
    };
    let Some(name) = relation.map(Name::from) else { return };
    let found = references(tree);
    let mut read = found.relations;
    // A view runs functions with the rights of the role that reads it.
    if !view {
        let calls = found.calls.into_iter().map(|call| Name::of(call.name));
        read.extend(leaks::read_by(judge, calls.collect()));
    }
    read.retain(|read| !read.can_be(&name));
    if let Some(source) = source(judge, &read) {
        show(judge, &name, &source, view);
    }
}

/// Records that a relation shows rows of another one, and reports who may read them through it.
fn show(judge: &mut Judge<'_>, name: &Name, source: &Name, view: bool) {
    for (at, name) in judge.known.lineage(name).iter().enumerate() {
        // The catalog says who may read it.
        judge.known.presence(name);
        // A parent that several relations share is reported once.
        if at > 0 && judge.known.marks(name).shows {
            continue;
        }
        judge.known.mark(name, |marks| marks.shows = true);
        if let Some((effect, who)) = shown_to(judge, name, view) {
            let statement = format!("rows of {source} in {name}, which {who} may read");
            judge.find_as(FindingKind::Grant, effect, name, statement);
        }
    }
}

/// Who besides the tenant reads all rows of a relation. For a table, only everybody is reported, and no other roles.
fn shown_to(judge: &Judge<'_>, name: &Name, view: bool) -> Option<(Effect, &'static str)> {
    let (marks, readers) = (judge.known.marks(name), judge.known.readers(name));
    let walled = !view && (marks.walled || readers.walled) && !marks.passed;
    if (marks.open || readers.open) && !walled {
        return Some((Effect::Exposing, "everybody"));
    }
    (view && readers.shared).then_some((Effect::Granting, "other roles"))
}

/// Whether everybody reads rows of a new relation that were there before.
pub fn is_open(judge: &Judge<'_>, name: &Name) -> bool {
    let shows = judge.known.marks(name).shows;
    shows && matches!(shown_to(judge, name, false), Some((Effect::Exposing, _)))
}

/// Judges a statement after which the rows of a table also belong to another one: to its parent, or to the table whose
/// partition it is.
pub fn inherits(judge: &mut Judge<'_>, parent: &Name, child: &RangeVar) {
    if let Some(source) = source(judge, &[Name::from(child)]) {
        show(judge, parent, &source, false);
    }
}

/// Judges a view that reads with the rights of its owner from now on.
pub fn by_owner(judge: &mut Judge<'_>, view: &Name) {
    let new = judge.known.presence(view) == Existence::New;
    if new && !judge.known.marks(view).behind {
        return;
    }
    judge.known.mark(view, |marks| marks.shows = true);
    if !new || judge.known.marks(view).open {
        let statement = format!("ALTER VIEW {view} with the rights of its owner");
        judge.find_as(FindingKind::SecurityDefiner, Effect::Exposing, view, statement);
    }
}
