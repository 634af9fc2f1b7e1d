//! The decision: whether a budget has room for one more project.

use jiff::Timestamp;
use rust_decimal::Decimal;

/// What the projects of a class may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What they may cost a month together.
    pub monthly: Option<Decimal>,
    /// How many there may be.
    pub projects: Option<usize>,
}

/// A project as a budget sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Name of its OrchestraDatabase.
    pub name: String,
    /// When that was created: what waits longer has the older right.
    pub created: Timestamp,
    /// Whether the provider was asked for it: then it counts whatever the limits say.
    pub issued: bool,
    /// What it costs a month; none when nobody knows.
    pub monthly: Option<Decimal>,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// One more would cost too much.
    Money,
    /// One more would be one too many.
    Projects,
    /// What it costs is not known, and there is a limit.
    Unpriced,
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many projects.
    pub projects: usize,
    /// What they cost a month.
    pub monthly: Decimal,
    /// Whether one was among them that nobody knows the price of.
    unpriced: bool,
}

impl Sum {
    /// Counts one more.
    pub fn add(&mut self, project: &Project) {
        self.projects += 1;
        self.unpriced |= project.monthly.is_none();
        self.monthly += project.monthly.unwrap_or_default();
    }

    /// Whether one more at this price a month would be within the limits.
    pub fn fits(&self, monthly: Option<Decimal>, limits: &Limits) -> Result<(), Full> {
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

/// Whether a project may be created: what the provider was asked for counts first, then what waits,
/// the oldest first, each only where there is room for it, and then this one.
pub fn room<'a>(
    projects: impl IntoIterator<Item = &'a Project>,
    candidate: &Project,
    limits: &Limits,
) -> Result<(), Full> {
    let mut sum = Sum::default();
    let mut before = Vec::new();
    for project in projects.into_iter().filter(|project| project.name != candidate.name) {
        if project.issued {
            sum.add(project);
        } else if rank(project) < rank(candidate) {
            before.push(project);
        }
    }
    // What is in use already decides for most who wait.
    sum.fits(candidate.monthly, limits)?;
    before.sort_by_key(|project| rank(project));
    for project in before {
        if sum.fits(project.monthly, limits).is_ok() {
            sum.add(project);
        }
    }
    sum.fits(candidate.monthly, limits)
}

fn rank(project: &Project) -> (Timestamp, &str) {
    (project.created, &project.name)
}
