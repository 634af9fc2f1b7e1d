//! Rules that edit or replace answers, as proxies, other versions of the API and other people's
//! projects do.

use std::collections::BTreeMap;
use std::sync::Arc;

use json_patch::{Patch, PatchOperation};
use parking_lot::{Mutex, MutexGuard};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which requests a rule is for, and what becomes of their answers.
///
/// Without [`Rule::effect`], a rule that gives a whole body ([`Rule::body`] or [`Rule::text`]) replaces the
/// operation, which then has no effect and asks for no token; any other edits the operation's own answer.
/// The `Default` is a rule for every request, which changes nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The HTTP method; any when absent.
    pub method: Option<String>,
    /// A regular expression that is found in the path; any path when absent.
    pub path: Option<String>,
    /// A regular expression that is found in the query as it was sent.
    pub query: Option<String>,
    /// A regular expression that is found in the body of the request.
    pub request: Option<String>,
    /// How many answers are changed, after which the rule is gone; without end when absent.
    pub times: Option<u32>,
    /// Whether the operation takes place.
    pub effect: Option<bool>,
    /// The status answered; the operation's own when absent, or 200.
    pub status: Option<u16>,
    /// Headers to set.
    pub headers: BTreeMap<String, String>,
    /// The JSON body answered; `"words"` is a body that is a JSON string.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The body answered as it is, for instance a page of HTML; `text/plain` unless a header says otherwise.
    pub text: Option<String>,
    /// A JSON Merge Patch (RFC 7396) of the operation's JSON body, unless it refuses.
    pub merge: Option<Value>,
    /// A JSON Patch (RFC 6902) of it, after `merge`. A segment `*` of a path means each item or member.
    pub edit: Vec<Value>,
    /// Milliseconds before the answer goes out.
    pub delay_ms: u64,
}

/// A `null` that is given is a body, one that is absent is none.
fn given<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(input).map(Some)
}

/// What a rule makes of an answer.
#[derive(Debug)]
pub(super) struct Edited {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
}

/// A rule in force.
#[derive(Debug)]
struct Entry {
    rule: Rule,
    patterns: [Option<Regex>; 3],
    met: u32,
}

impl Entry {
    /// Whether the rule is for a request of this method, path, query and body.
    fn is_for(&self, method: &str, parts: [&str; 3]) -> bool {
        let mut pairs = self.patterns.iter().zip(parts);
        let same = self
            .rule
            .method
            .as_deref()
            .is_none_or(|it| it.eq_ignore_ascii_case(method));
        same && pairs.all(|(pattern, part)| pattern.as_ref().is_none_or(|it| it.is_match(part)))
    }
}

/// A rule and what has become of it.
#[derive(Clone, Debug, Serialize)]
pub struct RuleState {
    /// Its number, which removes it.
    pub id: u64,
    /// The rule as it was given.
    pub rule: Rule,
    /// How many answers it has changed.
    pub met: u32,
}

/// The rules of a stand-in, the oldest first; clones share them. The first that is for a request is taken.
#[derive(Clone, Debug, Default)]
pub struct Rules(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    rules: BTreeMap<u64, Entry>,
}

impl Rules {
    /// Adds a rule and gives its number.
    ///
    /// # Errors
    /// When a pattern is no regular expression, or the edit is no JSON Patch.
    pub fn add(&self, rule: Rule) -> Result<u64, String> {
        let pattern = |text: &Option<String>| text.as_deref().map(Regex::new).transpose();
        let patterns = [&rule.path, &rule.query, &rule.request].map(pattern);
        let [path, query, request] = patterns;
        let words = |error: regex::Error| error.to_string();
        let patterns = [path.map_err(words)?, query.map_err(words)?, request.map_err(words)?];
        serde_json::from_value::<Patch>(Value::Array(rule.edit.clone())).map_err(|error| format!("edit: {error}"))?;
        let mut table = self.table();
        table.last += 1;
        let id = table.last;
        let entry = Entry { rule, patterns, met: 0 };
        table.rules.insert(id, entry);
        Ok(id)
    }

