//! `OrchestraDatabase`: the resource that costs money and holds data, comparable to a PersistentVolume.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    Adopt, AppliedTemplate, Charges, ChosenRegion, Cost, DeletionPolicy, ExposeNewTables, LABEL, NAME, Near,
    OrchestraBackup, PROJECT, PowerState, ProviderBackups, Recycle,
};

/// A database that an Orchestra can claim: a hosted project or an entry of a static pool. The operator
/// writes it, as the journal of creation, claim and release.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "stagesub.io",
    version = "v1alpha1",
    kind = "OrchestraDatabase",
    plural = "orchestradatabases",
    shortname = "orchdb",
    category = "stagesub",
    status = "OrchestraDatabaseStatus",
    derive = "PartialEq",
    doc = "OrchestraDatabase is a database that costs money and holds data: a hosted project or an entry of a static pool. The operator writes it.",
    selectable = ".spec.claimRef.uid",
    selectable = ".spec.className",
    selectable = ".spec.pool",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Claim", type_ = "string", json_path = ".status.claim"),
    printcolumn(name = "Project", type_ = "string", json_path = ".status.project.ref"),
    printcolumn(name = "Region", type_ = "string", json_path = ".status.project.region"),
    printcolumn(name = "Reclaim", type_ = "string", json_path = ".spec.reclaimPolicy"),
    printcolumn(name = "Cost/Mo", type_ = "string", json_path = ".status.cost.monthly"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Class", type_ = "string", priority = 1, json_path = ".spec.className"),
    printcolumn(
        name = "Reclaim After",
        type_ = "string",
        priority = 1,
        json_path = ".spec.reclaimAfter"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type=='Ready')].message"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.supabase) != has(self.static)").message("exactly one of supabase and static must be set"),
    validation = Rule::new("has(self.supabase) == has(oldSelf.supabase) && (!has(self.supabase) || self.supabase == oldSelf.supabase)").message("supabase is immutable: it names a paid project"),
    validation = Rule::new("!has(self.supabase) || !has(self.supabase.adopted) || (has(self.supabase.adopted.adopt.deletion) && self.supabase.adopted.adopt.deletion) || !has(self.reclaimPolicy) || self.reclaimPolicy == 'Retain'").message("the project was adopted without adopt.deletion, so the operator never destroys it: delete this OrchestraDatabase, which leaves the project, and then the project in the provider's dashboard"),
    validation = Rule::new("!has(oldSelf.static) || (has(self.static) && self.static == oldSelf.static)").message("static is immutable: it names a database that may hold a tenant's data"),
    validation = Rule::new("!has(self.pool) || !has(self.static) || self.pool == self.static.pool").message("pool must be the pool of static"),
    validation = Rule::new("!has(oldSelf.pool) || (has(self.pool) && self.pool == oldSelf.pool)").message("pool is immutable once set"),
    validation = Rule::new("!has(oldSelf.claimRef) || (has(self.claimRef) && (self.claimRef == oldSelf.claimRef || (has(oldSelf.releasedAt) && !has(self.releasedAt) && has(self.formerUids) && oldSelf.claimRef.uid in self.formerUids && (self.claimRef.__namespace__ == oldSelf.claimRef.__namespace__ || (has(oldSelf.offeredTo) && self.claimRef.__namespace__ == oldSelf.offeredTo)))))").message("claimRef is immutable once set: a database that held one tenant's data is handed only to an Orchestra of the same namespace or of offeredTo, after its release"),
)]
pub struct OrchestraDatabaseSpec {
    /// Class of the database; absent for an unclaimed entry of a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub class_name: Option<String>,
    /// OrchestraPool whose member the database is, claimed or not. Absent: it belongs to no pool, or an earlier version
    /// created it and `static` names the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub pool: Option<String>,
    /// A project of hosted Supabase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supabase: Option<SupabaseProject>,
    /// An entry of a static pool.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
    pub inventory: Option<InventoryEntry>,
    /// Orchestra that holds the claim, or held it before the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_ref: Option<ClaimReference>,
    /// The pool's `static.recycle` when the claim was released: a later change of the pool does not apply to this database.
    /// Set it to have the database reset all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recycle: Option<Recycle>,
    /// When the claim was released. The database still holds the tenant's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,
    /// Whether the logins of the Orchestra that released the database may still work. The operator writes it with the
    /// release, and revokes logins that are `Left` as soon as the database answers. Absent: nobody is to lose a login, or
    /// API keys, by the release, as of a database that was made again after the loss of a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_logins: Option<FormerLogins>,
    /// UIDs of the Orchestras that held the claim before, the last one at the end. Their logins are revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)))]
    pub former_uids: Vec<String>,
    /// Namespace to which an admin offers the released database, in addition to that of the Orchestra that had it: an
    /// Orchestra there may take it, and its data, with `source.existing.databaseName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub offered_to: Option<String>,
    /// When the released project is destroyed, if nobody has taken it back: the class's `deletion.gracePeriod` after the
    /// release. The operator writes it; an admin may move it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaim_after: Option<Time>,
    /// Whether the database is to run, as its Orchestra wants it: `Running` (default) or `Paused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_state: Option<PowerState>,
    /// What happens to the project when this resource is deleted: `Retain` leaves it with the
    /// provider, `Delete` destroys it.
    #[serde(default)]
    pub reclaim_policy: DeletionPolicy,
}

