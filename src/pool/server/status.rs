//! Describes a pool that makes its members on a server: how many there are, and why there are not as many as wanted.

use super::observe::Observed;
use super::plan::{Need, ServerEntry};
use crate::api::OrchestraPoolStatus;
use crate::api::condition::Reason;
use crate::api::names::{POOL_LABEL, pool_label};
use crate::controller::conditions::Standing;
use crate::controller::error::Error;
use crate::pool::attempts::Refusal;
use crate::pool::observe::Observed as OfEntries;
use crate::pool::plan::Step;
use crate::pool::status::{Description, exposure, of_entries as of_refusals, tell};
use crate::pool::warm::plan::WarmMemberState;
use crate::pool::{Pass, servers};

/// Writes the names of entries that are about to be made, by compare-and-swap.
pub async fn write_planned(pass: &mut Pass, planned: Vec<String>) -> Result<(), Error> {
    let status = OrchestraPoolStatus {
        planned,
        ..pass.pool.status.clone().unwrap_or_default()
    };
    pass.write_status(status, None).await
}

/// Writes the status at a step that ends the pass.
pub async fn write(pass: &mut Pass, step: &Step, entries: &OfEntries, made: &Observed) -> Result<(), Error> {
    if !matches!(step, Step::Yield | Step::Wait(_) | Step::Rest) {
        return Ok(());
    }
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let available = made.facts.counted.available();
    let waiting = made.facts.counted.members.len();
    let status = OrchestraPoolStatus {
        desired: number(made.wanted),
        available: number(available),
        creating: Some(number(waiting - available)),
        bound: number(made.bound),
        replicas: Some(number(waiting)),
        selector: Some(format!("{POOL_LABEL}={}", pool_label(pass.name()))),
        planned: made.facts.counted.planned.clone(),
        ..pass.pool.status.clone().unwrap_or_default()
    };
    let mut described = describe(made, &entries.refusals);
    described.message += &exposure(entries.exposed.get(..1).unwrap_or_default());
    let servers = servers::known(pass, &entries.inventory, entries.server.as_ref());
    tell(pass, status, described, servers).await
}

/// What the conditions say: what is wrong with the server or an entry, and otherwise whether the wanted number waits for a
/// claim.
fn describe(made: &Observed, of_entries: &[(String, Refusal)]) -> Description {
    let counted = &made.facts.counted;
    let works = |reason, message: String| Description {
        ready: false,
        standing: Standing::Reconciling,
        reason,
        message,
    };
    let troubles = made.refusals.iter().chain(of_entries);
    let troubles: Vec<_> = troubles.filter(|(_, refusal)| !is_progress(refusal)).cloned().collect();
    if !troubles.is_empty() {
        return of_refusals(&troubles);
    }
    if counted.deleting {
        let message = format!(
            "unclaimed databases are being dropped; the pool is deleted when no database is left ({} are claimed, released \
             or in use)",
            made.facts.others
        );
        return works(Reason::Deleting, message);
    }
    let available = made.facts.counted.available();
    if available >= made.wanted {
        return Description {
            ready: true,
            standing: Standing::Settled,
            reason: Reason::Ready,
            message: "as many databases as replicas says wait for a claim".into(),
        };
    }
    let leaves = |entry: &ServerEntry| matches!(entry.need, Need::Removal | Need::Withdrawal);
    if available >= counted.desired && made.facts.entries.iter().any(leaves) {
        return works(
            Reason::Provisioning,
            "surplus databases are being dropped to make room for new ones".into(),
        );
    }
    if available >= counted.desired {
        return Description {
            ready: false,
            standing: Standing::Stalled,
            reason: Reason::PoolExhausted,
            message: format!(
                "the pool has reached server.max ({}): raise it, lower replicas, or delete Orchestras and released databases \
                 that nobody needs",
                made.most
            ),
        };
    }
    let unmade = counted
        .members
        .iter()
        .any(|member| member.state == WarmMemberState::Creating);
    if unmade || counted.members.len() < counted.desired {
        return works(Reason::Provisioning, "databases are being made".into());
    }
    works(
        Reason::Migrating,
        "databases are being prepared for their claims".into(),
    )
}

