//! Creations that the provider refuses: the message of one that it refuses as invalid, to which the requested values are
//! added because the provider's own may name a field without its value; and which databases try again when its limit of
//! projects has room.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::Pass;
use crate::api::OrchestraDatabase;
use crate::api::condition::Reason;
use crate::controller::Core;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::error::ErrorClass;
use crate::supabase;
use crate::supabase::regions::RegionState;
use crate::supabase::said::Said;

/// A refusal, and what the provider's list says about the region.
pub struct CreationRefusal {
    pub error: supabase::Error,
    pub offer: RegionState,
}

/// The refusal, with advice on what to do.
pub fn explain(CreationRefusal { error, offer }: CreationRefusal, region: &str, size: Option<&str>) -> Error {
    let supabase::Error::Refused {
        status: 400 | 404 | 422,
        outside: false,
        message: said,
        ..
    } = &error
    else {
        return error.into();
    };
    if !offer.concerns(said) {
        return error.into();
    }
    let size = match size {
        Some(size) => format!(" and instanceSize {size}"),
        None => String::new(),
    };
    let message = format!(
        "{error}. The request named region {region}{size}: if the provider does not offer that, delete the Orchestra and create it \
         again with another region, or correct the class's placement and instanceSize"
    );
    Error::blocked(Reason::RequestRefused, message)
}

/// The digest under which the first refusal is remembered that says that a name is taken.
const NAME_TAKEN: &str = "creation under a name that is taken";

/// After a refusal that says, or may mean, that a project of this name exists. Our names are unique: an earlier request has
/// created it, and it is not listed yet; it is looked up before another request is sent. When the next request is refused
/// for the same reason, the provider's message is reported.
pub fn name_taken(pass: &Pass, request: &str, said: &Said) -> Result<Option<Next>, Error> {
    let told = Error::blocked(Reason::RequestRefused, taken(said));
    if pass.ctx.core.refusals.is_known(pass.name()) {
        remember(pass, request, &told);
        return Err(told);
    }
    remember(pass, NAME_TAKEN, &told);
    tracing::warn!(%said, "the name of the project may be taken; looking it up");
    Ok(Some(Next::After(pass.ctx.core.settings.poll_interval)))
}

fn taken(said: &Said) -> String {
    format!(
        "the provider refuses to create the project because its name is taken ({said}), but lists no project of that name. The \
         operator looks for it before each further request, so that no project is created twice. Ask the provider's support, or \
         delete the Orchestra and create it again, which gives the project another name"
    )
}

/// Remembers the refusal of a request, unless its error is transient.
pub fn remember(pass: &Pass, request: &str, error: &Error) {
    let refusals = &pass.ctx.core.refusals;
    refusals.refuse(pass.name(), (request, &pass.wish), error);
}

/// The refusal of a request, as long as the same must not be sent again.
pub fn remembered(pass: &Pass, request: &str) -> Option<Error> {
    let refusals = &pass.ctx.core.refusals;
    refusals.refusal(pass.name(), (request, &pass.wish))
}

/// How many databases of a class try again when one is gone. There is room for one, and each attempt without room costs a
/// request; the others follow at their own interval, and when the next one is gone.
const TRY_AGAIN: usize = 5;

/// How long an unclaimed database yields to claimed ones that could not be created because of the limit.
const AFTER_OTHERS: Duration = Duration::from_mins(1);

/// The databases that could not be created because of the provider's limit of projects, and that try again at once because
/// this one is gone: the first of each class. Their remembered refusals are removed.
pub fn quota_freed(core: &Core, gone: &OrchestraDatabase) -> Vec<ObjectRef<OrchestraDatabase>> {
    if gone.spec.supabase.is_none() {
        return Vec::new();
    }
    let databases = &core.stores.databases;
    let refused = databases.state_filter(is_over_limit);
    let next = oldest(refused.iter().map(AsRef::as_ref));
    for database in &next {
        core.refusals.forget(&database.name_any());
    }
    next.into_iter().map(ObjectRef::from_obj).collect()
}

/// The databases that try again because this one is paused: a paused project does not count in the limit.
pub fn quota_freed_by_pause(core: &Core, database: &OrchestraDatabase) -> Vec<ObjectRef<OrchestraDatabase>> {
    if database.is_paused() {
        quota_freed(core, database)
    } else {
        Vec::new()
    }
}

fn is_over_limit(database: &OrchestraDatabase) -> bool {
    database.stalled_reason() == Some(Reason::QuotaExceeded)
}

/// The oldest ones of each class; unclaimed ones come after all others.
fn oldest<'a>(refused: impl Iterator<Item = &'a OrchestraDatabase>) -> Vec<&'a OrchestraDatabase> {
    let mut of_class: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for database in refused {
        of_class.entry(&database.spec.class_name).or_default().push(database);
    }
    for all in of_class.values_mut() {
        all.sort_by_key(|database| (database.is_spare(), database.creation_timestamp(), database.name_any()));
        all.truncate(TRY_AGAIN);
    }
    of_class.into_values().flatten().collect()
}

