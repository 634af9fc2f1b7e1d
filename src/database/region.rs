//! Which region a project is requested in.

use kube::ResourceExt;

use super::Pass;
use crate::api::condition::Reason;
use crate::api::{ChosenRegion, Near, SupabaseProject};
use crate::class;
use crate::controller::error::Error;
use crate::controller::status::News;
use crate::geography;
use crate::supabase::regions::RegionState;
use crate::supabase::{self, Account};
use crate::text;

/// The most characters of a reason.
const LONGEST_REASON: usize = 1000;

/// Regions without capacity for this database, by the provider's refusals.
pub fn full(pass: &Pass) -> &[String] {
    let status = pass.object.status.as_ref();
    status.map(|status| status.full_regions.as_slice()).unwrap_or_default()
}

/// The regions that the project may be created in, in their order: those of the resource that its class still allows.
///
/// # Errors
/// When the class allows none of them any more, or is not there.
pub fn allowed(pass: &Pass, wanted: &SupabaseProject) -> Result<Vec<String>, Error> {
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref())?;
    let list = class
        .spec
        .placement
        .as_ref()
        .and_then(|it| it.allowed_regions.as_deref());
    let regions = among(wanted, list.unwrap_or_default());
    if regions.is_empty() {
        let message = format!(
            "class {} no longer allows any of the regions that the project could be created in: delete the Orchestra and \
             create it again",
            class.name_any()
        );
        return Err(Error::blocked(Reason::RegionNotAllowed, message));
    }
    Ok(regions)
}

/// The wanted regions that a list allows, each once. An empty list allows all.
fn among(wanted: &SupabaseProject, list: &[String]) -> Vec<String> {
    let mut regions: Vec<String> = Vec::new();
    for region in std::iter::once(&wanted.region).chain(&wanted.alternatives) {
        if (list.is_empty() || list.contains(region)) && !regions.contains(region) {
            regions.push(region.clone());
        }
    }
    regions
}

/// The first region that is not known to be full.
fn next<'a>(regions: &'a [String], full: &[String]) -> Option<&'a String> {
    regions.iter().find(|region| !full.contains(region)).or(regions.first())
}

/// The region of the request that is about to be sent: one of these, and the chosen one where a place decides.
pub fn requested(pass: &Pass, regions: &[String]) -> Option<String> {
    let chosen = pass.object.status.as_ref().and_then(|status| status.placement.as_ref());
    match chosen {
        Some(chosen) => Some(chosen.region.clone()).filter(|region| regions.contains(region)),
        None => next(regions, full(pass)).cloned(),
    }
}

/// The region that the last request named, if known: for a project that the provider lists without one.
pub fn last(pass: &Pass) -> String {
    let wanted = pass.object.spec.supabase.as_ref();
    let regions = wanted.map(|wanted| among(wanted, &[])).unwrap_or_default();
    requested(pass, &regions).unwrap_or_default()
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
    let regions = allowed(pass, wanted)?;
    let Some(near) = &wanted.near else { return Ok(None) };
    let list = account.regions(wanted.instance_size.as_deref()).await;
    let regions: Vec<_> = regions.iter().map(String::as_str).collect();
    Ok(pick(near, &regions, full(pass), |region| list.offer(region)))
}

/// The event when another region is chosen than the last time.
pub fn news(pass: &Pass, chosen: Option<&ChosenRegion>) -> Option<News> {
    let last = pass.object.status.as_ref().and_then(|status| status.placement.as_ref());
    let chosen = chosen.filter(|chosen| last != Some(*chosen))?;
    Some(News::normal(Reason::RegionChosen, chosen.reason.clone()))
}

