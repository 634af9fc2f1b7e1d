//! Who may reach the database, and how: network restrictions and bans, TLS, and the read-only mode.
//! Restrictions and TLS are the pooler's to enforce, through which all clients of the sandbox come.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sqlx::Executor;

use super::reply::{Call, Reply};
use super::session;
use super::state::Inner;
use super::values::Restrictions;
use crate::postgres::run_formatted;

const OVERRIDE: SignedDuration = SignedDuration::from_mins(15);

pub(super) fn restrictions(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let restrictions = &world.project(call.project())?.settings.restrictions;
    Ok(Reply::json(200, show(restrictions)))
}

/// The new lists take the place of those of before.
pub(super) fn apply_restrictions(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let restrictions = &mut world.project(call.project())?.settings.restrictions;
    *restrictions = Restrictions {
        v4: cidrs(&call.body["dbAllowedCidrs"], false)?,
        v6: cidrs(&call.body["dbAllowedCidrsV6"], true)?,
        changed: Some(Timestamp::now()),
    };
    inner.tenants.allow(call.project(), all(restrictions));
    Ok(Reply::json(201, show(restrictions)))
}

/// The answer has another shape than the others.
pub(super) fn patch_restrictions(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let restrictions = &mut world.project(call.project())?.settings.restrictions;
    for (field, is_v6) in [("dbAllowedCidrs", false), ("dbAllowedCidrsV6", true)] {
        let gone = cidrs(&call.body["remove"][field], is_v6)?;
        let new = cidrs(&call.body["add"][field], is_v6)?;
        let list = if is_v6 {
            &mut restrictions.v6
        } else {
            &mut restrictions.v4
        };
        list.retain(|cidr| !gone.contains(cidr) && !new.contains(cidr));
        list.extend(new);
    }
    restrictions.changed = Some(Timestamp::now());
    inner.tenants.allow(call.project(), all(restrictions));
    let entry = |kind: &'static str| move |cidr: &String| json!({"address": cidr, "type": kind});
    let both: Vec<Value> = restrictions
        .v4
        .iter()
        .map(entry("v4"))
        .chain(restrictions.v6.iter().map(entry("v6")))
        .collect();
    let mut body = show(restrictions);
    body["config"] = json!({"dbAllowedCidrs": both});
    Ok(Reply::json(200, body))
}

fn all(restrictions: &Restrictions) -> Vec<String> {
    restrictions.v4.iter().chain(&restrictions.v6).cloned().collect()
}

fn show(restrictions: &Restrictions) -> Value {
    let mut body = json!({
        "entitlement": "allowed",
        "config": {"dbAllowedCidrs": restrictions.v4, "dbAllowedCidrsV6": restrictions.v6},
        "status": "applied",
    });
    if let Some(changed) = restrictions.changed {
        body["updated_at"] = json!(changed.to_string());
        body["applied_at"] = json!(changed.to_string());
    }
    body
}

fn cidrs(list: &Value, is_v6: bool) -> Result<Vec<String>, Reply> {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts
        .map(|text| {
            let (address, bits) = text.split_once('/')?;
            let most = if is_v6 { 128 } else { 32 };
            let address: std::net::IpAddr = address.parse().ok()?;
            let good = address.is_ipv6() == is_v6 && bits.parse::<u8>().is_ok_and(|bits| bits <= most);
            good.then(|| text.to_owned())
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Reply::message(400, "Invalid CIDR provided"))
}

pub(super) fn bans(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    inner.world().project(call.project())?;
    Ok(Reply::json(201, json!({"banned_ipv4_addresses": []})))
}

pub(super) fn delete_bans(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    inner.world().project(call.project())?;
    Ok(Reply::empty(200))
}

pub(super) fn ssl(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let settings = &mut world.project(call.project())?.settings;
    if let Some(wanted) = call.body["requestedConfig"]["database"].as_bool() {
        settings.ssl = wanted;
        inner.tenants.enforce_tls(call.project(), wanted);
    }
    let body = json!({"currentConfig": {"database": settings.ssl}, "appliedSuccessfully": true});
    Ok(Reply::json(200, body))
}

/// Whether the database lets nobody write, as the platform makes it when the disk is full; here by
/// `ALTER DATABASE … SET default_transaction_read_only = on`.
pub(super) async fn read_only(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = session::superuser(inner, call).await?;
    let now = "SELECT current_setting('default_transaction_read_only')::boolean";
    let enabled = sqlx::query_scalar::<_, bool>(now).fetch_one(&mut session).await?;
    let mut world = inner.world();
    let until = world.project(call.project())?.settings.writable_until;
    let until = until.filter(|until| *until > Timestamp::now());
    let body = json!({
        "enabled": enabled || until.is_some(),
        "override_enabled": until.is_some(),
        "override_active_until": until.map(|until| until.to_string()).unwrap_or_default(),
    });
    Ok(Reply::json(200, body))
}

/// Lets new sessions write. The sandbox does not end it after a quarter of an hour.
pub(super) async fn writable(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let tenant = session::tenant(inner, call)?;
    let mut session = session::superuser(inner, call).await?;
    session.execute("SET default_transaction_read_only = off").await?;
    let reset = "ALTER DATABASE %I RESET default_transaction_read_only";
    run_formatted(&mut session, reset, &[&tenant.database]).await?;
    inner.world().project(call.project())?.settings.writable_until = Some(Timestamp::now() + OVERRIDE);
    Ok(Reply::empty(201))
}
