//! Random text for passwords, keys and project references.

use rand::RngExt;

/// `length` characters drawn from `alphabet`, which must be ASCII and not empty.
pub fn text(length: usize, alphabet: &[u8]) -> String {
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())]))
        .collect()
}

/// `length` lower-case letters, the form of a project reference.
pub fn letters(length: usize) -> String {
    text(length, b"abcdefghijklmnopqrstuvwxyz")
}

/// `length` letters and digits.
pub fn alphanumeric(length: usize) -> String {
    text(
        length,
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    )
}

/// `length` hexadecimal digits.
pub fn hex(length: usize) -> String {
    text(length, b"0123456789abcdef")
}
