//! `kubectl orchestra status`: one Orchestra, with what has happened and what to do.

use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};

use super::complete;
use super::events::selector;
use super::scope::Scope;
use crate::cli::output::{self, Cell, say};
use crate::cli::words::FoundExit;
use crate::views::tenant::{Tenant, TenantState, TimelineItem, Waits, tenant};

/// Moments of the timeline that are shown without `--all`.
const SHOWN: usize = 20;

/// Output format of `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StatusFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// Arguments of `status`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Name of the Orchestra.
    #[arg(add = ArgValueCandidates::new(complete::orchestras))]
    pub name: String,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: StatusFormat,
    /// The whole timeline, and not the last 20 moments.
    #[arg(long)]
    pub all: bool,
    /// Exit with 10 while the Orchestra waits, and with 11 when a person must act.
    #[arg(long)]
    pub exit_code: bool,
}

/// Prints the Orchestra.
///
/// # Errors
/// When it cannot be read, and with `--exit-code` when it is not settled.
pub async fn run(scope: &Scope, arguments: &Arguments) -> anyhow::Result<()> {
    let orchestra = scope.orchestra(&arguments.name).await?;
    let events: Api<Event> = Api::namespaced(scope.client.clone(), &scope.namespace);
    let wanted = ListParams::default().fields(&selector(Some(&arguments.name)));
    // A user who may not read events sees the rest.
    let events = events.list(&wanted).await.map(|list| list.items);
    let mut tenant = tenant(&orchestra, events.as_deref().unwrap_or_default());
    if !arguments.all {
        let before = tenant.timeline.len().saturating_sub(SHOWN);
        tenant.timeline.drain(..before);
    }
    say(&match arguments.output {
        StatusFormat::Text => text(&tenant, events.is_err()),
        StatusFormat::Json => output::json(&tenant)?,
        StatusFormat::Yaml => output::yaml(&tenant)?,
    })?;
    match code(tenant.state).filter(|_| arguments.exit_code) {
        None => Ok(()),
        Some(code) => {
            let message = String::new();
            Err(FoundExit { code, message }.into())
        }
    }
}

fn code(state: TenantState) -> Option<u8> {
    match state {
        TenantState::Ready | TenantState::Paused => None,
        TenantState::Waiting | TenantState::Deleting => Some(10),
        TenantState::Stalled | TenantState::Unavailable => Some(11),
    }
}

fn standing(tenant: &Tenant) -> String {
    let reason = tenant.waits.as_ref().map(|waits| waits.reason.as_str());
    let with = |words: &str| reason.map_or_else(|| words.to_owned(), |reason| format!("{words} ({reason})"));
    match tenant.state {
        TenantState::Stalled => with("a person must act"),
        TenantState::Unavailable => with("applications cannot use the database now"),
        TenantState::Deleting => with("it is being deleted"),
        TenantState::Waiting => with("in progress"),
        TenantState::Paused => "paused".into(),
        TenantState::Ready => "ready".into(),
    }
}

fn text(tenant: &Tenant, without_events: bool) -> String {
    let migrations = match (tenant.applied, tenant.pending) {
        (0, 0) => None,
        (applied, pending) => Some(format!("{applied} applied, {pending} pending")),
    };
    let migrations = migrations.map(|counts| match &tenant.migration {
        Some(last) => format!("{counts}, the last applied is {last}"),
        None => counts,
    });
    let project = tenant.project.as_ref().map(|project| match &tenant.region {
        Some(region) => format!("{project} in {region}"),
        None => project.clone(),
    });
    let facts = [
        ("Name", Some(tenant.name.clone())),
        ("Namespace", Some(tenant.namespace.clone())),
        ("State", Some(standing(tenant))),
        ("Available", Some(if tenant.available { "yes" } else { "no" }.into())),
        ("Class", tenant.class.clone()),
        ("Database", tenant.database.clone()),
        ("Project", project),
        ("Cost", tenant.cost.as_ref().map(|cost| format!("{cost} a month"))),
        ("Secret", tenant.secret.clone()),
        ("Migrations", migrations),
        ("Expires", tenant.expires_at.map(time)),
    ];
    let known = facts
        .into_iter()
        .filter_map(|(name, fact)| Some(format!("{:<13}{}", format!("{name}:"), fact?)));
    let mut shown: Vec<String> = known.collect();
    if let Some(waits) = &tenant.waits {
        let title = match tenant.state {
            TenantState::Stalled | TenantState::Unavailable => "What is wrong",
            _ => "Waits for",
        };
        shown.push(section(title, waits));
    }
    shown.extend(tenant.warnings.iter().map(|warning| section("Warning", warning)));
    shown.push("\nTimeline:".into());
    shown.push(output::table(
        &["at", "", "what", "message"],
        tenant.timeline.iter().map(cells),
        &[],
    ));
    if without_events {
        shown.push("\nThe events are missing: you may not read events of this namespace.".into());
    }
    shown.join("\n")
}

fn section(title: &str, waits: &Waits) -> String {
    let since = waits
        .since
        .map(|since| format!(" since {}", time(since)))
        .unwrap_or_default();
    let advice = waits.advice.as_ref().map(|advice| format!("\n  What to do: {advice}"));
    format!(
        "\n{title}: {}{since}\n  {}{}",
        waits.reason,
        waits.message,
        advice.unwrap_or_default()
    )
}

fn time(at: Timestamp) -> String {
    at.strftime("%FT%TZ").to_string()
}

fn cells(moment: &TimelineItem) -> Vec<Cell> {
    let times = if moment.count > 1 {
        format!(" (x{})", moment.count)
    } else {
        String::new()
    };
    let mark = if moment.warning { "!" } else { " " };
    vec![
        Some(time(moment.at)),
        Some(mark.into()),
        Some(moment.what.clone()),
        Some(format!("{}{times}", moment.message)),
    ]
}
