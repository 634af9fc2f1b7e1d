//! Migrations in the formats of Prisma, the Supabase CLI and sqlx, applied natively, and the seed:
//! source → format → policy → history → guard → apply.

mod apply;
mod error;
mod format;
pub mod guard;
mod history;
mod index;
mod lexer;
mod lock;
mod policy;
mod seed;
mod source;

pub use apply::{Limits, Progress, Status, apply, apply_with, pending};
pub use error::{Error, ScriptFailure};
pub use policy::Mode;
pub use seed::{SeedOutcome, Seeded, seed, seeded};
pub(crate) use source::hex;
pub use source::{Identity, MAX_MIGRATIONS, MAX_NAME_BYTES, MAX_SCRIPT_BYTES, Migration, Source, SourceError};

/// A short result of this module.
pub type Result<T> = std::result::Result<T, Error>;
