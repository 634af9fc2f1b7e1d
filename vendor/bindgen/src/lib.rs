//! Stands in the place of bindgen (`[patch.crates-io]` in the workspace's `Cargo.toml`) for its only
//! user here, the build script of `pg_query`. The true one needs libclang to read C headers, which few
//! machines have; this one hands out what the true one wrote for this very header, and a C compiler is
//! all that is needed to build.
//!
//! `pg_query.rs` was written by bindgen 0.66.1 from the `pg_query.h` of `pg_query` 18.1.0, with
//! `allowlist_function("pg_query_.*")`, `allowlist_type("PgQuery.*")`, `allowlist_var("PG_.*")` and
//! `layout_tests(false)`. Its types are those of any 64-bit Unix. For another version of `pg_query`,
//! write it anew in the same way, and put the headers' fingerprint, which the error tells, into
//! `HEADERS`.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

const BINDINGS: &str = include_str!("pg_query.rs");

/// Fingerprint of `pg_query.h` and `postgres_deparse.h`, for which the bindings were written.
const HEADERS: u64 = 0x4697_f517_3f3c_4199;

/// What `pg_query` uses of bindgen's builder.
#[derive(Debug, Default)]
pub struct Builder {
    header: PathBuf,
}

/// The bindings.
#[derive(Debug)]
pub struct Bindings(());

/// Why there are no bindings.
#[derive(Debug)]
pub enum Error {
    /// A header cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The bindings were written for another header; its fingerprint is told.
    Unknown(u64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Unknown(found) => write!(
                f,
                "vendor/bindgen has bindings for another version of pg_query (these headers: {found:#018x}); see its lib.rs"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl Builder {
    /// Names the header.
    #[must_use]
    pub fn header(mut self, header: impl Into<String>) -> Self {
        self.header = header.into().into();
        self
    }

    /// Hands out the bindings, when they are those of the header.
    ///
    /// # Errors
    /// When they are not.
    pub fn generate(self) -> Result<Bindings, Error> {
        let beside = self.header.with_file_name("postgres_deparse.h");
        let mut found = FNV_BASIS;
        for path in [self.header, beside] {
            let bytes = fs::read(&path).map_err(|error| Error::Unreadable(path, error))?;
            found = fingerprint(found, &bytes);
        }
        if found == HEADERS {
            Ok(Bindings(()))
        } else {
            Err(Error::Unknown(found))
        }
    }
}

impl Bindings {
    /// Writes them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_to_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        fs::write(path, BINDINGS)
    }
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a.
fn fingerprint(basis: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(basis, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
