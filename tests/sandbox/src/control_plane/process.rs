//! Child processes that end with their owner.

use std::{
    collections::BTreeSet,
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use parking_lot::Mutex;
use rand::RngExt;

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// The thread that starts every child.
///
/// The parent death signal of Linux follows the *thread* that forked
/// (prctl(2), `PR_SET_PDEATHSIG`), so a child started from the thread of one test would die with that test.
static SPAWNER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
    let (jobs, queue) = mpsc::channel::<Job>();
    thread::spawn(move || {
        for (mut command, reply) in queue {
            let _ = reply.send(command.spawn());
        }
    });
    jobs
});

/// Lets a Go program collect garbage four times more seldom than by default. In an API server, that costs 100 MB of memory
/// and saves a fifth of the processor time of its start.
pub(super) fn collect_seldom(command: &mut Command) {
    command.env("GOGC", "400");
}

/// A running program, killed and reaped on drop.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `binary` with its output in `<dir>/<name>.log`.
    pub(crate) fn spawn(name: &'static str, binary: &Path, args: &[String], dir: &Path) -> Result<Self> {
        Self::spawn_with(name, binary, (args, dir), |_| {})
    }

    /// As [`Process::spawn`], with arguments and folder, and what else the program is started with.
    pub(super) fn spawn_with(
        name: &'static str,
        binary: &Path,
        (args, dir): (&[String], &Path),
        with: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = dying_with_parent(binary);
        command
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        with(&mut command);
        let (reply, answer) = mpsc::channel();
        SPAWNER
            .send((command, reply))
            .map_err(|_| anyhow!("the spawning thread is gone"))?;
        let child = answer.recv()?.with_context(|| format!("start {}", binary.display()))?;
        Ok(Self { name, log, child })
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of the log once the program has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}:\n{}", self.name, self.log_tail());
        }
        Ok(())
    }

    /// The last lines of the log.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `setpriv` of util-linux, where there is one, makes the kernel kill the child when we die without dropping it.
static SETPRIV: LazyLock<Option<PathBuf>> = LazyLock::new(|| orchestra_setup::cache::on_path("setpriv"));

/// Whether programs end with this process, also where nothing drops them.
pub(crate) fn dies_with_us() -> bool {
    SETPRIV.is_some()
}

fn dying_with_parent(binary: &Path) -> Command {
    match SETPRIV.as_ref() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
            command
        }
        None => Command::new(binary),
    }
}

/// A TCP port of 127.0.0.1 that nothing listens on now, and that this process has not had before: what it
/// was for may not listen yet.
///
/// It is below the range that systems give to outgoing connections (Linux: from 32768, `ip_local_port_range`),
/// one of which could otherwise take it before the program that it is for.
pub(crate) fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock();
    let mut random = rand::rng();
    for _ in 0..1000 {
        let port = random.random_range(10_000..32_000);
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!("no free port from 10000 to 31999")
}
