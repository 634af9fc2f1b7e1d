//! Finds out how large a backup of an Orchestra is: by its last complete backup, by what was recorded, or by the size of its
//! database.

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::estimate::Sizes;
use crate::api::{Orchestra, OrchestraBackup, OrchestraDatabase};
use crate::backup::{Context, order};
use crate::postgres;

/// The sizes; none while they cannot be known.
pub async fn look(ctx: &Context, object: &Orchestra) -> Option<Sizes> {
    if let Some(known) = of_last_backup(ctx, object).or_else(|| recorded(object)) {
        return Some(known);
    }
    let name = object.status.as_ref()?.database_name.as_deref()?;
    let database = ctx.core.stores.databases.get(&ObjectRef::new(name))?;
    let claim = database.spec.claim_ref.as_ref()?;
    let is_its_own = Some(&claim.uid) == object.metadata.uid.as_ref() && database.is_held();
    if !is_its_own || !object.is_published() || object.is_asleep() {
        return None;
    }
    measure(ctx, &database).await.map(Sizes::of_database)
}

/// The sizes that the last complete backup has, whoever has made it.
fn of_last_backup(ctx: &Context, object: &Orchestra) -> Option<Sizes> {
    let (name, of) = (object.name_any(), &object.metadata);
    let all = ctx.core.stores.backups.state_filter(|backup| {
        let uid = backup.status.as_ref().and_then(|status| status.orchestra_uid.as_ref());
        backup.spec.orchestra_ref.name == name
            && backup.metadata.namespace == of.namespace
            && uid == of.uid.as_ref()
            && backup.is_complete()
    });
    let sizes = |backup: &OrchestraBackup| {
        let status = backup.status.as_ref()?;
        Some((backup.taken(), number(status.raw_bytes?), number(status.bytes?)))
    };
    let last = all
        .iter()
        .filter_map(|backup| sizes(backup))
        .max_by_key(|(taken, ..)| *taken);
    last.map(|(_, sent, stored)| Sizes { sent, stored })
}

fn recorded(object: &Orchestra) -> Option<Sizes> {
    let known = object.status.as_ref()?.backup.as_ref()?.estimate.as_ref()?;
    Some(Sizes {
        sent: number(known.sent_bytes),
        stored: number(known.stored_bytes),
    })
}

fn number(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or_default()
}

/// Asks the database for its size, in one session of its owner. A failure is not an error of the pass.
async fn measure(ctx: &Context, database: &OrchestraDatabase) -> Option<u64> {
    let login = order::login(ctx, database).await.ok()?;
    match Box::pin(postgres::probe(&login, true)).await {
        Ok(measured) => measured.map(|measured| number(measured.bytes)),
        Err(fault) => {
            tracing::info!(
                database = database.name_any(),
                ?fault,
                "the size of a database cannot be read for the estimate of its backups"
            );
            None
        }
    }
}
