//! The review of a seed that is due in a database in use: it runs as the owner, beside rows that are not its own.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::source::{SeedPart, SeedSource};
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
    let (mut listed, mut scripts, mut rendered) = (Vec::new(), Vec::new(), 0);
    let mut unread = None;
    for part in source.parts() {
        let checksum = match part {
            SeedPart::Table(table) => hex::encode(Sha256::digest(table.file.as_bytes())),
            SeedPart::Script(script) => {
                rendered += if script.is_constant() { 0 } else { script.text().len() };
                if rendered > RENDERED {
                    unread = unread.or(Some(script.file.clone()));
                } else {
                    scripts.push(SeedScript {
                        file: script.file.clone(),
                        text: if script.is_constant() {
                            Arc::clone(script.text())
                        } else {
                            script.render(variables)?.text
                        },
                    });
                }
                script.hash()
            }
        };
        listed.push(PendingMigration {
            name: part.file().to_owned(),
            checksum,
        });
    }
    let findings = guard::judge_seed(conn, scripts, unread).await?;
    let plan = Plan::of_seed(source.digest(variables)?, listed, findings);
    Ok(Some(Review::of_seed(consent, plan)))
}
