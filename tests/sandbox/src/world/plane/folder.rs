//! A folder in memory.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The files of a folder and of those in it. Zeros at a file's end, which etcd's log has 64 MB of, are counted only.
pub(super) struct Folder {
    files: Vec<(PathBuf, Vec<u8>, u64)>,
}

impl Folder {
    /// Reads it.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let mut bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                let length = u64::try_from(bytes.len())?;
                let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                bytes.truncate(end);
                bytes.shrink_to_fit();
                files.push((path.strip_prefix(dir)?.to_owned(), bytes, length));
            }
        }
        Ok(Self { files })
    }

    /// Writes all of it.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        for (path, bytes, length) in &self.files {
            let path = dir.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
            file.write_all(bytes)?;
            file.set_len(*length)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_folder_is_written_as_it_was_read() {
        let from = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 4] = [
            ("a", b"x\0y\0\0"),
            ("b/c/zeros", &[0; 5000]),
            ("b/empty", b""),
            ("d", b"end"),
        ];
        for (name, bytes) in files {
            let path = from.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        Folder::read(from.path()).unwrap().write(to.path()).unwrap();
        for (name, bytes) in files {
            assert_eq!(fs::read(to.path().join(name)).unwrap(), bytes, "{name}");
        }
    }
}
