//! Which member of a pool an Orchestra claims, and which Orchestras are triggered when a member becomes free.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use super::{Context, broken, made, preparation};
use crate::api::{AppliedTemplate, Orchestra, OrchestraClass, OrchestraDatabase, OrchestraPool};
use crate::class;
use crate::content;

/// How long a pass has to claim the member that it chose, before other passes may choose it.
const CHOSEN: Duration = Duration::from_secs(10);

/// The members that passes of this process have chosen to claim or to prepare, by name. They prevent many Orchestras from
/// trying to claim one member at the same time; the API server decides the claim itself.
#[derive(Default)]
pub struct Choices(Mutex<HashMap<String, MemberChoice>>);

enum MemberChoice {
    /// A pass of the Orchestra of this UID is about to claim the member.
    Claim { uid: String, at: Instant },
    /// The member is being prepared, until its [`Preparing`] is dropped.
    Prepare,
}

impl MemberChoice {
    /// Whether it prevents the Orchestra of this UID from choosing the member.
    fn excludes(&self, uid: &str) -> bool {
        match self {
            Self::Claim { uid: by, at } => by != uid && at.elapsed() < CHOSEN,
            Self::Prepare => true,
        }
    }
}

/// While this value exists, the member is being prepared and cannot be chosen.
pub struct Preparing {
    choices: Arc<Choices>,
    name: String,
}

impl Drop for Preparing {
    fn drop(&mut self) {
        self.choices.0.lock().remove(&self.name);
    }
}

impl Choices {
    /// Chooses, for the Orchestra of this UID, the first of `names` that no other pass has chosen. Its
    /// earlier choice is given up.
    pub fn first<'a>(&self, names: impl IntoIterator<Item = &'a str>, uid: &str) -> Option<&'a str> {
        let mut chosen = self.0.lock();
        chosen.retain(
            |_, choice| !matches!(choice, MemberChoice::Claim { uid: by, at } if by == uid || at.elapsed() >= CHOSEN),
        );
        let name = names.into_iter().find(|name| !chosen.contains_key(*name))?;
        let (uid, at) = (uid.to_owned(), Instant::now());
        chosen.insert(name.to_owned(), MemberChoice::Claim { uid, at });
        Some(name)
    }

    /// Chooses a member to prepare; none when another pass has chosen it.
    pub fn prepare(self: &Arc<Self>, name: &str) -> Option<Preparing> {
        let mut chosen = self.0.lock();
        match chosen.entry(name.to_owned()) {
            Entry::Occupied(choice) if choice.get().excludes("") => return None,
            Entry::Occupied(mut late) => drop(late.insert(MemberChoice::Prepare)),
            Entry::Vacant(free) => drop(free.insert(MemberChoice::Prepare)),
        }
        Some(Preparing {
            choices: self.clone(),
            name: name.to_owned(),
        })
    }

    /// Whether the Orchestra of this UID can choose a member now.
    pub fn is_open(&self, name: &str, uid: &str) -> bool {
        let chosen = self.0.lock();
        chosen.get(name).is_none_or(|choice| !choice.excludes(uid))
    }

    /// The members that the Orchestra of this UID cannot choose now.
    fn excluded(&self, uid: &str) -> HashSet<String> {
        let chosen = self.0.lock();
        let excluded = chosen.iter().filter(|(_, choice)| choice.excludes(uid));
        excluded.map(|(name, _)| name.clone()).collect()
    }
}

/// The members of the class's pools that an Orchestra can claim now, the best first. It reads only:
/// members that another Orchestra is about to claim, or that are being prepared, are left out.
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
            && !other.is_stalled()
    });
    let claiming = |object: &Orchestra| object.status.as_ref()?.claiming.clone();
    let mut excluded = ctx.choices.excluded(object.metadata.uid.as_deref().unwrap_or_default());
    excluded.extend(others.iter().filter_map(|other| claiming(other)));
    // The member that this Orchestra tried to claim before was claimed by another one, even when the watch
    // does not show it yet.
    excluded.extend(claiming(object));
    members.sort_by_cached_key(|database| rank(database));
    let names = members.iter().filter_map(|member| member.metadata.name.clone());
    names.filter(|name| !excluded.contains(name)).collect()
}

