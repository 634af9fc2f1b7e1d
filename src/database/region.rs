//! Which region a project is requested in.

use super::Pass;
use crate::api::SupabaseProject;
use crate::supabase::Error;

/// Regions without capacity for this database, by the provider's refusals.
pub fn full(pass: &Pass) -> &[String] {
    let status = pass.object.status.as_ref();
    status.map(|status| status.full_regions.as_slice()).unwrap_or_default()
}

/// The first wanted region that is not known to be full.
pub fn next<'a>(wanted: &'a SupabaseProject, full: &[String]) -> &'a str {
    candidates(wanted)
        .find(|region| !full.iter().any(|full| full == region))
        .unwrap_or(&wanted.region)
}

/// The region of the last request, for a project whose region the provider does not say.
pub fn requested(pass: &Pass) -> String {
    let wanted = pass.object.spec.supabase.as_ref();
    wanted
        .map(|wanted| next(wanted, full(pass)).to_owned())
        .unwrap_or_default()
}

/// The full regions after one more refusal; none when every region was tried, or when the refusal is not about a
/// region: the next attempt starts with the first region again.
pub fn after_refusal(wanted: &SupabaseProject, full: &[String], asked: String, error: &Error) -> Vec<String> {
    if !matches!(error, Error::RegionAtCapacity { .. }) {
        return Vec::new();
    }
    let mut full = full.to_vec();
    full.push(asked);
    if candidates(wanted).all(|region| full.iter().any(|full| full == region)) {
        full.clear();
    }
    full
}

fn candidates(wanted: &SupabaseProject) -> impl Iterator<Item = &str> {
    std::iter::once(&wanted.region)
        .chain(&wanted.alternatives)
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_asked_in_turn_and_then_anew() {
        let wanted = SupabaseProject {
            region: "eu-central-1".into(),
            alternatives: vec!["eu-west-3".into(), "eu-central-1".into(), "eu-north-1".into()],
            ..SupabaseProject::default()
        };
        let no_room = Error::RegionAtCapacity { message: String::new() };
        let mut full = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..4 {
            let region = next(&wanted, &full).to_string();
            asked.push(region.clone());
            full = after_refusal(&wanted, &full, region, &no_room);
        }
        assert_eq!(asked, ["eu-central-1", "eu-west-3", "eu-north-1", "eu-central-1"]);

        let other = Error::BillingRestricted { message: String::new() };
        assert!(after_refusal(&wanted, &full, "eu-central-1".into(), &other).is_empty());
        let alone = SupabaseProject {
            region: "eu-west-1".into(),
            ..SupabaseProject::default()
        };
        assert!(after_refusal(&alone, &[], "eu-west-1".into(), &no_room).is_empty());
    }
}
