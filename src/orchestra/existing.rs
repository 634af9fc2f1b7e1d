//! A database that exists: one that an Orchestra released is taken back with its data.

use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use serde_json::json;

use super::claim::{Offer, api, claim_reference, databases};
use super::plan::{Intent, Supply};
use super::wait::Stop;
use super::{Pass, adoption, deserted, reclaim};
use crate::api::condition::Reason;
use crate::api::{ExistingDatabase, Orchestra, OrchestraClass, OrchestraDatabase};
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::controller::unreadable;
use crate::controller::write::change;
use crate::credentials::tenant;

/// The most UIDs of earlier Orchestras that a database remembers, as its schema says.
const REMEMBERED: usize = 16;

/// Whether the existing database can be taken, and how far the claim has come.
pub async fn supply(pass: &Pass, class: &OrchestraClass, existing: &ExistingDatabase) -> Result<Offer, Error> {
    let offered = match &existing.project_ref {
        None => {
            let name = existing.database_name.clone().unwrap_or_default();
            let found = find(pass, &name).await?;
            judged(pass, class, &name, found.as_ref()).map(|()| name)
        }
        Some(reference) => match adoption::database_of(pass, reference).await? {
            None => adoption::offered(pass, class, existing, reference).await?,
            Some(found) => {
                unreadable::check(&found)?;
                let name = found.name_any();
                judged(pass, class, &name, Some(&found)).map(|()| name)
            }
        },
    };
    let name = match offered {
        Ok(name) => name,
        // The Secrets of tenants are not watched.
        Err((reason @ Reason::PasswordNotFound, message)) => {
            return Ok(Offer::none(Supply::Blocked(Stop::Unwatched(reason)), message));
        }
        Err((reason, message)) => return Ok(Offer::none(Supply::Blocked(Stop::Claim(reason)), message)),
    };
    let status = pass.object.status.as_ref();
    let is_written = status.is_some_and(|status| status.claiming.as_ref() == Some(&name));
    let intent = match &pass.reserved {
        _ if is_written => Intent::Written,
        Some(reserved) if *reserved == name => Intent::Reserved,
        _ => Intent::Open,
    };
    Ok(Offer::of(Supply::Member(intent), name))
}

/// The database as the watch shows it, or else the API server.
async fn find(pass: &Pass, name: &str) -> Result<Option<OrchestraDatabase>, Error> {
    match unreadable::get(databases(pass), &ObjectRef::new(name))? {
        Some(known) => Ok(Some((*known).clone())),
        None => Ok(api(&pass.ctx).get_opt(name).await?),
    }
}

/// Whether this Orchestra may take a database that it names. For one that was never released, and whose Orchestra is gone, it
/// waits for a person.
fn judged(
    pass: &Pass,
    class: &OrchestraClass,
    name: &str,
    database: Option<&OrchestraDatabase>,
) -> Result<(), (Reason, String)> {
    let here = pass.here();
    match judge(
        &pass.object,
        (class, here.as_ref().map(|here| &here.metadata)),
        name,
        database,
    ) {
        Err((Reason::InUse, _))
            if database.is_some_and(|database| deserted::is_claimed_by_no_other(pass, database)) =>
        {
            Err((Reason::InUse, deserted::message(name)))
        }
        judged => judged,
    }
}

