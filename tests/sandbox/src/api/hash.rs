//! How the API shows secrets: as hashes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// SHA-256 of a secret, in hexadecimal digits.
pub(super) fn of(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// HMAC with SHA-256 of a message.
pub(super) fn keyed(key: &str, message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap_or_else(|_| unreachable!("any length will do"));
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
