//! An object of a store that is written in parts.

use object_store::MultipartUpload;

use super::error::{Error, Result};
use super::outcome::OutcomeReason as Reason;
use super::refused::refused;

/// The most parts of one object that are uploaded at a time, each held in memory.
const PARTS: usize = 3;

/// An object that is written in parts. It is not there before [`Upload::complete`].
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

    /// Sends the next part; waits while several are on their way.
    ///
    /// # Errors
    /// What the store says of an earlier part.
    pub async fn part(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.wait(PARTS - 1).await?;
        self.under_way.spawn(self.upload.put_part(bytes.into()));
        Ok(())
    }

    async fn wait(&mut self, most: usize) -> Result<()> {
        while self.under_way.len() > most {
            match self.under_way.join_next().await {
                Some(Ok(Err(error))) => return Err(refused(&error, "write to")),
                Some(Err(error)) => return Err(Error::new(Reason::StoreUnreachable, error.to_string())),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the object of its parts.
    ///
    /// # Errors
    /// What the store says.
    pub async fn complete(mut self) -> Result<()> {
        self.wait(0).await?;
        let done = self.upload.complete().await;
        done.map(drop).map_err(|error| refused(&error, "write to"))
    }

    /// Drops the parts. What cannot be dropped is left to the store's own rule for unfinished uploads.
    pub async fn abort(mut self) {
        self.under_way.shutdown().await;
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(%error, "an unfinished upload could not be removed from the store");
        }
    }
}
