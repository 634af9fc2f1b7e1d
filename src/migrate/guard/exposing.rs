//! Statements that weaken the protection of data: policies, row level security, triggers, owners.

use pg_query::protobuf::{AlterPolicyStmt, AlterTableStmt, AlterTableType, CreatePolicyStmt, RangeVar};
use pg_query::{Node, NodeEnum};

use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Existence;
use super::names::{Name, dotted, inner, is_on, quoted, strings};
use super::rights::is_oneself;
use super::roles::{is_anyone, role, roles};
use super::rows::is_constant;
use super::{objects, shown, signatures};
use crate::api::Effect;

/// Judges a statement that changes who can reach data.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::CreatePolicyStmt(it) => create_policy(judge, it),
        NodeEnum::AlterPolicyStmt(it) => alter_policy(judge, it),
        NodeEnum::AlterTableStmt(it) => alter_table(judge, it),
        NodeEnum::AlterEventTrigStmt(it) if matches!(it.tgenabled.as_str(), "D" | "R") => {
            let name = quoted(&it.trigname);
            let statement = format!("ALTER EVENT TRIGGER {name} DISABLE");
            judge.find(FindingKind::DisableTrigger, &name, statement);
        }
        NodeEnum::AlterOwnerStmt(it) => {
            let parts = match inner(it.object.as_deref()) {
                Some(NodeEnum::String(name)) => vec![name.sval.clone()],
                Some(NodeEnum::List(list)) => strings(&list.items),
                Some(_) => it
                    .object
                    .as_deref()
                    .map(|node| strings(std::slice::from_ref(node)))
                    .unwrap_or_default(),
                None => Vec::new(),
            };
            let parts = it.relation.as_ref().map_or(parts, |relation| {
                let name = Name::from(relation);
                name.schema.into_iter().chain([name.name]).collect()
            });
            let key = objects::key(it.object_type(), &parts).with(signatures::named(it.object.as_deref()));
            let key = judge.known.resolve(key);
            let new = judge.known.is_made(&key);
            let name = dotted(&parts);
            if let Some(owner) = it.newowner.as_ref().filter(|owner| !is_oneself(judge, owner)) {
                let what = it
                    .object_type()
                    .as_str_name()
                    .trim_start_matches("OBJECT_")
                    .replace('_', " ");
                change_owner(
                    judge,
                    new,
                    &name,
                    format!("ALTER {what} {name} OWNER TO {}", role(owner)),
                );
            }
        }
        NodeEnum::ReassignOwnedStmt(it) => {
            let to = it.newrole.as_ref().map(role).unwrap_or_default();
            let from = roles(&it.roles).map(role).collect::<Vec<_>>().join(", ");
            let statement = format!("REASSIGN OWNED BY {from} TO {to}");
            judge.find(FindingKind::ChangeOwner, from, statement);
        }
        _ => {}
    }
}

fn change_owner(judge: &mut Judge<'_>, new: bool, name: &str, statement: String) {
    let effect = if new { Effect::Granting } else { Effect::Exposing };
    judge.find_as(FindingKind::ChangeOwner, effect, name, statement);
}

/// Whether a condition is true for every row: it consists of constants other than `false`.
fn is_open(condition: Option<&Node>) -> bool {
    use pg_query::protobuf::a_const::Val;
    inner(condition).is_some_and(|node| match node {
        NodeEnum::AConst(constant) => !matches!(&constant.val, Some(Val::Boolval(value)) if !value.boolval),
        node => is_constant(node),
    })
}

/// The table of a policy, and whether it holds rows that the pending scripts did not put there.
fn policed(judge: &mut Judge<'_>, table: Option<&RangeVar>) -> Option<(Name, Existence, bool)> {
    let table = Name::from(table?);
    let standing = judge.known.presence(&table);
    let in_use = match standing {
        Existence::New => judge.known.marks(&table).shows,
        _ => judge.is_filled(&table),
    };
    Some((table, standing, in_use))
}

fn create_policy(judge: &mut Judge<'_>, it: &CreatePolicyStmt) {
    let Some((table, standing, in_use)) = policed(judge, it.table.as_ref()) else {
        return;
    };
    if !it.permissive {
        return;
    }
    let open = is_open(it.qual.as_deref()) || is_open(it.with_check.as_deref());
    let to: Vec<String> = roles(&it.roles).map(role).collect();
    let words = format!("CREATE POLICY {} ON {table}", quoted(&it.policy_name));
    if open {
        let anyone = roles(&it.roles).any(is_anyone);
        if anyone {
            judge.known.mark(&table, |marks| marks.passed = true);
        }
        let effect = if in_use && anyone {
            Effect::Exposing
        } else {
            Effect::Granting
        };
        let statement = format!("{words} TO {} that lets every row through", to.join(", "));
        judge.find_as(FindingKind::OpenPolicy, effect, &table, statement);
    } else if standing != Existence::New {
        judge.find(FindingKind::AddPolicy, &table, format!("{words} TO {}", to.join(", ")));
    }
}

