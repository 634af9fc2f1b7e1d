//! Migrations in Prisma's format, applied natively, and the seed: source → lexer → history → apply.

mod apply;
mod error;
mod history;
mod index;
mod lexer;
mod seed;
mod source;

pub use apply::{Limits, Progress, Status, apply, pending};
pub use error::{Error, ScriptFailure};
pub use seed::{SeedOutcome, Seeded, seed, seeded};
pub(crate) use source::hex;
pub use source::{MAX_MIGRATIONS, MAX_NAME_BYTES, MAX_SCRIPT_BYTES, Migration, Mode, Source, SourceError};

/// A short result of this module.
pub type Result<T> = std::result::Result<T, Error>;