/// Whether a database may be created now: an unclaimed one must not take the place of a claimed one that could not be
/// created because of the provider's limit of projects.
///
/// # Errors
/// When it has to wait.
pub fn in_turn(pass: &Pass) -> Result<(), Error> {
    let core = &pass.ctx.core;
    let organization = |database: &OrchestraDatabase| {
        let class = ObjectRef::new(database.spec.class_name.as_deref()?);
        let class = core.stores.classes.get(&class)?;
        let named = class.spec.provider.as_ref()?.supabase.organization.clone();
        named.or_else(|| core.settings.organization.clone())
    };
    let refused = core.stores.databases.state_filter(is_over_limit);
    if !stays_behind(&pass.object, refused.iter().map(AsRef::as_ref), organization) {
        return Ok(());
    }
    Err(Error::Stop {
        class: ErrorClass::After(AFTER_OTHERS),
        reason: Reason::QuotaExceeded,
        message:
            "the provider's limit of projects is reached, and Orchestras wait for a project: this pool member has no \
                  claim, so it is created after theirs"
                .into(),
    })
}

/// Whether nobody waits for a database, and an Orchestra waits for one of these, in the same class or organization.
fn stays_behind<'a>(
    database: &OrchestraDatabase,
    mut refused: impl Iterator<Item = &'a OrchestraDatabase>,
    organization: impl Fn(&OrchestraDatabase) -> Option<String>,
) -> bool {
    let own = organization(database);
    let is_same = |other: &OrchestraDatabase| {
        other.spec.class_name == database.spec.class_name || (own.is_some() && organization(other) == own)
    };
    database.is_spare() && refused.any(|other| !other.is_spare() && other.is_held() && is_same(other))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::{ClaimReference, OrchestraDatabaseSpec, SupabaseProject};

    /// A database of a class that an Orchestra claims, made in this second.
    fn claimed(class: &str, second: i64) -> OrchestraDatabase {
        let spec = OrchestraDatabaseSpec {
            class_name: Some(class.into()),
            supabase: Some(SupabaseProject::default()),
            claim_ref: Some(ClaimReference::default()),
            ..OrchestraDatabaseSpec::default()
        };
        let mut database = OrchestraDatabase::new(&format!("{class}-{second}"), spec);
        database.metadata.creation_timestamp = Some(Time(jiff::Timestamp::from_second(second).unwrap()));
        database
    }

    /// An unclaimed database of a pool, of the same class.
    fn spare(class: &str, second: i64) -> OrchestraDatabase {
        let mut database = claimed(class, second);
        (database.spec.claim_ref, database.spec.pool) = (None, Some("warm".into()));
        database
    }

    #[test]
    fn the_oldest_of_each_class_try_again_and_what_nobody_waits_for_comes_last() {
        let mut all: Vec<_> = (11..=19).rev().map(|second| claimed("a", second)).collect();
        all.extend([claimed("b", 100), spare("b", 1), claimed("c", 200)]);
        all.extend((1..=9).map(|second| spare("c", second)));
        let names: Vec<_> = oldest(all.iter()).iter().map(|database| database.name_any()).collect();
        let a = ["a-11", "a-12", "a-13", "a-14", "a-15"];
        let c = ["c-200", "c-1", "c-2", "c-3", "c-4"];
        assert_eq!(names, [&a[..], &["b-100", "b-1"], &c].concat());
    }

    #[test]
    fn what_nobody_waits_for_is_created_after_what_the_limit_keeps_from_an_orchestra() {
        // The classes a and b are of one organization, and that of c is not known.
        let organization = |database: &OrchestraDatabase| {
            let class = database.spec.class_name.as_deref().unwrap_or_default();
            (class != "c").then(|| "acme".to_owned())
        };
        let behind = |database: &OrchestraDatabase, refused: &[OrchestraDatabase]| {
            stays_behind(database, refused.iter(), organization)
        };
        assert!(behind(&spare("a", 1), &[claimed("a", 9)]));
        assert!(behind(&spare("a", 1), &[spare("a", 2), claimed("b", 9)]));
        assert!(behind(&spare("c", 1), &[claimed("c", 9)]));
        for (database, refused) in [
            (claimed("a", 9), vec![claimed("a", 1)]),
            (spare("a", 1), vec![]),
            (spare("a", 2), vec![spare("a", 1)]),
            (spare("a", 1), vec![claimed("c", 9)]),
            (spare("c", 1), vec![claimed("a", 9)]),
        ] {
            assert!(!behind(&database, &refused), "{}", database.name_any());
        }
        let mut released = claimed("a", 9);
        released.spec.released_at = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        assert!(!behind(&spare("a", 1), &[released]), "nobody waits for it any more");
    }
}
