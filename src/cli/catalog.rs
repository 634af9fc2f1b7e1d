//! `orchestra-backup list`: the backups in a store, and the OrchestraBackups of a cluster that has lost them. It is a command of
//! the pods' program, because the operator's has no client of a store. It reads the store only, and prints: what it prints
//! is applied by a person, and the operator reads each manifest itself before it believes that a backup is there.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use super::output::{self, Cell, say, size};
use crate::api::names::is_object_name;
use crate::archive::catalog::{self, CatalogEntry, StoreListing, Within};
use crate::archive::order::Store;
use crate::archive::store::{Folder, StoreSecrets};

/// Columns of the table.
const HEADER: [&str; 8] = [
    "namespace",
    "backup",
    "orchestra",
    "snapshot",
    "size",
    "encrypted",
    "server",
    "cluster",
];

/// The most bytes of the file with certificates.
const CA: u64 = 1 << 20;

/// The most folders without a manifest that the table names.
const NAMED: usize = 20;

/// Arguments of `orchestra-backup list`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The store with the prefix of the class's destination: `s3://BUCKET/PREFIX`, or `file:///FOLDER/PREFIX` of a mounted volume.
    #[arg(long, value_name = "URL")]
    pub from: Url,
    /// Address of a store other than Amazon's, such as `https://s3.example.com`.
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the bucket; `us-east-1` without one.
    #[arg(long, env = "AWS_REGION")]
    pub region: Option<String>,
    /// Whether the bucket's name stands in the path of the address; without the flag: with `--endpoint`.
    #[arg(long, value_name = "BOOL")]
    pub path_style: Option<bool>,
    /// File with the certificates (PEM) by which the store is trusted, beside the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Only backups of this cluster: the 12 hexadecimal digits with which the folders begin.
    #[arg(long, value_parser = cluster)]
    pub cluster: Option<String>,
    /// Only backups of this namespace.
    #[arg(short, long, value_parser = namespace)]
    pub namespace: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t, conflicts_with = "recreate")]
    pub output: Format,
    /// Print an OrchestraBackup for each backup, for `kubectl apply -f`. The operator reads the backup's manifest and completes it.
    /// One that is there already stays as it is.
    #[arg(long)]
    pub recreate: bool,
    /// Class of the new cluster that has this store as its destination; without the flag, the class that each backup names.
    #[arg(long, requires = "recreate")]
    pub class: Option<String>,
}

/// Output format of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

fn cluster(text: &str) -> Result<String, String> {
    let is = text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is.then(|| text.to_owned())
        .ok_or_else(|| "it must be 12 hexadecimal digits".to_owned())
}

fn namespace(text: &str) -> Result<String, String> {
    let is = is_object_name(text, 63);
    is.then(|| text.to_owned())
        .ok_or_else(|| "it is not the name of a namespace".to_owned())
}

/// Lists the store and prints.
///
/// # Errors
/// When the store cannot be read, and, after everything is printed, when manifests were refused.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let store = store(arguments)?;
    store.check()?;
    let root = Folder::open(&store, &secrets(arguments, &store)?, "")?;
    let within = Within {
        cluster: arguments.cluster.clone(),
        namespace: arguments.namespace.clone(),
    };
    let found = catalog::read(&root, &within).await?;
    say(&if arguments.recreate {
        manifests(&found, arguments.class.as_deref())?
    } else {
        render(&found, arguments.output)?
    })?;
    match found.refused.len() {
        0 => Ok(()),
        refused => {
            bail!("{refused} manifests were refused for the reasons above; they are not backups")
        }
    }
}

/// The store of a URL.
fn store(arguments: &Arguments) -> anyhow::Result<Store> {
    let from = &arguments.from;
    if !from.username().is_empty() || from.password().is_some() || from.query().is_some() || from.fragment().is_some() {
        bail!(
            "--from has a login, a query or a fragment: credentials come from the environment; use the flags for options"
        );
    }
    let path = from.path().trim_matches('/');
    match (from.scheme(), from.host_str().unwrap_or_default()) {
        ("s3", bucket) if !bucket.is_empty() => Ok(Store::S3 {
            endpoint: arguments.endpoint.clone(),
            region: arguments.region.clone(),
            bucket: bucket.to_owned(),
            prefix: path.to_owned(),
            path_style: arguments.path_style.unwrap_or(arguments.endpoint.is_some()),
        }),
        ("file", _) => {
            let folder = from
                .to_file_path()
                .ok()
                .and_then(|path| path.into_os_string().into_string().ok());
            Ok(Store::Folder {
                path: folder.context("--from is not the folder of a mounted volume: use file:///FOLDER")?,
                prefix: String::new(),
            })
        }
        _ => bail!("--from {from} is not a store: use s3://BUCKET/PREFIX, or file:///FOLDER of a mounted volume"),
    }
}