/// The first of the regions, which are in the order of their distance, that takes new projects; of those that do not, the
/// first one that did not refuse: the provider's list may be wrong.
fn pick(near: &Near, regions: &[&str], full: &[String], offer: impl Fn(&str) -> RegionState) -> Option<ChosenRegion> {
    let mut passed_over = Vec::new();
    let mut chosen = None;
    for region in regions {
        let why = match offer(region) {
            _ if full.iter().any(|full| full == region) => "it has refused for lack of capacity",
            RegionState::Closed => "the provider's list says that it takes no new projects",
            RegionState::Missing => "the provider does not list it",
            RegionState::Open | RegionState::Unknown => {
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

/// The nearest region to a place of those that a class allows, in which a database is that was not made for this place.
pub fn nearest(near: &Near, region: &str) -> ChosenRegion {
    let far = distance(near, region);
    let reason = format!(
        "{region} is the nearest region to {}{far}, of those that the class allows",
        near.text()
    );
    ChosenRegion {
        region: region.to_owned(),
        reason: text::line(&reason, LONGEST_REASON),
    }
}

/// The distance of a region, or the region through which the country is reached.
fn distance(near: &Near, region: &str) -> String {
    let Some((point, by_way_of)) = near.point() else {
        return String::new();
    };
    let ranked = geography::rank(point, [region]);
    match (by_way_of, ranked.first().and_then(|ranked| ranked.kilometres)) {
        (Some(by), _) => format!(", which is reached through {by}"),
        (None, Some(kilometres)) => format!(", {kilometres} km away"),
        (None, None) => String::new(),
    }
}

/// The full regions after one more refusal; none when every region was tried, or when the refusal is not about a
/// region: the next attempt starts with the first region again.
pub fn after_refusal(regions: &[String], full: &[String], asked: &str, error: &supabase::Error) -> Vec<String> {
    if !matches!(error, supabase::Error::RegionAtCapacity { .. }) {
        return Vec::new();
    }
    let mut full: Vec<_> = full.iter().filter(|region| *region != asked).cloned().collect();
    full.push(asked.to_owned());
    if regions.iter().all(|region| full.contains(region)) {
        full.clear();
    }
    full
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
        let asked = |list: &[&str], mut full: Vec<String>| {
            let list: Vec<_> = list.iter().map(|region| (*region).to_owned()).collect();
            let regions = among(&wanted, &list);
            let mut asked = Vec::new();
            for _ in 0..4 {
                let Some(region) = next(&regions, &full).cloned() else {
                    break;
                };
                asked.push(region.clone());
                full = after_refusal(&regions, &full, &region, &no_room);
            }
            (asked, full)
        };
        let (all, _) = asked(&[], Vec::new());
        assert_eq!(all, ["eu-central-1", "eu-west-3", "eu-north-1", "eu-central-1"]);
        // The class allows fewer than when the resource was written.
        let (fewer, full) = asked(&["eu-north-1", "us-east-1"], vec!["eu-central-1".into()]);
        assert_eq!(fewer, ["eu-north-1"; 4]);
        assert!(full.is_empty(), "every round ends, and the refusal is told: {full:?}");
        assert!(asked(&["us-east-1"], Vec::new()).0.is_empty());

        let other = supabase::Error::BillingRestricted { message: String::new() };
        let regions = among(&wanted, &[]);
        assert!(after_refusal(&regions, &["eu-west-3".into()], "eu-central-1", &other).is_empty());
        let alone = ["eu-west-1".to_owned()];
        assert!(after_refusal(&alone, &[], "eu-west-1", &no_room).is_empty());
        let twice = after_refusal(&regions, &["eu-west-3".into()], "eu-west-3", &no_room);
        assert_eq!(twice, ["eu-west-3"]);
    }

    #[test]
    fn the_nearest_open_region_is_chosen_and_the_reason_says_why() {
        let near = Near::Country("SE".into());
        let regions = ["eu-north-1", "eu-central-1", "eu-west-3"];
        let pick = |full: &[&str], closed: &[&str], missing: &[&str]| {
            let full: Vec<_> = full.iter().map(|region| (*region).to_owned()).collect();
            let offer = |region: &str| match region {
                region if closed.contains(&region) => RegionState::Closed,
                region if missing.contains(&region) => RegionState::Missing,
                _ => RegionState::Open,
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
        // The list may be wrong: a region that did not refuse is still requested.
        let (region, reason) = pick(&["eu-north-1"], &["eu-central-1", "eu-west-3"], &[]);
        assert_eq!(region, "eu-central-1");
        assert!(reason.contains("none of the allowed regions"), "{reason}");
        assert_eq!(pick(&[], &[], &["eu-north-1"]).0, "eu-central-1");
        assert_eq!(super::pick(&near, &[], &[], |_| RegionState::Open), None);
    }
}
