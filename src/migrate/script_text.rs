//! The rules for the text of a script, which migrations and seeds share.

use std::sync::Arc;

use super::content::Content;
use super::source_error::SourceError;

/// The most bytes of one script: 64 MiB. It is sent as one message, and so it is in memory twice while it is sent.
pub const MAX_SCRIPT_BYTES: usize = 64 << 20;

/// Decodes a script and checks its text.
///
/// # Errors
/// The script is too large, is not UTF-8, starts with a byte order mark or contains a NUL character.
pub(super) fn decode(file: &str, content: &Content) -> Result<Arc<String>, SourceError> {
    let script = decode_marked(file, content)?;
    if script.starts_with('\u{feff}') {
        let what = "the file begins with a byte order mark; save it without one";
        return Err(SourceError::text(file, &script, 0, what));
    }
    Ok(script)
}

/// As [`decode`], with or without a byte order mark.
pub(super) fn decode_marked(file: &str, content: &Content) -> Result<Arc<String>, SourceError> {
    if content.len() > MAX_SCRIPT_BYTES {
        return Err(SourceError::file(file, "the script is larger than 64 MiB; divide it"));
    }
    let script = match content {
        Content::Text(text) => text.clone(),
        Content::Binary(bytes) => {
            let good = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
            let text = String::from_utf8_lossy(&bytes[..good]);
            let what = "the text is not UTF-8; save the file as UTF-8";
            return Err(SourceError::text(file, &text, good, what));
        }
    };
    if let Some(at) = script.find('\0') {
        return Err(SourceError::text(
            file,
            &script,
            at,
            "a NUL character, which PostgreSQL does not accept; remove it",
        ));
    }
    Ok(script)
}
