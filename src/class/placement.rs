//! In which region a new database is requested, and which regions follow when it has no capacity. A pure decision.

use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::{ClassPlacement, Near, OrchestraClass, Placement, PlacementStrategy};
use crate::controller::error::Error;
use crate::geography;
use crate::text;

/// Region of a database when neither the Orchestra nor the class names one.
const FALLBACK_REGION: &str = "eu-central-1";

/// The most characters of an invalid place that a message quotes.
const LONGEST_PLACE: usize = 64;

/// The most regions that are requested in turn after the first one.
const MOST: usize = 32;

/// Where a project is requested.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionChoice {
    /// The first region.
    pub region: String,
    /// The regions that follow when one has no capacity, in their order; none when the Orchestra names its own.
    pub alternatives: Vec<String>,
    /// The place that they are ranked by.
    pub near: Option<Near>,
}

/// The regions for an Orchestra of a class, none of them outside of the class's `allowedRegions`.
///
/// # Errors
/// When the Orchestra names a region that the class does not allow, or a place that is not known.
pub fn choose(class: &OrchestraClass, wanted: Option<&Placement>) -> Result<RegionChoice, Error> {
    let placement = class.spec.placement.clone().unwrap_or_default();
    let allowed = placement.allowed_regions.clone().unwrap_or_default();
    if let Some(region) = wanted.and_then(|wanted| wanted.region.clone()) {
        let choice = RegionChoice {
            region,
            alternatives: Vec::new(),
            near: None,
        };
        return admitted(class, &allowed, choice);
    }
    let first = placement.region.clone().or_else(|| allowed.first().cloned());
    let first = first.unwrap_or_else(|| FALLBACK_REGION.into());
    let own = wanted.and_then(|wanted| wanted.near.clone());
    if let Some(near) = own.or_else(|| of_class(&placement, &first)) {
        return nearest(&allowed, near);
    }
    let mut alternatives = allowed.clone();
    alternatives.retain(|other| *other != first);
    let choice = RegionChoice {
        region: first,
        alternatives,
        near: None,
    };
    admitted(class, &allowed, choice)
}

/// The place that a class with `strategy: Nearest` measures from. A first region of unknown position leaves the list as
/// it is.
fn of_class(placement: &ClassPlacement, first: &str) -> Option<Near> {
    if placement.strategy != PlacementStrategy::Nearest {
        return None;
    }
    placement.near.clone().or_else(|| Near::region(first))
}

fn nearest(allowed: &[String], near: Near) -> Result<RegionChoice, Error> {
    let Some((point, _)) = near.point() else {
        let message = format!(
            "placement.near {} is not a country or a coordinate: write a country's two-letter code of ISO 3166-1 in capitals, in quotes if \
             it is \"NO\", or latitude and longitude",
            text::line(&near.text(), LONGEST_PLACE)
        );
        return Err(Error::blocked(Reason::CountryUnknown, message));
    };
    let ranked = if allowed.is_empty() {
        geography::rank(point, geography::regions())
    } else {
        geography::rank(point, allowed.iter().map(String::as_str))
    };
    let mut ranked = ranked.into_iter().map(|ranked| ranked.region);
    Ok(RegionChoice {
        region: ranked.next().unwrap_or_else(|| FALLBACK_REGION.into()),
        alternatives: ranked.take(MOST).collect(),
        near: Some(near),
    })
}