/// The project that is requested from hosted Supabase.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupabaseProject {
    /// Name of the project, minted once; it ends in a marker that names this OrchestraDatabase, and that no
    /// other project carries.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Region of the project.
    #[schemars(length(min = 1, max = 32))]
    pub region: String,
    /// Regions that are requested in turn when `region` has no room; none when the Orchestra names its
    /// own region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 32)))]
    pub alternatives: Vec<String>,
    /// Place to which the project is to be near: `region` and `alternatives` are in the order of their distance from it, and
    /// those that take no new projects, as the provider's list says, are passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::placement::near_schema")]
    pub near: Option<Near>,
    /// Compute size. Absent: the smallest size of the organization's plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub instance_size: Option<String>,
    /// The adopted project, known by its reference; `name` is only its name at the time of the adoption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<AdoptedProject>,
}

/// A project that the operator did not make.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdoptedProject {
    /// The provider's reference of the project.
    #[serde(rename = "ref")]
    #[schemars(length(min = 20, max = 20), regex(pattern = PROJECT))]
    pub reference: String,
    /// The `adopt` of the Orchestra that adopted it.
    pub adopt: Adopt,
}

/// An entry of a static pool's inventory.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryEntry {
    /// OrchestraPool of the entry.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub pool: String,
    /// Key of the entry, for example `DATABASE_URL_POOL_1`, or `<Secret>/DATABASE_URL` where a selector selects the
    /// Secret.
    #[schemars(length(min = 1, max = 520))]
    pub key: String,
}

/// Whether the logins of a deleted Orchestra may still work.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FormerLogins {
    /// They were revoked.
    Revoked,
    /// They could not be revoked, and may still work.
    Left,
}

/// The Orchestra that holds a claim.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimReference {
    /// Namespace of the Orchestra.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of the Orchestra.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
    /// UID of the Orchestra: another Orchestra of the same name does not hold this claim.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// UID of the namespace: a later namespace of the same name may be another tenant's, and gets nothing of this claim. Absent
    /// where the operator may not read namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub namespace_uid: Option<String>,
}

/// The last observed state of a database, and the journal of its creation.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrchestraDatabaseStatus {
    /// Generation that this status describes; -1 before the operator has seen the resource.
    #[serde(default = "super::not_observed")]
    pub observed_generation: i64,
    /// Phase, for people: Pending, Queued, Provisioning, Available, Unavailable, Bound, Paused, Released, Reclaiming,
    /// Resetting, Failed or Deleting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Ready: usable, proven by a login. Reconciling and Stalled as kstatus defines them.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// `namespace/name` of the Orchestra that holds the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The hosted project, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectStatus>,
    /// Organization in which the project was requested. Written before the request and kept: when the
    /// class names another organization later, this project is still looked up in this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// When the last request to create the project was sent. Written before the request: while its
    /// outcome is unknown, no other request is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_issued_at: Option<Time>,
    /// Projects that the provider listed without a name before that request, by their references or by
    /// digests: none of them is this database's. Written with the request, and only when there are such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub unclear_before: Vec<String>,
    /// Regions that had no room for the project; the next allowed region is requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub full_regions: Vec<String>,
    /// Region of the last request to create the project and why it was chosen, if `spec.supabase.near` is set. Written
    /// before the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<ChosenRegion>,
    /// Projects that never became usable and are replaced, in the order of replacement. Written before
    /// the project is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub replaced: Vec<String>,
    /// When the provider was last asked to pause the project. Written before the request: while its outcome is unknown,
    /// no other request is sent. Or when it was found paused, as `spec.powerState` wants. Absent again once it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_issued_at: Option<Time>,
    /// When the provider was first asked to pause the project, while it keeps running. A person is notified after more than
    /// an hour of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_first_issued_at: Option<Time>,
    /// When the provider was last asked to restore the paused project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_issued_at: Option<Time>,
    /// Cost of the project; absent for an entry of a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// When the project ran. Written when it is first paused or resized; absent before: it has run since it was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charges: Option<Charges>,
    /// Template whose migrations were applied while the database waited for a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<AppliedTemplate>,
    /// The decision to drop everything in it, for its pool's `recycle: Reset`. Written before anything is dropped: from
    /// then on no Orchestra can take it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<ResetDecision>,
    /// The defaults of its class with which its pool has prepared it; absent for an entry of a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<Prepared>,
    /// When a login first proved the database usable. A database that was ever usable may hold data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable_since: Option<Time>,
    /// The backup that is made before it is destroyed. Written before the OrchestraBackup is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_backup: Option<FinalBackupReference>,
    /// Backups that the provider makes of the project by itself, as of its last answer, which is asked for once a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_backups: Option<ProviderBackups>,
}

