//! Which tables the scripts of a source create, and which of them a database lacks although its history records
//! the scripts as applied: a person dropped them, or a restore left them out.

use std::ops::Range;
use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ObjectType, RangeVar};
use sqlx::PgConnection;

use super::aside;
use super::error::{Error, Result};
use super::guard::names::{Name, strings};
use super::parse;
use super::source::Source;

/// Whether two names can mean the same table: if one of them has no schema, only the names are compared.
fn are_one(one: &Name, other: &Name) -> bool {
    one.name == other.name && (one.schema == other.schema || one.schema.is_none() || other.schema.is_none())
}

/// The tables that exist after some scripts, according to their statements.
#[derive(Default)]
struct ClaimedTables {
    tables: Vec<Name>,
    /// Code that is not parsed: bodies of functions and DO blocks, and statements that the parser refuses.
    opaque: Vec<(Arc<String>, Range<usize>)>,
}

/// The tables that the scripts of a source create and the database lacks, as `schema.name` or `name`. Tables that
/// a function or a DO block names are left out, because that code can drop or rename them.
///
/// # Errors
/// [`super::error::Error::Database`].
pub async fn missing_tables(conn: &mut PgConnection, source: &Source) -> Result<Vec<String>> {
    let read = source.clone();
    let claimed = aside(move || claimed(&read)).await.ok_or(Error::Unreadable)?;
    let mut missing = Vec::new();
    let known: Vec<(String, String)> = sqlx::query_as(
        "SELECT nspname::text, relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relkind IN ('r', 'p', 'f') AND relname = ANY ($1)",
    )
    .bind(claimed.iter().map(|table| table.name.clone()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let known = known.into_iter().map(|(schema, name)| Name {
        schema: Some(schema),
        name,
    });
    let known: Vec<_> = known.collect();
    for table in &claimed {
        if !known.iter().any(|known| are_one(known, table)) {
            let schema = table.schema.iter().map(|schema| format!("{schema}."));
            missing.push(format!("{}{}", schema.collect::<String>(), table.name));
        }
    }
    Ok(missing)
}

/// The tables that the scripts of a source create, without those that code in them names.
fn claimed(source: &Source) -> Vec<Name> {
    let mut left = ClaimedTables::default();
    for migration in source.migrations() {
        left.run(&migration.script);
    }
    for (script, span) in left.opaque {
        let code = script[span].to_lowercase();
        left.tables.retain(|table| !code.contains(&table.name.to_lowercase()));
    }
    left.tables
}

impl ClaimedTables {
    fn run(&mut self, script: &Arc<String>) {
        for statement in parse::statements(script, 0) {
            if statement.tree.is_none_or(|tree| self.take(&tree)) {
                self.opaque.push((script.clone(), statement.span));
            }
        }
    }

    /// Whether the statement is code that is not looked into.
    fn take(&mut self, node: &NodeEnum) -> bool {
        match node {
            NodeEnum::CreateStmt(create) => self.add(create.relation.as_ref()),
            NodeEnum::CreateTableAsStmt(create) if is_table(create.objtype) => {
                self.add(create.into.as_ref().and_then(|into| into.rel.as_ref()));
            }
            NodeEnum::DropStmt(drop) => self.drop(drop.remove_type, &drop.objects),
            NodeEnum::RenameStmt(rename) if is_table(rename.rename_type) => {
                let old = rename.relation.as_ref().map(Name::from);
                self.change(old.as_ref(), |table| table.name.clone_from(&rename.newname));
            }
            NodeEnum::RenameStmt(rename) if rename.rename_type == ObjectType::ObjectSchema as i32 => {
                for table in self
                    .tables
                    .iter_mut()
                    .filter(|table| table.schema.as_ref() == Some(&rename.subname))
                {
                    table.schema = Some(rename.newname.clone());
                }
            }
            NodeEnum::AlterObjectSchemaStmt(alter) if is_table(alter.object_type) => {
                let old = alter.relation.as_ref().map(Name::from);
                self.change(old.as_ref(), |table| table.schema = Some(alter.newschema.clone()));
            }
            NodeEnum::DoStmt(_) | NodeEnum::CreateFunctionStmt(_) => return true,
            _ => {}
        }
        false
    }

    fn add(&mut self, relation: Option<&RangeVar>) {
        let Some(relation) = relation.filter(|relation| relation.relpersistence != "t") else {
            return;
        };
        let table = Name::from(relation);
        if !self.tables.contains(&table) {
            self.tables.push(table);
        }
    }

    fn change(&mut self, old: Option<&Name>, change: impl Fn(&mut Name)) {
        if let Some(table) = old.and_then(|old| self.tables.iter_mut().find(|table| are_one(table, old))) {
            change(table);
        }
    }

    fn drop(&mut self, kind: i32, objects: &[Node]) {
        for object in objects {
            let names = strings(std::slice::from_ref(object));
            if kind == ObjectType::ObjectSchema as i32 {
                self.tables
                    .retain(|table| table.schema.is_none() || names.last() != table.schema.as_ref());
            } else if is_table(kind) || kind == ObjectType::ObjectForeignTable as i32 {
                let gone = Name::of(names);
                self.tables.retain(|table| !are_one(table, &gone));
            }
        }
    }
}

fn is_table(kind: i32) -> bool {
    kind == ObjectType::ObjectTable as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_claim_the_tables_that_they_create_and_do_not_drop() {
        let mut left = ClaimedTables::default();
        for script in [
            "CREATE TABLE a (id int); CREATE TABLE IF NOT EXISTS \"B\" (id int); CREATE TEMP TABLE t ();",
            "CREATE SCHEMA s; CREATE TABLE s.c (); CREATE TABLE s.d AS SELECT 1; CREATE TABLE public.e ();",
            "ALTER TABLE a RENAME TO f; ALTER TABLE e SET SCHEMA s; DROP TABLE s.d; DROP TABLE IF EXISTS nope;",
            "CREATE TABLE g (); DROP TABLE public.g; CREATE MATERIALIZED VIEW v AS SELECT 1;",
            "CREATE SCHEMA x; CREATE TABLE x.y (); DROP SCHEMA x CASCADE; ALTER SCHEMA s RENAME TO r;",
            "DO $$ BEGIN EXECUTE 'DROP TABLE h'; END $$;",
        ] {
            left.run(&Arc::new(script.to_owned()));
        }
        let names: Vec<_> = left
            .tables
            .iter()
            .map(|table| format!("{}.{}", table.schema.as_deref().unwrap_or_default(), table.name))
            .collect();
        assert_eq!(names, [".f", ".B", "r.c", "r.e"]);
        let [(script, span)] = left.opaque.as_slice() else {
            panic!("{:?}", left.opaque)
        };
        assert!(script[span.clone()].contains("DROP TABLE h"));
    }
}
