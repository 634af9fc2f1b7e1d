//! What a statement would do to what is there.

use serde::Serialize;
use strum::IntoStaticStr;

/// What becomes of data, of applications or of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, Serialize)]
pub enum Effect {
    /// Something is gone afterwards, or what is there may stand in the way of it.
    Destructive,
    /// Applications that know the old name or place no longer find it.
    Breaking,
    /// Rows may be seen that could not be seen before.
    Exposing,
    /// It cannot be judged.
    Unknown,
    /// Others wait while it runs.
    Locking,
    /// All rows are written anew, while others wait.
    Rewriting,
}

impl Effect {
    /// Whether `OnDestructive` waits for it: all but what only takes time.
    pub fn waits(self) -> bool {
        !matches!(self, Self::Locking | Self::Rewriting)
    }
}

/// What a statement does: one word for one thing, and never more words than these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, Serialize)]
#[allow(
    missing_docs,
    reason = "the words say it; docs/migrations.md lists them with their effects"
)]
pub enum FindingKind {
    DropTable,
    DropColumn,
    DropSchema,
    DropView,
    DropMaterializedView,
    DropSequence,
    DropType,
    DropExtension,
    DropFunction,
    DropTrigger,
    DropConstraint,
    DropOwned,
    DropDatabase,
    DropRole,
    DropOther,
    Truncate,
    DeleteAll,
    NarrowType,
    RequireValue,
    Rename,
    MoveSchema,
    DetachPartition,
    DropPolicy,
    DisableRowSecurity,
    Opaque,
    Unparsed,
    CreateIndex,
    DropIndex,
    Reindex,
    LockTable,
    AddConstraint,
    AttachPartition,
    Refresh,
    UpdateAll,
    RewriteTable,
}

impl FindingKind {
    /// What it does to what is there.
    pub fn effect(self) -> Effect {
        match self {
            Self::DropTable
            | Self::DropColumn
            | Self::DropSchema
            | Self::DropView
            | Self::DropMaterializedView
            | Self::DropSequence
            | Self::DropType
            | Self::DropExtension
            | Self::DropFunction
            | Self::DropTrigger
            | Self::DropConstraint
            | Self::DropOwned
            | Self::DropDatabase
            | Self::DropRole
            | Self::DropOther
            | Self::Truncate
            | Self::DeleteAll
            | Self::NarrowType
            | Self::RequireValue => Effect::Destructive,
            Self::Rename | Self::MoveSchema | Self::DetachPartition => Effect::Breaking,
            Self::DropPolicy | Self::DisableRowSecurity => Effect::Exposing,
            Self::Opaque | Self::Unparsed => Effect::Unknown,
            Self::CreateIndex
            | Self::DropIndex
            | Self::Reindex
            | Self::LockTable
            | Self::AddConstraint
            | Self::AttachPartition
            | Self::Refresh => Effect::Locking,
            Self::UpdateAll | Self::RewriteTable => Effect::Rewriting,
        }
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One statement of a pending migration that a person should know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the migration.
    pub migration: String,
    /// Line where the statement begins, from 1.
    pub line: usize,
    /// What it does.
    pub kind: FindingKind,
    /// What that means.
    pub effect: Effect,
    /// What it does it to, as the script spells it.
    pub object: String,
    /// The statement in short: names and types, never a value.
    pub statement: String,
}
