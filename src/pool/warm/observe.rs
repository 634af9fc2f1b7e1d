//! Looks up the facts for [`super::plan`]: the members of the pool, and whether its class can create another one. It only
//! reads.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::plan::{Facts, MemberSupply, WarmMember, WarmMemberState};
use crate::api::condition::Reason;
use crate::api::{GoDuration, OrchestraClass, OrchestraDatabase, POOL_FINALIZER};
use crate::class::{self, Way, budget};
use crate::controller::error::Error;
use crate::error::ErrorClass;
use crate::pool::attempts::Refusal;
use crate::pool::observe::unprepared_state;
use crate::pool::plan::{RefusedEntry, UnpreparedState};
use crate::pool::wanted::{self, MemberContents};
use crate::pool::{PASS_TIME, Pass, preparation};

/// Members that are created at once when the pool does not say.
const CREATED_AT_ONCE: i32 = 3;

/// What was looked up.
pub struct Observed {
    /// The time of this look.
    pub now: Timestamp,
    /// The facts for the plan.
    pub facts: Facts,
    /// The class that makes the members.
    pub class: Option<Arc<OrchestraClass>>,
    /// The members that nobody has claimed and that are not being deleted.
    pub members: Vec<Arc<OrchestraDatabase>>,
    /// How many members are claimed.
    pub bound: usize,
    /// What the members are to be prepared with.
    pub wanted: Option<Arc<MemberContents>>,
    /// Why no other member can be created.
    pub closed: Option<Refusal>,
    /// What the status says about the pool's class and its members, with the name of the member.
    pub refusals: Vec<(Option<String>, Refusal)>,
}

impl Observed {
    /// A member by its name.
    pub fn member(&self, name: &str) -> Option<&Arc<OrchestraDatabase>> {
        self.members.iter().find(|member| member.name_any() == name)
    }
}

pub async fn observe(pass: &Pass) -> Result<Observed, Error> {
    let (ctx, pool) = (&pass.ctx, &pass.pool);
    let databases = &ctx.core.stores.databases;
    let all = databases.state_filter(|database| database.pool() == Some(pass.name()));
    let bound = all.iter().filter(|member| member.is_held()).count();
    let mut members = all;
    members.retain(|member| member.is_unclaimed());
    let number = |of: Option<i32>, otherwise: i32| usize::try_from(of.unwrap_or(otherwise)).unwrap_or_default();
    let written = pool.status.iter().flat_map(|status| &status.planned);
    let (made, planned): (Vec<_>, Vec<_>) = written
        .cloned()
        .partition(|name| databases.get(&ObjectRef::new(name)).is_some());
    let mut observed = Observed {
        now: Timestamp::now(),
        facts: Facts {
            deleting: pool.metadata.deletion_timestamp.is_some(),
            finalizer: pool.finalizers().iter().any(|name| name == POOL_FINALIZER),
            desired: number(pool.spec.replicas, 0),
            at_once: number(pool.spec.max_concurrent_creates, CREATED_AT_ONCE),
            planned,
            made: !made.is_empty(),
            free_preparations: preparation::AT_ONCE.saturating_sub(ctx.preparations.under_way()),
            spent: pass.began.elapsed() >= PASS_TIME,
            ..Facts::default()
        },
        class: None,
        members,
        bound,
        wanted: None,
        closed: None,
        refusals: Vec::new(),
    };
    if !observed.facts.deleting {
        observe_class(pass, &mut observed).await;
    }
    observe_members(pass, &mut observed);
    Ok(observed)
}

/// The class, whether it can make another member, and what the members are to be prepared with.
async fn observe_class(pass: &Pass, observed: &mut Observed) {
    let ctx = &pass.ctx;
    let class = match class::resolve(&ctx.class, pass.pool.spec.class_name.as_deref()) {
        Ok(class) => class,
        Err(error) => return close(observed, &error),
    };
    observed.class = Some(class.clone());
    if let Err(error) = can_make(&class).and_then(|()| budget::has_spare_room(&ctx.class, &class)) {
        close(observed, &error);
    }
    match pass.wanted(wanted::of_class(pass, &class)).await {
        Ok(wanted) => observed.wanted = wanted,
        Err(error) => observed.refusals.push((None, Refusal::from(&error))),
    }
}

fn close(observed: &mut Observed, error: &Error) {
    observed.facts.supply = MemberSupply::Closed;
    observed.closed = Some(Refusal::from(error));
}

