//! The advisors: a few of the lints, found in the project's database.

use serde_json::{Value, json};

use super::reply::{Call, Reply};
use super::session;
use super::state::Inner;

/// A lint: its name, title and level, what it says of `%s`, and the tables that it finds.
struct Lint {
    name: &'static str,
    title: &'static str,
    level: &'static str,
    detail: &'static str,
    tables: &'static str,
}

const SECURITY: [Lint; 2] = [
    Lint {
        name: "rls_disabled_in_public",
        title: "RLS Disabled in Public",
        level: "ERROR",
        detail: "Table `public.%s` is public, but RLS has not been enabled.",
        tables: "SELECT relname, NULL::text AS fkey FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relrowsecurity",
    },
    Lint {
        name: "rls_enabled_no_policy",
        title: "RLS Enabled No Policy",
        level: "INFO",
        detail: "Table `public.%s` has RLS enabled, but no policies exist",
        tables: "SELECT relname, NULL::text AS fkey FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relrowsecurity
              AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid)",
    },
];

const PERFORMANCE: [Lint; 2] = [
    Lint {
        name: "no_primary_key",
        title: "No Primary Key",
        level: "INFO",
        detail: "Table `public.%s` does not have a primary key",
        tables: "SELECT relname, NULL::text AS fkey FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
              AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary)",
    },
    Lint {
        name: "unindexed_foreign_keys",
        title: "Unindexed foreign keys",
        level: "INFO",
        detail: "Table `public.%s` has a foreign key without a covering index.",
        tables: "SELECT relname, conname::text AS fkey FROM pg_class JOIN pg_constraint ON conrelid = pg_class.oid
            WHERE relnamespace = 'public'::regnamespace AND contype = 'f'
              AND NOT EXISTS (SELECT FROM pg_index
                  WHERE indrelid = conrelid AND (indkey::int2[])[0:cardinality(conkey) - 1] @> conkey)",
    },
];

pub(super) async fn security(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    lints(inner, call, &SECURITY, "SECURITY").await
}

pub(super) async fn performance(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    lints(inner, call, &PERFORMANCE, "PERFORMANCE").await
}

async fn lints(inner: &Inner, call: &Call, lints: &[Lint], category: &str) -> Result<Reply, Reply> {
    let mut session = session::superuser(inner, call).await?;
    let mut found = Vec::new();
    for lint in lints {
        let query = format!(
            "SELECT to_jsonb(it)::text FROM ({}) AS it WHERE $1 = '' ORDER BY relname",
            lint.tables
        );
        let tables = session::objects(&mut session, &query, "").await?;
        found.extend(tables.iter().map(|table| show(lint, table, category)));
    }
    Ok(Reply::json(200, json!({"lints": found})))
}

fn show(lint: &Lint, table: &Value, category: &str) -> Value {
    let name = table["relname"].as_str().unwrap_or_default();
    let mut metadata = json!({"schema": "public", "name": name, "type": "table"});
    let mut key = format!("{}_public_{name}", lint.name);
    if let Some(fkey) = table["fkey"].as_str() {
        metadata["fkey_name"] = json!(fkey);
        key = format!("{key}_{fkey}");
    }
    json!({
        "name": lint.name,
        "title": lint.title,
        "level": lint.level,
        "facing": "EXTERNAL",
        "categories": [category],
        "description": lint.title,
        "detail": lint.detail.replace("%s", name),
        "remediation": format!("https://supabase.com/docs/guides/database/database-linter?lint={}", lint.name),
        "metadata": metadata,
        "cache_key": key,
    })
}
