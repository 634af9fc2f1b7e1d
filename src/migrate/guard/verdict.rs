//! Whether a plan may be applied.

use super::consent::Consent;
use super::plan::Plan;
use crate::api::Approval;

/// Whether the pending migrations may be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They may: nothing in them needs approval.
    Free,
    /// They may: this very plan is approved.
    Approved,
    /// They wait for approval.
    Waits,
}

/// The verdict. `untouched`: nobody has anything to lose in the database.
pub fn decide(consent: &Consent, plan: &Plan, untouched: bool) -> Verdict {
    let approved = consent.approved.as_deref() == Some(plan.digest.as_str());
    match consent.policy {
        Approval::Automatic => Verdict::Free,
        _ if approved => Verdict::Approved,
        Approval::OnDestructive if untouched || plan.destructive() == 0 => Verdict::Free,
        Approval::OnDestructive | Approval::Always => Verdict::Waits,
    }
}
