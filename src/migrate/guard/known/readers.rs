//! The roles that can read the known relations.

use super::KnownObjects;
use crate::migrate::guard::catalog::Readers;
use crate::migrate::guard::names::Name;
use crate::migrate::guard::standing::Marks;

impl KnownObjects {
    /// The roles that can read the existing rows of the relations that the name can mean.
    pub fn readers(&self, name: &Name) -> Readers {
        let found: Vec<_> = self
            .meant(name)
            .map(|(_, entry)| entry.found.as_ref().map(|found| found.readers).unwrap_or_default())
            .collect();
        Readers {
            open: found.iter().any(|it| it.open),
            shared: found.iter().any(|it| it.shared),
            walled: found.iter().all(|it| it.walled),
            bare: !found.is_empty() && found.iter().all(|it| it.bare),
        }
    }

    /// Whether two spellings surely mean the same schema.
    pub fn is_same_schema(&self, one: Option<&String>, other: Option<&String>) -> bool {
        let meant = |schema: Option<&String>| schema.or(self.current.as_ref().filter(|_| !self.elsewhere)).cloned();
        match (meant(one), meant(other)) {
            (Some(one), Some(other)) => one == other,
            // A database whose search path has no schema, and unit tests without one.
            (None, None) => !self.elsewhere,
            _ => false,
        }
    }

    /// Whether a search path contains only schemas with which unqualified names mean the same objects as by default.
    pub fn is_usual_path<'p>(&self, mut path: impl Iterator<Item = &'p str>) -> bool {
        path.all(|schema| matches!(schema, "" | "pg_catalog" | "pg_temp") || Some(schema) == self.current.as_deref())
    }

    /// Whether the name of a type without a schema can mean another one than PostgreSQL's own. Temporary tables and types
    /// come before it in any search path.
    pub fn may_hide_type(&self, name: &str) -> bool {
        self.elsewhere
            || self.shadowed
            || self.made.has_type(name)
            || self
                .entries
                .named(name)
                .iter()
                .any(|at| self.entries.get(*at).is_some_and(|entry| entry.found.is_none()))
    }

    /// The marks that the pending scripts left on the relations that the name can mean.
    pub fn marks(&self, name: &Name) -> Marks {
        self.meant(name).fold(Marks::default(), |all, (_, entry)| Marks {
            shows: all.shows || entry.marks.shows,
            open: all.open || entry.marks.open,
            walled: all.walled || entry.marks.walled,
            passed: all.passed || entry.marks.passed,
            behind: all.behind || entry.marks.behind,
            deletes: all.deletes || entry.marks.deletes,
            updates: all.updates || entry.marks.updates,
        })
    }

    /// Marks the relations that the name can mean.
    pub fn mark(&mut self, name: &Name, mark: impl Fn(&mut Marks)) {
        self.change(name, |entry| mark(&mut entry.marks));
    }
}
