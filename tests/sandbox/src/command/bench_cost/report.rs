//! The numbers, and the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use orchestra_sandbox::control_plane::Request;

use super::Arguments;
use super::traffic::{counts, is_lease};
use crate::command::usage::Usage;

/// What one run has cost.
pub(super) struct Cost {
    pub(super) scripts: u32,
    pub(super) tenants: u32,
    /// From the first Orchestra that was applied to the last that was Ready.
    pub(super) took: Duration,
    /// What the operator sent from the first Orchestra until it was settled.
    pub(super) requests: Vec<Request>,
    pub(super) operator: Usage,
    pub(super) api_server: Usage,
    pub(super) restart: Restart,
}

/// What a restarted operator costs while nothing changes.
pub(super) struct Restart {
    /// From its start until it is settled, two resyncs included.
    pub(super) requests: Vec<Request>,
    pub(super) memory: Usage,
}

impl Restart {
    /// Writes, leases apart.
    pub(super) fn writes(&self) -> impl Iterator<Item = &Request> {
        self.requests
            .iter()
            .filter(|request| counts(request) && request.is_write())
    }
}

/// A line of the table: resource and verb.
type Line = (String, String);

impl Cost {
    /// Requests of each line, by HTTP status.
    fn lines(&self) -> BTreeMap<Line, BTreeMap<u16, usize>> {
        let mut lines = BTreeMap::<Line, BTreeMap<u16, usize>>::new();
        for request in self.requests.iter().filter(|request| counts(request)) {
            let line = (request.resource.clone(), request.verb.clone());
            *lines.entry(line).or_default().entry(request.code).or_default() += 1;
        }
        lines
    }

    /// Requests for each tenant, leases and watches apart.
    pub(super) fn requests_each(&self) -> f64 {
        self.each(self.total(counts))
    }

    fn each(&self, count: usize) -> f64 {
        as_float(count) / f64::from(self.tenants)
    }

    /// A cell: requests for each tenant, and how many of them were refused.
    fn cell(&self, line: &Line) -> String {
        let codes = self.lines().remove(line).unwrap_or_default();
        let mut cell = format!("{:.2}", self.each(codes.values().sum()));
        for (code, count) in codes.range(400..) {
            // Writing to a string cannot fail.
            let _ = write!(cell, ", {:.2} of them {code}", self.each(*count));
        }
        cell
    }

    fn total(&self, is: impl Fn(&Request) -> bool) -> usize {
        self.requests.iter().filter(|request| is(request)).count()
    }

    fn for_each_renewal(&self) -> f64 {
        let renewals = self.total(|request| is_lease(request) && request.is_write() && request.code < 400);
        as_float(self.total(is_lease)) / as_float(renewals)
    }

    fn milliseconds(&self, usage: &Usage) -> f64 {
        usage.cpu * 1000.0 / f64::from(self.tenants)
    }
}

/// Prints the table as Markdown, and each write after a restart below it.
pub(super) fn print(arguments: &Arguments, costs: &[Cost]) {
    println!("{} tenants at once\n", arguments.tenants);
    let row = |name: &str, cell: &dyn Fn(&Cost) -> String| {
        let cells: Vec<_> = costs.iter().map(cell).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    row("requests a tenant", &|cost| match cost.scripts {
        0 => "no scripts".to_owned(),
        scripts => format!("{scripts} scripts"),
    });
    println!("|---|{}", "---:|".repeat(costs.len()));
    let lines: BTreeSet<_> = costs.iter().flat_map(|cost| cost.lines().into_keys()).collect();
    for line in &lines {
        row(&format!("{}: {}", line.0, line.1), &|cost| cost.cell(line));
    }
    row("**all**, leases and watches apart", &|cost| {
        format!("**{:.2}**", cost.requests_each())
    });
    row("leases: requests for each renewal", &|cost| {
        format!("{:.2}", cost.for_each_renewal())
    });
    row("watches begun, of all tenants together", &|cost| {
        cost.total(|request| request.verb == "watch").to_string()
    });
    usage(&row);
    let writes = costs.iter().flat_map(|cost| cost.restart.writes());
    for Request {
        resource, verb, name, ..
    } in writes
    {
        println!("\nwritten after the restart: {verb} {resource} {name}");
    }
}

/// The lines about processor time, memory and the restart.
fn usage(row: &impl Fn(&str, &dyn Fn(&Cost) -> String)) {
    row("operator: processor time a tenant", &|cost| {
        format!("{:.0} ms", cost.milliseconds(&cost.operator))
    });
    row("API server: processor time a tenant", &|cost| {
        format!("{:.0} ms", cost.milliseconds(&cost.api_server))
    });
    row("operator: most memory", &|cost| {
        format!("{:.0} MiB", cost.operator.peak)
    });
    row("operator: memory after a restart", &|cost| {
        format!("{:.0} MiB", cost.restart.memory.resident)
    });
    row("after a restart and two resyncs: requests", &|cost| {
        cost.restart
            .requests
            .iter()
            .filter(|request| counts(request))
            .count()
            .to_string()
    });
    row("of them writes", &|cost| cost.restart.writes().count().to_string());
    row("all Ready after", &|cost| format!("{:.1} s", cost.took.as_secs_f64()));
}

fn as_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
