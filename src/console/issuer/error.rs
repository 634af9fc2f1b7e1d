//! Why nobody was signed in at the issuer.

use std::fmt;

use crate::text;

/// The longest cause that a message quotes, in characters.
const CAUSE: usize = 300;

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The issuer does not answer, or not as OpenID Connect has it.
    #[error("{what} of the OpenID Connect issuer: {cause}")]
    Away {
        /// What was asked for.
        what: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// The issuer, or the visitor there, says no.
    #[error("the OpenID Connect issuer refuses the sign-in: {0}")]
    Refused(String),
    /// The answer belongs to no sign-in that was begun in this browser, or is not the issuer's.
    #[error("the answer to the sign-in is not accepted: {0}")]
    Odd(String),
}

impl Error {
    /// A request that had no answer.
    pub(super) fn away(what: &'static str) -> impl FnOnce(reqwest::Error) -> Self {
        move |error| Self::Away {
            what,
            cause: text::line(&error.without_url().to_string(), CAUSE),
        }
    }

    /// An answer that is not accepted.
    pub(super) fn odd(error: &dyn fmt::Display) -> Self {
        Self::Odd(text::line(&error.to_string(), CAUSE))
    }

    /// An answer that says no.
    pub(super) fn refused(said: &str) -> Self {
        Self::Refused(text::line(said, CAUSE))
    }
}
