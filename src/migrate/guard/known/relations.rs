//! The known relations, found by their names, so that a statement costs the work of its own names only.

use std::collections::{BTreeMap, HashMap};

use crate::migrate::guard::allowance::{COLUMN, OBJECT};
use crate::migrate::guard::catalog::{Column, Readers, Relation, Sort};
use crate::migrate::guard::standing::Marks;

#[derive(Clone, Debug)]
pub(super) struct KnownRelation {
    /// The identity of the relation. A relation that may have several names has an entry for each of them, all with this number: the
    /// number of the first entry.
    pub id: Option<usize>,
    pub schema: Option<String>,
    pub name: String,
    pub visible: bool,
    /// None if the pending scripts create it.
    pub found: Option<Existing>,
    pub sort: Sort,
    pub marks: Marks,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Existing {
    pub filled: bool,
    /// None if they are not known.
    pub columns: Option<BTreeMap<String, Column>>,
    /// It is the sequence of a column.
    pub owned: bool,
    /// It is a unique index.
    pub unique: bool,
    /// With their kinds; none if they are not known.
    pub constraints: Option<BTreeMap<String, char>>,
    pub readers: Readers,
}

impl From<&Relation> for KnownRelation {
    fn from(relation: &Relation) -> Self {
        Self {
            id: None,
            schema: Some(relation.schema.clone()),
            name: relation.name.clone(),
            visible: relation.visible,
            found: Some(Existing {
                filled: relation.filled,
                columns: Some(relation.columns.clone()),
                owned: relation.owned,
                unique: relation.unique,
                constraints: Some(relation.constraints.clone()),
                readers: relation.readers,
            }),
            sort: relation.sort,
            marks: Marks {
                deletes: relation.deletes,
                updates: relation.updates,
                ..Marks::default()
            },
        }
    }
}

impl KnownRelation {
    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        let found = self.found.as_ref();
        let columns = found.and_then(|found| found.columns.as_ref()).map_or(0, BTreeMap::len);
        let constraints = found.and_then(|found| found.constraints.as_ref());
        let parts = columns + constraints.map_or(0, BTreeMap::len);
        OBJECT + 2 * self.name.len() + self.schema.as_ref().map_or(0, String::len) + parts * COLUMN
    }
}

/// Entries of relations, each with a number of its own.
#[derive(Debug, Default)]
pub(super) struct Relations {
    all: BTreeMap<usize, KnownRelation>,
    /// The numbers of the entries with a name, in any schema.
    named: HashMap<String, Vec<usize>>,
    /// The numbers of the entries of one relation, by its identity.
    same: HashMap<usize, Vec<usize>>,
    next: usize,
}

impl FromIterator<KnownRelation> for Relations {
    fn from_iter<T: IntoIterator<Item = KnownRelation>>(relations: T) -> Self {
        let mut all = Self::default();
        for relation in relations {
            all.push(relation);
        }
        all
    }
}

impl Relations {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them.
    pub fn values(&self) -> impl Iterator<Item = &KnownRelation> {
        self.all.values()
    }

    /// All of them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut KnownRelation> {
        self.all.values_mut()
    }

    /// The numbers of those with this name, in any schema.
    pub fn named(&self, name: &str) -> &[usize] {
        self.named.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn get(&self, number: usize) -> Option<&KnownRelation> {
        self.all.get(&number)
    }

    /// The entry with this number. Only [`Self::rename`] may change its name.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut KnownRelation> {
        self.all.get_mut(&number)
    }

    /// The numbers of a relation, by its identity.
    pub fn same(&self, id: usize) -> &[usize] {
        self.same.get(&id).map_or(&[], Vec::as_slice)
    }

    pub fn push(&mut self, mut relation: KnownRelation) {
        let id = *relation.id.get_or_insert(self.next);
        self.same.entry(id).or_default().push(self.next);
        self.named.entry(relation.name.clone()).or_default().push(self.next);
        self.all.insert(self.next, relation);
        self.next += 1;
    }

    pub fn remove(&mut self, number: usize) {
        if let Some(relation) = self.all.remove(&number) {
            self.unname(number, &relation.name);
            if let Some(id) = relation.id
                && let Some(same) = self.same.get_mut(&id)
            {
                same.retain(|other| *other != number);
            }
        }
    }

    /// Gives a relation another name.
    pub fn rename(&mut self, number: usize, to: &str) {
        let Some(relation) = self.all.get_mut(&number) else {
            return;
        };
        let from = std::mem::replace(&mut relation.name, to.to_owned());
        self.unname(number, &from);
        self.named.entry(to.to_owned()).or_default().push(number);
    }

    fn unname(&mut self, number: usize, name: &str) {
        if let Some(numbers) = self.named.get_mut(name) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.named.remove(name);
            }
        }
    }
}