fn alter_policy(judge: &mut Judge<'_>, it: &AlterPolicyStmt) {
    let Some((table, standing, _)) = policed(judge, it.table.as_ref()) else {
        return;
    };
    let open = is_open(it.qual.as_deref()) || is_open(it.with_check.as_deref());
    let words = format!("ALTER POLICY {} ON {table}", quoted(&it.policy_name));
    let effect = if standing == Existence::New {
        Effect::Granting
    } else {
        Effect::Exposing
    };
    if open {
        judge.known.mark(&table, |marks| marks.passed = true);
        let statement = format!("{words} so that it lets every row through");
        judge.find_as(FindingKind::OpenPolicy, effect, &table, statement);
    } else if let Some(to) = roles(&it.roles).find(|to| is_anyone(to)) {
        judge.find_as(
            FindingKind::OpenPolicy,
            effect,
            &table,
            format!("{words} TO {}", role(to)),
        );
    } else if standing != Existence::New {
        judge.find(FindingKind::AlterPolicy, &table, words);
    }
}

/// Whether a list of a view's options takes this one off.
fn sheds(options: &[Node], resets: bool, option: &str) -> bool {
    let named =
        |node: &Node| matches!(inner(Some(node)), Some(NodeEnum::DefElem(element)) if element.defname == option);
    options.iter().any(named) && (resets || !is_on(options, option))
}

#[allow(clippy::too_many_lines, reason = "one arm for each command")]
fn alter_table(judge: &mut Judge<'_>, it: &AlterTableStmt) {
    use AlterTableType as Is;
    let Some(table) = it.relation.as_ref().map(Name::from) else {
        return;
    };
    let new = judge.known.presence(&table) == Existence::New;
    for node in &it.cmds {
        let Some(NodeEnum::AlterTableCmd(command)) = &node.node else {
            continue;
        };
        let words = match command.subtype() {
            // Code may skip it.
            Is::AtEnableRowSecurity if !judge.is_certain() => continue,
            Is::AtEnableRowSecurity => {
                judge.known.mark(&table, |marks| marks.walled = true);
                continue;
            }
            // For a table that existed before, it is a finding of its own.
            Is::AtDisableRowSecurity if new => {
                judge.known.mark(&table, |marks| marks.walled = false);
                if shown::is_open(judge, &table) {
                    let statement = format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY");
                    judge.find(FindingKind::DisableRowSecurity, &table, statement);
                }
                continue;
            }
            // It shows other rows from then on.
            Is::AtGenericOptions | Is::AtAlterColumnGenericOptions => {
                if !new {
                    let statement = format!("ALTER FOREIGN TABLE {table} OPTIONS");
                    judge.find(FindingKind::ServerAccess, &table, statement);
                }
                continue;
            }
            Is::AtDisableTrig => "DISABLE TRIGGER",
            Is::AtDisableTrigAll => "DISABLE TRIGGER ALL",
            Is::AtDisableTrigUser => "DISABLE TRIGGER USER",
            Is::AtEnableReplicaTrig => "ENABLE REPLICA TRIGGER",
            Is::AtDisableRule => "DISABLE RULE",
            Is::AtEnableReplicaRule => "ENABLE REPLICA RULE",
            Is::AtChangeOwner => {
                if let Some(owner) = command.newowner.as_ref().filter(|owner| !is_oneself(judge, owner)) {
                    let statement = format!("ALTER TABLE {table} OWNER TO {}", role(owner));
                    change_owner(judge, new, &table.to_string(), statement);
                }
                continue;
            }
            // `ALTER TABLE` changes views too.
            Is::AtSetRelOptions | Is::AtResetRelOptions => {
                let list = match inner(command.def.as_deref()) {
                    Some(NodeEnum::List(list)) => list.items.as_slice(),
                    _ => &[],
                };
                let resets = command.subtype() == Is::AtResetRelOptions;
                if sheds(list, resets, "security_invoker") {
                    shown::by_owner(judge, &table);
                }
                if sheds(list, resets, "security_barrier") && !new {
                    let statement = format!("ALTER VIEW {table} without security_barrier");
                    judge.find_as(FindingKind::SecurityDefiner, Effect::Exposing, &table, statement);
                }
                continue;
            }
            Is::AtAddInherit => {
                if let Some(NodeEnum::RangeVar(parent)) = inner(command.def.as_deref())
                    && let Some(child) = &it.relation
                {
                    shown::inherits(judge, &parent.into(), child);
                }
                continue;
            }
            Is::AtAttachPartition => {
                if let Some(NodeEnum::PartitionCmd(partition)) = inner(command.def.as_deref())
                    && let Some(child) = &partition.name
                {
                    shown::inherits(judge, &table, child);
                }
                continue;
            }
            _ => continue,
        };
        if !new {
            let gap = if command.name.is_empty() { "" } else { " " };
            let name = if command.name.is_empty() {
                String::new()
            } else {
                quoted(&command.name)
            };
            judge.find(
                FindingKind::DisableTrigger,
                &table,
                format!("ALTER TABLE {table} {words}{gap}{name}"),
            );
        }
    }
}
