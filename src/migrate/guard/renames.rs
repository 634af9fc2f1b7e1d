//! Statements that give an object another name or schema.

use pg_query::NodeEnum;
use pg_query::protobuf::{AlterObjectSchemaStmt, RenameStmt};

use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Standing;
use super::names::{Name, dotted, inner, quoted, strings};
use super::objects;

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
    if matches!(
        it.rename_type(),
        Is::ObjectIndex
            | Is::ObjectTabconstraint
            | Is::ObjectDomconstraint
            | Is::ObjectPolicy
            | Is::ObjectTrigger
            | Is::ObjectRule
    ) {
        return;
    }
    let new = quoted(&it.newname);
    let Some(relation) = it.relation.as_ref().map(Name::from) else {
        let old = inner(it.object.as_deref()).map(|node| match node {
            NodeEnum::String(text) => vec![text.sval.clone()],
            NodeEnum::List(list) => strings(&list.items),
            NodeEnum::ObjectWithArgs(object) => strings(&object.objname),
            NodeEnum::TypeName(name) => strings(&name.names),
            _ => Vec::new(),
        });
        let old = old.unwrap_or_else(|| vec![it.subname.clone()]);
        let key = |name: &[String]| objects::key(it.rename_type(), name);
        if judge.known.unmake(&key(&old)) {
            judge.known.make(key(std::slice::from_ref(&it.newname)));
        } else {
            let old = dotted(&old);
            judge.find(FindingKind::Rename, &old, format!("{old} RENAME TO {new}"));
        }
        return;
    };
    let standing = judge.known.standing(&relation);
    let lost = standing != Standing::New && !(standing == Standing::Absent && it.missing_ok);
    if matches!(it.rename_type(), Is::ObjectColumn | Is::ObjectAttribute) {
        let old = it.subname.clone();
        if lost {
            let statement = format!("ALTER TABLE {relation} RENAME COLUMN {} TO {new}", quoted(&old));
            judge.find(FindingKind::Rename, format!("{relation}.{}", quoted(&old)), statement);
        }
        judge.known.columns(&relation, |columns| {
            let column = columns.remove(&old);
            columns.extend(column.map(|column| (it.newname.clone(), column)));
        });
        return;
    }
    if lost {
        judge.find(
            FindingKind::Rename,
            &relation,
            format!("ALTER TABLE {relation} RENAME TO {new}"),
        );
    }
    let to = Name {
        schema: None,
        name: it.newname.clone(),
    };
    judge.known.rename(&relation, &to);
}

fn move_schema(judge: &mut Judge<'_>, it: &AlterObjectSchemaStmt) {
    let schema = quoted(&it.newschema);
    if let Some(relation) = it.relation.as_ref().map(Name::from) {
        if judge.known.standing(&relation) != Standing::New {
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
        judge.known.rename(&relation, &to);
        return;
    }
    let name = it
        .object
        .as_deref()
        .map(|node| dotted(&strings(std::slice::from_ref(node))))
        .unwrap_or_default();
    judge.find(FindingKind::MoveSchema, &name, format!("{name} SET SCHEMA {schema}"));
}
