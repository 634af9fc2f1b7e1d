//! Describes a pool that makes its members: how many there are, and why there are not as many as wanted.

use super::observe::Observed;
use super::plan::{Step, WarmMemberState};
use crate::api::OrchestraPoolStatus;
use crate::api::condition::{ConditionType, Reason};
use crate::api::names::{POOL_LABEL, pool_label};
use crate::controller::conditions::{Conditions, Standing};
use crate::controller::error::Error;
use crate::controller::status::{News, is_news};
use crate::pool::Pass;
use crate::pool::attempts::Refusal;
use crate::pool::status::Description;
use crate::text;

/// The most members that a condition names.
const NAMED: usize = 5;

/// Writes the status at a step that ends the pass, or that is the status itself. For recorded or removed names, `act` writes
/// it together with them.
pub async fn write(pass: &mut Pass, step: &Step, observed: &Observed) -> Result<(), Error> {
    if matches!(step, Step::Plan(_) | Step::Drop(_)) {
        return Ok(());
    }
    let planned = observed.facts.planned.clone();
    change_planned(pass, step, observed, planned).await
}

/// Writes the status of a step with these names of members that are about to be made.
pub async fn change_planned(
    pass: &mut Pass,
    step: &Step,
    observed: &Observed,
    planned: Vec<String>,
) -> Result<(), Error> {
    let Some(described) = describe(step, observed) else {
        return Ok(());
    };
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let facts = &observed.facts;
    let available = observed.facts.available();
    let old = pass.pool.status.clone().unwrap_or_default();
    let generation = pass.pool.metadata.generation;
    let mut conditions = Conditions::new(&old.conditions, generation);
    let Description {
        ready,
        standing,
        reason,
        message,
    } = described;
    conditions.set(ConditionType::Ready, ready, reason, &message);
    conditions.stand(standing, reason, &message);
    let status = OrchestraPoolStatus {
        observed_generation: generation.unwrap_or_default(),
        conditions: conditions.finish(),
        desired: number(facts.desired),
        available: number(available),
        creating: Some(number(facts.members.len() - available)),
        bound: number(observed.bound),
        replicas: Some(number(facts.members.len())),
        selector: Some(format!("{POOL_LABEL}={}", pool_label(pass.name()))),
        planned,
    };
    let news = is_news(&old.conditions, &status.conditions).then(|| News::of(standing, reason, message));
    pass.write_status(status, news).await
}

/// What the conditions say at a step; none where the next step writes them.
fn describe(step: &Step, observed: &Observed) -> Option<Description> {
    let tells = match step {
        Step::AddFinalizer | Step::RemoveFinalizer | Step::Create(_) | Step::Prepare(_) | Step::AwaitPreparations => {
            false
        }
        Step::Destroy(_) => observed.facts.deleting,
        Step::Settle | Step::Plan(_) | Step::Drop(_) | Step::Yield | Step::Wait(_) | Step::Rest => true,
    };
    (tells && observed.facts.finalizer).then(|| of_members(observed))
}

/// What the conditions say of the members.
fn of_members(observed: &Observed) -> Description {
    let facts = &observed.facts;
    if facts.deleting {
        return works(
            Reason::Deleting,
            "unclaimed members are being deleted; claimed ones are kept",
        );
    }
    let full = observed.facts.available() >= facts.desired;
    let gone = observed.class.is_none();
    let lacks = facts.members.len() < facts.desired;
    let leaves = |refusal: &&Refusal| refusal.reason == Reason::ClassDeleting;
    let closed = observed.closed.as_ref();
    let closed = closed.filter(|refusal| lacks || gone || leaves(refusal));
    let troubles: Vec<_> = closed
        .map(|refusal| (None, refusal))
        .into_iter()
        .chain(
            observed
                .refusals
                .iter()
                .map(|(member, refusal)| (member.as_deref(), refusal)),
        )
        .filter(|(_, refusal)| !is_progress(refusal))
        .collect();
    if let Some(described) = trouble(&troubles) {
        return described;
    }
    if full {
        return Description {
            ready: true,
            standing: Standing::Settled,
            reason: Reason::Ready,
            message: "as many databases as replicas says wait for a claim".into(),
        };
    }
    let usable = |state: &WarmMemberState| matches!(state, WarmMemberState::Unprepared(_) | WarmMemberState::Available);
    if !lacks && facts.members.iter().all(|member| usable(&member.state)) {
        return works(Reason::Migrating, "databases are being prepared for their claims");
    }
    works(Reason::Provisioning, "databases are being created")
}

