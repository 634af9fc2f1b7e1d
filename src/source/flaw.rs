//! Reasons why the files of a source cannot be used. Only a change of the files helps.

use super::limits::{MAX_BYTES, MAX_DEPTH, MAX_FILES, MAX_PATH_BYTES, SMALL_BYTES};

/// Why files cannot be used. `Display` is one line for a person, and shows no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A path that is absolute, contains `..`, or is not valid on every system.
    #[error("{path:?} is not a path inside the source: make it relative, without `..` and `\\`")]
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
    /// A link, which could point outside the source.
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
    /// Two files of one path with different contents.
    #[error("{path} appears twice, with different contents")]
    Twice {
        /// The path.
        path: String,
    },
    /// Too many files.
    #[error("more than {MAX_FILES} files and folders")]
    TooMany,
    /// Too many bytes.
    #[error("more than {} MiB in all, unpacked, with what is downloaded for it", MAX_BYTES >> 20)]
    TooLarge,
    /// The memory for large sources is in use; it is no fault of the files.
    #[error(
        "the source is larger than {} MiB, and the operator reads one such source at a time: this one is read when the scripts of the other are applied",
        SMALL_BYTES >> 20
    )]
    Busy,
    /// The memory for small sources is in use; it is no fault of the files.
    #[error(
        "the operator's memory for sources is full: this source is read when running migrations or seeds have ended"
    )]
    Full,
    /// Not an archive, or a damaged one.
    #[error("the archive cannot be unpacked, make it with `tar czf`: {0}")]
    Archive(String),
    /// Nothing is at `path`.
    #[error("there is nothing at path {path}; at the top there are: {there}")]
    NoPath {
        /// The path that the source names.
        path: String,
        /// Names at the top of the source.
        there: String,
    },
    /// Files, and no migration among them.
    #[error("it contains no migration{what}: {cure}")]
    NoMigration {
        /// What is there instead, or where none is.
        what: String,
        /// What a person can do.
        cure: &'static str,
    },
    /// Several folders of migrations.
    #[error("there are migrations in {0}: set path to the folder of one of them")]
    Several(String),
    /// A file that could be a migration, outside of the folder of migrations.
    #[error(
        "{path} is not in {folder}, where the migrations are: move it there if it is a migration, else remove it, or set path to \
         {folder}, so that nothing else of the source is used"
    )]
    Outside {
        /// The file.
        path: String,
        /// The folder of the migrations.
        folder: String,
    },
    /// A packed file among the migrations or the files of a seed.
    #[error(
        "{0} is packed, and it is not unpacked here: put its files there themselves, or pack the whole folder with `tar czf`, as \
         a key of a ConfigMap or a layer of an artifact that ends in .tar.gz or .tgz"
    )]
    Packed(String),
    /// A key of `binaryData` whose content is unknown.
    #[error(
        "{0} is neither text nor an archive that is unpacked: remove it, or give the key of an archive (`tar czf`) a name that ends \
         in .tar.gz or .tgz"
    )]
    Binary(String),
    /// A script or a table of a seed in a folder.
    #[error("{0} of the seed lies in a folder: set path to that folder or file")]
    Nested(String),
    /// A file of a seed that is not read, although its name suggests that it contains rows or statements.
    #[error(
        "{0} of the seed is not read: only .sql and .csv files are; turn it into one of these (rows into a .csv file with a line \
         of column names), or remove it from the source"
    )]
    Unread(String),
    /// An artifact whose layers are not scripts.
    #[error("the artifact cannot be used: {0}")]
    Artifact(String),
    /// Contents that do not match their digest.
    #[error("{0} does not match its digest")]
    Digest(String),
}

/// The most characters of a path or a text of somebody else's that are kept with a flaw.
const KEPT: usize = 500;

impl Flaw {
    /// The flaw with paths and texts cut to the length that is kept: those of a source may be as long as the source.
    #[must_use]
    pub fn brief(mut self) -> Self {
        match &mut self {
            Self::Path { path }
            | Self::Long { path }
            | Self::Link { path }
            | Self::Special { path }
            | Self::Twice { path } => {
                cut(path);
            }
            Self::NoPath {
                path: one,
                there: other,
            }
            | Self::Outside {
                path: one,
                folder: other,
            } => {
                cut(one);
                cut(other);
            }
            Self::NoMigration { what: text, .. }
            | Self::Archive(text)
            | Self::Several(text)
            | Self::Packed(text)
            | Self::Binary(text)
            | Self::Nested(text)
            | Self::Unread(text)
            | Self::Artifact(text)
            | Self::Digest(text) => cut(text),
            Self::TooMany | Self::TooLarge | Self::Busy | Self::Full => {}
        }
        self
    }
}

/// Leaves the first characters, and gives the memory of the others back.
fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(KEPT) {
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_that_is_kept_is_short() {
        let long = "é".repeat(100_000);
        for flaw in [
            Flaw::Path { path: long.clone() },
            Flaw::Long { path: long.clone() },
            Flaw::Twice { path: long.clone() },
            Flaw::NoPath {
                path: long.clone(),
                there: long.clone(),
            },
            Flaw::Archive(long.clone()),
            Flaw::Several(long.clone()),
            Flaw::Artifact(long.clone()),
        ] {
            assert!(flaw.brief().to_string().len() < 3000);
        }
        let short = Flaw::Path { path: "../a".into() };
        assert_eq!(short.clone().brief(), short);
    }
}
