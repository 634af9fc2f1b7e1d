//! The decision: whether a budget has room for one more project.

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

/// A project as a budget sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetItem {
    /// Name of its OrchestraDatabase.
    pub name: String,
    /// When that was created: the older one goes first.
    pub created: Timestamp,
    /// Whether it was requested from the provider: then it counts, even above the limits.
    pub issued: bool,
    /// What it costs a month; none when the price is unknown.
    pub monthly: Option<Decimal>,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// One more project would exceed the monthly limit.
    Money,
    /// One more project would exceed the number of projects.
    Projects,
    /// There is a monthly limit, and a price is unknown.
    Unpriced,
}

/// The number and the cost of the projects counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// How many projects.
    pub projects: usize,
    /// What they cost a month.
    pub monthly: Decimal,
    /// Whether the price of one of them is unknown.
    unpriced: bool,
}

impl Spending {
    /// Adds a project.
    pub fn add(&mut self, project: &BudgetItem) {
        self.projects += 1;
        self.unpriced |= project.monthly.is_none();
        self.monthly += project.monthly.unwrap_or_default();
    }

    /// Whether one more project at this price a month would be within the limits.
    pub fn fits(&self, monthly: Option<Decimal>, limits: &BudgetLimits) -> Result<(), Full> {
        if limits.projects.is_some_and(|limit| self.projects >= limit) {
            return Err(Full::Projects);
        }
        let Some(limit) = limits.monthly else { return Ok(()) };
        match monthly {
            Some(monthly) if !self.unpriced && self.monthly + monthly <= limit => Ok(()),
            Some(_) if !self.unpriced => Err(Full::Money),
            _ => Err(Full::Unpriced),
        }
    }
}

/// Whether a project may be created. The requested projects count first, then those that wait, the oldest first and
/// only where there is room for it, and then this one.
pub fn room<'a>(
    projects: impl IntoIterator<Item = &'a BudgetItem>,
    candidate: &BudgetItem,
    limits: &BudgetLimits,
) -> Result<(), Full> {
    let mut sum = Spending::default();
    let mut before = Vec::new();
    for project in projects.into_iter().filter(|project| project.name != candidate.name) {
        if project.issued {
            sum.add(project);
        } else if rank(project) < rank(candidate) {
            before.push(project);
        }
    }
    // The requested projects alone decide for most candidates.
    sum.fits(candidate.monthly, limits)?;
    before.sort_by_key(|project| rank(project));
    for project in before {
        if sum.fits(project.monthly, limits).is_ok() {
            sum.add(project);
        }
    }
    sum.fits(candidate.monthly, limits)
}

fn rank(project: &BudgetItem) -> (Timestamp, &str) {
    (project.created, &project.name)
}
