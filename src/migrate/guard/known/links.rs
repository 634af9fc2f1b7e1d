//! Ties between relations (inheritance, partitions, foreign keys, views): a change of the upper relation reaches rows of the lower
//! one.

use std::collections::{BTreeMap, BTreeSet};

use crate::migrate::guard::catalog::Catalog;
use crate::migrate::guard::ties::Tie;

/// The ties of relations, by their identities.
#[derive(Debug, Default)]
pub struct Links {
    above: BTreeMap<usize, BTreeSet<(usize, Tie)>>,
    /// The same ties from above.
    below: BTreeMap<usize, BTreeSet<(usize, Tie)>>,
}

impl Links {
    /// Those of the catalog.
    pub fn new(catalog: &Catalog) -> Self {
        let relations = catalog.relations.iter().zip(0..);
        let ids: BTreeMap<_, usize> = relations
            .map(|(relation, id)| ((&relation.schema, &relation.name), id))
            .collect();
        let mut links = Self::default();
        for (relation, id) in catalog.relations.iter().zip(0..) {
            for (schema, name, tie) in &relation.above {
                if let Some(above) = ids.get(&(schema, name)) {
                    links.add(id, *above, *tie);
                }
            }
        }
        links
    }

    pub(super) fn add(&mut self, below: usize, above: usize, tie: Tie) {
        if below != above && self.above.entry(below).or_default().insert((above, tie)) {
            self.below.entry(above).or_default().insert((below, tie));
        }
    }

    pub(super) fn below(&self, id: usize) -> Vec<(usize, Tie)> {
        let below = self.below.get(&id).into_iter().flatten();
        below.copied().collect()
    }

    pub(super) fn above(&self, id: usize) -> Vec<(usize, Tie)> {
        let above = self.above.get(&id).into_iter().flatten();
        above.copied().collect()
    }
}
