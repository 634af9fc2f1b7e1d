//! The part of an archive that is restored: the table of contents, as `pg_restore --list` prints it, without the lines of
//! objects that the target has already or that only the provider may create.

use super::manifest::{Hook, SnapshotFacts};
use crate::postgres::is_tenants;

/// Extensions that start outgoing work by themselves. A restored copy does not get them.
pub(super) const OUTGOING: [&str; 2] = ["pg_cron", "pg_net"];

/// Extensions of the provider's own, which a server of one's own does not have or lets only a superuser make.
pub(super) const PROVIDERS_OWN: [&str; 4] = ["pg_graphql", "pg_stat_statements", "pgsodium", "supabase_vault"];

/// Facts about the target.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    /// Names of its extensions.
    pub extensions: Vec<String>,
    /// Functions of its own event triggers in the tenant's schemas, as `schema name(arguments)`.
    pub watchers: Vec<String>,
    /// The role that restores.
    pub user: String,
    /// Whether it is a hosted project.
    pub hosted: bool,
}

/// The lines of the archive of the tenant's own objects that are restored. What a tenant's login owns is left out, but for
/// large objects, which run nothing: a function or a view of it would have the rights of who restores.
pub(super) fn app(list: &str, facts: &SnapshotFacts, target: &Target) -> String {
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
    let tenants = facts.roles.iter().filter(|role| is_tenants(role));
    let tenants: Vec<_> = tenants.map(|role| format!(" {}", line(role))).collect();
    choose(list, |entry| {
        let defaults = entry.starts_with("DEFAULT ACL ");
        let of = |role: &str| entry.strip_suffix(role).is_some_and(|before| before.ends_with(' '));
        let foreign = of("supabase_admin") || others && of(&line(&facts.owner));
        let is_out = out.iter().any(|prefix| entry.starts_with(prefix.as_str()));
        let of_tenant = tenants.iter().any(|role| entry.ends_with(role.as_str())) && !entry.starts_with("BLOB");
        !(is_out || of_tenant || defaults && foreign)
    })
}

/// The lines of the archive of the provider's schemas that are the tenant's: triggers and policies.
pub(super) fn hooks(list: &str, hooks: &[Hook]) -> String {
    let wanted: Vec<_> = hooks.iter().map(entry_of).collect();
    choose(list, |entry| {
        wanted.iter().any(|prefix| entry.starts_with(prefix.as_str()))
    })
}

/// How the entry of a trigger or a policy begins.
fn entry_of(hook: &Hook) -> String {
    let (schema, table, name) = (line(&hook.schema), line(&hook.table), line(&hook.name));
    format!("{} {schema} {table} {name} ", hook.kind)
}

fn choose(list: &str, keep: impl Fn(&str) -> bool) -> String {
    let mut chosen = String::new();
    for text in list.lines().filter(|text| !text.starts_with(';')) {
        // 215; 1259 16386 TABLE public player owner
        let entry = text.split_once("; ").and_then(|(_, rest)| rest.splitn(3, ' ').nth(2));
        if entry.is_some_and(&keep) {
            chosen.push_str(text);
            chosen.push('\n');
        }
    }
    chosen
}

/// As `pg_restore` prints a name: on one line.
fn line(name: &str) -> String {
    name.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut target = Target {
            extensions: vec!["pgcrypto".into()],
            watchers: vec!["public rls_auto_enable()".into()],
            user: "owner_a".into(),
            hosted: true,
        };
        assert_eq!(numbers(&app(LIST, &facts, &target)), [3, 7, 8, 11, 13, 16, 17, 18]);
        // Default privileges of a role that is not there.
        target.user = "owner_b".into();
        assert_eq!(numbers(&app(LIST, &facts, &target)), [3, 7, 8, 11, 16, 17, 18]);
    }

    #[test]
    fn what_a_tenants_login_owns_is_left_out() {
        let role = format!("orchestra_{}", "0".repeat(32));
        let list = format!(
            "1; 1255 1 FUNCTION public climb() {role}\n2; 1259 1 VIEW public seen {role}_2\n3; 0 0 ACL public FUNCTION climb() {role}\n\
             4; 1259 1 TABLE public {role} owner_a\n5; 2613 1 BLOB METADATA - 16400 {role}\n6; 1259 1 TABLE public kept other role\n"
        );
        let facts = SnapshotFacts {
            owner: "owner_a".into(),
            roles: vec![role.clone(), format!("{role}_2"), "other role".into()],
            ..SnapshotFacts::default()
        };
        for user in ["owner_a", "owner_b"] {
            let target = Target {
                user: user.into(),
                ..Target::default()
            };
            assert_eq!(numbers(&app(&list, &facts, &target)), [4, 5, 6]);
        }
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
        assert_eq!(numbers(&hooks(LIST, &all)), [16, 18]);
        assert_eq!(numbers(&hooks(LIST, &[])), [0; 0]);
    }
}
