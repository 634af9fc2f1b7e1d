//! What a database holds, and who reaches it: looked at before it is handed to a tenant, and judged by
//! [`judge()`].

mod facts;
mod judge;
mod observe;

pub use facts::{DatabaseHoldings, Holdings, LoginFacts, Open, Role, ServerHoldings};
pub use judge::{AcceptedHoldings, LeftBy, Objection, judge};
pub use observe::{is_hosted_project, observe, open_databases};
