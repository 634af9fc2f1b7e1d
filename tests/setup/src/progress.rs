//! What is being done and how far it is: a bar for each task on a terminal, a line now and then elsewhere. All of it is on
//! standard error.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// How long nothing is said of a task where there is no terminal.
const PAUSE: Duration = Duration::from_secs(20);

/// The tasks that are shown now.
#[derive(Clone, Default)]
pub struct Progress {
    bars: MultiProgress,
}

impl Progress {
    /// Nothing is shown yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A further task.
    #[must_use]
    pub fn task(&self, name: &str) -> Task {
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        Task {
            bar,
            progress: self.clone(),
            name: name.to_owned(),
            began: Instant::now(),
            told: Mutex::new(Instant::now()),
        }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        self.bars.suspend(|| eprintln!("setup: {line}"));
    }

    fn is_drawn(&self) -> bool {
        !self.bars.is_hidden()
    }
}

/// One task, shown until it is dropped.
pub struct Task {
    bar: ProgressBar,
    progress: Progress,
    name: String,
    began: Instant,
    told: Mutex<Instant>,
}

impl Task {
    /// How far it is. Without a total, `done` is only counted.
    pub fn set(&self, what: &str, done: u64, total: Option<u64>) {
        let template = match total {
            Some(_) => "{prefix}: {msg} [{bar:30}] {pos}/{len} {elapsed}",
            None => "{spinner} {prefix}: {msg} {pos} {elapsed}",
        };
        self.show(what, template, done, total);
        let share = total.map_or_else(|| done.to_string(), |total| format!("{done} of {total}"));
        self.tell(&format!("{what} {share}"));
    }

    /// As [`Task::set`], of bytes.
    pub fn bytes(&self, what: &str, done: u64, total: Option<u64>) {
        let template = match total {
            Some(_) => "{prefix}: {msg} [{bar:30}] {bytes}/{total_bytes} {elapsed}",
            None => "{spinner} {prefix}: {msg} {bytes} {elapsed}",
        };
        self.show(what, template, done, total);
        self.tell(&format!("{what}, {} MiB", done >> 20));
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        self.progress.say(&format!("{}: {line}", self.name));
    }

    /// How long it has taken so far, in seconds.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    fn show(&self, what: &str, template: &str, done: u64, total: Option<u64>) {
        // The templates above are right: a wrong one leaves the spinner.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_message(what.to_owned());
        self.bar.set_position(done);
    }

    fn tell(&self, how_far: &str) {
        if self.progress.is_drawn() {
            return;
        }
        let mut told = self.told.lock();
        if told.elapsed() >= PAUSE {
            *told = Instant::now();
            self.say(&format!("{how_far}, after {} s", self.seconds()));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