/// Whether an Orchestra of this class may take a database that it names. `here`: its namespace, where the operator may read it.
/// Tenants are not told about other namespaces.
fn judge(
    object: &Orchestra,
    (class, here): (&OrchestraClass, Option<&ObjectMeta>),
    name: &str,
    database: Option<&OrchestraDatabase>,
) -> Result<(), (Reason, String)> {
    let Some(database) = database else {
        let message = format!(
            "OrchestraDatabase {name}, which spec.source.existing names, does not exist: check the name (kubectl get orchdb). If it \
             was removed and its project was kept, the project is adopted by spec.source.existing.projectRef; an entry of a pool \
             still holds its data, unless it was reset. Delete this Orchestra, and create it with another source"
        );
        return Err((Reason::ExistingNotFound, message));
    };
    let spec = &database.spec;
    let not_allowed = |message| Err((Reason::ExistingNotAllowed, message));
    let Some(claim) = &spec.claim_ref else {
        return not_allowed(format!(
            "OrchestraDatabase {name} was never claimed by an Orchestra, so there is nothing to take back: create this \
             Orchestra without spec.source.existing, and it claims a database of its class"
        ));
    };
    let namespace = object.namespace().unwrap_or_default();
    let is_of_former = here.is_some_and(|here| database.is_of_former_namespace(here));
    let is_foreign = claim.namespace != namespace || is_of_former;
    if is_foreign && spec.offered_to.as_ref() != Some(&namespace) {
        return not_allowed(format!(
            "OrchestraDatabase {name} holds the data of an Orchestra of another namespace, or of a deleted namespace of this \
             name. If namespace {namespace} may have \
             them, an admin offers it: kubectl patch orchdb {name} --type=merge -p '{{\"spec\":{{\"offeredTo\":\"{namespace}\"}}}}'"
        ));
    }
    is_free(object, class, database)
}

/// Whether a database that this namespace may have is of the class, and unclaimed now.
fn is_free(object: &Orchestra, class: &OrchestraClass, database: &OrchestraDatabase) -> Result<(), (Reason, String)> {
    let (name, namespace) = (database.name_any(), object.namespace().unwrap_or_default());
    if database.metadata.deletion_timestamp.is_some() {
        let message = if database.adopted().is_some() && !database.is_to_be_destroyed() {
            format!(
                "OrchestraDatabase {name} is being deleted, and its project is kept: the project can be adopted again when the \
                 OrchestraDatabase is gone"
            )
        } else {
            format!("OrchestraDatabase {name} is being destroyed, and cannot be taken back any more")
        };
        return Err((Reason::ExistingNotFound, message));
    }
    if database.is_being_reset() {
        let message =
            format!("everything in OrchestraDatabase {name} is being dropped, and it cannot be taken back any more");
        return Err((Reason::ExistingNotFound, message));
    }
    let of_class = database.spec.class_name.as_deref().unwrap_or_default();
    if !database.is_of(class) {
        let message = format!(
            "OrchestraDatabase {name} is of class {of_class}, and this Orchestra of class {}: create the Orchestra with \
             spec.className: {of_class}",
            class.name_any()
        );
        return Err((Reason::ExistingNotAllowed, message));
    }
    if database.is_held() {
        let claim = database
            .spec
            .claim_ref
            .as_ref()
            .filter(|claim| claim.namespace == namespace);
        let who = claim.map_or_else(
            || "an Orchestra of another namespace".to_owned(),
            |claim| format!("Orchestra {namespace}/{}", claim.name),
        );
        let message = format!(
            "OrchestraDatabase {name} is in use by {who}: it can be taken when that Orchestra is deleted and has released it"
        );
        return Err((Reason::InUse, message));
    }
    if database.is_lost() {
        let message = format!(
            "the project of OrchestraDatabase {name} was deleted at the provider, and its data with it: ask the provider's \
             support to restore it, or create this Orchestra with another source"
        );
        return Err((Reason::DatabaseLost, message));
    }
    let given = object.spec.existing().and_then(|existing| existing.adopt.as_ref());
    match given.and_then(|given| adoption::difference(given, database)) {
        Some(message) => Err((Reason::ExistingNotAllowed, message)),
        None => Ok(()),
    }
}

