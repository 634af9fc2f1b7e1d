//! The pending scripts, statement by statement: parse trees → findings. Pure.

use std::fmt::Display;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterDomainStmt, AlterObjectSchemaStmt, IndexStmt, ReindexObjectType, ReindexStmt, RenameStmt, VacuumStmt,
};

use super::finding::{Finding, Kind};
use super::known::{Known, Standing};
use super::names::{Name, dotted, inner, is_on, quoted, ranges, strings};
use super::{drops, rows, tables};
use crate::migrate::parse::{Statement, is_alarming};

/// The parsed script of a pending migration.
#[derive(Debug)]
pub struct Script {
    pub migration: String,
    pub statements: Vec<Statement>,
}

/// Follows the scripts.
pub struct Judge<'a> {
    pub known: Known,
    findings: Vec<Finding>,
    script: Option<&'a Script>,
    /// Index of the statement in its script.
    at: usize,
}

/// Judges the scripts against what is known, and tells also which names were asked for.
pub fn judge(scripts: &[Script], known: Known) -> (Vec<Finding>, Known) {
    let mut judge = Judge {
        known,
        findings: Vec::new(),
        script: None,
        at: 0,
    };
    for script in scripts {
        judge.script = Some(script);
        judge.known.elsewhere = false;
        for (at, statement) in script.statements.iter().enumerate() {
            judge.at = at;
            match &statement.tree {
                Some(tree) => judge.statement(tree),
                None => judge.find(Kind::Unparsed, "", "a statement that the parser cannot read".into()),
            }
        }
    }
    (judge.findings, judge.known)
}

