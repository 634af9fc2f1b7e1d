//! A restore into an empty database.

use std::io;

use secrecy::SecretString;
use sqlx::PgConnection;

use super::catalog;
use super::clients::{ClientSession, Clients};
use super::dump::{Environment, facts_of};
use super::empty;
use super::error::{Error, Result};
use super::manifest::{self, Manifest, ManifestObject, Part};
use super::order::RestoreOrder;
use super::outcome::{Outcome, OutcomeReason};
use super::purpose::{RestoreClaim, RestorePurpose};
use super::scope::{SchemaScope, Without};
use super::snapshot;
use super::sql::run;
use super::stream::Reading;
use super::target;
use super::toc;
use super::whose;
use crate::postgres::claim_record::{self, RecordHolder};
use crate::postgres::restore_record::{self, RestoreRecord};
use crate::postgres::{quote, role_name};

/// The most bytes of an archive's table of contents as text.
const LIST: usize = 64 << 20;
/// The setting with which rows are inserted without the triggers and foreign keys of the provider's tables.
const REPLICA: &str = "-c session_replication_role=replica";

/// Restores a backup into the empty database of the context's login. Where an earlier run for the same claim has finished, this
/// one reports success.
///
/// # Errors
/// Why it is not restored. A failed restore leaves objects in the target: with a claim, the next run removes them; without
/// one, the target must be dropped.
pub async fn restore(context: &Environment, order: &RestoreOrder, identity: Option<SecretString>) -> Result<Outcome> {
    let (manifest, bytes) = read(context, order.manifest_digest.as_deref(), order.encrypted_only).await?;
    let purpose = order.claim.as_ref().map_or(RestorePurpose::Unclaimed, |uid| {
        RestorePurpose::Claimed(RestoreClaim {
            uid,
            digest: manifest::digest_of(&bytes),
            target: order.target.as_ref(),
        })
    });
    into_target(context, &manifest, identity, &purpose).await?;
    let mut outcome = Outcome::done("the backup was restored");
    outcome.backup = Some(facts_of(&context.folder, &manifest, &bytes));
    Ok(outcome)
}

pub(super) async fn read(
    context: &Environment,
    digest: Option<&str>,
    encrypted_only: bool,
) -> Result<(Manifest, Vec<u8>)> {
    context.progress.stage("manifest", None);
    let (manifest, bytes) = catalog::manifest_of(&context.folder, digest).await?;
    if encrypted_only && manifest.recipients.is_empty() {
        return Err(Error::new(
            OutcomeReason::Incompatible,
            "the class has backup.encryption, and this backup is not encrypted: nothing of it is restored. If it was made before \
             the class had backup.encryption, remove that from the class until the backup is restored; otherwise find out who \
             writes to the store, and use another backup",
        ));
    }
    Ok((manifest, bytes))
}

/// One restore under way.
struct Restore<'a> {
    context: &'a Environment,
    manifest: &'a Manifest,
    identity: Option<SecretString>,
    session: ClientSession,
    /// The owner of the source may differ from the role that restores.
    is_anothers: bool,
}

pub(super) async fn into_target(
    context: &Environment,
    manifest: &Manifest,
    identity: Option<SecretString>,
    purpose: &RestorePurpose<'_>,
) -> Result<()> {
    let claim = purpose.claim();
    let mut conn = snapshot::session(&context.login).await?;
    let major = fitting(&mut conn, claim, manifest).await?;
    let without = Without {
        history_included: true,
        ..Without::default()
    };
    let scope = SchemaScope::look(&mut conn, without).await?;
    let earlier = match claim {
        Some(claim) => earlier_run(&mut conn, claim).await?,
        None => None,
    };
    if earlier.as_ref().is_some_and(|earlier| earlier.is_finished) {
        return Ok(());
    }
    let work = Restore {
        context,
        manifest,
        identity,
        session: ClientSession::new(Clients::find(major).await?, &context.login)?,
        is_anothers: scope.owner != manifest.facts.owner,
    };
    for object in &manifest.objects {
        work.check(object).await?;
    }
    if let Some(earlier) = &earlier {
        context.progress.stage("empty", None);
        empty::empty(&mut conn, earlier, &scope, &manifest.facts).await?;
    }
    let scope = SchemaScope::look(&mut conn, without).await?;
    target::check(&mut conn, &scope, &manifest.facts).await?;
    let roles = match (claim, earlier) {
        (_, Some(earlier)) => earlier.roles,
        (None, None) => target::missing_roles(&mut conn, &manifest.facts).await?,
        (Some(claim), None) => begin(&mut conn, claim, manifest).await?,
    };
    match &context.keeper {
        Some(keeper) => target::make_roles(&mut snapshot::session(keeper).await?, &roles, &scope.owner).await?,
        None => target::make_roles(&mut conn, &roles, &scope.owner).await?,
    }
    if manifest.facts.hosted && !scope.hosted {
        target::make_schemas(&mut conn, &manifest.facts).await?;
    }
    let before = target::close_defaults(&mut conn).await?;
    work.restore(&target::describe(&mut conn, &scope).await?).await?;
    target::disarm(&mut conn, &manifest.facts).await?;
    if work.is_anothers {
        for statement in before {
            run(&mut conn, &statement).await?;
        }
    }
    leave(&mut conn, &roles, purpose).await
}