    /// Removes a rule; false when there is none of that number.
    pub fn remove(&self, id: u64) -> bool {
        self.table().rules.remove(&id).is_some()
    }

    /// Removes every rule.
    pub fn clear(&self) {
        self.table().rules.clear();
    }

    /// Every rule in force.
    pub fn all(&self) -> Vec<RuleState> {
        let state = |(id, entry): (&u64, &Entry)| RuleState {
            id: *id,
            rule: entry.rule.clone(),
            met: entry.met,
        };
        self.table().rules.iter().map(state).collect()
    }

    /// The first rule for a request, which is thereby used once.
    pub(super) fn take(&self, method: &str, path: &str, query: &str, request: &[u8]) -> Option<Rule> {
        let mut table = self.table();
        let request = String::from_utf8_lossy(request);
        let parts = [path, query, &request];
        let (id, entry) = table.rules.iter_mut().find(|(_, entry)| entry.is_for(method, parts))?;
        let (id, rule) = (*id, entry.rule.clone());
        entry.met += 1;
        if rule.times.is_some_and(|times| entry.met >= times) {
            table.rules.remove(&id);
        }
        drop(table);
        Some(rule)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock()
    }
}

impl Rule {
    /// Whether the operation takes place.
    pub(super) fn has_effect(&self) -> bool {
        self.effect.unwrap_or(self.body.is_none() && self.text.is_none())
    }

    /// The answer in place of the operation's.
    pub(super) fn apply(&self, status: u16, body: Option<Value>) -> Result<Edited, String> {
        let mut headers = self.headers.clone();
        let body = match (&self.text, &self.body) {
            (Some(text), _) => {
                let kind = || "text/plain; charset=utf-8".to_owned();
                headers.entry("content-type".to_owned()).or_insert_with(kind);
                Some(text.clone())
            }
            (None, Some(body)) => Some(body.to_string()),
            (None, None) if status < 300 => self.edited(body)?.as_ref().map(Value::to_string),
            (None, None) => body.as_ref().map(Value::to_string),
        };
        Ok(Edited {
            status: self.status.unwrap_or(status),
            headers,
            body,
        })
    }

    fn edited(&self, body: Option<Value>) -> Result<Option<Value>, String> {
        if self.merge.is_none() && self.edit.is_empty() {
            return Ok(body);
        }
        let mut body = body.ok_or("the answer has no body")?;
        if let Some(merge) = &self.merge {
            json_patch::merge(&mut body, merge);
        }
        for edit in &self.edit {
            let path = edit["path"].as_str().unwrap_or_default();
            for path in expand(path, &body) {
                let mut edit = edit.clone();
                edit["path"] = Value::String(path);
                let operation: PatchOperation = serde_json::from_value(edit).map_err(|error| error.to_string())?;
                json_patch::patch(&mut body, &[operation]).map_err(|error| error.to_string())?;
            }
        }
        Ok(Some(body))
    }
}

/// The paths that a path with `*` means in a body.
fn expand(path: &str, body: &Value) -> Vec<String> {
    let star = path.match_indices("/*").map(|(at, _)| path.split_at(at));
    let star = star.map(|(before, after)| (before, &after[2..]));
    let Some((before, after)) = { star }.find(|(_, after)| after.is_empty() || after.starts_with('/')) else {
        return vec![path.to_owned()];
    };
    let names: Vec<String> = match body.pointer(before) {
        Some(Value::Array(items)) => (0..items.len()).map(|at| at.to_string()).collect(),
        Some(Value::Object(members)) => {
            let escape = |name: &String| name.replace('~', "~0").replace('/', "~1");
            members.keys().map(escape).collect()
        }
        _ => Vec::new(),
    };
    // The last first, so that removing one does not move the others.
    let paths = names.iter().rev().map(|name| format!("{before}/{name}{after}"));
    paths.flat_map(|path| expand(&path, body)).collect()
}
