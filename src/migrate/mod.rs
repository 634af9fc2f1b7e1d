//! Migrations in the formats of Prisma, the Supabase CLI and sqlx, which the operator applies itself, and seeds:
//! source → format → mode → history → guard → apply.

mod apply;
mod aside;
mod blockers;
mod claimed;
mod claims;
mod content;
mod ending;
mod error;
mod failure;
mod fingerprint;
mod foreign;
mod format;
pub mod guard;
mod history;
mod index;
mod kinds;
mod lexer;
mod lock;
mod look;
mod missing_tables;
mod mode;
mod options;
mod order;
mod parse;
mod redact;
mod run;
mod run_event;
mod run_mode;
mod script_text;
mod script_words;
mod seed;
mod session;
mod source;
mod source_error;
mod status;
mod steps;
mod unfinished;
mod unrecorded;
mod watch;

pub use apply::apply;
pub use aside::aside;
pub use content::{Content, MemoryPermit};
pub use ending::{is_or_was, is_script};
pub use error::{Error, Result};
pub use failure::{RecordSpoiled, RowFailure, ScriptFailure};
pub use fingerprint::fingerprint;
pub use format::is_numbered;
pub use look::HistoryLook;
pub use mode::Mode;
pub use options::{Options, TimeLimits};
pub use run_event::RunEvent;
pub use script_text::MAX_SCRIPT_BYTES;
pub use seed::{
    Rendered, Script, SeedOutcome, SeedSource, SeedVariables, Seeded, SequenceBehind, review_seed, seed, seeded,
    sequences_behind,
};
pub use session::supervised;
pub use source::{MAX_NAME_BYTES, Migration, MigrationId, Source};
pub use source_error::{MAX_MIGRATIONS, SourceError};
pub use status::MigrationsStatus;
pub use watch::{Note, Notes, Watch};
