//! Wire types of entitlements and billing add-ons, and their meaning for the operator.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::fields::{AnswerFields, Item};
use crate::money;

/// The type of the add-on that is the compute size.
const COMPUTE: &str = "compute_instance";
/// Prefix of the name of a compute size among the add-ons, as in `ci_micro`.
const SIZE_PREFIX: &str = "ci_";

/// A feature that a plan includes or excludes.
#[derive(Clone, Debug)]
pub struct Entitlement {
    /// For example `project_pausing`.
    pub key: String,
    /// Whether the plan includes it.
    pub has_access: bool,
    /// Its extent as a number, for example of days.
    pub value: Option<serde_json::Number>,
    /// Its extent as names, for example of compute sizes.
    pub set: Option<Vec<String>>,
}

impl Item for Entitlement {
    /// The official document has three shapes for the extent, which differ only in which fields are present.
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        let (key, has_access) = (fields.object("feature")?.text("key"), fields.flag("hasAccess"));
        let mut config = fields.optional_object("config");
        let names = |value: &serde_json::Value| {
            let names = value.as_array()?.iter().filter_map(serde_json::Value::as_str);
            Some(names.map(str::to_owned).collect())
        };
        Some(Self {
            key: key?,
            has_access: has_access?,
            value: config.as_mut().and_then(|config| config.optional_number("value")),
            set: config.and_then(|config| names(config.optional("set")?)),
        })
    }
}

/// The entitlements of an organization that matter to a class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entitlements {
    /// Whether projects can be paused.
    pub pausing: Option<bool>,
    /// Compute sizes that a project may have, such as `micro`.
    pub instance_sizes: Option<Vec<String>>,
    /// Days for which backups are kept.
    pub backup_retention_days: Option<i64>,
}

impl Entitlements {
    /// Reads the entitlements that the API returned. One that is missing stays unknown.
    pub fn read(entitlements: &[Entitlement]) -> Self {
        let find = |key: &str| entitlements.iter().find(|it| it.key == key);
        let sizes = find("instances.compute_update_available_sizes").and_then(|it| {
            let sizes = match &it.set {
                Some(sizes) if it.has_access => sizes.as_slice(),
                None if it.has_access => return None,
                _ => &[],
            };
            Some(sizes.iter().map(|size| bare(size).to_owned()).collect())
        });
        let days = find("backup.retention_days").and_then(|it| {
            let days = it.value.as_ref().and_then(money::of_json);
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
#[derive(Debug)]
pub struct Addons {
    /// The add-ons that the project has.
    pub selected_addons: Vec<SelectedAddon>,
    /// The add-ons that the project could have.
    pub available_addons: Vec<AvailableAddon>,
}

impl Item for Addons {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        Some(Self {
            selected_addons: fields.items("selected_addons"),
            available_addons: fields.items("available_addons"),
        })
    }
}

/// An add-on that a project has.
#[derive(Debug)]
pub struct SelectedAddon {
    /// Its type.
    pub kind: String,
    /// Its variant.
    pub variant: AddonVariant,
}

impl Item for SelectedAddon {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        Some(Self {
            kind: fields.text("type")?,
            variant: fields.item("variant")?,
        })
    }
}

/// An add-on that a project could have.
#[derive(Debug)]
pub struct AvailableAddon {
    /// Its type.
    pub kind: String,
    /// Its variants.
    pub variants: Vec<AddonVariant>,
}

impl Item for AvailableAddon {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        Some(Self {
            kind: fields.text("type")?,
            variants: fields.items("variants"),
        })
    }
}

/// One variant of an add-on.
#[derive(Debug)]
pub struct AddonVariant {
    /// Its name, for example `ci_micro`.
    pub id: String,
    /// Its price; none when the answer has none, or one in a form that is not known.
    pub price: Option<money::Price>,
}

impl Item for AddonVariant {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        Some(Self {
            id: fields.text("id")?,
            price: fields.item::<AddonPrice>("price").and_then(|price| price.read()),
        })
    }
}

/// The price of a [`AddonVariant`], in US dollars.
#[derive(Debug)]
struct AddonPrice {
    /// `hourly` or `monthly`.
    interval: String,
    /// The amount. It is read from the text of the number: see [`money::of_json`].
    amount: serde_json::Number,
}

impl Item for AddonPrice {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        let (interval, amount) = (fields.text("interval"), fields.number("amount"));
        Some(Self {
            interval: interval?,
            amount: amount?,
        })
    }
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
            .filter_map(|variant| Some((bare(&variant.id).to_owned(), variant.price?)))
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
    use super::super::fields::{item, items};
    use super::*;

    fn addons(text: &str) -> Addons {
        item(&serde_json::from_str(text).unwrap()).0.unwrap()
    }

    #[test]
    fn an_addon_that_is_not_understood_takes_no_other_price_with_it() {
        let addons = addons(
            r#"{"selected_addons": [null, {"type": "compute_instance", "variant": null},
                {"type": "compute_instance", "variant": {"id": "ci_large", "price": null}}],
              "available_addons": [
                {"type": "compute_instance", "variants": [
                  {"id": "ci_micro"}, {"id": "ci_small", "price": {"interval": "hourly", "amount": "0.0206"}},
                  {"id": "ci_medium", "price": {"interval": "hourly", "amount": "free"}},
                  {"id": "ci_large", "price": {"interval": "hourly", "amount": 0.1517}},
                  {"id": null, "price": {"interval": "hourly", "amount": 1}},
                  {"id": "ci_xlarge", "price": {"interval": "hourly", "amount": -1}}, 7]},
                {"type": null, "variants": []}, {"type": "compute_instance", "variants": null}]}"#,
        );
        let prices = addons.compute_prices();
        let known: Vec<_> = prices
            .iter()
            .map(|(size, price)| (size.as_str(), price.hourly.to_string()))
            .collect();
        assert_eq!(known, [("large", "0.1517".to_owned()), ("small", "0.0206".to_owned())]);
    }

    #[test]
    fn an_entitlement_that_is_not_understood_stays_unknown() {
        let list = serde_json::json!([
            null, {"feature": null, "hasAccess": true}, {"feature": {"key": "project_pausing"}, "hasAccess": null},
            {"feature": {"key": "backup.retention_days"}, "hasAccess": true, "config": {"value": "7"}},
            {"feature": {"key": "instances.compute_update_available_sizes"}, "hasAccess": true, "config": null}]);
        let read = items::<Entitlement>(list.as_array().unwrap());
        let allowed = Entitlements::read(&read.items);
        assert_eq!(
            (allowed.pausing, allowed.backup_retention_days, read.odd),
            (None, Some(7), 3)
        );
        assert_eq!(allowed.instance_sizes, None);
    }

    #[test]
    fn prices_are_read_by_size_and_what_is_billed_goes_first() {
        let addons = addons(
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
        );
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
        let read = |text: &str| {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            Entitlements::read(&items(value["entitlements"].as_array().unwrap()).items)
        };
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
        assert_eq!(read(r#"{"entitlements": []}"#), Entitlements::default());
    }
}
