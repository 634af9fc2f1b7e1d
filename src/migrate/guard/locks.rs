//! Statements that lock or rewrite whole tables while other sessions wait.

use pg_query::NodeEnum;
use pg_query::protobuf::{IndexStmt, RefreshMatViewStmt, ReindexObjectType, ReindexStmt, VacuumStmt};

use super::catalog::Sort;
use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Existence;
use super::names::{Name, is_on, quoted, ranges};
use crate::api::Effect;

/// Judges a statement that locks or rewrites a table.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::IndexStmt(it) => index(judge, it),
        NodeEnum::ReindexStmt(it) => reindex(judge, it),
        NodeEnum::ClusterStmt(it) => rewrite(judge, "CLUSTER", it.relation.as_ref().map(Name::from)),
        NodeEnum::VacuumStmt(it) => vacuum(judge, it),
        NodeEnum::AlterTableMoveAllStmt(_) => rewrite(judge, "ALTER … ALL IN TABLESPACE", None),
        NodeEnum::LockStmt(it) => {
            let there = |name: &Name| judge.known.presence(name) != Existence::New;
            let names: Vec<_> = ranges(&it.relations).map(Name::from).filter(there).collect();
            for name in names {
                judge.find(FindingKind::LockTable, &name, format!("LOCK TABLE {name}"));
            }
        }
        NodeEnum::RefreshMatViewStmt(it) if !it.concurrent => refresh(judge, it),
        _ => {}
    }
}

fn refresh(judge: &mut Judge<'_>, it: &RefreshMatViewStmt) {
    let name = it.relation.as_ref().map(Name::from);
    let Some(name) = name.filter(|name| judge.is_filled(name)) else {
        return;
    };
    let statement = format!("REFRESH MATERIALIZED VIEW {name}");
    if it.skip_data {
        // Its rows go, and it cannot be read until another refresh.
        let statement = format!("{statement} WITH NO DATA");
        judge.find_as(FindingKind::Refresh, Effect::Destructive, &name, statement);
    } else {
        judge.find(FindingKind::Refresh, &name, statement);
    }
}

fn index(judge: &mut Judge<'_>, it: &IndexStmt) {
    let Some(table) = it.relation.as_ref().map(Name::from) else {
        return;
    };
    if !it.concurrent && judge.is_filled(&table) {
        let name = if it.idxname.is_empty() {
            String::new()
        } else {
            format!("{} ", quoted(&it.idxname))
        };
        judge.find(
            FindingKind::CreateIndex,
            &table,
            format!("CREATE INDEX {name}ON {table}"),
        );
    }
    let index = Name {
        schema: table.schema,
        name: it.idxname.clone(),
    };
    judge.known.create(&index, Sort::Index, it.if_not_exists);
}

fn reindex(judge: &mut Judge<'_>, it: &ReindexStmt) {
    if is_on(&it.params, "concurrently") {
        return;
    }
    let Some(relation) = it.relation.as_ref().map(Name::from) else {
        judge.find(
            FindingKind::Reindex,
            quoted(&it.name),
            "REINDEX of a whole schema or database".into(),
        );
        return;
    };
    let filled = it.kind() != ReindexObjectType::ReindexObjectTable || judge.is_filled(&relation);
    if filled && judge.known.presence(&relation) != Existence::New {
        judge.find(FindingKind::Reindex, &relation, format!("REINDEX {relation}"));
    }
}

fn vacuum(judge: &mut Judge<'_>, it: &VacuumStmt) {
    if !it.is_vacuumcmd || !is_on(&it.options, "full") {
        return;
    }
    let relations = it.rels.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::VacuumRelation(relation)) => relation.relation.as_ref().map(Name::from),
        _ => None,
    });
    let relations: Vec<Name> = relations.collect();
    if relations.is_empty() {
        rewrite(judge, "VACUUM FULL", None);
    }
    for relation in relations {
        rewrite(judge, "VACUUM FULL", Some(relation));
    }
}

fn rewrite(judge: &mut Judge<'_>, words: &str, relation: Option<Name>) {
    match relation {
        None => judge.find(FindingKind::RewriteTable, "", format!("{words} of all tables")),
        Some(name) if judge.is_filled(&name) => judge.find(FindingKind::RewriteTable, &name, format!("{words} {name}")),
        Some(_) => {}
    }
}
