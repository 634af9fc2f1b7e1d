//! Relations that a change of another relation reaches: by inheritance, partitions, views and foreign keys.

use std::collections::{BTreeMap, BTreeSet};

use super::KnownObjects;
use crate::migrate::guard::allowance::ENTRY;
use crate::migrate::guard::catalog::{Column, Sort};
use crate::migrate::guard::known_code::{DELETE, UPDATE};
use crate::migrate::guard::names::Name;
use crate::migrate::guard::ties::Tie;
use crate::migrate::guard::types::Type;

/// How a change of a relation can lose or change existing rows.
#[derive(Clone, Copy, Default)]
struct Stakes {
    filled: bool,
    deletes: bool,
    updates: bool,
}

impl Stakes {
    fn by(self, tie: Tie) -> Self {
        match tie {
            Tie::Child | Tie::Partition => self,
            // `is_filled` treats every view as filled.
            Tie::View => Self::default(),
            Tie::Key { deletes, updates } => {
                let any = self.filled || self.deletes || self.updates;
                Self {
                    filled: false,
                    deletes: deletes && any,
                    updates: updates && any,
                }
            }
        }
    }
}

impl KnownObjects {
    /// Whether the name can mean a relation of the pending scripts that shows rows of another one.
    pub fn may_be_view(&self, name: &Name) -> bool {
        self.meant(name)
            .any(|(_, entry)| matches!(entry.sort, Sort::View | Sort::Foreign))
    }

    /// Records a tie between two relations.
    pub fn tie(&mut self, below: &Name, above: &Name, tie: Tie) {
        self.version += 1;
        let (lower, upper) = (self.ids(below), self.ids(above));
        for id in &lower {
            for above in &upper {
                if self.code.allowance.remember(2 * ENTRY) {
                    self.links.add(*id, *above, tie);
                }
            }
        }
        for id in lower {
            self.spread(id);
        }
    }

    /// Records that a relation contains existing rows, or existing objects that are dropped with it.
    pub fn fill(&mut self, name: &Name) {
        self.version += 1;
        for id in self.ids(name) {
            self.raise(
                id,
                Stakes {
                    filled: true,
                    ..Stakes::default()
                },
            );
            self.spread(id);
        }
    }

    /// Records that an existing sequence is dropped with a column of a table, also where it is dropped from a table above.
    pub fn own(&mut self, table: &Name, column: &str) {
        for name in self.lineage(table) {
            self.columns(&name, |columns| {
                // A table above may have added the column, and its type is not known.
                let column = columns.entry(column.to_owned()).or_insert_with(|| Column {
                    type_: Type {
                        odd: true,
                        ..Type::default()
                    },
                    ..Column::default()
                });
                column.owns = true;
            });
        }
    }

    /// Marks the partitions that the pending scripts gave a table as filled: an update of its rows may move them there.
    pub fn fill_partitions(&mut self, name: &Name) {
        let mut left = self.ids(name);
        let mut seen = BTreeSet::new();
        while let Some(id) = left.pop().filter(|_| self.code.allowance.work(1)) {
            if !seen.insert(id) {
                continue;
            }
            let below = self.links.below(id).into_iter();
            left.extend(below.filter(|(_, tie)| *tie == Tie::Partition).map(|(below, _)| below));
        }
        for id in self.ids(name) {
            seen.remove(&id);
        }
        let filled = Stakes {
            filled: true,
            ..Stakes::default()
        };
        for id in seen {
            if self.raise(id, filled) {
                self.version += 1;
            }
        }
    }

    /// The relations that a name can mean, and their parents and partitioned tables at every level.
    pub fn lineage(&self, name: &Name) -> Vec<Name> {
        let (mut left, mut seen) = (self.ids(name), BTreeSet::new());
        while let Some(id) = left.pop().filter(|_| self.code.allowance.work(1)) {
            if seen.insert(id) {
                let above = self.links.above(id).into_iter();
                left.extend(
                    above
                        .filter(|(_, tie)| matches!(tie, Tie::Child | Tie::Partition))
                        .map(|(id, _)| id),
                );
            }
        }
        for id in self.ids(name) {
            seen.remove(&id);
        }
        let above = seen.into_iter().flat_map(|id| self.names(id));
        [name.clone()].into_iter().chain(above).collect()
    }