/// Chooses the first of these members that no other pass has chosen meanwhile. Other passes leave it out
/// for a few seconds, in which the Orchestra claims it.
pub fn reserve(ctx: &Context, object: &Orchestra, names: &[String]) -> Option<String> {
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let names = names.iter().map(String::as_str);
    ctx.choices.first(names, uid).map(ToOwned::to_owned)
}

/// Whether an Orchestra of this class can claim a database.
pub fn fits(object: &Orchestra, class: &OrchestraClass, database: &OrchestraDatabase) -> bool {
    database.is_unclaimed() && rank(object, class, database).is_some()
}

/// Whether a database is a usable member of a pool that nobody has claimed.
fn is_free(database: &OrchestraDatabase) -> bool {
    database.pool().is_some() && database.is_unclaimed() && database.is_ready()
}

/// The order of a member among those that an Orchestra of this class can claim, the least first; none when
/// it cannot claim it.
fn rank(
    object: &Orchestra,
    class: &OrchestraClass,
    database: &OrchestraDatabase,
) -> Option<(bool, usize, usize, String)> {
    if object.spec.existing().is_some() {
        return None;
    }
    let member_of = database.pool()?;
    let pools = &class.spec.pools.as_ref()?.names;
    let pool = pools.iter().position(|pool| pool == member_of)?;
    let (restored, status) = (object.spec.backup().is_some(), database.status.as_ref());
    if restored && status.is_some_and(|status| status.template.is_some() || status.prepared.is_some()) {
        // A backup is restored into an empty database.
        return None;
    }
    if database.is_spare() {
        let prepared = made::fits(object, class, database)?;
        // The one that has waited for the longest time first.
        let since = database.creation_timestamp().map(|at| at.0.to_string());
        let place = format!("{} {}", since.unwrap_or_default(), database.name_any());
        return Some((!prepared, pool, 0, place));
    }
    // A member that was prepared from another template holds that template's tables.
    let prepared = database.status.as_ref().and_then(|status| status.template.as_ref());
    if prepared.is_some_and(|prepared| !is_of(prepared, object, class)) {
        return None;
    }
    // DATABASE_URL_POOL_10 comes after DATABASE_URL_POOL_9.
    let key = preparation::key(database).unwrap_or_default();
    Some((prepared.is_none(), pool, key.len(), key.to_owned()))
}

fn is_of(prepared: &AppliedTemplate, object: &Orchestra, class: &OrchestraClass) -> bool {
    let wanted = content::template_of(object, class);
    wanted.is_some_and(|wanted| prepared.is(&class.name_any(), &wanted.name))
}

/// Why no member of the class's pools can be claimed, and what to do.
pub fn shortage(ctx: &Context, object: &Orchestra, class: &OrchestraClass) -> String {
    let names = class.spec.pools.as_ref().map(|pools| pools.names.as_slice());
    let (names, many) = (names.unwrap_or_default(), names.is_some_and(|names| names.len() > 1));
    let pools = format!("pool{} {}", if many { "s" } else { "" }, names.join(", "));
    let stores = &ctx.core.stores;
    let free = stores
        .databases
        .state_filter(|database| is_free(database) && names.iter().any(|name| database.pool() == Some(name)));
    if let Some(short) = made::shortage(ctx, &free, names, &pools) {
        return short;
    }
    if free.is_empty() {
        let (broken, cure) = match broken::told(ctx, names) {
            Some(broken) => (format!("; {broken}"), "correct that, or add"),
            None => (String::new(), "add"),
        };
        return format!(
            "no database is left in {pools}{broken}: {cure} a database to the pool's inventory, and the operator claims it"
        );
    }
    if free.iter().any(|database| fits(object, class, database)) {
        return format!(
            "every free database of {pools} is being prepared, or is about to be claimed by another Orchestra: the \
             operator claims one as soon as it is free; add databases to the pool's inventory to shorten the wait"
        );
    }
    if object.spec.backup().is_some() {
        return format!(
            "a backup can be restored only into an empty database, and every free database of {pools} already has migrations \
             applied: add a database to the pool's inventory, or use a class with a provider"
        );
    }
    format!(
        "the free databases of {pools} were prepared from another template than this Orchestra's: add a database to the \
         pool's inventory, or let the pool prepare databases from this Orchestra's template"
    )
}

