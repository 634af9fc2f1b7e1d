//! TypeScript types of a project's tables, views and enums. Relationships, functions and composite types are left out.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::reply::{Call, Reply};
use super::session;
use super::state::Inner;

/// The tables and views of the schema `$1`, each with its columns.
const RELATIONS: &str = "SELECT json_build_object('name', relname, 'view', relkind IN ('v', 'm'), 'columns', (
        SELECT coalesce(json_agg(json_build_object('name', attname, 'null', NOT attnotnull,
            'default', atthasdef OR attidentity <> '',
            'array', t.typcategory = 'A', 'type', coalesce(e.typname, t.typname),
            'enum', CASE WHEN coalesce(e.typtype, t.typtype) = 'e' THEN (SELECT nspname FROM pg_namespace
                WHERE oid = coalesce(e.typnamespace, t.typnamespace)) END) ORDER BY attname), '[]')
        FROM pg_attribute JOIN pg_type t ON t.oid = atttypid LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped))::text
    FROM pg_class c WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
        AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY relname";

/// The enums of the schema `$1`.
const ENUMS: &str = "SELECT json_build_object('name', typname, 'values', (SELECT json_agg(enumlabel ORDER BY enumsortorder)
        FROM pg_enum WHERE enumtypid = t.oid))::text
    FROM pg_type t WHERE typtype = 'e' AND typnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) ORDER BY typname";

const JSON: &str =
    "export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]\n";
const NONE: &str = "{ [_ in never]: never }";

pub(super) async fn typescript(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = session::reader(inner, call).await?;
    let mut text = format!("{JSON}\nexport type Database = {{\n");
    for schema in call.query("included_schemas").unwrap_or("public").split(',') {
        let schema = schema.trim();
        let relations = session::objects(&mut session, RELATIONS, schema).await?;
        let enums = session::objects(&mut session, ENUMS, schema).await?;
        let _ = writeln!(text, "  {}: {{", word(schema));
        for (title, view) in [("Tables", false), ("Views", true)] {
            let found: Vec<_> = relations.iter().filter(|it| it["view"] == view).map(relation).collect();
            section(&mut text, title, &found);
        }
        let found: Vec<_> = enums.iter().map(enumeration).collect();
        section(&mut text, "Functions", &[]);
        section(&mut text, "Enums", &found);
        section(&mut text, "CompositeTypes", &[]);
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    Ok(Reply::json(200, json!({"types": text})))
}

fn section(text: &mut String, title: &str, members: &[String]) {
    if members.is_empty() {
        let _ = writeln!(text, "    {title}: {NONE}");
    } else {
        let _ = writeln!(text, "    {title}: {{\n      {}\n    }}", members.join("\n      "));
    }
}

fn relation(it: &Value) -> String {
    let columns = it["columns"].as_array().cloned().unwrap_or_default();
    let row = columns.iter().map(|it| field(it, false));
    let insert = columns
        .iter()
        .map(|it| field(it, it["default"] == true || it["null"] == true));
    let update = columns.iter().map(|it| field(it, true));
    let braces = |fields: Vec<String>| format!("{{ {} }}", fields.join("; "));
    let mut parts = vec![format!("Row: {}", braces(row.collect()))];
    if it["view"] == false {
        parts.push(format!("Insert: {}", braces(insert.collect())));
        parts.push(format!("Update: {}", braces(update.collect())));
    }
    parts.push("Relationships: []".to_owned());
    format!("{}: {{ {} }}", word(text_of(&it["name"])), parts.join("; "))
}

fn field(it: &Value, optional: bool) -> String {
    let name = text_of(&it["name"]);
    let mut kind = match it["enum"].as_str() {
        Some(schema) => format!("Database[\"{schema}\"][\"Enums\"][\"{}\"]", text_of(&it["type"])),
        None => plain(text_of(&it["type"])).to_owned(),
    };
    if it["array"] == true {
        kind.push_str("[]");
    }
    if it["null"] == true {
        kind.push_str(" | null");
    }
    format!("{}{}: {kind}", word(name), if optional { "?" } else { "" })
}

fn plain(name: &str) -> &'static str {
    match name {
        "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" => "number",
        "bool" => "boolean",
        "json" | "jsonb" => "Json",
        "text" | "varchar" | "bpchar" | "name" | "uuid" | "bytea" | "citext" | "date" | "time" | "timetz"
        | "timestamp" | "timestamptz" | "vector" => "string",
        _ => "unknown",
    }
}

fn enumeration(it: &Value) -> String {
    let values = it["values"].as_array().cloned().unwrap_or_default();
    let values: Vec<_> = values.iter().map(Value::to_string).collect();
    format!("{}: {}", word(text_of(&it["name"])), values.join(" | "))
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A name as a key of an object's type.
fn word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}
