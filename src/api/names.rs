//! Every label, annotation, finalizer and field manager of the operator.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest as _, Sha256};

use crate::text;

/// Field manager of the operator's writes, unless one below is used.
pub const FIELD_MANAGER: &str = "orchestra-operator";

/// Field manager of the owner's Secret of a database, whose writer is the database room.
pub const OWNER_MANAGER: &str = "orchestra-operator-owner";

/// Field manager of the tenant's Secret of a database, whose writer is the orchestra room.
pub const TENANT_MANAGER: &str = "orchestra-operator-tenant";

/// Field manager of a person who pauses or retries a rollout by the command line.
pub const ROLLOUT_MANAGER: &str = "orchestra-operator-rollout";

/// Name of the tenant's Secret of a database, in the operator's namespace. The owner's Secret has the name of
/// the database itself.
pub fn tenant_secret(database: &str) -> String {
    format!("{database}-tenant")
}

/// Key of the password in the tenant's Secret. Earlier versions stored it under the same key in the owner's
/// Secret.
pub const TENANT_PASSWORD_KEY: &str = "tenant-password";

/// Whether the API server accepts this as the name of an object of at most this length in bytes.
pub fn is_object_name(text: &str, longest: usize) -> bool {
    let inside = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'.');
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= longest && bytes.iter().copied().all(inside) && end(bytes.first()) && end(bytes.last())
}

/// Label, with its value, of every Secret and ConfigMap that the operator writes.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "orchestra-operator");

/// Label of a Secret in the operator's namespace: the OrchestraDatabase that it belongs to.
pub const DATABASE_LABEL: &str = "stagesub.io/database";

/// Label of a connection Secret, and of an OrchestraBackup that a schedule has made: the Orchestra that it belongs to, of a
/// backup as [`label_of`].
pub const ORCHESTRA_LABEL: &str = "stagesub.io/orchestra";

/// Label of a Secret that holds the owner's password.
pub const PASSWORD_LABEL: &str = "stagesub.io/password";

/// Label of a Secret that holds the address.
pub const CONNECTED_LABEL: &str = "stagesub.io/connected";

/// Label of a Secret that holds API keys that the provider has changed: a digest of them.
pub const KEYS_LABEL: &str = "stagesub.io/keys";

/// Label of a tenant's Secret: the UID of the Orchestra whose login it holds. Secrets of earlier versions have none. Label of
/// the Job of a restore and of its Secret: the UID of the Orchestra whose database it fills. Label of an OrchestraBackup that a
/// schedule has made: the UID of its Orchestra.
pub const HOLDER_LABEL: &str = "stagesub.io/orchestra-uid";

/// Label of an owner's Secret: the time of the login's rotation that the last rotation of API keys followed, in seconds
/// since 1970.
pub const KEYS_ROTATED_LABEL: &str = "stagesub.io/keys-rotated-at";

/// Label of an owner's Secret: when the operator made the API keys that are published, in seconds since 1970.
pub const KEYS_MADE_LABEL: &str = "stagesub.io/keys-made-at";

/// Label of an owner's Secret: UID of the Orchestra that has released the database, and whose API keys are replaced.
pub const KEYS_ENDED_LABEL: &str = "stagesub.io/keys-ended-for";

/// Label of an owner's Secret while new API keys are made (value `"true"`).
pub const KEYS_PENDING_LABEL: &str = "stagesub.io/keys-pending";

/// Label of an owner's Secret: when the first of the former API keys is deleted, in seconds since 1970.
pub const KEYS_REVOKE_LABEL: &str = "stagesub.io/keys-revoke-at";

/// Label of an owner's Secret while former API keys stay until newer ones are published (value `"true"`).
pub const KEYS_WAIT_LABEL: &str = "stagesub.io/keys-replaced";

/// Label of an owner's Secret while legacy API keys are enabled that an Orchestra had which has released the database (value
/// `"true"`).
pub const KEYS_LEGACY_LABEL: &str = "stagesub.io/keys-legacy-left";

/// Label of a tenant's Secret: the number of the tenant's login, once it was rotated.
pub const GENERATION_LABEL: &str = "stagesub.io/generation";

/// Label of a tenant's Secret while a new login is made (value `"true"`).
pub const ROTATING_LABEL: &str = "stagesub.io/rotating";

/// Label of an owner's Secret, or of that of an entry that a pool has made, while a new password is stored beside the one in use
/// (value `"true"`).
pub const PENDING_LABEL: &str = "stagesub.io/password-pending";

/// Label of a tenant's Secret: when its login was rotated, in seconds since 1970. Of an
/// owner's Secret, or of that of an entry that a pool has made: when the password was.
pub const ROTATED_LABEL: &str = "stagesub.io/rotated-at";

/// Label of an owner's Secret, or of that of an entry that a pool has made: the number of the tenant's login whose rotation the owner's password follows.
pub const FOLLOWED_LABEL: &str = "stagesub.io/followed-generation";

