//! What a store contains: the backups of its manifests, and what is no backup. Only manifests are read, never an archive.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use super::dump::facts_of;
use super::error::{Error, Result};
use super::manifest::{self, Manifest};
use super::order::ReadOrder;
use super::outcome::{Outcome, OutcomeReason};
use super::path::BackupPath;
use super::store::Folder;
use crate::api::names::is_object_name;

/// The most objects that are listed.
const OBJECTS: usize = 300_000;
/// The most objects of one backup's folder that are looked at.
const OBJECTS_OF_FOLDER: usize = 1000;
/// Manifests that are read at a time, each held in memory with at most [`manifest::MOST`] bytes.
const AT_ONCE: usize = 4;

/// What a store contains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreListing {
    /// Complete backups, by namespace and Orchestra, the newest first.
    pub backups: Vec<CatalogEntry>,
    /// Folders with archives and without a manifest, by path: backups that are running or that failed. Nothing can be
    /// restored from them.
    pub incomplete: Vec<IncompleteBackup>,
    /// Folders with a manifest that is not trusted, by path.
    pub refused: Vec<RefusedBackup>,
    /// Number of other objects.
    pub foreign_objects: u64,
}

/// A complete backup, as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogEntry {
    /// Namespace of the `OrchestraBackup`.
    pub namespace: String,
    /// Name of the `OrchestraBackup`.
    pub name: String,
    /// UID of the `OrchestraBackup`.
    pub uid: String,
    /// Name of the Orchestra.
    pub orchestra: String,
    /// Name of the class.
    pub class: String,
    /// Marker of the cluster: 12 hexadecimal digits.
    pub cluster: String,
    /// When the snapshot was taken.
    pub snapshot_time: Timestamp,
    /// Bytes as stored, the manifest included.
    pub bytes: u64,
    /// Whether the archives are encrypted to age recipients.
    pub encrypted: bool,
    /// Major version of the server.
    pub server_major: u32,
    /// Number of tables.
    pub tables: u64,
    /// Folder below the store's prefix.
    pub path: String,
    /// SHA-256 of the manifest, hexadecimal.
    pub manifest_digest: String,
}

/// A folder with archives and without a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IncompleteBackup {
    /// Folder below the store's prefix.
    pub path: String,
    /// Number of objects.
    pub objects: u64,
    /// Bytes of the objects.
    pub bytes: u64,
}

/// A folder with a manifest that is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedBackup {
    /// Folder below the store's prefix.
    pub path: String,
    /// Why, and what to do.
    pub message: String,
}

/// Which part of a store is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Only backups of this cluster.
    pub cluster: Option<String>,
    /// Only backups of this namespace.
    pub namespace: Option<String>,
}

impl Within {
    /// The folder below the store's prefix that is listed.
    fn folder(&self) -> String {
        match (&self.cluster, &self.namespace) {
            (Some(cluster), Some(namespace)) => format!("{cluster}/{namespace}"),
            (Some(cluster), None) => cluster.clone(),
            (None, _) => String::new(),
        }
    }

    fn has(&self, path: &BackupPath) -> bool {
        let is = |wanted: &Option<String>, value: &String| wanted.as_ref().is_none_or(|wanted| wanted == value);
        is(&self.cluster, &path.cluster) && is(&self.namespace, &path.namespace)
    }
}

/// Objects of one folder: names and bytes.
type Sizes = BTreeMap<String, u64>;

/// Lists a store, and reads its manifests. `root` is the folder of the store's prefix.
///
/// # Errors
/// The error of the store; [`OutcomeReason::Incompatible`], when it has too many objects for one list.
pub async fn read(root: &Folder, within: &Within) -> Result<StoreListing> {
    let (folders, foreign_objects) = folders(root, within).await?;
    let mut catalog = StoreListing {
        foreign_objects,
        ..StoreListing::default()
    };
    let mut complete = Vec::new();
    for (path, sizes) in folders {
        if sizes.contains_key(manifest::NAME) {
            complete.push((path, sizes));
        } else {
            catalog.incomplete.push(IncompleteBackup {
                path: path.to_string(),
                objects: sizes.len() as u64,
                bytes: sizes.values().sum(),
            });
        }
    }
    let mut reading = futures::stream::iter(complete)
        .map(|(path, sizes)| async move { (stored(root, &path, &sizes).await, path) })
        .buffered(AT_ONCE);
    while let Some((read, path)) = reading.next().await {
        match read {
            Ok(backup) => catalog.backups.push(backup),
            Err(error) if matches!(error.reason, OutcomeReason::Damaged | OutcomeReason::Incompatible) => {
                catalog.refused.push(RefusedBackup {
                    path: path.to_string(),
                    message: error.message,
                });
            }
            // The object was removed meanwhile.
            Err(error) if error.reason == OutcomeReason::StoreMissing => {}
            Err(error) => return Err(error),
        }
    }
    catalog.backups.sort_by(|one, other| {
        let key = |backup: &CatalogEntry| (backup.namespace.clone(), backup.orchestra.clone());
        let newest = other.snapshot_time.cmp(&one.snapshot_time);
        key(one).cmp(&key(other)).then(newest)
    });
    Ok(catalog)
}

