//! `CREATE TABLE`, and `ALTER TABLE` command by command.

use std::collections::BTreeMap;

use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, ConstrType, Constraint, DropBehavior, ObjectType,
};
use pg_query::{Node, NodeEnum};

use super::catalog::Column;
use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Standing;
use super::made::is_serial;
use super::names::{Name, inner, quoted, strings};
use super::types::{Change, Type, change};
use super::{drops, made, objects};

/// Adds the relation that a statement creates to the known ones.
pub fn create(judge: &mut Judge<'_>, tree: &NodeEnum) {
    let (relation, unless_there) = match tree {
        NodeEnum::CreateStmt(it) => (it.relation.as_ref(), it.if_not_exists),
        NodeEnum::CreateForeignTableStmt(it) => match &it.base_stmt {
            Some(base) => (base.relation.as_ref(), base.if_not_exists),
            None => return,
        },
        NodeEnum::CreateTableAsStmt(it) => (it.into.as_ref().and_then(|into| into.rel.as_ref()), it.if_not_exists),
        // A view that is replaced existed before.
        NodeEnum::ViewStmt(it) => (it.view.as_ref(), it.replace),
        NodeEnum::CreateSeqStmt(it) => (it.sequence.as_ref(), it.if_not_exists),
        _ => return,
    };
    let Some(name) = relation.map(Name::from) else { return };
    if matches!(tree, NodeEnum::ViewStmt(_)) {
        judge.known.create_view(&name, unless_there);
    } else {
        judge.known.create(&name, unless_there);
    }
}

/// The table of an `ALTER TABLE`.
struct AlteredTable {
    name: Name,
    filled: bool,
    columns: BTreeMap<String, Column>,
    /// `columns` holds all columns of the table.
    complete: bool,
    /// Constraints that the same statement adds.
    readded: Vec<String>,
}

impl AlteredTable {
    fn column(&self, name: &str) -> String {
        format!("{}.{}", self.name, quoted(name))
    }

    /// The statement in short form.
    fn says(&self, words: &str, name: &str) -> String {
        let gap = if name.is_empty() { "" } else { " " };
        let name = if name.is_empty() { String::new() } else { quoted(name) };
        format!("ALTER TABLE {} {words}{gap}{name}", self.name)
    }
}

/// Judges `ALTER TABLE`, which PostgreSQL accepts for other relations too.
pub fn alter(judge: &mut Judge<'_>, it: &AlterTableStmt) {
    let Some(name) = it.relation.as_ref().map(Name::from) else {
        return;
    };
    let is_type = it.objtype() == ObjectType::ObjectType;
    let (filled, columns) = match judge.known.standing(&name) {
        Standing::New => return attach(judge, &name, it),
        Standing::Absent if it.missing_ok => return,
        Standing::Absent => (true, None),
        Standing::There { filled, columns } => (filled || is_type, columns),
    };
    let complete = columns.is_some();
    let columns = columns.unwrap_or_default();
    let mut table = AlteredTable {
        name,
        filled,
        columns,
        complete,
        readded: made::constraints(&NodeEnum::AlterTableStmt(it.clone())),
    };
    for node in &it.cmds {
        if let Some(NodeEnum::AlterTableCmd(command)) = &node.node {
            part(judge, &mut table, command);
        }
    }
    if table.complete {
        judge
            .known
            .columns(&table.name, |known| known.clone_from(&table.columns));
    }
}

/// Judges the attachment of partitions to a table that the pending scripts create. Dropping or emptying the table
/// then loses the rows of an existing partition.
fn attach(judge: &mut Judge<'_>, parent: &Name, it: &AlterTableStmt) {
    for node in &it.cmds {
        let Some(NodeEnum::AlterTableCmd(command)) = &node.node else {
            continue;
        };
        let child = match inner(command.def.as_deref()) {
            Some(NodeEnum::PartitionCmd(partition)) if command.subtype() == AlterTableType::AtAttachPartition => {
                partition.name.as_ref().map(Name::from)
            }
            _ => None,
        };
        if let Some(child) = child.filter(|child| judge.is_filled(child)) {
            let statement = format!("ALTER TABLE {parent} ATTACH PARTITION {child}");
            judge.find(FindingKind::AttachPartition, parent, statement);
            judge.known.fill(parent);
        }
    }
}

/// Whether the scripts added the column. Such a column has an empty type here, and holds nothing to lose.
fn is_added(table: &AlteredTable, column: &str) -> bool {
    let known = table.columns.get(column).filter(|_| table.complete);
    known.is_some_and(|column| column.type_ == Type::default())
}

