//! The rules for the text of a script, which migrations and seeds share.

use super::source_error::SourceError;

/// The most bytes of one script: 64 MiB.
pub const MAX_SCRIPT_BYTES: usize = 64 << 20;

/// Decodes a script and checks its text.
///
/// # Errors
/// The script is too large, is not UTF-8, starts with a byte order mark or contains a NUL character.
pub(super) fn decode(file: &str, bytes: Vec<u8>) -> Result<String, SourceError> {
    if bytes.len() > MAX_SCRIPT_BYTES {
        return Err(SourceError::file(file, "the script is larger than 64 MiB; divide it"));
    }
    let script = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        SourceError::text(file, &text, good, "the text is not UTF-8; save the file as UTF-8")
    })?;
    if script.starts_with('\u{feff}') {
        return Err(SourceError::text(
            file,
            &script,
            0,
            "the file begins with a byte order mark; save it without one",
        ));
    }
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
