//! Functions that belong to extensions, and tables by which an extension removes rows or runs texts at another time.
//!
//! A function of an extension is judged by [`extension_table`] where that has it. Of the others, one that is declared STABLE or
//! IMMUTABLE changes nothing, a body in SQL or PL/pgSQL is read, and one in another language is opaque, unless its extension
//! only computes.

use std::collections::BTreeMap;
use std::sync::Arc;

use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{CmdType, InsertStmt};
use pg_query::{Node, NodeEnum};

use super::calls::FunctionCall;
use super::extension_table::{self, Does};
use super::finding::FindingKind;
use super::judge::Judge;
use super::known_code::KnownRoutine;
use super::limits::run;
use super::names::{Name, inner, is_on};
use crate::api::Effect;

/// How a function is run.
#[derive(Clone, Copy)]
pub enum RunBy<'a> {
    /// By a call.
    Call(&'a FunctionCall),
    /// Perhaps by the field of a row: `t.f` may mean `f(t)`.
    Field,
    /// Without being named in a statement, such as by a trigger.
    Itself,
}

/// Judges the functions that a name can mean as far as they belong to extensions. Returns those whose bodies must be read.
pub fn unread(judge: &mut Judge<'_>, name: &Name, routines: Vec<KnownRoutine>, by: RunBy<'_>) -> Vec<KnownRoutine> {
    if routines.is_empty() {
        absent(judge, name, by);
    }
    let mut left = Vec::new();
    let mut of_extensions = BTreeMap::<Arc<str>, Vec<KnownRoutine>>::new();
    for routine in routines {
        match &routine.extension {
            Some(extension) => of_extensions.entry(extension.clone()).or_default().push(routine),
            None => left.push(routine),
        }
    }
    for (extension, mut routines) in of_extensions {
        let does = extension_table::does(&extension, &name.name);
        if let (Some(does), false) = (does, matches!(by, RunBy::Field)) {
            act(judge, name, does, by);
            continue;
        }
        routines.retain(|routine| routine.acts && !extension_table::is_computing(&extension));
        let (read, unreadable): (Vec<_>, Vec<_>) = routines.into_iter().partition(|it| it.definition.is_some());
        left.extend(read);
        // It takes no row.
        if !unreadable.is_empty() && !matches!(by, RunBy::Field) {
            let statement = format!("a call of {name}, a function of the extension {extension} that is not known");
            judge.find(FindingKind::Opaque, name, statement);
        }
    }
    left
}

/// Judges a function that neither the database nor the scripts have: it may come with an extension that they create.
fn absent(judge: &mut Judge<'_>, name: &Name, by: RunBy<'_>) {
    if matches!(by, RunBy::Field) {
        return;
    }
    let code = &judge.known.code;
    let unknown_in = |new: &&Arc<str>| extension_table::does(new, &name.name).is_none();
    let new = &code.new_extensions;
    let foreign = new.iter().find(unknown_in);
    let by_name = extension_table::does_by_name(name.schema.as_deref(), &name.name);
    // Another extension of the scripts may have a function of the same name.
    if let Some(does) = by_name.filter(|does| *does != Does::LosesNothing || foreign.is_none()) {
        return act(judge, name, does, by);
    }
    let extension = foreign.or_else(|| new.first()).cloned();
    if let Some(extension) = extension.filter(|_| !code.is_builtin(name)) {
        let statement = format!("a call of {name}, which may be a function of the extension {extension}");
        judge.find(FindingKind::Opaque, name, statement);
    }
}

fn act(judge: &mut Judge<'_>, name: &Name, does: Does, by: RunBy<'_>) {
    let texts = match (does, by) {
        (Does::LosesNothing, _) => return,
        (Does::Is(kind), _) => return judge.find(kind, name, format!("a call of {name}")),
        (Does::RunsTexts, RunBy::Call(call)) => call.all_texts(),
        (Does::RunsLast, RunBy::Call(call)) => call.last_text("command").map(|text| vec![text]),
        _ => None,
    };
    let Some(texts) = texts else {
        return judge.find(
            FindingKind::Opaque,
            name,
            format!("a call of {name} with a computed text"),
        );
    };
    for text in texts {
        run(judge, &Arc::from(text), &format!("{name}()"), |judge| {
            // The session that runs it has another search path than the script, or may have.
            let before = std::mem::replace(&mut judge.known.elsewhere, true);
            judge.script(text);
            judge.known.elsewhere = before;
        });
    }
}

