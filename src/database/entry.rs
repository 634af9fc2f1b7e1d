//! An entry of a static pool: whether it still leads to its database, as the pool found, and the reset of a released one.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::observe::Observed;
use super::plan::{ClaimState, EntryFacts, Reset, Step};
use super::reentry::enter_released;
use super::{Pass, former, status};
use crate::api::condition::{ConditionType, Reason};
use crate::api::names::{BACKUP_DATABASE_LABEL, label_of};
use crate::api::{
    ABANDON_ANNOTATION, ClaimReference, FormerLogins, OrchestraClass, Recycle, ResetDecision, is_abandoned,
};
use crate::class;
use crate::controller::background::{PATIENCE, WorkKind, WorkProgress};
use crate::controller::conditions::Conditions;
use crate::controller::error::Error;
use crate::controller::jobs;
use crate::controller::reconcile::Next;
use crate::credentials::entries::Trouble;
use crate::credentials::inventory;
use crate::migrate::Watch;
use crate::postgres;
use crate::postgres::reset::{CONFINED, Stay, reset};
use crate::text;

/// The pool has not checked the entry yet.
pub const UNSEEN: EntryFacts = EntryFacts {
    out: None,
    reset: Reset::Never,
    logins_left: false,
};

/// When a pass checks again a reset whose end should have triggered the database.
const FALLBACK: Duration = Duration::from_mins(1);

/// How often the Jobs that read the database are checked for their end.
const JOBS: Duration = Duration::from_secs(5);

/// The most remaining objects that a message names.
const NAMED: usize = 8;

/// What is known of the entry, and what is wrong with it. Before the pool has checked it, a database that waits for a claim
/// is as before, and its status stays.
pub async fn observe(pass: &Pass, claim: ClaimState) -> Result<(EntryFacts, Option<Trouble>), Error> {
    let known = pass.ctx.credentials.entries.of(pass.name());
    let was_out = known.is_none() && claim == ClaimState::None && pass.object.is_not_ready();
    let trouble = known.flatten();
    let out = trouble.as_ref().map(|trouble| (trouble.reason, trouble.passing));
    let entry = EntryFacts {
        out: out.or_else(|| was_out.then_some((Reason::Pending, true))),
        reset: reset_state(pass, claim).await?,
        logins_left: former::are_due(pass, claim),
    };
    Ok((entry, trouble))
}

/// What happens with the database once it is released. When its entry was removed, the database is given to nobody.
async fn reset_state(pass: &Pass, claim: ClaimState) -> Result<Reset, Error> {
    let Some(entry) = pass
        .object
        .spec
        .inventory
        .as_ref()
        .filter(|_| claim == ClaimState::Released && pass.object.spec.recycle == Some(Recycle::Reset))
    else {
        return Ok(Reset::Never);
    };
    let pool = pass.ctx.core.stores.pools.get(&ObjectRef::new(&entry.pool));
    let recycles = pool.as_ref().filter(|pool| pool.recycle() == Some(Recycle::Reset));
    let Some(pool) = recycles else {
        return Ok(Reset::Never);
    };
    if pass.is_reset {
        return Ok(Reset::Done);
    }
    let inventory = inventory::inventory(&pass.ctx.credentials, pool).await?;
    Ok(
        match (inventory.contains_key(&entry.key), pass.object.is_being_reset()) {
            (false, _) => Reset::Never,
            (true, false) => Reset::Wanted,
            (true, true) => Reset::Decided,
        },
    )
}

/// The class, which decides what precedes a reset; none where no reset is to come. A reset that was decided continues
/// without its class.
///
/// # Errors
/// When the class is not there, or cannot be read.
pub fn class_of_reset(pass: &Pass, reset: Reset) -> Result<Option<Arc<OrchestraClass>>, Error> {
    let deleting = pass.object.metadata.deletion_timestamp.is_some();
    if !is_to_come(reset, deleting, is_abandoned(&pass.object)) {
        return Ok(None);
    }
    match class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref()) {
        Err(error) if deleting && matches!(error.reason(), Reason::ClassNotFound | Reason::NoDefaultClass) => Ok(None),
        class => class.map(Some),
    }
}

/// Whether a database may still be reset: one that is being deleted is only where that was decided.
fn is_to_come(reset: Reset, deleting: bool, abandoned: bool) -> bool {
    match (reset, deleting) {
        (Reset::Never, _) => false,
        (Reset::Decided, true) => !abandoned,
        (_, deleting) => !deleting,
    }
}