/// The major version of the target's server, after a check that it is the backup's and recent enough.
async fn fitting(conn: &mut PgConnection, claim: Option<&RestoreClaim<'_>>, manifest: &Manifest) -> Result<u32> {
    if let Some(target) = claim.and_then(|claim| claim.target) {
        whose::check_target(conn, target).await?;
    }
    let major = snapshot::major(conn).await?;
    if major >= manifest.server_major {
        return Ok(major);
    }
    Err(Error::new(
        OutcomeReason::Incompatible,
        format!(
            "the backup is of PostgreSQL {}, and the target is {major}: restore into {} or newer",
            manifest.server_major, manifest.server_major
        ),
    ))
}

/// The record of an interrupted run, or of one whose outcome was lost, in a database with this claim. Takes the lock, so that
/// this is the only run from now on.
async fn earlier_run(conn: &mut PgConnection, claim: &RestoreClaim<'_>) -> Result<Option<RestoreRecord>> {
    match claim_record::holder(conn).await? {
        Some(RecordHolder { uid, .. }) if uid == claim.uid => {}
        Some(RecordHolder { name, .. }) => {
            return Err(Error::new(
                OutcomeReason::NotEmpty,
                format!("the target has the claim record of Orchestra {name}: restore into a new database"),
            ));
        }
        None => {
            return Err(Error::new(
                OutcomeReason::NotEmpty,
                "the target has no claim record, so its data may belong to someone else: restore into a new database",
            ));
        }
    }
    // A lock key that no other program uses: the first bytes of SHA-256 of "stagesub.restore".
    let alone: bool = sqlx::query_scalar(
        "SELECT pg_try_advisory_lock(('x' || left(encode(sha256('stagesub.restore'), 'hex'), 16))::bit(64)::bigint)",
    )
    .fetch_one(&mut *conn)
    .await?;
    if !alone {
        return Err(Error::new(
            OutcomeReason::Interrupted,
            "another run of this restore has not ended: the operator tries again",
        ));
    }
    empty::end_sessions(conn).await?;
    let found = restore_record::read(conn).await?;
    if let Some(found) = &found
        && (found.uid != claim.uid || found.digest != claim.digest)
    {
        return Err(Error::new(
            OutcomeReason::NotEmpty,
            "another restore was begun in the target: restore into a new database",
        ));
    }
    Ok(found)
}

/// Records that the restore starts. Returns the roles that it creates.
async fn begin(conn: &mut PgConnection, claim: &RestoreClaim<'_>, manifest: &Manifest) -> Result<Vec<String>> {
    let record = RestoreRecord {
        uid: claim.uid.to_owned(),
        digest: claim.digest.clone(),
        roles: target::missing_roles(conn, &manifest.facts).await?,
        extensions: target::extensions(conn).await?,
        is_finished: false,
    };
    restore_record::write(conn, &record).await?;
    Ok(record.roles)
}

/// Revokes what was granted to change the owners of objects. A database that is used afterwards has no rights of former
/// tenants; one that is dropped keeps the rights of all roles.
async fn leave(conn: &mut PgConnection, roles: &[String], purpose: &RestorePurpose<'_>) -> Result<()> {
    if matches!(purpose, RestorePurpose::Drill) {
        return Ok(());
    }
    let claim = purpose.claim();
    let own = claim.map(|claim| role_name(claim.uid));
    target::disinherit(conn, own.as_deref(), roles).await?;
    for role in target::present(conn, roles).await? {
        run(conn, &format!("REVOKE {} FROM CURRENT_USER", quote(&role))).await?;
    }
    if claim.is_some() {
        restore_record::finish(conn).await?;
    }
    Ok(())
}

