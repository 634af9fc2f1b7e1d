//! Whether a plan may be applied.

use super::consent::Consent;
use super::plan::Plan;
use crate::api::Approval;

/// Whether the pending migrations may be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They may: they need no approval.
    Free,
    /// They may: exactly this plan is approved.
    Approved,
    /// They may not: the plan needs approval.
    Waits,
}

/// The verdict on a plan. `untouched`: the database holds no rows of a tenant.
pub fn decide(consent: &Consent, plan: &Plan, untouched: bool) -> Verdict {
    let approved = consent.approved.as_deref() == Some(plan.digest.as_str());
    match consent.policy {
        Approval::Automatic => Verdict::Free,
        _ if approved => Verdict::Approved,
        Approval::OnDestructive if untouched || plan.destructive() == 0 => Verdict::Free,
        Approval::OnDestructive | Approval::Always => Verdict::Waits,
    }
}
