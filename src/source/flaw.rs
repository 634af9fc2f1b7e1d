//! What is wrong with the files of a source. Only other files help.

use super::files::{MAX_BYTES, MAX_DEPTH, MAX_FILES, MAX_PATH_BYTES};

/// Why files cannot be used. `Display` is one line for a person, and shows no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A path that is absolute, leads upwards, or is none on every system.
    #[error("{path:?} is no path of a file inside of the source: it must be relative, without `..` and `\\`")]
    Path {
        /// The path.
        path: String,
    },
    /// A path that is too long or too deep.
    #[error("a path has more than {MAX_PATH_BYTES} bytes or {MAX_DEPTH} names: {}…", path.chars().take(80).collect::<String>())]
    Long {
        /// The path.
        path: String,
    },
    /// A link, which could lead anywhere.
    #[error("{path:?} is a link: put the file itself in its place")]
    Link {
        /// The path.
        path: String,
    },
    /// A device, a pipe and the like.
    #[error("{path:?} is neither a file nor a folder")]
    Special {
        /// The path.
        path: String,
    },
    /// One path, two contents.
    #[error("{path} is there twice, with different contents")]
    Twice {
        /// The path.
        path: String,
    },
    /// Too many files.
    #[error("more than {MAX_FILES} files and folders")]
    TooMany,
    /// Too many bytes.
    #[error("more than {} MiB in all, unpacked", MAX_BYTES >> 20)]
    TooLarge,
    /// No archive, or a broken one.
    #[error("the archive cannot be unpacked, make it with `tar czf`: {0}")]
    Archive(String),
    /// `path` leads to nothing.
    #[error("there is nothing at path {path}; at the top there are: {there}")]
    NoPath {
        /// What the source says.
        path: String,
        /// Some names.
        there: String,
    },
    /// Several folders of migrations.
    #[error("there are migrations in {0}: say by path which are meant")]
    Several(String),
    /// A script of a seed in a folder.
    #[error("the script {0} of the seed lies in a folder: say by path which folder or file is meant")]
    Nested(String),
    /// An artifact that is none of scripts.
    #[error("the artifact cannot be used: {0}")]
    Artifact(String),
    /// Contents that are not what their digest says.
    #[error("{0} is not what its digest says")]
    Digest(String),
}
