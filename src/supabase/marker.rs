//! The marker in the name of a project: which cluster and which Orchestra it belongs to. No other field that the
//! operator sets is in a listing.
//!
//! `<readable>-<12 hexadecimal digits of the cluster>-<32 of the Orchestra's UID>`

/// Digits of the cluster's part: 48 random bits of a version 4 UUID.
const CLUSTER_DIGITS: usize = 12;
/// Digits of a whole UUID.
const UID_DIGITS: usize = 32;
/// Longest readable part. With the marker it is well within the API's 256 characters.
const READABLE: usize = 180;

/// Namespace whose UID identifies the cluster: every cluster has it from the start, and it is never deleted.
pub const CLUSTER_NAMESPACE: &str = "kube-system";

/// The part of a marker that is the same for all projects of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster(String);

impl Cluster {
    /// The cluster of this UID of the namespace `kube-system`; none when it is not a UUID.
    pub fn of(uid: &str) -> Option<Self> {
        let digits = uid.replace('-', "").to_lowercase();
        is_hex(&digits, UID_DIGITS).then(|| Self(digits[..CLUSTER_DIGITS].to_owned()))
    }

    /// Whether a project of this name was made by an operator of this cluster.
    pub fn made(&self, project: &str) -> bool {
        parse(project).is_some_and(|marker| marker.cluster == self.0)
    }
}

/// The marker of a project's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker<'a> {
    /// The cluster's part.
    pub cluster: &'a str,
    /// The Orchestra's UID, without hyphens.
    pub orchestra: &'a str,
}

/// Name of the project of an Orchestra: readable, without a dot, and ending in the marker.
pub fn mint(cluster: &Cluster, namespace: &str, name: &str, uid: &str) -> String {
    let readable: String = format!("{namespace}-{name}")
        .replace('.', "-")
        .chars()
        .take(READABLE)
        .collect();
    format!("{readable}-{}-{}", cluster.0, uid.replace('-', ""))
}

/// Reads the marker of a project's name. Names of early versions have none, because they lack the cluster.
pub fn parse(name: &str) -> Option<Marker<'_>> {
    let (rest, orchestra) = name.rsplit_once('-')?;
    let (_, cluster) = rest.rsplit_once('-')?;
    (is_hex(orchestra, UID_DIGITS) && is_hex(cluster, CLUSTER_DIGITS)).then_some(Marker { cluster, orchestra })
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ORCHESTRA: &str = "0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";

    fn cluster() -> Cluster {
        Cluster::of("7D1F0c2e-93ab-4c1d-8e2f-001122334455").unwrap()
    }

    #[test]
    fn a_name_is_one_the_api_accepts_and_tells_cluster_and_orchestra() {
        for name in ["one".to_owned(), "a.b".repeat(80), "a.b1-".repeat(50)] {
            let name = mint(&cluster(), "tenants", &name, ORCHESTRA);
            assert!(name.len() <= 256 && !name.contains('.'), "{name}");
            let marker = parse(&name).unwrap();
            assert_eq!(marker.cluster, "7d1f0c2e93ab");
            assert_eq!(marker.orchestra, "0f3c6a3e5b1d4a529d0e6f5b7c1e2d3f");
            assert!(cluster().made(&name));
        }
    }

    #[test]
    fn what_is_not_of_this_cluster_is_not_ours() {
        let other = Cluster::of("11111111-93ab-4c1d-8e2f-001122334455").unwrap();
        let uid = ORCHESTRA.replace('-', "");
        for name in [
            mint(&other, "tenants", "one", ORCHESTRA),
            format!("tenants-one-{uid}"),
            format!("tenants-one-7d1f0c2e93a-{uid}"),
            format!("tenants-one-7d1f0c2e93ab-{}", &uid[1..]),
            format!("7d1f0c2e93ab-{uid}"),
            "my project".into(),
            String::new(),
        ] {
            assert!(!cluster().made(&name), "{name}");
        }
        assert_eq!(Cluster::of("kube-system"), None);
    }
}
