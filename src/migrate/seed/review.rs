//! The review of a seed that is due in a database in use: it runs as the owner, beside rows that are not its own.

use std::sync::Arc;

use sqlx::PgConnection;

use super::source::SeedSource;
use super::variables::SeedVariables;
use crate::api::Approval;
use crate::migrate::error::Result;
use crate::migrate::guard::{self, Consent, PendingMigration, Plan, Review, SeedScript};

/// The most bytes of scripts with variables that are reviewed: their texts with the values are in memory together.
const RENDERED: usize = 8 << 20;

/// Reviews a seed. None where no review is needed: the policy is `Automatic`, or no tenant has had the database's login, so
/// that its rows come from the scripts. Writes nothing and takes no lock.
///
/// # Errors
/// [`Error::Source`](crate::migrate::Error::Source), when a variable has no usable value;
/// [`Error::Database`](crate::migrate::Error::Database); [`Error::Unreadable`](crate::migrate::Error::Unreadable).
pub async fn review_seed(
    conn: &mut PgConnection,
    source: &SeedSource,
    variables: &SeedVariables,
    consent: &Consent,
) -> Result<Option<Review>> {
    if !consent.handed_over || consent.policy == Approval::Automatic {
        return Ok(None);
    }
    let listed = source.parts().iter().map(|part| PendingMigration {
        name: part.file().to_owned(),
        checksum: part.hash(),
    });
    let (mut scripts, mut rendered, mut unread) = (Vec::new(), 0, None);
    for script in source.scripts() {
        if !script.is_constant() {
            rendered += script.text().len();
        }
        if rendered > RENDERED {
            unread = Some(script.file.clone());
            break;
        }
        let text = if script.is_constant() {
            Arc::clone(script.text())
        } else {
            script.render(variables)?.text
        };
        let file = script.file.clone();
        scripts.push(SeedScript { file, text });
    }
    let findings = guard::judge_seed(conn, scripts, unread).await?;
    let plan = Plan::of_seed(source.digest(variables)?, listed.collect(), findings);
    Ok(Some(Review::of_seed(consent, plan)))
}
