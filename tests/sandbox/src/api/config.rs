//! The configuration of a project's services: what is changed is read back.

use serde_json::{Map, Value, json};

use super::hash;
use super::reply::{Call, Reply};
use super::state::Inner;

/// Parts of names of fields that are secrets.
const SECRETS: [&str; 6] = ["_secret", "_pass", "_auth_token", "_access_key", "_api_key", "_secrets"];

pub(super) fn postgrest(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &world.project(call.project())?.settings;
    let mut body = settings.postgrest.clone();
    body["jwt_secret"] = json!(settings.jwt_secret);
    Ok(Reply::json(200, body))
}

pub(super) fn update_postgrest(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &mut world.project(call.project())?.settings;
    set(&mut settings.postgrest, &call.body)?;
    Ok(Reply::json(200, settings.postgrest.clone()))
}

pub(super) fn auth(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &world.project(call.project())?.settings;
    Ok(Reply::json(200, settings.auth.clone()))
}

/// Secrets are kept, and shown, as hashes alone.
pub(super) fn update_auth(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &mut world.project(call.project())?.settings;
    let mut change = call.body.clone();
    for (field, value) in change.as_object_mut().into_iter().flatten() {
        let is_secret = SECRETS.iter().any(|end| field.ends_with(end));
        if let Some(secret) = value.as_str().filter(|text| is_secret && !text.is_empty()) {
            inner.ledger.secret(secret);
            *value = json!(hash::of(secret));
        }
    }
    set(&mut settings.auth, &change)?;
    Ok(Reply::json(200, settings.auth.clone()))
}

pub(super) fn storage(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &world.project(call.project())?.settings;
    Ok(Reply::json(200, settings.storage.clone()))
}

pub(super) fn update_storage(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &mut world.project(call.project())?.settings;
    json_patch::merge(&mut settings.storage, &call.body);
    Ok(Reply::empty(200))
}

pub(super) fn realtime(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &world.project(call.project())?.settings;
    Ok(Reply::json(200, settings.realtime.clone()))
}

pub(super) fn update_realtime(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &mut world.project(call.project())?.settings;
    set(&mut settings.realtime, &call.body)?;
    Ok(Reply::empty(204))
}

/// What differs from the server's own settings; nothing at first.
pub(super) fn postgres(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &world.project(call.project())?.settings;
    Ok(Reply::json(200, json!(settings.postgres)))
}

/// The new settings take the place of those of before. They are kept, and not given to the server.
pub(super) fn update_postgres(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &mut world.project(call.project())?.settings;
    let mut new: Map<String, Value> = call.body.as_object().cloned().unwrap_or_default();
    new.remove("restart_database");
    settings.postgres = new;
    Ok(Reply::json(200, json!(settings.postgres)))
}

/// Sets the fields of a change, which must be there already.
fn set(known: &mut Value, change: &Value) -> Result<(), Reply> {
    let fields = change.as_object().into_iter().flatten();
    for (field, value) in fields {
        let Some(place) = known.get_mut(field) else {
            return Err(Reply::message(400, &format!("property {field} should not exist")));
        };
        place.clone_from(value);
    }
    Ok(())
}
