//! `ALTER TABLE` of a table that the pending scripts create: what it does to what was there before.

use pg_query::NodeEnum;
use pg_query::protobuf::{AlterTableCmd, AlterTableStmt, AlterTableType, DropBehavior};

use super::finding::FindingKind;
use super::judge::Judge;
use super::names::{Name, inner, quoted};

/// Judges the commands of the statement.
pub fn alter(judge: &mut Judge<'_>, table: &Name, it: &AlterTableStmt) {
    for node in &it.cmds {
        if let Some(NodeEnum::AlterTableCmd(command)) = &node.node {
            attach(judge, table, command);
            cascade(judge, table, command);
        }
    }
}

/// Judges the attachment of a partition.
fn attach(judge: &mut Judge<'_>, parent: &Name, command: &AlterTableCmd) {
    let child = match inner(command.def.as_deref()) {
        Some(NodeEnum::PartitionCmd(partition)) if command.subtype() == AlterTableType::AtAttachPartition => {
            partition.name.as_ref().map(Name::from)
        }
        _ => None,
    };
    if let Some(child) = child.filter(|child| judge.is_filled(child)) {
        let statement = format!("ALTER TABLE {parent} ATTACH PARTITION {child}");
        judge.find(FindingKind::AttachPartition, parent, statement);
    }
}

/// Judges what CASCADE drops with a part of the table: a view or a policy that was there before may use it by now.
fn cascade(judge: &mut Judge<'_>, table: &Name, command: &AlterTableCmd) {
    if command.behavior() != DropBehavior::DropCascade {
        return;
    }
    let (kind, words) = match command.subtype() {
        AlterTableType::AtDropColumn => (FindingKind::DropColumn, "DROP COLUMN"),
        AlterTableType::AtDropConstraint => (FindingKind::DropConstraint, "DROP CONSTRAINT"),
        _ => return,
    };
    let name = quoted(&command.name);
    let statement = format!("ALTER TABLE {table} {words} {name}");
    judge.find(kind, format!("{table}.{name}"), statement);
}