/// Label of a tenant's Secret: when the oldest former login is revoked, in seconds since 1970.
pub const REVOKE_LABEL: &str = "stagesub.io/revoke-at";

/// Label of a tenant's Secret while the role of a former login is to be dropped (value `"true"`).
pub const ENDED_LABEL: &str = "stagesub.io/ended-logins";

/// Annotation of an Orchestra: each new value, such as the time, requests that its login is rotated.
pub const ROTATE_ANNOTATION: &str = "stagesub.io/rotate-requested-at";

/// Prefix of an Orchestra's labels that are variables of its seed: `seed.stagesub.io/season` is
/// `label_season`.
pub const SEED_LABEL_PREFIX: &str = "seed.stagesub.io/";

/// Prefix of the operator's own labels and annotations.
pub const OURS: &str = "stagesub.io/";

/// Annotation of a CustomResourceDefinition: the version of the operator that it was made for.
pub const VERSION_ANNOTATION: &str = "stagesub.io/operator-version";

/// Annotation that makes a class the default one (value `"true"`).
pub const DEFAULT_CLASS_ANNOTATION: &str = "stagesub.io/is-default-class";

/// Annotation of the class and the pool that the operator makes from its environment when the
/// cluster has no OrchestraClass at all.
pub const ENVIRONMENT_ANNOTATION: &str = "stagesub.io/from-environment";

/// Annotation of a token's Secret with the token's expiry: a date (`2026-12-31`) or a timestamp (RFC
/// 3339). The provider does not report it.
pub const TOKEN_EXPIRES_ANNOTATION: &str = "stagesub.io/token-expires-at";

/// Annotation of the OrchestraDatabase of a pool's entry: an admin confirms that the database, with its data, is
/// another one now, by the identity that the refusal names.
pub const IDENTITY_ANNOTATION: &str = "stagesub.io/identity";

/// Annotation of an Orchestra or an OrchestraDatabase that is being deleted (value `"true"`): the operator stops managing it
/// without the provider or the database, and says what it leaves behind. Of an OrchestraBackup: the operator stops managing
/// the scratch database of its drill.
pub const ABANDON_ANNOTATION: &str = "stagesub.io/abandon";

/// Annotation of an Orchestra: a timestamp (RFC 3339) from which its ttl is counted.
pub const EXTENDED_ANNOTATION: &str = "stagesub.io/extended-at";

/// Annotation of an OrchestraDatabase: entries of the provider's listing that an admin says are other projects, by the
/// identities that its condition names, with commas between them.
pub const FOREIGN_PROJECTS_ANNOTATION: &str = "stagesub.io/foreign-projects";

/// Annotation of an Orchestra: each new value requests a drift check of its database.
pub const CHECK_ANNOTATION: &str = "stagesub.io/check-requested-at";

/// Annotation of an Orchestra, an OrchestraDatabase or an OrchestraBackup: each new value asks for another attempt at what
/// failed.
pub const RETRY_ANNOTATION: &str = "stagesub.io/retry-requested-at";

/// The value of an annotation that requests something, in the form in which a status keeps it: one line of bounded length,
/// so that an answered request can be distinguished from a new one, whatever its value is.
pub fn request(of: &ObjectMeta, annotation: &str) -> Option<String> {
    const DIGITS: usize = 16;
    let value = of.annotations.as_ref()?.get(annotation)?;
    let line = text::line(value, REQUEST);
    if line.chars().count() <= REQUEST {
        return Some(line);
    }
    let begins: String = line.chars().take(REQUEST - DIGITS - 1).collect();
    let digest = hex::encode(Sha256::digest(value));
    Some(format!("{begins}…{}", &digest[..DIGITS]))
}

/// The most characters of a [`request`].
pub const REQUEST: usize = 256;

/// Annotation of an OrchestraBackup: each new value asks for a drill. Schedules write their due time.
pub const VERIFY_ANNOTATION: &str = "stagesub.io/verify-requested-at";

/// Annotation of an Orchestra: each new value wakes its database that was paused because nobody used it.
pub const WAKE_ANNOTATION: &str = "stagesub.io/wake-requested-at";

/// Annotation of an Orchestra that approves its pending migrations: the digest of their plan.
pub const APPROVE_MIGRATIONS: &str = "stagesub.io/approve-migrations";

/// Annotation of a plan's ConfigMap: the digest of the plan.
pub const PLAN_DIGEST: &str = "stagesub.io/migration-plan";

/// Annotation of a class: with each new value the operator tries failed Orchestras of its rollout again
/// at once. `orchestra-operator rollout resume` writes the time.
pub const RETRY_ROLLOUT_ANNOTATION: &str = "stagesub.io/retry-rollout";

/// Field manager of a person who changes an Orchestra by the command line.
pub const COMMAND_MANAGER: &str = "kubectl-orchestra";

/// Field manager of what a person changes in the web console.
pub const CONSOLE_MANAGER: &str = "orchestra-console";

