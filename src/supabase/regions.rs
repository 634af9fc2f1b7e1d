//! Whether a region takes new projects. The API says so in a list, so a refusal need not be read for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::Error;
use super::fields::{AnswerFields, Item, items};
use super::operation::Operation;
use super::words::Words;

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
    /// A refusal of a creation in this region, which is about the region if the list or the text says so.
    pub fn explain(self, error: Error, region: &str) -> Error {
        match error {
            Error::Refused {
                operation: Operation::CreateProject,
                message,
                outside: false,
                ..
            } if self == Self::Closed || (self != Self::Missing && Words::of(&message, "").is_region_off(region)) => {
                Error::RegionAtCapacity { message }
            }
            error => error,
        }
    }

    /// Whether a refusal may be about the region or the compute size of the request.
    pub fn concerns(self, message: &str) -> bool {
        self == Self::Missing || Words::of(message, "").may_be_about_place_or_size()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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

    #[test]
    fn a_refusal_is_one_of_the_region_where_the_list_or_the_words_say_so() {
        let refused = |message: &str, outside| Error::Refused {
            operation: Operation::CreateProject,
            status: 400,
            message: message.into(),
            outside,
        };
        for (offer, message, outside, is_region) in [
            (RegionState::Closed, "Not today", false, true),
            (RegionState::Open, "Not today", false, false),
            (RegionState::Open, "eu-central-1 is closed for now", false, true),
            (RegionState::Open, "eu-central-1 has no instances left", false, true),
            (RegionState::Unknown, "This region is switched off", false, true),
            (RegionState::Missing, "eu-central-1 has no instances left", false, false),
            (RegionState::Missing, "region is not available", false, false),
            (RegionState::Closed, "a web page: blocked", true, false),
        ] {
            let error = offer.explain(refused(message, outside), "eu-central-1");
            assert_eq!(
                matches!(error, Error::RegionAtCapacity { .. }),
                is_region,
                "{offer:?} {message}"
            );
        }
    }
}
