//! Statements that grant rights: grants, roles, functions with the rights of their owner, and statements that reach the
//! server's files, programs and network.

use pg_query::protobuf::{
    CreateFunctionStmt, GrantRoleStmt, GrantStmt, GrantTargetType, ObjectType, RoleSpec, RoleSpecType, RoleStmtType,
    VariableSetKind,
};
use pg_query::{Node, NodeEnum};

use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Existence;
use super::names::{Name, dotted, inner, is_on, language, quoted, strings};
use super::roles::{is_anon, is_anyone, role, roles};
use super::{leaks, objects, reach, shown, signatures};
use crate::api::Effect;

/// Whether a role is the one that runs the scripts.
pub fn is_oneself(judge: &Judge<'_>, role: &RoleSpec) -> bool {
    !matches!(
        role.roletype(),
        RoleSpecType::RolespecCstring | RoleSpecType::RolespecPublic
    ) || judge.known.user.as_ref() == Some(&role.rolename)
}

/// Judges a statement that gives rights.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::GrantStmt(it) if it.is_grant => grant(judge, it),
        NodeEnum::GrantRoleStmt(it) if it.is_grant => grant_role(judge, it),
        NodeEnum::AlterDefaultPrivilegesStmt(it) => {
            if let Some(action) = it.action.as_ref().filter(|action| action.is_grant) {
                let to = roles(&action.grantees).map(role).collect::<Vec<_>>().join(", ");
                match action.objtype() {
                    ObjectType::ObjectTable if roles(&action.grantees).any(is_anyone) => judge.known.open_by_default(),
                    ObjectType::ObjectFunction | ObjectType::ObjectRoutine => {
                        judge.known.code.anon_executes |= roles(&action.grantees).any(is_anon);
                    }
                    _ => {}
                }
                let statement = format!("ALTER DEFAULT PRIVILEGES … GRANT … TO {to}");
                judge.find(FindingKind::DefaultPrivileges, to, statement);
            }
        }
        NodeEnum::CreateRoleStmt(it) => {
            let login = it.stmt_type() == RoleStmtType::RolestmtUser && !is_off(&it.options, "canlogin");
            let effect = if login || is_mighty(&it.options) {
                Effect::Exposing
            } else {
                Effect::Granting
            };
            let name = quoted(&it.role);
            judge.find_as(FindingKind::ChangeRole, effect, &name, format!("CREATE ROLE {name}"));
        }
        NodeEnum::AlterRoleStmt(it) if it.action > 0 && (is_mighty(&it.options) || is_on(&it.options, "inherit")) => {
            let name = it.role.as_ref().map(role).unwrap_or_default();
            judge.find(FindingKind::ChangeRole, &name, format!("ALTER ROLE {name}"));
        }
        NodeEnum::CreateFunctionStmt(it) => create_function(judge, it),
        NodeEnum::AlterFunctionStmt(it) => {
            let parts = it.func.as_ref().map(|func| strings(&func.objname)).unwrap_or_default();
            let sheds = settings(&it.actions).any(|set| {
                set.kind() == VariableSetKind::VarResetAll
                    || set.name == "search_path" && set.kind() != VariableSetKind::VarSetValue
            });
            let definer = is_on(&it.actions, "security") && !has_path(&it.actions);
            let arguments = it.func.as_ref().and_then(signatures::of_object);
            let key = objects::key(ObjectType::ObjectFunction, &parts).with(arguments);
            let key = judge.known.resolve(key);
            if (definer || sheds) && !judge.known.is_made(&key) {
                let name = dotted(&parts);
                let words = if definer {
                    "SECURITY DEFINER"
                } else {
                    "RESET search_path"
                };
                let statement = format!("ALTER FUNCTION {name} {words}");
                judge.find_as(FindingKind::SecurityDefiner, Effect::Exposing, &name, statement);
            }
        }
        _ => reach::statement(judge, tree),
    }
}

fn is_off(options: &[Node], name: &str) -> bool {
    let named = |node: &Node| matches!(inner(Some(node)), Some(NodeEnum::DefElem(element)) if element.defname == name);
    options.iter().any(named) && !is_on(options, name)
}

/// Whether a new role has more than a name: a login, members, or an attribute that bypasses other rights.
fn is_mighty(options: &[Node]) -> bool {
    const MIGHT: [&str; 10] = [
        "superuser",
        "createrole",
        "createdb",
        "isreplication",
        "bypassrls",
        "canlogin",
        "password",
        "rolemembers",
        "adminmembers",
        "addroleto",
    ];
    MIGHT.iter().any(|name| is_on(options, name))
}

