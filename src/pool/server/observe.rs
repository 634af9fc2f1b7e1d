//! Looks up the facts for [`super::plan`]: the entries of the pool, and their states. It only reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::password;
use super::plan::{Facts, Need, ServerEntry, ServerWork};
use super::work::{self, ServerTask};
use crate::api::condition::Reason;
use crate::api::{GoDuration, OrchestraDatabase, POOL_FINALIZER};
use crate::controller::error::Error;
use crate::credentials::inventory::{self, Inventory};
use crate::credentials::made::{self, MadeEntry};
use crate::pool::attempts::{Attempt, AttemptState, Refusal};
use crate::pool::observe::unprepared_state;
use crate::pool::plan::{RefusedEntry, UnpreparedState};
use crate::pool::wanted::{self, MemberContents};
use crate::pool::warm::plan::{self as counting, MemberSupply, WarmMember, WarmMemberState};
use crate::pool::{PASS_TIME, PATIENCE, Pass, checks, probe};

/// Databases that wait for a claim when the pool does not say how many.
const REPLICAS: i32 = 1;

/// Databases on the server at most when the pool does not say.
const MOST: i32 = 100;

/// Entries that the server works on at once when the pool does not say.
const AT_ONCE: i32 = 3;

/// How long work that is done is not begun again where its entry asks for it: the pass may have listed the entry before the
/// work ended, and a finalizer of somebody else may keep its Secret.
const SHOWN: Duration = Duration::from_secs(10);

/// What was looked up.
pub struct Observed {
    /// The time of this look.
    pub now: Timestamp,
    /// The facts for the plan.
    pub facts: Facts,
    /// The entries by the names of their Secrets.
    pub entries: HashMap<String, MadeEntry>,
    /// How many databases `replicas` asks for.
    pub wanted: usize,
    /// How many the server may have in all.
    pub most: usize,
    /// How many are claimed.
    pub bound: usize,
    /// What the status says about entries, by the names of their Secrets.
    pub refusals: Vec<(String, Refusal)>,
    /// What the databases are to be prepared with; none where that is unknown.
    pub template: Option<Arc<MemberContents>>,
}

pub async fn observe(pass: &Pass) -> Result<Observed, Error> {
    let (core, pool) = (&pass.ctx.core, &pass.pool);
    let entries = made::entries(core, pass.name());
    let number = |of: Option<i32>, otherwise: i32| usize::try_from(of.unwrap_or(otherwise)).unwrap_or_default();
    let deleting = pool.metadata.deletion_timestamp.is_some();
    let server = pool.spec.server.as_ref();
    let most = number(server.and_then(|server| server.max), MOST);
    let wanted = number(pool.spec.replicas, REPLICAS);
    let written = pool.status.iter().flat_map(|status| &status.planned);
    let exists = |name: &&String| entries.iter().any(|entry| entry.name == **name);
    let (made, planned): (Vec<_>, Vec<_>) = written.partition(exists);
    let planned: Vec<_> = planned.into_iter().cloned().collect();
    let mut observed = Observed {
        now: Timestamp::now(),
        facts: Facts {
            counted: counting::Facts {
                deleting,
                finalizer: pool.finalizers().iter().any(|name| name == POOL_FINALIZER),
                at_once: number(pool.spec.max_concurrent_creates, AT_ONCE),
                made: !made.is_empty(),
                spent: pass.began.elapsed() >= PASS_TIME,
                ..counting::Facts::default()
            },
            ..Facts::default()
        },
        entries: HashMap::new(),
        wanted,
        most,
        bound: 0,
        refusals: Vec::new(),
        template: None,
    };
    // A pool without entries can be deleted even if the Secret of its server is gone.
    let inventory = if entries.is_empty() && deleting {
        Arc::default()
    } else {
        inventory::inventory(&pass.ctx.credentials, pool).await?
    };
    // That it is not known is told when the entries are looked at.
    let template = pass.wanted(wanted::of_entries(pass)).await.ok().flatten();
    for entry in &entries {
        observe_entry(pass, (&inventory, template.as_deref()), entry, &mut observed);
    }
    observed.template = template;
    let counted = &mut observed.facts.counted;
    // Those that cannot wait for a claim take room.
    let taken = entries.len() - counted.members.len();
    counted.desired = observed.wanted.min(most.saturating_sub(taken));
    let room = entries.len() < most && (entries.len() + planned.len() < most || !planned.is_empty());
    counted.supply = if room { MemberSupply::Open } else { MemberSupply::Closed };
    counted.planned = planned;
    observed.entries = entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
    Ok(observed)
}

fn observe_entry(
    pass: &Pass,
    known: (&Arc<Inventory>, Option<&MemberContents>),
    entry: &MadeEntry,
    observed: &mut Observed,
) {
    let member = work::member_of(&pass.ctx.core, pass.name(), entry);
    observed.bound += usize::from(member.as_ref().is_some_and(|member| member.is_held()));
    let renews = |member: &OrchestraDatabase| {
        password::is_due(&pass.ctx.core, entry, member)
            || !entry.leaving && password::is_refused(&pass.ctx.credentials, member)
    };
    let need = match (&member, entry.leaving) {
        (Some(member), true) if member.spec.claim_ref.is_some() => Some(Need::Keeping),
        // Before its removal as well, because that logs in with the password that is stored.
        (member, _) if entry.made.is_some() && (entry.pending || member.as_deref().is_some_and(renews)) => {
            Some(Need::Password)
        }
        (None, true) => Some(Need::Removal),
        (Some(_), true) => Some(Need::Withdrawal),
        (_, false) => entry.made.is_none().then_some(Need::Making),
    };
    let work = need.map(|need| work_on(pass, entry, need, observed));
    observed
        .facts
        .entries
        .extend(need.zip(work).map(|(need, work)| ServerEntry {
            name: entry.name.clone(),
            need,
            work,
        }));
    let state = match (&member, entry.leaving) {
        (None, false) => unlisted(pass, known.0, entry, observed),
        (Some(member), false) if member.is_unclaimed() => Some(of_member(pass, known.1, member)),
        (_, true) | (Some(_), false) => None,
    };
    match state {
        Some(state) => {
            let (member, ages_in) = counted_member(pass, observed.now, (entry, member.as_deref()), state);
            let counted = &mut observed.facts.counted;
            counted.ages_in = counted.ages_in.into_iter().chain(ages_in).min();
            counted.members.push(member);
        }
        None if need.is_none_or(|need| need == Need::Password) => observed.facts.others += 1,
        None => {}
    }
}

