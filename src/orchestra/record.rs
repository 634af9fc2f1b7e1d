//! The claim record inside the database, which keeps other Orchestras out.

use sqlx::postgres::PgConnection;

use super::Pass;
use crate::api::OrchestraDatabase;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::postgres::claim_record::{self, ClaimRecord};

/// The Orchestra as a claim record names it.
pub fn own(pass: &Pass) -> (&str, &str, &str) {
    (pass.uid(), pass.namespace(), pass.name())
}

/// Records the claim inside the database. Fails when the database has the record of another Orchestra.
pub async fn claim(session: &mut PgConnection, pass: &Pass, database: &OrchestraDatabase) -> Result<(), Error> {
    match claim_record::claim(session, own(pass), &database.spec.former_uids).await? {
        ClaimRecord::Ours => Ok(()),
        ClaimRecord::Other { uid, namespace, name } => Err(Error::blocked(
            Reason::ClaimConflict,
            format!(
                "the database carries the claim record of Orchestra {namespace}/{name} ({uid}) and may hold its data{}. Drop nothing \
                 while that Orchestra may exist, here or in another cluster. {}",
                untouched(database),
                cure_of_conflict(pass.is_serving(), database.spec.inventory.is_some())
            ),
        )),
    }
}

/// Whether the operator has changed anything in a database that two Orchestras claim, for the message.
fn untouched(database: &OrchestraDatabase) -> &'static str {
    match database.adopted() {
        // The password of an adopted project may be set before its claim record can be read.
        Some(adopted) if adopted.adopt.reset_password => "",
        _ => ": nothing was changed there",
    }
}

/// Advice about a database that two Orchestras claim. Only an Orchestra that never used its pool entry can be deleted
/// without risk.
fn cure_of_conflict(serving: bool, entry: bool) -> &'static str {
    if entry && !serving {
        "This Orchestra never used the database: delete it and create it again, and it claims another one"
    } else {
        "This Orchestra may have its data there, too: find out which of the two uses the database, and who has written \
         the other claim record into the table stagesub.claim"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_orchestra_that_has_nothing_to_lose_is_told_to_be_deleted() {
        assert!(cure_of_conflict(false, true).contains("delete it"));
        for (serving, entry) in [(true, true), (true, false), (false, false)] {
            assert!(!cure_of_conflict(serving, entry).contains("delete"));
        }
    }
}
