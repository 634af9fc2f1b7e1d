//! What a database contains, and who has access to it: read before it is given to a tenant, and judged by [`judge()`].

mod facts;
mod judge;
mod observe;

pub use facts::{DatabaseHoldings, Holdings, LoginFacts, Open, Role, ServerHoldings};
pub use judge::{AcceptedHoldings, LeftBy, Objection, judge};
pub use observe::{is_hosted_project, observe, open_databases};
