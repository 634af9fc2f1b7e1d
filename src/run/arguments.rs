//! The flags of the operator. Each has an environment variable.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};

use crate::controller::Settings;
use crate::credentials::inventory;
use crate::postgres::{self, SUPABASE_ROOT};
use crate::supabase;
use crate::supabase::settings::{DEFAULT_API_URL, DEFAULT_PROJECT_DOMAIN};
use crate::telemetry::logs::LogFormat;
use crate::telemetry::traces::{self, Exporting, Traces};

/// Public registries.
const OCI_HOSTS: &str = "ghcr.io,docker.io,registry-1.docker.io,quay.io";

/// Flags of `orchestra-operator run`.
///
/// Secrets have no flags, because a command line can be read by others. They come from the
/// environment only: SUPABASE_MANAGEMENT_TOKEN and SUPABASE_ORGANIZATION_ID make a default class for
/// hosted Supabase, `DATABASE_URL_POOL_<n>` a static pool, while the cluster has
/// no OrchestraClass.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Namespace of the operator: tokens, owners' passwords and the lease live there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "orchestra-system")]
    pub namespace: String,
    /// Namespaces whose Orchestras this operator serves; omitted: all. It then needs rights in these
    /// namespaces only, which `orchestra-operator rbac` prints. Repeatable, or separated by commas.
    #[arg(long, env = "ORCHESTRA_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Address that serves /livez, /readyz and /metrics.
    #[arg(long, env = "ORCHESTRA_METRICS_ADDRESS", default_value = "0.0.0.0:8080")]
    pub metrics_address: SocketAddr,
    /// Name of the Lease: of all operators that share it, one acts.
    #[arg(long, env = "ORCHESTRA_LEASE_NAME", default_value = "orchestra-operator")]
    pub lease_name: String,
    /// How long a Lease that is not renewed keeps others waiting. Its holder ends after two thirds
    /// of it without a renewal.
    #[arg(long, env = "ORCHESTRA_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    pub lease_duration: Duration,
    /// Format of log lines.
    #[arg(long, env = "ORCHESTRA_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// The level of logs, or targets with levels such as `info,orchestra_operator=debug`.
    #[arg(long, env = "ORCHESTRA_LOG", default_value = "info")]
    pub log: String,
    /// Address of the Supabase Management API.
    #[arg(long, env = "SUPABASE_API_URL", default_value = DEFAULT_API_URL)]
    pub supabase_api_url: String,
    /// Domain of the projects: a project's URL is https://<ref>.<domain>. Of a stand-in on this machine: an http
    /// address, to which the reference is appended.
    #[arg(long, env = "SUPABASE_PROJECT_DOMAIN", default_value = DEFAULT_PROJECT_DOMAIN)]
    pub supabase_project_domain: String,
    /// Domains or IP addresses that passwords may be sent to, besides Supabase's own with the
    /// default API address. Repeatable, or separated by commas.
    #[arg(long, env = "SUPABASE_TRUSTED_HOSTS", value_delimiter = ',')]
    pub supabase_trusted_hosts: Vec<String>,
    /// File with the root certificates (PEM) of hosted databases, instead of Supabase's own, which is built in.
    /// The system's are trusted as well.
    #[arg(long, env = "SUPABASE_CA_FILE")]
    pub supabase_ca_file: Option<PathBuf>,
    /// How long the operator looks for the project of a create request whose outcome is unknown, before it sends another one.
    #[arg(long, env = "ORCHESTRA_CREATE_SETTLE", default_value = "2m", value_parser = duration)]
    pub create_settle: Duration,
    /// Interval of the one listing for all projects that are being set up.
    #[arg(long, env = "ORCHESTRA_POLL_INTERVAL", default_value = "5s", value_parser = duration)]
    pub poll_interval: Duration,
    /// Least time between two logins to a database after a refused one.
    #[arg(long, env = "ORCHESTRA_LOGIN_SPACING", default_value = "30s", value_parser = duration)]
    pub login_spacing: Duration,
    /// Interval at which settled resources are checked again.
    #[arg(long, env = "ORCHESTRA_RESYNC", default_value = "10m", value_parser = duration)]
    pub resync: Duration,
    /// How often each database in use is probed with the login that its applications have, where the class does not
    /// say. 0s: whatever a class says, only databases that are not available according to their status, until they are.
    #[arg(long, env = "ORCHESTRA_PROBE_INTERVAL", default_value = "1m", value_parser = duration)]
    pub probe_interval: Duration,
    /// Longest time that one run of an Orchestra's migrations or seed may take.
    #[arg(long, env = "ORCHESTRA_MIGRATION_LIMIT", default_value = "1h", value_parser = duration)]
    pub migration_limit: Duration,
    /// Migrations that run at once on one database server, of all classes together. Entries of pools
    /// with the same host and port share a server; a hosted project is one of its own.
    #[arg(long, env = "ORCHESTRA_MIGRATIONS_PER_SERVER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub migrations_per_server: u16,
    /// How long scripts and requests under way may take to end after SIGTERM; what does not end is stopped, and rolled back
    /// by the database. Less than the pod's terminationGracePeriodSeconds.
    #[arg(long, env = "ORCHESTRA_SHUTDOWN_GRACE", default_value = "25s", value_parser = duration)]
    pub shutdown_grace: Duration,
    /// Folder of a mounted volume, below which `source.folder` is looked for. Everyone who may create Orchestras can have
    /// the scripts in it applied.
    #[arg(long, env = "ORCHESTRA_SOURCES_FOLDER")]
    pub sources_folder: Option<PathBuf>,
    /// Registries that an Orchestra may name, as host or host:port; a class may name any. Repeatable, or
    /// separated by commas.
    #[arg(long, env = "ORCHESTRA_OCI_HOSTS", value_delimiter = ',', default_value = OCI_HOSTS)]
    pub oci_hosts: Vec<String>,
    /// Image of the Jobs that make and remove backups, where the class names none.
    #[arg(long, env = "ORCHESTRA_BACKUP_IMAGE", default_value = BACKUP_IMAGE)]
    pub backup_image: String,
    /// Beginnings of the images that a class may name for these Jobs: their pods get the login of a database's owner. None:
    /// a class may name any. Repeatable, or separated by commas.
    #[arg(
        long = "backup-image-prefix",
        env = "ORCHESTRA_BACKUP_IMAGE_PREFIX",
        value_delimiter = ','
    )]
    pub backup_image_prefixes: Vec<String>,
    /// ServiceAccount of the pods of these Jobs, in the operator's namespace. It needs no right, and its token is not
    /// mounted.
    #[arg(long, env = "ORCHESTRA_BACKUP_SERVICE_ACCOUNT", default_value = "orchestra-backup")]
    pub backup_service_account: String,
    /// Address of a collector of OpenTelemetry for OTLP over HTTP, such as `http://collector:4318`: the way of each Orchestra
    /// to Ready is sent there as a trace. Its credentials come from `OTEL_EXPORTER_OTLP_HEADERS`.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Resources of one kind that are reconciled at once.
    #[arg(long, env = "ORCHESTRA_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
}

