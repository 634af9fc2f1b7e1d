//! Findings: what a statement would do to existing data, applications and sessions.

use serde::Serialize;
use strum::IntoStaticStr;

use crate::api::Effect;

/// What a statement does. The set is fixed: it is used in plans and digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, Serialize)]
#[allow(
    missing_docs,
    reason = "the names are self-explanatory; docs/migrations.md lists them with their effects"
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
    OpenPolicy,
    AddPolicy,
    AlterPolicy,
    DisableTrigger,
    ChangeOwner,
    ChangeRole,
    SwitchRole,
    Grant,
    GrantRole,
    DefaultPrivileges,
    SecurityDefiner,
    ServerAccess,
    Opaque,
    Unparsed,
    Unjudged,
    ChangeReading,
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
    /// The effect of statements of this kind, where a finding names no other.
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
            Self::DropPolicy
            | Self::DisableRowSecurity
            | Self::OpenPolicy
            | Self::DisableTrigger
            | Self::ChangeOwner
            | Self::ChangeRole
            | Self::SwitchRole
            | Self::GrantRole
            | Self::ServerAccess => Effect::Exposing,
            Self::AddPolicy | Self::AlterPolicy | Self::Grant | Self::DefaultPrivileges | Self::SecurityDefiner => {
                Effect::Granting
            }
            Self::Opaque | Self::Unparsed | Self::Unjudged | Self::ChangeReading => Effect::Unknown,
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

    /// The name in plans.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A statement of a pending migration that a person should look at before it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Finding {
    /// Name of the migration.
    pub migration: String,
    /// Line of the statement's first token, from 1.
    pub line: usize,
    /// What the statement does.
    pub kind: FindingKind,
    /// Its effect: that of its kind, or another because of what the statement concerns.
    pub effect: Effect,
    /// The object that it changes, as the script spells it.
    pub object: String,
    /// The statement in short form: names and types, never values.
    pub statement: String,
}
