//! When a plan needs approval, and the facts about the tenant that decide it.

use std::collections::BTreeSet;

use crate::api::{Approval, Effect};

/// The approval settings and facts of one tenant.
#[derive(Clone, Debug)]
pub struct Consent {
    /// When a plan needs approval.
    pub policy: Approval,
    /// The effects for which `OnDestructive` requires approval (`approvalFor` of the class).
    pub effects: BTreeSet<Effect>,
    /// The digest of the plan that the Orchestra's annotation approves.
    pub approved: Option<String>,
    /// The tenant has had the database's login before.
    pub handed_over: bool,
    /// The operator prepared the database from a template before it had a tenant: all its rows come from scripts.
    pub prepared: bool,
}
