//! Files of ConfigMaps, and inline files of the resource itself.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::archive::{is_archive, is_text, unpack};
use super::files::Files;
use super::flaw::Flaw;
use super::layout::is_seed;
use super::room::Share;

/// Adds the keys of a ConfigMap as files; archives in `binaryData` are unpacked. Other bytes there are noted as unknown.
///
/// # Errors
/// The first key that cannot be used, with its name.
pub fn add(map: ConfigMap, files: &mut Files) -> Result<(), (String, Flaw)> {
    for (key, text) in map.data.unwrap_or_default() {
        files.insert(&key, text.into_bytes()).map_err(|flaw| (key, flaw))?;
    }
    for (key, bytes) in map.binary_data.unwrap_or_default() {
        let added = if is_archive(&key) {
            unpack(&bytes.0, files)
        } else {
            if !is_text(&bytes.0) && !is_seed(&key) {
                files.note_unknown(&key);
            }
            files.insert(&key, bytes.0)
        };
        added.map_err(|flaw| (key, flaw))?;
    }
    Ok(())
}

/// The inline files of a resource.
///
/// # Errors
/// The first name that cannot be used.
pub fn inline(texts: &BTreeMap<String, String>, share: Share) -> Result<Files, Flaw> {
    let mut files = Files::within(share);
    for (name, text) in texts {
        files.insert(name, text.clone().into_bytes())?;
    }
    Ok(files)
}