/// Records the decision, by compare-and-swap: an Orchestra that takes the database back at this moment wins or fails.
pub async fn decide(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(claim) = pass.object.spec.claim_ref.clone() else {
        return Ok(());
    };
    status::change(pass, Step::DecideReset, observed, |status| {
        status.reset = Some(ResetDecision {
            claim_uid: claim.uid,
            at: Time(observed.now),
        });
    })
    .await
}

/// Drops everything in the database, in the background.
pub async fn drop_everything(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let (ctx, uid) = (pass.ctx.clone(), pass.object.uid().unwrap_or_default());
    if ctx.resets.under_way_of(&uid).is_none() {
        // No new backup Job starts after the reset is decided.
        if jobs::are_under_way(&ctx.core, BACKUP_DATABASE_LABEL, &label_of(pass.name())).await? {
            tracing::info!(
                database = pass.name(),
                "a Job of a backup reads the database: it is reset afterwards"
            );
            return Ok(Some(Next::After(JOBS)));
        }
        if let Some(wait) = ctx.logins.wait(pass.name(), ctx.core.settings.login_spacing) {
            return Ok(Some(Next::After(wait)));
        }
        let (object, all) = (pass.object.clone(), ctx.clone());
        let work = async move { run(&all, &object).await };
        let key = ObjectRef::from_obj(&pass.object);
        ctx.resets.start((&uid, key), WorkKind::Reset, Watch::default(), work);
    }
    match ctx.resets.progress(&uid, PATIENCE).await? {
        WorkProgress::Done(()) => {
            tracing::info!(database = pass.name(), "the database was reset");
            pass.is_reset = true;
            Ok(None)
        }
        WorkProgress::Running(..) | WorkProgress::None => Ok(Some(Next::After(FALLBACK))),
    }
}

/// Resets the database of the entry: its identity and its claim record are compared in the session that drops.
async fn run(ctx: &super::Context, object: &crate::api::OrchestraDatabase) -> Result<(), Error> {
    let (Some(entry), Some(claim)) = (&object.spec.inventory, &object.spec.claim_ref) else {
        return Ok(());
    };
    let login = inventory::owner_login(&ctx.credentials, entry).await?;
    let uids = object.spec.former_uids.iter().chain([&claim.uid]);
    let uids: Vec<_> = uids.map(String::as_str).collect();
    let mut session = enter_released(ctx, object, (login, None), &uids).await?;
    if object.spec.former_logins == Some(FormerLogins::Left) {
        // The Orchestra was deleted while the database did not answer, perhaps in the middle of its claim.
        former::record(&mut session, object, claim).await;
    }
    let limit = ctx.core.settings.migration_limit;
    let done = tokio::time::timeout(limit, reset(&mut session, &uids)).await;
    let done = done.map_err(|_| postgres::Error::Timeout(limit))?;
    let pool = ctx.core.stores.pools.get(&ObjectRef::new(&entry.pool));
    let made = pool.is_some_and(|pool| pool.spec.server.is_some());
    done?.map_err(|stay| told_of(&stay, claim, made))
}

