//! Which tables exist after some scripts, according to their statements. A table counts only while nothing in the scripts
//! can have dropped, renamed or moved it in a way that this file does not follow.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableStmt, AlterTableType, CreateStmt, DropStmt, ObjectType, RangeVar, TransactionStmtKind,
};
use serde_json::Value;

use super::claims::TableClaims;
use super::guard::names::{Name, inner, language, ranges, strings};
use super::parse;

/// The tables that exist after some scripts, according to their statements.
#[derive(Default)]
pub(super) struct ClaimedTables {
    tables: TableClaims,
    /// When the script's own transaction began.
    began: Option<usize>,
    /// Code that is not parsed: bodies of functions and DO blocks, and statements that the parser refuses.
    opaque: Vec<(Arc<String>, Range<usize>)>,
    /// Schemas in which tables without a schema may be.
    home: Vec<String>,
    /// A table without a schema may be in any schema: the scripts have set a search path.
    anywhere: bool,
    /// A function can drop any table at any time.
    nothing: bool,
}

impl ClaimedTables {
    /// No tables. `home`: the schemas in which a table without a schema may be.
    pub(super) fn new(home: Vec<String>) -> Self {
        Self {
            home,
            ..Self::default()
        }
    }

    /// Follows the statements of a script.
    pub(super) fn run(&mut self, script: &Arc<String>) {
        for statement in parse::statements(script, 0) {
            if self.nothing || self.tables.is_too_much() {
                break;
            }
            let text = &script[statement.span.clone()];
            self.anywhere |= text.contains("search_path");
            let is_code = statement
                .tree
                .as_ref()
                .is_none_or(|tree| self.take(tree) || hands_on(tree, text));
            if is_code {
                self.opaque.push((script.clone(), statement.span.clone()));
                self.code(statement.tree.as_ref(), text);
            }
        }
        self.began = None;
    }

    /// Forgets the tables so far: an unknown script may have dropped them.
    pub(super) fn forget(&mut self) {
        self.tables.forget();
    }

    /// The names of the tables, without those that code names: it can drop or rename them.
    pub(super) fn names(mut self) -> Vec<Name> {
        if self.nothing {
            return Vec::new();
        }
        let all = self.tables.tables().flat_map(|table| words(&table.name));
        let mut said: HashMap<String, bool> = all.map(|word| (word, false)).collect();
        for (script, span) in &self.opaque {
            for word in words_of(&script[span.clone()]) {
                if let Some(said) = said.get_mut(&word.to_lowercase()) {
                    *said = true;
                }
            }
        }
        let any = !self.opaque.is_empty();
        let named = |table: &Name| any && words(&table.name).all(|word| said.get(&word) == Some(&true));
        self.tables.remove_if(named);
        self.tables.tables().cloned().collect()
    }

    /// Code that can drop tables without their names.
    fn code(&mut self, tree: Option<&NodeEnum>, text: &str) {
        let mut lower = String::with_capacity(text.len());
        for word in text.split_whitespace() {
            lower.push_str(&word.to_lowercase());
            lower.push(' ');
        }
        let whole = ["drop schema", "drop owned", "alter schema"];
        let parts = ["drop", "rename", "schema", "owned"];
        let later = tree.is_some_and(|tree| hands_on(tree, text));
        let computed = || {
            if later {
                ["||", "format", "concat"].iter().any(|word| lower.contains(word))
            } else {
                is_dynamic(tree, text, &lower)
            }
        };
        let drops = whole.iter().any(|words| lower.contains(words))
            || parts.iter().any(|word| lower.contains(word)) && computed();
        match tree {
            Some(NodeEnum::CreateFunctionStmt(_)) => self.nothing |= drops,
            _ if later => self.nothing |= drops,
            _ if drops => self.forget(),
            _ => {}
        }
    }

    /// Whether the statement is code that is not looked into.
    fn take(&mut self, node: &NodeEnum) -> bool {
        match node {
            NodeEnum::CreateStmt(create) => self.create(create),
            NodeEnum::CreateTableAsStmt(create) if is_table(create.objtype) => {
                self.add(
                    create.into.as_ref().and_then(|into| into.rel.as_ref()),
                    std::iter::empty(),
                );
            }
            NodeEnum::DropStmt(drop) => self.drop(drop),
            NodeEnum::DropOwnedStmt(_) => self.forget(),
            NodeEnum::RenameStmt(rename) if is_table(rename.rename_type) => {
                let old = rename.relation.as_ref().map(Name::from);
                self.change(old.as_ref(), |table| table.name.clone_from(&rename.newname));
            }
            NodeEnum::RenameStmt(rename) if rename.rename_type == ObjectType::ObjectSchema as i32 => {
                self.tables.rename_schema(&rename.subname, &rename.newname);
            }
            NodeEnum::AlterObjectSchemaStmt(alter) if is_table(alter.object_type) => {
                let old = alter.relation.as_ref().map(Name::from);
                self.change(old.as_ref(), |table| table.schema = Some(alter.newschema.clone()));
            }
            NodeEnum::AlterTableStmt(alter) => self.alter(alter),
            NodeEnum::TransactionStmt(it) => self.transaction(it.kind(), it.chain),
            NodeEnum::DoStmt(_) | NodeEnum::CreateFunctionStmt(_) | NodeEnum::CallStmt(_) => return true,
            _ => {}
        }
        false
    }

    fn create(&mut self, create: &CreateStmt) {
        // A typed table is dropped with its type.
        if create.of_typename.is_none() {
            let parents = ranges(&create.inh_relations).map(Name::from);
            self.add(create.relation.as_ref(), parents);
        }
    }

