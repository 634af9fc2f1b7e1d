//! Multipart uploads to an object store.

use object_store::MultipartUpload;

use super::error::{Error, Result};
use super::outcome::OutcomeReason;
use super::refused::refused;

/// The most parts of one object that are uploaded at the same time. Each is held in memory.
const PARTS: usize = 3;

/// A multipart upload. The store shows the object after [`Upload::complete`].
#[derive(Debug)]
pub struct Upload {
    upload: Box<dyn MultipartUpload>,
    under_way: tokio::task::JoinSet<object_store::Result<()>>,
}

impl Upload {
    pub(super) fn new(upload: Box<dyn MultipartUpload>) -> Self {
        Self {
            upload,
            under_way: tokio::task::JoinSet::new(),
        }
    }

    /// Sends the next part; waits while the most parts are being uploaded.
    ///
    /// # Errors
    /// The store's error about an earlier part.
    pub async fn part(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.wait(PARTS - 1).await?;
        self.under_way.spawn(self.upload.put_part(bytes.into()));
        Ok(())
    }

    async fn wait(&mut self, most: usize) -> Result<()> {
        while self.under_way.len() > most {
            match self.under_way.join_next().await {
                Some(Ok(Err(error))) => return Err(refused(&error, "write to")),
                Some(Err(error)) => return Err(Error::new(OutcomeReason::StoreUnreachable, error.to_string())),
                _ => {}
            }
        }
        Ok(())
    }

    /// Completes the upload: the store makes the object of its parts.
    ///
    /// # Errors
    /// The store's error.
    pub async fn complete(mut self) -> Result<()> {
        self.wait(0).await?;
        let done = self.upload.complete().await;
        done.map(drop).map_err(|error| refused(&error, "write to"))
    }

    /// Aborts the upload. If that fails, the store removes the parts by its own rule for incomplete multipart uploads.
    pub async fn abort(mut self) {
        self.under_way.shutdown().await;
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(%error, "an unfinished upload could not be removed from the store");
        }
    }
}