/// Why a database was not reset, and what to do. To recreate it is advised only where it is known to be the tenant's. `made`
/// says whether the pool makes its databases itself, so that there is no entry that an admin could remove or recreate.
fn told_of(stay: &Stay, claim: &ClaimReference, made: bool) -> Error {
    const NOTHING: &str = "the database was not reset, and nothing was dropped";
    let not_reset = |message: String| Error::blocked(Reason::NotReset, message);
    let (anew, remove) = if made {
        let anew = format!(
            "remove the OrchestraDatabase (annotation {ABANDON_ANNOTATION}=true) and drop it as an admin of the server"
        );
        // Without an OrchestraDatabase and a claim record, the pool may drop it itself.
        (anew, "leave it as it is")
    } else {
        let anew = "recreate the entry's database with the statements that `orchestra-operator recycle` prints";
        (anew.to_owned(), "remove the entry from the inventory")
    };
    match stay {
        Stay::Hosted => not_reset(format!(
            "{NOTHING}: it is a hosted project's, whose services keep data of their own in it. It stays out of the pool: remove \
             the entry, or recreate the project at its provider once nobody needs its data, and write the new URL into the entry"
        )),
        Stay::Login => not_reset(format!(
            "{NOTHING}: the entry's login is a superuser, does not own the database, or owns others as well. It stays out of \
             the pool: give the entry the URL of a login that owns this database alone, and the operator continues; or remove \
             the entry"
        )),
        Stay::Version(version) => not_reset(format!(
            "{NOTHING}: its server runs PostgreSQL {version}, which does not show which roles a script has created: \
             {CONFINED} or later does. It stays out of the pool. Once nobody needs its data, {anew}; or {remove}"
        )),
        Stay::Unclear => Error::blocked(
            Reason::ClaimRecordMissing,
            format!(
                "{NOTHING}: the database does not carry the claim record of Orchestra {}/{} ({}), which used it: it may belong to \
                 somebody else now. Find out to whom it belongs, and drop nothing: {remove}; or, if it is still the database of \
                 that Orchestra, restore the record in the table stagesub.claim; the operator then continues",
                claim.namespace, claim.name, claim.uid
            ),
        ),
        Stay::InUse(who) => Error::blocked(
            Reason::InUse,
            format!("{NOTHING}: {who}. It is reset when nobody uses it any more"),
        ),
        Stay::Left(left) => not_reset(format!(
            "the tenant's data is dropped, but the database still differs from an empty one and stays out of the pool: {}. The \
             entry's login may not drop these: find out who created them. If nobody needs them, drop them as an admin of the \
             server; the operator then continues. Or {anew}",
            text::names(left, NAMED, left.len())
        )),
    }
}

/// Reports an entry that can no longer be used while an Orchestra uses its database. The tenant keeps using it.
pub fn tell(pass: &Pass, observed: &Observed, conditions: &mut Conditions<'_>) {
    if pass.object.spec.inventory.is_none() || observed.facts.claim != ClaimState::Held {
        return;
    }
    match (&observed.trouble, pass.ctx.credentials.entries.of(pass.name())) {
        (_, None) => conditions.keep_shown(ConditionType::EntryUsable),
        (Some(trouble), _) if !trouble.passing => {
            let message = match trouble.reason {
                Reason::EntryRemoved => trouble.message.clone(),
                _ => format!("{}. The claim still refers to the original database", trouble.message),
            };
            conditions.set(ConditionType::EntryUsable, false, trouble.reason, &message);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn making_an_entry_anew_is_advised_only_where_the_database_is_known_to_be_its_tenants() {
        let claim = ClaimReference {
            namespace: "tenants".into(),
            name: "first".into(),
            uid: "a-uid".into(),
            namespace_uid: None,
        };
        for (stay, reason, anew) in [
            (Stay::Hosted, Reason::NotReset, false),
            (Stay::Login, Reason::NotReset, false),
            (Stay::Version(15), Reason::NotReset, true),
            (Stay::Unclear, Reason::ClaimRecordMissing, false),
            (Stay::InUse("somebody".into()), Reason::InUse, false),
            (Stay::Left(vec!["schema of_an_admin".into()]), Reason::NotReset, true),
        ] {
            let error = told_of(&stay, &claim, false);
            assert_eq!(error.reason(), reason, "{stay:?}");
            assert_eq!(error.to_string().contains("recycle"), anew, "{error}");
            // The command refuses an entry that a pool has made itself.
            let made = told_of(&stay, &claim, true);
            assert_eq!(made.reason(), reason, "{stay:?}");
            assert!(!made.to_string().contains("recycle"), "{made}");
            assert_eq!(made.to_string().contains("and drop it"), anew, "{made}");
        }
        let unclear = told_of(&Stay::Unclear, &claim, false).to_string();
        assert!(
            unclear.contains("drop nothing") && unclear.contains("tenants/first (a-uid)"),
            "{unclear}"
        );
    }

    #[test]
    fn a_database_that_is_being_deleted_is_reset_only_where_that_was_decided() {
        for (reset, living, leaving) in [
            (Reset::Never, false, false),
            (Reset::Wanted, true, false),
            (Reset::Decided, true, true),
            (Reset::Done, true, false),
        ] {
            assert_eq!(is_to_come(reset, false, false), living, "{reset:?}");
            assert_eq!(is_to_come(reset, true, false), leaving, "{reset:?}");
            assert!(!is_to_come(reset, true, true), "{reset:?}");
        }
    }
}
