//! `kubectl orchestra backup` and `backups`: makes a backup on demand, and lists those that there are.

use std::time::Duration;

use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, ObjectMeta};

use super::change::hinted;
use super::complete;
use super::follow::{Asked, Course, follow};
use super::scope::Scope;
use super::status::provider_backups;
use super::top::{TopFormat, age};
use crate::api::names::COMMAND_MANAGER;
use crate::api::{DeletionPolicy, OrchestraBackup, OrchestraBackupSpec, OrchestraReference};
use crate::cli::changed::{ChangedOutput, named};
use crate::cli::output::{self, Cell, size};
use crate::controller::write::post_parameters;
use crate::views::backups::{self, Backup};

/// Backups that are read at once.
const PAGE: u32 = 500;

/// Arguments of `backup`.
#[derive(clap::Args, Debug)]
pub struct MakeArguments {
    /// Name of the Orchestra.
    #[arg(add = ArgValueCandidates::new(complete::orchestras))]
    pub name: String,
    /// Name of the OrchestraBackup. Default: that of the Orchestra, with the time.
    #[arg(long = "name", value_name = "BACKUP")]
    pub backup: Option<String>,
    /// Remove the data as well when the OrchestraBackup is deleted. Default: the data stays in the store.
    #[arg(long)]
    pub delete_data: bool,
    /// Wait until the backup is complete, or a person must act.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, such as 90s, 10m or 1h30m. Default: until the backup ends.
    #[arg(long, requires = "wait", value_parser = crate::run::duration)]
    pub timeout: Option<Duration>,
    /// What is printed.
    #[command(flatten)]
    pub output: ChangedOutput,
}

/// Arguments of `backups`.
#[derive(clap::Args, Debug)]
pub struct ListArguments {
    /// Name of the Orchestra. Omitted: of all.
    #[arg(add = ArgValueCandidates::new(complete::orchestras))]
    pub name: Option<String>,
    /// Of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: TopFormat,
}

const MAY: &str = "ClusterRole orchestra-editor grants the right to make backups";

/// Makes a backup, and waits for it where that is asked for.
///
/// # Errors
/// When there is no such Orchestra, the backup cannot be created, fails or waits for a person, or the time is over.
pub async fn make(scope: &Scope, arguments: &MakeArguments) -> anyhow::Result<()> {
    let orchestra = scope.orchestra(&arguments.name).await?;
    let name = arguments
        .backup
        .clone()
        .unwrap_or_else(|| default_name(&orchestra.name_any(), Timestamp::now()));
    let wanted = OrchestraBackup {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        ..OrchestraBackup::new(
            &name,
            OrchestraBackupSpec {
                orchestra_ref: OrchestraReference {
                    name: orchestra.name_any(),
                },
                deletion_policy: if arguments.delete_data {
                    DeletionPolicy::Delete
                } else {
                    DeletionPolicy::Retain
                },
                stored: None,
            },
        )
    };
    let parameters = post_parameters(COMMAND_MANAGER);
    let api = of(scope, false);
    let created = hinted(api.create(&parameters, &wanted).await, MAY)?;
    let asked = Asked {
        done: "created",
        work: "backup",
        wait: arguments.wait,
        timeout: arguments.timeout,
        output: arguments.output,
    };
    follow(&api, &created, &asked, course).await
}

/// The progress of a backup.
fn course(object: &OrchestraBackup) -> Course {
    let backup = backups::backup(object);
    if object.is_complete() {
        let size = backup.bytes.map(size).unwrap_or_default();
        let at = backup.location.unwrap_or_default();
        return Course::Done(format!("{} complete: {size} at {at}", named(object)));
    }
    let message = backup.message.unwrap_or_default();
    if object.is_stalled() {
        let name = object.name_any();
        return Course::Failed(format!("OrchestraBackup {name} is not complete: {message}"));
    }
    Course::UnderWay(if message.is_empty() {
        message
    } else {
        format!("{}: {message}", backup.phase)
    })
}

