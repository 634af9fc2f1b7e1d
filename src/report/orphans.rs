//! `orchestra-operator orphans`: what costs money and serves nobody, from the cluster and the provider.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::Api;
use kube::{Client, ResourceExt};
use secrecy::SecretString;
use serde::Serialize;

use super::all;
use super::output::{self, Cell, Output};
use crate::api::{Cost, Orchestra, OrchestraClass, OrchestraDatabase};
use crate::class::{budget, price};
use crate::database::orphan;
use crate::supabase::marker::{CLUSTER_NAMESPACE, Cluster};
use crate::supabase::poll::Listing;
use crate::supabase::settings::{DEFAULT_API_URL, DEFAULT_PROJECT_DOMAIN};
use crate::supabase::types::ListedProject;
use crate::supabase::{Account, Accounts, Settings};
use crate::telemetry::metrics::Metrics;

/// Flags of `orchestra-operator orphans`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Namespace of the operator, where the tokens of the classes are.
    #[arg(short, long, env = "POD_NAMESPACE", default_value = "orchestra-system")]
    pub namespace: String,
    /// Address of the Supabase Management API.
    #[arg(long, env = "SUPABASE_API_URL", default_value = DEFAULT_API_URL)]
    pub supabase_api_url: String,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// What was found, and what could not be looked at.
pub struct Found {
    /// The orphans as they are printed.
    pub printed: String,
    missed: Vec<String>,
}

impl Found {
    /// Whether everything was looked at.
    ///
    /// # Errors
    /// One line that names the classes whose organization could not be looked at, and why.
    pub fn complete(&self) -> anyhow::Result<()> {
        if !self.missed.is_empty() {
            bail!("this is not all: {}", self.missed.join("; "));
        }
        Ok(())
    }
}

/// Something that costs money and serves nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Orphan {
    /// `Project` or `OrchestraDatabase`.
    kind: &'static str,
    /// The provider's name of the project.
    project: Option<String>,
    /// Name of the project, or of the OrchestraDatabase.
    name: String,
    /// The class whose organization pays.
    class: Option<String>,
    region: Option<String>,
    status: String,
    since: Option<Timestamp>,
    currency: Option<String>,
    monthly: Option<String>,
    /// What to do.
    next: String,
}

/// Looks at the cluster and at each organization once.
///
/// # Errors
/// When the cluster cannot be read, or the API's address is none that a token may be sent to.
pub async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<Found> {
    let cluster = cluster(client).await?;
    let classes: Vec<OrchestraClass> = all(client).await?;
    let settings = Settings::new(&arguments.supabase_api_url, DEFAULT_PROJECT_DOMAIN, &[])?;
    let accounts = Accounts::new(Arc::new(settings), Arc::new(Metrics::default()));
    let (mut listings, mut missed) = (BTreeMap::new(), Vec::new());
    for class in classes.iter().filter(|class| class.spec.provider.is_some()) {
        match listing(client, arguments, &accounts, class, &listings).await {
            Ok(Some((organization, listing))) => drop(listings.insert(organization, (class, listing))),
            Ok(None) => {}
            Err(error) => missed.push(format!("class {}: {error:#}", class.name_any())),
        }
    }
    // After the listings: what was created meanwhile is held by now.
    let databases: Vec<Arc<OrchestraDatabase>> = all(client).await?.into_iter().map(Arc::new).collect();
    let tenants: HashSet<String> = all::<Orchestra>(client)
        .await?
        .iter()
        .filter_map(ResourceExt::uid)
        .collect();
    let mut orphans: Vec<Orphan> = Vec::new();
    for (class, listing) in listings.values() {
        let found = orphan::projects(&cluster, &listing.projects, &databases);
        orphans.extend(found.into_iter().map(|project| of_project(class, project)));
    }
    for database in &databases {
        if let Some(why) = orphan::unclaimed(database, |uid| tenants.contains(uid)) {
            orphans.push(of_database(database, why));
        }
    }
    Ok(Found {
        printed: print(&orphans, arguments.output)?,
        missed,
    })
}

async fn cluster(client: &Client) -> anyhow::Result<Cluster> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces.get_metadata(CLUSTER_NAMESPACE).await.with_context(|| {
        format!("cannot read namespace {CLUSTER_NAMESPACE}, whose UID marks this cluster's projects")
    })?;
    let uid = namespace.metadata.uid.unwrap_or_default();
    Cluster::of(&uid).with_context(|| format!("the UID of namespace {CLUSTER_NAMESPACE} is no UUID: {uid}"))
}

