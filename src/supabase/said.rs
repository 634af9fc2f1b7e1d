//! What the API says in a refusal: the part that is shown, and the words of the whole text, by which it is judged.

use std::fmt;

use super::words::{Echo, Words};
use crate::text;

/// The most characters of the API's text that are repeated.
pub(super) const CAP: usize = 300;

/// A text of the API, without secrets. At most 300 characters of it are shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Said {
    shown: String,
    words: Words,
}

impl Said {
    /// A text and a code of an answer to a request with these values.
    pub(super) fn of(text: &str, code: &str, echo: Echo<'_>) -> Self {
        Self {
            shown: capped(text),
            words: Words::of(text, code, echo),
        }
    }

    /// The words of the whole text.
    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    /// Whether it may be about the region or the compute size of a creation.
    pub(super) fn may_be_about_place_or_size(&self) -> bool {
        self.words.may_be_about_place_or_size()
    }
}

/// A text of the operator's own.
impl From<String> for Said {
    fn from(text: String) -> Self {
        Self {
            words: Words::of(&text, "", Echo::default()),
            shown: text,
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

/// A text of the API on one line, without control characters, of at most 300 characters.
pub(super) fn capped(text: &str) -> String {
    text::line(text, CAP)
}
