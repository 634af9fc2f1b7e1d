//! A bounded set of files by their paths. Every kind of source is read into one.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::digest::written;
use super::flaw::Flaw;
use super::limits::{MAX_BYTES, MAX_DEPTH, MAX_FILES, MAX_PATH_BYTES};
use super::room::{Share, bytes_of};
use crate::migrate::{Content, MemoryPermit};

/// Files and folders with relative paths that stay inside the set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    contents: BTreeMap<String, Content>,
    folders: BTreeSet<String>,
    unknown: BTreeSet<String>,
    bytes: usize,
    /// Bytes that the paths take in memory.
    paths: usize,
    /// Bytes of what is downloaded for the set and not unpacked yet.
    packed: usize,
    share: Share,
}

impl Files {
    /// An empty set with this share of a room, which it takes when it becomes large.
    pub fn within(share: Share) -> Self {
        Self {
            share,
            ..Self::default()
        }
    }

    /// Takes the memory that this many more bytes need, before they are read.
    ///
    /// # Errors
    /// [`Flaw::Busy`] or [`Flaw::Full`].
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Flaw> {
        self.share.cover(self.weight().saturating_add(bytes))
    }

    /// Counts what is downloaded for the set as a part of it, until it is unpacked: both are in memory at the same time.
    ///
    /// # Errors
    /// More bytes than a set may have, [`Flaw::Busy`] or [`Flaw::Full`].
    pub fn hold_packed(&mut self, bytes: usize) -> Result<(), Flaw> {
        if bytes > self.room() {
            return Err(Flaw::TooLarge);
        }
        self.packed += bytes;
        self.reserve(0)
    }

    /// Counts this part of what was downloaded no longer: it is unpacked, or becomes a file.
    pub fn drop_packed(&mut self, bytes: usize) {
        self.packed = self.packed.saturating_sub(bytes);
    }

    /// Records that the purpose of this file is unknown: it is neither text, nor a script or a table by its name.
    pub fn note_unknown(&mut self, path: &str) {
        self.unknown.insert(path.to_owned());
    }

    /// The files that were noted as unknown, with their contents.
    pub fn unknown(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter().filter(|(path, _)| self.unknown.contains(*path))
    }

    /// Number of bytes in memory: those of the files, of their paths, and of what is not unpacked yet.
    pub fn weight(&self) -> usize {
        self.bytes.saturating_add(self.paths).saturating_add(self.packed)
    }

    /// Returns the memory that was taken and is not needed: the set is complete.
    pub fn settle(&mut self) {
        self.share.shrink(self.weight());
    }

    /// The memory of scripts among the files, which outlive the others, and how many bytes the cache is to count for them.
    pub fn part(&self, bytes: usize) -> (MemoryPermit, usize) {
        let permit = self.share.part(bytes);
        let held = bytes_of(&permit);
        (permit, bytes.max(held))
    }

    /// The memory that the set takes.
    pub fn permit(&self) -> &MemoryPermit {
        self.share.permit()
    }

    /// How many more bytes the set may take.
    pub fn room(&self) -> usize {
        MAX_BYTES.saturating_sub(self.bytes + self.packed)
    }

    /// Adds a file. Adding the same file again is no error.
    ///
    /// # Errors
    /// A path that leaves the set, other contents under the same path, too many files or too many bytes.
    pub fn insert(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), Flaw> {
        let Some(path) = clean(path)? else {
            return Err(Flaw::Path { path: path.to_owned() });
        };
        if let Some(known) = self.contents.get(&path) {
            return if known.as_bytes() == bytes {
                Ok(())
            } else {
                Err(Flaw::Twice { path })
            };
        }
        self.check_count()?;
        if bytes.len() > self.room() {
            return Err(Flaw::TooLarge);
        }
        self.reserve(bytes.len() + weight_of(&path))?;
        self.bytes += bytes.len();
        self.paths += weight_of(&path);
        self.contents.insert(path, bytes.into());
        Ok(())
    }

    /// Adds a folder, which may stay empty.
    ///
    /// # Errors
    /// A path that leaves the set, or too many folders.
    pub fn insert_folder(&mut self, path: &str) -> Result<(), Flaw> {
        if let Some(path) = clean(path)? {
            self.check_count()?;
            self.reserve(weight_of(&path))?;
            self.paths += weight_of(&path);
            self.folders.insert(path);
        }
        Ok(())
    }

