//! The folder of a backup below the store's prefix, whose name says whose backup it is.

use std::fmt;

use crate::api::names::is_object_name;

/// Digits of a cluster's marker ([`ClusterMarker::digits`](crate::supabase::marker::ClusterMarker::digits)).
const CLUSTER: usize = 12;
/// Characters of a UID.
const UID: usize = 36;

/// The folder of a backup: `CLUSTER/NAMESPACE/ORCHESTRA-UID/TIME-UID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupPath {
    /// Marker of the cluster whose operator made the backup: 12 hexadecimal digits.
    pub cluster: String,
    /// Namespace of the `OrchestraBackup`.
    pub namespace: String,
    /// Name of the Orchestra.
    pub orchestra: String,
    /// UID of the Orchestra.
    pub orchestra_uid: String,
    /// When the backup was started, as `20261129T020000Z`.
    pub time: String,
    /// UID of the `OrchestraBackup`.
    pub backup_uid: String,
}

impl BackupPath {
    /// Reads the path of a folder; none when it is not one that an operator chooses.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<_> = path.split('/').collect();
        let [cluster, namespace, orchestra, backup] = parts[..] else {
            return None;
        };
        let (orchestra, orchestra_uid) = before_uid(orchestra)?;
        let (time, backup_uid) = before_uid(backup)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_cluster = cluster.len() == CLUSTER && cluster.bytes().all(is_digit);
        let is_time = time.len() == 16 && time.bytes().all(|byte| byte.is_ascii_digit() || b"TZ".contains(&byte));
        let is_path = is_cluster && is_time && is_object_name(namespace, 63) && is_object_name(orchestra, 253);
        is_path.then(|| Self {
            cluster: cluster.to_owned(),
            namespace: namespace.to_owned(),
            orchestra: orchestra.to_owned(),
            orchestra_uid: orchestra_uid.to_owned(),
            time: time.to_owned(),
            backup_uid: backup_uid.to_owned(),
        })
    }
}

/// Splits `NAME-UID`.
fn before_uid(part: &str) -> Option<(&str, &str)> {
    let (name, uid) = part.split_at_checked(part.len().checked_sub(UID)?)?;
    let is_uid = uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    Some((name.strip_suffix('-').filter(|_| is_uid)?, uid))
}

impl fmt::Display for BackupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            namespace,
            orchestra,
            orchestra_uid,
            time,
            backup_uid,
        } = self;
        write!(
            f,
            "{cluster}/{namespace}/{orchestra}-{orchestra_uid}/{time}-{backup_uid}"
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATH: &str = "7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/\
                        20261129T020000Z-1f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";

    #[test]
    fn only_the_folder_of_a_backup_is_read() {
        let path = BackupPath::parse(PATH).unwrap();
        assert_eq!(
            (path.orchestra.as_str(), path.time.as_str()),
            ("acme", "20261129T020000Z")
        );
        assert_eq!(path.to_string(), PATH);
        for (from, to) in [
            ("7d1f", "7D1F"),
            ("7d1f", "d1f"),
            ("/tenants/", "/../"),
            ("/tenants/", "/"),
            ("/tenants/", "/tenants/more/"),
            ("/acme-", "/-"),
            ("/acme-", "/.acme-"),
            ("/acme-", "/"),
            ("Z-1", "Z-z"),
            ("T02", "x02"),
            ("Z-", "Z"),
        ] {
            let other = PATH.replacen(from, to, 1);
            assert_eq!(BackupPath::parse(&other), None, "{other}");
        }
    }
}