/// Judges a statement that creates an extension, or that writes to a table by which one removes rows or runs texts.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::CreateExtensionStmt(it)
            if !extension_table::is_computing(&it.extname) || is_on(&it.options, "cascade") =>
        {
            judge.known.code.new_extensions.insert(Arc::from(it.extname.as_str()));
            judge.known.version += 1;
        }
        NodeEnum::InsertStmt(it) => {
            let (set, table) = (columns(&it.cols, it), it.relation.as_ref().map(Name::from));
            let changed = it.on_conflict_clause.iter().flat_map(|conflict| &conflict.target_list);
            publishes(judge, table.as_ref(), "INSERT INTO", changed);
            configures(judge, table, "INSERT INTO", &set);
        }
        NodeEnum::UpdateStmt(it) => {
            let set: Vec<_> = it.target_list.iter().filter_map(assigned).collect();
            let table = it.relation.as_ref().map(Name::from);
            publishes(judge, table.as_ref(), "UPDATE", &it.target_list);
            configures(judge, table, "UPDATE", &set);
        }
        NodeEnum::MergeStmt(it) => {
            let table = it.relation.as_ref().map(Name::from);
            let whens = it.merge_when_clauses.iter().filter_map(|when| match &when.node {
                Some(NodeEnum::MergeWhenClause(when)) if when.command_type() == CmdType::CmdUpdate => Some(when),
                _ => None,
            });
            publishes(
                judge,
                table.as_ref(),
                "MERGE INTO",
                whens.flat_map(|when| &when.target_list),
            );
            configures(judge, table, "MERGE INTO", &["retention"]);
        }
        NodeEnum::CopyStmt(it) if it.is_from => {
            configures(judge, it.relation.as_ref().map(Name::from), "COPY", &["retention"]);
        }
        _ => {}
    }
}

/// The columns that an INSERT gives values; all of them if it does not say which.
fn columns<'a>(cols: &'a [Node], it: &'a InsertStmt) -> Vec<&'a str> {
    let mut set: Vec<_> = cols.iter().filter_map(assigned).collect();
    if cols.is_empty() {
        set.push("retention");
    }
    if let Some(conflict) = &it.on_conflict_clause {
        set.extend(conflict.target_list.iter().filter_map(assigned));
    }
    set
}

/// The column that is assigned; none if it is set to NULL or false.
fn assigned(node: &Node) -> Option<&str> {
    let Some(NodeEnum::ResTarget(target)) = &node.node else {
        return None;
    };
    let nothing = match inner(target.val.as_deref()) {
        Some(NodeEnum::AConst(constant)) => {
            constant.isnull || matches!(&constant.val, Some(Val::Boolval(value)) if !value.boolval)
        }
        _ => false,
    };
    (!nothing).then_some(target.name.as_str())
}

/// Judges a change of existing rows by which Supabase Storage shows the files of a bucket to everybody. `UPDATE … SET (a, b) =
/// …` has one target for each column.
fn publishes<'a>(
    judge: &mut Judge<'_>,
    table: Option<&Name>,
    words: &str,
    changed: impl IntoIterator<Item = &'a Node>,
) {
    let Some(table) = table.filter(|table| table.schema.as_deref() == Some("storage") && table.name == "buckets")
    else {
        return;
    };
    if changed
        .into_iter()
        .filter_map(assigned)
        .any(|column| column == "public")
        && judge.is_filled(table)
    {
        let statement = format!("{words} {table} that makes buckets public, so that everybody reads their files");
        judge.find_as(FindingKind::OpenPolicy, Effect::Exposing, table, statement);
    }
}

/// Judges a change of rows that `pg_partman` and `pg_cron` act by.
fn configures(judge: &mut Judge<'_>, table: Option<Name>, words: &str, set: &[&str]) {
    let Some(table) = table else { return };
    match (table.schema.as_deref(), table.name.as_str()) {
        (_, "part_config" | "part_config_sub") if set.iter().any(|column| column.contains("retention")) => {
            let statement = format!("{words} {table} with a retention, by which pg_partman removes partitions");
            judge.find(FindingKind::DropTable, &table, statement);
        }
        (Some("cron"), "job") => {
            judge.find(
                FindingKind::Opaque,
                &table,
                format!("{words} {table}, which pg_cron runs"),
            );
        }
        _ => {}
    }
}
