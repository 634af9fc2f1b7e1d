//! The databases of pools that wait for a claim: which one an Orchestra takes, and who is told of a free one.

use parking_lot::{Mutex, MutexGuard};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use crate::api::condition::ConditionType;
use crate::api::{AppliedTemplate, Orchestra, OrchestraClass, OrchestraDatabase};
use crate::class;
use crate::content;
use crate::controller::conditions::is_true;

/// How long a pass has to claim what it chose, before others may choose it.
const CHOSEN: Duration = Duration::from_secs(10);

/// Which databases passes of this process have chosen: of many Orchestras at once each chooses another
/// one, and none that is being prepared. The API server alone decides who has it.
#[derive(Default)]
pub struct Choices(Mutex<HashMap<String, Choice>>);

enum Choice {
    /// For the Orchestra of this UID.
    Claim(String, Instant),
    /// Until its [`Hold`] is dropped.
    Hold,
}

/// Keeps a database of a pool from being chosen until it is dropped.
pub struct Hold {
    choices: Arc<Choices>,
    name: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.choices.lock().remove(&self.name);
    }
}

impl Choices {
    /// Chooses the first of `names` that nobody else has chosen.
    pub fn first<'a>(&self, names: impl IntoIterator<Item = &'a str>, uid: &str) -> Option<&'a str> {
        let mut chosen = self.lock();
        chosen.retain(|_, choice| !matches!(choice, Choice::Claim(by, _) if by == uid));
        let name = names.into_iter().find(|name| !chosen.contains_key(*name))?;
        chosen.insert(name.to_owned(), Choice::Claim(uid.to_owned(), Instant::now()));
        Some(name)
    }

    /// Whether no other Orchestra than this one has chosen a database, and none prepares it.
    pub fn is_open(&self, name: &str, uid: &str) -> bool {
        match self.lock().get(name) {
            None => true,
            Some(Choice::Claim(by, _)) => by == uid,
            Some(Choice::Hold) => false,
        }
    }

    /// Keeps a database from being chosen; none when somebody has chosen it.
    pub fn hold(self: &Arc<Self>, name: &str) -> Option<Hold> {
        let mut chosen = self.lock();
        let Entry::Vacant(free) = chosen.entry(name.to_owned()) else {
            return None;
        };
        free.insert(Choice::Hold);
        Some(Hold {
            choices: self.clone(),
            name: name.to_owned(),
        })
    }

    /// The choices that are not too old.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Choice>> {
        let mut chosen = self.0.lock();
        chosen.retain(|_, choice| !matches!(choice, Choice::Claim(_, at) if at.elapsed() >= CHOSEN));
        chosen
    }
}

/// The names of the free members of the class's pools that no other Orchestra is about to take, the best one
/// first. It reads only.
pub fn candidates(ctx: &Context, object: &Orchestra, class: &OrchestraClass) -> Vec<String> {
    let rank = |database: &OrchestraDatabase| rank(object, class, database);
    let stores = &ctx.core.stores;
    let mut members = stores
        .databases
        .state_filter(|database| is_free(database) && rank(database).is_some());
    if members.is_empty() {
        return Vec::new();
    }
    let others = stores.orchestras.state_filter(|other| {
        other.metadata.uid.as_deref() != object.metadata.uid.as_deref()
            && other.metadata.deletion_timestamp.is_none()
            && !is_stalled(other)
    });
    let mut taken: HashSet<_> = others
        .iter()
        .filter_map(|other| other.status.as_ref()?.claiming.as_deref())
        .collect();
    // What this Orchestra intended before was found taken, whatever the watch shows.
    let void = object.status.as_ref().and_then(|status| status.claiming.as_deref());
    taken.extend(void);
    members.sort_by_cached_key(|database| rank(database));
    let names = members.iter().filter_map(|member| member.metadata.name.as_deref());
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let open = names.filter(|name| !taken.contains(name) && ctx.choices.is_open(name, uid));
    open.map(ToOwned::to_owned).collect()
}

/// Reserves the first of these members that no other Orchestra has reserved.
pub fn reserve(ctx: &Context, object: &Orchestra, names: &[String]) -> Option<String> {
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let first = ctx.choices.first(names.iter().map(String::as_str), uid);
    first.map(ToOwned::to_owned)
}

/// Who is Stalled carries out no intent until somebody has helped.
fn is_stalled(object: &Orchestra) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|status| is_true(&status.conditions, ConditionType::Stalled))
}

/// Whether an Orchestra of this class can take a database.
pub fn fits(object: &Orchestra, class: &OrchestraClass, database: &OrchestraDatabase) -> bool {
    database.is_unclaimed() && rank(object, class, database).is_some()
}

/// Whether a database of a pool is there for the taking.
fn is_free(database: &OrchestraDatabase) -> bool {
    let ready = |database: &OrchestraDatabase| {
        let status = database.status.as_ref();
        status.is_some_and(|status| is_true(&status.conditions, ConditionType::Ready))
    };
    database.spec.inventory.is_some() && database.is_unclaimed() && ready(database)
}

