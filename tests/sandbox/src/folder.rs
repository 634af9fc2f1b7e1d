//! Folders: one in memory, and one that ends with this process.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A folder and all that is in it. Zeros at a file's end, which etcd's log has 64 MB of, are counted only.
pub(crate) struct Folder {
    /// Parents first.
    folders: Vec<PathBuf>,
    files: Vec<(PathBuf, Vec<u8>, u64)>,
}

impl Folder {
    /// Reads it.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let mut open = vec![dir.to_owned()];
        while let Some(folder) = open.pop() {
            folders.push(folder.strip_prefix(dir)?.to_owned());
            for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
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
        Ok(Self { folders, files })
    }

    /// Writes all of it.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        for folder in &self.folders {
            let path = dir.join(folder);
            fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        }
        for (path, bytes, length) in &self.files {
            let path = dir.join(path);
            let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
            file.write_all(bytes)?;
            file.set_len(*length)?;
        }
        Ok(())
    }

    /// Where all of it is once it is written into `dir`, which is the first.
    pub(crate) fn paths(&self, dir: &Path) -> impl Iterator<Item = PathBuf> {
        let files = self.files.iter().map(|(path, ..)| path);
        self.folders.iter().chain(files).map(move |path| dir.join(path))
    }
}

/// Removes a folder when this process ends, however it does. Dropping it removes the folder too, a second later.
pub(crate) struct Broom(#[expect(dead_code, reason = "its standard input closes with it")] Child);

impl Broom {
    /// Starts to watch.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        // Ctrl-C on a terminal reaches it too.
        const SWEEP: &str = "trap '' HUP INT TERM; cat; sleep 1; rm -rf -- \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", SWEEP]).arg(dir).stdin(Stdio::piped());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Self).context("start sh")
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
        fs::create_dir_all(from.path().join("b/nothing")).unwrap();
        let folder = Folder::read(from.path()).unwrap();
        folder.write(to.path()).unwrap();
        assert!(to.path().join("b/nothing").is_dir());
        assert!(folder.paths(to.path()).all(|path| path.exists()));
        assert_eq!(folder.paths(to.path()).next().unwrap(), to.path().join(""));
        for (name, bytes) in files {
            assert_eq!(fs::read(to.path().join(name)).unwrap(), bytes, "{name}");
        }
    }
}
