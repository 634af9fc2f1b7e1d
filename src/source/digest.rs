//! Digests as the OCI specifications write them: the algorithm, a colon, lower-case hexadecimal digits.

use sha2::{Digest, Sha256, Sha512};

/// The SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> String {
    written("sha256", &Sha256::digest(bytes))
}

/// The SHA-512 of bytes.
pub fn sha512(bytes: &[u8]) -> String {
    written("sha512", &Sha512::digest(bytes))
}

/// A digest that is known already.
pub fn written(algorithm: &str, digest: &[u8]) -> String {
    format!("{algorithm}:{}", hex::encode(digest))
}
