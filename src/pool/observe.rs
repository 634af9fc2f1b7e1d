//! Looks up the facts for [`super::plan`]: the entries of the inventory, the pool's members and what they
//! are to be prepared from. It only reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::attempts::{Attempt, AttemptState, Refusal};
use super::plan::{EntryState, Facts, Pace, PoolEntry, PreparationWork, RefusedEntry, Unprepared, UnpreparedState};
use super::wanted::{self, MemberContents};
use super::{PASS_TIME, PATIENCE, Pass, plan, probe, servers};
use super::{checks, preparation};
use crate::api::condition::Reason;
use crate::api::{OrchestraDatabase, retry_wish};
use crate::controller::backoff::SLOWEST;
use crate::controller::error::Error;
use crate::credentials::inventory::{self, Inventory};
use crate::credentials::made;
use crate::error::ErrorClass;
use crate::postgres::Login;

/// How old a successful probe may be when its entry becomes a member: by then the database may hold data.
const FRESH: Duration = Duration::from_secs(30);

/// The wait after a refusal when a person has asked for another attempt since.
const ASKED: Duration = Duration::from_secs(10);

/// What was looked up.
pub struct Observed {
    /// The facts for the plan.
    pub facts: Facts,
    /// The entries of the inventory.
    pub inventory: Arc<Inventory>,
    /// The pool's members.
    pub members: Vec<Arc<OrchestraDatabase>>,
    /// Those of them that belong to an entry, by its key.
    by_key: HashMap<String, Arc<OrchestraDatabase>>,
    /// What the members are to be prepared from.
    pub wanted: Option<Arc<MemberContents>>,
    /// Why that could not be looked up.
    pub trouble: Option<Error>,
    /// What the status says about entries: their key, and what is wrong.
    pub refusals: Vec<(String, Refusal)>,
    /// Keys of the entries whose connections others on the network could read.
    pub exposed: Vec<String>,
    /// The login of the pool's `server`, where no entry leads there.
    pub server: Option<Login>,
}

impl Observed {
    /// The member of an entry.
    pub fn member(&self, key: &str) -> Option<&Arc<OrchestraDatabase>> {
        self.by_key.get(key)
    }
}

pub async fn observe(pass: &Pass) -> Result<Observed, Error> {
    let ctx = pass.ctx.clone();
    let inventory = inventory::inventory(&ctx.credentials, &pass.pool).await?;
    let stores = &ctx.core.stores;
    let members = stores
        .databases
        .state_filter(|database| database.pool() == Some(pass.name()));
    let left = members.iter().filter(|member| has_left(member, &inventory));
    let mut facts = Facts {
        left: left.map(|member| member.name_any()).collect(),
        free_preparations: preparation::AT_ONCE.saturating_sub(ctx.preparations.under_way()),
        spent: pass.began.elapsed() >= PASS_TIME,
        ..Facts::default()
    };
    let keyed = members
        .iter()
        .filter_map(|member| Some((preparation::key(member)?, &**member)));
    let standings = checks::observe(pass, &inventory, keyed);
    facts.left.extend(standings.moved);
    facts.members = standings.members;
    facts.pace = Pace {
        calm: ctx.core.settings.resync,
        again: ctx.core.settings.login_spacing,
    };
    let mut refusals = standings.refusals;
    let by_key: HashMap<_, _> = members
        .iter()
        .filter_map(|member| Some((preparation::key(member)?.to_owned(), member.clone())))
        .collect();
    let exposed;
    (facts.entries, exposed) = entries(pass, &inventory, &by_key, &mut refusals);
    let urls = inventory.iter().filter(|(key, _)| by_key.contains_key(*key));
    facts.looks = servers::due(pass, urls.map(|(key, url)| (key.clone(), url.clone())));
    let server = match &pass.pool.spec.server {
        Some(server) if inventory.is_empty() => Some(made::server_login(&ctx.core, server).await?),
        _ => None,
    };
    facts.own_look = server.as_ref().and_then(|own| servers::due_of_own(pass, own));
    let mut observed = Observed {
        facts,
        inventory,
        members,
        by_key,
        wanted: None,
        trouble: None,
        refusals,
        exposed,
        server,
    };
    observed.refusals.extend(
        observed
            .inventory
            .strays()
            .map(|(key, wrong)| (key.clone(), invalid(wrong))),
    );
    if !plan::entries_come_first(&observed.facts) {
        observe_preparation(pass, &mut observed).await;
    }
    Ok(observed)
}

/// The entries, and the keys of those whose connections others on the network could read.
fn entries(
    pass: &Pass,
    inventory: &Inventory,
    by_key: &HashMap<String, Arc<OrchestraDatabase>>,
    refusals: &mut Vec<(String, Refusal)>,
) -> (Vec<PoolEntry>, Vec<String>) {
    let (mut entries, mut exposed) = (Vec::new(), Vec::new());
    for (key, url) in inventory.iter() {
        let state = if by_key.contains_key(key) {
            EntryState::Member
        } else {
            entry(pass, (inventory, key), refusals)
        };
        let login = Login::parse(url).ok();
        if login.as_ref().is_some_and(Login::is_exposed) {
            exposed.push(key.clone());
        }
        entries.push(PoolEntry {
            key: key.clone(),
            address: login.map(|login| format!("{}:{}/{}", login.host, login.port, login.database)),
            state,
        });
    }
    (entries, exposed)
}

fn invalid(wrong: &str) -> Refusal {
    Refusal::from(Error::blocked(Reason::InvalidEntry, wrong))
}

/// An entry that was removed from the inventory before an Orchestra claimed its database.
fn has_left(member: &OrchestraDatabase, inventory: &Inventory) -> bool {
    member.is_unclaimed() && preparation::key(member).is_some_and(|key| !inventory.contains_key(key))
}

