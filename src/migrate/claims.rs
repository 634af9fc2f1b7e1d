//! The tables that scripts create, by their names. Their number and the work for them are bounded: with more tables, or more
//! work, than real scripts need, no table counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::guard::names::Name;

/// The most tables, and the most tables that they are partitions or children of.
const MOST: usize = 20_000;

/// The most claims that are looked at, in all.
const WORK: usize = 20_000_000;

/// A table, and the tables with which it is dropped: it is a partition or a child of them.
struct TableClaim {
    table: Name,
    parents: BTreeSet<Name>,
    /// The time of its last change.
    changed: usize,
}

/// The claims, in the order in which they were made.
pub(super) struct TableClaims {
    all: BTreeMap<usize, TableClaim>,
    /// The claims of a name in any schema.
    named: HashMap<String, BTreeSet<usize>>,
    /// The claims with a parent of a name in any schema.
    children: HashMap<String, BTreeSet<usize>>,
    /// The number of parents of all claims.
    parents: usize,
    /// Rises with each change.
    time: usize,
    /// The rest of [`WORK`]; without any, no name is claimed.
    left: usize,
}

impl Default for TableClaims {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            named: HashMap::new(),
            children: HashMap::new(),
            parents: 0,
            time: 0,
            left: WORK,
        }
    }
}

impl TableClaims {
    /// The tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Name> {
        self.all.values().map(|claim| &claim.table)
    }

    /// Whether there was too much to claim anything.
    pub(super) fn is_too_much(&self) -> bool {
        self.left == 0
    }

    /// A time after all changes so far.
    pub(super) fn now(&mut self) -> usize {
        self.time += 1;
        self.time
    }

    /// Claims a table, unless it is claimed.
    pub(super) fn add(&mut self, table: Name, parents: impl Iterator<Item = Name>) {
        let known = self.meant(&table);
        if self.is_too_much()
            || known
                .iter()
                .any(|id| self.all.get(id).is_some_and(|it| it.table == table))
        {
            return;
        }
        let id = self.now();
        self.named.entry(table.name.clone()).or_default().insert(id);
        let claim = TableClaim {
            table,
            parents: BTreeSet::new(),
            changed: id,
        };
        self.all.insert(id, claim);
        for parent in parents {
            self.adopt(id, parent);
        }
        self.limit();
    }

    /// The tables that a name can mean become children of another one.
    pub(super) fn add_parent(&mut self, child: &Name, parent: &Name) {
        for id in self.meant(child) {
            self.adopt(id, parent.clone());
        }
        self.limit();
    }

    /// Changes the name of a table. If it can be one of several, none of them counts any more.
    pub(super) fn change(&mut self, old: &Name, change: impl Fn(&mut Name)) {
        let meant = self.meant(old);
        if meant.len() > 1 {
            return self.remove(vec![old.clone()]);
        }
        for child in self.children_of(old) {
            let mut parent = old.clone();
            change(&mut parent);
            self.adopt(child, parent);
        }
        let Some((id, mut table)) = meant
            .first()
            .and_then(|id| Some((*id, self.all.get(id)?.table.clone())))
        else {
            return;
        };
        forget(&mut self.named, &table.name, id);
        change(&mut table);
        self.named.entry(table.name.clone()).or_default().insert(id);
        let changed = self.now();
        if let Some(claim) = self.all.get_mut(&id) {
            claim.table = table;
            claim.changed = changed;
        }
        self.limit();
    }

    /// A schema has another name.
    pub(super) fn rename_schema(&mut self, old: &str, new: &str) {
        self.work(self.all.len() + self.parents);
        let now = self.now();
        for claim in self.all.values_mut() {
            if claim.table.schema.as_deref() == Some(old) {
                claim.table.schema = Some(new.to_owned());
                claim.changed = now;
            }
            let moved = claim
                .parents
                .iter()
                .filter(|parent| parent.schema.as_deref() == Some(old));
            let moved: Vec<_> = moved.map(|parent| parent.name.clone()).collect();
            for name in moved {
                let schema = Some(new.to_owned());
                self.parents += usize::from(claim.parents.insert(Name { schema, name }));
            }
        }
        self.limit();
    }

    /// Tables are dropped, and with them what depends on them.
    pub(super) fn remove(&mut self, mut tables: Vec<Name>) {
        while let Some(table) = tables.pop() {
            for id in self.meant(&table) {
                self.take(id);
            }
            for id in self.children_of(&table) {
                tables.extend(self.take(id));
            }
        }
    }

    /// The tables for which the condition holds are dropped, and with them what depends on them.
    pub(super) fn remove_if(&mut self, gone: impl Fn(&Name) -> bool) {
        self.work(self.all.len());
        let tables = self.tables().filter(|table| gone(table)).cloned().collect();
        self.remove(tables);
    }

    /// Forgets the claims that were made or changed since a time.
    pub(super) fn forget_since(&mut self, time: usize) {
        self.work(self.all.len());
        let late = self.all.iter().filter(|(_, claim)| claim.changed > time);
        let late: Vec<_> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.take(id);
        }
    }

    /// Forgets all claims.
    pub(super) fn forget(&mut self) {
        self.all.clear();
        self.named.clear();
        self.children.clear();
        self.parents = 0;
    }

    fn adopt(&mut self, child: usize, parent: Name) {
        let now = self.now();
        let Some(claim) = self.all.get_mut(&child) else { return };
        claim.changed = now;
        self.children.entry(parent.name.clone()).or_default().insert(child);
        self.parents += usize::from(claim.parents.insert(parent));
    }

    /// The claims that a name can mean.
    fn meant(&mut self, name: &Name) -> Vec<usize> {
        let ids = self.named.get(&name.name).into_iter().flatten();
        let claims = ids.filter_map(|id| Some((*id, self.all.get(id)?)));
        let (mut found, mut seen) = (Vec::new(), 0);
        for (id, claim) in claims {
            seen += 1;
            if claim.table.can_be(name) {
                found.push(id);
            }
        }
        self.work(seen);
        found
    }

    /// The claims of children of a table.
    fn children_of(&mut self, name: &Name) -> Vec<usize> {
        let ids = self.children.get(&name.name).into_iter().flatten();
        let claims = ids.filter_map(|id| Some((*id, self.all.get(id)?)));
        let (mut found, mut seen) = (Vec::new(), 0);
        for (id, claim) in claims {
            seen += claim.parents.len();
            if claim.parents.iter().any(|parent| parent.can_be(name)) {
                found.push(id);
            }
        }
        self.work(seen);
        found
    }

    fn take(&mut self, id: usize) -> Option<Name> {
        let claim = self.all.remove(&id)?;
        forget(&mut self.named, &claim.table.name, id);
        for parent in &claim.parents {
            forget(&mut self.children, &parent.name, id);
        }
        self.parents -= claim.parents.len();
        Some(claim.table)
    }

    fn work(&mut self, claims: usize) {
        self.left = self.left.saturating_sub(claims);
        if self.is_too_much() {
            self.forget();
        }
    }

    fn limit(&mut self) {
        if self.all.len() > MOST || self.parents > MOST {
            self.work(WORK);
        }
    }
}

/// Takes a claim out of an index.
fn forget(index: &mut HashMap<String, BTreeSet<usize>>, name: &str, id: usize) {
    if let Some(ids) = index.get_mut(name) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(name);
        }
    }
}
