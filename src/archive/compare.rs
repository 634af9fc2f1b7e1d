//! Compares a restored database with the snapshot of its backup.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::error::{Error, Result};
use super::facts;
use super::left_out::catalog;
use super::manifest::{Hook, Manifest, SnapshotFacts};
use super::order::Assertion;
use super::snapshot;
use super::sql::run;
use super::toc::{OUTGOING, PROVIDERS_OWN};
use crate::postgres::Login;
use crate::text;

/// The time limit of an assertion.
const ASSERTION: &str = "60s";

/// The differences between a backup and the database that it was restored to, and the assertions that do not hold.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn restored(login: &Login, manifest: &Manifest, assertions: &[Assertion]) -> Result<Vec<String>> {
    let mut conn = snapshot::session(login).await?;
    let major = snapshot::major(&mut conn).await?;
    let mut after = facts::restored(&mut conn, &manifest.facts).await?;
    let before = restorable(manifest.facts.clone());
    let becomes: BTreeSet<&str> = manifest.facts.of_others.iter().map(String::as_str).collect();
    after.rights.retain(|name, _| !becomes.contains(thing_of(name)));
    let mut found = differences(&before, &after, major == manifest.server_major);
    // The assertions have a session of their own, because users write them and the functions that they call.
    let mut conn = snapshot::session(login).await?;
    run(&mut conn, "SET search_path TO DEFAULT; SET row_security TO DEFAULT").await?;
    run(&mut conn, snapshot::ANY_RELATION).await?;
    for assertion in assertions {
        found.extend(ask(&mut conn, assertion).await);
    }
    Ok(found)
}

/// Runs one assertion in a read-only transaction. Returns the complaint, unless the query returns true.
async fn ask(conn: &mut PgConnection, assertion: &Assertion) -> Option<String> {
    let name = text::line(&assertion.name, 60);
    let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = '{ASSERTION}'");
    if let Err(error) = run(conn, &begin).await {
        return Some(format!("assertion {name}: {error}"));
    }
    // A prepared statement is one statement.
    let answer = sqlx::query(AssertSqlSafe(assertion.sql.clone()))
        .fetch_optional(&mut *conn)
        .await;
    let complaint = match answer {
        Ok(Some(row)) => match row.try_get::<Option<bool>, _>(0) {
            Ok(Some(true)) => None,
            Ok(_) => Some("the query did not return true".to_owned()),
            Err(_) => Some("the query did not return a boolean: return exactly one boolean".to_owned()),
        },
        Ok(None) => Some("the query returned no row: return exactly one row".to_owned()),
        Err(error) => Some(Error::from(error).message),
    };
    let ended = run(conn, "ROLLBACK").await.err().map(|error| error.message);
    complaint.or(ended).map(|cause| format!("assertion {name}: {cause}"))
}

/// The part of a database that a restore brings back: without the objects that it leaves out, and without rights on objects
/// whose owner changes.
fn restorable(mut facts: SnapshotFacts) -> SnapshotFacts {
    let left_out = std::mem::take(&mut facts.left_out);
    let becomes: BTreeSet<String> = std::mem::take(&mut facts.of_others).into_iter().collect();
    let of = |catalogs: &[u32]| -> BTreeSet<String> {
        let objects = left_out.iter().filter(|object| catalogs.contains(&object.catalog));
        objects.map(|object| object.name.clone()).collect()
    };
    let (relations, policies) = (of(&[catalog::RELATIONS]), of(&[catalog::POLICIES]));
    let constraints = of(&[catalog::CONSTRAINTS]);
    let with_rights = of(&[catalog::RELATIONS, catalog::ROUTINES, catalog::TYPES]);
    facts.rows.retain(|name, _| !relations.contains(name));
    facts.sequences.retain(|name, _| !relations.contains(name));
    facts.row_security.retain(|name, _| !relations.contains(name));
    facts.policies.retain(|name, _| !policies.contains(name));
    facts.constraints.retain(|name, _| !constraints.contains(name));
    facts.rights.retain(|name, _| {
        let name = thing_of(name);
        !with_rights.contains(name) && !becomes.contains(name)
    });
    facts
}

/// The object of a right, by its name: `table a.b`, `materialized view a.b`, `column a.b.c`.
fn thing_of(right: &str) -> &str {
    const KINDS: [&str; 8] = [
        "table ",
        "view ",
        "materialized view ",
        "foreign table ",
        "sequence ",
        "routine ",
        "type ",
        "schema ",
    ];
    if let Some(column) = right.strip_prefix("column ") {
        // A column whose own name contains a dot is compared.
        return column.rsplit_once('.').map_or(column, |(table, _)| table);
    }
    KINDS.iter().find_map(|kind| right.strip_prefix(kind)).unwrap_or(right)
}

