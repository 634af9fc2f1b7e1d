//! Checks in the background whether the entries of members still lead to their databases, and whether their servers answer.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use sha2::{Digest as _, Sha256};

use super::attempts::{Attempt, AttemptState, Refusal};
use super::plan::{EntryMember, EntryMemberState};
use super::{PATIENCE, Pass, probe};
use crate::api::OrchestraDatabase;
use crate::api::condition::Reason;
use crate::api::names::IDENTITY_ANNOTATION;
use crate::controller::background::WorkKind;
use crate::controller::error::Error;
use crate::credentials::entries::Trouble;
use crate::credentials::inventory::{self, Inventory};
use crate::migrate::Watch;
use crate::postgres::{self, Login};

/// The result of a check: none when the entry leads to the member's database, and else the refusal of the other one.
pub type CheckResult = Option<Refusal>;

/// The states of a pool's members.
#[derive(Default)]
pub struct MemberChecks {
    /// For the plan.
    pub members: Vec<EntryMember>,
    /// Names of the unclaimed members whose entries lead to other databases.
    pub moved: Vec<String>,
    /// What the status says, by the keys of the entries.
    pub refusals: Vec<(String, Refusal)>,
}

/// The states of the members that are claimed or wait for a claim.
pub fn observe<'a>(
    pass: &Pass,
    inventory: &Inventory,
    members: impl Iterator<Item = (&'a str, &'a OrchestraDatabase)>,
) -> MemberChecks {
    let mut checks = MemberChecks::default();
    for (key, member) in members {
        let free = member.is_unclaimed();
        if !(free || member.is_held()) {
            checks
                .refusals
                .extend(not_reset(member).map(|refusal| (key.to_owned(), refusal)));
            continue;
        }
        let Some(url) = inventory.get(key) else {
            checks
                .refusals
                .extend((!free).then(|| (key.to_owned(), removed(key, member))));
            continue;
        };
        let attempt = pass
            .ctx
            .memory
            .checks
            .get(pass.uid(), key, &subject(inventory, key, member));
        let other = attempt.as_ref().and_then(|attempt| match &attempt.state {
            AttemptState::Done(found) => found.clone(),
            _ => None,
        });
        if free && other.is_some() {
            checks.moved.push(member.name_any());
            continue;
        }
        let refusal = attempt.as_ref().and_then(|attempt| attempt.refusal.clone());
        let told = other.or_else(|| refusal.filter(|refusal| free || !refusal.is_passing()));
        checks.refusals.extend(told.map(|refusal| (key.to_owned(), refusal)));
        let login = Login::parse(url).ok();
        checks.members.push(EntryMember {
            key: key.to_owned(),
            server: login.map(|login| format!("{}:{}", login.host, login.port)),
            free,
            state: attempt.map_or(EntryMemberState::Unknown, state),
        });
    }
    checks
}

fn state(attempt: Attempt<CheckResult>) -> EntryMemberState {
    let age = attempt.age();
    match (attempt.state, attempt.refusal) {
        // Its task was interrupted, or it would have ended by now.
        (AttemptState::Running, _) if age > probe::LIMIT + PATIENCE => EntryMemberState::Unknown,
        (AttemptState::Running, _) => EntryMemberState::Looking,
        (AttemptState::Done(None), _) => EntryMemberState::Well { age },
        (AttemptState::Refused, Some(refusal)) if refusal.reason == Reason::DatabaseUnreachable => {
            EntryMemberState::Silent { age }
        }
        (AttemptState::Refused, Some(refusal)) => EntryMemberState::Refused {
            age,
            passing: refusal.is_passing(),
        },
        (AttemptState::Done(Some(_)) | AttemptState::Refused, _) => EntryMemberState::Refused { age, passing: false },
    }
}

/// Whether a member that waits for a claim cannot be claimed now.
pub fn is_out(pass: &Pass, member: &OrchestraDatabase) -> bool {
    match pass.ctx.credentials.entries.of(&member.name_any()) {
        Some(trouble) => trouble.is_some(),
        // Its state from before the operator started. A new one has no condition yet.
        None => member.is_not_ready(),
    }
}

/// The message about a released member that its pool resets, and that still differs from an empty database.
fn not_reset(member: &OrchestraDatabase) -> Option<Refusal> {
    let (reason, message) = member.stalled().filter(|_| member.is_being_reset())?;
    Some(Refusal::from(Error::blocked(reason, message)))
}

