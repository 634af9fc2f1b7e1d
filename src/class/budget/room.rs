//! The decision: whether a budget has room for one more project, or for the backups of one more schedule.

use jiff::Timestamp;
use rust_decimal::Decimal;

/// The limits of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetLimits {
    /// What all its projects together may cost a month.
    pub monthly: Option<Decimal>,
    /// How many projects it may have.
    pub projects: Option<usize>,
}

/// What a class pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetUse {
    /// A project.
    Project,
    /// The backups of a schedule, which count as money and not as a project.
    Backups,
}

/// A project, or the backups of a schedule, as a budget sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetItem {
    /// Which of them.
    pub of: BudgetUse,
    /// Name of the project's OrchestraDatabase, or UID of the Orchestra of the schedule.
    pub name: String,
    /// When that was created: the older one goes first.
    pub created: Timestamp,
    /// Whether the project was requested from the provider, or the schedule was accepted: then it counts, even above the limits.
    pub issued: bool,
    /// What it costs a month; none when the price is unknown.
    pub monthly: Option<Decimal>,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// It would exceed the monthly limit.
    Money,
    /// One more project would exceed the number of projects.
    Projects,
    /// There is a monthly limit, and a price is unknown.
    Unpriced,
}

/// The number of the projects counted so far, and the cost of these and of the backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// How many projects.
    pub projects: usize,
    /// What they and the backups cost a month.
    pub monthly: Decimal,
    /// Whether the price of one of them is unknown.
    unpriced: bool,
}

impl Spending {
    /// Adds an item.
    pub fn add(&mut self, item: &BudgetItem) {
        self.projects += usize::from(item.of == BudgetUse::Project);
        self.unpriced |= item.monthly.is_none();
        self.monthly = self.monthly.saturating_add(item.monthly.unwrap_or_default());
    }

    /// Whether one more item of this use at this price a month would be within the limits.
    pub fn fits(&self, of: BudgetUse, monthly: Option<Decimal>, limits: &BudgetLimits) -> Result<(), Full> {
        let is_project = of == BudgetUse::Project;
        if is_project && limits.projects.is_some_and(|limit| self.projects >= limit) {
            return Err(Full::Projects);
        }
        let Some(limit) = limits.monthly else { return Ok(()) };
        match monthly {
            Some(monthly) if !self.unpriced && self.monthly.saturating_add(monthly) <= limit => Ok(()),
            Some(_) if !self.unpriced => Err(Full::Money),
            _ => Err(Full::Unpriced),
        }
    }
}

/// Whether there is room for a candidate. What counts in any case comes first, then what waits, the oldest first and only where
/// there is room for it, and then the candidate.
pub fn room<'a>(
    items: impl IntoIterator<Item = &'a BudgetItem>,
    candidate: &BudgetItem,
    limits: &BudgetLimits,
) -> Result<(), Full> {
    let mut sum = Spending::default();
    let mut before = Vec::new();
    for item in items.into_iter().filter(|item| item.name != candidate.name) {
        if item.issued {
            sum.add(item);
        } else if rank(item) < rank(candidate) {
            before.push(item);
        }
    }
    // What counts in any case decides for most candidates.
    sum.fits(candidate.of, candidate.monthly, limits)?;
    before.sort_by_key(|item| rank(item));
    for item in before {
        if sum.fits(item.of, item.monthly, limits).is_ok() {
            sum.add(item);
        }
    }
    sum.fits(candidate.of, candidate.monthly, limits)
}

fn rank(item: &BudgetItem) -> (Timestamp, &str) {
    (item.created, &item.name)
}