/// The state of the server's work on an entry.
fn work_on(pass: &Pass, entry: &MadeEntry, need: Need, observed: &mut Observed) -> ServerWork {
    let attempts = &pass.ctx.memory.made;
    let get = |subject: ServerTask| attempts.get(pass.uid(), &entry.name, subject.as_str());
    let making = get(ServerTask::Make);
    let attempt = match need {
        Need::Making => making,
        // Work that was started before the entry was to be removed continues.
        Need::Removal if making.as_ref().is_some_and(is_running) => making,
        Need::Removal => get(ServerTask::Remove),
        Need::Password => get(ServerTask::Password),
        Need::Withdrawal | Need::Keeping => return ServerWork::Due,
    };
    let Some(attempt) = attempt else { return ServerWork::Due };
    let (age, spacing) = (attempt.age(), pass.ctx.core.settings.login_spacing);
    if let Some(refusal) = &attempt.refusal {
        observed.refusals.push((entry.name.clone(), refusal.clone()));
    }
    match (&attempt.state, &attempt.refusal) {
        _ if is_running(&attempt) => ServerWork::Running { young: age < PATIENCE },
        (AttemptState::Done(()), _) if need == Need::Password && age < spacing => ServerWork::Refused {
            again: spacing.saturating_sub(age),
        },
        (AttemptState::Done(()), _) if need == Need::Password => ServerWork::Due,
        (AttemptState::Done(()), _) if age < SHOWN => ServerWork::Running { young: false },
        (AttemptState::Refused, Some(refusal)) => {
            let again = crate::pool::observe::pace(refusal, spacing).saturating_sub(age);
            if work::is_of_entry(refusal) {
                return if again.is_zero() {
                    ServerWork::Due
                } else {
                    ServerWork::Refused { again }
                };
            }
            let pause = observed.facts.pause.get_or_insert(again);
            *pause = again.max(*pause);
            ServerWork::Due
        }
        _ => ServerWork::Due,
    }
}

/// Whether the work is running. Work that exceeded its time limit was stopped.
fn is_running(attempt: &Attempt<()>) -> bool {
    attempt.state == AttemptState::Running && attempt.age() <= work::LIMIT + PATIENCE
}

/// The state of an entry without an OrchestraDatabase; none when it cannot wait for a claim, because somebody has used its
/// database.
fn unlisted(pass: &Pass, inventory: &Inventory, entry: &MadeEntry, observed: &Observed) -> Option<WarmMemberState> {
    if entry.made.is_none() {
        let refused = observed.refusals.iter().find(|(name, _)| *name == entry.name);
        let broken = refused.is_some_and(|(_, refusal)| !refusal.is_passing());
        return Some(if broken {
            WarmMemberState::Broken
        } else {
            WarmMemberState::Creating
        });
    }
    let key = entry.key();
    let probes = &pass.ctx.memory.probes;
    let outcome = probes.get(pass.uid(), &key, &probe::subject(pass, inventory, &key));
    match outcome.and_then(|probed| probed.refusal) {
        Some(refusal) if refusal.reason == Reason::InUse => None,
        Some(refusal) if !refusal.is_passing() => Some(WarmMemberState::Broken),
        _ => Some(WarmMemberState::Creating),
    }
}

/// The state of an entry that waits for a claim.
fn of_member(pass: &Pass, wanted: Option<&MemberContents>, member: &OrchestraDatabase) -> WarmMemberState {
    if checks::is_out(pass, member) {
        return WarmMemberState::Broken;
    }
    match wanted.and_then(|wanted| unprepared_state(pass, wanted, member)) {
        None => WarmMemberState::Available,
        // It is prepared like an entry of a static pool.
        Some(_) => WarmMemberState::Unprepared(UnpreparedState::Refused(RefusedEntry {
            again: Duration::ZERO,
            passing: false,
        })),
    }
}

/// An entry as it is counted, and the time until it is old.
fn counted_member(
    pass: &Pass,
    now: Timestamp,
    (entry, member): (&MadeEntry, Option<&OrchestraDatabase>),
    state: WarmMemberState,
) -> (WarmMember, Option<Duration>) {
    let created = member.and_then(ResourceExt::creation_timestamp).map(|at| at.0);
    let lifetime = pass.pool.spec.member_lifetime.map(GoDuration::as_std);
    let usable = matches!(state, WarmMemberState::Unprepared(_) | WarmMemberState::Available);
    let age = created.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default());
    let left = lifetime.zip(age).filter(|_| usable);
    let left = left.map(|(lifetime, age)| lifetime.saturating_sub(age));
    let member = WarmMember {
        name: entry.name.clone(),
        created: created.unwrap_or(Timestamp::MAX),
        state,
        old: left.is_some_and(|left| left.is_zero()),
    };
    (member, left.filter(|left| !left.is_zero()))
}