fn grant(judge: &mut Judge<'_>, it: &GrantStmt) {
    let anyone = roles(&it.grantees).any(is_anyone);
    let to = roles(&it.grantees).map(role).collect::<Vec<_>>().join(", ");
    let privileges = it.privileges.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::AccessPriv(privilege)) => Some(privilege.priv_name.to_ascii_uppercase()),
        _ => None,
    });
    let privileges: Vec<String> = privileges.filter(|name| !name.is_empty()).collect();
    let has = |wanted: &str| privileges.is_empty() || privileges.iter().any(|name| name == wanted);
    let (creates, uses) = (has("CREATE"), has("USAGE"));
    let given = if privileges.is_empty() {
        "ALL".to_owned()
    } else {
        privileges.join(", ")
    };
    let all = it.targtype() == GrantTargetType::AclTargetAllInSchema;
    let objtype = it.objtype();
    let what = objtype.as_str_name().trim_start_matches("OBJECT_").replace('_', " ");
    for object in &it.objects {
        let parts = match &object.node {
            Some(NodeEnum::String(text)) => vec![text.sval.clone()],
            _ => strings(std::slice::from_ref(object)),
        };
        let name = dotted(&parts);
        let exposes = match objtype {
            ObjectType::ObjectDatabase | ObjectType::ObjectParameterAcl => true,
            ObjectType::ObjectTable if all => anyone,
            ObjectType::ObjectTable => {
                let table = Name::of(parts);
                anyone && opens(judge, &table)
            }
            ObjectType::ObjectSchema if anyone => {
                let schema = parts.last().map_or("", String::as_str);
                creates && !judge.known.is_made(&objects::key(objtype, &parts))
                    || uses && judge.known.code.shut_schemas.contains(schema)
            }
            ObjectType::ObjectFdw
            | ObjectType::ObjectForeignServer
            | ObjectType::ObjectLanguage
            | ObjectType::ObjectLargeobject => anyone,
            ObjectType::ObjectFunction | ObjectType::ObjectRoutine | ObjectType::ObjectProcedure if anyone => {
                judge.known.code.anon_granted |= roles(&it.grantees).any(is_anon);
                if all {
                    leaks::is_leak_in(judge, parts.last().map_or("", String::as_str))
                } else {
                    leaks::is_leak(judge, object)
                }
            }
            _ => false,
        };
        let effect = if exposes { Effect::Exposing } else { Effect::Granting };
        let whole = if all {
            format!("ALL {what}S IN SCHEMA")
        } else {
            what.clone()
        };
        let statement = format!("GRANT {given} ON {whole} {name} TO {to}");
        judge.find_as(FindingKind::Grant, effect, &name, statement);
    }
}

/// Whether everybody reads existing rows once everybody may read the table.
fn opens(judge: &mut Judge<'_>, table: &Name) -> bool {
    judge.known.mark(table, |marks| marks.open = true);
    judge.known.presence(table) != Existence::New && judge.is_filled(table) || shown::is_open(judge, table)
}

fn grant_role(judge: &mut Judge<'_>, it: &GrantRoleStmt) {
    let to = roles(&it.grantee_roles).map(role).collect::<Vec<_>>().join(", ");
    for node in &it.granted_roles {
        if let Some(NodeEnum::AccessPriv(granted)) = &node.node {
            let name = quoted(&granted.priv_name);
            judge.find(FindingKind::GrantRole, &name, format!("GRANT {name} TO {to}"));
        }
    }
}

/// The settings that a function's options set.
pub fn settings(options: &[Node]) -> impl Iterator<Item = &pg_query::protobuf::VariableSetStmt> {
    options.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::DefElem(element)) if element.defname == "set" => match inner(element.arg.as_deref()) {
            Some(NodeEnum::VariableSetStmt(set)) => Some(set),
            _ => None,
        },
        _ => None,
    })
}

/// Whether a function's options fix the schemas in which its names are looked up.
pub fn has_path(options: &[Node]) -> bool {
    settings(options).any(|set| set.name == "search_path" && set.kind() == VariableSetKind::VarSetValue)
}

fn create_function(judge: &mut Judge<'_>, it: &CreateFunctionStmt) {
    let name = dotted(&strings(&it.funcname));
    if is_on(&it.options, "security") && !has_path(&it.options) {
        let statement = format!("CREATE FUNCTION {name} SECURITY DEFINER without a search_path");
        judge.find(FindingKind::SecurityDefiner, &name, statement);
    }
    let language = language(&it.options);
    if matches!(
        language.as_str(),
        "c" | "internal" | "plperlu" | "plpython3u" | "plpythonu" | "pltclu" | "plsh"
    ) {
        let statement = format!("CREATE FUNCTION {name} LANGUAGE {language}");
        judge.find(FindingKind::ServerAccess, &name, statement);
    }
}