fn part(judge: &mut Judge<'_>, table: &mut AlteredTable, command: &AlterTableCmd) {
    use AlterTableType as Is;
    let name = command.name.as_str();
    match command.subtype() {
        Is::AtAddColumn => {
            if let Some(NodeEnum::ColumnDef(column)) = inner(command.def.as_deref()) {
                add_column(judge, table, column, command.missing_ok);
            }
        }
        Is::AtDropColumn => {
            let absent = command.missing_ok && table.complete && !table.columns.contains_key(name);
            if !is_added(table, name) && !absent {
                judge.find(
                    FindingKind::DropColumn,
                    table.column(name),
                    table.says("DROP COLUMN", name),
                );
            }
            table.columns.remove(name);
        }
        Is::AtSetNotNull => {
            let required = table.columns.get(name).is_some_and(|column| column.required);
            if table.filled && !required {
                let statement = format!("{} SET NOT NULL", table.says("ALTER COLUMN", name));
                judge.find(FindingKind::RequireValue, table.column(name), statement);
            }
        }
        Is::AtDropNotNull => {
            table
                .columns
                .entry(name.to_owned())
                .and_modify(|column| column.required = false);
        }
        Is::AtAlterColumnType => {
            if let Some(NodeEnum::ColumnDef(column)) = inner(command.def.as_deref()) {
                alter_type(judge, table, name, column);
            }
        }
        Is::AtAddConstraint => {
            if let Some(NodeEnum::Constraint(constraint)) = inner(command.def.as_deref()) {
                add_constraint(judge, table, constraint);
            }
        }
        Is::AtDropConstraint => {
            let key = objects::constraint(&table.name, name);
            // CASCADE also drops the foreign keys that refer to a key.
            let cascades = command.behavior() == DropBehavior::DropCascade;
            let again = table.readded.iter().any(|added| added == name);
            let made = judge.known.is_made(&key);
            let harmless = if again {
                !cascades
            } else {
                judge.known.unmake(&key) || !cascades && drops::replaced(judge, &key)
            };
            if again && !made {
                judge.known.keep(key);
            }
            if !harmless {
                judge.find(
                    FindingKind::DropConstraint,
                    table.column(name),
                    table.says("DROP CONSTRAINT", name),
                );
            }
        }
        other => whole(judge, table, other, command),
    }
}

/// Judges a command that concerns the whole table.
fn whole(judge: &mut Judge<'_>, table: &AlteredTable, what: AlterTableType, command: &AlterTableCmd) {
    use AlterTableType as Is;
    let partition = || match inner(command.def.as_deref()) {
        Some(NodeEnum::PartitionCmd(partition)) => partition.name.as_ref().map(Name::from),
        Some(NodeEnum::RangeVar(parent)) => Some(parent.into()),
        _ => None,
    };
    let (kind, words) = match what {
        Is::AtDisableRowSecurity => (FindingKind::DisableRowSecurity, "DISABLE ROW LEVEL SECURITY"),
        Is::AtNoForceRowSecurity => (FindingKind::DisableRowSecurity, "NO FORCE ROW LEVEL SECURITY"),
        Is::AtSetLogged => (FindingKind::RewriteTable, "SET LOGGED"),
        Is::AtSetUnLogged => (FindingKind::RewriteTable, "SET UNLOGGED"),
        Is::AtSetAccessMethod => (FindingKind::RewriteTable, "SET ACCESS METHOD"),
        Is::AtSetTableSpace => (FindingKind::RewriteTable, "SET TABLESPACE"),
        Is::AtSetExpression => (FindingKind::RewriteTable, "ALTER COLUMN … SET EXPRESSION"),
        Is::AtDetachPartition => (FindingKind::DetachPartition, "DETACH PARTITION"),
        Is::AtDropInherit => (FindingKind::DetachPartition, "NO INHERIT"),
        Is::AtAttachPartition => {
            if let Some(name) = partition().filter(|name| judge.is_filled(name)) {
                judge.find(
                    FindingKind::AttachPartition,
                    &table.name,
                    format!("ALTER TABLE {} ATTACH PARTITION {name}", table.name),
                );
            }
            return;
        }
        Is::AtAddInherit => {
            if let Some(parent) = partition().filter(|_| table.filled) {
                judge.known.fill(&parent);
            }
            return;
        }
        _ => return,
    };
    if kind == FindingKind::RewriteTable && !table.filled {
        return;
    }
    // A partition that the plan made has no rows that were there before.
    if what == Is::AtDetachPartition && partition().is_some_and(|name| judge.known.standing(&name) == Standing::New) {
        return;
    }
    let other = partition().map(|name| format!(" {name}")).unwrap_or_default();
    judge.find(kind, &table.name, format!("{}{other}", table.says(words, "")));
}

fn constraints(column: &ColumnDef) -> impl Iterator<Item = &Constraint> {
    column.constraints.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::Constraint(constraint)) => Some(&**constraint),
        _ => None,
    })
}