/// What the last probe of an entry means now, and its message.
fn entry(pass: &Pass, (inventory, key): (&Inventory, &str), refusals: &mut Vec<(String, Refusal)>) -> EntryState {
    let attempt = pass
        .ctx
        .memory
        .probes
        .get(pass.uid(), key, &probe::subject(pass, inventory, key));
    let refusal = attempt.as_ref().and_then(|attempt| attempt.refusal.clone());
    let state = match attempt {
        None => EntryState::Unprobed,
        Some(attempt) => entry_state(pass, attempt),
    };
    match (&state, refusal) {
        (_, Some(refusal)) => refusals.push((key.into(), refusal)),
        (EntryState::Unprobed | EntryState::Probing { .. }, None) => refusals.push((key.into(), probe::pending())),
        _ => {}
    }
    state
}

fn entry_state(pass: &Pass, attempt: Attempt<String>) -> EntryState {
    let (age, asked) = (attempt.age(), attempt.is_asked_again(&retry_wish(&*pass.pool)));
    match (attempt.state, attempt.refusal) {
        // Its task was interrupted, or it would have ended by now.
        (AttemptState::Running, _) if age > probe::LIMIT + PATIENCE => EntryState::Unprobed,
        (AttemptState::Running, _) => EntryState::Probing { young: age < PATIENCE },
        (AttemptState::Done(database), _) if age < FRESH => EntryState::Usable { database },
        (AttemptState::Done(_), _) | (AttemptState::Refused, None) => EntryState::Unprobed,
        (AttemptState::Refused, Some(refusal)) => {
            let exists = |name: &String| {
                let watched = &pass.ctx.core.stores.databases;
                watched.get(&ObjectRef::new(name)).is_some()
            };
            let wait = match &refusal.duplicate_of {
                Some(other) if exists(other) => SLOWEST,
                Some(_) => Duration::ZERO,
                None => pace(&refusal, pass.ctx.core.settings.login_spacing),
            };
            // A request does not shorten the wait that a server has asked for.
            let asked = asked && !matches!(refusal.class, ErrorClass::After(_));
            let wait = if asked { wait.min(ASKED) } else { wait };
            EntryState::Refused(RefusedEntry {
                again: wait.saturating_sub(age),
                passing: asked || refusal.is_passing(),
            })
        }
    }
}

/// The wait after a refusal.
pub fn pace(refusal: &Refusal, spacing: Duration) -> Duration {
    match refusal.class {
        ErrorClass::After(wait) => wait,
        _ => spacing,
    }
}

async fn observe_preparation(pass: &Pass, observed: &mut Observed) {
    match pass.wanted(wanted::of_entries(pass)).await {
        Ok(wanted) => observed.wanted = wanted,
        Err(error) => {
            observed.facts.preparation = PreparationWork::Blocked;
            observed.trouble = Some(error);
        }
    }
    let Some(wanted) = observed.wanted.clone() else { return };
    let mut unprepared = Vec::new();
    for key in observed.inventory.keys() {
        let Some(member) = observed.member(key) else { continue };
        if !member.is_unclaimed() || checks::is_out(pass, member) {
            continue;
        }
        let Some((state, refusal)) = unprepared_state(pass, &wanted, member) else {
            continue;
        };
        unprepared.push(Unprepared {
            key: key.clone(),
            state,
        });
        observed.refusals.extend(refusal.map(|refusal| (key.clone(), refusal)));
    }
    observed.facts.preparation = PreparationWork::Of(unprepared);
}

/// The state of the preparation of a member, and its message; none when the member is prepared.
pub fn unprepared_state(
    pass: &Pass,
    wanted: &MemberContents,
    member: &OrchestraDatabase,
) -> Option<(UnpreparedState, Option<Refusal>)> {
    if wanted.is_met_by(member) {
        return None;
    }
    let (uid, subject) = (member.uid().unwrap_or_default(), wanted.subject());
    let (refusals, wish) = (&pass.ctx.core.refusals, retry_wish(&*pass.pool));
    if let Some(error) = refusals.refusal(&uid, (&subject, &wish)) {
        // A pass comes back for the attempt that a person has requested of the pool.
        let refused = RefusedEntry {
            again: error.again().unwrap_or(SLOWEST),
            passing: error.again().is_some(),
        };
        return Some((UnpreparedState::Refused(refused), Some(Refusal::from(&error))));
    }
    let Some(attempt) = pass.ctx.memory.preparations.get(pass.uid(), &uid, &subject) else {
        return Some((UnpreparedState::Due, None));
    };
    let age = attempt.age();
    let limit = pass.ctx.core.settings.migration_limit + probe::LIMIT + PATIENCE;
    match (attempt.state, attempt.refusal) {
        // Its task was interrupted, or it would have ended by now.
        (AttemptState::Running, _) if age > limit => Some((UnpreparedState::Due, None)),
        (AttemptState::Running, _) => {
            let young = age < PATIENCE;
            Some((UnpreparedState::Running { young }, Some(wanted.running())))
        }
        // The member was listed before the work ended, or is claimed or deleted by now.
        (AttemptState::Done(()), _) if age < FRESH => None,
        (AttemptState::Refused, Some(refusal)) if refusal.is_passing() => {
            let again = pace(&refusal, pass.ctx.core.settings.login_spacing).saturating_sub(age);
            if again.is_zero() {
                return Some((UnpreparedState::Due, Some(refusal)));
            }
            let passing = true;
            Some((UnpreparedState::Refused(RefusedEntry { again, passing }), Some(refusal)))
        }
        (AttemptState::Done(()) | AttemptState::Refused, _) => Some((UnpreparedState::Due, None)),
    }
}
