//! What the projects of a class may cost, and what they do.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::AMOUNT;

/// What the projects of a class may cost, and how many there may be.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Currency of all amounts, and the only one so far: the provider bills in it.
    #[serde(default)]
    pub currency: Currency,
    /// What all projects of the class together may cost a month, for example `"2500.00"`. Checked
    /// before a project is created, against what is there and on its way. `"0"` lets only free
    /// projects be created. Omitted: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 12), regex(pattern = AMOUNT))]
    pub monthly_limit: Option<String>,
    /// Part of `monthlyLimit`, in percent, from which on the class warns. Default 80.
    #[serde(default = "default_warn_at_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub warn_at_percent: i32,
    /// How many projects the class may have. Omitted: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_projects: Option<i32>,
    /// What becomes of an Orchestra that there is no room for. `Hold` (default): it is Stalled, and
    /// goes on by itself when there is room. `UsePool`: the pools of the class meet its claim.
    #[serde(default)]
    pub on_exceed: OnExceed,
    /// Prices of compute to reckon with. They go before what the provider tells, so that an admin can
    /// correct it. Omitted, and for sizes that are not named: what the provider tells of a project of
    /// the class, else the operator's own table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PriceTable>,
}

fn default_warn_at_percent() -> i32 {
    80
}

/// Currency of a budget.
#[derive(
    schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr,
)]
pub enum Currency {
    /// United States dollar.
    #[default]
    #[serde(rename = "USD")]
    #[strum(serialize = "USD")]
    Usd,
}

impl Currency {
    /// Its code (ISO 4217).
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What becomes of an Orchestra that the budget has no room for.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExceed {
    /// It waits (default).
    #[default]
    Hold,
    /// The pools of the class meet its claim.
    UsePool,
}

/// Prices by compute size, and the day that they are of.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceTable {
    /// Day that the prices are of: `2026-10-01`.
    #[schemars(length(min = 10, max = 10), regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub as_of: String,
    /// Price of a project a month by its compute size, for example `micro: "10.00"`.
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = serde_json::json!({"type": "string", "maxLength": 12, "pattern": AMOUNT})))]
    pub monthly: BTreeMap<String, String>,
}

/// What the projects of a class cost. Money is in decimal strings.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassCost {
    /// Currency of all amounts.
    pub currency: String,
    /// Price of one more project a month.
    pub price_per_project: String,
    /// Where that price is from: `BillingAddons` (asked of the provider), `Class` (the class's own
    /// table) or `Default` (the operator's table).
    pub price_source: PriceSource,
    /// Day of the price table, for `Class` and `Default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices_as_of: Option<String>,
    /// Number of projects that are billed: held, waiting, released, and being created.
    pub projects: i32,
    /// What all of them cost a month.
    pub projected: String,
}

/// Where a price is from.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PriceSource {
    /// The provider's billing add-ons of a project of this class.
    BillingAddons,
    /// The class's own table.
    Class,
    /// The operator's table.
    #[default]
    Default,
}
