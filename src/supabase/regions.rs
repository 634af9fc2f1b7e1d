//! Whether a region takes new projects. The API says so in a list, so a refusal need not be read for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::Error;
use super::fields::{AnswerFields, Item, items};
use super::said::Said;

/// The state of a region in the API's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionState {
    /// It takes new projects.
    Open,
    /// It is listed with a status that keeps it from taking new projects, such as `capacity`.
    Closed,
    /// It is not listed.
    Missing,
    /// The list could not be read.
    Unknown,
}

/// How long a list is good for: the answer depends on the compute size only, and projects are created in crowds.
const GOOD_FOR: Duration = Duration::from_mins(5);

/// The API's list of regions, for one compute size.
#[derive(Debug, Default)]
pub struct Regions {
    listed: Vec<Region>,
    /// Whether the list could be read as a whole.
    whole: bool,
}

/// The last list of an organization for each compute size.
#[derive(Debug, Default)]
pub struct RegionLists(Mutex<Vec<RecentList>>);

/// The compute size, when the list was read, and the list.
type RecentList = (Option<String>, Instant, Arc<Regions>);

impl RegionLists {
    /// A list that is recent enough.
    pub(super) fn recent(&self, size: Option<&str>) -> Option<Arc<Regions>> {
        let mut lists = self.0.lock();
        lists.retain(|(_, read, _)| read.elapsed() < GOOD_FOR);
        let found = lists.iter().find(|(of, ..)| of.as_deref() == size);
        found.map(|(_, _, list)| list.clone())
    }

    /// Keeps a list.
    pub(super) fn keep(&self, size: Option<&str>, list: Arc<Regions>) {
        let mut lists = self.0.lock();
        lists.retain(|(of, ..)| of.as_deref() != size);
        lists.push((size.map(ToOwned::to_owned), Instant::now(), list));
    }
}

/// A region of the list.
#[derive(Debug)]
struct Region {
    code: String,
    status: Option<String>,
}

impl Item for Region {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        Some(Self {
            code: fields.text("code")?,
            status: fields.optional_text("status"),
        })
    }
}

impl Regions {
    /// Reads `RegionsInfo`.
    pub(super) fn read(answer: &serde_json::Value) -> Self {
        let list = answer["all"]["specific"].as_array().filter(|list| !list.is_empty());
        let Some(list) = list else { return Self::default() };
        let regions = items::<Region>(list);
        Self {
            whole: regions.odd == 0,
            listed: regions.items,
        }
    }

    /// The state of a region in the list.
    pub fn offer(&self, region: &str) -> RegionState {
        let found = self.listed.iter().find(|it| it.code == region);
        match found {
            Some(region) if region.status.as_deref().is_some_and(|status| !status.is_empty()) => RegionState::Closed,
            Some(_) => RegionState::Open,
            None if self.whole => RegionState::Missing,
            None => RegionState::Unknown,
        }
    }
}

impl RegionState {
    /// A refusal of a creation in this region, which is one of the region if the list says so, or the words where the list
    /// does not contradict them.
    pub fn explain(self, error: Error) -> Error {
        let Some(said) = error.unclear_refusal() else {
            return error;
        };
        let words = said.words();
        // A status that is about rights may be about those in a region.
        let is_denied = matches!(error, Error::PermissionDenied { .. }) && words.is_about_rights();
        let by_words = self != Self::Missing && words.is_region_off() && !is_denied;
        if self == Self::Closed || by_words {
            return Error::RegionAtCapacity {
                message: said.to_string(),
            };
        }
        error
    }

