//! Settings that change how later text is parsed, and who runs it: `SET` and `RESET` in every form, `set_config`, and
//! settings for later sessions of a role or database.

use pg_query::protobuf::{VariableSetKind, VariableSetStmt};
use pg_query::{Node, NodeEnum};

use super::finding::FindingKind;
use super::judge::Judge;
use super::names::{inner, quoted};
use super::roles::role;
use crate::api::Effect;

/// The part of a session that a setting changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changes {
    /// To which objects a name without a schema refers.
    Path,
    /// The role whose rights statements have.
    Role,
    /// How text is divided into statements and strings, or what an operator means.
    Reading,
    /// Whether triggers, foreign keys and rules act.
    Triggers,
    Nothing,
}

fn changes(setting: &str) -> Changes {
    match setting.to_ascii_lowercase().as_str() {
        "search_path" => Changes::Path,
        "role" | "session_authorization" => Changes::Role,
        "standard_conforming_strings" | "client_encoding" | "transform_null_equals" => Changes::Reading,
        "session_replication_role" => Changes::Triggers,
        _ => Changes::Nothing,
    }
}

/// Whether names mean other objects by a setting.
pub fn changes_names(setting: &str) -> bool {
    matches!(changes(setting), Changes::Path | Changes::Role)
}

/// Whether a setting is none of PostgreSQL's own. Policies may read it.
pub fn is_custom(setting: &str) -> bool {
    setting.contains('.')
}

/// Whether the value is the one with which the guard and the operator's splitter read scripts.
fn is_usual(setting: &str, value: Option<&str>) -> bool {
    let value = value.unwrap_or_default().to_ascii_lowercase().replace(['-', '_'], "");
    match setting {
        "standard_conforming_strings" => matches!(value.as_str(), "on" | "true" | "yes" | "1"),
        "client_encoding" => matches!(value.as_str(), "utf8" | "unicode"),
        "transform_null_equals" => matches!(value.as_str(), "off" | "false" | "no" | "0"),
        "session_replication_role" => matches!(value.as_str(), "origin" | "local"),
        "role" => value == "none",
        "session_authorization" => value == "default",
        _ => false,
    }
}

/// Judges a statement that changes settings.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::VariableSetStmt(it) => set(judge, it),
        NodeEnum::DiscardStmt(_) => judge.known.elsewhere = true,
        NodeEnum::AlterRoleSetStmt(it) => {
            let whose = it.role.as_ref().map_or_else(|| "ALL".to_owned(), role);
            lasting(judge, &format!("ALTER ROLE {whose}"), &whose, it.setstmt.as_ref());
        }
        NodeEnum::AlterDatabaseSetStmt(it) => {
            let whose = quoted(&it.dbname);
            lasting(judge, &format!("ALTER DATABASE {whose}"), &whose, it.setstmt.as_ref());
        }
        NodeEnum::AlterSystemStmt(it) => {
            let name = it.setstmt.as_ref().map(|set| quoted(&set.name)).unwrap_or_default();
            judge.find(FindingKind::ServerAccess, &name, format!("ALTER SYSTEM SET {name}"));
        }
        _ => {}
    }
}

/// Judges a setting of the session, or of a function while it runs.
pub fn set(judge: &mut Judge<'_>, it: &VariableSetStmt) {
    let value = it.args.first().and_then(text);
    match it.kind() {
        // Resets to the value at the session's start, which the operator sets.
        VariableSetKind::VarResetAll => judge.known.elsewhere = true,
        VariableSetKind::VarReset | VariableSetKind::VarSetDefault => {
            judge.known.elsewhere |= matches!(changes(&it.name), Changes::Path | Changes::Role);
        }
        VariableSetKind::VarSetValue => assign(judge, &it.name, value.as_deref(), "SET"),
        // `SET search_path FROM CURRENT` is in functions only; `SET TRANSACTION` changes no reading.
        _ => {}
    }
}

/// Judges the assignment of a value to a setting of the session.
fn assign(judge: &mut Judge<'_>, setting: &str, value: Option<&str>, words: &str) {
    let name = setting.to_ascii_lowercase();
    let what = changes(&name);
    if matches!(what, Changes::Path | Changes::Role) {
        judge.known.elsewhere = true;
    }
    let kind = match what {
        Changes::Role => FindingKind::SwitchRole,
        Changes::Reading => FindingKind::ChangeReading,
        Changes::Triggers => FindingKind::DisableTrigger,
        Changes::Path | Changes::Nothing => return,
    };
    if !is_usual(&name, value) {
        judge.find(kind, quoted(&name), format!("{words} {}", quoted(&name)));
    }
}

/// Judges a call of `set_config`, whose first argument names the setting.
pub fn set_config(judge: &mut Judge<'_>, setting: Option<&str>) {
    if let Some(setting) = setting {
        return assign(judge, setting, None, "set_config");
    }
    judge.known.elsewhere = true;
    judge.find(FindingKind::Opaque, "", "set_config of a computed setting".into());
}

/// Judges a setting for the later sessions of a role or database.
fn lasting(judge: &mut Judge<'_>, words: &str, whose: &str, set: Option<&VariableSetStmt>) {
    let Some(set) = set else { return };
    let name = if set.name.is_empty() {
        "ALL".into()
    } else {
        quoted(&set.name)
    };
    let assigns = matches!(
        set.kind(),
        VariableSetKind::VarSetValue | VariableSetKind::VarSetCurrent
    );
    let value = set.args.first().and_then(text);
    let usual = !assigns || is_usual(&set.name, value.as_deref());
    let all = set.kind() == VariableSetKind::VarResetAll;
    if all || changes_names(&set.name) {
        judge.unsettle();
    }
    let kind = match changes(&set.name) {
        _ if all => FindingKind::ChangeReading,
        Changes::Path | Changes::Role => FindingKind::ChangeReading,
        Changes::Reading if !usual => FindingKind::ChangeReading,
        Changes::Triggers if !usual => FindingKind::DisableTrigger,
        _ => FindingKind::ChangeRole,
    };
    // Any other setting changes no right, apart from the custom ones, which have a dot in their names: policies may read them, and
    // those of the Data API say which schemas it shows, and to whom.
    let effect = match kind {
        FindingKind::ChangeRole if is_custom(&set.name) => Effect::Exposing,
        FindingKind::ChangeRole => Effect::Granting,
        kind => kind.effect(),
    };
    let verb = if assigns { "SET" } else { "RESET" };
    judge.find_as(kind, effect, whose, format!("{words} {verb} {name}"));
}

/// A constant as text.
pub fn text(node: &Node) -> Option<String> {
    use pg_query::protobuf::a_const::Val;
    let constant = match inner(Some(node))? {
        NodeEnum::AConst(constant) => constant,
        NodeEnum::TypeCast(cast) => return cast.arg.as_deref().and_then(text),
        _ => return None,
    };
    match constant.val.as_ref()? {
        Val::Sval(text) => Some(text.sval.clone()),
        Val::Ival(number) => Some(number.ival.to_string()),
        Val::Boolval(value) => Some(value.boolval.to_string()),
        _ => None,
    }
}
