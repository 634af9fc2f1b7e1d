//! API keys: two legacy tokens, one publishable and one secret key, and those added later.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::reply::{Call, Reply};
use super::state::Inner;
use super::world::{Project, World};

/// A key of a project.
#[derive(Clone, Debug)]
pub(super) struct Key {
    id: String,
    /// `legacy`, `publishable` or `secret`.
    kind: String,
    name: String,
    value: String,
    description: Value,
    template: Value,
    created: Option<Timestamp>,
    updated: Option<Timestamp>,
}

impl Key {
    /// A token of a role, signed with the project's secret.
    fn legacy(reference: &str, role: &str, secret: &str) -> Self {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let issued = Timestamp::now().as_second();
        let claims = json!({
            "iss": "supabase", "ref": reference, "role": role,
            "iat": issued, "exp": issued + 315_360_000,
        });
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(super::hash::keyed(secret, &message));
        Self {
            id: role.to_owned(),
            kind: "legacy".to_owned(),
            name: role.to_owned(),
            value: format!("{message}.{signature}"),
            description: Value::Null,
            template: Value::Null,
            created: None,
            updated: None,
        }
    }

    fn modern(kind: &str, name: &str) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            value: format!("sb_{kind}_{}", crate::random::alphanumeric(31)),
            description: Value::Null,
            template: match kind {
                "secret" => json!({"role": "service_role"}),
                _ => Value::Null,
            },
            created: Some(Timestamp::now()),
            updated: Some(Timestamp::now()),
        }
    }

    /// `ApiKeyResponse`. A secret key that is not revealed is its prefix and dots.
    fn show(&self, reveal: bool) -> Value {
        let Some(created) = self.created else {
            return json!({
                "id": self.id, "type": self.kind, "name": self.name, "api_key": self.value,
                "prefix": null, "hash": null, "description": "Legacy API key",
            });
        };
        let prefix: String = self.value.split_inclusive('_').take(2).collect();
        let prefix: String = self.value.chars().take(prefix.len() + 5).collect();
        let value = if reveal || self.kind != "secret" {
            self.value.clone()
        } else {
            format!("{prefix}{}", "\u{b7}".repeat(26))
        };
        json!({
            "id": self.id, "type": self.kind, "name": self.name, "api_key": value,
            "prefix": prefix, "hash": null, "description": self.description,
            "secret_jwt_template": self.template,
            "inserted_at": created.to_string(), "updated_at": self.updated.unwrap_or(created).to_string(),
        })
    }
}

/// The four keys of a fresh project.
pub(super) fn initial(reference: &str, secret: &str) -> Vec<Key> {
    vec![
        Key::legacy(reference, "anon", secret),
        Key::legacy(reference, "service_role", secret),
        Key::modern("publishable", "default"),
        Key::modern("secret", "default"),
    ]
}

/// The values of keys.
pub(super) fn secrets(keys: &[Key]) -> impl Iterator<Item = &str> {
    keys.iter().map(|key| key.value.as_str())
}

/// Where a project's own API begins.
const OWN: &str = "/_project/";

/// The answer of a project's own API, which knows one address: the health of Auth, behind the gateway, which lets in whoever
/// has a key of the project: a legacy one only while those are enabled.
pub(super) fn gateway(inner: &Inner, path: &str, headers: &HeaderMap) -> Option<Reply> {
    let (reference, rest) = path.strip_prefix(OWN)?.split_once('/')?;
    let given = headers.get("apikey").and_then(|key| key.to_str().ok());
    let mut world = inner.world();
    let Ok(project) = world.project(reference) else {
        return Some(Reply::empty(404));
    };
    let key = given.and_then(|given| project.keys.iter().find(|key| key.value == given));
    match key {
        None => return Some(Reply::message(401, "Invalid API key")),
        Some(key) if key.kind == "legacy" && !project.legacy_keys => {
            return Some(Reply::message(401, "Legacy API keys are disabled"));
        }
        Some(_) => {}
    }
    Some(match (rest, project.healthy_for()) {
        (_, None) => Reply::empty(540),
        ("auth/v1/health", _) => Reply::json(200, json!({"name": "GoTrue", "version": "v2.0.0"})),
        _ => Reply::empty(404),
    })
}

/// Legacy keys are listed although they are disabled; only [`legacy`] tells.
pub(super) fn list(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = ready(inner, &mut world, call)?;
    let keys: Vec<Value> = project.keys.iter().map(|key| key.show(reveal(call))).collect();
    Ok(Reply::json(200, json!(keys)))
}

pub(super) fn get(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = ready(inner, &mut world, call)?;
    let key = project.keys.iter().find(|key| key.id == call.path("id"));
    key.map(|key| Reply::json(200, key.show(reveal(call))))
        .ok_or_else(not_found)
}

pub(super) fn create(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = ready(inner, &mut world, call)?;
    let (kind, name) = (call.text("type"), call.text("name"));
    let mut key = Key::modern(kind.unwrap_or_default(), name.unwrap_or_default());
    key.description = call.body["description"].clone();
    if !call.body["secret_jwt_template"].is_null() {
        key.template = call.body["secret_jwt_template"].clone();
    }
    inner.ledger.secret(&key.value);
    let body = key.show(reveal(call));
    project.keys.push(key);
    Ok(Reply::json(201, body))
}

pub(super) fn update(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = ready(inner, &mut world, call)?;
    let id = call.path("id");
    let key = project.keys.iter_mut().find(|key| key.id == id && key.kind != "legacy");
    let key = key.ok_or_else(not_found)?;
    if let Some(name) = call.text("name") {
        name.clone_into(&mut key.name);
    }
    for (field, value) in [
        ("description", &mut key.description),
        ("secret_jwt_template", &mut key.template),
    ] {
        if let Some(new) = call.body.get(field) {
            value.clone_from(new);
        }
    }
    key.updated = Some(Timestamp::now());
    Ok(Reply::json(200, key.show(reveal(call))))
}

pub(super) fn delete(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = ready(inner, &mut world, call)?;
    let id = call.path("id");
    let at = project.keys.iter().position(|key| key.id == id && key.kind != "legacy");
    let key = project.keys.remove(at.ok_or_else(not_found)?);
    Ok(Reply::json(200, key.show(reveal(call))))
}

pub(super) fn legacy(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = ready(inner, &mut world, call)?;
    if let Some(enabled) = call.query("enabled") {
        project.legacy_keys = enabled == "true";
    }
    Ok(Reply::json(200, json!({"enabled": project.legacy_keys})))
}

fn ready<'a>(inner: &Inner, world: &'a mut World, call: &Call) -> Result<&'a mut Project, Reply> {
    let after = inner.behaviour().keys_after;
    let project = world.project(call.project())?;
    if project.healthy_for().is_none_or(|healthy| healthy < after) {
        return Err(Reply::message(400, "Project must be active and healthy."));
    }
    Ok(project)
}

fn reveal(call: &Call) -> bool {
    call.query("reveal") == Some("true")
}

fn not_found() -> Reply {
    Reply::message(404, "API key not found")
}
