//! PostgreSQL's lexical rules, as far as needed to find where statements begin and end and what
//! they are: PostgreSQL manual 4.1 "Lexical Structure", and psql's rule for `BEGIN ATOMIC` bodies.

mod literals;
mod statement;
mod token;
mod variables;

pub use literals::without_literals;
pub use statement::{Piece, StatementKind, concurrent_index, split};
pub use token::LexError;
pub use variables::{Quoting, Variable, variables};
