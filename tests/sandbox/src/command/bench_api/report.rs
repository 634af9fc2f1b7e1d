//! The numbers, and the table.

use std::time::Duration;

use orchestra_sandbox::api::Operation;

use super::calls::Calls;
use super::{Arguments, REAL_WINDOW};
use crate::command::tenants::Ready;
use crate::command::usage::Usage;

/// One measurement.
#[derive(Debug)]
pub(super) struct Row {
    count: usize,
    calls: Calls,
    took: Duration,
    least: Duration,
    /// From the first creation to the last one.
    creating: Duration,
    /// Median and longest time from applied to Ready.
    waits: [Duration; 2],
    /// The same if every Orchestra had been Ready at the earliest time for its place.
    ideal: [Duration; 2],
    /// How many places an Orchestra was Ready before or after its turn, at most.
    out_of_turn: usize,
    queued: usize,
    stalled: usize,
    /// While idle: list calls for each resync, and calls that speak of one project.
    idle_lists: f64,
    idle_calls: usize,
    used: Usage,
}

impl Row {
    pub(super) fn new(
        arguments: &Arguments,
        count: usize,
        ready: &Ready,
        calls: Calls,
        idle: &Calls,
        used: Usage,
    ) -> Self {
        let waits = ready.tenants.iter().map(|(applied, ready)| *ready - *applied);
        let lists = idle.count(Operation::ListOrganizationProjects);
        Self {
            count,
            creating: calls.creating,
            calls,
            took: ready.took(),
            least: arguments.least(count.saturating_sub(1)),
            waits: median_and_most(waits.collect()),
            ideal: median_and_most((0..count).map(|place| arguments.least(place)).collect()),
            out_of_turn: out_of_turn(ready),
            queued: ready.queued,
            stalled: ready.stalled,
            idle_lists: as_float(lists) / f64::from(arguments.idle.max(1)),
            idle_calls: idle.of_projects(),
            used,
        }
    }

    fn calls_each(&self, operation: Operation) -> f64 {
        as_float(self.calls.count(operation)) / as_float(self.count)
    }
}

fn median_and_most(mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort_unstable();
    let at = |place: usize| times.get(place).copied().unwrap_or_default();
    [at(times.len() / 2), at(times.len().saturating_sub(1))]
}

fn out_of_turn(ready: &Ready) -> usize {
    let mut order: Vec<_> = ready.tenants.iter().map(|(_, ready)| *ready).enumerate().collect();
    order.sort_by_key(|(_, ready)| *ready);
    let distances = order.iter().enumerate().map(|(place, (due, _))| place.abs_diff(*due));
    distances.max().unwrap_or_default()
}

/// Prints the table as Markdown.
pub(super) fn print(arguments: &Arguments, rows: &[Row]) {
    let speed = REAL_WINDOW.as_secs_f64() / arguments.window().as_secs_f64();
    println!(
        "Limit {} per {} s and endpoint and scope ({speed}× the real pace), set-up of a project {:.1?}, resync {} s\n",
        arguments.limit,
        arguments.window,
        arguments.setup(),
        arguments.resync,
    );
    let line = |name: &str, cell: &dyn Fn(&Row) -> String| {
        let cells: Vec<_> = rows.iter().map(cell).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    line("Orchestras at once", &|row| row.count.to_string());
    println!("|---|{}", "---:|".repeat(rows.len()));
    for (name, operation) in [
        ("create", Operation::CreateProject),
        ("health", Operation::Health),
        ("pooler", Operation::PoolerConfig),
        ("keys", Operation::ListKeys),
        ("list", Operation::ListOrganizationProjects),
    ] {
        line(&format!("calls for each: {name}"), &|row| {
            format!("{:.3}", row.calls_each(operation))
        });
    }
    line("calls for each: all", &|row| {
        format!("{:.3}", as_float(row.calls.total()) / as_float(row.count))
    });
    line("429s before the first answer", &|row| row.calls.refused[0].to_string());
    line("429s after it", &|row| row.calls.refused[1].to_string());
    line("all Ready after", &|row| format!("{:.1} s", row.took.as_secs_f64()));
    line("least time", &|row| format!("{:.1} s", row.least.as_secs_f64()));
    line("first to last creation", &|row| {
        format!("{:.1} s", row.creating.as_secs_f64())
    });
    line("all Ready after, of the least time", &|row| ratio(row.took, row.least));
    line("wait: median", &|row| format!("{:.1} s", row.waits[0].as_secs_f64()));
    line("wait: longest", &|row| format!("{:.1} s", row.waits[1].as_secs_f64()));
    line("longest/median", &|row| ratio(row.waits[1], row.waits[0]));
    line("longest/median, ideal", &|row| ratio(row.ideal[1], row.ideal[0]));
    line("most places out of turn", &|row| row.out_of_turn.to_string());
    line("seen in phase Queued", &|row| row.queued.to_string());
    line("ever Stalled", &|row| row.stalled.to_string());
    line("idle: list calls for each resync", &|row| {
        format!("{:.1}", row.idle_lists)
    });
    line("idle: calls for single projects", &|row| row.idle_calls.to_string());
    line("operator: processor time", &|row| format!("{:.1} s", row.used.cpu));
    line("operator: most memory", &|row| format!("{:.0} MiB", row.used.peak));
}

fn ratio(part: Duration, whole: Duration) -> String {
    format!("{:.2}", part.as_secs_f64() / whole.as_secs_f64())
}

fn as_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
