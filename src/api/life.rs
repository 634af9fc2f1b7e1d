//! Where an Orchestra's database comes from, and how an Orchestra ends.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{BackupFailure, BackupProgress, LABEL, NAME, OrchestraSpec, PROJECT, TemplateReference};

/// The form of the address of a manifest.
const MANIFEST: &str = "^(s3|persistentvolumeclaim)://[a-z0-9][A-Za-z0-9._/-]*/[0-9a-f]{12}/[a-z0-9-]+/[a-z0-9.-]+/\
                        [0-9]{8}T[0-9]{6}Z-[0-9a-f-]{36}/manifest[.]json$";

/// Characters of a UID.
const UID: usize = 36;

/// From what a database is created, or which existing one is used.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.templateRef) || has(self.existing) || has(self.backupRef)").message("set templateRef, existing or backupRef"),
    validation = Rule::new("!has(self.existing) || !has(self.backupRef)").message("set either existing or backupRef: nothing is restored into a database that is in use"),
)]
pub struct DatabaseSource {
    /// A template of the class: its migrations and its seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateReference>,
    /// A database that exists, with its data, in place of a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingDatabase>,
    /// A backup that is restored into the new database, before its migrations. With `templateRef`, the migrations are those
    /// of the template. A seed with policy `Once` is not applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_ref: Option<BackupReference>,
}

/// A backup that was made in a namespace of this name.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.name) != has(self.manifest)").message("set either name or manifest"))]
pub struct BackupReference {
    /// Name of an OrchestraBackup of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: Option<String>,
    /// Address of the manifest of a backup in the store of this Orchestra's class, such as one of a lost cluster:
    /// `s3://BUCKET/PREFIX/FOLDER/manifest.json`, or `persistentvolumeclaim://CLAIM/PREFIX/FOLDER/manifest.json`. The operator
    /// makes the OrchestraBackup `stored-UID` of it (`spec.stored`), which the class must allow (`backup.recoverFrom`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = MANIFEST))]
    pub manifest: Option<String>,
}

impl BackupReference {
    /// Name of the OrchestraBackup; of a manifest, that of the one which the operator makes.
    pub fn backup_name(&self) -> String {
        let uid = |folder: &str| {
            folder
                .get(folder.len().saturating_sub(UID)..)
                .unwrap_or_default()
                .to_owned()
        };
        let of_manifest = || {
            format!(
                "stored-{}",
                self.folder().map(|folder| uid(&folder)).unwrap_or_default()
            )
        };
        self.name.clone().unwrap_or_else(of_manifest)
    }

    /// The folder of the manifest below the prefix of its store.
    pub fn folder(&self) -> Option<String> {
        let whole = self.manifest.as_deref()?.strip_suffix("/manifest.json")?;
        let mut parts: Vec<_> = whole.rsplitn(5, '/').take(4).collect();
        parts.reverse();
        Some(parts.join("/"))
    }
}

/// The restore of a backup into the database of an Orchestra.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreStatus {
    /// Name of the OrchestraBackup. Written before the first Job is made, as are the next three.
    pub backup_name: String,
    /// UID of the OrchestraBackup: another one of the same name is not restored.
    pub backup_uid: String,
    /// SHA-256 digest of the backup's manifest.
    pub manifest_digest: String,
    /// OrchestraDatabase that it is restored into.
    pub database_name: String,
    /// Number of Jobs that were made for the restore. Written before each.
    pub attempts: i32,
    /// Number of them whose end is known.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub concluded: i32,
    /// Why the last Job failed; absent once one was successful.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<BackupFailure>,
    /// How far the Job is; absent while none runs, or its log cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<BackupProgress>,
    /// When the first Job was about to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the operator learned that the restore is complete. From then on nothing is restored into the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}