impl Restore<'_> {
    fn reading<'b>(&'b self, object: &'b ManifestObject, stage: &'static str) -> Reading<'b> {
        Reading {
            folder: &self.context.folder,
            object,
            encrypted: !self.manifest.recipients.is_empty(),
            identity: self.identity.clone(),
            passed: self.context.progress.stage(stage, Some(object.raw_bytes)),
        }
    }

    /// Reads an archive to its end and checks it, before anything of it is run.
    async fn check(&self, object: &ManifestObject) -> Result<()> {
        let check = self.reading(object, "check").unpack(io::sink(), true);
        tokio::select! {
            checked = check => checked,
            error = self.context.stop.raised() => Err(error),
        }
    }

    async fn restore(&self, target: &toc::TargetFacts) -> Result<()> {
        let app = self.part(Part::App)?;
        let list = toc::app(&self.list(app).await?, &self.manifest.facts, target);
        let list = self.session.file("app.list", &list)?.display().to_string();
        let with = |section: &str| vec![format!("--section={section}"), format!("--use-list={list}")];
        if self.manifest.facts.hosted && !target.hosted {
            self.copy("pre-data").await?;
        }
        self.stage("pre-data", app, with("pre-data"), "").await?;
        // A self-hosted server gets copies of the provider's schemas, for drills.
        let hosted = self.manifest.facts.hosted;
        if hosted {
            let managed = self.part(Part::Managed)?;
            let settings = if target.hosted { REPLICA } else { "" };
            self.stage("managed", managed, vec!["--data-only".into()], settings)
                .await?;
        }
        self.stage("data", app, with("data"), "").await?;
        if hosted && !target.hosted {
            self.copy("post-data").await?;
        }
        self.stage("post-data", app, with("post-data"), "").await?;
        if hosted && target.hosted {
            let object = self.part(Part::Hooks)?;
            let list = toc::hooks(&self.list(object).await?, &self.manifest.facts);
            if !list.is_empty() {
                let list = self.session.file("hooks.list", &list)?.display().to_string();
                self.stage("hooks", object, vec![format!("--use-list={list}")], "")
                    .await?;
            }
        }
        Ok(())
    }

    /// Makes a copy of a section of the provider's schemas. It belongs to the role that restores.
    async fn copy(&self, section: &'static str) -> Result<()> {
        let object = self.part(Part::Hooks)?;
        let list = toc::copies(&self.list(object).await?, &self.manifest.facts);
        let list = self.session.file("copies.list", &list)?.display().to_string();
        let more = vec![
            format!("--section={section}"),
            format!("--use-list={list}"),
            "--no-privileges".to_owned(),
        ];
        self.stage("copies of auth and storage", object, more, "").await
    }

    fn part(&self, part: Part) -> Result<&ManifestObject> {
        self.manifest.object(part).ok_or_else(|| {
            let name: &'static str = part.into();
            Error::new(
                OutcomeReason::Damaged,
                format!("the manifest names no archive {name}: use another backup"),
            )
        })
    }

    /// The archive's table of contents.
    async fn list(&self, object: &ManifestObject) -> Result<String> {
        let mut client = self.session.start("pg_restore", &["--list".to_owned()], "")?;
        let (input, output) = (client.input()?, client.output()?);
        let listing = tokio::task::spawn_blocking(move || {
            let mut list = Vec::new();
            let read = io::Read::read_to_end(&mut io::Read::take(output, LIST as u64 + 1), &mut list);
            read.map(|_| list)
        });
        let (read, ended) = tokio::join!(
            self.reading(object, "list").unpack(input, false),
            client.end(&self.context.stop)
        );
        ended?;
        read?;
        let list = listing.await.map_err(|error| io::Error::other(error.to_string()));
        let list = list.and_then(|list| list).unwrap_or_default();
        if list.len() > LIST {
            return Err(Error::new(
                OutcomeReason::Incompatible,
                "the archive's table of contents is longer than 64 MiB: restore this backup by hand, with pg_restore",
            ));
        }
        String::from_utf8(list).map_err(|_| {
            Error::new(
                OutcomeReason::Damaged,
                "the archive's table of contents is not UTF-8: use another backup",
            )
        })
    }

    async fn stage(
        &self,
        stage: &'static str,
        object: &ManifestObject,
        more: Vec<String>,
        settings: &str,
    ) -> Result<()> {
        let database = self.context.login.database.replace('\\', "\\\\").replace('\'', "\\'");
        let mut arguments = vec![
            "--single-transaction".to_owned(),
            "--exit-on-error".to_owned(),
            "--no-password".to_owned(),
            // The login that restores owns everything that is restored.
            "--no-owner".to_owned(),
            format!("--dbname=dbname='{database}'"),
        ];
        arguments.extend(more);
        let mut client = self.session.start("pg_restore", &arguments, settings)?;
        let input = client.input()?;
        let (read, ended) = tokio::join!(
            self.reading(object, stage).unpack(input, false),
            client.end(&self.context.stop)
        );
        // To the client, an error of the store looks like a truncated archive.
        match (read, ended) {
            (Err(error), Err(_)) => Err(error),
            (read, ended) => ended.and(read).map_err(|error| {
                let message = format!("stage {stage}: {}", error.message);
                Error::new(error.reason, message)
            }),
        }
    }
}
