//! Statements that tie a relation to another one, such as a parent, a foreign key or a view: a later statement on one of them
//! also loses or shows rows of the other.

use pg_query::protobuf::{AlterSeqStmt, AlterTableStmt, AlterTableType, CmdType, ConstrType, CreateStmt, RangeVar};
use pg_query::{Node, NodeEnum};

use super::calls::references;
use super::judge::Judge;
use super::known::Existence;
use super::names::{Name, inner, ranges, strings};
use super::ties::Tie;

/// Judges a statement after which rows of a relation are lost or shown with another one.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::CreateStmt(it) => create(judge, it),
        NodeEnum::CreateForeignTableStmt(it) => {
            if let Some(it) = &it.base_stmt {
                create(judge, it);
            }
        }
        NodeEnum::AlterTableStmt(it) => alter(judge, it),
        NodeEnum::AlterSeqStmt(it) => owned(judge, it),
        NodeEnum::ViewStmt(it) => view(judge, it.view.as_ref(), tree),
        // A table with such a rule is a view.
        NodeEnum::RuleStmt(it) if it.event() == CmdType::CmdSelect => {
            if let Some(name) = it.relation.as_ref().map(Name::from) {
                judge.known.presence(&name);
                judge.known.fill(&name);
            }
            view(judge, it.relation.as_ref(), tree);
        }
        _ => {}
    }
}

fn tie(judge: &mut Judge<'_>, below: &Name, above: &Name, how: Tie) {
    // They are read from the catalog.
    judge.known.presence(below);
    judge.known.presence(above);
    judge.known.tie(below, above, how);
}

fn create(judge: &mut Judge<'_>, it: &CreateStmt) {
    let Some(table) = it.relation.as_ref().map(Name::from) else {
        return;
    };
    let how = if it.partbound.is_some() {
        Tie::Partition
    } else {
        Tie::Child
    };
    for parent in ranges(&it.inh_relations) {
        tie(judge, &table, &parent.into(), how);
    }
    keys(judge, &table, &it.table_elts);
}

fn alter(judge: &mut Judge<'_>, it: &AlterTableStmt) {
    let Some(table) = it.relation.as_ref().map(Name::from) else {
        return;
    };
    for node in &it.cmds {
        let Some(NodeEnum::AlterTableCmd(command)) = &node.node else {
            continue;
        };
        match (command.subtype(), inner(command.def.as_deref())) {
            (AlterTableType::AtAddInherit, Some(NodeEnum::RangeVar(parent))) => {
                tie(judge, &table, &parent.into(), Tie::Child);
            }
            (AlterTableType::AtAttachPartition, Some(NodeEnum::PartitionCmd(partition))) => {
                if let Some(child) = &partition.name {
                    tie(judge, &child.into(), &table, Tie::Partition);
                }
            }
            (AlterTableType::AtAddColumn | AlterTableType::AtAddConstraint, Some(_)) => {
                let def = command.def.as_deref().map(std::slice::from_ref);
                keys(judge, &table, def.unwrap_or_default());
            }
            _ => {}
        }
    }
}

/// Ties a table by the foreign keys among its columns and constraints that act on it.
fn keys(judge: &mut Judge<'_>, table: &Name, nodes: &[Node]) {
    for node in nodes {
        match &node.node {
            Some(NodeEnum::ColumnDef(column)) => keys(judge, table, &column.constraints),
            Some(NodeEnum::Constraint(it)) if it.contype() == ConstrType::ConstrForeign => {
                let acts = |action: &str| matches!(action, "c" | "n" | "d");
                let (deletes, updates) = (acts(&it.fk_del_action), acts(&it.fk_upd_action));
                if let Some(target) = it.pktable.as_ref().filter(|_| deletes || updates) {
                    tie(judge, table, &target.into(), Tie::Key { deletes, updates });
                }
            }
            _ => {}
        }
    }
}

/// A change of a view's rows is one of the relations that it reads.
fn view(judge: &mut Judge<'_>, view: Option<&RangeVar>, tree: &NodeEnum) {
    let Some(view) = view.map(Name::from) else { return };
    for read in references(tree).relations {
        if !read.can_be(&view) {
            tie(judge, &read, &view, Tie::View);
        }
    }
}

/// A sequence that a column owns is dropped with it.
fn owned(judge: &mut Judge<'_>, it: &AlterSeqStmt) {
    let Some(sequence) = it.sequence.as_ref().map(Name::from) else {
        return;
    };
    for node in &it.options {
        let Some(NodeEnum::DefElem(option)) = &node.node else {
            continue;
        };
        let mut parts = match inner(option.arg.as_deref()) {
            Some(NodeEnum::List(list)) if option.defname == "owned_by" => strings(&list.items),
            _ => continue,
        };
        let column = parts.pop().unwrap_or_default();
        if parts.is_empty() || judge.known.presence(&sequence) == Existence::New {
            continue;
        }
        let table = Name::of(parts);
        judge.known.presence(&table);
        judge.known.fill(&table);
        judge.known.own(&table, &column);
    }
}
