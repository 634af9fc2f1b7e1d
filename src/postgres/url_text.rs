//! What is wrong with a text that should be a URL: how it was encoded, quoted or copied.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::error::Error;
use crate::text::{QUOTES, is_invisible};

/// The replacement for bytes that are not UTF-8.
const REPLACEMENT: char = '\u{fffd}';

/// Ends that belong to the place where a URL was copied from.
const ENDS: [&str; 6] = [";", ",", ">", "\\", "\\n", "\\r"];

/// Base64 however it is padded.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How often a text is decoded to find a URL.
const TIMES: usize = 3;

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
    if is_encoded(text.as_bytes(), TIMES) {
        return Err(Error::invalid_url(
            "the text is base64 once more: a Secret's data is encoded once; under stringData the URL is written plainly",
        ));
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
    if text.contains(is_invisible) {
        return Err(Error::invalid_url(
            "the text holds an invisible character, such as a zero-width space: remove it, or percent-encode it where \
             it belongs to the password",
        ));
    }
    if text.ends_with(QUOTES) {
        return Err(Error::invalid_url(
            "the text ends with a quotation mark: remove it, or percent-encode it where it belongs to the URL (%22, %27)",
        ));
    }
    if let Some(end) = ENDS.iter().find(|end| text.ends_with(**end)) {
        return Err(Error::invalid_url(format!(
            "the text ends with {end} : remove it, or percent-encode it where it belongs to the URL"
        )));
    }
    Ok(text)
}

/// Whether the text is a URL in base64, also on several lines, without padding or in the alphabet for URLs.
fn is_encoded(text: &[u8], times: usize) -> bool {
    let digits = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    let digits: Vec<u8> = digits
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let Ok(mut decoded) = BASE64.decode(digits) else {
        return false;
    };
    // UTF-16 is encoded as well.
    decoded.retain(|byte| *byte != 0);
    let named = |part: &[u8]| part.eq_ignore_ascii_case(b"postgres");
    decoded.windows(b"postgres".len()).any(named) || times > 1 && is_encoded(&decoded, times - 1)
}

/// What is wrong with a text that has no scheme. The text is not repeated.
pub(super) fn no_url(text: &str) -> &'static str {
    if text.contains("host=") || text.contains("dbname=") {
        return "it does not parse: it is a list of keywords; write a URL, postgresql://USER:PASSWORD@HOST:5432/DATABASE";
    }
    "it does not parse: it must begin with postgres:// or postgresql://"
}