/// The projects of a class's organization, or nothing when another class has the same one.
async fn listing<T>(
    client: &Client,
    arguments: &Arguments,
    accounts: &Accounts,
    class: &OrchestraClass,
    known: &BTreeMap<String, T>,
) -> anyhow::Result<Option<(String, Arc<Listing>)>> {
    let token = token(client, arguments, class).await?;
    let named = class
        .spec
        .provider
        .as_ref()
        .and_then(|it| it.supabase.organization.clone());
    let named = named.or_else(|| variable("SUPABASE_ORGANIZATION_ID"));
    let account: Arc<Account> = accounts.get(&token, named.as_deref()).await?;
    let organization = account.organization().to_owned();
    if known.contains_key(&organization) {
        return Ok(None);
    }
    let listing = account.poll().projects_since(Instant::now()).await?;
    Ok(Some((organization, listing)))
}

/// The token that a class names.
async fn token(client: &Client, arguments: &Arguments, class: &OrchestraClass) -> anyhow::Result<SecretString> {
    let provider = class.spec.provider.as_ref();
    let Some(reference) = provider.and_then(|it| it.supabase.token_secret_ref.as_ref()) else {
        let token = variable("SUPABASE_MANAGEMENT_TOKEN").map(SecretString::from);
        return token.context("it names no tokenSecretRef, and SUPABASE_MANAGEMENT_TOKEN is not set here");
    };
    let (name, key, namespace) = (&reference.name, &reference.key, &arguments.namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets
        .get(name)
        .await
        .with_context(|| format!("cannot read Secret {name} in namespace {namespace} (--namespace)"))?;
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let text = value
        .and_then(|value| std::str::from_utf8(&value.0).ok())
        .map(str::trim);
    let text = text.filter(|text| !text.is_empty());
    Ok(text
        .with_context(|| format!("Secret {name} in namespace {namespace} has no token in key {key}"))?
        .into())
}

fn variable(name: &str) -> Option<String> {
    let text = std::env::var(name).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn of_project(class: &OrchestraClass, project: &ListedProject) -> Orphan {
    let account = class.status.as_ref().and_then(|status| status.account.as_ref());
    let plan = account.and_then(|account| account.plan.as_deref());
    let own = class.spec.budget.as_ref().and_then(|budget| budget.prices.as_ref());
    let cost = price::quote(project.instance_size(), plan, own, None);
    let cost = cost.map(|quote| quote.price.cost(budget::currency(class)));
    let reference = &project.reference;
    Orphan {
        kind: "Project",
        project: Some(reference.clone()),
        name: project.name.clone(),
        class: Some(class.name_any()),
        region: Some(project.region.clone()),
        status: project.status.to_string(),
        since: project.inserted_at,
        currency: cost.as_ref().map(|cost| cost.currency.clone()),
        monthly: cost.map(|cost| cost.monthly),
        next: format!("look at what is in it; if nobody needs it: supabase projects delete {reference}"),
    }
}

fn of_database(database: &OrchestraDatabase, why: orphan::Unclaimed) -> Orphan {
    let status = database.status.as_ref();
    let project = status.and_then(|status| status.project.as_ref());
    let cost: Option<&Cost> = status.and_then(|status| status.cost.as_ref());
    let since = match why {
        orphan::Unclaimed::Released => database.spec.released_at.as_ref(),
        // When the Orchestra went, nobody has written down.
        orphan::Unclaimed::Deserted => None,
    };
    let wanted = database.spec.supabase.as_ref();
    Orphan {
        kind: "OrchestraDatabase",
        project: project.map(|project| project.reference.clone()),
        name: database.name_any(),
        class: database.spec.class_name.clone(),
        region: project
            .map(|project| project.region.clone())
            .or_else(|| wanted.map(|wanted| wanted.region.clone())),
        status: format!("{why:?}"),
        since: since.map(|at| at.0),
        currency: cost.map(|cost| cost.currency.clone()),
        monthly: cost.map(|cost| cost.monthly.clone()),
        next: orphan::next_step(database, why),
    }
}

const HEADER: [&str; 10] = [
    "kind", "project", "name", "class", "region", "status", "since", "currency", "monthly", "next",
];

fn print(orphans: &[Orphan], output: Output) -> anyhow::Result<String> {
    let cells = orphans.iter().map(|orphan| -> Vec<Cell> {
        vec![
            Some(orphan.kind.into()),
            orphan.project.clone(),
            Some(orphan.name.clone()),
            orphan.class.clone(),
            orphan.region.clone(),
            Some(orphan.status.clone()),
            orphan.since.map(|at| at.to_string()),
            orphan.currency.clone(),
            orphan.monthly.clone(),
            Some(orphan.next.clone()),
        ]
    });
    match output {
        Output::Json => Ok(serde_json::to_string_pretty(orphans)?),
        Output::Csv => output::csv(&HEADER, cells),
        Output::Table if orphans.is_empty() => Ok("none: nothing costs money without serving somebody".into()),
        Output::Table => Ok(output::table(&HEADER, cells, &["monthly"])),
    }
}
