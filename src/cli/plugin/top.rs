//! `kubectl orchestra top`: all Orchestras, those first that need a person.

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::ListParams;

use super::scope::Scope;
use crate::cli::output::{self, Cell};
use crate::views::tenant::{Tenant, TenantState, tenant};

/// Orchestras that are read at once.
const PAGE: u32 = 500;

/// Output format of `top`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TopFormat {
    /// Aligned columns.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// The names only.
    Name,
}

/// Arguments of `top`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: TopFormat,
}

/// The Orchestras in the wanted format.
///
/// # Errors
/// When they cannot be read.
pub async fn run(scope: &Scope, arguments: &Arguments) -> anyhow::Result<String> {
    let api = scope.orchestras_of(arguments.all_namespaces);
    let (mut tenants, mut next) = (Vec::new(), None::<String>);
    loop {
        let mut page = ListParams::default().limit(PAGE);
        page.continue_token = next.take();
        let list = api.list(&page).await?;
        tenants.extend(list.items.iter().map(|orchestra| {
            let age = orchestra.creation_timestamp().map(|at| at.0);
            // `status` shows the timeline.
            let tenant = Tenant {
                timeline: Vec::new(),
                ..tenant(orchestra, &[])
            };
            (tenant, age)
        }));
        next = list.metadata.continue_.filter(|token| !token.is_empty());
        if next.is_none() {
            break;
        }
    }
    tenants.sort_by(|(a, _), (b, _)| (a.state, &a.namespace, &a.name).cmp(&(b.state, &b.namespace, &b.name)));
    render(&tenants, arguments)
}

fn render(tenants: &[(Tenant, Option<Timestamp>)], arguments: &Arguments) -> anyhow::Result<String> {
    let only = || tenants.iter().map(|(tenant, _)| tenant);
    Ok(match arguments.output {
        TopFormat::Json => output::json(&only().collect::<Vec<_>>())?,
        TopFormat::Yaml => output::yaml(&only().collect::<Vec<_>>())?,
        TopFormat::Name => {
            let names = only().map(|tenant| format!("orchestra.stagesub.io/{}", tenant.name));
            names.collect::<Vec<_>>().join("\n")
        }
        _ if tenants.is_empty() && arguments.all_namespaces => "No resources found".into(),
        _ if tenants.is_empty() => "none: there is no Orchestra here (-n names a namespace, -A means all)".into(),
        format => table(tenants, arguments.all_namespaces, format == TopFormat::Wide),
    })
}

fn table(tenants: &[(Tenant, Option<Timestamp>)], all: bool, wide: bool) -> String {
    let mut header = vec![
        "name",
        "state",
        "available",
        "migration",
        "pending",
        "cost/mo",
        "age",
        "why",
    ];
    if all {
        header.insert(0, "namespace");
    }
    if wide {
        header.extend(["class", "region", "project", "database", "expires", "message"]);
    }
    let now = Timestamp::now();
    let rows = tenants
        .iter()
        .map(|(tenant, created)| cells(tenant, *created, (now, all, wide)));
    let shown = output::table(&header, rows, &["pending", "cost/mo"]);
    format!("{shown}\n\n{}", summary(tenants))
}

fn cells(tenant: &Tenant, created: Option<Timestamp>, (now, all, wide): (Timestamp, bool, bool)) -> Vec<Cell> {
    let waits = tenant.waits.as_ref();
    let mut cells = vec![
        Some(tenant.name.clone()),
        Some(format!("{:?}", tenant.state)),
        Some(tenant.available.to_string()),
        tenant.migration.clone(),
        Some(tenant.pending.to_string()),
        tenant.cost.clone(),
        created.map(|created| age(now, created)),
        waits.map(|waits| waits.reason.clone()),
    ];
    if all {
        cells.insert(0, Some(tenant.namespace.clone()));
    }
    if wide {
        cells.extend([
            tenant.class.clone(),
            tenant.region.clone(),
            tenant.project.clone(),
            tenant.database.clone(),
            tenant.expires_at.map(|at| at.strftime("%FT%TZ").to_string()),
            waits.map(|waits| waits.message.clone()),
        ]);
    }
    cells
}

/// An age in kubectl's way: its largest unit.
pub(super) fn age(now: Timestamp, created: Timestamp) -> String {
    let seconds = now.duration_since(created).as_secs().max(0);
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn summary(tenants: &[(Tenant, Option<Timestamp>)]) -> String {
    let count = |wanted: &[TenantState]| {
        tenants
            .iter()
            .filter(|(tenant, _)| wanted.contains(&tenant.state))
            .count()
    };
    format!(
        "{} Orchestras: {} ready, {} paused, {} in progress, {} not usable now, {} need a person",
        tenants.len(),
        count(&[TenantState::Ready]),
        count(&[TenantState::Paused]),
        count(&[TenantState::Waiting, TenantState::Deleting]),
        count(&[TenantState::Unavailable]),
        count(&[TenantState::Stalled]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_its_largest_unit() {
        let age = |seconds: i64| {
            super::age(
                Timestamp::from_second(seconds).unwrap_or_default(),
                Timestamp::UNIX_EPOCH,
            )
        };
        assert_eq!(
            [90, 600, 10_000, 400_000, -5].map(age),
            ["90s", "10m", "2h", "4d", "0s"]
        );
    }
}
