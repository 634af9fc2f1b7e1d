//! Makes a backup: the archives of one snapshot, and the manifest.

use std::collections::BTreeSet;

use jiff::Timestamp;
use parking_lot::Mutex;
use secrecy::SecretString;

use super::clients::{ClientSession, Clients};
use super::error::{Error, Result};
use super::left_out;
use super::manifest::{self, LeftOut, Manifest, ManifestObject, Part};
use super::order::BackupOrder;
use super::outcome::{BackupFacts, Outcome, OutcomeReason};
use super::progress::Progress;
use super::scope::{NOT_MANAGED, SchemaScope, Without};
use super::seal;
use super::snapshot::{self, Snapshot};
use super::stop::StopSignal;
use super::store::Folder;
use super::stream;
use super::sweep::sweep;
use super::whose;
use crate::postgres::{Login, quote};

/// The environment of the work, besides its order.
#[derive(Debug)]
pub struct Environment {
    /// The login of the database.
    pub login: Login,
    /// The login that creates the roles named in a backup, where the database's own login may not create roles.
    pub keeper: Option<Login>,
    /// The backup's folder.
    pub folder: Folder,
    /// The stop signal.
    pub stop: StopSignal,
    /// The progress.
    pub progress: Progress,
}

/// Makes a backup. A failed run leaves nothing in the store, unless the store's answer to the manifest was lost. Where a manifest
/// exists that is sealed with this key, another run of this backup has made it, and this one reports success. Any
/// other manifest is refused: the store's owner, or who may write to it, could have put it there.
///
/// # Errors
/// Why there is no backup.
pub async fn backup(context: &Environment, order: &BackupOrder, key: &SecretString) -> Result<Outcome> {
    let recipients = stream::recipients(&order.recipients)?;
    if context.folder.exists(manifest::NAME).await? {
        return earlier(context, order, key).await;
    }
    context.folder.probe().await?;
    let written = Mutex::new(Vec::new());
    let made = async {
        let manifest = make(context, order, recipients, &written).await?;
        let bytes = manifest.to_bytes(key)?;
        context.progress.stage("manifest", None);
        let stored = context.folder.create(manifest::NAME, bytes.clone()).await;
        if stored
            .as_ref()
            .is_err_and(|error| error.reason == OutcomeReason::StoreUnreachable)
        {
            // The store may have it all the same: then the next run finds the whole backup.
            written.lock().clear();
        }
        stored?;
        sweep(&context.folder, &manifest).await;
        let mut outcome = Outcome::done("the backup was made");
        outcome.backup = Some(facts_of(&context.folder, &manifest, &bytes));
        Ok::<_, Error>(outcome)
    };
    match made.await {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            let names = std::mem::take(&mut *written.lock());
            context.folder.discard(&names).await;
            // Another run of this backup may have ended meanwhile, whose sweep removed what this one was writing.
            let is_cut = error.reason == OutcomeReason::StoreUnreachable && !names.is_empty();
            if is_cut && context.folder.exists(manifest::NAME).await.unwrap_or(false) {
                return earlier(context, order, key).await;
            }
            Err(error)
        }
    }
}

async fn earlier(context: &Environment, order: &BackupOrder, key: &SecretString) -> Result<Outcome> {
    let bytes = context.folder.small(manifest::NAME, manifest::MOST).await?;
    if !seal::is_sealed(&bytes, key) {
        return Err(Error::new(
            OutcomeReason::AlreadyExists,
            format!(
                "{} was not written by a Job of this OrchestraBackup: its MAC does not match this backup's key, so it is \
                 neither used nor replaced. Find out who may write to the store, delete this OrchestraBackup, and create \
                 another one",
                context.folder.path_of(manifest::NAME)
            ),
        ));
    }
    let manifest = Manifest::parse(&bytes, None)?;
    if manifest.subject != order.subject || manifest.recipients != order.recipients {
        return Err(Error::new(
            OutcomeReason::AlreadyExists,
            format!(
                "the archive in {} was made by an earlier Job for another Orchestra, class or backup.encryption.recipients: \
                 delete this OrchestraBackup, and create another one",
                context.folder.path_of("")
            ),
        ));
    }
    for object in &manifest.objects {
        if context.folder.size(&object.name).await? != Some(object.bytes) {
            let message = format!(
                "{}, which an earlier Job of this OrchestraBackup wrote, was changed or removed in the store: find out \
                 who may write to the store, delete this OrchestraBackup, and create another one",
                context.folder.path_of(&object.name)
            );
            return Err(Error::new(OutcomeReason::Damaged, message));
        }
    }
    sweep(&context.folder, &manifest).await;
    let mut outcome = Outcome::done("the backup was made by an earlier run");
    outcome.backup = Some(facts_of(&context.folder, &manifest, &bytes));
    Ok(outcome)
}

