//! Whether the project that a status names belongs to its database. A person who may write statuses can name another
//! tenant's project there, and a status that was restored from an older copy of the cluster names one that is gone.
//! Therefore only the project's name, which contains the marker, and the owner's Secret are trusted.

use crate::api::OrchestraDatabase;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::supabase::Account;
use crate::supabase::listed::ListedProject;
use crate::supabase::poll::Listing;
use crate::supabase::types::Project;

/// Checks that a project that is being replaced was never in use: the address of a project in use is in the owner's Secret.
///
/// # Errors
/// When the owner's Secret has an address.
pub fn check_discarded(reference: &str, connected: bool) -> Result<(), Error> {
    if !connected {
        return Ok(());
    }
    Err(conflict(format!(
        "status.replaced names {reference}, which is in use: nothing is deleted. Remove it from status.replaced"
    )))
}

/// Checks a recorded project that is not listed under its name: it must still have that name, unless the owner's Secret has
/// its address, so that it was renamed later.
///
/// # Errors
/// When it seems to be another database's project.
pub fn check_unlisted(
    object: &OrchestraDatabase,
    project: &Project,
    listing: &Listing,
    connected: bool,
) -> Result<(), Error> {
    let Some(wanted) = marker(object) else { return Ok(()) };
    let has_another = project.name.as_deref().is_some_and(|name| name != wanted);
    let renamed = connected && listing.by_name(wanted).is_empty();
    if !has_another || renamed {
        return Ok(());
    }
    Err(conflict(format!(
        "{}, so it is not used as this database's project. Correct status.project.ref, or give the project that name back",
        another(&project.reference, project.name.as_deref(), wanted)
    )))
}

/// The reference of a database's project: the one that is being replaced, if any; else the one that is listed under its
/// name; else the recorded one.
///
/// # Errors
/// When none is known.
pub fn reference<'a>(object: &'a OrchestraDatabase, listed: Option<&'a ListedProject>) -> Result<&'a str, Error> {
    let missing = || Error::transient(Reason::ProviderUnavailable, "the project is not known");
    choose(object, listed).ok_or_else(missing)
}

/// The reference of the project that is deleted in the end: the one that is being replaced, if any, and else the one that
/// has the marker. None when it is gone.
///
/// # Errors
/// When it does not have the marker, or the provider fails.
pub async fn to_be_destroyed(
    object: &OrchestraDatabase,
    account: &Account,
    listed: Option<&ListedProject>,
) -> Result<Option<String>, Error> {
    let reference = reference(object, listed)?;
    let Some(wanted) = marker(object) else {
        return Ok(Some(reference.to_owned()));
    };
    if listed.is_some_and(|listed| listed.reference == reference && listed.name == wanted) {
        return Ok(Some(reference.to_owned()));
    }
    match account.client().get_project(reference).await {
        Ok(project) if project.name.as_deref() == Some(wanted) => Ok(Some(reference.to_owned())),
        Ok(project) => Err(conflict(format!(
            "{}, so it is not deleted. If it is this database's project and may be deleted, give it that name in the \
             provider's dashboard; otherwise correct status.project.ref",
            another(reference, project.name.as_deref(), wanted)
        ))),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn choose<'a>(object: &'a OrchestraDatabase, listed: Option<&'a ListedProject>) -> Option<&'a str> {
    let status = object.status.as_ref();
    let recorded = object.project_ref();
    let discarded = recorded.filter(|reference| {
        let replaced = status.map(|status| status.replaced.as_slice());
        replaced.is_some_and(|replaced| replaced.iter().any(|one| one == reference))
    });
    let listed = listed.map(|listed| listed.reference.as_str());
    discarded.or(listed).or(recorded)
}

/// The name that the operator gave the project; none for one that it did not make.
fn marker(object: &OrchestraDatabase) -> Option<&str> {
    let made = object.spec.supabase.as_ref().filter(|_| object.adopted().is_none());
    made.map(|project| project.name.as_str())
}

fn another(reference: &str, name: Option<&str>, wanted: &str) -> String {
    let name = name.map_or_else(|| "has no name".to_owned(), |name| format!("is named {name:?}"));
    format!("project {reference} {name} at the provider, not {wanted:?}")
}

fn conflict(message: String) -> Error {
    Error::blocked(Reason::ProjectConflict, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::supabase::types::ProjectState;

    fn database(reference: &str, replaced: &[&str]) -> OrchestraDatabase {
        serde_json::from_value(json!({
            "metadata": {"name": "orchdb-a"},
            "spec": {"supabase": {"name": "marked", "region": "eu-north-1"}},
            "status": {"project": {"ref": reference, "region": "eu-north-1"}, "replaced": replaced},
        }))
        .unwrap()
    }

    #[test]
    fn the_project_with_the_marker_is_destroyed_and_a_replaced_one_before_it() {
        let listed = ListedProject {
            reference: "own".into(),
            name: "marked".into(),
            region: None,
            is_branch: false,
            status: ProjectState::InitFailed,
            inserted_at: None,
            databases: Vec::new(),
        };
        for (recorded, replaced, is_listed, chosen) in [
            ("own", &[][..], true, "own"),
            ("own", &[], false, "own"),
            ("victim", &[], true, "own"),
            ("old", &["old"], true, "old"),
        ] {
            let object = database(recorded, replaced);
            let found = choose(&object, is_listed.then_some(&listed));
            assert_eq!(found, Some(chosen), "{recorded} {replaced:?} {is_listed}");
        }
    }

    #[test]
    fn what_is_in_use_is_not_discarded() {
        assert!(check_discarded("own", false).is_ok());
        let error = check_discarded("own", true).unwrap_err().to_string();
        assert!(error.contains("nothing is deleted"), "{error}");
    }
}
