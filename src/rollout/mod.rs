//! Rollouts: the new migrations of a class are brought to its Orchestras as a Deployment updates pods. Canaries
//! are migrated first, then the others, a limited number at once, until too many fail. [`plan`] is the decision.
//!
//! The state of a rollout is read from the statuses of the Orchestras. An Orchestra whose turn has not come keeps
//! the digest of its older source there. It does not need the older scripts, because all of them are applied.

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
pub use fleet::Enrolled;
use fleet::RolloutRules;
use plan::{Decision, UpdateState};
use revisions::Revisions;
use turns::{Load, Turn, TurnAnswer, TurnOutcome, TurnRequest};

pub use fleet::takes_part;
pub use turns::Turns;

/// The context of a room that asks for turns to migrate.
pub struct Context {
    /// The part that every pass needs.
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

/// Whether an Orchestra may have the source of its class now, as known without asking for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// No rollout holds it back: it is new, has the source already, or waits for approval.
    Open,
    /// It needs a turn of the rollout.
    Closed,
    /// It keeps its migrations.
    Kept(NoTurn),
}

/// The answer to an Orchestra that asks for a turn.
pub enum TurnDecision {
    /// Its turn has come.
    Granted(Turn),
    /// It keeps its migrations for now.
    Denied(NoTurn),
}

/// Why an Orchestra keeps its migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTurn {
    /// Its spec says so.
    Pinned,
    /// The rollout has not reached it.
    Waits,
    /// The rollout has reached it, and its server is busy.
    Queued,
}

/// Whether an Orchestra may have this source of its class now. It only reads.
pub fn gate(ctx: &Context, orchestra: &Orchestra, revision: &str) -> Gate {
    if !takes_part(orchestra) {
        return Gate::Open;
    }
    if orchestra.spec.pin_migrations {
        return Gate::Kept(NoTurn::Pinned);
    }
    // An Orchestra that waits for approval looks for it without a turn.
    match ctx
        .turns
        .look(|ledger| fleet::update_state(orchestra, ledger, revision))
    {
        UpdateState::Updated | UpdateState::AwaitsApproval => Gate::Open,
        _ => Gate::Closed,
    }
}

/// Asks for the turn of an Orchestra that waits only for the rollout.
pub fn released(
    ctx: &Context,
    orchestra: &Orchestra,
    class: &OrchestraClass,
    database: &OrchestraDatabase,
    (revision, revisions): (&str, &Revisions),
) -> TurnDecision {
    let (Ok(rules), Some(server)) = (
        RolloutRules::of(class, &ctx.turns),
        servers::of_database(&ctx.credentials, database),
    ) else {
        return TurnDecision::Denied(NoTurn::Waits);
    };
    let admit = |ledger: &turns::Ledger| {
        let begun = fleet::is_inherited(orchestra, ledger) && revision_of(orchestra) == Some(revision);
        if !begun {
            let mut fleet = fleet::enrolled(ctx, class, &rules, ledger, (revisions, Some(orchestra)));
            let asks = |one: &&mut Enrolled| Some(&one.participant.uid) == orchestra.metadata.uid.as_ref();
            let asker = &mut fleet.iter_mut().find(asks)?.participant;
            (asker.engaged, asker.able) = (false, true);
            if asker.standing == UpdateState::AwaitsApproval {
                asker.standing = UpdateState::Broken;
            }
            let uid = asker.uid.clone();
            decide(&fleet, &rules).lets(&uid).then_some(())?;
        }
        Some(fleet::load(ctx, ledger, &server, orchestra))
    };
    match ctx.turns.ask(request(orchestra, &server, revision), admit) {
        TurnAnswer::Now(turn) => TurnDecision::Granted(turn),
        TurnAnswer::Queued => TurnDecision::Denied(NoTurn::Queued),
        TurnAnswer::Refused => TurnDecision::Denied(NoTurn::Waits),
    }
}

/// Whether its migration to this source waited for approval, as known without a query to its database.
pub fn awaited_approval(ctx: &Context, orchestra: &Orchestra, revision: &str) -> bool {
    ctx.turns
        .look(|ledger| fleet::update_state(orchestra, ledger, revision))
        == UpdateState::AwaitsApproval
}

