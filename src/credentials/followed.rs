//! Whether the password of a database's owner is to follow a rotation of its tenant's login.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::tenant::LoginMarks;
use crate::api::names::{FOLLOWED_LABEL, ROTATED_LABEL};
use crate::api::{AlsoRotated, Orchestra};
use crate::controller::Core;

/// Whether an Orchestra asks for a new password of the owner each time that its login is rotated.
pub fn asks_for_password(orchestra: &Orchestra) -> bool {
    let rotation = orchestra.spec.connection.rotation.as_ref();
    let asked = rotation.and_then(|rotation| rotation.also.as_ref());
    asked.is_some_and(|also| also.contains(&AlsoRotated::OwnerPassword))
}

/// Whether the owner's password in a Secret of the operator's namespace has not followed a rotation of this login yet, by the
/// Secret's labels. False when there is no such Secret.
pub fn password_follows_none(core: &Core, secret: &str, login: &LoginMarks) -> bool {
    let secret = ObjectRef::new(secret).within(&core.settings.namespace);
    let secret = core.stores.secrets.get(&secret);
    secret.is_some_and(|secret| follows_none(secret.labels(), login))
}

/// The time distinguishes the rotation numbers of an earlier tenant of the database; an earlier version wrote only the time.
fn follows_none(own: &BTreeMap<String, String>, login: &LoginMarks) -> bool {
    let number = |label: &str| own.get(label).and_then(|text| text.parse::<i64>().ok());
    let is_another = number(FOLLOWED_LABEL).is_some_and(|followed| followed != i64::from(login.generation));
    let rotated = number(ROTATED_LABEL);
    let is_older = |login: Timestamp| rotated.is_none_or(|own| own < login.as_second());
    login.rotated_at.is_some_and(|at| is_another || is_older(at))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_owners_password_follows_each_rotation_of_the_login_once() {
        let login = LoginMarks {
            generation: 3,
            rotated_at: Timestamp::from_second(100).ok(),
            ..LoginMarks::default()
        };
        assert!(!follows_none(&BTreeMap::new(), &LoginMarks::default()));
        for (rotated, followed, due) in [
            (None, None, true),
            // The label of an earlier version.
            (Some("99"), None, true),
            (Some("100"), None, false),
            (Some("101"), None, false),
            (Some("x"), None, true),
            // Two rotations within a second.
            (Some("100"), Some("2"), true),
            (Some("100"), Some("3"), false),
            // The third login of another tenant.
            (Some("99"), Some("3"), true),
        ] {
            let labels = [(ROTATED_LABEL, rotated), (FOLLOWED_LABEL, followed)];
            let labels = labels
                .into_iter()
                .filter_map(|(label, value)| Some((label.to_owned(), value?.to_owned())));
            assert_eq!(follows_none(&labels.collect(), &login), due, "{rotated:?} {followed:?}");
        }
    }
}
