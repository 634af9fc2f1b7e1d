//! Removes what runs that were killed have left beside a complete backup.

use futures::TryStreamExt as _;
use tokio::time::timeout;

use super::error::{Error, Result};
use super::manifest::{self, Manifest};
use super::outcome::OutcomeReason;
use super::store::Folder;

/// Removes every object of the backup's folder but the manifest and its archives. To be called by the run whose manifest is
/// stored: another one that still writes can store none. What cannot be removed is logged, and costs storage only.
pub(super) async fn sweep(folder: &Folder, manifest: &Manifest) {
    let swept = timeout(folder.patience, all(folder, manifest)).await;
    if let Err(error) = swept.unwrap_or_else(|_| Err(folder.too_slow("delete from"))) {
        tracing::warn!(%error, "what an interrupted run has left in the store could not be removed");
    }
}

async fn all(folder: &Folder, manifest: &Manifest) -> Result<()> {
    let is_kept = |name: &str| {
        let mut archives = manifest.objects.iter();
        name == manifest::NAME || name.contains('/') || archives.any(|object| object.name == name)
    };
    let Some(directory) = &folder.directory else {
        let mut found = folder.list();
        while let Some((name, _)) = found.try_next().await? {
            if !is_kept(&name) {
                folder.delete(&name).await?;
            }
        }
        return Ok(());
    };
    // The parts of an interrupted upload are files here, and in no list.
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot clean {}: {error}", directory.display());
        Error::new(OutcomeReason::StoreRefused, message)
    };
    let mut entries = tokio::fs::read_dir(directory).await.map_err(unreadable)?;
    while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
        let is_file = entry.file_type().await.is_ok_and(|kind| kind.is_file());
        if is_file && !is_kept(&entry.file_name().to_string_lossy()) {
            tokio::fs::remove_file(entry.path()).await.map_err(unreadable)?;
        }
    }
    Ok(())
}
