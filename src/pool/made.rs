//! Which Orchestras can claim a member that its pool created with the provider of a class.

use std::sync::Arc;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use crate::api::{DataApi, ExposeNewTables, Orchestra, OrchestraClass, OrchestraDatabase, OrchestraPool, Prepared};
use crate::class;
use crate::content::{self, MigrationsOrigin};

/// Whether an Orchestra of this class can claim a member; with whether the member is prepared for it.
///
/// A member belongs to one class, with whose token it was created. It must be in a region that the Orchestra wants, and must
/// contain nothing that the Orchestra does not ask for.
pub fn fits(object: &Orchestra, class: &OrchestraClass, member: &OrchestraDatabase) -> Option<bool> {
    let status = member.status.as_ref()?;
    let placed = status.project.as_ref();
    if !member.is_of(class) || !placed.is_some_and(|project| is_placed(object, class, &project.region)) {
        return None;
    }
    match &status.prepared {
        None => Some(content::origin(object, class) == MigrationsOrigin::Nowhere),
        Some(prepared) => holds_what_is_asked_for(object, class, prepared).then_some(prepared.migrations.is_some()),
    }
}

/// Whether the class allows a region, and the Orchestra wants it: the region that it names, or the nearest one to the place
/// that it names. A farther region is used only for a project of its own, when the nearest has no capacity. For an Orchestra
/// without a placement, each region that the class allows fits.
fn is_placed(object: &Orchestra, class: &OrchestraClass, region: &str) -> bool {
    let allowed = class.spec.placement.as_ref().and_then(|it| it.allowed_regions.as_ref());
    let wanted = object.spec.placement.as_ref();
    let first = || class::placement::choose(class, wanted).is_ok_and(|choice| choice.region == region);
    allowed.is_none_or(|allowed| allowed.is_empty() || allowed.iter().any(|allowed| allowed == region))
        && (wanted.is_none() || first())
}

fn holds_what_is_asked_for(object: &Orchestra, class: &OrchestraClass, has: &Prepared) -> bool {
    let same = match (content::origin(object, class), &has.template) {
        (MigrationsOrigin::Template(wanted), Some(has)) => wanted == has,
        (MigrationsOrigin::Class, None) => true,
        _ => false,
    };
    let seeded = has.seed.is_none() || object.spec.seed.is_none();
    same && seeded && exposes_as_wanted(object, class, has.exposed)
}

/// Whether the tables are exposed to the Data API as the Orchestra wants it. Where their exposure is not known, it is that
/// of the class.
fn exposes_as_wanted(object: &Orchestra, class: &OrchestraClass, has: Option<ExposeNewTables>) -> bool {
    let exposed = |api: Option<&DataApi>| -> Option<ExposeNewTables> { api?.expose_new_tables };
    let (own, of_class) = (
        exposed(object.spec.data_api.as_ref()),
        exposed(class.spec.data_api.as_ref()),
    );
    match has {
        Some(_) => has == own.or(of_class),
        None => own.is_none() || own == of_class,
    }
}

/// Why no member can be claimed of pools that make their members; none when all of these pools are static.
pub fn shortage(ctx: &Context, free: &[Arc<OrchestraDatabase>], names: &[String], pools: &str) -> Option<String> {
    let known = |name: &String| ctx.core.stores.pools.get(&ObjectRef::new(name));
    let making: Vec<_> = names.iter().filter_map(known).filter(|pool| makes(pool)).collect();
    if making.is_empty() {
        return None;
    }
    if free.is_empty() {
        let (pool, stopped) = stopped(&making);
        return Some(format!(
            "no database of {pools} waits for a claim; {stopped}the operator claims one as soon as one is there: raise \
             spec.replicas of OrchestraPool {pool} to shorten the wait"
        ));
    }
    Some(format!(
        "no free database of {pools} has the class, region and template that this Orchestra needs, or another Orchestra is \
         about to claim it. The operator claims one as soon as one fits. For migrations, a seed or a region of its own, set \
         policy PoolFirst or CloudFirst on the class"
    ))
}

fn makes(pool: &OrchestraPool) -> bool {
    pool.spec.inventory.is_none()
}

