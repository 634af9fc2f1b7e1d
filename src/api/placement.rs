//! Where a database is created.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::REGION;
use crate::geography::{self, Point};

/// Where a database is created.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.region) != has(self.near)").message("exactly one of region and near must be set"))]
pub struct Placement {
    /// Region of the provider, for example `eu-central-1`: the database is created there, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = REGION))]
    pub region: Option<String>,
    /// Place that the database is to be near to: it is created in the nearest region that the class allows and that takes
    /// new projects. `status.placement` says which one, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<Near>,
}

/// A place: a country, or a point on the globe.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.latitude) == has(self.longitude) && has(self.country) != has(self.latitude)").message("set either country, or latitude and longitude"),
    validation = Rule::new(is_country()).message("country must be a code of ISO 3166-1 with two capital letters, for example SE; for another place set latitude and longitude"),
)]
pub struct Near {
    /// Country, as its two-letter code of ISO 3166-1, for example `SE`; `"NO"` needs quotes in YAML. Its population-weighted centre counts, or the
    /// region by way of which the country is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub country: Option<String>,
    /// Latitude in degrees, from -90 (south) to 90 (north).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -90.0, max = 90.0))]
    pub latitude: Option<f64>,
    /// Longitude in degrees, from -180 (west) to 180 (east).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -180.0, max = 180.0))]
    pub longitude: Option<f64>,
}

fn is_country() -> String {
    format!(
        "!has(self.country) || self.country.matches('{}')",
        geography::country_pattern()
    )
}

impl Near {
    /// The place of a region, where its position is known.
    pub fn region(code: &str) -> Option<Self> {
        let Point { latitude, longitude } = geography::region(code)?;
        Some(Self {
            country: None,
            latitude: Some(latitude),
            longitude: Some(longitude),
        })
    }

    /// The point that distances are measured from, and the region by way of which the country is reached; none for a
    /// country that is not known.
    pub fn point(&self) -> Option<(Point, Option<&'static str>)> {
        if let (Some(latitude), Some(longitude)) = (self.latitude, self.longitude) {
            return Some((Point { latitude, longitude }, None));
        }
        let country = geography::country(self.country.as_deref()?)?;
        Some((country.point, country.by_way_of))
    }

    /// The place, for people.
    pub fn text(&self) -> String {
        match (&self.country, self.latitude, self.longitude) {
            (Some(country), ..) => country.clone(),
            (None, Some(latitude), Some(longitude)) => format!("latitude {latitude}, longitude {longitude}"),
            _ => "nowhere".into(),
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
