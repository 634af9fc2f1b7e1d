//! Describes a pool: how many of its databases are available and bound, and which entries are refused.

use std::sync::Arc;

use super::attempts::Refusal;
use super::observe::Observed;
use super::plan::Step;
use super::servers::{self, KnownServers};
use super::{Context, Pass, checks};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraDatabase, OrchestraPool, OrchestraPoolStatus};
use crate::controller;
use crate::controller::conditions::{Conditions, Standing, find};
use crate::controller::error::Error;
use crate::controller::status::{News, current, has_come_to};
use crate::text;

/// The most entries that a condition names: its message is limited to 32768 characters.
const NAMED: usize = 20;

/// Characters of a message that leave room for the number of the others and a warning.
const FITS: usize = text::MESSAGE - 100;

/// Writes the status at a step that ends the pass. Refused entries do not prevent the others from being claimed.
pub async fn write(pass: &mut Pass, step: &Step, observed: &Observed) -> Result<(), Error> {
    let Some(described) = describe(step, observed) else {
        return Ok(());
    };
    let members = &observed.members;
    let count = |wanted: &dyn Fn(&OrchestraDatabase) -> bool| {
        i32::try_from(members.iter().filter(|member| wanted(member)).count()).unwrap_or(i32::MAX)
    };
    let is_available = |member: &OrchestraDatabase| member.is_unclaimed() && !checks::is_out(pass, member);
    let status = OrchestraPoolStatus {
        desired: i32::try_from(observed.inventory.len()).unwrap_or(i32::MAX),
        available: count(&is_available),
        bound: count(&OrchestraDatabase::is_held),
        ..pass.pool.status.clone().unwrap_or_default()
    };
    let servers = servers::known(pass, &observed.inventory, None);
    tell(pass, status, described, servers).await
}

/// Writes what is said of the pool of a pass, with its events.
pub async fn tell(
    pass: &mut Pass,
    status: OrchestraPoolStatus,
    described: Description,
    servers: KnownServers,
) -> Result<(), Error> {
    let told = fill(&pass.pool, status, described, servers, false);
    pass.write_status(told.status, told.news).await?;
    if let Some(opened) = told.opened {
        controller::status::tell(&pass.ctx.core, &*pass.pool, &opened).await;
    }
    Ok(())
}

/// What the conditions of a pool say.
#[derive(Debug, PartialEq, Eq)]
pub struct Description {
    /// Ready is True.
    pub ready: bool,
    /// Who has to act.
    pub standing: Standing,
    /// Reason of the conditions.
    pub reason: Reason,
    /// Their message.
    pub message: String,
}

/// What the conditions say at a step; none where the next step writes them.
fn describe(step: &Step, observed: &Observed) -> Option<Description> {
    match step {
        Step::Withdraw(_)
        | Step::Enlist(_)
        | Step::Probe(_)
        | Step::AwaitProbes
        | Step::Check(_)
        | Step::Look(_) | Step::LookAtServer
        | Step::Prepare(_)
        | Step::AwaitPreparations
        // The error that stops it is reported.
        | Step::Stop => None,
        Step::Yield | Step::Wait(_) | Step::Rest => {
            let mut described = of_entries(&observed.refusals);
            described.message += &exposure(&observed.exposed);
            Some(described)
        }
    }
}

/// What the conditions say of these entries, those that need a person first.
pub fn of_entries(refusals: &[(String, Refusal)]) -> Description {
    let mut refusals: Vec<_> = refusals.iter().collect();
    refusals.sort_by_key(|(_, refusal)| refusal.is_passing());
    let standing = match refusals.first() {
        None => Standing::Settled,
        Some((_, refusal)) if refusal.is_passing() => Standing::Reconciling,
        Some(_) => Standing::Stalled,
    };
    Description {
        ready: refusals.is_empty(),
        standing,
        reason: refusals.first().map_or(Reason::Ready, |(_, refusal)| refusal.reason),
        message: message(&refusals),
    }
}

