//! The order in which Prisma applies migrations: by the bytes of their names up to version 6.5, and from
//! 6.6 on as JavaScript's `localeCompare` sorts them (`reference/migrations.md`, section 1.2: observed).

use icu_collator::options::CollatorOptions;
use icu_collator::{CollatorBorrowed, CollatorPreferences};

/// The names that Prisma from 6.6 on applies at another position. `names` must be in byte order.
pub fn displaced<'a>(names: &[&'a str]) -> Vec<&'a str> {
    // This fails only if collation data is missing, and the data of the root collation is compiled in.
    let Ok(collator) = CollatorBorrowed::try_new(CollatorPreferences::default(), CollatorOptions::default()) else {
        return Vec::new();
    };
    let mut sorted = names.to_vec();
    sorted.sort_by(|one, other| collator.compare(one, other));
    let pairs = names.iter().zip(sorted);
    pairs
        .filter(|(here, there)| *here != there)
        .map(|(here, _)| *here)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::displaced;

    #[test]
    fn usual_names_have_one_order() {
        assert!(displaced(&["20230101000000_init", "20230101000001_a", "20240101000000_a_b"]).is_empty());
        assert!(displaced(&[]).is_empty());
    }

    #[test]
    fn unusual_names_are_listed() {
        // As Node sorts them: ["_x", "0_init", "20240101_a", "20240101_A", "zed", "Zed"].
        let bytes = ["0_init", "20240101_A", "20240101_a", "Zed", "_x", "zed"];
        assert_eq!(displaced(&bytes), ["0_init", "20240101_A", "Zed", "_x", "zed"]);
    }
}
