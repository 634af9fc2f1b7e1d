//! One row of a bill.

use serde::Serialize;

/// One billed database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Namespace of the tenant.
    pub namespace: Option<String>,
    /// Name of the tenant.
    pub name: Option<String>,
    /// Class of the database.
    pub class: Option<String>,
    /// Value of the label of the Orchestra by which the bill is grouped.
    #[serde(skip)]
    pub label: Option<String>,
    /// Name of the OrchestraDatabase.
    pub database: String,
    /// Whether it is a hosted project: of any other, only the backups have a price.
    #[serde(skip)]
    pub is_hosted: bool,
    /// The provider's reference of the project.
    pub project: Option<String>,
    /// The provider's organization, which pays for the project.
    #[serde(skip)]
    pub account: Option<String>,
    /// Region of the project.
    pub region: Option<String>,
    /// Phase of the database, or `Lost`, `Deleting`, `Released` or `Reclaiming`; `Gone` when it has left the bill this month, and
    /// `Closed` in a month that is over.
    pub state: String,
    /// Hours of the calendar month for which it is charged; absent when no price is known.
    #[serde(skip)]
    pub hours: Option<i32>,
    /// What it costs.
    #[serde(flatten)]
    pub amounts: Amounts,
}

impl Row {
    /// Whether its price is not known.
    pub(super) fn is_unpriced(&self) -> bool {
        self.is_hosted && self.amounts.monthly.is_none() && self.amounts.month_to_date.is_none()
    }
}

/// Amounts as decimal strings, absent when no price is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Currency of the amounts.
    pub currency: Option<String>,
    /// Cost of a month of 730 hours, of a paused project too; absent for one that has left the bill.
    pub monthly: Option<String>,
    /// Cost of the hours started in the current calendar month; of a sum, absent where that of one database is not known.
    pub month_to_date: Option<String>,
    /// Cost of the whole current calendar month if nothing changes: what runs goes on, what is paused stays so, and what is to
    /// be destroyed is. Absent where the cost to date is.
    pub month_end: Option<String>,
    /// Estimated cost of a month of the backups by schedule, which is not in the other amounts.
    pub backups: Option<String>,
}
