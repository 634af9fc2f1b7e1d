//! `CREATE TABLE`, and `ALTER TABLE` command by command.

use std::collections::BTreeMap;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, ConstrType, Constraint, DropBehavior, ObjectType,
};

use super::catalog::{Column, Sort};
use super::finding::FindingKind;
use super::judge::Judge;
use super::known::{Existence, KnownConstraint};
use super::made::is_serial;
use super::names::{Name, inner, quoted, strings};
use super::types::{Type, TypeChange, change, is_text};
use super::volatile::is_volatile;
use super::{made, new_tables, objects};
use crate::api::Effect;

/// Adds the relation that a statement creates to the known ones.
pub fn create(judge: &mut Judge<'_>, tree: &NodeEnum) {
    let (relation, sort, unless_there) = match tree {
        NodeEnum::CreateStmt(it) => (it.relation.as_ref(), Sort::Table, it.if_not_exists),
        NodeEnum::CreateForeignTableStmt(it) => match &it.base_stmt {
            Some(base) => (base.relation.as_ref(), Sort::Foreign, base.if_not_exists),
            None => return,
        },
        NodeEnum::CreateTableAsStmt(it) => {
            let sort = match it.objtype() {
                ObjectType::ObjectMatview => Sort::Matview,
                _ => Sort::Table,
            };
            let relation = it.into.as_ref().and_then(|into| into.rel.as_ref());
            (relation, sort, it.if_not_exists)
        }
        // A view that is replaced existed before.
        NodeEnum::ViewStmt(it) => (it.view.as_ref(), Sort::View, it.replace),
        NodeEnum::CreateSeqStmt(it) => (it.sequence.as_ref(), Sort::Sequence, it.if_not_exists),
        _ => return,
    };
    let Some(relation) = relation else { return };
    let name = Name::from(relation);
    judge.known.create(&name, sort, unless_there);
    if relation.relpersistence == "t" {
        judge.known.mark(&name, |marks| marks.open = false);
    }
}

/// The table of an `ALTER TABLE`.
struct AlteredTable {
    name: Name,
    filled: bool,
    columns: BTreeMap<String, Column>,
    /// `columns` holds all columns of the table.
    complete: bool,
    /// Constraints that the same statement adds, with their kinds if all rows satisfy them.
    readded: Vec<(String, Option<char>)>,
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
    let (filled, columns) = match judge.known.existence(&name) {
        Existence::New => return new_tables::alter(judge, &name, it),
        Existence::Absent if it.missing_ok => return,
        Existence::Absent => (true, None),
        Existence::There { filled, columns } => (filled || is_type, columns),
    };
    let complete = columns.is_some();
    let columns = columns.unwrap_or_default();
    let mut table = AlteredTable {
        name,
        filled,
        columns,
        complete,
        readded: made::constraints(it),
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
        Is::AtDropColumn => drop_column(judge, table, command),
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
                if !constraint.indexname.is_empty() {
                    let named = [&constraint.conname, &constraint.indexname];
                    let name = named.into_iter().find(|name| !name.is_empty());
                    let kind = made::kind(constraint).unwrap_or_default();
                    judge
                        .known
                        .add_constraint(&table.name, name.map_or("", |name| name), kind);
                }
            }
        }
        Is::AtDropConstraint => drop_constraint(judge, table, command),
        other => whole(judge, table, other, command),
    }
}

/// Dropping a column is no finding if the scripts added it, unless something goes with it that was there before: a sequence that
/// it owns by now or, with CASCADE, a view or a policy that uses it.
fn drop_column(judge: &mut Judge<'_>, table: &mut AlteredTable, command: &AlterTableCmd) {
    let name = command.name.as_str();
    let absent = command.missing_ok && table.complete && !table.columns.contains_key(name);
    let owns = table.columns.get(name).is_some_and(|column| column.owns);
    let alone = is_added(table, name) && !owns && command.behavior() != DropBehavior::DropCascade;
    if !alone && !absent {
        judge.find(
            FindingKind::DropColumn,
            table.column(name),
            table.says("DROP COLUMN", name),
        );
    }
    table.columns.remove(name);
}

/// Dropping a constraint is no finding if the plan made it, or if the same script adds one of the same kind that all rows
/// satisfy.
fn drop_constraint(judge: &mut Judge<'_>, table: &AlteredTable, command: &AlterTableCmd) {
    let name = command.name.as_str();
    let key = objects::constraint(&table.name, name);
    // CASCADE also drops the foreign keys that refer to a key, and views that group by it.
    let cascades = command.behavior() == DropBehavior::DropCascade;
    if judge.known.unmake(&key) && !cascades {
        return;
    }
    let again = !cascades
        && match judge.known.constraint(&table.name, name) {
            KnownConstraint::Unknown => false,
            // There is nothing to lose.
            KnownConstraint::Absent => table.readded.iter().any(|(added, _)| added == name) || judge.made_later(&key),
            KnownConstraint::OfKind(kind) => {
                table.readded.contains(&(name.to_owned(), Some(kind)))
                    || judge.made_later(&objects::valid_constraint(&table.name, name, kind))
            }
        };
    if again {
        judge.known.keep(key);
    } else {
        judge.find(
            FindingKind::DropConstraint,
            table.column(name),
            table.says("DROP CONSTRAINT", name),
        );
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
        _ => return,
    };
    if kind == FindingKind::RewriteTable && !table.filled {
        return;
    }
    // A partition that the plan made has no rows that were there before.
    if what == Is::AtDetachPartition && partition().is_some_and(|name| judge.known.existence(&name) == Existence::New) {
        return;
    }
    let other = partition().map(|name| format!(" {name}")).unwrap_or_default();
    // The rows of an unlogged table are gone after a crash of the server.
    let effect = match what {
        Is::AtSetUnLogged => Effect::Destructive,
        _ => kind.effect(),
    };
    judge.find_as(kind, effect, &table.name, format!("{}{other}", table.says(words, "")));
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
    // An existing column stays if code catches the error.
    table.columns.entry(name.to_owned()).or_insert(Column {
        required,
        ..Column::default()
    });
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
    // PostgreSQL takes a cast function, if there is one, instead of the text form of a value.
    let cast = judge.known.has_cast() || table.columns.get(name).is_some_and(|column| column.cast);
    let effect = match &old {
        Some(old) if plain && !(new.bare && judge.known.may_hide_type(&new.name)) => match change(old, &new) {
            TypeChange::Rewrites if cast && is_text(&new) => TypeChange::Narrows,
            effect => effect,
        },
        _ => TypeChange::Narrows,
    };
    let from = old.as_ref().filter(|old| !old.name.is_empty());
    let from = from.map(|old| format!(" (from {old})")).unwrap_or_default();
    let statement = format!("{} TYPE {new}{from}", table.says("ALTER COLUMN", name));
    match effect {
        TypeChange::Free => {}
        TypeChange::Rewrites => judge.find(FindingKind::RewriteTable, table.column(name), statement),
        TypeChange::Narrows => judge.find(FindingKind::NarrowType, table.column(name), statement),
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
