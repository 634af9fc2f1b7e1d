//! Statements that reach the server's files, programs and network, or publish rows to its subscribers (logical replication).

use pg_query::protobuf::AlterPublicationAction;
use pg_query::{Node, NodeEnum};

use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Existence;
use super::names::{Name, is_on, quoted};
use crate::api::Effect;

/// Extensions that reach the server's files, programs, network or pages, or run code at other times. Foreign data wrappers and
/// languages that are not trusted are known by their names.
const REACHING: [&str; 18] = [
    "adminpack",
    "aws_lambda",
    "aws_s3",
    "dblink",
    "http",
    "multicorn",
    "pageinspect",
    "pg_background",
    "pg_cron",
    "pg_net",
    "pg_surgery",
    "pg_tle",
    "pg_walinspect",
    "pgagent",
    "pglogical",
    "plproxy",
    "plsh",
    "wrappers",
];

/// Whether an extension reaches beyond the database.
fn reaches(extension: &str) -> bool {
    let untrusted = extension.starts_with("pl") && extension.ends_with('u');
    REACHING.contains(&extension) || untrusted || extension.ends_with("_fdw") || matches!(extension, "plr" | "pljava")
}

/// Judges a statement that reaches beyond the database.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    let (name, words) = match tree {
        NodeEnum::CopyStmt(it) if it.is_program => ("", "COPY with a PROGRAM of the server"),
        NodeEnum::CopyStmt(it) if !it.filename.is_empty() => ("", "COPY with a file of the server"),
        NodeEnum::LoadStmt(_) => ("", "LOAD"),
        NodeEnum::CreateExtensionStmt(it) if reaches(&it.extname) => (it.extname.as_str(), "CREATE EXTENSION"),
        // With it come extensions that the statement does not name.
        NodeEnum::CreateExtensionStmt(it) if is_on(&it.options, "cascade") => {
            (it.extname.as_str(), "CREATE EXTENSION with CASCADE")
        }
        NodeEnum::CreatePlangStmt(it) => (it.plname.as_str(), "CREATE LANGUAGE"),
        NodeEnum::CreateFdwStmt(it) => (it.fdwname.as_str(), "CREATE FOREIGN DATA WRAPPER"),
        NodeEnum::AlterFdwStmt(it) => (it.fdwname.as_str(), "ALTER FOREIGN DATA WRAPPER"),
        NodeEnum::CreateForeignServerStmt(it) => (it.servername.as_str(), "CREATE SERVER"),
        NodeEnum::AlterForeignServerStmt(it) => (it.servername.as_str(), "ALTER SERVER"),
        NodeEnum::CreateUserMappingStmt(it) => (it.servername.as_str(), "CREATE USER MAPPING FOR SERVER"),
        NodeEnum::AlterUserMappingStmt(it) => (it.servername.as_str(), "ALTER USER MAPPING FOR SERVER"),
        NodeEnum::ImportForeignSchemaStmt(it) => (it.server_name.as_str(), "IMPORT FOREIGN SCHEMA FROM SERVER"),
        NodeEnum::CreateSubscriptionStmt(it) => (it.subname.as_str(), "CREATE SUBSCRIPTION"),
        NodeEnum::AlterSubscriptionStmt(it) => (it.subname.as_str(), "ALTER SUBSCRIPTION"),
        NodeEnum::CreatePublicationStmt(it) => {
            let words = format!("CREATE PUBLICATION {}", quoted(&it.pubname));
            return publishes(judge, &words, it.for_all_tables, &it.pubobjects);
        }
        NodeEnum::AlterPublicationStmt(it) if it.action() != AlterPublicationAction::ApDropObjects => {
            let words = format!("ALTER PUBLICATION {}", quoted(&it.pubname));
            return publishes(judge, &words, it.for_all_tables, &it.pubobjects);
        }
        _ => return,
    };
    let name = if name.is_empty() { String::new() } else { quoted(name) };
    let gap = if name.is_empty() { "" } else { " " };
    judge.find(FindingKind::ServerAccess, &name, format!("{words}{gap}{name}"));
}

/// Judges that changes of tables are given to who subscribes to them, whatever policies say.
fn publishes(judge: &mut Judge<'_>, words: &str, all: bool, objects: &[Node]) {
    if all {
        let statement = format!("{words} FOR ALL TABLES");
        judge.find_as(FindingKind::Grant, Effect::Exposing, "", statement);
    }
    for node in objects {
        let Some(NodeEnum::PublicationObjSpec(object)) = &node.node else {
            continue;
        };
        let table = object.pubtable.as_ref().and_then(|table| table.relation.as_ref());
        let Some(table) = table.map(Name::from) else {
            let name = quoted(&object.name);
            let statement = format!("{words} with TABLES IN SCHEMA {name}");
            judge.find_as(FindingKind::Grant, Effect::Exposing, &name, statement);
            continue;
        };
        let there = judge.known.presence(&table) != Existence::New && judge.is_filled(&table);
        let effect = if there || judge.known.marks(&table).shows {
            Effect::Exposing
        } else {
            Effect::Granting
        };
        judge.find_as(
            FindingKind::Grant,
            effect,
            &table,
            format!("{words} with TABLE {table}"),
        );
    }
}
