//! The part of an archive that is restored: the table of contents, as `pg_restore --list` prints it, without the lines of
//! objects that the target has already or that only the provider may create.

use std::collections::HashSet;

use super::left_out::{LeftOutSet, catalog};
use super::manifest::{Hook, LeftOut, SnapshotFacts};

/// Extensions that start outgoing work by themselves. A restored copy does not get them.
pub(super) const OUTGOING: [&str; 2] = ["pg_cron", "pg_net"];

/// Extensions of the provider, which a self-hosted server does not have or lets only a superuser create.
pub(super) const PROVIDERS_OWN: [&str; 4] = ["pg_graphql", "pg_stat_statements", "pgsodium", "supabase_vault"];

/// Facts about the target.
#[derive(Clone, Debug, Default)]
pub(super) struct TargetFacts {
    /// Names of its extensions.
    pub extensions: Vec<String>,
    /// Functions of its own event triggers in the tenant's schemas, as `schema name(arguments)`.
    pub watchers: Vec<String>,
    /// The role that restores.
    pub user: String,
    /// Whether it is a hosted project.
    pub hosted: bool,
}

/// The lines that are restored of the archive of the tenant's own objects, without what the snapshot's facts leave out.
pub(super) fn app(list: &str, facts: &SnapshotFacts, target: &TargetFacts) -> String {
    let mut out: Vec<String> = [
        "EVENT TRIGGER ",
        "COMMENT - EVENT TRIGGER ",
        "COMMENT - EXTENSION ",
        "SUBSCRIPTION ",
        "SCHEMA - public ",
        "ACL - SCHEMA public ",
        "COMMENT - SCHEMA public ",
    ]
    .map(Into::into)
    .to_vec();
    let extensions = target.extensions.iter().map(String::as_str).chain(OUTGOING);
    out.extend(extensions.map(|name| format!("EXTENSION - {} ", line(name))));
    if target.hosted {
        out.push("PUBLICATION - supabase_realtime ".into());
    } else if facts.hosted {
        out.extend(PROVIDERS_OWN.map(|name| format!("EXTENSION - {name} ")));
    }
    out.extend(facts.outgoing.iter().map(entry_of));
    for watcher in &target.watchers {
        let (schema, function) = watcher.split_once(' ').unwrap_or_default();
        out.push(format!("FUNCTION {schema} {function} "));
        out.push(format!("ACL {schema} FUNCTION {function} "));
    }
    let others = facts.owner != target.user;
    choose(list, &facts.left_out, |entry| {
        let defaults = entry.starts_with("DEFAULT ACL ");
        let of = |role: &str| entry.strip_suffix(role).is_some_and(|before| before.ends_with(' '));
        let foreign = of("supabase_admin") || others && of(&line(&facts.owner));
        let is_out = out.iter().any(|prefix| entry.starts_with(prefix.as_str()));
        !(is_out || defaults && foreign)
    })
}

/// The lines that are the tenant's in the archive of the provider's schemas: triggers and policies.
pub(super) fn hooks(list: &str, facts: &SnapshotFacts) -> String {
    let wanted: Vec<_> = facts.hooks.iter().map(entry_of).collect();
    choose(list, &facts.left_out, |entry| {
        wanted.iter().any(|prefix| entry.starts_with(prefix.as_str()))
    })
}

/// The lines in the archive of the provider's schemas from which copies of these are made.
pub(super) fn copies(list: &str, facts: &SnapshotFacts) -> String {
    choose(list, &facts.left_out, |_| true)
}

/// How the entry of a trigger or a policy begins.
fn entry_of(hook: &Hook) -> String {
    let (schema, table, name) = (line(&hook.schema), line(&hook.table), line(&hook.name));
    format!("{} {schema} {table} {name} ", hook.kind)
}

/// The prefix of an entry that is not an object of its own: it follows the object that it belongs to.
const ABOUT: [&str; 4] = ["ACL ", "COMMENT ", "SECURITY LABEL ", "SEQUENCE OWNED BY "];
/// The prefix of an entry without an oid that names a relation as the relation's own entry does.
const OF_RELATION: [&str; 3] = ["TABLE ATTACH ", "INDEX ATTACH ", "SEQUENCE SET "];

fn choose(list: &str, left_out: &[LeftOut], keep: impl Fn(&str) -> bool) -> String {
    let left_out = LeftOutSet::of(left_out);
    let (mut chosen, mut with_it, mut is_out) = (String::new(), HashSet::new(), false);
    for text in list.lines().filter(|text| !text.starts_with(';')) {
        let Some((catalog, oid, entry)) = parts(text) else {
            continue;
        };
        let is_about = (catalog, oid) == (0, 0) && ABOUT.iter().any(|kind| entry.starts_with(kind));
        if !is_about {
            is_out = left_out.holds(catalog, oid) || with_it.contains(entry);
        }
        if !is_about && is_out && catalog == catalog::RELATIONS {
            let kinds = ["TABLE ", "INDEX ", "SEQUENCE "];
            let named = kinds.iter().find_map(|kind| entry.strip_prefix(kind));
            with_it.extend(
                named
                    .into_iter()
                    .flat_map(|named| OF_RELATION.map(|kind| format!("{kind}{named}"))),
            );
        }
        if !is_out && keep(entry) {
            chosen.push_str(text);
            chosen.push('\n');
        }
    }
    chosen
}