/// Takes the database back, by compare-and-swap: of several Orchestras and a destruction that is due, the API server lets
/// one succeed.
pub async fn take(pass: &Pass, class: &OrchestraClass, name: &str) -> Result<(), Error> {
    let Some(database) = find(pass, name).await? else {
        return match pass.object.spec.existing() {
            Some(existing) => adoption::take(pass, class, existing).await,
            None => Ok(()),
        };
    };
    let Some(former) = database.spec.claim_ref.clone() else {
        return Ok(());
    };
    if judged(pass, class, name, Some(&database)).is_err() {
        return Ok(());
    }
    let claim = claim_reference(pass);
    let mut uids = database.spec.former_uids.clone();
    uids.retain(|uid| *uid != former.uid);
    uids.push(former.uid);
    let forgotten = uids.len().saturating_sub(REMEMBERED);
    let patch = json!({
        "spec": {
            // Absent fields of the former claim must not stay.
            "claimRef": {
                "namespace": claim.namespace, "name": claim.name, "uid": claim.uid, "namespaceUid": claim.namespace_uid,
            },
            "formerUids": uids.split_off(forgotten),
            "reclaimPolicy": reclaim::when_taken(&pass.object, class, &database),
            "releasedAt": null,
            "reclaimAfter": null,
            "offeredTo": null,
            // A paused database is restored: the former Orchestra's power state no longer counts.
            "powerState": null,
        },
    });
    change(&pass.ctx.core, &database, patch).await?;
    // An earlier version did not delete the password of the former tenant.
    tenant::forget(&pass.ctx.core, name).await
}

/// The database that an earlier Orchestra of this namespace and name released.
fn earlier(pass: &Pass) -> Option<String> {
    let here = pass.here();
    let is_of_former = |database: &OrchestraDatabase| {
        here.as_ref()
            .is_some_and(|here| database.is_of_former_namespace(&here.metadata))
    };
    let left = databases(pass).find(|database| {
        let claim = database.spec.claim_ref.as_ref();
        let is_same = claim.is_some_and(|claim| {
            claim.namespace == pass.namespace() && claim.name == pass.name() && claim.uid != pass.uid()
        });
        is_same
            && database.spec.released_at.is_some()
            && !is_of_former(database)
            && database.metadata.deletion_timestamp.is_none()
            && !database.is_being_reset()
            && !database.is_lost()
    });
    left.map(|database| database.name_any())
}

/// The message about a database that an earlier Orchestra of the same name released, while it exists.
pub fn told(pass: &Pass) -> Option<String> {
    let names_none = pass.object.spec.existing().is_none();
    earlier(pass).filter(|_| names_none).map(|name| {
        format!(
            "OrchestraDatabase {name} holds the data of an earlier Orchestra of this name, and is not used. To have it back, \
             create this Orchestra again with spec.source.existing.databaseName: {name}"
        )
    })
}