    fn check_count(&self) -> Result<(), Flaw> {
        if self.contents.len() + self.folders.len() >= MAX_FILES {
            return Err(Flaw::TooMany);
        }
        Ok(())
    }

    /// Paths and contents, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.contents().map(|(path, content)| (path, content.as_bytes()))
    }

    /// As [`Files::iter`], with contents that can be shared.
    pub fn contents(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.contents.iter().map(|(path, content)| (path.as_str(), content))
    }

    /// Paths of the folders that were added by themselves.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(String::as_str)
    }

    /// The digest of all paths and contents, whatever their order: `sha256:` and 64 digits.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(bytes);
        };
        for (path, bytes) in &self.contents {
            part(path.as_bytes());
            part(bytes.as_bytes());
        }
        part(b"");
        for folder in &self.folders {
            part(folder.as_bytes());
        }
        written("sha256", &hash.finalize())
    }
}

/// The memory of a path and its place in a set.
fn weight_of(path: &str) -> usize {
    const PLACE: usize = 128;
    path.len() + PLACE
}

/// A path without `.` and doubled slashes; none for the root of the set.
fn clean(path: &str) -> Result<Option<String>, Flaw> {
    let names = || path.split('/').filter(|name| !matches!(*name, "" | "."));
    let odd = path.starts_with('/')
        || path.contains('\\')
        || path.chars().any(char::is_control)
        || names().any(|name| name == "..");
    if odd {
        return Err(Flaw::Path { path: path.to_owned() });
    }
    if path.len() > MAX_PATH_BYTES || names().count() > MAX_DEPTH {
        return Err(Flaw::Long { path: path.to_owned() });
    }
    let clean = names().collect::<Vec<_>>().join("/");
    Ok((!clean.is_empty()).then_some(clean))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_leads_nowhere_else() {
        for (path, clean_as) in [
            ("a.sql", Some("a.sql")),
            ("./a//b/./c.sql", Some("a/b/c.sql")),
            ("..a/...", Some("..a/...")),
            ("./", None),
        ] {
            assert_eq!(clean(path).unwrap().as_deref(), clean_as, "{path}");
        }
        for path in ["/etc/passwd", "../a", "a/../b", "a/..", "a\\b", "a\nb", "a\0"] {
            assert!(matches!(clean(path), Err(Flaw::Path { .. })), "{path}");
        }
        for path in ["a/".repeat(MAX_DEPTH + 1), "a".repeat(MAX_PATH_BYTES + 1)] {
            assert!(matches!(clean(&path), Err(Flaw::Long { .. })), "{path}");
        }
    }

    #[test]
    fn a_set_is_bounded_and_says_one_thing() {
        let mut files = Files::default();
        files.insert("a.sql", b"one".to_vec()).unwrap();
        files.insert("./a.sql", b"one".to_vec()).unwrap();
        let twice = files.insert("a.sql", b"two".to_vec());
        assert_eq!(twice, Err(Flaw::Twice { path: "a.sql".into() }));
        let large = files.insert("b.sql", vec![0; MAX_BYTES - 2]);
        assert_eq!(large, Err(Flaw::TooLarge));
        files.insert("b.sql", vec![0; MAX_BYTES - 3]).unwrap();
        assert_eq!(files.room(), 0);
        for number in 2..MAX_FILES {
            files.insert(&number.to_string(), Vec::new()).unwrap();
        }
        assert_eq!(files.insert("more", Vec::new()), Err(Flaw::TooMany));
        assert_eq!(files.insert_folder("more"), Err(Flaw::TooMany));
    }

    #[test]
    fn a_digest_tells_where_a_name_ends() {
        let of = |all: &[(&str, &str)]| {
            let mut files = Files::default();
            for (path, text) in all {
                files.insert(path, text.as_bytes().to_vec()).unwrap();
            }
            files.digest()
        };
        assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
        assert_ne!(of(&[("a", "bc")]), of(&[("ab", "c")]));
        let mut folder = Files::default();
        folder.insert_folder("a").unwrap();
        assert_ne!(folder.digest(), Files::default().digest());
    }
}
