//! Projects that are listed without a reference or without a name. One that may be the project of this database keeps
//! another one from being bought; one that cannot be it is ignored.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::Pass;
use crate::api::OrchestraDatabaseStatus;
use crate::api::names::FOREIGN_PROJECTS_ANNOTATION;
use crate::supabase::Account;
use crate::supabase::listed::{ListedProject, UnclearProject};
use crate::supabase::poll::{Identity, Listing};
use crate::supabase::types::Project;
use crate::text;

/// How far the provider's clock may be behind.
const SKEW: Duration = Duration::from_mins(10);

/// The most projects without a name that are asked for in one pass.
const ASKED: usize = 10;

/// The most entries that a message names, and that a status remembers.
const NAMED: usize = 16;
pub const REMEMBERED: usize = 64;

/// What the unclear projects of a listing mean to a database.
pub enum Unclear {
    /// None of them is its project.
    No,
    /// Its project is listed, without a reference.
    Unusable,
    /// One of these may be its project. The identities in the form in which a person names them to say that none of them is:
    /// each as often as it is listed, with those that were named before.
    Perhaps(Vec<String>),
    /// This one is its project.
    Is(ListedProject),
}

/// Whether one of the unclear projects is, or may be, the project of this name. A project with a name is identified by it.
/// One without a name is read by its reference; if that does not identify it, it may be the project only when a request to
/// create it was sent, and not when it existed before or when a person says that it is another one.
pub async fn look(pass: &Pass, name: &str, listing: &Listing, account: &Account) -> Unclear {
    if listing.unclear.iter().any(|entry| entry.name.as_deref() == Some(name)) {
        return Unclear::Unusable;
    }
    let mut others = Others::of(pass);
    let mut perhaps = Vec::new();
    let mut asked = 0;
    let unnamed = listing.unclear.iter().filter(|entry| entry.name.is_none());
    // Of several entries with one identity, the oldest is the one that is known to be another project.
    let unnamed: Vec<_> = unnamed.map(|entry| (others.take(&entry.identity), entry)).collect();
    // The youngest first: they are the ones that may have been created by the last request.
    for (is_other, entry) in unnamed.into_iter().rev() {
        let identity = match &entry.reference {
            _ if is_other => continue,
            None => Identity::Unknown,
            Some(reference) if is_recorded(pass, reference) => continue,
            Some(reference) => match account.poll().identified(reference) {
                Some(identity) => identity,
                None if asked < ASKED => {
                    asked += 1;
                    account.poll().identify(reference).await
                }
                None => Identity::Unknown,
            },
        };
        match identity {
            Identity::Named(project) if project.name.as_deref() == Some(name) => {
                return Unclear::Is(as_listed(*project, name));
            }
            // A project that is being created may be listed before it can be read.
            Identity::Unknown if is_newer(entry, requested_at(pass)) => perhaps.push(entry.identity.clone()),
            Identity::Named(_) | Identity::Unknown => {}
        }
    }
    if perhaps.is_empty() {
        return Unclear::No;
    }
    let mut all = listing.unnamed();
    all.retain(|identity| {
        [&perhaps, &others.named]
            .iter()
            .any(|some| some.iter().any(|it| it == identity))
    });
    tracing::warn!(
        project = name,
        ?all,
        "the listing holds projects that may be this one, and that are not understood"
    );
    Unclear::Perhaps(all.into_iter().map(str::to_owned).collect())
}

/// How many entries of each identity are known to be other projects: those that the status remembers from before the
/// request, and those that a person has named.
struct Others {
    left: HashMap<String, usize>,
    named: Vec<String>,
}

impl Others {
    fn of(pass: &Pass) -> Self {
        let status = pass.object.status.as_ref();
        let before = status
            .map(|status| status.unclear_before.as_slice())
            .unwrap_or_default();
        let annotation = pass.object.annotations().get(FOREIGN_PROJECTS_ANNOTATION);
        let named = annotation.iter().flat_map(|all| all.split([',', ' ']));
        Self::new(before, named.map(str::to_owned).collect())
    }

    /// Not the sum: the status of a later request contains what a person named before it.
    fn new(before: &[String], named: Vec<String>) -> Self {
        let mut left = HashMap::new();
        for known in [before, &named] {
            let mut count: HashMap<_, usize> = HashMap::new();
            for identity in known {
                let count = count.entry(identity).or_default();
                *count += 1;
                let left: &mut usize = left.entry(identity.clone()).or_default();
                *left = (*left).max(*count);
            }
        }
        Self { left, named }
    }