    /// The relations that a change of this one reaches by ties. True: the change there may be of another kind, as when a deleted row
    /// sets a foreign key to NULL. `events`: the kinds of change, as in `pg_trigger.tgtype`.
    pub fn reached(&self, name: &Name, events: i32) -> Vec<(Name, bool)> {
        let (mut left, mut seen) = (self.ids(name), BTreeMap::new());
        let own = left.clone();
        while let Some(id) = left.pop().filter(|_| self.code.allowance.work(1)) {
            let changed = seen.get(&id).copied().unwrap_or_default();
            for (below, tie) in self.links.below(id) {
                let changed = changed
                    || match tie {
                        Tie::Key { deletes, updates } => {
                            let acts = deletes && events & DELETE != 0 || updates && events & UPDATE != 0;
                            if !acts {
                                continue;
                            }
                            true
                        }
                        Tie::Partition => events & UPDATE != 0,
                        Tie::Child | Tie::View => false,
                    };
                if seen.get(&below).is_none_or(|known| changed && !known) {
                    seen.insert(below, changed);
                    left.push(below);
                }
            }
        }
        let reached = seen.into_iter().filter(|(id, _)| !own.contains(id));
        reached
            .flat_map(|(id, changed)| self.names(id).into_iter().map(move |name| (name, changed)))
            .collect()
    }

    /// The names that a relation may have.
    fn names(&self, id: usize) -> Vec<Name> {
        let same = self.entries.same(id).iter().filter_map(|at| self.entries.get(*at));
        same.filter(|_| self.code.allowance.work(1))
            .map(|entry| Name {
                schema: entry.schema.clone(),
                name: entry.name.clone(),
            })
            .collect()
    }

    fn ids(&self, name: &Name) -> Vec<usize> {
        self.meant(name).filter_map(|(_, entry)| entry.id).collect()
    }

    /// Adds the stakes of a relation to those of the relations above it.
    fn spread(&mut self, from: usize) {
        let mut left = vec![from];
        while let Some(id) = left.pop().filter(|_| self.code.allowance.work(1)) {
            let above = self.links.above(id);
            if above.is_empty() {
                continue;
            }
            let stakes = self.stakes(id);
            for (above, tie) in above {
                if self.raise(above, stakes.by(tie)) {
                    left.push(above);
                }
            }
        }
    }

    fn stakes(&self, id: usize) -> Stakes {
        let entries = self.entries.same(id).iter().filter_map(|at| self.entries.get(*at));
        entries.fold(Stakes::default(), |all, entry| Stakes {
            filled: all.filled
                || matches!(entry.sort, Sort::View | Sort::Foreign)
                || entry.found.as_ref().is_some_and(|found| found.filled),
            deletes: all.deletes || entry.marks.deletes,
            updates: all.updates || entry.marks.updates,
        })
    }

    /// Adds to the stakes of a relation. Returns whether they have changed.
    fn raise(&mut self, id: usize, stakes: Stakes) -> bool {
        let mut raised = false;
        for at in self.entries.same(id).to_vec() {
            let Some(entry) = self.entries.get_mut(at).filter(|_| self.code.allowance.work(1)) else {
                continue;
            };
            if stakes.filled && entry.found.as_ref().is_none_or(|found| !found.filled) {
                raised = true;
                let found = entry.found.get_or_insert_default();
                found.filled = true;
                // The types of the columns that the rows came with are not known.
                found.columns = None;
            }
            let marks = &mut entry.marks;
            raised |= stakes.deletes && !marks.deletes || stakes.updates && !marks.updates;
            marks.deletes |= stakes.deletes;
            marks.updates |= stakes.updates;
        }
        raised
    }
}