/// Asks for a turn outside of any rollout: only the limit of the server counts.
pub fn turn(ctx: &Context, orchestra: &Orchestra, database: &OrchestraDatabase, revision: &str) -> Option<Turn> {
    let server = servers::of_database(&ctx.credentials, database)?;
    let admit = |ledger: &turns::Ledger| Some(fleet::load(ctx, ledger, &server, orchestra));
    match ctx.turns.ask(request(orchestra, &server, revision), admit) {
        TurnAnswer::Now(turn) => Some(turn),
        TurnAnswer::Queued | TurnAnswer::Refused => None,
    }
}

/// Asks for a turn for a database without a claim. It takes no place in the queue, so that databases with a claim
/// go first.
pub fn spare_turn(ctx: &Context, database: &OrchestraDatabase) -> Option<Turn> {
    let request = TurnRequest {
        uid: database.name_any(),
        object: None,
        server: servers::of_database(&ctx.credentials, database)?,
        revision: String::new(),
    };
    match ctx.turns.ask(request, |_| Some(Load::default())) {
        TurnAnswer::Now(turn) => Some(turn),
        TurnAnswer::Queued | TurnAnswer::Refused => None,
    }
}

fn request(orchestra: &Orchestra, server: &str, revision: &str) -> TurnRequest {
    TurnRequest {
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

fn decide(fleet: &[Enrolled], rules: &RolloutRules) -> Decision {
    let participants: Vec<_> = fleet.iter().map(|one| one.participant.clone()).collect();
    plan::decide(&participants, &rules.limits)
}

/// Decides on the rollout of a class. It only reads.
///
/// # Errors
/// When the rollout settings of the class are not valid.
pub fn look(ctx: &Context, class: &OrchestraClass, revisions: &Revisions) -> Result<(Vec<Enrolled>, Decision), Error> {
    let rules = RolloutRules::of(class, &ctx.turns)?;
    let fleet = ctx
        .turns
        .look(|ledger| fleet::enrolled(ctx, class, &rules, ledger, (revisions, None)));
    let decision = decide(&fleet, &rules);
    Ok((fleet, decision))
}

/// Triggers the Orchestras that may start. When a person requests another attempt, the remembered failures are forgotten.
pub fn drive(ctx: &Context, class: &OrchestraClass, (fleet, decision): (&[Enrolled], &Decision)) {
    let failed = || {
        fleet
            .iter()
            .filter(|one| one.participant.standing == UpdateState::Failed)
    };
    if let Some(value) = class.annotations().get(RETRY_ROLLOUT_ANNOTATION) {
        let uids = failed().map(|one| one.participant.uid.clone());
        if ctx.turns.asks_again(&class.name_any(), value, uids) {
            failed().for_each(|one| ctx.core.refusals.forget(&one.participant.uid));
        }
    }
    let again = |uid: &String| ctx.turns.look(|ledger| ledger.is_asked_again(uid));
    let next: Vec<_> = decision
        .start
        .iter()
        .chain(decision.retry.iter().filter(|uid| again(uid)))
        .collect();
    let named = fleet.iter().filter(|one| next.contains(&&one.participant.uid));
    ctx.turns.wake(named.map(|one| one.object.clone()));
}

/// Ends a turn, and triggers the Orchestras of the class that may start next.
pub fn end(ctx: &Context, mut turn: Turn, rollout: Option<&Rolled>, outcome: TurnOutcome) {
    turn.ended(outcome);
    drop(turn);
    let Some((name, revisions)) = rollout else { return };
    if let Some(class) = ctx.core.stores.classes.get(&ObjectRef::new(name)) {
        // An error is in the settings of the class, which its own pass reports.
        if let Ok((fleet, decision)) = look(ctx, &class, revisions) {
            drive(ctx, &class, (&fleet, &decision));
        }
    }
}

/// The name of a class, and the revisions that its Orchestras are to have.
pub type Rolled = (String, Arc<Revisions>);
