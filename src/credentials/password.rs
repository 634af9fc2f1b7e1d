//! Passwords: long enough to be unguessable, and without characters that a tool has to escape.

use rand::RngExt as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use secrecy::SecretString;

/// Characters in a generated password.
pub const LENGTH: usize = 32;

const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const DIGIT: &[u8] = b"0123456789";
/// The specials of the URL's unreserved set (RFC 3986 section 2.3).
const SPECIAL: &[u8] = b"-._~";
const CLASSES: [&[u8]; 4] = [UPPER, LOWER, DIGIT, SPECIAL];

/// A new password: 32 letters, digits and `-._~`, at least one upper case letter, lower case
/// letter, digit and special, beginning with a letter (some tools read a leading `-` as an
/// option). Uniform over all such passwords, about 190 bits, from the operating system's random
/// source.
///
/// # Panics
/// When the operating system has no randomness to give, which Linux only does before it has booted.
pub fn generate() -> SecretString {
    let letters = [UPPER, LOWER].concat();
    let all = CLASSES.concat();
    let mut random = UnwrapErr(SysRng);
    loop {
        let candidate: String = (0..LENGTH)
            .map(|place| {
                let set = if place == 0 { &letters } else { &all };
                char::from(set[random.random_range(0..set.len())])
            })
            .collect();
        if has_every_class(&candidate) {
            return SecretString::from(candidate);
        }
    }
}

fn has_every_class(candidate: &str) -> bool {
    CLASSES
        .iter()
        .all(|class| candidate.bytes().any(|byte| class.contains(&byte)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::{BTreeMap, BTreeSet};

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn ten_thousand_passwords_keep_the_rules_and_differ() {
        let all = CLASSES.concat();
        let mut seen = BTreeSet::new();
        let mut counts: BTreeMap<u8, u32> = BTreeMap::new();
        for _ in 0..10_000 {
            let password = generate().expose_secret().to_owned();
            assert_eq!(password.len(), LENGTH);
            assert!(password.bytes().all(|byte| all.contains(&byte)), "{password}");
            assert!(has_every_class(&password), "{password}");
            assert!(password.as_bytes()[0].is_ascii_alphabetic(), "{password}");
            password
                .bytes()
                .skip(1)
                .for_each(|byte| *counts.entry(byte).or_default() += 1);
            assert!(seen.insert(password));
        }
        // 310,000 draws over 66 characters: about 4,700 each, specials a little more since each
        // password must hold one.
        for byte in all {
            let count = counts[&byte];
            assert!(
                (4_200..6_200).contains(&count),
                "{} came {count} times",
                char::from(byte)
            );
        }
    }

    #[test]
    fn no_password_needs_escaping_in_a_url() {
        let password = generate().expose_secret().to_owned();
        let url = url::Url::parse(&format!("postgresql://u:{password}@h/db")).unwrap();
        assert_eq!(url.password(), Some(password.as_str()));
    }
}
