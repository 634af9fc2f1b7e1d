//! The history of a database's migrations, in the table of the tool whose format they have. That table is the only
//! record, so the tool can continue after the operator, and the operator after the tool.

mod complete;
mod divergence;
mod prisma;
mod record;
mod settle;
mod sqlx;
mod supabase;
mod tool_table;

pub use record::Head;
pub(super) use record::{History, HistoryRow};