/// The image with the clients of PostgreSQL, of the operator's own version.
const BACKUP_IMAGE: &str = concat!("ghcr.io/stagesub/orchestra-operator-backup:", env!("CARGO_PKG_VERSION"));

/// Reads a duration as people write it.
///
/// # Errors
/// The problem of the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| "write it as 30s, 5m or 1h30m".to_string())?;
    Duration::try_from(parsed).map_err(|_| "it must not be negative".to_string())
}

/// Names of tenants' namespaces, each once.
///
/// # Errors
/// When one of them is not a name of a namespace, or is that of the operator.
pub fn tenants(names: &[String], own: &str) -> anyhow::Result<Vec<String>> {
    let names: BTreeSet<_> = names
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty())
        .collect();
    for name in &names {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.len() > 63 || name.starts_with('-') || name.ends_with('-') || !name.bytes().all(letters) {
            bail!("--watch-namespaces: {name} is no name of a namespace");
        }
        if *name == own {
            bail!(
                "--watch-namespaces: {name} is the operator's own namespace, where tokens and owners' passwords are: \
                 Orchestras need another one"
            );
        }
    }
    Ok(names.into_iter().map(ToOwned::to_owned).collect())
}

impl Arguments {
    /// Settings of the controllers, with the secrets that come only from the environment.
    ///
    /// # Errors
    /// When the file of root certificates cannot be used.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let text = |name: &str| {
            std::env::var(name)
                .ok()
                .map(|text| text.trim().to_string())
                .filter(|text| !text.is_empty())
        };
        let inventory: BTreeMap<_, _> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_encoded_bytes())))
            .filter(|(key, _)| inventory::is_meant(key))
            .map(|(key, value)| (key, inventory::text(&value)))
            .collect();
        // An empty entry among others is reported; variables that are all empty define no pool.
        let is_given = inventory.values().any(|value| !value.expose_secret().is_empty());
        let inventory = if is_given { inventory } else { BTreeMap::new() };
        Ok(Settings {
            database_roots: self.database_roots()?,
            namespace: self.namespace.clone(),
            create_settle: self.create_settle,
            poll_interval: self.poll_interval,
            login_spacing: self.login_spacing,
            resync: self.resync,
            probe_interval: self.probe_interval,
            shutdown_grace: self.shutdown_grace,
            migration_limit: self.migration_limit,
            migrations_per_server: self.migrations_per_server,
            sources_folder: self.sources_folder.clone(),
            oci_hosts: self.oci_hosts.clone(),
            concurrency: self.concurrency,
            backup_image: self.backup_image.clone(),
            backup_image_prefixes: {
                let prefixes = self.backup_image_prefixes.iter().filter(|one| !one.is_empty());
                prefixes.cloned().collect()
            },
            backup_service_account: self.backup_service_account.clone(),
            token: text("SUPABASE_MANAGEMENT_TOKEN").map(SecretString::from),
            organization: text("SUPABASE_ORGANIZATION_ID"),
            inventory,
        })
    }

    fn database_roots(&self) -> anyhow::Result<Arc<str>> {
        let Some(file) = &self.supabase_ca_file else {
            return Ok(SUPABASE_ROOT.into());
        };
        let wrong = || {
            format!(
                "{} (--supabase-ca-file) holds no root certificates in PEM",
                file.display()
            )
        };
        let text = std::fs::read_to_string(file).with_context(wrong)?;
        postgres::certificates_alone(&text).with_context(wrong)
    }

    /// Namespaces whose Orchestras are served; none for all.
    ///
    /// # Errors
    /// When one of them is not a name of a namespace, or is the operator's own.
    pub fn tenants(&self) -> anyhow::Result<Vec<String>> {
        tenants(&self.watch_namespaces, &self.namespace)
    }

    /// Settings of the Management API.
    ///
    /// # Errors
    /// When no token may be sent to the address.
    pub fn provider(&self) -> Result<supabase::ApiSettings, supabase::Error> {
        supabase::ApiSettings::new(
            &self.supabase_api_url,
            &self.supabase_project_domain,
            &self.supabase_trusted_hosts,
        )
    }

    /// Where traces go, and the task that sends them; none when no collector is named.
    ///
    /// # Errors
    /// When they cannot be sent as the flag and the variables of OpenTelemetry say.
    pub fn traces(&self) -> Result<Option<(Traces, Exporting)>, traces::Error> {
        let endpoint = self
            .otlp_endpoint
            .as_deref()
            .filter(|endpoint| !endpoint.trim().is_empty());
        endpoint.map(Traces::export).transpose()
    }

    /// The identity of this process in the lease: the pod, or a name of its own.
    pub fn identity(&self) -> String {
        let unique = uuid::Uuid::new_v4();
        std::env::var("POD_NAME").map_or_else(|_| unique.to_string(), |pod| format!("{pod}_{unique}"))
    }
}
