//! What a process has used, as the kernel tells it.

use anyhow::{Context, Result};

/// Processor time and memory of a process so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Seconds of processor time, in steps of a hundredth.
    pub(crate) cpu: f64,
    /// The same, of its children that have ended.
    pub(crate) ended: f64,
    /// The most memory that it had, in MiB (`VmHWM`).
    pub(crate) peak: f64,
    /// The memory that it has now, in MiB (`VmRSS`).
    pub(crate) resident: f64,
}

impl Usage {
    /// Reads it from /proc.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}"));
        let stat = read("stat").with_context(|| format!("process {process} has ended"))?;
        // After the name in brackets: fields 14 and 15 of proc(5) are user and system time, and 16 and 17 those of children.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok());
        let status = read("status")?;
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
            kib.unwrap_or_default() / 1024.0
        };
        let seconds = |first: usize| (ticks(first).unwrap_or_default() + ticks(first + 1).unwrap_or_default()) / 100.0;
        Ok(Self {
            cpu: seconds(14),
            ended: seconds(16),
            peak: mebibytes("VmHWM:"),
            resident: mebibytes("VmRSS:"),
        })
    }

    /// The processor time since `before`, and the memory of now.
    pub(crate) fn since(self, before: &Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            ended: self.ended - before.ended,
            ..self
        }
    }
}