fn add_column(judge: &mut Judge<'_>, table: &mut AlteredTable, column: &ColumnDef, unless_there: bool) {
    let name = column.colname.as_str();
    if unless_there && table.columns.contains_key(name) {
        return;
    }
    let type_ = column.type_name.as_ref().map(Type::from).unwrap_or_default();
    let has = |what| constraints(column).any(|constraint| constraint.contype() == what);
    let counts = is_serial(&type_);
    let stored = constraints(column).any(|it| it.contype() == ConstrType::ConstrGenerated && it.generated_kind != "v");
    let computed = counts || stored || has(ConstrType::ConstrIdentity);
    let default = constraints(column).find(|constraint| constraint.contype() == ConstrType::ConstrDefault);
    let default = default.and_then(|constraint| inner(constraint.raw_expr.as_deref()));
    let required = has(ConstrType::ConstrNotnull) || has(ConstrType::ConstrPrimary);
    let is_null = |node: &NodeEnum| matches!(node, NodeEnum::AConst(constant) if constant.isnull);
    let valued = computed || has(ConstrType::ConstrGenerated) || default.is_some_and(|node| !is_null(node));
    if table.filled {
        if required && !valued {
            let statement = format!("{} {type_} NOT NULL", table.says("ADD COLUMN", name));
            judge.find(FindingKind::RequireValue, table.column(name), statement);
        }
        if computed || default.is_some_and(is_volatile) {
            judge.find(
                FindingKind::RewriteTable,
                table.column(name),
                table.says("ADD COLUMN", name),
            );
        }
        let scans = [
            ConstrType::ConstrPrimary,
            ConstrType::ConstrUnique,
            ConstrType::ConstrCheck,
        ]
        .into_iter()
        .any(has);
        if scans || has(ConstrType::ConstrForeign) && valued {
            judge.find(
                FindingKind::AddConstraint,
                table.column(name),
                table.says("ADD COLUMN", name),
            );
        }
    }
    table.columns.insert(
        name.to_owned(),
        Column {
            type_: Type::default(),
            required,
        },
    );
}

fn alter_type(judge: &mut Judge<'_>, table: &mut AlteredTable, name: &str, column: &ColumnDef) {
    let new = column.type_name.as_ref().map(Type::from).unwrap_or_default();
    let old = table.columns.get(name).map(|column| column.type_.clone());
    if !table.filled || is_added(table, name) {
        return;
    }
    // A USING clause that only casts the column to its new type changes nothing, unless the cast cuts values.
    let using = inner(column.raw_default.as_deref());
    let plain = using.is_none_or(|node| {
        matches!(node, NodeEnum::TypeCast(cast)
        if matches!(inner(cast.arg.as_deref()), Some(NodeEnum::ColumnRef(of)) if strings(&of.fields) == [name])
            && cast.type_name.as_ref().map(Type::from).as_ref() == Some(&new))
    });
    let effect = match &old {
        Some(old) if plain => change(old, &new),
        _ => Change::Narrows,
    };
    let from = old.as_ref().map(|old| format!(" (from {old})")).unwrap_or_default();
    let statement = format!("{} TYPE {new}{from}", table.says("ALTER COLUMN", name));
    match effect {
        Change::Free => {}
        Change::Rewrites => judge.find(FindingKind::RewriteTable, table.column(name), statement),
        Change::Narrows => judge.find(FindingKind::NarrowType, table.column(name), statement),
    }
    table
        .columns
        .entry(name.to_owned())
        .and_modify(|column| column.type_ = new);
}

fn add_constraint(judge: &mut Judge<'_>, table: &mut AlteredTable, it: &Constraint) {
    let scans = match it.contype() {
        ConstrType::ConstrCheck | ConstrType::ConstrForeign => !it.skip_validation && it.is_enforced,
        ConstrType::ConstrPrimary | ConstrType::ConstrUnique => it.indexname.is_empty(),
        ConstrType::ConstrExclusion => true,
        ConstrType::ConstrNotnull => {
            let name = strings(&it.keys).pop().unwrap_or_default();
            let required = table.columns.get(&name).is_some_and(|column| column.required);
            if table.filled && !it.skip_validation && !required {
                judge.find(
                    FindingKind::RequireValue,
                    table.column(&name),
                    table.says("ADD NOT NULL", &name),
                );
            }
            false
        }
        _ => false,
    };
    if scans && table.filled {
        judge.find(
            FindingKind::AddConstraint,
            &table.name,
            table.says("ADD CONSTRAINT", &it.conname),
        );
    }
}

/// Whether a default can have another value for each row, so that all rows are rewritten: it calls a function that is
/// not known to be constant throughout a statement.
fn is_volatile(node: &NodeEnum) -> bool {
    const SAME: [&str; 10] = [
        "now",
        "transaction_timestamp",
        "statement_timestamp",
        "current_setting",
        "timezone",
        "lower",
        "upper",
        "to_timestamp",
        "jsonb_build_object",
        "jsonb_build_array",
    ];
    let volatile = |node: &Node| node.node.as_ref().is_some_and(is_volatile);
    match node {
        NodeEnum::AConst(_) | NodeEnum::SqlvalueFunction(_) => false,
        NodeEnum::TypeCast(it) => it.arg.as_deref().is_some_and(volatile),
        NodeEnum::AExpr(it) => [&it.lexpr, &it.rexpr].into_iter().flatten().any(|node| volatile(node)),
        NodeEnum::AArrayExpr(it) => it.elements.iter().any(volatile),
        NodeEnum::FuncCall(call) => {
            let known = strings(&call.funcname)
                .last()
                .is_some_and(|name| SAME.contains(&name.as_str()));
            !known || call.args.iter().any(volatile)
        }
        _ => true,
    }
}
