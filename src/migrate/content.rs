//! The content of a file. Text is checked once and then shared: a source of 64 MiB is in memory once, however many
//! readers it has.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

/// The memory that a source takes. It is free again once every copy of this is dropped.
#[derive(Clone, Debug, Default)]
pub struct MemoryPermit {
    parts: Vec<Arc<OwnedSemaphorePermit>>,
    large: bool,
}

impl MemoryPermit {
    /// The memory of one of the large sources, of which few are in memory at a time.
    pub fn of_large(permit: OwnedSemaphorePermit) -> Self {
        Self {
            parts: vec![Arc::new(permit)],
            large: true,
        }
    }

    /// Adds memory to that of a small source.
    pub fn add(&mut self, permit: OwnedSemaphorePermit) {
        self.parts.push(Arc::new(permit));
    }

    /// Whether it is that of a large source.
    pub fn is_large(&self) -> bool {
        self.large
    }

    /// How many permits it holds.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|part| part.num_permits()).sum()
    }

    /// Returns the permits beyond this many, as far as no copy shares them.
    pub fn shrink(&mut self, most: usize) {
        let mut excess = self.size().saturating_sub(most);
        for part in &mut self.parts {
            let Some(part) = Arc::get_mut(part) else { continue };
            let returned = excess.min(part.num_permits());
            excess -= returned;
            drop(part.split(returned));
        }
    }
}

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
