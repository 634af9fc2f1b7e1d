//! Rollouts: a class's new migrations go over its Orchestras as a Deployment goes over pods. Canaries
//! first, then the others, so many at once, until too many fail. [`plan`] is the decision.
//!
//! Everything is read from the statuses of the Orchestras: one that has not been come to keeps its
//! digest there, and needs its older scripts for nothing, because all of them are applied.

mod fleet;
pub mod plan;
pub mod revisions;
pub mod status;
pub mod turns;

use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::api::{Orchestra, OrchestraClass, OrchestraDatabase, RETRY_ROLLOUT_ANNOTATION};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::credentials::{self, servers};
use fleet::{Member, Rules};
use plan::Decision;
use revisions::Revisions;
use turns::{Answer, Outcome, Request, Turn};

pub use fleet::is_member;
pub use turns::Turns;

/// What a room needs that asks for turns to migrate.
pub struct Context {
    /// What every pass needs.
    pub core: Arc<Core>,
    /// Which databases share a server.
    pub credentials: Arc<credentials::Context>,
    /// Turns to migrate.
    pub turns: Arc<Turns>,
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.core
    }
}

/// Whether an Orchestra may have the source of its class now, as far as is known without asking for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// No rollout stands between them: it is new, has it already, or waits for approval.
    Open,
    /// It needs a turn of the rollout.
    Closed,
    /// It keeps what it has.
    Kept(Kept),
}

/// What an Orchestra is told that asks for a turn.
pub enum Verdict {
    /// It is its turn.
    Now(Turn),
    /// It keeps what it has for now.
    Kept(Kept),
}

/// Why an Orchestra keeps what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Its spec says so.
    Pinned,
    /// The rollout has not come to it.
    Waits,
    /// The rollout has come to it, and its server is busy.
    Queued,
}

/// Whether an Orchestra may have this source of its class now. It reads only.
pub fn gate(ctx: &Context, orchestra: &Orchestra, revision: &str) -> Gate {
    if !is_member(orchestra) {
        return Gate::Open;
    }
    if orchestra.spec.pin_migrations {
        return Gate::Kept(Kept::Pinned);
    }
    // An Orchestra that waits for approval looks for it without a turn.
    match ctx.turns.look(|turns| fleet::standing(orchestra, turns, revision)) {
        plan::State::Updated | plan::State::Held => Gate::Open,
        _ => Gate::Closed,
    }
}

/// Asks for the turn of an Orchestra that waits for nothing but the rollout.
pub fn released(
    ctx: &Context,
    orchestra: &Orchestra,
    class: &OrchestraClass,
    database: &OrchestraDatabase,
    (revision, revisions): (&str, &Revisions),
) -> Verdict {
    let (Ok(rules), Some(server)) = (
        Rules::of(class, &ctx.turns),
        servers::of_database(&ctx.credentials, database),
    ) else {
        return Verdict::Kept(Kept::Waits);
    };
    let admit = |turns: &turns::State| {
        let begun = fleet::is_stranger(orchestra, turns) && revision_of(orchestra) == Some(revision);
        if !begun {
            let mut members = fleet::members(ctx, class, &rules, turns, (revisions, Some(orchestra)));
            let asks = |member: &&mut Member| Some(&member.tenant.uid) == orchestra.metadata.uid.as_ref();
            let member = members.iter_mut().find(asks)?;
            (member.tenant.engaged, member.tenant.able) = (false, true);
            if member.tenant.state == plan::State::Held {
                member.tenant.state = plan::State::Broken;
            }
            let uid = member.tenant.uid.clone();
            decide(&members, &rules).lets(&uid).then_some(())?;
        }
        Some(fleet::strangers(ctx, turns, &server, orchestra))
    };
    match ctx.turns.ask(request(orchestra, &server, revision), admit) {
        Answer::Now(turn) => Verdict::Now(turn),
        Answer::Queued => Verdict::Kept(Kept::Queued),
        Answer::Refused => Verdict::Kept(Kept::Waits),
    }
}

