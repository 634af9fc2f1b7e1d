//! The orders in which versions of a tool apply migrations. Prisma: by the bytes of their names up to version 6.5, and from
//! 6.6 on as JavaScript's `localeCompare` sorts them. The Supabase CLI: by the bytes of the files' names up to version 2
//! (`afero.ReadDir`), and by the versions as texts in version 3. Both were observed.

use icu_collator::CollatorBorrowed;
use icu_collator::options::CollatorOptions;

/// The names of the Supabase CLI's migrations that it applies at another position up to version 2. `names` must be in the order
/// of their versions.
pub fn displaced_by_file<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut sorted = names.to_vec();
    sorted.sort_by_key(|name| format!("{name}.sql"));
    differing(names, &sorted)
}

/// The names that Prisma from 6.6 on applies at another position. `names` must be in byte order.
pub fn displaced<'a>(names: &[&'a str]) -> Vec<&'a str> {
    // `try_new` would link the tailorings of every language, which is a megabyte.
    let collator = CollatorBorrowed::new_root(CollatorOptions::default());
    let mut sorted = names.to_vec();
    sorted.sort_by(|one, other| collator.compare(one, other));
    differing(names, &sorted)
}

fn differing<'a>(names: &[&'a str], sorted: &[&'a str]) -> Vec<&'a str> {
    let pairs = names.iter().zip(sorted);
    pairs
        .filter(|(here, there)| here != there)
        .map(|(here, _)| *here)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{displaced, displaced_by_file};

    #[test]
    fn versions_of_several_lengths_have_two_orders() {
        assert_eq!(displaced_by_file(&["1_a", "10_b", "2_c"]), ["1_a", "10_b"]);
        let dates = ["20240101_init", "20240101120000_x"];
        assert_eq!(displaced_by_file(&dates), dates);
        assert!(displaced_by_file(&["20240101120000_a", "20240101120001_", "20240102000000_b_c"]).is_empty());
    }

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
