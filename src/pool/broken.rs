//! Which entries of pools cannot be used, as a waiting Orchestra is told.

use std::collections::{BTreeMap, HashMap};

use kube::runtime::reflector::ObjectRef;

use super::attempts::Refusal;
use super::{Context, preparation};
use crate::api::condition::Reason;
use crate::api::{OrchestraDatabase, OrchestraPool};
use crate::credentials::inventory::Inventory;
use crate::text;

/// What is wrong with these pools and their entries: how many of how many cannot be used, and one of them by its key. The
/// pool says more; it is not for tenants, since it may name others.
pub fn told(ctx: &Context, names: &[String]) -> Option<String> {
    let (mut missing, mut refused, mut entries) = (Vec::new(), Vec::new(), 0);
    for name in names {
        let Some(pool) = ctx.core.stores.pools.get(&ObjectRef::new(name)) else {
            missing.push(format!("OrchestraPool {name} does not exist"));
            continue;
        };
        if pool.is_without_inventory() {
            missing.push(format!("the inventory of OrchestraPool {name} is missing"));
            continue;
        }
        let inventory = ctx.credentials.inventories.latest(name);
        let strays = inventory.as_ref().map_or(0, |inventory| inventory.strays().count());
        let desired = pool.status.as_ref().map_or(0, |status| status.desired);
        entries += usize::try_from(desired).unwrap_or_default() + strays;
        let of_pool = of_pool(ctx, &pool, inventory.as_deref());
        refused.extend(of_pool.into_iter().map(|(key, reason)| (name, key, reason)));
    }
    if let Some((name, key, reason)) = refused.first() {
        let (count, among) = (refused.len(), if refused.len() > 1 { ", among them" } else { ":" });
        // The message is repeated in each waiting Orchestra.
        let count = text::about(count);
        missing.push(format!(
            "{count} of {entries} entries cannot be used{among} {key} ({reason}), as OrchestraPool {name} says"
        ));
    }
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// The entries of a pool that cannot be used.
fn of_pool(ctx: &Context, pool: &OrchestraPool, inventory: Option<&Inventory>) -> Vec<(String, Reason)> {
    let meta = &pool.metadata;
    let (name, uid) = (meta.name.as_deref(), meta.uid.as_deref().unwrap_or_default());
    let tried = ctx.memory.probes.refused(uid).into_iter();
    let tried = tried.chain(ctx.memory.checks.refused(uid));
    let members = ctx
        .core
        .stores
        .databases
        .state_filter(|database| database.pool() == name);
    let keyed = members
        .iter()
        .filter_map(|member| Some((preparation::key(member)?, &**member)));
    let keyed: HashMap<_, _> = keyed.collect();
    unusable(tried, inventory, &keyed)
}

/// The keys of an inventory that lead to no usable database, with the reason; transient ones last. `tried` are the refused
/// probes and checks, and `members` the members of entries by their key.
fn unusable(
    tried: impl Iterator<Item = (String, Refusal)>,
    inventory: Option<&Inventory>,
    members: &HashMap<&str, &OrchestraDatabase>,
) -> Vec<(String, Reason)> {
    let tried = tried.filter(|(key, refusal)| is_told(members.get(key.as_str()).copied(), refusal));
    let mut all: BTreeMap<_, _> = tried
        .map(|(key, refusal)| (key, (refusal.is_passing(), refusal.reason)))
        .collect();
    let strays = inventory.into_iter().flat_map(Inventory::strays);
    all.extend(strays.map(|(key, _)| (key.clone(), (false, Reason::InvalidEntry))));
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|(key, (passing, _))| (*passing, key.len()));
    all.into_iter().map(|(key, (_, reason))| (key, reason)).collect()
}

/// Whether the status of the pool tells of the refusal of an entry with this member, as [`super::checks::observe`] decides:
/// an Orchestra may use a database whose server does not answer now, and a released one is not looked at.
fn is_told(member: Option<&OrchestraDatabase>, refusal: &Refusal) -> bool {
    member.is_none_or(|member| member.is_unclaimed() || (member.is_held() && !refusal.is_passing()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::controller::error::Error;

    fn member(key: &str, more: &Value) -> OrchestraDatabase {
        let mut spec = json!({"pool": "house", "static": {"pool": "house", "key": key}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let whole = json!({"apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraDatabase",
            "metadata": {"name": format!("orchdb-{key}")}, "spec": spec});
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn strays_are_counted_and_claimed_entries_only_where_the_pool_tells_of_them() {
        let silent = || Refusal::from(Error::transient(Reason::DatabaseUnreachable, "no answer"));
        let wrong = || Refusal::from(Error::blocked(Reason::LoginFailed, "no"));
        let claim = json!({"claimRef": {"namespace": "a", "name": "b", "uid": "c"}});
        let mut released = claim.clone();
        released["releasedAt"] = json!("2026-01-01T00:00:00Z");
        let members = [
            member("free", &json!({})),
            member("held", &claim),
            member("held-and-wrong", &claim),
            member("released", &released),
        ];
        let keyed = members.iter().map(|member| (preparation::key(member).unwrap(), member));
        let keyed: HashMap<_, _> = keyed.collect();
        let tried = [
            ("new", silent()),
            ("free", silent()),
            ("held", silent()),
            ("held-and-wrong", wrong()),
            ("released", wrong()),
            // Its probe and its check were refused.
            ("new", silent()),
        ];
        let tried = tried.into_iter().map(|(key, refusal)| (key.to_owned(), refusal));
        let mut inventory = Inventory::default();
        let stray = ("SUPABASE_URL_POOL_7".to_owned(), "https://a.example.com".into());
        inventory.add(None, [stray]);
        let strays: Vec<_> = inventory.strays().map(|(key, _)| key.clone()).collect();
        assert_eq!(strays, ["DATABASE_URL_POOL_7"]);
        let found = unusable(tried, Some(&inventory), &keyed);
        let found: Vec<_> = found.iter().map(|(key, reason)| (key.as_str(), *reason)).collect();
        let wanted = [
            ("held-and-wrong", Reason::LoginFailed),
            ("DATABASE_URL_POOL_7", Reason::InvalidEntry),
            ("new", Reason::DatabaseUnreachable),
            ("free", Reason::DatabaseUnreachable),
        ];
        assert_eq!(found, wanted);
        assert!(unusable(std::iter::empty(), None, &HashMap::new()).is_empty());
    }
}