#[allow(
    clippy::too_many_lines,
    reason = "the snapshot is held from the first line to the last"
)]
async fn make(
    context: &Environment,
    order: &BackupOrder,
    recipients: Vec<age::x25519::Recipient>,
    written: &Mutex<Vec<String>>,
) -> Result<Manifest> {
    context.progress.stage("snapshot", None);
    let mut conn = snapshot::session(&context.login).await?;
    whose::check(&mut conn, order).await?;
    let major = snapshot::major(&mut conn).await?;
    let session = ClientSession::new(Clients::find(major).await?, &context.login)?;
    let without = Without {
        history_included: order.history_schema_included,
        schemas: &order.exclude_schemas,
        provider: false,
    };
    let scope = SchemaScope::look(&mut conn, without).await?;
    let taken = Snapshot::take(conn, scope, order.lock_wait_seconds);
    let mut snapshot = tokio::select! {
        snapshot = taken => snapshot?,
        error = context.stop.raised() => return Err(error),
    };
    whose::check_inside(&mut snapshot.conn, order).await?;
    let plan = plan(&snapshot.scope, order, &snapshot.name);
    let (size, suffix) = (
        snapshot.facts.database_bytes,
        if recipients.is_empty() { "" } else { ".age" },
    );
    // Two runs for one path do not overwrite each other's archives.
    let run = uuid::Uuid::new_v4().simple().to_string();
    let mut objects = Vec::new();
    let archives = async {
        for (part, arguments) in plan {
            let stage: &'static str = part.into();
            let name = format!("{stage}-{}.dump.zst{suffix}", &run[..8]);
            written.lock().push(name.clone());
            let passed = context.progress.stage(stage, Some(size));
            let mut dump = session.start("pg_dump", &arguments, "")?;
            let output = dump.output()?;
            let to = (recipients.clone(), size);
            let (stored, ended) = tokio::join!(
                stream::write(&context.folder, &name, output, to, passed),
                dump.end(&context.stop)
            );
            // An error of the store closes pg_dump's pipe, and an error of pg_dump truncates the archive.
            let stored = match (stored, ended) {
                (Err(error), _) if error.reason != OutcomeReason::DumpFailed => return Err(error),
                (stored, ended) => ended.and(stored)?,
            };
            objects.push(ManifestObject {
                part,
                name,
                bytes: stored.bytes,
                sha256: stored.sha256,
                raw_bytes: stored.raw_bytes,
            });
        }
        Ok(())
    };
    snapshot.facts.rows = snapshot.hold(archives).await?;
    Ok(Manifest {
        version: manifest::VERSION,
        path: order.path.clone(),
        subject: order.subject.clone(),
        snapshot_time: snapshot.time,
        finished_time: Timestamp::now(),
        server_version: snapshot.server_version.clone(),
        server_major: major,
        client_version: session.clients().version.clone(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        objects,
        recipients: order.recipients.clone(),
        not_covered: not_covered(&snapshot.scope, &snapshot.facts.left_out, order),
        facts: snapshot.facts,
    })
}

/// The dumps of a backup, and the arguments of each.
fn plan(scope: &SchemaScope, order: &BackupOrder, snapshot: &str) -> Vec<(Part, Vec<String>)> {
    let base = [
        // Compression is zstd's, outside.
        "--format=custom".to_owned(),
        "--compress=0".to_owned(),
        format!("--snapshot={snapshot}"),
        format!("--lock-wait-timeout={}s", order.lock_wait_seconds),
        "--no-subscriptions".to_owned(),
        "--quote-all-identifiers".to_owned(),
        "--no-password".to_owned(),
    ];
    let with = |more: Vec<String>| base.iter().cloned().chain(more).collect();
    let left_out = scope
        .excluded
        .iter()
        .map(|name| format!("--exclude-schema={}", quote(name)));
    let mut dumps = vec![(Part::App, with(left_out.collect()))];
    if scope.hosted {
        let schemas = scope.managed.iter().map(|name| format!("--schema={}", quote(name)));
        let schemas: Vec<_> = schemas.collect();
        let out = NOT_MANAGED.map(|table| {
            let (schema, table) = table.split_once('.').unwrap_or_default();
            format!("--exclude-table={}.{}", quote(schema), quote(table))
        });
        let tables = |first: &str| {
            let first = std::iter::once(first.to_owned());
            first
                .chain(schemas.iter().cloned())
                .chain(out.iter().cloned())
                .collect()
        };
        dumps.push((Part::Managed, with(tables("--data-only"))));
        dumps.push((Part::Hooks, with(tables("--schema-only"))));
    }
    dumps
}

/// What a backup does not contain.
fn not_covered(scope: &SchemaScope, left_out: &[LeftOut], order: &BackupOrder) -> Vec<String> {
    let mut out: Vec<String> = vec!["passwords of roles".into()];
    out.extend(left_out::told(left_out));
    if scope.hosted {
        let hosted = [
            "files of Storage (their rows are covered)",
            "secrets of Vault and its root key",
            "edge functions and their secrets",
            "cron jobs, queues of pgmq, database webhooks",
            "API keys, settings of Auth and of the project",
            "event triggers and subscriptions",
        ];
        out.extend(hosted.map(Into::into));
    } else {
        out.push("event triggers and subscriptions".into());
    }
    let chosen: BTreeSet<_> = order.exclude_schemas.iter().collect();
    out.extend(chosen.into_iter().map(|schema| format!("schema {schema}, as ordered")));
    out
}

/// The summary of the backup in a folder.
pub(super) fn facts_of(folder: &Folder, manifest: &Manifest, bytes: &[u8]) -> BackupFacts {
    let stored: u64 = manifest.objects.iter().map(|object| object.bytes).sum();
    BackupFacts {
        manifest: folder.path_of(manifest::NAME),
        manifest_digest: manifest::digest_of(bytes),
        snapshot_time: manifest.snapshot_time,
        bytes: stored + bytes.len() as u64,
        raw_bytes: manifest.objects.iter().map(|object| object.raw_bytes).sum(),
        server_major: manifest.server_major,
        migration_head: manifest.facts.migration_head().map(ToOwned::to_owned),
        tables: manifest.facts.rows.len() as u64,
        not_covered: manifest.not_covered.clone(),
    }
}
