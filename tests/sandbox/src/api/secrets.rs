//! The secrets of functions, which are listed as hashes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::hash;
use super::reply::{Call, Reply};
use super::state::Inner;

pub(super) fn list(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let secrets = &world.project(call.project())?.settings.secrets;
    let show = |(name, (hash, at)): (&String, &(String, Timestamp))| json!({"name": name, "value": hash, "updated_at": at.to_string()});
    Ok(Reply::json(200, secrets.iter().map(show).collect()))
}

pub(super) fn create(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let secrets = &mut world.project(call.project())?.settings.secrets;
    let pair = |item: &Value| Some((item["name"].as_str()?.to_owned(), item["value"].as_str()?.to_owned()));
    let pairs: Option<Vec<_>> = call.body.as_array().into_iter().flatten().map(pair).collect();
    let pairs = pairs.ok_or_else(|| Reply::message(400, "name and value should be strings"))?;
    if pairs.iter().any(|(name, _)| name.starts_with("SUPABASE_")) {
        return Err(Reply::message(
            400,
            "Secret name must not start with the SUPABASE_ prefix.",
        ));
    }
    for (name, value) in pairs {
        inner.ledger.secret(&value);
        secrets.insert(name, (hash::of(&value), Timestamp::now()));
    }
    Ok(Reply::empty(201))
}

pub(super) fn delete(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let secrets = &mut world.project(call.project())?.settings.secrets;
    for name in call.body.as_array().into_iter().flatten().filter_map(Value::as_str) {
        secrets.remove(name);
    }
    Ok(Reply::empty(200))
}