/// Whether its migration to this source waited for approval, as far as is known without asking its database.
pub fn was_held(ctx: &Context, orchestra: &Orchestra, revision: &str) -> bool {
    ctx.turns.look(|turns| fleet::standing(orchestra, turns, revision)) == plan::State::Held
}

/// Asks for a turn outside of any rollout: only the server has to have room.
pub fn turn(ctx: &Context, orchestra: &Orchestra, database: &OrchestraDatabase, revision: &str) -> Option<Turn> {
    let server = servers::of_database(&ctx.credentials, database)?;
    let strangers = |turns: &turns::State| Some(fleet::strangers(ctx, turns, &server, orchestra));
    match ctx.turns.ask(request(orchestra, &server, revision), strangers) {
        Answer::Now(turn) => Some(turn),
        Answer::Queued | Answer::Refused => None,
    }
}

/// Asks for a turn for a database that nobody has claimed: whoever has a claim goes first.
pub fn spare_turn(ctx: &Context, database: &OrchestraDatabase) -> Option<Turn> {
    let request = Request {
        uid: database.name_any(),
        object: None,
        server: servers::of_database(&ctx.credentials, database)?,
        revision: String::new(),
    };
    match ctx.turns.ask(request, |_| Some(0)) {
        Answer::Now(turn) => Some(turn),
        Answer::Queued | Answer::Refused => None,
    }
}

fn request(orchestra: &Orchestra, server: &str, revision: &str) -> Request {
    Request {
        uid: orchestra.uid().unwrap_or_default(),
        object: Some(ObjectRef::from_obj(orchestra)),
        server: server.into(),
        revision: revision.into(),
    }
}

fn revision_of(orchestra: &Orchestra) -> Option<&str> {
    let migrations = orchestra.status.as_ref()?.migrations.as_ref()?;
    Some(&migrations.source)
}

fn decide(members: &[Member], rules: &Rules) -> Decision {
    let tenants: Vec<_> = members.iter().map(|member| member.tenant.clone()).collect();
    plan::decide(&tenants, &rules.limits)
}

/// Where the rollout of a class stands; whoever may begin is woken.
///
/// # Errors
/// When the class's own rules cannot be used.
pub fn drive(ctx: &Context, class: &OrchestraClass, revisions: &Revisions) -> Result<(Vec<Member>, Decision), Error> {
    let rules = Rules::of(class, &ctx.turns)?;
    let members = ctx
        .turns
        .look(|turns| fleet::members(ctx, class, &rules, turns, (revisions, None)));
    let decision = decide(&members, &rules);
    let failed = || {
        members
            .iter()
            .filter(|member| member.tenant.state == plan::State::Failed)
    };
    if let Some(value) = class.annotations().get(RETRY_ROLLOUT_ANNOTATION) {
        let uids = failed().map(|member| member.tenant.uid.clone());
        if ctx.turns.asks_again(&class.name_any(), value, uids) {
            failed().for_each(|member| ctx.core.refusals.forget(&member.tenant.uid));
        }
    }
    let again = |uid: &String| ctx.turns.look(|turns| turns.is_asked_again(uid));
    let next: Vec<_> = decision
        .start
        .iter()
        .chain(decision.retry.iter().filter(|uid| again(uid)))
        .collect();
    let named = members.iter().filter(|member| next.contains(&&member.tenant.uid));
    ctx.turns.wake(named.map(|member| member.object.clone()));
    Ok((members, decision))
}

/// Ends a turn, and lets the next ones of its class begin.
pub fn end(ctx: &Context, mut turn: Turn, rollout: Option<&Rolled>, outcome: Outcome) {
    turn.ended(outcome);
    drop(turn);
    let Some((name, revisions)) = rollout else { return };
    // As the class says it now.
    if let Some(class) = ctx.core.stores.classes.get(&ObjectRef::new(name)) {
        // What is wrong with its rules is the class's own pass to tell.
        let _ = drive(ctx, &class, revisions);
    }
}

/// A class by its name, and what its Orchestras are to have.
pub type Rolled = (String, Arc<Revisions>);