/// The pools that are triggered when an OrchestraDatabase is gone: one of their entries led to the same database.
pub fn with_duplicates(ctx: &Context, gone: &OrchestraDatabase) -> Vec<ObjectRef<OrchestraPool>> {
    let uids = ctx.memory.probes.duplicates_of(&gone.name_any());
    let pools = ctx.core.stores.pools.state_filter(|pool| {
        let uid = pool.metadata.uid.as_ref();
        uid.is_some_and(|uid| uids.contains(uid))
    });
    pools.iter().map(|pool| ObjectRef::from_obj(&**pool)).collect()
}

/// The Orchestras that are triggered when a member becomes free: of those that can claim it, as many as members are free,
/// the oldest first, so that a thousand waiting Orchestras do not each look at a thousand members. Stalled Orchestras are
/// triggered too, without counting against the free databases.
pub fn awaiting(ctx: &Context, database: &OrchestraDatabase) -> Vec<ObjectRef<Orchestra>> {
    if !is_free(database) {
        return Vec::new();
    }
    let mut classes = HashMap::new();
    let mut can_claim = |object: &Orchestra| {
        let name = object.spec.class_name.clone();
        let class = classes
            .entry(name)
            .or_insert_with_key(|name| class::resolve(&ctx.class, name.as_deref()).ok());
        class
            .as_ref()
            .is_some_and(|class| rank(object, class, database).is_some())
    };
    let mut unmet = ctx.core.stores.orchestras.state_filter(is_unmet);
    unmet.retain(|object| can_claim(object));
    let (mut woken, mut waiting): (Vec<_>, Vec<_>) = unmet.into_iter().partition(|object| object.is_stalled());
    waiting.sort_by_key(|object| (object.metadata.creation_timestamp.clone(), object.metadata.uid.clone()));
    waiting.truncate(ctx.core.stores.databases.state_filter(is_free).len());
    woken.append(&mut waiting);
    woken.iter().map(|object| ObjectRef::from_obj(&**object)).collect()
}

/// Whether an Orchestra needs a database and does not have one by its status. One whose migrations wait for a busy server has
/// claimed one by now.
pub fn is_unmet(object: &Orchestra) -> bool {
    let status = object.status.as_ref();
    let needs = object.metadata.deletion_timestamp.is_none() && !object.is_queued_ahead();
    needs && status.is_none_or(|status| status.database_name.is_none())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use super::Choices;

    #[test]
    fn each_pass_chooses_another_member_and_only_one() {
        let choices = Arc::new(Choices::default());
        let names = ["a", "b"];
        assert_eq!(choices.first(names, "one"), Some("a"));
        assert_eq!(choices.first(names, "two"), Some("b"));
        assert_eq!(choices.first(names, "three"), None);
        assert_eq!(choices.first(["b"], "two"), Some("b"));
        assert_eq!(choices.first(["c"], "one"), Some("c"));
        assert_eq!(choices.first(names, "three"), Some("a"));
        // A member that is being prepared is not chosen, and a chosen one is not prepared.
        assert_eq!(choices.first(["d"], "two"), Some("d"));
        let preparing = choices.prepare("b");
        assert!(preparing.is_some() && choices.prepare("a").is_none() && choices.prepare("b").is_none());
        assert_eq!(choices.first(["b"], "two"), None);
        drop(preparing);
        assert_eq!(choices.first(["b"], "two"), Some("b"));
    }

    #[test]
    fn candidates_leave_out_what_others_have_chosen() {
        let choices = Arc::new(Choices::default());
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
        choices.first(["a"], "one");
        let preparing = choices.prepare("b");
        assert_eq!(choices.excluded("one"), names(&["b"]));
        assert_eq!(choices.excluded("two"), names(&["a", "b"]));
        drop(preparing);
        // The question changes nothing.
        assert_eq!(choices.excluded("two"), names(&["a"]));
        assert_eq!(choices.first(["a"], "two"), None);
    }
}