    /// Whether a refusal may be about the region or the compute size of the request.
    pub fn concerns(self, said: &Said) -> bool {
        self == Self::Missing || said.may_be_about_place_or_size()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::supabase::answer::FailedAnswer;
    use crate::supabase::operation::Operation;
    use crate::supabase::words::Echo;

    fn offer(list: &serde_json::Value) -> RegionState {
        Regions::read(&json!({"all": {"smartGroup": [], "specific": list}})).offer("eu-central-1")
    }

    #[test]
    fn the_list_says_whether_a_region_is_open() {
        let region =
            |status: serde_json::Value| json!([{"name": "Frankfurt", "code": "eu-central-1", "status": status}]);
        assert_eq!(offer(&region(json!(null))), RegionState::Open);
        assert_eq!(offer(&region(json!("capacity"))), RegionState::Closed);
        assert_eq!(offer(&region(json!("switched_off_in_2027"))), RegionState::Closed);
        assert_eq!(offer(&json!([{"code": "eu-west-3"}])), RegionState::Missing);
        assert_eq!(offer(&json!([{"code": "eu-west-3"}, null])), RegionState::Unknown);
        for odd in [json!([]), json!(null), json!("x")] {
            assert_eq!(offer(&odd), RegionState::Unknown);
        }
        assert_eq!(
            Regions::read(&json!({"message": "no"})).offer("eu-central-1"),
            RegionState::Unknown
        );
    }

    /// The refusal of a creation in Frankfurt for the organization `acme-region`.
    fn refused(status: u16, body: &str) -> Error {
        let echo = Echo {
            names: &["acme-region"],
            region: Some("eu-central-1"),
        };
        let answer = FailedAnswer::read(status, body.as_bytes(), &[], echo);
        answer.classify(Operation::CreateProject, Duration::ZERO)
    }

    #[test]
    fn a_refusal_is_one_of_the_region_where_the_list_or_the_words_say_so() {
        use RegionState::{Closed, Missing, Open, Unknown};
        for (offer, status, message, is_region) in [
            (Closed, 400, "Not today", true),
            (Open, 400, "Not today", false),
            (Open, 400, "eu-central-1 is closed for now", true),
            (Open, 400, "EU-CENTRAL-1 has no instances left", true),
            (Open, 400, "acme-region is closed for now", false),
            (Unknown, 400, "This region is switched off", true),
            (Missing, 400, "eu-central-1 has no instances left", false),
            (Missing, 400, "region is not available", false),
            // Statuses that usually mean something else.
            (Closed, 403, "This region is not available for your organization", true),
            (Unknown, 403, "This region is not available for your organization", true),
            (
                Missing,
                403,
                "This region is not available for your organization",
                false,
            ),
            (Open, 403, "Your role may not create projects in this region", false),
            (Open, 403, "Forbidden action", false),
            (Closed, 404, "Region not found", true),
            (Missing, 404, "Region not found", false),
            (Closed, 404, "Not found", true),
            (Closed, 404, "Organization not found", false),
            (Closed, 409, "eu-central-1 takes no projects today", true),
            (Open, 409, "eu-central-1 takes no projects today", true),
            (Open, 409, "Conflict", false),
            (
                Closed,
                409,
                "A project of this name already exists in eu-central-1",
                false,
            ),
            (Closed, 402, "Payment required", false),
        ] {
            let error = offer.explain(refused(status, &json!({ "message": message }).to_string()));
            assert_eq!(
                matches!(error, Error::RegionAtCapacity { .. }),
                is_region,
                "{offer:?} {status} {message}: {error}"
            );
        }
        for (status, body) in [
            (400, "<html>blocked</html>"),
            (
                403,
                r#"{"message":"No","missing_permissions":["organization_projects_create"]}"#,
            ),
            (500, r#"{"message":"No"}"#),
        ] {
            let error = refused(status, body);
            assert_eq!(Closed.explain(error.clone()), error);
        }
    }

    #[test]
    fn a_region_that_is_not_found_is_no_missing_organization() {
        let error = RegionState::Missing.explain(refused(404, r#"{"message":"Region not found"}"#));
        assert_eq!(
            error.to_string(),
            "the Management API refused to create_project (HTTP 404: Region not found)"
        );
    }
}
