//! Objects with values that this version of the operator does not know: they are not changed, and nothing is decided by
//! them.

use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt as _};

use super::error::Error;
use super::latest::Latest;
use crate::api::condition::Reason;
use crate::api::unreadable::unreadable;

/// Whether all values of an object are known.
///
/// # Errors
/// An error that names the unknown values ([`Reason::UnknownValue`]).
pub fn check<K: Resource<DynamicType = ()>>(object: &K) -> Result<(), Error> {
    let Some(values) = unreadable(object) else {
        return Ok(());
    };
    let (kind, name) = (K::kind(&()), object.name_any());
    Err(Error::blocked(
        Reason::UnknownValue,
        format!(
            "{kind} {name} has a value that this version of the operator does not know, so it is left as it is ({values}): \
             run the version of the operator that wrote it, or set a value that this one knows"
        ),
    ))
}

/// An object of a store, if it exists and all its values are known.
///
/// # Errors
/// As [`check`].
pub fn get<K>(store: &Latest<K>, key: &ObjectRef<K>) -> Result<Option<Arc<K>>, Error>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let found = store.get(key);
    found.as_deref().map_or(Ok(()), check)?;
    Ok(found)
}
