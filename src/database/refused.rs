//! Creations that the provider refuses: the message of one that it refuses as invalid, to which the requested values are
//! added because the provider's own may name a field without its value; and who tries again when its limit of projects
//! has room.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use crate::api::OrchestraDatabase;
use crate::api::condition::Reason;
use crate::controller::Core;
use crate::controller::error::Error;
use crate::supabase;
use crate::supabase::regions::Offer;

/// A refusal, and what the provider's list says of the region.
pub struct Refusal {
    pub error: supabase::Error,
    pub offer: Offer,
}

/// The refusal, with what to do.
pub fn explain(Refusal { error, offer }: Refusal, region: &str, size: Option<&str>) -> Error {
    let supabase::Error::Refused {
        status: 400 | 422,
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

/// How many databases of a class try again when one is gone. There is room for one, and each that finds none costs a
/// request; others follow at their own pace, and when the next one is gone.
const TRY_AGAIN: usize = 5;

/// The databases that the provider's limit of projects has kept from being created, and that try again at once because
/// this one is gone: the oldest of each class. What is remembered of their refusals is forgotten.
pub fn quota_freed(core: &Core, gone: &OrchestraDatabase) -> Vec<ObjectRef<OrchestraDatabase>> {
    if gone.spec.supabase.is_none() {
        return Vec::new();
    }
    let databases = &core.stores.databases;
    let refused = databases.state_filter(|database| database.stalled_reason() == Some(Reason::QuotaExceeded));
    let next = oldest(refused.iter().map(AsRef::as_ref));
    for database in &next {
        core.refusals.forget(&database.name_any());
    }
    next.into_iter().map(ObjectRef::from_obj).collect()
}

/// The same, because this one is paused: a paused project takes no place of the limit.
pub fn quota_freed_by_pause(core: &Core, database: &OrchestraDatabase) -> Vec<ObjectRef<OrchestraDatabase>> {
    if database.is_paused() {
        quota_freed(core, database)
    } else {
        Vec::new()
    }
}

/// The oldest ones of each class.
fn oldest<'a>(refused: impl Iterator<Item = &'a OrchestraDatabase>) -> Vec<&'a OrchestraDatabase> {
    let mut of_class: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for database in refused {
        of_class.entry(&database.spec.class_name).or_default().push(database);
    }
    for all in of_class.values_mut() {
        all.sort_by_key(|database| (database.creation_timestamp(), database.name_any()));
        all.truncate(TRY_AGAIN);
    }
    of_class.into_values().flatten().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::OrchestraDatabaseSpec;

    #[test]
    fn the_oldest_of_each_class_try_again() {
        let database = |class: &str, second: i64| {
            let spec = OrchestraDatabaseSpec {
                class_name: Some(class.into()),
                ..OrchestraDatabaseSpec::default()
            };
            let mut database = OrchestraDatabase::new(&format!("{class}-{second}"), spec);
            database.metadata.creation_timestamp = Some(Time(jiff::Timestamp::from_second(second).unwrap()));
            database
        };
        let mut all: Vec<_> = (1..=9).rev().map(|second| database("a", second)).collect();
        all.push(database("b", 100));
        let names: Vec<_> = oldest(all.iter()).iter().map(|database| database.name_any()).collect();
        assert_eq!(names, ["a-1", "a-2", "a-3", "a-4", "a-5", "b-100"]);
    }
}
