//! Wire types of the listing of an organization's projects. Each entry is read for itself.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fields::{AnswerFields, Item, item};
use super::types::{DatabaseType, ProjectState, reference, status};

/// One project of an organization's listing. Its reference and name are needed; everything else may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedProject {
    /// The provider's identifier of the project, twenty letters.
    pub reference: String,
    /// The name that the operator gave it.
    pub name: String,
    /// The region in which it runs.
    pub region: Option<String>,
    /// Whether it is a preview branch of another project.
    pub is_branch: bool,
    /// Its state.
    pub status: ProjectState,
    /// When it was created.
    pub inserted_at: Option<Timestamp>,
    /// Its databases: the primary, and read replicas.
    pub databases: Vec<ListedDatabase>,
}

impl ListedProject {
    /// The compute size of the primary database, such as `micro`. The only database is the primary one, whatever its
    /// type.
    pub fn instance_size(&self) -> Option<&str> {
        let only = match self.databases.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        let primary = self.databases.iter().find(|db| db.kind == Some(DatabaseType::Primary));
        primary.or(only)?.infra_compute_size.as_deref()
    }
}

impl Item for ListedProject {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        let (reference, name) = (reference(fields), fields.text("name"));
        Some(Self {
            reference: reference?,
            name: name?,
            region: fields.text("region"),
            is_branch: fields.flag("is_branch").unwrap_or_default(),
            status: status(fields),
            inserted_at: fields.time("inserted_at"),
            databases: fields.items("databases"),
        })
    }
}

/// A project of a listing whose reference or name is missing, so that it can neither be used nor excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnclearProject {
    /// The key within one listing: the reference, or a digest of the entry.
    pub key: String,
    /// The identity across listings, which lasts while the project changes: the reference, or a digest of the [`LASTING`]
    /// fields.
    /// Several entries may have the same one.
    pub identity: String,
    /// The provider's identifier, if it has one.
    pub reference: Option<String>,
    /// The name, if it has one.
    pub name: Option<String>,
    /// Whether it is a preview branch of another project.
    pub is_branch: bool,
    /// When it was created.
    pub inserted_at: Option<Timestamp>,
    /// When a listing of this process showed it for the first time.
    pub seen: Timestamp,
}

/// The fields of a project that do not change in its life.
const LASTING: [&str; 9] = [
    "ref",
    "id",
    "organization_id",
    "organization_slug",
    "cloud_provider",
    "region",
    "is_branch",
    "inserted_at",
    "created_at",
];

/// Digits of an identity that is a digest: it distinguishes the entries of one organization, and people copy it.
const DIGITS: usize = 12;

/// An entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEntry {
    /// A project.
    Project(ListedProject),
    /// One that is not understood.
    Unclear(UnclearProject),
}

impl ListEntry {
    /// Reads an entry, and whether a part of it was not understood.
    pub(super) fn read(value: &Value) -> (Self, bool) {
        if let (Some(project), odd) = item::<ListedProject>(value) {
            return (Self::Project(project), odd);
        }
        let mut fields = AnswerFields::of(value);
        let reference = fields.as_mut().and_then(reference);
        let identity = || {
            let lasting: Value = LASTING
                .iter()
                .map(|name| value.get(name).cloned())
                .collect::<Vec<_>>()
                .into();
            digest(&lasting.to_string()).chars().take(DIGITS).collect()
        };
        let unclear = UnclearProject {
            key: reference.clone().unwrap_or_else(|| digest(&value.to_string())),
            identity: reference.clone().unwrap_or_else(identity),
            reference,
            name: fields.as_mut().and_then(|fields| fields.text("name")),
            is_branch: fields.as_mut().and_then(|fields| fields.flag("is_branch")) == Some(true),
            inserted_at: fields.as_mut().and_then(|fields| fields.time("inserted_at")),
            seen: Timestamp::now(),
        };
        (Self::Unclear(unclear), true)
    }

    /// The key within one listing.
    pub fn key(&self) -> &str {
        match self {
            Self::Project(project) => &project.reference,
            Self::Unclear(unclear) => &unclear.key,
        }
    }

    /// The provider's identifier, if it has one.
    fn reference(&self) -> Option<&str> {
        match self {
            Self::Project(project) => Some(&project.reference),
            Self::Unclear(unclear) => unclear.reference.as_deref(),
        }
    }
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// A database of a [`ListedProject`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDatabase {
    /// The compute size.
    pub infra_compute_size: Option<String>,
    /// Primary or replica.
    pub kind: Option<DatabaseType>,
}

impl Item for ListedDatabase {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        Some(Self {
            infra_compute_size: fields.optional_text("infra_compute_size"),
            kind: fields.name("type"),
        })
    }
}

/// One page of an organization's projects.
#[derive(Clone, Debug)]
pub struct ProjectPage {
    /// The entries.
    pub entries: Vec<ListEntry>,
    /// How many of them were not understood in full.
    pub odd: usize,
    /// How many entries there are on all pages, when the API says it.
    pub count: Option<usize>,
    /// The most entries that a page holds, when the API says it.
    pub limit: Option<usize>,
}

impl ProjectPage {
    /// Reads a page; none when it holds no list of projects, since an empty listing would mean that there are none. Where
    /// the API counts none, `null` is an empty list.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let mut pagination = value.get("pagination").and_then(AnswerFields::of);
        let mut whole = |name| {
            let number = pagination.as_mut()?.whole(name)?;
            usize::try_from(number).ok()
        };
        let (count, limit) = (whole("count"), whole("limit"));
        let list = match value.get("projects")? {
            Value::Array(list) => list.as_slice(),
            Value::Null if count == Some(0) => &[],
            _ => return None,
        };
        let read: Vec<_> = list.iter().map(ListEntry::read).collect();
        Some(Self {
            odd: read.iter().filter(|(_, odd)| *odd).count(),
            entries: read.into_iter().map(|(entry, _)| entry).collect(),
            count,
            limit,
        })
    }
}

/// The projects of an organization, without branches.
#[derive(Clone, Debug, Default)]
pub struct ProjectListing {
    /// Those whose needed fields are decoded.
    pub projects: Vec<ListedProject>,
    /// Those that lack a reference or a name.
    pub unclear: Vec<UnclearProject>,
    /// How many entries were not understood in full.
    pub odd: usize,
    /// Whether these are all projects. Otherwise they are the youngest ones.
    pub complete: bool,
}

impl ProjectListing {
    /// Adds entries, each project once: a reference that comes twice is no second project. Of entries without one,
    /// nobody knows.
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = ListEntry>, seen: &mut HashSet<String>) {
        for entry in entries {
            if !seen.insert(entry.key().to_owned()) && entry.reference().is_some() {
                continue;
            }
            match entry {
                ListEntry::Project(ListedProject { is_branch: true, .. })
                | ListEntry::Unclear(UnclearProject { is_branch: true, .. }) => {}
                ListEntry::Project(project) => self.projects.push(project),
                ListEntry::Unclear(unclear) => self.unclear.push(unclear),
            }
        }
    }
}

#[cfg(test)]
mod tests;
