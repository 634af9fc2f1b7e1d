//! Whose word a plan needs, and what is known of the tenant for that.

use crate::api::Approval;

/// What is asked of the guard for one tenant.
#[derive(Clone, Debug)]
pub struct Consent {
    /// When a plan needs a person's word.
    pub policy: Approval,
    /// The digest that the Orchestra's annotation approves.
    pub approved: Option<String>,
    /// The database was handed over to its tenant before.
    pub handed_over: bool,
    /// The operator prepared it from a template before anybody had it: what is in it comes from scripts.
    pub prepared: bool,
}
