//! The content of a file. Text is checked once and then shared: a source of 64 MiB is in memory once, however many
//! readers it has.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

/// A permit for the memory of a source, which is returned when the source is no longer used.
pub type MemoryPermit = Option<Arc<OwnedSemaphorePermit>>;

/// The content of a file. A copy shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// Bytes that are UTF-8.
    Text(Arc<String>),
    /// Other bytes.
    Binary(Arc<Vec<u8>>),
}

impl Content {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(Arc::new(text)),
            Err(error) => Self::Binary(Arc::new(error.into_bytes())),
        }
    }
}
