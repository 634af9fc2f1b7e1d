//! Limits on the cost of a class's projects, and what they cost.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::AMOUNT;

/// Limits on the cost and number of a class's projects.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Currency of all amounts. The provider bills in USD, the only value so far.
    #[serde(default)]
    pub currency: Currency,
    /// Limit on the monthly cost of all projects of the class together, for example `"2500.00"`. The
    /// operator checks it before it creates a project, against all projects that exist or are being
    /// created. With `"0"` only free projects can be created. Omitted: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 12), regex(pattern = AMOUNT))]
    pub monthly_limit: Option<String>,
    /// Share of `monthlyLimit`, in percent, at which the class warns. Default 80.
    #[serde(default = "default_warn_at_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub warn_at_percent: i32,
    /// Limit on the number of projects of the class. Omitted: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_projects: Option<i32>,
    /// What happens to an Orchestra for which there is no room. `Hold` (default): it is Stalled, and
    /// the operator continues when there is room. `UsePool`: the class's pools meet its claim.
    #[serde(default)]
    pub on_exceed: OnExceed,
    /// Prices of compute sizes. They override the provider's, so that an admin can correct those.
    /// Omitted, or for sizes that are not listed: the price that the provider reports for a project of
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
    /// The ISO 4217 code.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What happens to an Orchestra for which the budget has no room.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExceed {
    /// It waits (default).
    #[default]
    Hold,
    /// The class's pools meet its claim.
    UsePool,
}

/// Prices by compute size, and their date.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceTable {
    /// Date of the prices: `2026-10-01`.
    #[schemars(length(min = 10, max = 10), regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub as_of: String,
    /// Monthly price of a project by its compute size, for example `micro: "10.00"`.
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = serde_json::json!({"type": "string", "maxLength": 12, "pattern": AMOUNT})))]
    pub monthly: BTreeMap<String, String>,
}

/// Cost of a class's projects. Amounts are decimal strings.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassCost {
    /// Currency of all amounts.
    pub currency: String,
    /// Monthly price of one more project.
    pub price_per_project: String,
    /// Where that price comes from: `BillingAddons` (the provider), `Class` (the class's own table) or
    /// `Default` (the operator's table).
    pub price_source: PriceSource,
    /// Date of the price table, for `Class` and `Default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices_as_of: Option<String>,
    /// Number of projects that are billed: claimed, unclaimed, released, and being created.
    pub projects: i32,
    /// Monthly cost of all of them.
    pub projected: String,
}

/// Where a price comes from.
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
