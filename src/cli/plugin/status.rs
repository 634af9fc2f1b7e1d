//! `kubectl orchestra status`: one Orchestra, with what has happened and what to do.

use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};

use super::complete;
use super::events::selector;
use super::scope::Scope;
use crate::api::ScheduledBackups;
use crate::cli::output::{self, Cell, TextFormat, say, size};
use crate::cli::words::FoundExit;
use crate::views::tenant::{Tenant, TenantState, TimelineItem, Waits, tenant};

/// Moments of the timeline that are shown without `--all`.
const SHOWN: usize = 20;

/// Arguments of `status`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Name of the Orchestra.
    #[arg(add = ArgValueCandidates::new(complete::orchestras))]
    pub name: String,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: TextFormat,
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
        TextFormat::Text => text(&tenant, events.is_err()),
        TextFormat::Json => output::json(&tenant)?,
        TextFormat::Yaml => output::yaml(&tenant)?,
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

fn state(tenant: &Tenant) -> String {
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
        ("State", Some(state(tenant))),
        ("Available", Some(if tenant.available { "yes" } else { "no" }.into())),
        ("Class", tenant.class.clone()),
        ("Database", tenant.database.clone()),
        ("Project", project),
        ("Cost", tenant.cost.as_ref().map(|cost| format!("{cost} a month"))),
        ("Backups", tenant.backups.as_ref().and_then(own_backups)),
        ("Provider's", tenant.backups.as_ref().and_then(provider_backups)),
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

/// The backups by schedule.
fn own_backups(known: &ScheduledBackups) -> Option<String> {
    let last = known
        .recovery_point_time
        .as_ref()
        .map(|at| format!("the newest complete one of {}", time(at.0)));
    let next = known
        .next_time
        .as_ref()
        .map(|at| format!("the next one at {}", time(at.0)));
    let cost = known.estimate.as_ref().map(|estimate| {
        let stored = size(estimate.stored_bytes_in_all);
        let price = estimate.monthly.as_ref().zip(estimate.currency.as_ref());
        let price = price.map_or_else(String::new, |(monthly, currency)| {
            format!(", {monthly} {currency} a month")
        });
        format!(
            "estimated: {stored} stored, {} sent a month{price}",
            size(estimate.sent_bytes_a_month)
        )
    });
    let facts: Vec<_> = [last, next, cost].into_iter().flatten().collect();
    (!facts.is_empty()).then(|| facts.join("; "))
}

/// The backups that the provider makes by itself.
pub fn provider_backups(known: &ScheduledBackups) -> Option<String> {
    let provider = known.provider.as_ref()?;
    let kept = provider.retention_days.map(|days| format!("kept for {days} days"));
    let ends = provider.earliest_time.as_ref().zip(provider.latest_time.as_ref());
    let count = if provider.point_in_time {
        "to any point in time".to_owned()
    } else if provider.count == 0 {
        "no backup".to_owned()
    } else {
        format!("{} backups", provider.count)
    };
    let span = ends.map(|(first, last)| format!("from {} to {}", time(first.0), time(last.0)));
    let facts: Vec<_> = [Some(count), span, kept].into_iter().flatten().collect();
    Some(format!("{}; deleted with the project", facts.join(", ")))
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
