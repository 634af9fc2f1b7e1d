//! What is wrong with a text that should be a URL: how it was encoded, quoted or copied.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Error;

/// What stands for bytes that are not UTF-8.
const REPLACEMENT: char = '\u{fffd}';

/// Marks that people and programs put around a text.
const QUOTES: [char; 8] = ['"', '\'', '`', '“', '”', '‘', '’', '«'];

/// The text without white space around it.
///
/// # Errors
/// When it is not a plain line of UTF-8 without quotes.
pub(super) fn plain(text: &str) -> Result<&str, Error> {
    let text = text.trim();
    if text.contains('\0') {
        return Err(Error::invalid_url("the text is UTF-16: save it as UTF-8"));
    }
    if text.contains(REPLACEMENT) {
        return Err(Error::invalid_url(
            "the text is not UTF-8: save it as UTF-8, and percent-encode special characters",
        ));
    }
    if text.starts_with('\u{feff}') {
        return Err(Error::invalid_url(
            "the text begins with a byte order mark: save it as UTF-8 without one",
        ));
    }
    if text.is_empty() {
        return Err(Error::invalid_url("the text is empty"));
    }
    if text.starts_with(QUOTES) {
        return Err(Error::invalid_url(
            "the text begins with a quotation mark: write the URL without quotes; kubectl keeps those of a file for \
             --from-env-file",
        ));
    }
    if text.contains(char::is_control) {
        return Err(Error::invalid_url(
            "the text holds a line break or another control character: write one URL on one line",
        ));
    }
    Ok(text)
}

/// What is wrong with a text that has no scheme. The text is not repeated.
pub(super) fn no_url(text: &str) -> &'static str {
    let decoded = STANDARD.decode(text).unwrap_or_default();
    let decoded = decoded.trim_ascii_start();
    if decoded.starts_with(b"postgres") || decoded.starts_with(b"cG9zdGdyZX") {
        return "the text is base64 once more: a Secret's data is encoded once; under stringData the URL is written plainly";
    }
    if text.contains("host=") || text.contains("dbname=") {
        return "it does not parse: it is a list of keywords; write a URL, postgresql://USER:PASSWORD@HOST:5432/DATABASE";
    }
    "it does not parse: it must begin with postgres:// or postgresql://"
}
