//! What a person can do about a reason: the tables of docs/conditions.md, which are part of the program.

use crate::api::condition::Reason;

const PAGE: &str = include_str!("../../docs/conditions.md");

/// What to do about a reason; none where nothing is to be done, or the page has no advice.
pub fn advice(reason: Reason) -> Option<String> {
    let quoted = format!("`{reason}`");
    // The first table of the page is of conditions.
    let (_, reasons) = PAGE.split_once("## Reasons")?;
    let row = reasons.lines().find(|line| {
        let mut cells = line.strip_prefix("| ").unwrap_or_default().split(" | ");
        cells
            .next()
            .is_some_and(|reasons| reasons.split(", ").any(|one| one == quoted))
    })?;
    let told = row.trim_end_matches('|').rsplit(" | ").next()?;
    let told = plain(told.trim());
    let nothing = told.is_empty() || told == "nothing" || told == "wait";
    (!nothing && told != "as the message says").then_some(told)
}

/// Markdown as plain text: links without their targets, code without its marks.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, (label, after))) = link(rest) {
        plain.push_str(before);
        plain.push_str(label);
        rest = after;
    }
    plain.push_str(rest);
    // A link in parentheses only points to a page, and is dropped.
    plain.replace('`', "")
}

/// The text before the first link, its label and the text after it.
fn link(text: &str) -> Option<(&str, (&str, &str))> {
    let (before, rest) = text.split_once('[')?;
    let (label, rest) = rest.split_once("](")?;
    let (_, after) = rest.split_once(')')?;
    Some((before, (label, after)))
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn what_to_do_is_in_the_page() {
        assert_eq!(
            advice(Reason::QuotaExceeded).as_deref(),
            Some("pause or delete one that nobody uses, raise the plan, pay the invoice")
        );
        let invalid = advice(Reason::ConnectionInvalid).unwrap_or_default();
        assert!(
            invalid.starts_with("change what the message names (secrets.md, rotation.md)"),
            "{invalid}"
        );
        for nothing in [Reason::Ready, Reason::Migrating, Reason::PoolerRefused] {
            assert_eq!(advice(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn every_reason_is_in_the_page() {
        let missing: Vec<_> = Reason::iter()
            .filter(|reason| !PAGE.contains(&format!("`{reason}`")))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