/// Databases that are being created or prepared, or that wait for their turn, are not a problem.
fn is_progress(refusal: &Refusal) -> bool {
    refusal.is_passing()
        && matches!(
            refusal.reason,
            Reason::Pending | Reason::Migrating | Reason::Queued | Reason::Deleting
        )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::pool::server::plan::{Facts, ServerWork};
    use crate::pool::status::tests::{contradicts, every_refusal};
    use crate::pool::warm::plan::{self as counting, WarmMember};

    fn made(wanted: usize, desired: usize, states: &[WarmMemberState]) -> Observed {
        let member = |state: &WarmMemberState| WarmMember {
            name: "orchestra-entry-1".into(),
            created: jiff::Timestamp::UNIX_EPOCH,
            state: *state,
            old: false,
        };
        Observed {
            now: jiff::Timestamp::UNIX_EPOCH,
            facts: Facts {
                counted: counting::Facts {
                    desired,
                    members: states.iter().map(member).collect(),
                    ..counting::Facts::default()
                },
                ..Facts::default()
            },
            entries: HashMap::new(),
            wanted,
            most: 2,
            bound: 0,
            refusals: Vec::new(),
            template: None,
        }
    }

    #[test]
    fn a_pool_says_what_it_is_about() {
        use WarmMemberState::{Available, Creating};
        for (wanted, desired, states, reason, is) in [
            (0, 0, &[][..], Reason::Ready, Standing::Settled),
            (1, 1, &[Available], Reason::Ready, Standing::Settled),
            (1, 1, &[], Reason::Provisioning, Standing::Reconciling),
            (
                2,
                2,
                &[Available, Creating],
                Reason::Provisioning,
                Standing::Reconciling,
            ),
            (2, 1, &[Available], Reason::PoolExhausted, Standing::Stalled),
            (2, 0, &[], Reason::PoolExhausted, Standing::Stalled),
        ] {
            let said = describe(&made(wanted, desired, states), &[]);
            assert_eq!(
                (said.reason, said.standing),
                (reason, is),
                "{wanted} {desired} {states:?}"
            );
            assert_eq!(said.ready, reason == Reason::Ready);
        }
    }

    #[test]
    fn what_the_server_refuses_comes_before_what_is_made() {
        let mut lacks = made(1, 1, &[WarmMemberState::Creating]);
        let pending = Refusal::from(&Error::transient(Reason::Pending, "waiting for the first login"));
        assert_eq!(describe(&lacks, &[("a".into(), pending)]).reason, Reason::Provisioning);
        let refused = Refusal::from(&Error::blocked(Reason::InvalidEntry, "run ALTER ROLE"));
        lacks.refusals.push(("orchestra-entry-1".into(), refused));
        let said = describe(&lacks, &[]);
        assert_eq!((said.reason, said.standing), (Reason::InvalidEntry, Standing::Stalled));
        assert_eq!(said.message, "orchestra-entry-1: run ALTER ROLE");
    }

    /// Every number of databases that wait, are made and leave, with and without trouble.
    #[test]
    fn no_condition_contradicts_its_reason() {
        use WarmMemberState::{Available, Broken, Creating};
        let groups: [&[WarmMemberState]; 6] = [
            &[],
            &[Available],
            &[Creating],
            &[Broken],
            &[Available, Available],
            &[Available, Creating],
        ];
        let needs = [
            None,
            Some(Need::Making),
            Some(Need::Removal),
            Some(Need::Withdrawal),
            Some(Need::Keeping),
            Some(Need::Password),
        ];
        let refusals: Vec<_> = every_refusal().into_iter().map(Some).chain([None]).collect();
        for states in groups {
            for (wanted, desired) in (0..4).flat_map(|wanted| (0..=wanted).map(move |desired| (wanted, desired))) {
                for (need, refusal) in needs
                    .iter()
                    .flat_map(|need| refusals.iter().map(move |one| (need, one)))
                {
                    for (deleting, of_server) in [(false, true), (false, false), (true, true), (true, false)] {
                        let mut made = made(wanted, desired, states);
                        made.facts.counted.deleting = deleting;
                        let entry = |need: &Need| ServerEntry {
                            name: "orchestra-entry-2".into(),
                            need: *need,
                            work: ServerWork::Due,
                        };
                        made.facts.entries.extend(need.as_ref().map(entry));
                        let refused = refusal.clone().map(|refusal| ("orchestra-entry-1".to_owned(), refusal));
                        let (on_server, of_entries) = if of_server { (refused, None) } else { (None, refused) };
                        made.refusals.extend(on_server);
                        check(&made, &of_entries.into_iter().collect::<Vec<_>>());
                    }
                }
            }
        }
    }

    fn check(made: &Observed, of_entries: &[(String, Refusal)]) {
        let said = describe(made, of_entries);
        let of = || format!("{said:?} of {:?}, {:?}", made.facts, made.refusals);
        assert_eq!(contradicts(said.ready, said.standing, said.reason), None, "{}", of());
        let full = made.facts.counted.available() >= made.wanted;
        let counted = &made.facts.counted;
        assert!(!said.ready || (full && !counted.deleting), "{}", of());
        let told = || made.refusals.iter().chain(of_entries).map(|(_, refusal)| refusal);
        if told().all(is_progress) && !counted.deleting {
            assert_eq!(said.ready, full, "{}", of());
            // A person needs to make room only where no database is being dropped or created.
            let leaves = made
                .facts
                .entries
                .iter()
                .any(|entry| matches!(entry.need, Need::Removal | Need::Withdrawal));
            let exhausted = !full && made.facts.counted.available() >= counted.desired && !leaves;
            assert_eq!(said.standing == Standing::Stalled, exhausted, "{}", of());
            assert_eq!(said.reason == Reason::PoolExhausted, exhausted, "{}", of());
        } else {
            let person = told().any(|refusal| !refusal.is_passing());
            assert_eq!(said.standing == Standing::Stalled, person, "{}", of());
        }
    }
}