/// The backup of a database that is to be destroyed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalBackupReference {
    /// Namespace of the OrchestraBackup: that of the Orchestra, or the operator's own where it is gone.
    pub namespace: String,
    /// Name of the OrchestraBackup. Nobody can guess it before the backup exists.
    pub name: String,
    /// UID of the Orchestra that had the database: the backup is of its data.
    pub claim_uid: String,
    /// UID of the OrchestraBackup, once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_uid: Option<String>,
    /// SHA-256 digest of the manifest that a Job of this OrchestraBackup stored, as the Job itself reported it. The database is
    /// destroyed once it is recorded here, whatever the status of the OrchestraBackup says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
}

impl OrchestraDatabase {
    /// The backup that is made of it before it is destroyed, of the Orchestra that had it last.
    pub fn final_backup(&self) -> Option<&FinalBackupReference> {
        let claim = self.spec.claim_ref.as_ref()?;
        let recorded = self.status.as_ref()?.final_backup.as_ref()?;
        (recorded.claim_uid == claim.uid).then_some(recorded)
    }

    /// Whether its final backup has the name of this one.
    pub fn names_final_backup(&self, backup: &OrchestraBackup) -> bool {
        let (namespace, name) = (&backup.metadata.namespace, &backup.metadata.name);
        let recorded = self.final_backup();
        recorded.is_some_and(|recorded| {
            Some(&recorded.namespace) == namespace.as_ref() && Some(&recorded.name) == name.as_ref()
        })
    }

    /// Whether this is its final backup. Somebody else may have created another OrchestraBackup of that name: one of another
    /// Orchestra, or of a backup that is stored already.
    pub fn is_backed_up_by(&self, backup: &OrchestraBackup) -> bool {
        let claim = self.spec.claim_ref.as_ref();
        self.names_final_backup(backup)
            && backup.spec.stored.is_none()
            && claim.is_some_and(|claim| claim.name == backup.spec.orchestra_ref.name)
    }

    /// Digest of the manifest of its final backup, if this is it and it is complete.
    pub fn final_manifest(&self, backup: &OrchestraBackup) -> Option<&str> {
        let recorded = self.final_backup().filter(|_| self.is_backed_up_by(backup))?;
        let is_of_it = recorded.backup_uid.is_some() && recorded.backup_uid == backup.metadata.uid;
        recorded.manifest_digest.as_deref().filter(|_| is_of_it)
    }
}

/// The decision to drop everything in a released database.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResetDecision {
    /// UID of the Orchestra that released it: the decision is about its data alone.
    #[schemars(length(min = 1, max = 64))]
    pub claim_uid: String,
    /// When it was made.
    pub at: Time,
}

/// The defaults of its class with which a pool has prepared a database.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// The default template of the class; absent when the class names the migrations itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Digest of the migrations that are all applied; absent while the first ones are being applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<String>,
    /// Digest of the seed that is applied, or about to be; absent when it is applied after the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// What the Data API may do with the tables, or is about to; absent when the class did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed: Option<ExposeNewTables>,
}

/// A hosted project as of its last listing.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectStatus {
    /// The provider's reference of the project: twenty lower-case letters.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Region that the project is in.
    pub region: String,
}
