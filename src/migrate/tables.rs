//! Which tables a source's scripts leave behind, and which of them a database does not have: a history may
//! claim what somebody has dropped since, or a restore has left out.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ObjectType, RangeVar};
use sqlx::PgConnection;

use super::guard::names::strings;
use super::source::Source;
use super::{Result, parse};

/// A table as the scripts name it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    /// Empty where the search path decides.
    schema: String,
    name: String,
}

impl Table {
    fn of(relation: &RangeVar) -> Self {
        Self {
            schema: relation.schemaname.clone(),
            name: relation.relname.clone(),
        }
    }

    /// Without a schema on one side, the name decides.
    fn is(&self, other: &Self) -> bool {
        self.name == other.name && (self.schema == other.schema || self.schema.is_empty() || other.schema.is_empty())
    }
}

/// What is known after some scripts.
#[derive(Default)]
struct Left {
    tables: Vec<Table>,
    /// Text that runs without being SQL that can be read here: bodies of functions and DO.
    opaque: String,
}

/// The tables that the applied scripts of a source claim and the database does not have, as
/// `schema.name` or `name`. A table that a function or a DO block may have changed is not claimed.
///
/// # Errors
/// [`super::Error::Database`].
pub async fn missing_tables(conn: &mut PgConnection, source: &Source) -> Result<Vec<String>> {
    let mut left = Left::default();
    for migration in source.migrations() {
        left.run(&migration.script);
    }
    let opaque = left.opaque.to_lowercase();
    let mut missing = Vec::new();
    let claimed = left
        .tables
        .iter()
        .filter(|table| !opaque.contains(&table.name.to_lowercase()));
    let known: Vec<(String, String)> = sqlx::query_as(
        "SELECT nspname::text, relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relkind IN ('r', 'p', 'f')",
    )
    .fetch_all(conn)
    .await?;
    let known: Vec<_> = known.into_iter().map(|(schema, name)| Table { schema, name }).collect();
    for table in claimed {
        if !known.iter().any(|known| known.is(table)) {
            let schema = if table.schema.is_empty() {
                String::new()
            } else {
                format!("{}.", table.schema)
            };
            missing.push(format!("{schema}{}", table.name));
        }
    }
    Ok(missing)
}

impl Left {
    fn run(&mut self, script: &str) {
        for statement in parse::statements(script, 0) {
            let text = &script[statement.span];
            match statement.tree {
                Some(tree) => self.take(&tree, text),
                None => self.opaque.push_str(text),
            }
        }
    }

    fn take(&mut self, node: &NodeEnum, text: &str) {
        match node {
            NodeEnum::CreateStmt(create) => self.add(create.relation.as_ref()),
            NodeEnum::CreateTableAsStmt(create) if is_table(create.objtype) => {
                self.add(create.into.as_ref().and_then(|into| into.rel.as_ref()));
            }
            NodeEnum::DropStmt(drop) => self.drop(drop.remove_type, &drop.objects),
            NodeEnum::RenameStmt(rename) if is_table(rename.rename_type) => {
                let old = rename.relation.as_ref().map(Table::of);
                self.change(old.as_ref(), |table| table.name.clone_from(&rename.newname));
            }
            NodeEnum::RenameStmt(rename) if rename.rename_type == ObjectType::ObjectSchema as i32 => {
                for table in self.tables.iter_mut().filter(|table| table.schema == rename.subname) {
                    table.schema.clone_from(&rename.newname);
                }
            }
            NodeEnum::AlterObjectSchemaStmt(alter) if is_table(alter.object_type) => {
                let old = alter.relation.as_ref().map(Table::of);
                self.change(old.as_ref(), |table| table.schema.clone_from(&alter.newschema));
            }
            NodeEnum::DoStmt(_) | NodeEnum::CreateFunctionStmt(_) => self.opaque.push_str(text),
            _ => {}
        }
    }

    fn add(&mut self, relation: Option<&RangeVar>) {
        let Some(relation) = relation.filter(|relation| relation.relpersistence != "t") else {
            return;
        };
        let table = Table::of(relation);
        if !self.tables.contains(&table) {
            self.tables.push(table);
        }
    }

    fn change(&mut self, old: Option<&Table>, change: impl Fn(&mut Table)) {
        if let Some(table) = old.and_then(|old| self.tables.iter_mut().find(|table| table.is(old))) {
            change(table);
        }
    }

    fn drop(&mut self, kind: i32, objects: &[Node]) {
        for object in objects {
            let names = strings(std::slice::from_ref(object));
            if kind == ObjectType::ObjectSchema as i32 {
                self.tables.retain(|table| names.last() != Some(&table.schema));
            } else if is_table(kind) || kind == ObjectType::ObjectForeignTable as i32 {
                let mut names = names.into_iter().rev();
                let gone = Table {
                    name: names.next().unwrap_or_default(),
                    schema: names.next().unwrap_or_default(),
                };
                self.tables.retain(|table| !table.is(&gone));
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
    fn scripts_leave_what_they_make_and_do_not_take_away() {
        let mut left = Left::default();
        for script in [
            "CREATE TABLE a (id int); CREATE TABLE IF NOT EXISTS \"B\" (id int); CREATE TEMP TABLE t ();",
            "CREATE SCHEMA s; CREATE TABLE s.c (); CREATE TABLE s.d AS SELECT 1; CREATE TABLE public.e ();",
            "ALTER TABLE a RENAME TO f; ALTER TABLE e SET SCHEMA s; DROP TABLE s.d; DROP TABLE IF EXISTS nope;",
            "CREATE TABLE g (); DROP TABLE public.g; CREATE MATERIALIZED VIEW v AS SELECT 1;",
            "CREATE SCHEMA x; CREATE TABLE x.y (); DROP SCHEMA x CASCADE; ALTER SCHEMA s RENAME TO r;",
            "DO $$ BEGIN EXECUTE 'DROP TABLE h'; END $$;",
        ] {
            left.run(script);
        }
        let names: Vec<_> = left
            .tables
            .iter()
            .map(|table| format!("{}.{}", table.schema, table.name))
            .collect();
        assert_eq!(names, [".f", ".B", "r.c", "r.e"]);
        assert!(left.opaque.contains("DROP TABLE h"));
    }
}