/// The refused entries; of very many, the first ones.
fn message(refusals: &[&(String, Refusal)]) -> String {
    if refusals.is_empty() {
        return "every entry is usable".into();
    }
    let refusals: Vec<_> = refusals
        .iter()
        .map(|(key, refusal)| format!("{key}: {}", refusal.message))
        .collect();
    // Further ones are counted, since the end of a long message is cut off.
    let lengths = refusals.iter().scan(0, |length, refusal| {
        *length += refusal.chars().count() + 2;
        Some(*length)
    });
    let fit = lengths.take_while(|length| *length <= FITS).count();
    text::clauses(&refusals, fit.clamp(1, NAMED))
}

/// The warning about entries whose connections others on the network could read. The entries are used anyway.
pub fn exposure(keys: &[String]) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let named = text::names(keys, NAMED, keys.len());
    format!(
        ". Warning: {named}: sslmode is disable or prefer, so others on the network can read the traffic or \
         impersonate the server. Write sslmode=verify-full into the URL, with sslrootcert if the authority is your own"
    )
}

/// Writes the error that stopped a pass. During a transient error, a pool stays Ready if its entries, as its spec now names
/// them, are usable.
pub async fn report(pool: Arc<OrchestraPool>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let Some(pool) = current(&ctx.core, &*pool).await? else {
        return Ok(());
    };
    let status = pool.status.clone().unwrap_or_default();
    let standing = if error.is_passing() {
        Standing::Reconciling
    } else {
        Standing::Stalled
    };
    let described = Description {
        ready: false,
        standing,
        reason: error.reason(),
        message: error.to_string(),
    };
    let servers = KnownServers::Nothing;
    let told = fill(&pool, status, described, servers, error.is_passing());
    controller::status::write(&ctx.core, &pool, told.status, told.news).await?;
    Ok(())
}

/// A status, and the events that are told with it.
struct FilledStatus {
    status: OrchestraPoolStatus,
    /// What is new about the pool.
    news: Option<News>,
    /// The warning about servers that let everybody in.
    opened: Option<News>,
}

/// Fills the conditions of a status. After a `blip` a pool that was Ready stays so.
fn fill(
    pool: &OrchestraPool,
    mut status: OrchestraPoolStatus,
    described: Description,
    servers: KnownServers,
    blip: bool,
) -> FilledStatus {
    let Description {
        ready,
        standing,
        reason,
        message,
    } = described;
    let old = pool.status.as_ref();
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let mut conditions = Conditions::new(before, pool.metadata.generation);
    stand(&mut conditions, (ready, standing, reason), &message, blip);
    let told = find(before, ConditionType::ServersClosed).is_some();
    match &servers {
        KnownServers::Open(message) => conditions.set(ConditionType::ServersClosed, false, Reason::ServerOpen, message),
        KnownServers::Nothing if told => conditions.keep(ConditionType::ServersClosed, Reason::ServerOpen),
        KnownServers::Nothing | KnownServers::Closed => {}
    }
    status.conditions = conditions.finish();
    status.observed_generation = pool.metadata.generation.unwrap_or_default();
    // Members that are being prepared, or that wait for their turn, are not a problem.
    let well = ready || matches!(reason, Reason::Migrating | Reason::Queued);
    let news = has_come_to(before, &status.conditions, ConditionType::Ready, reason).then(|| {
        if well {
            News::normal(reason, message)
        } else {
            News::warning(reason, message)
        }
    });
    let opened = match servers {
        KnownServers::Open(message) if !told => Some(News::warning(Reason::ServerOpen, message)),
        _ => None,
    };
    FilledStatus { status, news, opened }
}

/// Ready, and Reconciling or Stalled. After a `blip` a pool that was Ready stays so.
fn stand(
    conditions: &mut Conditions<'_>,
    (ready, standing, reason): (bool, Standing, Reason),
    message: &str,
    blip: bool,
) {
    if blip && conditions.was_met(ConditionType::Ready) {
        conditions.keep(ConditionType::Ready, reason);
    } else {
        conditions.set(ConditionType::Ready, ready, reason, message);
    }
    conditions.stand(standing, reason, message);
}