/// The message of an entry that was removed from the inventory while an Orchestra uses its database.
fn removed(key: &str, member: &OrchestraDatabase) -> Refusal {
    let message = format!(
        "{key} was removed from the inventory while {} uses its database (OrchestraDatabase {}): the tenant keeps its \
         login, which the operator can neither change nor revoke, and no migration is applied. Put the entry back under \
         this key, with the same database",
        user(member),
        member.name_any()
    );
    Refusal::from(Error::blocked(Reason::EntryRemoved, message))
}

fn user(member: &OrchestraDatabase) -> String {
    let claim = member.spec.claim_ref.as_ref();
    claim.map_or_else(
        || "nobody".to_owned(),
        |claim| format!("Orchestra {}/{}", claim.namespace, claim.name),
    )
}

/// What a check is remembered by: a changed URL or a changed confirmation by an admin is checked at once.
fn subject(inventory: &Inventory, key: &str, member: &OrchestraDatabase) -> String {
    let confirmed = member.annotations().get(IDENTITY_ANNOTATION);
    let hash = Sha256::new_with_prefix(member.name_any())
        .chain_update([0])
        .chain_update(confirmed.map(String::as_str).unwrap_or_default())
        .chain_update([0])
        .chain_update(inventory.digest(key).unwrap_or_default());
    hex::encode(hash.finalize())
}

/// Starts the check of a member. Its end triggers the pool, and the OrchestraDatabase when the result has changed.
pub fn begin(pass: &Pass, inventory: &Arc<Inventory>, key: &str, member: &OrchestraDatabase) {
    let (uid, subject, work) = (
        pass.uid().to_owned(),
        subject(inventory, key, member),
        id(pass.uid(), key),
    );
    let (ctx, memory, entries) = (&pass.ctx, pass.ctx.memory.clone(), pass.ctx.credentials.clone());
    // A check of the earlier entry, or one that was interrupted.
    ctx.probes.stop(&work);
    memory.checks.begin(&uid, key, &subject);
    let (roots, wake) = (ctx.core.settings.database_roots.clone(), ctx.wake.clone());
    let logins = ctx.logins.clone();
    let (key, inventory, member) = (key.to_owned(), inventory.clone(), member.clone());
    let look = async move {
        let outcome = probe::bounded(async {
            let login = probe::login(&inventory, &key, &roots)?;
            // Another URL is tried at once, whatever the last result was; the same one at the interval of checks.
            let mut session = logins.connect(&member.name_any(), &login, Duration::ZERO).await?;
            let found = postgres::identity(&mut session).await?;
            if member.is_unclaimed() {
                probe::check_owner(&mut session, &login).await?;
            }
            Ok(inventory::moved(&found, &member).map(|error| Refusal::from(&error)))
        });
        let outcome = outcome.await.map_err(|error| Refusal::from(&error));
        let refusal = match &outcome {
            Ok(found) => found.as_ref(),
            Err(refusal) => Some(refusal),
        };
        entries.entries.note(&member.name_any(), refusal.map(trouble));
        memory.checks.end(&uid, &key, &subject, outcome);
        // The API of the entry may have changed.
        let claim = member.spec.claim_ref.as_ref().filter(|_| member.is_held());
        if let Some(claim) = claim {
            let _ = wake.send(ObjectRef::new(&claim.name).within(&claim.namespace));
        }
        Ok(())
    };
    let object = ObjectRef::from_obj(&*pass.pool);
    pass.ctx
        .probes
        .start((&work, object), WorkKind::Probe, Watch::default(), look);
}

/// The identity in the background work of the check of an entry's member.
pub fn id(pool: &str, key: &str) -> String {
    format!("{pool}/{key}/member")
}

fn trouble(refusal: &Refusal) -> Trouble {
    Trouble {
        reason: refusal.reason,
        message: refusal.message.clone(),
        passing: refusal.is_passing(),
    }
}

/// Records which entries of claimed members were removed, and forgets the results of members that are gone.
pub fn note(pass: &Pass, inventory: &Inventory, members: &[Arc<OrchestraDatabase>]) {
    let entries = &pass.ctx.credentials.entries;
    for member in members.iter().filter(|member| member.is_held()) {
        let Some(key) = super::preparation::key(member) else {
            continue;
        };
        if !inventory.contains_key(key) {
            entries.note(&member.name_any(), Some(trouble(&removed(key, member))));
        }
    }
    let checks = &pass.ctx.memory.checks;
    for key in checks.retain(pass.uid(), |key| inventory.contains_key(key)) {
        pass.ctx.probes.stop(&id(pass.uid(), &key));
    }
}
