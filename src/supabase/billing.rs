//! Wire types of entitlements and billing add-ons, and what they mean to the operator.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::money;

/// The type of the add-on that is the compute size.
const COMPUTE: &str = "compute_instance";
/// Prefix of the name of a compute size among the add-ons, as in `ci_micro`.
const SIZE_PREFIX: &str = "ci_";

/// `V1ListEntitlementsResponse`.
#[derive(Debug, Deserialize)]
pub(super) struct Entitlements {
    pub entitlements: Vec<Entitlement>,
}

/// A feature that a plan includes or excludes.
#[derive(Clone, Debug, Deserialize)]
pub struct Entitlement {
    /// The feature.
    pub feature: Feature,
    /// Whether the plan includes it.
    #[serde(default, rename = "hasAccess")]
    pub has_access: bool,
    /// Its extent.
    #[serde(default)]
    pub config: EntitlementLimit,
}

/// The feature of an [`Entitlement`].
#[derive(Clone, Debug, Deserialize)]
pub struct Feature {
    /// For example `project_pausing`.
    pub key: String,
}

/// The extent of a feature. The official document has three shapes for it, which differ only in which fields are
/// present.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EntitlementLimit {
    /// A number, for example of days.
    pub value: Option<serde_json::Number>,
    /// Names, for example of compute sizes.
    pub set: Option<Vec<String>>,
}

/// The entitlements of an organization that matter to a class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Whether projects can be paused.
    pub pausing: Option<bool>,
    /// Compute sizes that a project may have, such as `micro`.
    pub instance_sizes: Option<Vec<String>>,
    /// Days for which backups are kept.
    pub backup_retention_days: Option<i64>,
}

impl Allowed {
    /// Reads the entitlements that the API returned. One that is missing stays unknown.
    pub fn read(entitlements: &[Entitlement]) -> Self {
        let find = |key: &str| entitlements.iter().find(|it| it.feature.key == key);
        let sizes = find("instances.compute_update_available_sizes").map(|it| {
            let sizes = it.config.set.iter().flatten().filter(|_| it.has_access);
            sizes.map(|size| bare(size).to_owned()).collect()
        });
        let days = find("backup.retention_days").and_then(|it| {
            let days = it.config.value.as_ref().and_then(money::of_json);
            let days = days.and_then(|days| i64::try_from(days.trunc()).ok());
            if it.has_access { days } else { Some(0) }
        });
        Self {
            pausing: find("project_pausing").map(|it| it.has_access),
            instance_sizes: sizes,
            backup_retention_days: days,
        }
    }
}

/// `ListProjectAddonsResponse`.
#[derive(Debug, Deserialize)]
pub struct Addons {
    /// The add-ons that the project has.
    #[serde(default)]
    pub selected_addons: Vec<SelectedAddon>,
    /// The add-ons that the project could have.
    #[serde(default)]
    pub available_addons: Vec<AvailableAddon>,
}

/// An add-on that a project has.
#[derive(Debug, Deserialize)]
pub struct SelectedAddon {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its variant.
    pub variant: AddonVariant,
}

/// An add-on that a project could have.
#[derive(Debug, Deserialize)]
pub struct AvailableAddon {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its variants.
    pub variants: Vec<AddonVariant>,
}

/// One variant of an add-on.
#[derive(Debug, Deserialize)]
pub struct AddonVariant {
    /// Its name, for example `ci_micro`.
    pub id: String,
    /// Its price.
    pub price: AddonPrice,
}

/// The price of a [`AddonVariant`], in US dollars.
#[derive(Debug, Deserialize)]
pub struct AddonPrice {
    /// `hourly` or `monthly`.
    pub interval: String,
    /// The amount. It is read from the text of the number: see [`money::of_json`].
    pub amount: serde_json::Number,
}

impl Addons {
    /// Prices of the compute sizes. The price of the size that the project has, which is billed, takes precedence over
    /// that of the same size among those that it could have.
    pub fn compute_prices(&self) -> BTreeMap<String, money::Price> {
        let available = self.available_addons.iter().filter(|addon| addon.kind == COMPUTE);
        let selected = self.selected_addons.iter().filter(|addon| addon.kind == COMPUTE);
        let variants = available.flat_map(|addon| &addon.variants);
        let variants = variants.chain(selected.map(|addon| &addon.variant));
        variants
            .filter_map(|variant| Some((bare(&variant.id).to_owned(), variant.price.read()?)))
            .collect()
    }
}

impl AddonPrice {
    fn read(&self) -> Option<money::Price> {
        let amount: Decimal = money::of_json(&self.amount)?;
        match self.interval.as_str() {
            "hourly" => Some(money::Price::of_hour(amount)),
            "monthly" => Some(money::Price::of_month(amount)),
            _ => None,
        }
    }
}

fn bare(size: &str) -> &str {
    size.strip_prefix(SIZE_PREFIX).unwrap_or(size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn prices_are_read_by_size_and_what_is_billed_goes_first() {
        let addons: Addons = serde_json::from_str(
            r#"{"selected_addons": [
                {"type": "compute_instance", "variant": {"id": "ci_small", "name": "Small",
                 "price": {"description": "", "type": "usage", "interval": "hourly", "amount": 0.0199}}},
                {"type": "ipv4", "variant": {"id": "ipv4_default", "name": "",
                 "price": {"description": "", "type": "fixed", "interval": "monthly", "amount": 4}}}],
              "available_addons": [
                {"type": "compute_instance", "name": "", "variants": [
                  {"id": "ci_micro", "name": "Micro", "price": {"description": "", "type": "usage", "interval": "hourly", "amount": 0.01344}},
                  {"id": "ci_small", "name": "Small", "price": {"description": "", "type": "usage", "interval": "hourly", "amount": 0.0206}},
                  {"id": "ci_new", "name": "", "price": {"description": "", "type": "usage", "interval": "yearly", "amount": 1}}]},
                {"type": "something_new", "name": "", "variants": []}]}"#,
        )
        .unwrap();
        let prices = addons.compute_prices();
        let hourly: Vec<_> = prices
            .iter()
            .map(|(size, price)| (size.as_str(), price.hourly.to_string()))
            .collect();
        assert_eq!(
            hourly,
            [("micro", "0.01344".to_owned()), ("small", "0.0199".to_owned())]
        );
    }

    #[test]
    fn entitlements_are_read_in_all_three_shapes_and_may_be_missing() {
        let read = |text: &str| Allowed::read(&serde_json::from_str::<Entitlements>(text).unwrap().entitlements);
        let pro = read(
            r#"{"entitlements": [
                {"feature": {"key": "project_pausing", "type": "boolean"}, "hasAccess": false, "type": "boolean", "config": {"enabled": false}},
                {"feature": {"key": "instances.compute_update_available_sizes", "type": "set"}, "hasAccess": true, "type": "set",
                 "config": {"enabled": true, "set": ["ci_micro", "large"]}},
                {"feature": {"key": "backup.retention_days", "type": "numeric"}, "hasAccess": true, "type": "numeric",
                 "config": {"enabled": true, "value": 7.0, "unlimited": false, "unit": "days"}},
                {"feature": {"key": "brand_new", "type": "tree"}, "hasAccess": true, "type": "tree", "config": {"leaf": 1}}]}"#,
        );
        assert_eq!(pro.pausing, Some(false));
        assert_eq!(pro.instance_sizes, Some(vec!["micro".to_owned(), "large".to_owned()]));
        assert_eq!(pro.backup_retention_days, Some(7));
        assert_eq!(read(r#"{"entitlements": []}"#), Allowed::default());
    }
}