    /// Whether an entry is one of them.
    fn take(&mut self, identity: &str) -> bool {
        let left = self.left.get_mut(identity).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}

/// What a person can do about the entries that may be the project.
pub fn advice(database: &str, perhaps: &[String]) -> String {
    if perhaps.is_empty() {
        return "the provider lists this database's project without a reference, so that the operator cannot use it; nothing \
                is created, so that nothing is paid for twice. Ask the provider's support; the operator continues when the \
                project is listed in full, or gone"
            .to_owned();
    }
    let named = perhaps.len().min(NAMED);
    let more = text::more(perhaps.len(), named);
    let more = more.map_or_else(String::new, |more| format!(" ({more}, which the operator's log names)"));
    format!(
        "the provider lists what may be this database's project, but without a name, and it was not listed before the \
         request to create one; nothing is created, so that nothing is paid for twice. Look for it in the provider's \
         dashboard, or ask the provider's support. The operator continues when it is listed in full or gone, or when you \
         say that it is another project: kubectl annotate orchdb {database} {FOREIGN_PROJECTS_ANNOTATION}={}{more} \
         --overwrite",
        perhaps[..named].join(",")
    )
}

/// When the last request to create the project was sent.
fn requested_at(pass: &Pass) -> Option<Timestamp> {
    let status = pass.object.status.as_ref().filter(|_| pass.announced.is_none())?;
    status.create_issued_at.as_ref().map(|at| at.0)
}

/// Whether an entry may be the project of a request that was sent at this time.
fn is_newer(entry: &UnclearProject, requested: Option<Timestamp>) -> bool {
    let Some(requested) = requested else {
        return false;
    };
    let skew = SignedDuration::try_from(SKEW).unwrap_or_default();
    let is_old = entry
        .inserted_at
        .is_some_and(|at| at.saturating_add(skew).is_ok_and(|at| at < requested));
    !is_old && entry.seen > requested
}

/// Whether another database has recorded this project, or any has replaced it.
fn is_recorded(pass: &Pass, reference: &str) -> bool {
    let is_replaced = |status: &OrchestraDatabaseStatus| status.replaced.iter().any(|it| it == reference);
    let has = |status: &OrchestraDatabaseStatus| {
        let project = status.project.as_ref();
        project.is_some_and(|project| project.reference == reference) || is_replaced(status)
    };
    let own = pass.object.status.as_ref();
    let recorded = pass.ctx.core.stores.databases.find(|database| {
        database.metadata.name.as_deref() != Some(pass.name()) && database.status.as_ref().is_some_and(has)
    });
    own.is_some_and(is_replaced) || recorded.is_some()
}

fn as_listed(project: Project, name: &str) -> ListedProject {
    ListedProject {
        reference: project.reference,
        name: name.to_owned(),
        region: project.region,
        is_branch: false,
        status: project.status,
        inserted_at: project.created_at,
        databases: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_was_there_before_the_request_is_not_its_project() {
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap_or_default();
        for (inserted, seen, requested, newer) in [
            (None, 5, Some(0), true),
            (None, -5, Some(0), false),
            (None, 5, None, false),
            (Some(3), 5, Some(0), true),
            (Some(-599), 5, Some(0), true),
            (Some(-601), 5, Some(0), false),
        ] {
            let entry = UnclearProject {
                key: "k".into(),
                identity: "i".into(),
                reference: None,
                name: None,
                is_branch: false,
                inserted_at: inserted.map(at),
                seen: at(seen),
            };
            let requested = requested.map(at);
            assert_eq!(is_newer(&entry, requested), newer, "{inserted:?} {seen} {requested:?}");
        }
    }

    #[test]
    fn an_entry_that_is_known_is_another_project_as_often_as_it_was_listed() {
        let owned = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let mut others = Others::new(&owned(&["a", "a", "b"]), owned(&["b", "c", "a"]));
        let taken = ["a", "b", "c", "a", "b", "a", "c", "d"].map(|identity| others.take(identity));
        assert_eq!(taken, [true, true, true, true, false, false, false, false]);
    }

    #[test]
    fn the_advice_names_what_a_person_may_say_is_another_project() {
        let many: Vec<_> = (0..40).map(|n| format!("{n:012}")).collect();
        let name = format!("orchdb-{}", "a".repeat(246));
        for (perhaps, part) in [
            (&many[..1], "=000000000000 --overwrite"),
            (&many[..], "000000000015 (and 24 more, which"),
        ] {
            let advice = advice(&name, perhaps);
            assert!(advice.contains(part), "{advice}");
            assert!(
                advice.len() < crate::controller::conditions::MESSAGE_LIMIT,
                "{}",
                advice.len()
            );
        }
        assert!(!advice(&name, &[]).contains("annotate"));
    }
}