/// The name of a backup that is made at this time.
fn default_name(orchestra: &str, now: Timestamp) -> String {
    const LONGEST: usize = 253;
    let after = now.strftime("-%Y%m%d-%H%M%S").to_string();
    let begins = orchestra.get(..LONGEST - after.len()).unwrap_or(orchestra);
    format!("{}{after}", begins.trim_end_matches(['.', '-']))
}

/// The backups in the wanted format.
///
/// # Errors
/// When they cannot be read.
pub async fn list(scope: &Scope, arguments: &ListArguments) -> anyhow::Result<String> {
    let api = of(scope, arguments.all_namespaces);
    let (mut found, mut next) = (Vec::new(), None::<String>);
    loop {
        let mut page = ListParams::default().limit(PAGE);
        page.continue_token = next.take();
        let list = api.list(&page).await?;
        let wanted = |object: &&OrchestraBackup| {
            let of = &object.spec.orchestra_ref.name;
            arguments.name.as_ref().is_none_or(|name| name == of)
        };
        found.extend(list.items.iter().filter(wanted).map(backups::backup));
        next = list.metadata.continue_.filter(|token| !token.is_empty());
        if next.is_none() {
            break;
        }
    }
    let listed = render(&backups::listed(found), arguments, Timestamp::now())?;
    let of_provider = match (&arguments.name, arguments.output) {
        (Some(name), TopFormat::Table | TopFormat::Wide) => of_provider(scope, name).await,
        _ => None,
    };
    Ok(of_provider.map_or(listed.clone(), |line| format!("{listed}\n\n{line}")))
}

/// A line about the backups that the provider makes of the Orchestra's project by itself; none where the Orchestra is gone, or
/// has no project.
async fn of_provider(scope: &Scope, name: &str) -> Option<String> {
    let orchestra = scope.orchestra(name).await.ok()?;
    let line = provider_backups(orchestra.status?.backup.as_ref()?)?;
    Some(format!("The provider's own: {line}"))
}

fn render(all: &[Backup], arguments: &ListArguments, now: Timestamp) -> anyhow::Result<String> {
    Ok(match arguments.output {
        TopFormat::Json => output::json(all)?,
        TopFormat::Yaml => output::yaml(all)?,
        TopFormat::Name => {
            let names = all
                .iter()
                .map(|backup| format!("orchestrabackup.stagesub.io/{}", backup.name));
            names.collect::<Vec<_>>().join("\n")
        }
        _ if all.is_empty() => match &arguments.name {
            Some(name) => format!("none: kubectl orchestra backup {name} makes one"),
            None if arguments.all_namespaces => "No resources found".into(),
            None => "none: there is no OrchestraBackup here (-n names a namespace, -A means all)".into(),
        },
        format => table(all, arguments.all_namespaces, format == TopFormat::Wide, now),
    })
}

fn table(all: &[Backup], everywhere: bool, wide: bool, now: Timestamp) -> String {
    let mut header = vec!["name", "phase", "orchestra", "size", "age", "verified"];
    if everywhere {
        header.insert(0, "namespace");
    }
    if wide {
        header.extend([
            "snapshot",
            "scheduled",
            "data",
            "database",
            "migration",
            "location",
            "message",
        ]);
    }
    let rows = all.iter().map(|backup| cells(backup, everywhere, wide, now));
    output::table(&header, rows, &["size"])
}