    fn add(&mut self, relation: Option<&RangeVar>, parents: impl Iterator<Item = Name>) {
        let lasts = |relation: &&RangeVar| relation.relpersistence != "t" && relation.schemaname != "pg_temp";
        if let Some(table) = relation.filter(lasts).map(Name::from) {
            self.tables.add(table, parents);
        }
    }

    /// Partitions and children that are created for a table.
    fn alter(&mut self, it: &AlterTableStmt) {
        let Some(table) = it.relation.as_ref().map(Name::from) else {
            return;
        };
        for node in &it.cmds {
            let Some(NodeEnum::AlterTableCmd(command)) = &node.node else {
                continue;
            };
            let (child, parent) = match (command.subtype(), inner(command.def.as_deref())) {
                (AlterTableType::AtAttachPartition, Some(NodeEnum::PartitionCmd(partition))) => {
                    (partition.name.as_ref().map(Name::from), Some(table.clone()))
                }
                (AlterTableType::AtAddInherit, Some(NodeEnum::RangeVar(parent))) => {
                    (Some(table.clone()), Some(Name::from(parent)))
                }
                _ => continue,
            };
            if let (Some(child), Some(parent)) = (child, parent) {
                self.tables.add_parent(&child, &parent);
            }
        }
    }

    /// A rollback, also to a savepoint, keeps only the objects that existed before the transaction and still exist.
    /// With `chain`, the next transaction begins at its end.
    fn transaction(&mut self, kind: TransactionStmtKind, chain: bool) {
        use TransactionStmtKind as Is;
        if let (Is::TransStmtRollback | Is::TransStmtRollbackTo, Some(began)) = (kind, self.began) {
            self.tables.forget_since(began);
        }
        match kind {
            // Inside of a transaction, it is no beginning.
            Is::TransStmtBegin | Is::TransStmtStart => {
                self.began.get_or_insert(self.tables.now());
            }
            Is::TransStmtCommit | Is::TransStmtRollback => self.began = chain.then(|| self.tables.now()),
            _ => {}
        }
    }

    fn change(&mut self, old: Option<&Name>, change: impl Fn(&mut Name)) {
        if let Some(old) = old {
            self.tables.change(old, change);
        }
    }

    fn drop(&mut self, it: &DropStmt) {
        for object in &it.objects {
            let names = strings(std::slice::from_ref(object));
            if it.remove_type == ObjectType::ObjectSchema as i32 {
                let Some(schema) = names.last() else { continue };
                let home = self.anywhere || self.home.contains(schema);
                self.tables.remove_if(|table| match &table.schema {
                    Some(of) => of == schema,
                    None => home,
                });
            } else if is_table(it.remove_type) || it.remove_type == ObjectType::ObjectForeignTable as i32 {
                self.tables.remove(vec![Name::of(names)]);
            }
        }
    }
}

/// Whether a query hands a text to something that runs it, perhaps later and again: a schedule of `pg_cron`, another session
/// of `dblink`. Any function can do so; rows that a statement writes are no code, but those of a schedule.
fn hands_on(tree: &NodeEnum, text: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| contains(text, word));
    let runs = match tree {
        NodeEnum::SelectStmt(it) => it.values_lists.is_empty(),
        NodeEnum::ExplainStmt(_) | NodeEnum::CreateTableAsStmt(_) | NodeEnum::ViewStmt(_) | NodeEnum::RuleStmt(_) => {
            true
        }
        NodeEnum::InsertStmt(_) | NodeEnum::UpdateStmt(_) | NodeEnum::DeleteStmt(_) | NodeEnum::MergeStmt(_) => {
            has(&["cron", "dblink"])
        }
        _ => false,
    };
    runs && text.contains(['\'', '$']) && has(&["drop", "rename", "schema"])
}

/// Whether a text has this word of ASCII letters, in large or small ones.
fn contains(text: &str, word: &str) -> bool {
    let mut parts = text.as_bytes().windows(word.len());
    parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a character is part of a name without quotes.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words of a text.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_part(c)).filter(|word| !word.is_empty())
}

/// The words of a table's name, as they are compared.
fn words(name: &str) -> impl Iterator<Item = String> {
    words_of(name).map(str::to_lowercase)
}

fn is_table(kind: i32) -> bool {
    kind == ObjectType::ObjectTable as i32
}

/// Whether code runs a text that it computes.
fn is_dynamic(tree: Option<&NodeEnum>, text: &str, lower: &str) -> bool {
    let language = match tree {
        Some(NodeEnum::CreateFunctionStmt(it)) => language(&it.options),
        Some(NodeEnum::DoStmt(it)) => language(&it.args),
        _ => String::new(),
    };
    if language == "sql" {
        return false;
    }
    match parse::plpgsql(text) {
        Some(code) => runs_computed(&code),
        None => lower.contains("execute") || !matches!(language.as_str(), "" | "plpgsql"),
    }
}

/// Whether a statement of PL/pgSQL code is `EXECUTE` of another text than a constant.
fn runs_computed(value: &Value) -> bool {
    let computed = |query: &Value| {
        let text = query["PLpgSQL_expr"]["query"].as_str().unwrap_or_default().trim();
        let constant = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        constant.is_none_or(|text| text.replace("''", "").contains('\''))
    };
    match value {
        Value::Array(values) => values.iter().any(runs_computed),
        Value::Object(fields) => fields.iter().any(|(key, value)| match key.as_str() {
            "PLpgSQL_stmt_dynexecute" | "PLpgSQL_stmt_dynfors" => computed(&value["query"]) || runs_computed(value),
            "dynquery" => computed(value),
            _ => runs_computed(value),
        }),
        _ => false,
    }
}

#[cfg(test)]
#[path = "claimed_tests.rs"]
mod tests;