/// The name of a pool, preferably of the first one that needs a person, and whether it does.
fn stopped(making: &[Arc<OrchestraPool>]) -> (String, String) {
    let found = making.iter().find_map(|pool| Some((pool, pool.stalled_reason()?)));
    match (found, making.first()) {
        (Some((pool, reason)), _) => {
            let name = pool.name_any();
            (
                name.clone(),
                format!("OrchestraPool {name} creates no databases now ({reason}); "),
            )
        }
        (None, first) => (first.map(|pool| pool.name_any()).unwrap_or_default(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn class(more: &Value) -> OrchestraClass {
        let mut spec = json!({"provider": {"supabase": {}}, "progressDeadline": "10m", "template": "symphony", "templates": [
            {"name": "symphony", "version": "1", "migrations": {"source": {"configMapRef": {"name": "a"}}}},
            {"name": "other", "version": "1", "migrations": {"source": {"configMapRef": {"name": "b"}}}},
        ]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let whole = json!({"apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraClass", "metadata": {"name": "standard"}, "spec": spec});
        serde_json::from_value(whole).unwrap()
    }

    fn orchestra(spec: &Value) -> Orchestra {
        let whole = json!({"apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra", "metadata": {"name": "one"}, "spec": spec});
        serde_json::from_value(whole).unwrap()
    }

    fn member(class: &str, prepared: &Value) -> OrchestraDatabase {
        let mut status = json!({"project": {"ref": "r", "region": "eu-central-1"}});
        if !prepared.is_null() {
            status["prepared"] = prepared.clone();
        }
        let whole = json!({"apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraDatabase", "metadata": {"name": "orchdb-1"},
            "spec": {"className": class, "pool": "warm", "supabase": {"name": "n", "region": "eu-central-1"}}, "status": status});
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_member_meets_only_claims_of_what_it_holds() {
        let whole = json!({"template": "symphony", "migrations": "sha256:1", "seed": "sha256:2"});
        let schema = json!({"template": "symphony", "migrations": "sha256:1"});
        let begun = json!({"template": "symphony"});
        let own = json!({"configMapRef": {"name": "own"}});
        for (spec, prepared, fit) in [
            (json!({}), &whole, Some(true)),
            (json!({}), &begun, Some(false)),
            (json!({}), &Value::Null, Some(false)),
            (
                json!({"source": {"templateRef": {"name": "symphony"}}}),
                &whole,
                Some(true),
            ),
            (json!({"source": {"templateRef": {"name": "other"}}}), &whole, None),
            (json!({"source": {"templateRef": {"name": "gone"}}}), &whole, None),
            (
                json!({"source": {"templateRef": {"name": "other"}}}),
                &Value::Null,
                Some(false),
            ),
            (json!({"migrations": {"source": own}}), &begun, None),
            (json!({"migrations": {"source": own}}), &Value::Null, Some(false)),
            (json!({"seed": own}), &whole, None),
            (json!({"seed": own}), &schema, Some(true)),
            (json!({"placement": {"region": "eu-central-1"}}), &whole, Some(true)),
            (json!({"placement": {"region": "eu-west-3"}}), &whole, None),
            (json!({"placement": {"near": "DE"}}), &whole, Some(true)),
            (json!({"placement": {"near": "SE"}}), &whole, None),
            (json!({"placement": {"near": "XX"}}), &whole, None),
            (json!({"dataAPI": {"exposeNewTables": "All"}}), &schema, None),
            (json!({"dataAPI": {}}), &schema, Some(true)),
            (
                json!({}),
                &json!({"template": "symphony", "migrations": "sha256:1", "exposed": "All"}),
                None,
            ),
            (
                json!({"dataAPI": {"exposeNewTables": "All"}}),
                &json!({"template": "symphony", "migrations": "sha256:1", "exposed": "All"}),
                Some(true),
            ),
        ] {
            let found = fits(&orchestra(&spec), &class(&json!({})), &member("standard", prepared));
            assert_eq!(found, fit, "{spec} {prepared}");
        }
    }

    #[test]
    fn a_member_is_of_one_class_and_where_that_allows_it() {
        let (blank, none) = (orchestra(&json!({})), json!({}));
        assert_eq!(fits(&blank, &class(&none), &member("other", &Value::Null)), None);
        let elsewhere = class(&json!({"placement": {"allowedRegions": ["eu-west-3"]}}));
        assert_eq!(fits(&blank, &elsewhere, &member("standard", &Value::Null)), None);
        let here = class(&json!({"placement": {"allowedRegions": ["eu-west-3", "eu-central-1"]}}));
        assert!(fits(&blank, &here, &member("standard", &Value::Null)).is_some());
        // The nearest of the regions that the class allows.
        let nordic = orchestra(&json!({"placement": {"near": "SE"}}));
        let europe = class(&json!({"placement": {"allowedRegions": ["eu-west-3", "eu-central-1"]}}));
        assert!(fits(&nordic, &europe, &member("standard", &Value::Null)).is_some());
        let all = class(&json!({"dataAPI": {"exposeNewTables": "All"}}));
        let (exposed, begun) = (
            orchestra(&json!({"dataAPI": {"exposeNewTables": "All"}})),
            json!({"template": "symphony"}),
        );
        assert!(fits(&exposed, &all, &member("standard", &begun)).is_some());
        let bare = class(&json!({"template": null, "templates": null}));
        assert_eq!(fits(&blank, &bare, &member("standard", &Value::Null)), Some(true));
    }
}
