//! Computes the ids of a trace.

use jiff::Timestamp;
use opentelemetry::trace::{SpanId, TraceId};
use sha2::{Digest as _, Sha256};

use crate::api::Orchestra;
use crate::api::condition::{ConditionType, find};

/// The trace of an Orchestra until it is Ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    pub(super) id: TraceId,
    pub(super) root: SpanId,
    /// The transition time of the condition Ready: since when the Orchestra is not Ready.
    pub(super) since: Timestamp,
}

impl Trace {
    /// The trace of an Orchestra that is not Ready yet; none when it is Ready, is being deleted, or has no status.
    pub fn of(orchestra: &Orchestra) -> Option<Self> {
        let ready = find(orchestra.conditions(), ConditionType::Ready)?;
        let on_its_way = ready.status != "True" && orchestra.metadata.deletion_timestamp.is_none();
        on_its_way.then(|| Self::since(orchestra, ready.last_transition_time.0))
    }

    /// The trace of an Orchestra that is not Ready since then.
    pub(super) fn since(orchestra: &Orchestra, since: Timestamp) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"stagesub.io/trace/");
        hash.update(orchestra.metadata.uid.as_deref().unwrap_or_default());
        // The API server keeps whole seconds.
        hash.update(since.as_second().to_be_bytes());
        let bytes: [u8; 32] = hash.finalize().into();
        let (mut id, mut root) = ([0; 16], [0; 8]);
        id.copy_from_slice(&bytes[..16]);
        root.copy_from_slice(&bytes[16..24]);
        Self {
            id: TraceId::from_bytes(id),
            root: SpanId::from_bytes(root),
            since,
        }
    }
}