/// The place of a database among those that an Orchestra of this class can take, the least one first.
fn rank(
    object: &Orchestra,
    class: &OrchestraClass,
    database: &OrchestraDatabase,
) -> Option<(bool, usize, usize, String)> {
    let entry = database.spec.inventory.as_ref()?;
    let pools = &class.spec.pools.as_ref()?.names;
    let pool = pools.iter().position(|pool| *pool == entry.pool)?;
    // What was prepared from another template holds tables that nobody here asks for.
    let prepared = database.status.as_ref().and_then(|status| status.template.as_ref());
    if prepared.is_some_and(|prepared| !is_of(prepared, object, class)) {
        return None;
    }
    // DATABASE_URL_POOL_10 comes after DATABASE_URL_POOL_9.
    Some((prepared.is_none(), pool, entry.key.len(), entry.key.clone()))
}

fn is_of(prepared: &AppliedTemplate, object: &Orchestra, class: &OrchestraClass) -> bool {
    let wanted = content::template_of(object, class);
    wanted.is_some_and(|wanted| prepared.is(&class.name_any(), &wanted.name))
}

/// Why no database of the class's pools can be taken, and what to do.
pub fn shortage(ctx: &Context, object: &Orchestra, class: &OrchestraClass) -> String {
    let names = class.spec.pools.as_ref().map(|pools| pools.names.as_slice());
    let (names, many) = (names.unwrap_or_default(), names.is_some_and(|names| names.len() > 1));
    let pools = format!("pool{} {}", if many { "s" } else { "" }, names.join(", "));
    let stores = &ctx.core.stores;
    let free = stores.databases.state_filter(|database| {
        let entry = database.spec.inventory.as_ref();
        is_free(database) && entry.is_some_and(|entry| names.contains(&entry.pool))
    });
    if free.is_empty() {
        return format!("no database is left in {pools}: add one, and the claim is met by itself");
    }
    if free.iter().any(|database| fits(object, class, database)) {
        return format!(
            "every free database of {pools} is being prepared, or about to be taken by another Orchestra: the claim is met \
             by itself when one is left; add some for those who want to wait less"
        );
    }
    format!(
        "what is left in {pools} was prepared from another template than this Orchestra's: add a database, or have \
         the pool prepare from this one"
    )
}

/// Who is told of a free database: of the Orchestras that can take it as many as databases are free, the
/// oldest first, so that a thousand that wait do not all look at each of a thousand databases. Who is
/// Stalled may have ceased to be, and takes nobody's place.
pub fn awaiting(ctx: &Context, database: &OrchestraDatabase) -> Vec<ObjectRef<Orchestra>> {
    if !is_free(database) {
        return Vec::new();
    }
    let mut classes = HashMap::new();
    let mut can_take = |object: &Orchestra| {
        let name = object.spec.class_name.clone();
        let class = classes
            .entry(name)
            .or_insert_with_key(|name| class::resolve(&ctx.class, name.as_deref()).ok());
        class
            .as_ref()
            .is_some_and(|class| rank(object, class, database).is_some())
    };
    let mut unmet = ctx.core.stores.orchestras.state_filter(is_unmet);
    unmet.retain(|object| can_take(object));
    let (mut told, mut waiting): (Vec<_>, Vec<_>) = unmet.into_iter().partition(|object| is_stalled(object));
    waiting.sort_by_key(|object| (object.metadata.creation_timestamp.clone(), object.metadata.uid.clone()));
    waiting.truncate(ctx.core.stores.databases.state_filter(is_free).len());
    told.append(&mut waiting);
    told.iter().map(|object| ObjectRef::from_obj(&**object)).collect()
}

/// Whether an Orchestra wants a database and is not known to hold one.
pub fn is_unmet(object: &Orchestra) -> bool {
    let status = object.status.as_ref();
    let wants = object.metadata.deletion_timestamp.is_none();
    wants && status.is_none_or(|status| status.database_name.is_none())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Choices;

    #[test]
    fn each_chooses_another_one_and_only_one() {
        let choices = Arc::new(Choices::default());
        let names = ["a", "b"];
        assert_eq!(choices.first(names, "one"), Some("a"));
        assert_eq!(choices.first(names, "two"), Some("b"));
        assert_eq!(choices.first(names, "three"), None);
        assert_eq!(choices.first(["b"], "two"), Some("b"));
        assert_eq!(choices.first(["c"], "one"), Some("c"));
        assert_eq!(choices.first(names, "three"), Some("a"));
        // What is prepared is not chosen, and what is chosen is not prepared.
        assert_eq!(choices.first(["d"], "two"), Some("d"));
        let held = choices.hold("b");
        assert!(held.is_some() && choices.hold("a").is_none() && choices.hold("b").is_none());
        assert_eq!(choices.first(["b"], "two"), None);
        drop(held);
        assert_eq!(choices.first(["b"], "two"), Some("b"));
    }
}
