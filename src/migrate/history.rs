//! What a database records of its migrations, in the table of the tool whose format they are in. That
//! table is the only record: the tool itself can go on from here, and the operator from what the tool did.

mod divergence;
mod prisma;
mod record;
mod settle;
mod sqlx;
mod supabase;
mod tool_table;

pub use record::Head;
pub(super) use record::{Entry, History};
