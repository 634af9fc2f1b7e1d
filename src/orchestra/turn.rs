//! The turn of an Orchestra to migrate: it is asked for, held while the pass may begin the work, and ended. Nothing else
//! changes it.

use super::Pass;
use super::observe::Observed;
use super::plan::{DatabaseState, WorkState};
use crate::controller::error::Error;
use crate::rollout::turns::{Turn, TurnOutcome};
use crate::rollout::{self, NoTurn, Rolled, TurnDecision};

/// Asks for a turn: of the class's rollout where it decides, else of the server alone.
pub fn take(pass: &mut Pass, observed: &Observed) {
    let wanted = &observed.inside.wanted;
    let (Some(source), Some(database)) = (&wanted.source, &observed.database) else {
        return;
    };
    let (ctx, object, digest) = (&pass.ctx.rollout, &pass.object, source.digest());
    let rolled = observed.class.as_ref().zip(wanted.rolled.as_ref());
    let asks = observed.inside.found.is_none() || rollout::awaited_approval(ctx, object, &digest);
    let verdict = match rolled.filter(|_| asks) {
        Some((class, (_, revisions))) => rollout::released(ctx, object, class, database, (&digest, revisions)),
        None => rollout::turn(ctx, object, database, &digest)
            .map_or(TurnDecision::Denied(NoTurn::Queued), TurnDecision::Granted),
    };
    match verdict {
        TurnDecision::Granted(turn) => pass.turn = Some((turn, wanted.rolled.clone())),
        TurnDecision::Denied(kept) => pass.denied = Some(kept),
    }
}

/// Gives the turn back when nothing is left to begin, and the place in the queue with it.
pub fn settle(pass: &mut Pass, observed: &Observed) {
    let DatabaseState::Usable(inside) = &observed.facts.database else {
        return;
    };
    let outcome = match inside.migrations {
        WorkState::Done => TurnOutcome::Applied,
        WorkState::AwaitsApproval => TurnOutcome::AwaitsApproval,
        _ => return,
    };
    // Without a look into the database there are no new facts.
    if observed
        .inside
        .found
        .as_ref()
        .is_some_and(|found| found.migrations.is_some())
        && pass.access.is_open()
    {
        pass.ctx.rollout.turns.leave(pass.uid());
        end(pass, outcome);
    }
}

/// Gives the turn back after the database could not be looked into.
pub fn give_back(pass: &mut Pass, error: &Error) {
    if matches!(error, Error::Migrate(_)) {
        end(pass, TurnOutcome::of(Err(error)));
    }
}

/// Takes the turn out of the pass, for work that ends it itself.
pub fn hand_over(pass: &mut Pass) -> Option<(Turn, Option<Rolled>)> {
    pass.turn.take()
}

fn end(pass: &mut Pass, outcome: TurnOutcome) {
    if let Some((turn, rolled)) = hand_over(pass) {
        rollout::end(&pass.ctx.rollout, turn, rolled.as_ref(), outcome);
    }
}