/// The credentials, from the environment: other users of the machine can read a command line.
fn secrets(arguments: &Arguments, store: &Store) -> anyhow::Result<StoreSecrets> {
    let mut secrets = StoreSecrets::default();
    if let Store::S3 { .. } = store {
        let value = |name: &str| match env::var(name) {
            Ok(value) if !value.is_empty() => Ok(Some(SecretString::from(value))),
            _ => bail!("the environment has no {name}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the store"),
        };
        secrets.access_key_id = value("AWS_ACCESS_KEY_ID")?;
        secrets.secret_access_key = value("AWS_SECRET_ACCESS_KEY")?;
    }
    if let Some(file) = &arguments.ca_file {
        let cannot = || format!("cannot read {}", file.display());
        if std::fs::metadata(file).with_context(cannot)?.len() > CA {
            bail!("{} has more than {CA} bytes", file.display());
        }
        secrets.ca = Some(std::fs::read_to_string(file).with_context(cannot)?);
    }
    Ok(secrets)
}

fn render(found: &StoreListing, format: Format) -> anyhow::Result<String> {
    match format {
        Format::Table => Ok(table(found)),
        Format::Json => output::json(found),
        Format::Yaml => output::yaml(found),
    }
}

fn table(found: &StoreListing) -> String {
    let mut text = if found.backups.is_empty() {
        "There are no complete backups.".to_owned()
    } else {
        output::table(&HEADER, found.backups.iter().map(cells), &["size"])
    };
    let (incomplete, foreign) = (&found.incomplete, found.foreign_objects);
    if !incomplete.is_empty() {
        let count = incomplete.len();
        text =
            format!("{text}\n\nArchives without a manifest, which are no backup (they run, or have failed): {count}");
        for folder in incomplete.iter().take(NAMED) {
            text = format!("{text}\n  {} ({})", folder.path, bytes(folder.bytes));
        }
        if let Some(more) = crate::text::more(count, NAMED) {
            text = format!("{text}\n  {more}");
        }
    }
    if !found.refused.is_empty() {
        text = format!("{text}\n\nManifests that are refused: {}", found.refused.len());
        for folder in &found.refused {
            text = format!("{text}\n  {}: {}", folder.path, folder.message);
        }
    }
    if foreign > 0 {
        text = format!("{text}\n\nObjects that are not of backups: {foreign}");
    }
    text
}

fn bytes(bytes: u64) -> String {
    size(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn cells(backup: &CatalogEntry) -> Vec<Cell> {
    let yes = if backup.encrypted { "yes" } else { "no" };
    let cells = [
        backup.namespace.clone(),
        backup.name.clone(),
        backup.orchestra.clone(),
        backup.snapshot_time.strftime("%FT%TZ").to_string(),
        bytes(backup.bytes),
        yes.to_owned(),
        backup.server_major.to_string(),
        backup.cluster.clone(),
    ];
    cells.map(Some).into()
}

/// The OrchestraBackups. Where several have one name in a namespace, each gets the first digits of its UID.
fn manifests(found: &StoreListing, class: Option<&str>) -> anyhow::Result<String> {
    let mut clusters: Vec<_> = found.backups.iter().map(|backup| backup.cluster.as_str()).collect();
    clusters.sort_unstable();
    clusters.dedup();
    let mut names = BTreeMap::<_, usize>::new();
    for backup in &found.backups {
        *names.entry((&backup.namespace, &backup.name)).or_default() += 1;
    }
    let mut text = format!(
        "# For kubectl apply -f. The class has to allow it: spec.backup.recoverFrom: [{}]\n",
        clusters.join(", ")
    );
    for folder in &found.refused {
        text = format!("{text}# Refused: {}: {}\n", folder.path, folder.message);
    }
    for folder in &found.incomplete {
        text = format!("{text}# No backup, because it has no manifest: {}\n", folder.path);
    }
    for backup in &found.backups {
        let is_single = names.get(&(&backup.namespace, &backup.name)) == Some(&1);
        let yaml =
            serde_saphyr::to_string(&manifest(backup, class, is_single)).context("cannot write the manifests")?;
        text = format!("{text}---\n{}\n", yaml.trim_end());
    }
    Ok(text.trim_end().to_owned())
}

/// The OrchestraBackup of a stored backup. It has no deletion policy, so that its data stay.
fn manifest(backup: &CatalogEntry, class: Option<&str>, is_single: bool) -> serde_json::Value {
    let name = if is_single {
        backup.name.clone()
    } else {
        let begins = backup
            .name
            .get(..240)
            .unwrap_or(&backup.name)
            .trim_end_matches(['.', '-']);
        format!("{begins}-{}", backup.uid.get(..8).unwrap_or(&backup.uid))
    };
    json!({
        "apiVersion": "stagesub.io/v1alpha1",
        "kind": "OrchestraBackup",
        "metadata": {"name": name, "namespace": backup.namespace},
        "spec": {
            "orchestraRef": {"name": backup.orchestra},
            "stored": {
                "className": class.unwrap_or(&backup.class),
                "path": backup.path,
                "manifestDigest": backup.manifest_digest,
            },
        },
    })
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
