//! Folders of a volume that is mounted into the operator's pod.

use std::io::{self, Read};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::files::Files;
use super::flaw::Flaw;
use super::limits::MAX_FILES;
use super::room::Share;

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It does not exist.
    #[error("it does not exist")]
    Missing,
    /// Its files cannot be used.
    #[error(transparent)]
    Flaw(#[from] Flaw),
    /// The operating system reports an error.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for FolderError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            _ => Self::Io(error),
        }
    }
}

/// Reads a folder below `root`. A link is followed if its target is below `root`, as those of a mounted ConfigMap
/// and of git-sync are. Names that begin with two dots are skipped because Kubernetes uses them (`AtomicWriter`),
/// and so is `.git`.
///
/// # Errors
/// See [`FolderError`].
pub fn read(root: &Path, folder: &str, share: Share) -> Result<Files, FolderError> {
    // Paths that are opened through this handle stay below it, also when a link is swapped meanwhile.
    let root = Dir::open_ambient_dir(root, ambient_authority())?;
    let mut files = Files::within(share);
    let mut seen = 0;
    walk(&root, folder, "", &mut files, &mut seen)?;
    Ok(files)
}

fn walk(root: &Dir, folder: &str, path: &str, files: &mut Files, seen: &mut usize) -> Result<(), FolderError> {
    let place = |path: &str| match path {
        "" => folder.to_owned(),
        path => format!("{folder}/{path}"),
    };
    for entry in root.read_dir(place(path))? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else {
            let path = name.to_string_lossy().into_owned();
            return Err(Flaw::Path { path }.into());
        };
        if name.starts_with("..") || name == ".git" {
            continue;
        }
        *seen += 1;
        if *seen > MAX_FILES {
            return Err(Flaw::TooMany.into());
        }
        let path = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}/{name}")
        };
        let told = root.metadata(place(&path)).map_err(|error| outside(&error, &path))?;
        if told.is_dir() {
            files.insert_folder(&path)?;
            walk(root, folder, &path, files, seen)?;
        } else if told.is_file() {
            files.reserve(usize::try_from(told.len()).unwrap_or(usize::MAX))?;
            let bytes = read_file(root, &place(&path), files.room()).map_err(|error| outside(&error, &path))?;
            files.insert(&path, bytes)?;
        } else {
            return Err(Flaw::Special { path }.into());
        }
    }
    Ok(())
}

/// Reads one byte more than there is room for, so that the caller notices a file that is too large.
fn read_file(dir: &Dir, path: &str, room: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1);
    dir.open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A link to a target outside the root: cap-std refuses to open it, and so there is no error number of the system.
fn outside(error: &io::Error, path: &str) -> FolderError {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::PermissionDenied, None) => Flaw::Link { path: path.to_owned() }.into(),
        (kind, _) => io::Error::new(kind, format!("{path}: {error}")).into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(files: &Files) -> Vec<&str> {
        files.iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn a_mounted_config_map_and_git_sync_are_read() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        // As the kubelet lays a ConfigMap out.
        create_dir_all(at("schema/..2026_01_05")).unwrap();
        write(at("schema/..2026_01_05/1_a.sql"), "SELECT 1").unwrap();
        symlink("..2026_01_05", at("schema/..data")).unwrap();
        symlink("..data/1_a.sql", at("schema/1_a.sql")).unwrap();
        assert_eq!(
            names(&read(root.path(), "schema", Share::default()).unwrap()),
            ["1_a.sql"]
        );
        // As git-sync does: a link to the commit's work tree.
        create_dir_all(at("repo/.worktrees/abc/db/2_b")).unwrap();
        create_dir_all(at("repo/.worktrees/abc/db/empty")).unwrap();
        write(at("repo/.worktrees/abc/db/2_b/migration.sql"), "\r\n").unwrap();
        write(at("repo/.worktrees/abc/.git"), "gitdir: elsewhere").unwrap();
        symlink(".worktrees/abc", at("repo/current")).unwrap();
        let files = read(root.path(), "repo/current", Share::default()).unwrap();
        assert_eq!(names(&files), ["db/2_b/migration.sql"]);
        assert!(files.folders().any(|folder| folder == "db/empty"));
    }

    #[test]
    fn what_the_system_refuses_is_no_link() {
        let denied = outside(&io::Error::from_raw_os_error(13), "1_a.sql");
        assert!(matches!(&denied, FolderError::Io(_)), "{denied:?}");
        assert!(denied.to_string().starts_with("1_a.sql: Permission denied"), "{denied}");
    }

    #[test]
    fn nothing_outside_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("sources");
        create_dir_all(root.join("a")).unwrap();
        create_dir_all(root.join("b")).unwrap();
        write(dir.path().join("token"), "secret").unwrap();
        symlink("../../token", root.join("a/1_a.sql")).unwrap();
        symlink(dir.path(), root.join("b/up")).unwrap();
        symlink("..", root.join("up")).unwrap();
        for folder in ["a", "b", "up", "..", "../sources/../", "/etc"] {
            let refused = read(&root, folder, Share::default());
            assert!(
                matches!(refused, Err(FolderError::Flaw(Flaw::Link { .. }) | FolderError::Io(_))),
                "{folder}: {refused:?}"
            );
        }
        assert!(matches!(
            read(&root, "none", Share::default()),
            Err(FolderError::Missing)
        ));
        write(root.join("file"), "").unwrap();
        assert!(matches!(
            read(&root, "file", Share::default()),
            Err(FolderError::Missing)
        ));
    }

    #[test]
    fn links_in_circles_and_pipes_end() {
        let root = tempfile::tempdir().unwrap();
        create_dir_all(root.path().join("a")).unwrap();
        symlink(".", root.path().join("a/one")).unwrap();
        symlink(".", root.path().join("a/two")).unwrap();
        let refused = read(root.path(), "a", Share::default());
        assert!(matches!(refused, Err(FolderError::Flaw(_))), "{refused:?}");
        create_dir_all(root.path().join("b")).unwrap();
        std::os::unix::net::UnixListener::bind(root.path().join("b/pipe")).unwrap();
        let refused = read(root.path(), "b", Share::default());
        assert!(
            matches!(refused, Err(FolderError::Flaw(Flaw::Special { .. }))),
            "{refused:?}"
        );
    }
}