fn works(reason: Reason, message: &str) -> Description {
    Description {
        ready: false,
        standing: Standing::Reconciling,
        reason,
        message: message.into(),
    }
}

/// Members that are being prepared, or that wait for their turn, are not a problem.
fn is_progress(refusal: &Refusal) -> bool {
    refusal.is_passing() && matches!(refusal.reason, Reason::Migrating | Reason::Queued)
}

/// What is wrong; problems that need a person come first.
fn trouble(troubles: &[(Option<&str>, &Refusal)]) -> Option<Description> {
    let mut troubles: Vec<_> = troubles.iter().collect();
    troubles.sort_by_key(|(_, refusal)| refusal.is_passing());
    let (_, first) = troubles.first()?;
    let said: Vec<_> = troubles
        .iter()
        .map(|(member, refusal)| match member {
            Some(member) => format!("OrchestraDatabase {member}: {}", refusal.message),
            None => refusal.message.clone(),
        })
        .collect();
    Some(Description {
        ready: false,
        standing: if first.is_passing() {
            Standing::Reconciling
        } else {
            Standing::Stalled
        },
        reason: first.reason,
        message: text::clauses(&said, NAMED),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pool::plan::{RefusedEntry, UnpreparedState};
    use crate::pool::status::tests::{contradicts, every_refusal};
    use crate::pool::warm::plan::{Facts, WarmMember};

    fn observed(desired: usize, states: &[WarmMemberState]) -> Observed {
        let member = |state: &WarmMemberState| WarmMember {
            name: "orchdb-1".into(),
            created: jiff::Timestamp::UNIX_EPOCH,
            state: *state,
            old: false,
        };
        Observed {
            now: jiff::Timestamp::UNIX_EPOCH,
            facts: Facts {
                desired,
                members: states.iter().map(member).collect(),
                ..Facts::default()
            },
            class: Some(Arc::new(crate::api::OrchestraClass::new(
                "standard",
                crate::api::OrchestraClassSpec::default(),
            ))),
            members: Vec::new(),
            bound: 0,
            wanted: None,
            closed: None,
            refusals: Vec::new(),
        }
    }

    fn blocked(reason: Reason, message: &str) -> Refusal {
        Refusal::from(&Error::blocked(reason, message))
    }

    #[test]
    fn a_pool_says_what_it_is_about() {
        let due = WarmMemberState::Unprepared(UnpreparedState::Due);
        for (desired, states, reason) in [
            (0, &[][..], Reason::Ready),
            (1, &[WarmMemberState::Available], Reason::Ready),
            (
                1,
                &[WarmMemberState::Available, WarmMemberState::Creating],
                Reason::Ready,
            ),
            (1, &[], Reason::Provisioning),
            (
                2,
                &[WarmMemberState::Available, WarmMemberState::Creating],
                Reason::Provisioning,
            ),
            (2, &[WarmMemberState::Available, due], Reason::Migrating),
            (3, &[WarmMemberState::Available, due], Reason::Provisioning),
        ] {
            let described = of_members(&observed(desired, states));
            assert_eq!(described.reason, reason, "{desired} {states:?}");
            assert_eq!(described.ready, reason == Reason::Ready);
            assert_eq!(described.standing == Standing::Settled, described.ready);
        }
    }

    #[test]
    fn a_budget_matters_only_to_a_pool_that_lacks_something() {
        let mut full = observed(1, &[WarmMemberState::Available]);
        full.closed = Some(blocked(Reason::BudgetExceeded, "no room"));
        assert!(of_members(&full).ready);
        full.facts.desired = 2;
        let described = of_members(&full);
        assert_eq!(
            (described.standing, described.reason),
            (Standing::Stalled, Reason::BudgetExceeded)
        );
        assert_eq!(described.message, "no room");
        let mut gone = observed(0, &[]);
        (gone.class, gone.closed) = (None, Some(blocked(Reason::ClassNotFound, "create it")));
        assert_eq!(of_members(&gone).reason, Reason::ClassNotFound);
    }

    #[test]
    fn a_member_that_needs_a_person_is_named() {
        let mut broken = observed(2, &[WarmMemberState::Available, WarmMemberState::Broken]);
        let lost = blocked(Reason::DatabaseLost, "it is gone");
        broken.refusals.push((Some("orchdb-2".into()), lost));
        let described = of_members(&broken);
        assert_eq!(
            (described.standing, described.reason),
            (Standing::Stalled, Reason::DatabaseLost)
        );
        assert_eq!(described.message, "OrchestraDatabase orchdb-2: it is gone");
        broken.facts.deleting = true;
        assert_eq!(of_members(&broken).reason, Reason::Deleting);
    }

    /// Every state of up to three members, of a pool that is to have up to three, with and without trouble.
    #[test]
    fn no_condition_contradicts_its_reason() {
        let passes = UnpreparedState::Refused(RefusedEntry {
            again: std::time::Duration::ZERO,
            passing: true,
        });
        let states = [
            WarmMemberState::Unrequested,
            WarmMemberState::Broken,
            WarmMemberState::Creating,
            WarmMemberState::Unprepared(UnpreparedState::Due),
            WarmMemberState::Unprepared(passes),
            WarmMemberState::Available,
        ];
        let all: Vec<_> = every_refusal().into_iter().map(Some).chain([None]).collect();
        let passing = all.iter().flatten().find(|refusal| refusal.is_passing()).cloned();
        let few = [None, passing, Some(blocked(Reason::DatabaseLost, "it is told"))];
        let pairs = |one: &[Option<Refusal>], two: &[Option<Refusal>]| {
            let pairs = one
                .iter()
                .flat_map(|one| two.iter().map(move |two| (one.clone(), two.clone())));
            pairs.collect::<Vec<_>>()
        };
        let (short, long) = ([pairs(&all, &few), pairs(&few, &all)].concat(), pairs(&few, &few));
        for members in (0..4).flat_map(|count| every(&states, count)) {
            let troubles = if members.len() < 2 { &short } else { &long };
            for (desired, (closed, of_member)) in
                (0..4).flat_map(|desired| troubles.iter().map(move |of| (desired, of)))
            {
                for (deleting, class) in [(false, true), (false, false), (true, true)] {
                    let mut observed = observed(desired, &members);
                    observed.facts.deleting = deleting;
                    observed.closed.clone_from(closed);
                    observed.class = observed.class.filter(|_| class);
                    let refusal = of_member.clone().map(|refusal| (Some("orchdb-1".to_owned()), refusal));
                    observed.refusals.extend(refusal);
                    check(&observed);
                }
            }
        }
    }

    /// Every sequence of this many states.
    fn every(states: &[WarmMemberState], count: usize) -> Vec<Vec<WarmMemberState>> {
        let longer = |shorter: Vec<WarmMemberState>| states.iter().map(move |state| [&shorter[..], &[*state]].concat());
        match count.checked_sub(1) {
            None => vec![Vec::new()],
            Some(less) => every(states, less).into_iter().flat_map(longer).collect(),
        }
    }

    fn check(observed: &Observed) {
        let said = of_members(observed);
        let of = || format!("{said:?} of {:?}, {:?}", observed.facts, observed.refusals);
        assert_eq!(contradicts(said.ready, said.standing, said.reason), None, "{}", of());
        let full = observed.facts.available() >= observed.facts.desired;
        assert!(!said.ready || (full && !observed.facts.deleting), "{}", of());
        // Only the problems decide who has to act.
        let lacks = observed.facts.members.len() < observed.facts.desired;
        let closed = observed
            .closed
            .iter()
            .filter(|closed| lacks || observed.class.is_none() || closed.reason == Reason::ClassDeleting);
        let told = || {
            observed
                .refusals
                .iter()
                .map(|(_, refusal)| refusal)
                .chain(closed.clone())
        };
        let person = !observed.facts.deleting && told().any(|refusal| !refusal.is_passing());
        assert_eq!(said.standing == Standing::Stalled, person, "{}", of());
        let quiet = !observed.facts.deleting && told().all(is_progress);
        assert!(!quiet || said.ready == full, "{}", of());
    }
}
