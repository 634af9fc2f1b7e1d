//! What the status of an Orchestra says about the region of its database.

use crate::api::{ChosenRegion, Orchestra, OrchestraClass, OrchestraDatabase};
use crate::{class, database};

/// The region of a database, and why it is the one for this Orchestra. A database that was created for the place that the
/// Orchestra names, or for an Orchestra that names none, has the explanation in its status. One that was created by a pool
/// or for another Orchestra may be anywhere: its region is explained if it is the nearest one that the class allows.
pub fn chosen(
    object: &Orchestra,
    class: Option<&OrchestraClass>,
    database: &OrchestraDatabase,
) -> Option<ChosenRegion> {
    let status = database.status.as_ref()?;
    let (made, wanted) = (database.spec.supabase.as_ref()?, object.spec.placement.as_ref());
    let Some(wanted) = wanted.filter(|wanted| wanted.near != made.near) else {
        return status.placement.clone();
    };
    let (near, region) = (wanted.near.as_ref()?, &status.project.as_ref()?.region);
    let first = class::placement::choose(class?, Some(wanted)).ok()?.region;
    (first == *region).then(|| database::nearest(near, region))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn of<T: serde::de::DeserializeOwned>(kind: &str, more: &Value) -> T {
        let mut whole = json!({"apiVersion": "stagesub.io/v1alpha1", "kind": kind, "metadata": {"name": "one"}});
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_database_that_was_made_for_another_place_is_told_of_for_the_own_one() {
        let class: OrchestraClass = of(
            "OrchestraClass",
            &json!({"spec": {"progressDeadline": "10m", "placement": {"allowedRegions": ["eu-central-1", "eu-north-1"]}}}),
        );
        let chosen = |placement: Value, near: Value| {
            let object: Orchestra = of("Orchestra", &json!({"spec": {"placement": placement}}));
            let supabase = json!({"name": "n", "region": "eu-north-1", "near": near});
            let status = json!({"project": {"ref": "r", "region": "eu-north-1"},
                "placement": {"region": "eu-north-1", "reason": "as its own status says"}});
            let database: OrchestraDatabase = of(
                "OrchestraDatabase",
                &json!({"spec": {"pool": "warm", "supabase": supabase}, "status": status}),
            );
            super::chosen(&object, Some(&class), &database).map(|chosen| chosen.reason)
        };
        let own = Some("as its own status says".to_owned());
        let nearest = |place: &str, kilometres: u32| {
            Some(format!(
                "eu-north-1 is the nearest region to {place}, {kilometres} km away, of those that the class allows"
            ))
        };
        assert_eq!(chosen(json!({"near": "SE"}), json!(null)), nearest("SE", 151));
        assert_eq!(chosen(json!({"near": "SE"}), json!("FI")), nearest("SE", 151));
        assert_eq!(chosen(json!({"near": "SE"}), json!("SE")), own);
        assert_eq!(chosen(json!(null), json!("FI")), own);
        // It was not chosen for the place that the Orchestra names.
        assert_eq!(chosen(json!({"near": "FR"}), json!("FI")), None);
        assert_eq!(chosen(json!({"region": "eu-north-1"}), json!("FI")), None);
    }
}
