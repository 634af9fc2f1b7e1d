//! The marker in a project's name: which cluster created the project, and which OrchestraDatabase it belongs
//! to. The name is the only field of ours that a listing of projects shows.
//!
//! `<readable>-<12 hexadecimal digits of the cluster>-<name of the OrchestraDatabase>`, for example
//! `tenants-acme-7d1f0c2e93ab-orchdb-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f`. Earlier versions ended the name
//! with the 32 digits of the Orchestra's UID instead; their projects are recognised too.

use sha2::{Digest, Sha256};

/// Digits of the cluster's part: 48 random bits of a version 4 UUID.
const CLUSTER_DIGITS: usize = 12;
/// Digits of a complete UUID.
const UID_DIGITS: usize = 32;
/// Longest readable part. With the marker it is within the API's 256 characters.
const READABLE: usize = 180;
/// The beginning of the name of every OrchestraDatabase that the operator makes.
const DATABASE_PREFIX: &str = "orchdb-";
/// Longest rest of an OrchestraDatabase's name that the marker repeats; a longer one is represented by its
/// digest.
const DATABASE_REST: usize = 48;

/// Namespace whose UID identifies the cluster: every cluster has it from the start, and it is never deleted.
pub const CLUSTER_NAMESPACE: &str = "kube-system";

/// The part of a marker that is the same for all projects of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterMarker(String);

impl ClusterMarker {
    /// The cluster of this UID of the namespace `kube-system`; none when it is not a UUID.
    pub fn of(uid: &str) -> Option<Self> {
        let digits = uid.replace('-', "").to_lowercase();
        is_hex(&digits, UID_DIGITS).then(|| Self(digits[..CLUSTER_DIGITS].to_owned()))
    }

    /// Its part of a marker: 12 hexadecimal digits.
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// Whether a project of this name was made by an operator of this cluster.
    pub fn made(&self, project: &str) -> bool {
        parse(project).is_some_and(|marker| marker.cluster == self.0)
    }
}

/// The parts of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker<'a> {
    /// The cluster's digits.
    pub cluster: &'a str,
    /// The object that the project was created for.
    pub owner: MarkerOwner<'a>,
}

/// The object that a project was created for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerOwner<'a> {
    /// The OrchestraDatabase of this name, without its prefix `orchdb-`; or the digest of its name.
    Database(&'a str),
    /// The Orchestra of this UID, without hyphens: the form of earlier versions.
    Orchestra(&'a str),
}

/// Name of the project of an OrchestraDatabase, with the namespace and name of its Orchestra for people:
/// without a dot, and ending in the marker. It is the same for the same arguments.
pub fn mint(cluster: &ClusterMarker, namespace: &str, name: &str, database: &str) -> String {
    let readable: String = format!("{namespace}-{name}")
        .replace('.', "-")
        .chars()
        .take(READABLE)
        .collect();
    let owner = match database.strip_prefix(DATABASE_PREFIX) {
        Some(rest) if is_rest(rest) => rest.to_owned(),
        _ => digest(database),
    };
    format!("{readable}-{}-{DATABASE_PREFIX}{owner}", cluster.0)
}

/// The marker of a project's name, in either form. A name that names no cluster has none.
pub fn parse(name: &str) -> Option<Marker<'_>> {
    let (rest, owner) = match name.rsplit_once("-orchdb-") {
        Some((rest, database)) if is_rest(database) => (rest, MarkerOwner::Database(database)),
        _ => {
            let (rest, uid) = name.rsplit_once('-')?;
            (is_hex(uid, UID_DIGITS)).then_some((rest, MarkerOwner::Orchestra(uid)))?
        }
    };
    let (_, cluster) = rest.rsplit_once('-')?;
    is_hex(cluster, CLUSTER_DIGITS).then_some(Marker { cluster, owner })
}

/// Whether a project's name is the one that an operator, of whichever cluster, gave the project of an OrchestraDatabase for
/// this Orchestra.
pub fn is_minted_for(project: &str, namespace: &str, name: &str, database: &str) -> bool {
    parse(project)
        .is_some_and(|marker| mint(&ClusterMarker(marker.cluster.to_owned()), namespace, name, database) == project)
}

/// Whether the marker repeats this rest of an OrchestraDatabase's name as it is.
fn is_rest(rest: &str) -> bool {
    let plain = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-');
    (1..=DATABASE_REST).contains(&rest.len()) && rest.bytes().all(plain) && !rest.contains(DATABASE_PREFIX)
}

