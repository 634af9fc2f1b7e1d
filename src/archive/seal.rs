//! The seal of a manifest: an HMAC-SHA-256 under a key that only the operator and the Jobs of one backup have. It lets a run
//! distinguish the manifest of an earlier run of the same backup from one that somebody with access to the store has put
//! there.
//!
//! The seal is the last field, `mac`, over the bytes of the manifest without that field. It is checked on the bytes as they are,
//! so that a newer program, which writes other fields, recognizes what an older one wrote.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// What begins the field.
const BEGIN: &[u8] = b",\n  \"mac\": \"";
/// What ends the field and the manifest.
const END: &[u8] = b"\"\n}";
/// What ends a manifest without the field.
const PLAIN_END: &[u8] = b"\n}";
/// Hexadecimal digits of an HMAC-SHA-256.
const DIGITS: usize = 64;

/// The manifest with its seal. `json` is an object with at least one field, as `serde_json` prints it prettily.
pub(super) fn seal(json: &[u8], key: &SecretString) -> Vec<u8> {
    let Some(body) = json.strip_suffix(PLAIN_END) else {
        return Vec::new();
    };
    let digits = hex::encode(mac(body, key).finalize().into_bytes());
    [body, BEGIN, digits.as_bytes(), END].concat()
}

/// Whether the bytes are a manifest that was sealed with this key.
pub(super) fn is_sealed(bytes: &[u8], key: &SecretString) -> bool {
    let rest = bytes.strip_suffix(END);
    let Some((rest, digits)) = rest.and_then(|rest| rest.split_at_checked(rest.len().checked_sub(DIGITS)?)) else {
        return false;
    };
    let (Some(body), Ok(found)) = (rest.strip_suffix(BEGIN), hex::decode(digits)) else {
        return false;
    };
    mac(body, key).verify_slice(&found).is_ok()
}

fn mac(body: &[u8], key: &SecretString) -> Hmac<Sha256> {
    let key = key.expose_secret().as_bytes();
    // HMAC takes keys of any length (RFC 2104).
    let mac = Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC refuses no key"));
    mac.chain_update(body).chain_update(PLAIN_END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bytes_that_were_sealed_with_the_key_are() {
        let (key, other) = (SecretString::from("one key"), SecretString::from("another"));
        let json = b"{\n  \"version\": 1\n}";
        let sealed = seal(json, &key);
        let text = String::from_utf8_lossy(&sealed).into_owned();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        assert!(is_sealed(&sealed, &key) && !is_sealed(&sealed, &other));
        assert!(!is_sealed(json, &key) && !is_sealed(b"", &key) && !is_sealed(END, &key));
        for forged in [
            text.replace(": 1", ": 2"),
            text.replace('{', "{ "),
            text.replace("\"mac\"", "\"MAC\""),
            format!("{text}\n"),
            text.replacen('{', "{\n  \"version\": 2,", 1),
            // The field appears twice.
            format!(
                "{},\n  \"mac\": \"{}\"\n}}",
                text.trim_end_matches("\n}"),
                "0".repeat(64)
            ),
        ] {
            assert!(!is_sealed(forged.as_bytes(), &key), "{forged}");
        }
    }
}
