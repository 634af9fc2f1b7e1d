//! Whether a plan may be applied.

use super::consent::Consent;
use super::finding::FindingKind;
use super::plan::Plan;
use crate::api::Approval;

/// Whether the pending migrations may be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearance {
    /// They may be applied: they need no approval.
    Free,
    /// They may be applied: exactly this plan is approved.
    Approved,
    /// They may not be applied: the plan needs approval.
    Waits,
}

/// The clearance of a plan. `untouched`: the database holds no rows of a tenant.
pub fn decide(consent: &Consent, plan: &Plan, untouched: bool) -> Clearance {
    let approved = consent.approved.as_deref() == Some(plan.digest.as_str());
    // What was not judged may have any effect.
    let asks = || {
        let mut findings = plan.findings.iter();
        findings.any(|it| it.kind == FindingKind::Unjudged || consent.effects.contains(&it.effect))
    };
    match consent.policy {
        Approval::Automatic => Clearance::Free,
        _ if approved => Clearance::Approved,
        Approval::OnDestructive if untouched || !asks() => Clearance::Free,
        Approval::OnDestructive | Approval::Always => Clearance::Waits,
    }
}