fn digest(name: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(name));
    digits.truncate(UID_DIGITS);
    digits
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const UID: &str = "0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";
    const DATABASE: &str = "orchdb-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";

    fn cluster() -> ClusterMarker {
        ClusterMarker::of("7D1F0c2e-93ab-4c1d-8e2f-001122334455").unwrap()
    }

    #[test]
    fn a_name_is_one_the_api_accepts_and_names_cluster_and_database() {
        for name in ["one".to_owned(), "a.b".repeat(80), "a.b1-".repeat(50)] {
            let name = mint(&cluster(), "tenants", &name, DATABASE);
            assert!(name.len() <= 256 && !name.contains('.'), "{name}");
            assert!(name.ends_with(DATABASE), "{name}");
            let marker = parse(&name).unwrap();
            assert_eq!(marker.cluster, "7d1f0c2e93ab");
            assert_eq!(marker.owner, MarkerOwner::Database(UID));
            assert!(cluster().made(&name));
        }
    }

    #[test]
    fn a_name_tells_whom_it_was_made_for() {
        let long = "n".repeat(200);
        for (namespace, name) in [("tenants", "one"), ("tenants", "a.b"), ("tenants", long.as_str())] {
            let project = mint(&cluster(), namespace, name, DATABASE);
            assert!(is_minted_for(&project, namespace, name, DATABASE), "{project}");
            assert!(!is_minted_for(&project, "others", name, DATABASE), "{project}");
            assert!(!is_minted_for(&project, namespace, name, "orchdb-another"), "{project}");
        }
        let of_a_pool = mint(&cluster(), "pool", "warm", DATABASE);
        assert!(!is_minted_for(&of_a_pool, "tenants", "one", DATABASE));
        assert!(!is_minted_for("somebody's own", "tenants", "one", DATABASE));
        assert_eq!(cluster().digits(), "7d1f0c2e93ab");
    }

    #[test]
    fn markers_of_both_forms_are_recognised() {
        let old = "tenants-one-7d1f0c2e93ab-0f3c6a3e5b1d4a529d0e6f5b7c1e2d3f";
        let new = mint(&cluster(), "tenants", "one", DATABASE);
        assert_eq!(
            new,
            "tenants-one-7d1f0c2e93ab-orchdb-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f"
        );
        assert!(cluster().made(old) && cluster().made(&new));
        assert_eq!(
            parse(old).unwrap().owner,
            MarkerOwner::Orchestra("0f3c6a3e5b1d4a529d0e6f5b7c1e2d3f")
        );
        // A readable part that looks like a marker does not count.
        let odd = mint(&cluster(), "x-001122334455-orchdb-1", "one", DATABASE);
        assert_eq!(parse(&odd).unwrap().owner, MarkerOwner::Database(UID));
    }

    #[test]
    fn any_name_of_a_database_has_a_marker_of_its_own() {
        let long = format!("orchdb-{}", "a".repeat(246));
        let databases = [
            "orchdb-a",
            "orchdb-a.b",
            "orchdb-a-orchdb-b",
            "orchdb-b",
            "a",
            &long,
            &long[..252],
        ];
        let names: std::collections::HashSet<_> = databases
            .iter()
            .map(|database| mint(&cluster(), &"n".repeat(63), &"o".repeat(253), database))
            .collect();
        assert_eq!(names.len(), databases.len());
        for name in names {
            assert!(
                name.len() <= 256 && !name.contains('.') && cluster().made(&name),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_not_of_this_cluster_is_not_ours() {
        let other = ClusterMarker::of("11111111-93ab-4c1d-8e2f-001122334455").unwrap();
        let uid = UID.replace('-', "");
        for name in [
            mint(&other, "tenants", "one", DATABASE),
            format!("tenants-one-{uid}"),
            format!("tenants-one-{DATABASE}"),
            format!("tenants-one-7d1f0c2e93a-{uid}"),
            format!("tenants-one-7d1f0c2e93a-{DATABASE}"),
            format!("tenants-one-7d1f0c2e93ab-{}", &uid[1..]),
            "tenants-one-7d1f0c2e93ab-orchdb-".into(),
            format!("7d1f0c2e93ab-{uid}"),
            format!("7d1f0c2e93ab-{DATABASE}"),
            "my project".into(),
            String::new(),
        ] {
            assert!(!cluster().made(&name), "{name}");
        }
        assert_eq!(ClusterMarker::of("kube-system"), None);
    }
}