/// The differences. Digests of definitions are compared between servers of one major version only: another one may
/// write the same definition in other words.
fn differences(before: &SnapshotFacts, after: &SnapshotFacts, same_major: bool) -> Vec<String> {
    let mut found = Vec::new();
    maps(&mut found, "rows of", &before.rows, &after.rows, u64::eq);
    maps(&mut found, "sequence", &before.sequences, &after.sequences, |a, b| {
        b >= a
    });
    maps(&mut found, "rights on", &before.rights, &after.rights, String::eq);
    maps(
        &mut found,
        "row security of",
        &before.row_security,
        &after.row_security,
        String::eq,
    );
    let defined = |a: &String, b: &String| a == b || !same_major && a.starts_with("not") == b.starts_with("not");
    maps(&mut found, "policy", &before.policies, &after.policies, defined);
    maps(
        &mut found,
        "constraint",
        &before.constraints,
        &after.constraints,
        defined,
    );
    maps(
        &mut found,
        "newest migration in",
        &before.migration_heads,
        &after.migration_heads,
        String::eq,
    );
    for (name, extension) in &before.extensions {
        let is_provider = before.hosted && !after.hosted && PROVIDERS_OWN.contains(&name.as_str());
        match after.extensions.get(name) {
            None if OUTGOING.contains(&name.as_str()) || is_provider => {}
            None => found.push(format!("extension {name}: it is missing")),
            Some(other) if other.schema != extension.schema => found.push(format!(
                "extension {name}: it is in schema {} and was in {}",
                other.schema, extension.schema
            )),
            Some(other) if other.version != extension.version && same_major => found.push(format!(
                "extension {name}: it has version {} and had {}",
                other.version, extension.version
            )),
            Some(_) => {}
        }
    }
    let missing = before.hooks.iter().filter(|hook| !after.hooks.contains(hook));
    found.extend(missing.map(|hook| {
        let Hook {
            kind,
            schema,
            table,
            name,
        } = hook;
        format!("{} {name} on {schema}.{table}: it is missing", kind.to_lowercase())
    }));
    found.iter().map(|line| text::line(line, 300)).collect()
}

fn maps<V: Display>(
    found: &mut Vec<String>,
    what: &str,
    before: &BTreeMap<String, V>,
    after: &BTreeMap<String, V>,
    same: impl Fn(&V, &V) -> bool,
) {
    for (name, was) in before {
        match after.get(name) {
            None => found.push(format!("{what} {name}: expected {was}, found nothing")),
            Some(is) if !same(was, is) => found.push(format!("{what} {name}: expected {was}, found {is}")),
            Some(_) => {}
        }
    }
    let more = after.iter().filter(|(name, _)| !before.contains_key(*name));
    found.extend(more.map(|(name, is)| format!("{what} {name}: unexpected: {is}")));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::archive::manifest::Extension;

    fn facts() -> SnapshotFacts {
        let mut facts = SnapshotFacts::default();
        facts.rows.insert("public.player".into(), 3);
        facts.sequences.insert("public.player_id_seq".into(), 3);
        facts.rights.insert("table public.player".into(), "a".into());
        facts.policies.insert("own on public.player".into(), "b".into());
        facts.row_security.insert("public.player".into(), "enabled".into());
        facts
            .constraints
            .insert("player_pkey on public.player".into(), "c".into());
        facts
            .migration_heads
            .insert("public._prisma_migrations".into(), "1_init".into());
        let extension = Extension {
            schema: "public".into(),
            version: "1.3".into(),
        };
        facts.extensions.insert("citext".into(), extension);
        facts
    }

    type Change = (fn(&mut SnapshotFacts), &'static str);

    #[test]
    fn each_difference_is_told_by_its_name() {
        assert_eq!(differences(&facts(), &facts(), true), [""; 0]);
        let changes: [Change; 10] = [
            (
                |f| *f.rows.get_mut("public.player").unwrap() = 2,
                "rows of public.player: expected 3, found 2",
            ),
            (|f| f.rows.clear(), "expected 3, found nothing"),
            (
                |f| f.rows.extend([("public.evil".into(), 0)]),
                "rows of public.evil: unexpected: 0",
            ),
            (
                |f| *f.sequences.get_mut("public.player_id_seq").unwrap() = 2,
                "sequence public.player_id_seq: expected 3, found 2",
            ),
            (
                |f| *f.rights.get_mut("table public.player").unwrap() = "z".into(),
                "rights on table public.player",
            ),
            (|f| f.policies.clear(), "policy own on public.player: expected"),
            (|f| f.row_security.clear(), "row security of public.player: expected"),
            (
                |f| f.constraints.values_mut().for_each(|v| *v = "not validated c".into()),
                "constraint player_pkey",
            ),
            (
                |f| f.migration_heads.clear(),
                "newest migration in public._prisma_migrations: expected",
            ),
            (|f| f.extensions.clear(), "extension citext: it is missing"),
        ];
        for (change, told) in changes {
            let mut after = facts();
            change(&mut after);
            let found = differences(&facts(), &after, true);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(told), "{found:?}");
        }
        let mut later = facts();
        *later.sequences.get_mut("public.player_id_seq").unwrap() = 4;
        *later.policies.values_mut().next().unwrap() = "another wording".into();
        assert_eq!(differences(&facts(), &later, false), [""; 0]);
    }
}