/// The folders of backups with their objects, and the number of other objects.
async fn folders(root: &Folder, within: &Within) -> Result<(BTreeMap<BackupPath, Sizes>, u64)> {
    let (mut folders, mut foreign, mut listed) = (BTreeMap::<_, Sizes>::new(), 0, 0);
    let start = within.folder();
    let mut objects = root.folder(&start).list();
    while let Some((below, bytes)) = objects.try_next().await? {
        listed += 1;
        if listed > OBJECTS {
            return Err(Error::new(
                OutcomeReason::Incompatible,
                format!(
                    "the store has more than {OBJECTS} objects there: list one cluster (--cluster) and one namespace \
                     (--namespace) at a time"
                ),
            ));
        }
        let whole = if start.is_empty() {
            below
        } else {
            format!("{start}/{below}")
        };
        let parts = whole.rsplit_once('/');
        match parts.and_then(|(folder, name)| Some((BackupPath::parse(folder)?, name))) {
            Some((path, name)) if within.has(&path) => {
                folders.entry(path).or_default().insert(name.to_owned(), bytes);
            }
            Some(_) => {}
            None => foreign += 1,
        }
    }
    Ok((folders, foreign))
}

async fn stored(root: &Folder, path: &BackupPath, sizes: &Sizes) -> Result<CatalogEntry> {
    let (manifest, bytes) = manifest_of(&root.folder(&path.to_string()), None).await?;
    check(path, &manifest, sizes)?;
    let archives: u64 = manifest.objects.iter().map(|object| object.bytes).sum();
    Ok(CatalogEntry {
        namespace: path.namespace.clone(),
        uid: path.backup_uid.clone(),
        orchestra: path.orchestra.clone(),
        cluster: path.cluster.clone(),
        path: path.to_string(),
        bytes: archives + bytes.len() as u64,
        encrypted: !manifest.recipients.is_empty(),
        server_major: manifest.server_major,
        tables: manifest.facts.rows.len() as u64,
        snapshot_time: manifest.snapshot_time,
        manifest_digest: manifest::digest_of(&bytes),
        name: manifest.subject.backup_name,
        class: manifest.subject.class,
    })
}

/// The manifest of a folder, which must have this SHA-256 where one is given, and its bytes.
///
/// # Errors
/// [`OutcomeReason::StoreMissing`], when the folder has no manifest; as [`Manifest::parse`]; otherwise the error of the
/// store.
pub(super) async fn manifest_of(folder: &Folder, digest: Option<&str>) -> Result<(Manifest, Vec<u8>)> {
    let bytes = folder.small(manifest::NAME, manifest::MOST).await.map_err(|error| {
        if error.reason != OutcomeReason::StoreMissing {
            return error;
        }
        let path = folder.path_of(manifest::NAME);
        Error::new(
            OutcomeReason::StoreMissing,
            format!("no backup found: {path} does not exist, and archives without a manifest cannot be restored"),
        )
    })?;
    Ok((Manifest::parse(&bytes, digest)?, bytes))
}

/// Checks that a manifest is that of its folder, and that its archives are there with their sizes. Their digests are checked
/// where they are restored.
fn check(path: &BackupPath, manifest: &Manifest, sizes: &Sizes) -> Result<()> {
    let (subject, damaged) = (&manifest.subject, |message: String| {
        Error::new(OutcomeReason::Damaged, message)
    });
    let is_its_own = manifest.path == path.to_string()
        && subject.cluster == path.cluster
        && subject.orchestra == path.orchestra
        && subject.orchestra_uid == path.orchestra_uid;
    if !is_its_own {
        return Err(damaged(format!(
            "the manifest is of another folder: {} with Orchestra {}/{}. Somebody copied it, or changed it; use another backup, and \
             find out who writes to the store",
            manifest.path, subject.namespace, subject.orchestra
        )));
    }
    if !is_object_name(&subject.backup_name, 253) || !is_object_name(&subject.class, 253) {
        return Err(damaged(
            "the manifest contains a backup or class name that Kubernetes does not allow: it was modified; use another \
             backup".to_owned(),
        ));
    }
    for object in &manifest.objects {
        let found = match sizes.get(&object.name) {
            Some(bytes) if *bytes == object.bytes => continue,
            Some(bytes) => format!("has {bytes} bytes instead of {}", object.bytes),
            None => "is missing".to_owned(),
        };
        return Err(damaged(format!(
            "the archive {} {found}: use another backup, and find out who writes to the store",
            object.name
        )));
    }
    Ok(())
}

/// Reads the manifest of one stored backup, and checks that the backup is whole. No archive is read.
///
/// # Errors
/// [`OutcomeReason::StoreMissing`], [`OutcomeReason::Damaged`], [`OutcomeReason::Incompatible`]; otherwise the error of
/// the store.
pub async fn inspect(folder: &Folder, order: &ReadOrder) -> Result<Outcome> {
    let path = BackupPath::parse(&order.path).ok_or_else(|| {
        Error::new(
            OutcomeReason::InvalidOrder,
            format!("{} is not the folder of a backup", order.path),
        )
    })?;
    let (manifest, bytes) = manifest_of(folder, order.manifest_digest.as_deref()).await?;
    let objects = folder.list().take(OBJECTS_OF_FOLDER);
    let sizes: Sizes = objects.try_collect().await?;
    check(&path, &manifest, &sizes)?;
    let mut outcome = Outcome::done("the stored backup is complete");
    outcome.backup = Some(facts_of(folder, &manifest, &bytes));
    Ok(outcome)
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
