//! Which region a project is requested in.

use kube::ResourceExt;

use super::Pass;
use crate::api::condition::Reason;
use crate::api::{ChosenRegion, Near, SupabaseProject};
use crate::class;
use crate::controller::error::Error;
use crate::controller::status::News;
use crate::geography;
use crate::supabase::regions::Offer;
use crate::supabase::{self, Account};
use crate::text;

/// The most characters of a reason.
const LONGEST_REASON: usize = 1000;

/// Regions without capacity for this database, by the provider's refusals.
pub fn full(pass: &Pass) -> &[String] {
    let status = pass.object.status.as_ref();
    status.map(|status| status.full_regions.as_slice()).unwrap_or_default()
}

/// The first wanted region that is not known to be full.
fn next<'a>(wanted: &'a SupabaseProject, full: &[String]) -> &'a str {
    candidates(wanted)
        .find(|region| !full.iter().any(|full| full == region))
        .unwrap_or(&wanted.region)
}

/// The region of the last request: written before it, where it was chosen by a place.
pub fn requested(pass: &Pass) -> String {
    let chosen = pass.object.status.as_ref().and_then(|status| status.placement.as_ref());
    if let Some(chosen) = chosen {
        return chosen.region.clone();
    }
    let wanted = pass.object.spec.supabase.as_ref();
    wanted
        .map(|wanted| next(wanted, full(pass)).to_owned())
        .unwrap_or_default()
}

/// The region of the next request, for a database that is to be near to a place: the nearest one that the class allows
/// now, that did not refuse before, and that takes new projects, as the provider's list says. None for any other database.
///
/// # Errors
/// When the class allows none of the regions any more.
pub async fn choose(pass: &Pass, account: &Account) -> Result<Option<ChosenRegion>, Error> {
    let Some(wanted) = &pass.object.spec.supabase else {
        return Ok(None);
    };
    let Some(near) = &wanted.near else { return Ok(None) };
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref())?;
    let allowed = class.spec.placement.as_ref().and_then(|it| it.allowed_regions.as_ref());
    let mut regions: Vec<&str> = candidates(wanted).collect();
    regions.retain(|region| allowed.is_none_or(|allowed| allowed.iter().any(|it| it == region)));
    let list = account.regions(wanted.instance_size.as_deref()).await;
    pick(near, &regions, full(pass), |region| list.offer(region))
        .map(Some)
        .ok_or_else(|| {
            let message = format!(
                "class {} no longer allows any of the regions that the project could be created in: delete the Orchestra and \
                 create it again",
                class.name_any()
            );
            Error::blocked(Reason::RegionNotAllowed, message)
        })
}

/// The event of a choice that is another one than the last.
pub fn news(pass: &Pass, chosen: Option<&ChosenRegion>) -> Option<News> {
    let last = pass.object.status.as_ref().and_then(|status| status.placement.as_ref());
    let chosen = chosen.filter(|chosen| last != Some(*chosen))?;
    Some(News::normal(Reason::RegionChosen, chosen.reason.clone()))
}

/// The first of the regions, which are in the order of their distance, that takes new projects; of those that do not, the
/// first one that did not refuse: the provider's list may be wrong.
fn pick(near: &Near, regions: &[&str], full: &[String], offer: impl Fn(&str) -> Offer) -> Option<ChosenRegion> {
    let mut passed_over = Vec::new();
    let mut chosen = None;
    for region in regions {
        let why = match offer(region) {
            _ if full.iter().any(|full| full == region) => "it has refused for lack of capacity",
            Offer::Closed => "the provider's list says that it takes no new projects",
            Offer::Missing => "the provider does not list it",
            Offer::Open | Offer::Unknown => {
                chosen = Some(*region);
                break;
            }
        };
        passed_over.push(format!("{region} ({why})"));
    }
    let tried = |region: &&str| !full.iter().any(|full| full == region);
    let (region, only) = match chosen {
        Some(region) => (region, false),
        None => (*regions.iter().find(|region| tried(region)).or(regions.first())?, true),
    };
    let others = passed_over.join(", ");
    let others = match (others.is_empty(), only) {
        (true, _) => String::new(),
        (false, true) => format!("; none of the allowed regions seems to take new projects: {others}"),
        (false, false) => format!(", of those that take new projects; nearer ones: {others}"),
    };
    let reason = format!(
        "{region} is the nearest region to {}{}{others}",
        near.text(),
        distance(near, region)
    );
    Some(ChosenRegion {
        region: region.to_owned(),
        reason: text::line(&reason, LONGEST_REASON),
    })
}