/// Whether a class can create databases, apart from its budget.
fn can_make(class: &OrchestraClass) -> Result<(), Error> {
    let name = class.name_any();
    if class.metadata.deletion_timestamp.is_some() {
        let message = format!("OrchestraClass {name} is being deleted: delete this pool, too");
        return Err(Error::blocked(Reason::ClassDeleting, message));
    }
    if class.spec.provider.is_none() {
        let message = format!("OrchestraClass {name} has no provider that could make databases: give it one");
        return Err(Error::blocked(Reason::NoProvider, message));
    }
    class::placement::choose(class, None)?;
    // A class that only claims from pools does not check its provider.
    let trouble = class.provider_trouble();
    match trouble.filter(|_| class::ways(class).contains(&Way::Provider)) {
        None => Ok(()),
        Some((Reason::Pending, _)) => Err(Error::transient(
            Reason::Pending,
            format!("waiting until the provider of OrchestraClass {name} answers"),
        )),
        Some((reason, message)) => Err(Error::blocked(reason, message)),
    }
}

fn observe_members(pass: &Pass, observed: &mut Observed) {
    let lifetime = pass.pool.spec.member_lifetime.map(GoDuration::as_std);
    let members = observed.members.clone();
    for member in &members {
        let name = member.name_any();
        let (state, refusal) = state(pass, observed, member);
        observed
            .refusals
            .extend(refusal.map(|refusal| (Some(name.clone()), refusal)));
        let left = lifetime.and_then(|lifetime| left_of(lifetime, member, observed.now));
        let usable = matches!(state, WarmMemberState::Unprepared(_) | WarmMemberState::Available);
        let outdated = observed
            .wanted
            .as_ref()
            .is_some_and(|wanted| wanted.is_outdated(member));
        let ages_in = left.filter(|left| usable && !left.is_zero());
        observed.facts.ages_in = observed.facts.ages_in.into_iter().chain(ages_in).min();
        observed.facts.members.push(WarmMember {
            name,
            created: member.creation_timestamp().map_or(Timestamp::MAX, |at| at.0),
            state,
            old: usable && (outdated || left == Some(Duration::ZERO)),
        });
    }
}

/// How long a member may still wait for a claim; none before it is usable.
fn left_of(lifetime: Duration, member: &OrchestraDatabase, now: Timestamp) -> Option<Duration> {
    let since = member.status.as_ref()?.usable_since.as_ref()?.0;
    let until = since.saturating_add(SignedDuration::try_from(lifetime).ok()?).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

/// The state of a member, and its message.
fn state(pass: &Pass, observed: &Observed, member: &OrchestraDatabase) -> (WarmMemberState, Option<Refusal>) {
    if member.is_ready() {
        return match &observed.wanted {
            Some(wanted) if wanted.is_outdated(member) => (WarmMemberState::Available, None),
            Some(wanted) => match unprepared_state(pass, wanted, member) {
                Some((state, refusal)) => (WarmMemberState::Unprepared(state), refusal),
                None => (WarmMemberState::Available, None),
            },
            // Its wanted contents are not known.
            None if observed.refusals.iter().any(|(member, _)| member.is_none()) && !is_prepared(member) => {
                (WarmMemberState::Unprepared(UNKNOWN), None)
            }
            None => (WarmMemberState::Available, None),
        };
    }
    let refusal = stalled(member);
    let state = match (member.is_issued(), &refusal) {
        (false, _) => WarmMemberState::Unrequested,
        (true, Some(_)) => WarmMemberState::Broken,
        (true, None) => WarmMemberState::Creating,
    };
    (state, refusal)
}

/// The pool is triggered when the source is available again.
const UNKNOWN: UnpreparedState = UnpreparedState::Refused(RefusedEntry {
    again: super::plan::RETRY,
    passing: true,
});

fn is_prepared(member: &OrchestraDatabase) -> bool {
    let prepared = member.status.as_ref().and_then(|status| status.prepared.as_ref());
    prepared.is_some_and(|prepared| prepared.migrations.is_some())
}

/// Why a person must act for a member.
fn stalled(member: &OrchestraDatabase) -> Option<Refusal> {
    let (reason, message) = member.stalled()?;
    Some(Refusal {
        class: ErrorClass::Blocked,
        reason,
        message: message.into(),
        duplicate_of: None,
    })
}
