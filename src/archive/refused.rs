//! Maps the errors of a store to errors of a backup.

use super::error::Error;
use super::outcome::OutcomeReason;

/// The error for the store's answer, with what to do.
pub(super) fn refused(error: &object_store::Error, what: &str) -> Error {
    use object_store::Error as E;
    let cause = causes(error);
    let has = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    // Words of S3 error codes, and of the operating system.
    let (reason, advice) = if has(&[
        "QuotaExceeded",
        "StorageFull",
        "EntityTooLarge",
        "No space left",
        "quota exceeded",
    ]) {
        (OutcomeReason::StoreFull, "free space in it, or raise its quota")
    } else if has(&["NoSuchBucket"]) {
        (OutcomeReason::StoreMissing, "create the bucket, or correct its name")
    } else {
        match error {
            E::NotFound { .. } => (
                OutcomeReason::StoreMissing,
                "check the bucket's name and the backup's path",
            ),
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => (
                OutcomeReason::StoreRefused,
                "check the credentials, and that they may read, write, list and delete below the prefix",
            ),
            E::AlreadyExists { .. } | E::Precondition { .. } => {
                (OutcomeReason::AlreadyExists, "another run has written to this path")
            }
            E::NotSupported { .. } | E::NotImplemented { .. } => (
                OutcomeReason::StoreUnsafe,
                "use a store with multipart uploads and conditional writes",
            ),
            _ if has(&[
                "Permission denied",
                "Read-only file system",
                "status code: 400",
                "400 Bad Request",
            ]) =>
            {
                (
                    OutcomeReason::StoreRefused,
                    "check the store's address, region and rights",
                )
            }
            _ => (
                OutcomeReason::StoreUnreachable,
                "check that the store runs and that its address is right",
            ),
        }
    };
    Error::new(reason, format!("cannot {what} the store: {advice} ({cause})"))
}

/// The error and its causes, each once.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}