/// Label of an OrchestraDatabase that a pool has made and that waits for its first claim: [`pool_label`]. The claim
/// removes it.
pub const POOL_LABEL: &str = "stagesub.io/pool";

/// The value of [`POOL_LABEL`]: the name of the pool, as [`label_of`].
pub fn pool_label(pool: &str) -> String {
    label_of(pool)
}

/// An object's name as the value of a label: the name, or of a long name its beginning and its digest.
pub fn label_of(name: &str) -> String {
    const LONGEST: usize = 63;
    const DIGITS: usize = 16;
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let digest = hex::encode(Sha256::digest(name));
    let begins = name.get(..LONGEST - DIGITS - 1).unwrap_or_default();
    format!("{begins}-{}", &digest[..DIGITS])
}

/// Label of a Secret in the operator's namespace: the pool that has made, or is about to make, the database of the entry
/// that it holds, as [`pool_label`].
pub const ENTRY_LABEL: &str = "stagesub.io/entry-of";

/// Annotation of such a Secret: the system identifier of the server and the oid of the database, once it is made.
pub const MADE_ANNOTATION: &str = "stagesub.io/made";

/// Annotation of such a Secret: its database is to be dropped, if nobody has claimed it (value `"true"`).
pub const LEAVING_ANNOTATION: &str = "stagesub.io/leaving";

/// Field manager of the Secrets of entries that a pool makes.
pub const ENTRY_MANAGER: &str = "orchestra-operator-entry";

/// Finalizer that keeps a pool with `server` until its databases are gone, and a pool with `replicas` until its unclaimed databases are being destroyed.
pub const POOL_FINALIZER: &str = "stagesub.io/pool";

/// Finalizer that keeps an Orchestra until its claim is released.
pub const ORCHESTRA_FINALIZER: &str = "stagesub.io/orchestra";

/// Finalizer that keeps a class while a database needs it.
pub const CLASS_FINALIZER: &str = "stagesub.io/class";

/// Finalizer that keeps an OrchestraDatabase until its project is either kept on purpose or known to be
/// gone.
pub const DATABASE_FINALIZER: &str = "stagesub.io/database";

/// Label of an OrchestraBackup that a schedule has made: the time of the schedule, in seconds since 1970. A backup without
/// it is deleted only by people. It also has [`ORCHESTRA_LABEL`] and [`HOLDER_LABEL`].
pub const SCHEDULED_LABEL: &str = "stagesub.io/scheduled-at";

/// Label of a ConfigMap of the ledger in the operator's namespace: the month whose costs it records, such as `2026-11`.
pub const LEDGER_LABEL: &str = "stagesub.io/ledger";

/// Finalizer that keeps an OrchestraBackup until its Job has ended, and its data is removed where it is to be.
pub const BACKUP_FINALIZER: &str = "stagesub.io/backup";

/// Label of a Job, its pod and its Secret: the UID of the OrchestraBackup that they work for.
pub const BACKUP_LABEL: &str = "stagesub.io/backup-uid";

/// Label of such a Job: the class in whose store it works, as [`label_of`].
pub const BACKUP_CLASS_LABEL: &str = "stagesub.io/backup-class";

/// Label of such a Job: a digest of the address of the database server that it reads from or fills.
pub const BACKUP_SERVER_LABEL: &str = "stagesub.io/backup-server";

/// Label of such a Job: the OrchestraDatabase that it reads, as [`label_of`].
pub const BACKUP_DATABASE_LABEL: &str = "stagesub.io/backup-database";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::STATUS_TEXT;

    #[test]
    fn what_is_asked_for_is_what_a_status_keeps() {
        let meta = |value: &str| ObjectMeta {
            annotations: Some(
                [RETRY_ANNOTATION, WAKE_ANNOTATION]
                    .map(|name| (name.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        };
        for value in [
            "2026-11-29T02:00:00Z",
            "",
            " two\nlines\u{200b} ",
            &"å\t".repeat(100_000),
        ] {
            let asked = request(&meta(value), RETRY_ANNOTATION).unwrap_or_default();
            assert_eq!(text::shown(&asked, STATUS_TEXT), asked, "{value:.20}");
            assert!(asked.chars().count() <= REQUEST, "{value:.20}");
            assert_eq!(request(&meta(&asked), RETRY_ANNOTATION), Some(asked), "{value:.20}");
        }
        assert_eq!(request(&ObjectMeta::default(), RETRY_ANNOTATION), None);
        let long = |last: &str| request(&meta(&format!("{}{last}", "a".repeat(300))), WAKE_ANNOTATION);
        assert_ne!(long("1"), long("2"), "two requests");
    }

    #[test]
    fn the_label_of_a_pool_is_a_label_and_its_own() {
        assert_eq!(pool_label("warm-eu"), "warm-eu");
        let long = format!("{}.{}", "a".repeat(60), "b".repeat(60));
        let label = pool_label(&long);
        assert!(label.len() == 63 && label.starts_with("aaa"), "{label}");
        assert_ne!(label, pool_label(&format!("{long}c")));
    }
}