/// The oid of the catalog, the oid of the object, and the rest of a line: `215; 1259 16386 TABLE public player owner`.
fn parts(text: &str) -> Option<(u32, u32, &str)> {
    let (_, rest) = text.split_once("; ")?;
    let mut rest = rest.splitn(3, ' ');
    Some((rest.next()?.parse().ok()?, rest.next()?.parse().ok()?, rest.next()?))
}

/// As `pg_restore` prints a name: on one line.
fn line(name: &str) -> String {
    name.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::manifest::LeftOutCause;

    const LIST: &str = "; Archive created\n;\n\
        2; 3079 16385 EXTENSION - pgcrypto \n3; 3079 16386 EXTENSION - vector \n4; 0 0 COMMENT - EXTENSION pgcrypto \n\
        5; 2615 2200 SCHEMA - public pg_database_owner\n6; 0 0 ACL - SCHEMA public pg_database_owner\n\
        7; 1259 1 TABLE public player owner_a\n8; 1259 1 TABLE DATA public player owner_a\n\
        9; 3466 1 EVENT TRIGGER - ensure_rls supabase_admin\n10; 6104 1 PUBLICATION - supabase_realtime postgres\n\
        11; 6106 1 PUBLICATION TABLE public supabase_realtime player postgres\n\
        12; 826 1 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES supabase_admin\n\
        13; 826 1 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES owner_a\n\
        14; 1255 1 FUNCTION public rls_auto_enable() postgres\n15; 3079 1 EXTENSION - pg_cron \n\
        16; 2620 1 TRIGGER auth users on user created supabase_auth_admin\n\
        17; 2620 1 TRIGGER storage objects update_objects_updated_at supabase_storage_admin\n\
        18; 3256 1 POLICY storage objects own files supabase_storage_admin\n";

    fn numbers(chosen: &str) -> Vec<u32> {
        chosen
            .lines()
            .filter_map(|line| line.split(';').next()?.parse().ok())
            .collect()
    }

    #[test]
    fn what_the_target_has_or_may_not_make_is_left_out() {
        let facts = SnapshotFacts {
            owner: "owner_a".into(),
            ..SnapshotFacts::default()
        };
        let mut target = TargetFacts {
            extensions: vec!["pgcrypto".into()],
            watchers: vec!["public rls_auto_enable()".into()],
            user: "owner_a".into(),
            hosted: true,
        };
        assert_eq!(numbers(&app(LIST, &facts, &target)), [3, 7, 8, 11, 13, 16, 17, 18]);
        // Default privileges of a role that does not exist.
        target.user = "owner_b".into();
        assert_eq!(numbers(&app(LIST, &facts, &target)), [3, 7, 8, 11, 16, 17, 18]);
    }

    #[test]
    fn what_the_facts_leave_out_goes_with_what_is_said_of_it() {
        let list = "1; 1255 1 FUNCTION public hi(integer) helper\n2; 0 0 COMMENT public FUNCTION \"hi\"(integer) helper\n\
             3; 0 0 ACL public FUNCTION \"hi\"(integer) helper\n4; 1255 2 FUNCTION public mine(integer) owner_a\n\
             5; 0 0 ACL public FUNCTION \"mine\"(integer) owner_a\n6; 2605 3 CAST - CAST (\"public\".\"mine\" AS integer) \n\
             7; 0 0 COMMENT - CAST (\"public\".\"mine\" AS integer) \n8; 1259 4 SEQUENCE public t_id_seq helper\n\
             9; 0 0 SEQUENCE OWNED BY public t_id_seq helper\n10; 1259 5 TABLE public part owner_a\n11; 1259 6 TABLE public t helper\n\
             12; 0 0 TABLE ATTACH public t helper\n13; 0 0 TABLE ATTACH public part owner_a\n14; 0 6 TABLE DATA public t helper\n\
             15; 0 5 TABLE DATA public part owner_a\n16; 0 0 SEQUENCE SET public t_id_seq helper\n17; 2613 6 BLOB METADATA - 6 helper\n";
        let left_out = [
            (catalog::ROUTINES, 1),
            (2605, 3),
            (catalog::RELATIONS, 4),
            (catalog::RELATIONS, 6),
        ];
        let left_out = left_out.map(|(catalog, oid)| LeftOut {
            catalog,
            oid,
            cause: LeftOutCause::OtherRole,
            name: String::new(),
        });
        let facts = SnapshotFacts {
            owner: "owner_a".into(),
            left_out: left_out.to_vec(),
            ..SnapshotFacts::default()
        };
        for user in ["owner_a", "owner_b"] {
            let target = TargetFacts {
                user: user.into(),
                ..TargetFacts::default()
            };
            assert_eq!(numbers(&app(list, &facts, &target)), [4, 5, 10, 13, 15, 17]);
        }
        assert_eq!(numbers(&copies(list, &facts)), [4, 5, 10, 13, 15, 17]);
    }

    #[test]
    fn of_the_providers_schemas_only_the_tenants_hooks_are_chosen() {
        let hook = |kind: &str, schema: &str, table: &str, name: &str| Hook {
            kind: kind.into(),
            schema: schema.into(),
            table: table.into(),
            name: name.into(),
        };
        let all = [
            hook("TRIGGER", "auth", "users", "on user\ncreated"),
            hook("POLICY", "storage", "objects", "own files"),
        ];
        let facts = SnapshotFacts {
            hooks: all.to_vec(),
            ..SnapshotFacts::default()
        };
        assert_eq!(numbers(&hooks(LIST, &facts)), [16, 18]);
        assert_eq!(numbers(&hooks(LIST, &SnapshotFacts::default())), [0; 0]);
    }
}
