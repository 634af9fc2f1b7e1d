//! The part of PostgreSQL's lexical rules that finds where statements begin and end, and how they relate to
//! transactions: PostgreSQL manual 4.1 "Lexical Structure", and psql's rule for `BEGIN ATOMIC` bodies.
//!
//! No crate serves: `pg_query` gives no position of a lexical error, its scanner's split divides `BEGIN ATOMIC` bodies
//! and drops pieces without a keyword, and its parser's split refuses a whole script for one unknown statement or a
//! psql variable.

mod literals;
mod statement;
mod token;
mod variables;

pub use literals::{rows, without_literals};
pub use statement::{FROM_STDIN, Piece, StatementKind, TO_STDOUT, split};
pub use token::LexError;
pub use variables::{Quoting, Variable, variables};