/// A database that exists.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.databaseName) != has(self.projectRef)").message("set either databaseName or projectRef"),
    validation = Rule::new("!has(self.adopt) || has(self.projectRef)").message("adopt belongs to projectRef: a database of the operator's own is taken back without it"),
)]
pub struct ExistingDatabase {
    /// OrchestraDatabase that a deleted Orchestra of this namespace and this class has left (phase Released or
    /// Reclaiming). It is taken back with its data; the new Orchestra gets a login of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub database_name: Option<String>,
    /// The provider's reference of a project, twenty lower-case letters: that of an OrchestraDatabase as above, or, with
    /// `adopt`, one that the operator did not create and that the class lets this namespace adopt (`spec.adoption`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 20), regex(pattern = PROJECT))]
    pub project_ref: Option<String>,
    /// How a project is adopted that the operator did not create. It is never created, paused by a deletion, or replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
}

/// What the operator may do with a project that it did not create.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.passwordSecretRef) != (has(self.resetPassword) && self.resetPassword)").message("the operator needs the password of the database's owner: set either passwordSecretRef, or resetPassword: true"))]
pub struct Adopt {
    /// The deletion policy `Delete` of the Orchestra or its class destroys the project. Without it the project stays,
    /// whatever the policy says. The class allows it for each project (`allowDeletion`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deletion: bool,
    /// The operator sets a new password of the role `postgres`: everyone who uses the old one is locked out. The class
    /// allows it for each project (`allowResetPassword`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset_password: bool,
    /// Key of a Secret in the Orchestra's namespace that holds the password of the role `postgres`. The operator never
    /// sets another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<PasswordReference>,
}

/// A key of a Secret that holds a password.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PasswordReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
    /// Key in the Secret. Omitted: `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

impl PasswordReference {
    /// Key in the Secret.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("password")
    }
}

/// The projects that Orchestras of a class may adopt.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adoption {
    /// Each project, with the namespace whose Orchestras may have it, its data, and the keys of its API.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["ref".into()]))]
    pub projects: Vec<AdoptableProject>,
}

/// A project that may be adopted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdoptableProject {
    /// The provider's reference of the project: twenty lower-case letters.
    #[serde(rename = "ref")]
    #[schemars(length(min = 20, max = 20), regex(pattern = PROJECT))]
    pub reference: String,
    /// Namespace of the Orchestras that may adopt it.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub namespace: String,
    /// Whether they may set `adopt.deletion`, so that their deletion policy destroys the project with its data. Omitted:
    /// they may not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_deletion: bool,
    /// Whether they may set `adopt.resetPassword`, which locks out everyone who uses the password of the role `postgres`.
    /// Omitted: they may not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_reset_password: bool,
}

/// A warning of the end of a ttl.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpiryNotice {
    /// The end that it warned of. A warning of another end is no longer valid.
    pub expires_at: Time,
    /// When it was given.
    pub given_at: Time,
    /// Whether it is the last one before the end.
    pub last: bool,
}

impl OrchestraSpec {
    /// The template that it names.
    pub fn template(&self) -> Option<&TemplateReference> {
        self.source.as_ref()?.template_ref.as_ref()
    }

    /// The backup that it is restored from.
    pub fn backup(&self) -> Option<&BackupReference> {
        self.source.as_ref()?.backup_ref.as_ref()
    }

    /// The existing database that it names.
    pub fn existing(&self) -> Option<&ExistingDatabase> {
        self.source.as_ref()?.existing.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_its_folder_and_its_backup() {
        let folder = "7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3\
                      f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";
        for root in [
            "s3://backups",
            "s3://backups/eu/one",
            "persistentvolumeclaim://backups/eu",
        ] {
            let named = BackupReference {
                manifest: Some(format!("{root}/{folder}/manifest.json")),
                ..BackupReference::default()
            };
            assert_eq!(named.folder().as_deref(), Some(folder));
            assert_eq!(named.backup_name(), "stored-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f");
        }
        let named = BackupReference {
            name: Some("last".into()),
            ..BackupReference::default()
        };
        assert_eq!((named.folder(), named.backup_name().as_str()), (None, "last"));
    }
}