impl Judge<'_> {
    /// Notes what the statement does.
    pub fn find(&mut self, kind: Kind, object: impl Display, statement: String) {
        let Some(script) = self.script else { return };
        self.findings.push(Finding {
            migration: script.migration.clone(),
            line: script.statements[self.at].line,
            kind,
            effect: kind.effect(),
            object: object.to_string(),
            statement,
        });
    }

    /// Whether a later statement of the same script makes the thing anew.
    pub fn made_later(&self, key: &str) -> bool {
        let later = self.script.map(|script| &script.statements[self.at + 1..]);
        let trees = later
            .unwrap_or_default()
            .iter()
            .filter_map(|statement| statement.tree.as_ref());
        trees.flat_map(drops::made_by).any(|made| made == key)
    }

    /// Whether a table is there and holds rows; of one that nobody knows that is assumed.
    pub fn is_filled(&mut self, name: &Name) -> bool {
        match self.known.standing(name) {
            Standing::New => self.known.may_be_view(name),
            Standing::Absent => true,
            Standing::There { filled, .. } => filled,
        }
    }

    fn statement(&mut self, tree: &NodeEnum) {
        if !drops::replaces(tree) {
            for key in drops::made_by(tree) {
                self.known.make(key);
            }
        }
        match tree {
            NodeEnum::AlterTableStmt(statement) => tables::alter(self, statement),
            NodeEnum::DropStmt(statement) => drops::drop(self, statement),
            NodeEnum::DropdbStmt(it) => {
                self.find(
                    Kind::DropDatabase,
                    quoted(&it.dbname),
                    format!("DROP DATABASE {}", quoted(&it.dbname)),
                );
            }
            NodeEnum::DropRoleStmt(it) => self.drop_roles(&it.roles, Kind::DropRole, "DROP ROLE"),
            NodeEnum::DropOwnedStmt(it) => self.drop_roles(&it.roles, Kind::DropOwned, "DROP OWNED BY"),
            NodeEnum::DropTableSpaceStmt(it) => self.other("DROP TABLESPACE", &it.tablespacename),
            NodeEnum::DropSubscriptionStmt(it) => self.other("DROP SUBSCRIPTION", &it.subname),
            NodeEnum::DropUserMappingStmt(it) => self.other("DROP USER MAPPING FOR SERVER", &it.servername),
            NodeEnum::RenameStmt(statement) => self.rename(statement),
            NodeEnum::AlterObjectSchemaStmt(statement) => self.move_schema(statement),
            NodeEnum::AlterEnumStmt(it) if !it.old_val.is_empty() => {
                let name = dotted(&strings(&it.type_name));
                self.find(Kind::Rename, &name, format!("ALTER TYPE {name} RENAME VALUE"));
            }
            NodeEnum::AlterDomainStmt(statement) => self.alter_domain(statement),
            NodeEnum::IndexStmt(statement) => self.index(statement),
            NodeEnum::ReindexStmt(statement) => self.reindex(statement),
            NodeEnum::ClusterStmt(it) => self.rewrite("CLUSTER", it.relation.as_ref().map(Name::from)),
            NodeEnum::VacuumStmt(statement) => self.vacuum(statement),
            NodeEnum::AlterTableMoveAllStmt(_) => self.rewrite("ALTER … ALL IN TABLESPACE", None),
            NodeEnum::LockStmt(it) => {
                for name in ranges(&it.relations).map(Name::from) {
                    self.find(Kind::LockTable, &name, format!("LOCK TABLE {name}"));
                }
            }
            NodeEnum::RefreshMatViewStmt(it) if !it.concurrent => {
                if let Some(name) = it.relation.as_ref().map(Name::from).filter(|name| self.is_filled(name)) {
                    self.find(Kind::Refresh, &name, format!("REFRESH MATERIALIZED VIEW {name}"));
                }
            }
            NodeEnum::DoStmt(it) => self.block(&it.args),
            NodeEnum::CallStmt(it) => {
                let name = it
                    .funccall
                    .as_ref()
                    .map(|call| dotted(&strings(&call.funcname)))
                    .unwrap_or_default();
                self.find(Kind::Opaque, &name, format!("CALL {name}"));
            }
            NodeEnum::ExecuteStmt(it) => {
                self.find(Kind::Opaque, quoted(&it.name), format!("EXECUTE {}", quoted(&it.name)));
            }
            NodeEnum::ExplainStmt(it) if is_on(&it.options, "analyze") => {
                if let Some(query) = inner(it.query.as_deref()) {
                    self.statement(query);
                }
            }
            NodeEnum::CreateSchemaStmt(it) => {
                let made = it.schema_elts.iter().filter_map(|node| node.node.as_ref());
                for tree in made {
                    self.statement(tree);
                }
            }
            NodeEnum::VariableSetStmt(it) if it.name == "search_path" => self.known.elsewhere = true,
            _ => {
                tables::create(self, tree);
                rows::judge(self, tree);
            }
        }
    }

    fn drop_roles(&mut self, roles: &[pg_query::Node], kind: Kind, words: &str) {
        for role in roles.iter().filter_map(|node| node.node.as_ref()) {
            if let NodeEnum::RoleSpec(role) = role {
                let name = if role.rolename.is_empty() {
                    "CURRENT_ROLE".into()
                } else {
                    quoted(&role.rolename)
                };
                self.find(kind, &name, format!("{words} {name}"));
            }
        }
    }

    fn other(&mut self, words: &str, name: &str) {
        let name = quoted(name);
        self.find(Kind::DropOther, &name, format!("{words} {name}"));
    }

    /// What has a name that no application knows is renamed freely.
    fn rename(&mut self, it: &RenameStmt) {
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
            let key = |name: &[String]| drops::key(it.rename_type(), name);
            if self.known.unmake(&key(&old)) {
                self.known.make(key(std::slice::from_ref(&it.newname)));
            } else {
                let old = dotted(&old);
                self.find(Kind::Rename, &old, format!("{old} RENAME TO {new}"));
            }
            return;
        };
        let standing = self.known.standing(&relation);
        let lost = standing != Standing::New && !(standing == Standing::Absent && it.missing_ok);
        if matches!(it.rename_type(), Is::ObjectColumn | Is::ObjectAttribute) {
            let old = it.subname.clone();
            if lost {
                let statement = format!("ALTER TABLE {relation} RENAME COLUMN {} TO {new}", quoted(&old));
                self.find(Kind::Rename, format!("{relation}.{}", quoted(&old)), statement);
            }
            self.known.columns(&relation, |columns| {
                let column = columns.remove(&old);
                columns.extend(column.map(|column| (it.newname.clone(), column)));
            });
            return;
        }
        if lost {
            self.find(
                Kind::Rename,
                &relation,
                format!("ALTER TABLE {relation} RENAME TO {new}"),
            );
        }
        let to = Name {
            schema: None,
            name: it.newname.clone(),
        };
        self.known.rename(&relation, &to);
    }

    fn move_schema(&mut self, it: &AlterObjectSchemaStmt) {
        let schema = quoted(&it.newschema);
        if let Some(relation) = it.relation.as_ref().map(Name::from) {
            if self.known.standing(&relation) != Standing::New {
                self.find(
                    Kind::MoveSchema,
                    &relation,
                    format!("ALTER TABLE {relation} SET SCHEMA {schema}"),
                );
            }
            let to = Name {
                schema: Some(it.newschema.clone()),
                name: relation.name.clone(),
            };
            self.known.rename(&relation, &to);
            return;
        }
        let name = it
            .object
            .as_deref()
            .map(|node| dotted(&strings(std::slice::from_ref(node))))
            .unwrap_or_default();
        self.find(Kind::MoveSchema, &name, format!("{name} SET SCHEMA {schema}"));
    }

    /// The subtypes are those of `AlterDomainStmt` in PostgreSQL's `parsenodes.h`.
    fn alter_domain(&mut self, it: &AlterDomainStmt) {
        let name = dotted(&strings(&it.type_name));
        let (kind, words) = match it.subtype.as_str() {
            "X" => (Kind::DropConstraint, "DROP CONSTRAINT"),
            "O" => (Kind::RequireValue, "SET NOT NULL"),
            "C" => (Kind::AddConstraint, "ADD CONSTRAINT"),
            _ => return,
        };
        self.find(kind, &name, format!("ALTER DOMAIN {name} {words}"));
    }

    fn index(&mut self, it: &IndexStmt) {
        let Some(table) = it.relation.as_ref().map(Name::from) else {
            return;
        };
        if !it.concurrent && self.is_filled(&table) {
            let name = if it.idxname.is_empty() {
                String::new()
            } else {
                format!("{} ", quoted(&it.idxname))
            };
            self.find(Kind::CreateIndex, &table, format!("CREATE INDEX {name}ON {table}"));
        }
        let index = Name {
            schema: table.schema,
            name: it.idxname.clone(),
        };
        self.known.create(&index, it.if_not_exists);
    }

    fn reindex(&mut self, it: &ReindexStmt) {
        if is_on(&it.params, "concurrently") {
            return;
        }
        let Some(relation) = it.relation.as_ref().map(Name::from) else {
            self.find(
                Kind::Reindex,
                quoted(&it.name),
                "REINDEX of a whole schema or database".into(),
            );
            return;
        };
        let filled = it.kind() != ReindexObjectType::ReindexObjectTable || self.is_filled(&relation);
        if filled && self.known.standing(&relation) != Standing::New {
            self.find(Kind::Reindex, &relation, format!("REINDEX {relation}"));
        }
    }

    fn vacuum(&mut self, it: &VacuumStmt) {
        if !it.is_vacuumcmd || !is_on(&it.options, "full") {
            return;
        }
        let relations = it.rels.iter().filter_map(|node| match &node.node {
            Some(NodeEnum::VacuumRelation(relation)) => relation.relation.as_ref().map(Name::from),
            _ => None,
        });
        let relations: Vec<Name> = relations.collect();
        if relations.is_empty() {
            self.rewrite("VACUUM FULL", None);
        }
        for relation in relations {
            self.rewrite("VACUUM FULL", Some(relation));
        }
    }

    fn rewrite(&mut self, words: &str, relation: Option<Name>) {
        match relation {
            None => self.find(Kind::RewriteTable, "", format!("{words} of all tables")),
            Some(name) if self.is_filled(&name) => self.find(Kind::RewriteTable, &name, format!("{words} {name}")),
            Some(_) => {}
        }
    }

    /// The body of a DO block is not judged. One in PL/pgSQL that holds no word of what could destroy
    /// or run a text passes.
    fn block(&mut self, arguments: &[pg_query::Node]) {
        let (mut body, mut plpgsql) = ("", true);
        for argument in arguments.iter().filter_map(|node| node.node.as_ref()) {
            let NodeEnum::DefElem(element) = argument else { continue };
            match (element.defname.as_str(), inner(element.arg.as_deref())) {
                ("as", Some(NodeEnum::String(text))) => body = &text.sval,
                ("language", Some(NodeEnum::String(language))) => plpgsql = language.sval == "plpgsql",
                _ => {}
            }
        }
        let words = body.to_lowercase();
        if ["search_path", "role", "session"]
            .iter()
            .any(|word| words.contains(word))
        {
            self.known.elsewhere = true;
        }
        if !plpgsql || is_alarming(body) {
            self.find(Kind::Opaque, "", "a DO block".into());
        }
    }
}
