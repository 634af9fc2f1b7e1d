//! Projects that are listed without a reference or without a name. One that may be the project of this database keeps
//! another one from being bought; one that cannot be it is nobody's concern.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Pass;
use crate::supabase::Account;
use crate::supabase::listed::{ListedProject, UnclearProject};
use crate::supabase::poll::{Identity, Listing};
use crate::supabase::types::Project;

/// How far the provider's clock may be behind.
const SKEW: Duration = Duration::from_mins(10);

/// The most projects without a name that are asked for in one pass.
const ASKED: usize = 10;

/// What the unclear projects of a listing mean to a database.
pub enum Unclear {
    /// None of them is its project.
    No,
    /// One of them may be its project.
    Perhaps,
    /// This one is its project.
    Is(ListedProject),
}

/// Whether one of the unclear projects is, or may be, the project of this name. One with a name is told by it. One
/// without is asked for by its reference; if that tells nothing, it may be the project only when a request to create it
/// was sent, and not when it existed before.
pub async fn look(pass: &Pass, name: &str, listing: &Listing, account: &Account) -> Unclear {
    let mut perhaps = false;
    let mut asked = 0;
    let status = pass.object.status.as_ref();
    let is_replaced = |reference: &String| status.is_some_and(|status| status.replaced.contains(reference));
    // The youngest first: they are the ones that may have been created by the last request.
    for entry in listing.unclear.iter().rev() {
        match (&entry.name, &entry.reference) {
            (Some(other), _) => perhaps |= other == name,
            (None, Some(reference)) if is_replaced(reference) || is_anothers(pass, reference) => {}
            (None, Some(reference)) if asked < ASKED => {
                asked += 1;
                match account.poll().identify(reference).await {
                    Identity::Named(project) if project.name.as_deref() == Some(name) => {
                        return Unclear::Is(as_listed(*project, name));
                    }
                    Identity::Named(_) => {}
                    // A project that is being created may be listed before it can be read.
                    Identity::Unknown => perhaps |= is_newer(entry, requested_at(pass)),
                }
            }
            (None, _) => perhaps |= is_newer(entry, requested_at(pass)),
        }
    }
    if perhaps {
        tracing::warn!(
            project = name,
            "the listing holds a project that may be this one, and that is not understood"
        );
        Unclear::Perhaps
    } else {
        Unclear::No
    }
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

/// Whether another database has recorded this project.
fn is_anothers(pass: &Pass, reference: &str) -> bool {
    let recorded = pass.ctx.core.stores.databases.find(|database| {
        let project = database.status.as_ref().and_then(|status| status.project.as_ref());
        project.is_some_and(|project| project.reference == reference)
            && database.metadata.name.as_deref() != Some(pass.name())
    });
    recorded.is_some()
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
                reference: None,
                name: None,
                inserted_at: inserted.map(at),
                seen: at(seen),
            };
            let requested = requested.map(at);
            assert_eq!(is_newer(&entry, requested), newer, "{inserted:?} {seen} {requested:?}");
        }
    }
}