#[cfg(test)]
pub(in crate::pool) mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;
    use crate::controller::conditions::contradiction;
    use crate::error::ErrorClass;

    /// Every reason of a refusal, transient and needing a person.
    pub fn every_refusal() -> Vec<Refusal> {
        let classes = [ErrorClass::Transient, ErrorClass::Blocked, ErrorClass::Invalid];
        let reasons = Reason::iter().filter(|reason| !reason.is_fulfilled());
        let errors = reasons.flat_map(|reason| {
            classes.map(|class| {
                let message = "it is told".to_owned();
                Refusal::from(Error::Stop { class, reason, message })
            })
        });
        errors.collect()
    }

    /// How the conditions of a pool contradict each other.
    pub fn contradicts(ready: bool, standing: Standing, reason: Reason) -> Option<String> {
        let mut conditions = Conditions::new(&[], Some(1));
        stand(&mut conditions, (ready, standing, reason), "it is told", false);
        contradiction(&conditions.finish())
    }

    #[test]
    fn what_needs_a_person_comes_first() {
        let refusal = |error: &Error| ("KEY".to_owned(), Refusal::from(error));
        let passing = refusal(&Error::transient(Reason::DatabaseUnreachable, "no answer"));
        let blocked = refusal(&Error::blocked(Reason::InUse, "full"));
        let described = of_entries(&[passing.clone(), blocked]);
        assert_eq!(described.standing, Standing::Stalled);
        assert_eq!((described.ready, described.reason), (false, Reason::InUse));
        assert_eq!(described.message, "KEY: full; KEY: no answer");
        assert_eq!(of_entries(&[passing]).standing, Standing::Reconciling);
        let well = of_entries(&[]);
        assert_eq!((well.ready, well.standing), (true, Standing::Settled));
        assert_eq!(
            (well.reason, well.message.as_str()),
            (Reason::Ready, "every entry is usable")
        );
    }

    #[test]
    fn a_message_is_bounded() {
        let refusals: Vec<_> = (0..1000)
            .map(|number| {
                let error = Error::blocked(Reason::InUse, "full");
                (format!("KEY_{number}"), Refusal::from(&error))
            })
            .collect();
        let all = of_entries(&refusals).message;
        assert!(all.len() < 1000 && all.ends_with("KEY_19: full; and 980 more"), "{all}");
        let long = Error::blocked(Reason::InUse, "long ".repeat(40));
        let refusals: Vec<_> = (0..9)
            .map(|number| (format!("KEY_{number}"), Refusal::from(&long)))
            .collect();
        let all = of_entries(&refusals).message;
        assert!(all.len() < text::MESSAGE && all.ends_with("; and 5 more"), "{all}");
        let keys: Vec<_> = (0..1000).map(|number| format!("KEY_{number}")).collect();
        let exposed = exposure(&keys);
        assert!(
            exposed.len() < 1000 && exposed.contains("KEY_19 and 980 more: sslmode"),
            "{exposed}"
        );
        assert_eq!(exposure(&[]), "");
    }

    #[test]
    fn no_condition_contradicts_its_reason() {
        let all: Vec<_> = every_refusal().into_iter().map(|one| ("key".to_owned(), one)).collect();
        let two = all.iter().map(|one| vec![all[0].clone(), one.clone()]);
        let one = all.iter().map(|one| vec![one.clone()]);
        for refusals in one.chain(two).chain([Vec::new()]) {
            let said = of_entries(&refusals);
            let settled = said.standing == Standing::Settled;
            assert_eq!(contradicts(said.ready, said.standing, said.reason), None);
            assert_eq!((said.ready, settled), (refusals.is_empty(), refusals.is_empty()));
            let person = refusals.iter().any(|(_, refusal)| !refusal.is_passing());
            assert_eq!(said.standing == Standing::Stalled, person, "{:?}", said.reason);
            assert!(settled || said.message.contains("it is told"), "{}", said.message);
        }
    }

    #[test]
    fn a_blip_leaves_ready_what_the_spec_asks_for_now() {
        let mut first = Conditions::new(&[], Some(1));
        stand(
            &mut first,
            (true, Standing::Settled, Reason::Ready),
            "every entry is usable",
            false,
        );
        let first = first.finish();
        for refusal in every_refusal().iter().filter(|refusal| refusal.is_passing()) {
            for (generation, stays) in [(1, true), (2, false)] {
                let mut now = Conditions::new(&first, Some(generation));
                let said = (false, Standing::Reconciling, refusal.reason);
                stand(&mut now, said, &refusal.message, true);
                let now = now.finish();
                assert_eq!(contradiction(&now), None);
                assert_eq!(crate::api::condition::is_true(&now, ConditionType::Ready), stays);
            }
        }
    }
}