fn admitted(class: &OrchestraClass, allowed: &[String], choice: RegionChoice) -> Result<RegionChoice, Error> {
    if allowed.is_empty() || allowed.contains(&choice.region) {
        return Ok(choice);
    }
    let message = format!(
        "class {} does not allow region {}; it allows {}",
        class.name_any(),
        choice.region,
        allowed.join(", ")
    );
    Err(Error::blocked(Reason::RegionNotAllowed, message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::OrchestraClassSpec;

    fn class(placement: ClassPlacement) -> OrchestraClass {
        let spec = OrchestraClassSpec {
            placement: Some(placement),
            ..OrchestraClassSpec::default()
        };
        OrchestraClass::new("standard", spec)
    }

    fn allowing(regions: &[&str]) -> ClassPlacement {
        ClassPlacement {
            allowed_regions: Some(regions.iter().map(|region| (*region).to_owned()).collect()),
            ..ClassPlacement::default()
        }
    }

    fn near(country: &str) -> Near {
        Near::Country(country.into())
    }

    fn wanting(country: &str) -> Placement {
        Placement {
            region: None,
            near: Some(near(country)),
        }
    }

    fn order(class: &OrchestraClass, wanted: Option<&Placement>) -> Vec<String> {
        let choice = choose(class, wanted).unwrap();
        [vec![choice.region], choice.alternatives].concat()
    }

    #[test]
    fn what_is_near_is_chosen_within_the_list_only() {
        let european = class(allowing(&["eu-central-1", "eu-west-3", "eu-north-1"]));
        assert_eq!(
            order(&european, Some(&wanting("SE"))),
            ["eu-north-1", "eu-central-1", "eu-west-3"]
        );
        // The result stays within the list for every place.
        for country in ["JP", "US", "AU", "ZA"] {
            let order = order(&european, Some(&wanting(country)));
            assert_eq!(order.len(), 3, "{country}");
            assert!(
                order.iter().all(|region| region.starts_with("eu-")),
                "{country} {order:?}"
            );
        }
        let anywhere = class(ClassPlacement::default());
        assert_eq!(order(&anywhere, Some(&wanting("SE")))[0], "eu-north-1");
        assert_eq!(order(&anywhere, Some(&wanting("SE"))).len(), 18);
    }

    #[test]
    fn without_a_place_the_class_decides() {
        let list = ["us-east-1", "eu-west-3", "us-west-1", "us-east-2"];
        let listed = class(allowing(&list));
        assert_eq!(order(&listed, None), list);
        assert_eq!(choose(&listed, None).unwrap().near, None);
        let mut placement = allowing(&list);
        placement.strategy = PlacementStrategy::Nearest;
        let order_of = |placement: &ClassPlacement| order(&class(placement.clone()), None);
        assert_eq!(
            order_of(&placement),
            ["us-east-1", "us-east-2", "us-west-1", "eu-west-3"]
        );
        placement.near = Some(near("FR"));
        assert_eq!(order_of(&placement)[0], "eu-west-3");
        // The Orchestra's own place goes before the class's.
        assert_eq!(order(&class(placement), Some(&wanting("US")))[0], "us-east-1");
        let odd = ClassPlacement {
            strategy: PlacementStrategy::Nearest,
            ..allowing(&["xx-new-1", "eu-west-3"])
        };
        assert_eq!(order(&class(odd), None), ["xx-new-1", "eu-west-3"]);
        assert_eq!(order(&class(ClassPlacement::default()), None), ["eu-central-1"]);
    }

    #[test]
    fn what_is_not_allowed_or_not_known_is_refused() {
        let european = class(allowing(&["eu-central-1"]));
        let there = |region: &str| Placement {
            region: Some(region.into()),
            near: None,
        };
        assert_eq!(order(&european, Some(&there("eu-central-1"))), ["eu-central-1"]);
        let refused = choose(&european, Some(&there("us-east-1"))).unwrap_err();
        assert_eq!(refused.reason(), Reason::RegionNotAllowed);
        let refused = choose(&european, Some(&wanting("XX"))).unwrap_err();
        assert_eq!(refused.reason(), Reason::CountryUnknown);
        assert!(
            refused.to_string().contains("placement.near XX is not a country"),
            "{refused}"
        );
        // What the schema does not refuse: a NO without quotes, and values that are not numbers in JSON.
        for odd in [
            serde_json::json!(false),
            serde_json::json!(47),
            serde_json::json!({"latitude": 91.0, "longitude": 0}),
            serde_json::json!({"latitude": 1}),
            serde_json::json!([]),
        ] {
            let wanted = serde_json::json!({"near": odd});
            let wanted: Placement = serde_json::from_value(wanted).unwrap();
            let refused = choose(&european, Some(&wanted)).unwrap_err();
            assert_eq!(refused.reason(), Reason::CountryUnknown, "{odd}");
        }
    }
}
