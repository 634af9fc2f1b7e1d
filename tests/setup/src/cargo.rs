//! Cargo's part, side by side with the programs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::progress::Task;
use crate::watched;

/// A build may take this long.
const LIMIT: Duration = Duration::from_hours(2);

/// Runs cargo in the project's folder with its output in a file.
///
/// # Errors
/// When the build fails; the end of its output is in the error.
pub fn run(project: &Path, arguments: &[&str], log: &Path, task: &Task) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(arguments)
        .current_dir(project)
        // Its bar says how many units there are, which nothing else does.
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "100");
    watched::run(&mut command, (log, None), LIMIT, |said| {
        let (done, total) = units(said).map_or((0, None), |(done, total)| (done, Some(total)));
        task.set("compiling", done, total);
    })
}

/// The last `12/345` of cargo's bar, which is drawn over itself.
fn units(said: &str) -> Option<(u64, u64)> {
    said.rsplit(['\r', '\n'])
        .filter(|line| line.contains("Building"))
        .find_map(|line| {
            let (_, rest) = line.split_once("] ")?;
            let (done, rest) = rest.split_once('/')?;
            let total = rest.split(|digit: char| !digit.is_ascii_digit()).next()?;
            Some((done.trim().parse().ok()?, total.parse().ok()?))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_bar_is_read() {
        let said = "   Compiling tokio v1\n    Building [=>       ] 12/345: tokio, serde\r    Building [==>      ] 13/345: url  \r";
        assert_eq!(units(said), Some((13, 345)));
        assert_eq!(units("   Compiling tokio v1\n"), None);
    }
}
