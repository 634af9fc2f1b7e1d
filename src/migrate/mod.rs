//! Migrations in the formats of Prisma, the Supabase CLI and sqlx, applied natively, and the seed:
//! source → format → policy → history → guard → apply.

mod apply;
mod blockers;
mod error;
mod fingerprint;
mod format;
pub mod guard;
mod history;
mod index;
mod lexer;
mod lock;
mod order;
mod parse;
mod policy;
mod redact;
mod run;
mod seed;
mod source;
mod tables;
mod unfinished;
mod watch;

pub use apply::{Limits, Options, Progress, Status, apply, pending};
pub use error::{Error, ScriptFailure};
pub use fingerprint::fingerprint;
pub use policy::Mode;
pub use seed::{Rendered, RowFailure, Script, SeedOutcome, SeedSource, Seeded, Variables, seed, seeded};
pub(crate) use source::hex;
pub use source::{Identity, MAX_MIGRATIONS, MAX_NAME_BYTES, MAX_SCRIPT_BYTES, Migration, Source, SourceError};

pub use tables::missing_tables;
pub use watch::Watch;

/// A short result of this module.
pub type Result<T> = std::result::Result<T, Error>;
