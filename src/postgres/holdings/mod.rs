//! What a database holds, and who reaches it: looked at before it is handed to a tenant, and judged by
//! [`judge()`].

mod facts;
mod judge;
mod observe;

pub use facts::{Database, Holdings, LoginFacts, Open, Role, Server};
pub use judge::{Allowed, LeftBy, Objection, is_tenants, judge};
pub use observe::{is_hosted_project, observe};
