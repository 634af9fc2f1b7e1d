//! Where a database is created.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSON, JSONSchemaProps};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::REGION;
use crate::geography::{self, Point};

/// Where a database is created: either in a region, or near to a place.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Region of the provider, for example `eu-central-1`: the database is created there, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = REGION))]
    pub region: Option<String>,
    /// Place that the database is to be near to: it is created in the nearest region that the class allows and that takes
    /// new projects. `status.placement` says which one, and why. Either a country, as its two-letter code of ISO 3166-1 in
    /// capitals, for example `SE` (`"NO"` needs quotes in YAML), or `latitude` and `longitude` in degrees, for example
    /// `{latitude: 59.33, longitude: 18.07}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "near_schema")]
    pub near: Option<Near>,
}

/// Where databases of a class are created.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.region) || !has(self.allowedRegions) || self.region in self.allowedRegions").message("region must be one of allowedRegions"),
)]
pub struct ClassPlacement {
    /// How a region is chosen for Orchestras that name neither a region nor a place. `Listed` (default): `region`, or else
    /// the first of `allowedRegions`; when it has no capacity, the next of the list. `Nearest`: the allowed region that is
    /// nearest to `near`; without `near`, to `region` or the first of `allowedRegions`; when it has no capacity, the next
    /// nearest one.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub strategy: PlacementStrategy,
    /// Place that `strategy: Nearest` measures from, for Orchestras that name none: a country or a point, as in an
    /// Orchestra's `placement.near`. It needs that strategy, and no `region`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "near_schema")]
    pub near: Option<Near>,
    /// Region for Orchestras that name none. Omitted: the first of `allowedRegions`, else
    /// `eu-central-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = REGION))]
    pub region: Option<String>,
    /// Regions in which databases may be created, whatever an Orchestra asks for and whichever has no capacity.
    /// Omitted: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 32), regex(pattern = REGION)))]
    pub allowed_regions: Option<Vec<String>>,
}

/// A place: a country, or a point on the globe.
///
/// No type of a structural schema is both, so that its schema has none, and validation rules do not see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Near {
    /// Country, as its two-letter code of ISO 3166-1. Its population-weighted centre counts, or the region through which the
    /// country is reached.
    Country(String),
    /// A point.
    Point(GlobePoint),
    /// Any other value; the schema refuses as many as possible.
    Other(serde_json::Value),
}

/// A point on the globe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobePoint {
    /// Latitude in degrees, from -90 (south) to 90 (north).
    pub latitude: f64,
    /// Longitude in degrees, from -180 (west) to 180 (east).
    pub longitude: f64,
}

/// The schema of [`Near`]. Each of its limits is for values of one type only.
pub(super) fn near_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "x-kubernetes-preserve-unknown-fields": true,
        "pattern": geography::country_pattern(),
        "maxLength": 2,
        "properties": {
            "latitude": {"type": "number", "minimum": -90.0, "maximum": 90.0},
            "longitude": {"type": "number", "minimum": -180.0, "maximum": 180.0},
        },
        "required": ["latitude", "longitude"],
        "maxProperties": 2,
        "maxItems": 0,
    })
}

/// Restricts in the schema of a spec the fields beside `placement.near`, which validation rules cannot read: no region, and
/// in a class the strategy that uses it.
pub(super) fn bound(spec: &mut JSONSchemaProps) {
    let Some(placement) = spec.properties.as_mut().and_then(|all| all.get_mut("placement")) else {
        return;
    };
    let with = |fields: &[&str]| JSONSchemaProps {
        required: Some(fields.iter().map(|field| (*field).to_owned()).collect()),
        ..JSONSchemaProps::default()
    };
    let is_class = placement
        .properties
        .as_ref()
        .is_some_and(|all| all.contains_key("strategy"));
    if !is_class {
        placement.one_of = Some(vec![with(&["region"]), with(&["near"])]);
        return;
    }
    let nearest = JSONSchemaProps {
        enum_: Some(vec![JSON("Nearest".into())]),
        ..JSONSchemaProps::default()
    };
    let not = |schema| JSONSchemaProps {
        not: Some(Box::new(schema)),
        ..JSONSchemaProps::default()
    };
    let strategy = JSONSchemaProps {
        properties: Some([("strategy".to_owned(), nearest)].into()),
        ..with(&["strategy"])
    };
    placement.all_of = Some(vec![not(with(&["region", "near"]))]);
    placement.any_of = Some(vec![strategy, not(with(&["near"]))]);
}

impl Near {
    /// The place of a region, where its position is known.
    pub fn region(code: &str) -> Option<Self> {
        let Point { latitude, longitude } = geography::region(code)?;
        Some(Self::Point(GlobePoint { latitude, longitude }))
    }

    /// The point from which distances are measured, and the region through which the country is reached; none for an invalid
    /// place.
    pub fn point(&self) -> Option<(Point, Option<&'static str>)> {
        match self {
            Self::Country(code) => {
                let country = geography::country(code)?;
                Some((country.point, country.by_way_of))
            }
            Self::Point(GlobePoint { latitude, longitude }) => {
                let (latitude, longitude) = (*latitude, *longitude);
                let is_on_globe = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
                is_on_globe.then_some((Point { latitude, longitude }, None))
            }
            Self::Other(_) => None,
        }
    }

    /// The place, for people.
    pub fn text(&self) -> String {
        match self {
            Self::Country(country) => country.clone(),
            Self::Point(GlobePoint { latitude, longitude }) => format!("latitude {latitude}, longitude {longitude}"),
            Self::Other(value) => value.to_string(),
        }
    }
}

/// How a class places the databases of Orchestras that name neither a region nor a place.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PlacementStrategy {
    /// In `region`, or else in the first of `allowedRegions`; when that has no capacity, in the next of the list
    /// (default).
    #[default]
    Listed,
    /// In the allowed region that is nearest to `near`; without `near`, to `region` or the first of `allowedRegions`.
    Nearest,
}

/// Which region was chosen for a database, and why.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChosenRegion {
    /// The region.
    #[schemars(length(max = 32))]
    pub region: String,
    /// Why it was chosen, for people: its distance, and the nearer regions that take no new projects.
    #[schemars(length(max = 1024))]
    pub reason: String,
}