/// How far a region is, or by way of which region the country is reached.
fn distance(near: &Near, region: &str) -> String {
    let Some((point, by_way_of)) = near.point() else {
        return String::new();
    };
    let ranked = geography::rank(point, [region]);
    match (by_way_of, ranked.first().and_then(|ranked| ranked.kilometres)) {
        (Some(by), _) => format!(", which is reached by way of {by}"),
        (None, Some(kilometres)) => format!(", {kilometres} km away"),
        (None, None) => String::new(),
    }
}

/// The full regions after one more refusal; none when every region was tried, or when the refusal is not about a
/// region: the next attempt starts with the first region again.
pub fn after_refusal(wanted: &SupabaseProject, full: &[String], asked: String, error: &supabase::Error) -> Vec<String> {
    if !matches!(error, supabase::Error::RegionAtCapacity { .. }) {
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
        let no_room = supabase::Error::RegionAtCapacity { message: String::new() };
        let mut full = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..4 {
            let region = next(&wanted, &full).to_string();
            asked.push(region.clone());
            full = after_refusal(&wanted, &full, region, &no_room);
        }
        assert_eq!(asked, ["eu-central-1", "eu-west-3", "eu-north-1", "eu-central-1"]);

        let other = supabase::Error::BillingRestricted { message: String::new() };
        assert!(after_refusal(&wanted, &full, "eu-central-1".into(), &other).is_empty());
        let alone = SupabaseProject {
            region: "eu-west-1".into(),
            ..SupabaseProject::default()
        };
        assert!(after_refusal(&alone, &[], "eu-west-1".into(), &no_room).is_empty());
    }

    #[test]
    fn the_nearest_open_region_is_chosen_and_the_reason_says_why() {
        let near = Near {
            country: Some("SE".into()),
            ..Near::default()
        };
        let regions = ["eu-north-1", "eu-central-1", "eu-west-3"];
        let pick = |full: &[&str], closed: &[&str], missing: &[&str]| {
            let full: Vec<_> = full.iter().map(|region| (*region).to_owned()).collect();
            let offer = |region: &str| match region {
                region if closed.contains(&region) => Offer::Closed,
                region if missing.contains(&region) => Offer::Missing,
                _ => Offer::Open,
            };
            let chosen = super::pick(&near, &regions, &full, offer).unwrap_or_default();
            (chosen.region, chosen.reason)
        };
        let (region, reason) = pick(&[], &[], &[]);
        assert_eq!(
            (region.as_str(), reason.as_str()),
            ("eu-north-1", "eu-north-1 is the nearest region to SE, 151 km away")
        );
        let (region, reason) = pick(&["eu-north-1"], &["eu-central-1"], &[]);
        assert_eq!(region, "eu-west-3");
        assert!(
            reason.contains("eu-north-1 (it has refused") && reason.contains("eu-central-1 (the provider's list"),
            "{reason}"
        );
        // The list may be wrong: what was not refused is asked for.
        let (region, reason) = pick(&["eu-north-1"], &["eu-central-1", "eu-west-3"], &[]);
        assert_eq!(region, "eu-central-1");
        assert!(reason.contains("none of the allowed regions"), "{reason}");
        assert_eq!(pick(&[], &[], &["eu-north-1"]).0, "eu-central-1");
        assert_eq!(super::pick(&near, &[], &[], |_| Offer::Open), None);
    }
}
