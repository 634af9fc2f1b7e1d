//! Statements that give an object another name or schema.

use pg_query::NodeEnum;
use pg_query::protobuf::{AlterObjectSchemaStmt, ObjectType, RenameStmt};

use super::catalog::Sort;
use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Existence;
use super::names::{Name, dotted, inner, quoted, strings};
use super::objects::{self, ObjectKey};
use super::signatures;

/// Judges a statement that renames an object or moves it to another schema.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::RenameStmt(it) => rename(judge, it),
        NodeEnum::AlterObjectSchemaStmt(it) => move_schema(judge, it),
        NodeEnum::AlterEnumStmt(it) if !it.old_val.is_empty() => {
            let name = dotted(&strings(&it.type_name));
            judge.find(FindingKind::Rename, &name, format!("ALTER TYPE {name} RENAME VALUE"));
        }
        _ => {}
    }
}

/// Renaming an object whose name no application uses is no finding.
fn rename(judge: &mut Judge<'_>, it: &RenameStmt) {
    use pg_query::protobuf::ObjectType as Is;
    let relation = it.relation.as_ref().map(Name::from);
    match (it.rename_type(), relation) {
        (Is::ObjectDomconstraint, _) => {}
        (Is::ObjectTabconstraint | Is::ObjectPolicy | Is::ObjectTrigger | Is::ObjectRule, Some(table)) => {
            beside(judge, it, &table);
        }
        (_, Some(relation)) => rename_relation(judge, it, &relation),
        (_, None) => rename_object(judge, it),
    }
}

/// Renames an object of a table. An object that the plan created is then known by its new name, and no longer by its old
/// one.
fn beside(judge: &mut Judge<'_>, it: &RenameStmt, table: &Name) {
    let constraint = it.rename_type() == ObjectType::ObjectTabconstraint;
    let key = |name: &String| {
        if constraint {
            return objects::constraint(table, name);
        }
        let mut parts: Vec<String> = table.schema.clone().into_iter().collect();
        parts.extend([table.name.clone(), name.clone()]);
        objects::key(it.rename_type(), &parts)
    };
    if constraint {
        judge.known.rename_constraint(table, &it.subname, &it.newname);
    }
    remake(judge, &key(&it.subname), key(&it.newname));
}

/// Gives an object the key of its new name. Returns whether the plan made it.
fn remake(judge: &mut Judge<'_>, old: &ObjectKey, new: ObjectKey) -> bool {
    let (made, certain) = (judge.known.unmake(old), judge.is_certain());
    judge.known.unmake(&new);
    if let Some(table) = &new.table {
        // Also with another spelling of the table's name.
        judge.known.forget(&table.name);
    }
    if made {
        judge.known.make(new, certain);
    }
    made
}

fn rename_object(judge: &mut Judge<'_>, it: &RenameStmt) {
    let new = quoted(&it.newname);
    let old = inner(it.object.as_deref()).map(|node| match node {
        NodeEnum::String(text) => vec![text.sval.clone()],
        NodeEnum::List(list) => strings(&list.items),
        NodeEnum::ObjectWithArgs(object) => strings(&object.objname),
        NodeEnum::TypeName(name) => strings(&name.names),
        _ => Vec::new(),
    });
    let old = old.unwrap_or_else(|| vec![it.subname.clone()]);
    let mut to = old.clone();
    to.pop();
    to.push(it.newname.clone());
    let key = |name: &[String]| objects::key(it.rename_type(), name);
    let from = key(&old).with(signatures::named(it.object.as_deref()));
    let from = judge.known.resolve(from);
    let to = key(&to).with(from.arguments().cloned());
    let made = remake(judge, &from, to);
    if let (ObjectType::ObjectSchema, [schema]) = (it.rename_type(), old.as_slice()) {
        judge.known.rename_schema(schema, &it.newname);
    }
    if !made {
        let old = dotted(&old);
        judge.find(FindingKind::Rename, &old, format!("{old} RENAME TO {new}"));
    }
}

fn rename_relation(judge: &mut Judge<'_>, it: &RenameStmt, relation: &Name) {
    use pg_query::protobuf::ObjectType as Is;
    let new = quoted(&it.newname);
    let standing = judge.known.presence(relation);
    // `ALTER INDEX` renames every kind of relation; no application uses the name of an index.
    let index = it.rename_type() == Is::ObjectIndex
        && standing != Existence::Absent
        && judge.known.are_all(relation, Sort::Index);
    let lost = standing != Existence::New && !index && !(standing == Existence::Absent && it.missing_ok);
    if matches!(it.rename_type(), Is::ObjectColumn | Is::ObjectAttribute) {
        let old = it.subname.clone();
        if lost {
            let statement = format!("ALTER TABLE {relation} RENAME COLUMN {} TO {new}", quoted(&old));
            judge.find(FindingKind::Rename, format!("{relation}.{}", quoted(&old)), statement);
        }
        let certain = judge.is_certain();
        judge.known.columns(relation, |columns| {
            let column = columns.get(&old).cloned();
            if certain {
                columns.remove(&old);
            }
            columns.extend(column.map(|column| (it.newname.clone(), column)));
        });
        return;
    }
    if lost {
        judge.find(
            FindingKind::Rename,
            relation,
            format!("ALTER TABLE {relation} RENAME TO {new}"),
        );
    }
    let to = Name {
        schema: None,
        name: it.newname.clone(),
    };
    let certain = judge.is_certain();
    judge.known.rename(relation, &to, certain);
}

fn move_schema(judge: &mut Judge<'_>, it: &AlterObjectSchemaStmt) {
    let schema = quoted(&it.newschema);
    if let Some(relation) = it.relation.as_ref().map(Name::from) {
        if judge.known.presence(&relation) != Existence::New {
            judge.find(
                FindingKind::MoveSchema,
                &relation,
                format!("ALTER TABLE {relation} SET SCHEMA {schema}"),
            );
        }
        let to = Name {
            schema: Some(it.newschema.clone()),
            name: relation.name.clone(),
        };
        let certain = judge.is_certain();
        judge.known.rename(&relation, &to, certain);
        return;
    }
    let parts = it.object.as_deref().map(|node| strings(std::slice::from_ref(node)));
    let parts = parts.unwrap_or_default();
    if let Some(last) = parts.last() {
        // With any spelling, its old and its new name refer to nothing that the plan created.
        let moved = [it.newschema.clone(), last.clone()];
        for name in [&parts[..], std::slice::from_ref(last), &moved] {
            let key = objects::key(it.object_type(), name);
            judge.known.unmake(&key);
            judge.known.unmake_namesakes(&key);
        }
    }
    let name = dotted(&parts);
    judge.find(FindingKind::MoveSchema, &name, format!("{name} SET SCHEMA {schema}"));
}
