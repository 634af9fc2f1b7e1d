//! What a database contains, and who has access to it: read before it is given to a tenant, and judged by [`judge()`].

mod facts;
mod judge;
mod observe;
mod open;

use sqlx::PgConnection;

use super::error::Result;
use super::wall::isolate;

pub use facts::{DatabaseHoldings, Holdings, LoginFacts, Open, Role, ServerHoldings};
pub use judge::{AcceptedHoldings, LeftBy, Objection, judge};
pub use observe::{check_project_is_alone, is_hosted_project, observe, session_role};
pub use open::{look_inside, open_databases};

/// Closes a database of which nothing that was `found` forbids its use, unless it is a hosted project's, and looks again:
/// until it is closed, a session of a neighbour may leave there what the next tenant's scripts call. Returns what is there
/// now, and what forbids its use.
///
/// # Errors
/// See [`super::Error`].
pub async fn close_if_fit(
    conn: &mut PgConnection,
    found: Holdings,
    allowed: &AcceptedHoldings,
) -> Result<(Holdings, Vec<Objection>)> {
    let objections = judge(&found, allowed);
    if !objections.is_empty() || found.is_hosted_project() {
        return Ok((found, objections));
    }
    isolate(conn).await?;
    let found = observe(conn).await?;
    let objections = judge(&found, allowed);
    Ok((found, objections))
}