fn cells(backup: &Backup, everywhere: bool, wide: bool, now: Timestamp) -> Vec<Cell> {
    let mut cells = vec![
        Some(backup.name.clone()),
        Some(backup.phase.clone()),
        Some(backup.orchestra.clone()),
        backup.bytes.map(size),
        backup.created.map(|created| age(now, created)),
        backup.verified.map(|verified| format!("{} ago", age(now, verified))),
    ];
    if everywhere {
        cells.insert(0, Some(backup.namespace.clone()));
    }
    if wide {
        let data = match backup.deletion_policy {
            DeletionPolicy::Retain => "Retain",
            DeletionPolicy::Delete => "Delete",
        };
        cells.extend([
            backup.snapshot_time.map(|at| at.strftime("%FT%TZ").to_string()),
            Some(if backup.scheduled { "yes" } else { "no" }.to_owned()),
            Some(data.to_owned()),
            backup.database.clone(),
            backup.migration.clone(),
            backup.location.clone(),
            backup.message.clone(),
        ]);
    }
    cells
}

fn of(scope: &Scope, everywhere: bool) -> Api<OrchestraBackup> {
    if everywhere {
        Api::all(scope.client.clone())
    } else {
        Api::namespaced(scope.client.clone(), &scope.namespace)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_has_its_time() {
        let at: Timestamp = "2026-11-29T02:03:04Z".parse().unwrap();
        assert_eq!(default_name("acme", at), "acme-20261129-020304");
        assert_eq!(default_name(&"a".repeat(253), at).len(), 253);
    }

    #[test]
    fn a_backup_is_followed_until_it_is_complete() {
        let with = |status: serde_json::Value| {
            let object: OrchestraBackup = serde_json::from_value(serde_json::json!({
                "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraBackup", "metadata": {"name": "now"},
                "spec": {"orchestraRef": {"name": "acme"}}, "status": status,
            }))
            .unwrap();
            course(&object)
        };
        assert!(matches!(with(serde_json::json!({})), Course::UnderWay(line) if line.is_empty()));
        let complete = serde_json::json!({"manifestDigest": "0", "bytes": 7_000_000, "location": "s3://backups/a"});
        let Course::Done(line) = with(complete) else {
            panic!("it is complete")
        };
        assert_eq!(
            line,
            "orchestrabackup.stagesub.io/now complete: 6 MiB at s3://backups/a"
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_and_the_formats_hold_them_all() {
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let backup = Backup {
            namespace: "tenants".into(),
            name: "one-1".into(),
            phase: "Completed".into(),
            orchestra: "one".into(),
            bytes: Some(7_000_000),
            created: at("2026-11-29T02:00:00Z"),
            snapshot_time: at("2026-11-29T02:00:03Z"),
            verified: at("2026-11-29T05:00:00Z"),
            scheduled: true,
            deletion_policy: DeletionPolicy::Delete,
            database: None,
            migration: Some("3_add".into()),
            location: Some("s3://backups/a".into()),
            message: None,
        };
        let now = at("2026-11-29T08:00:00Z").unwrap();
        let shown = |output, name: Option<&str>, all: &[Backup]| {
            let arguments = ListArguments {
                name: name.map(Into::into),
                all_namespaces: false,
                output,
            };
            render(all, &arguments, now).unwrap()
        };
        let all = [backup];
        assert_eq!(
            shown(TopFormat::Table, None, &all),
            "NAME   PHASE      ORCHESTRA   SIZE  AGE  VERIFIED\none-1  Completed  one        6 MiB  6h   3h ago"
        );
        let wide = shown(TopFormat::Wide, None, &all);
        assert!(
            wide.contains("2026-11-29T02:00:03Z") && wide.contains("3_add") && wide.contains("Delete"),
            "{wide}"
        );
        assert_eq!(shown(TopFormat::Name, None, &all), "orchestrabackup.stagesub.io/one-1");
        let json: serde_json::Value = serde_json::from_str(&shown(TopFormat::Json, None, &all)).unwrap();
        assert_eq!(json[0]["bytes"], 7_000_000);
        assert!(
            shown(TopFormat::Yaml, None, &all).contains("snapshotTime: "),
            "{}",
            shown(TopFormat::Yaml, None, &all)
        );
        assert!(shown(TopFormat::Table, Some("two"), &[]).contains("kubectl orchestra backup two"));
    }
}