/// An event about that database, when a new one is claimed instead of it.
pub async fn tell_earlier(pass: &Pass) {
    if let Some(note) = told(pass) {
        let news = News::warning(Reason::EarlierDatabase, note);
        tell(&pass.ctx.core, &pass.object, &news).await;
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;
    use crate::api::{
        ClaimReference, OrchestraClassSpec, OrchestraDatabaseSpec, OrchestraDatabaseStatus, OrchestraSpec,
    };

    /// A change of the database, and the refusal that it leads to.
    type Denial<'a> = (&'a dyn Fn(&mut OrchestraDatabase), Reason, &'a str);

    #[test]
    #[allow(clippy::too_many_lines, reason = "every case, in its order")]
    fn only_what_was_left_to_the_same_namespace_and_class_is_taken() {
        let mut object = Orchestra::new("new", OrchestraSpec::default());
        object.metadata.namespace = Some("tenants".into());
        let class = OrchestraClass::new("standard", OrchestraClassSpec::default());
        let now = || Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let spec = OrchestraDatabaseSpec {
            class_name: Some("standard".into()),
            claim_ref: Some(ClaimReference {
                namespace: "tenants".into(),
                name: "old".into(),
                uid: "1".into(),
                namespace_uid: None,
            }),
            released_at: now(),
            ..OrchestraDatabaseSpec::default()
        };
        let told = |change: &dyn Fn(&mut OrchestraDatabase)| {
            let mut database = OrchestraDatabase::new("orchdb-1", spec.clone());
            change(&mut database);
            judge(&object, (&class, None), "orchdb-1", Some(&database))
        };
        assert_eq!(told(&|_| {}), Ok(()));
        let other = |database: &mut OrchestraDatabase| {
            if let Some(claim) = &mut database.spec.claim_ref {
                (claim.namespace, claim.name) = ("others".into(), "secret".into());
            }
        };
        let offered = |to: &str, held: bool| {
            let to = Some(to.to_owned());
            move |database: &mut OrchestraDatabase| {
                other(database);
                database.spec.offered_to.clone_from(&to);
                database.spec.released_at = now().filter(|_| !held);
            }
        };
        assert_eq!(told(&offered("tenants", false)), Ok(()));
        let lost = |database: &mut OrchestraDatabase| {
            let stalled = Condition {
                type_: "Stalled".into(),
                status: "True".into(),
                reason: "DatabaseLost".into(),
                message: String::new(),
                last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
                observed_generation: None,
            };
            database.status = Some(OrchestraDatabaseStatus {
                conditions: vec![stalled],
                ..OrchestraDatabaseStatus::default()
            });
        };
        let refusals: [Denial<'_>; 8] = [
            (&other, Reason::ExistingNotAllowed, "an admin offers it"),
            (
                &offered("others", false),
                Reason::ExistingNotAllowed,
                "an admin offers it",
            ),
            (
                &offered("tenants", true),
                Reason::InUse,
                "an Orchestra of another namespace",
            ),
            (&|it| it.spec.released_at = None, Reason::InUse, "Orchestra tenants/old"),
            (
                &|it| it.spec.class_name = Some("big".into()),
                Reason::ExistingNotAllowed,
                "spec.className: big",
            ),
            (
                &|it| it.spec.claim_ref = None,
                Reason::ExistingNotAllowed,
                "never claimed by an Orchestra",
            ),
            (
                &|it| it.metadata.deletion_timestamp = now(),
                Reason::ExistingNotFound,
                "being destroyed",
            ),
            (&lost, Reason::DatabaseLost, "was deleted at the provider"),
        ];
        for (change, reason, part) in refusals {
            let refused = told(change);
            let is = |(is, message): &(Reason, String)| {
                *is == reason && message.contains(part) && !message.contains("secret")
            };
            assert!(refused.as_ref().is_err_and(is), "{part}: {refused:?}");
        }
        let here = |uid: &str, born: i64| ObjectMeta {
            uid: Some(uid.into()),
            creation_timestamp: jiff::Timestamp::from_second(born).ok().map(Time),
            ..ObjectMeta::default()
        };
        let is_another = |then: Option<&str>, released, here: &ObjectMeta| {
            let mut database = OrchestraDatabase::new("orchdb-1", spec.clone());
            if let Some(claim) = &mut database.spec.claim_ref {
                claim.namespace_uid = then.map(Into::into);
            }
            database.spec.released_at = now().filter(|_| released);
            let judged = judge(&object, (&class, Some(here)), "orchdb-1", Some(&database));
            judged.is_err_and(|(reason, _)| reason == Reason::ExistingNotAllowed)
        };
        assert!(!is_another(None, true, &here("n", -1)));
        assert!(is_another(None, true, &here("n", 1)), "another one of the same name");
        assert!(!is_another(Some("n"), true, &here("n", 1)), "a clock is wrong");
        assert!(is_another(Some("m"), true, &here("n", -1)));
        assert!(is_another(Some("m"), false, &here("n", 1)), "it was never released");
        let gone = judge(&object, (&class, None), "orchdb-1", None);
        assert!(gone.is_err_and(|(reason, _)| reason == Reason::ExistingNotFound));
    }
}
