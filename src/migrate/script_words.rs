//! What a script says by its words, where its statements are not read by the grammar.

use super::aside::in_place;

/// Whether a text is anywhere in a script, in upper or lower case: also in a comment or a string.
pub(super) fn speaks_of(script: &str, text: &str) -> bool {
    in_place(script.len(), || script.to_ascii_lowercase().contains(text))
}

/// Whether a statement only changes settings of the session, which end with it.
pub(super) fn is_setting(statement: &str) -> bool {
    let mut words = statement.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let word = words.next().unwrap_or_default();
    ["SET", "RESET"].iter().any(|set| word.eq_ignore_ascii_case(set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_known_by_its_first_word() {
        for (statement, known) in [
            ("SET lock_timeout = '5s'; INSERT INTO t VALUES (1)", true),
            ("reset all", true),
            ("set\tlocal x = 1", true),
            ("SETTING", false),
            ("set_a", false),
            ("SELECT set_config('a', 'b', false)", false),
            ("", false),
        ] {
            assert_eq!(is_setting(statement), known, "{statement}");
        }
        assert!(speaks_of(
            "SELECT set_config('Lock_Timeout', '1s', false)",
            "lock_timeout"
        ));
        assert!(!speaks_of("SELECT 1", "lock_timeout"));
    }
}
