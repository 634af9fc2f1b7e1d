//! The thread that owns the server's process.
//!
//! The kernel's parent death signal is sent when the *thread* that started the process ends, so
//! a thread that lives as long as the server starts it.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::install::{self, Account};

/// How the server is asked to stop (PostgreSQL manual, "Shutting Down the Server").
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    /// Ends the sessions and writes everything out.
    Fast,
    /// Leaves the data to crash recovery, for a server whose data nobody wants any more.
    Immediate,
}

impl Stop {
    fn signal(self) -> &'static str {
        match self {
            Self::Fast => "-INT",
            Self::Immediate => "-QUIT",
        }
    }
}

#[derive(Debug)]
pub(super) struct Keeper {
    orders: Sender<Stop>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Keeper {
    pub(super) fn start(
        bin: &Path,
        arguments: &[String],
        log: &Path,
        account: Option<Account>,
    ) -> anyhow::Result<Self> {
        let mut command = server_command(&bin.join("postgres"));
        let log = File::options().append(true).create(true).open(log)?;
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir("/");
        install::run_as(&mut command, account);
        let (orders, receiver) = mpsc::channel();
        let (report, started) = mpsc::channel();
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            match command.spawn() {
                Ok(child) => {
                    let _ = report.send(Ok(()));
                    keep(child, &receiver, &flag);
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
            }
            flag.store(true, Ordering::Release);
        });
        started.recv()?.context("PostgreSQL cannot be run")?;
        Ok(Self { orders, ended, thread })
    }

    /// Whether the process has ended by itself.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Stops the server and waits until it has.
    pub(super) fn stop(self, how: Stop) {
        let _ = self.orders.send(how);
        let _ = self.thread.join();
    }
}

/// Whether `setpriv` can send the server a signal when this process dies.
static DEATH_SIGNAL: LazyLock<bool> = LazyLock::new(|| {
    let tried = Command::new("setpriv")
        .args(["--pdeathsig", "SIGQUIT", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
});

fn server_command(server: &Path) -> Command {
    if *DEATH_SIGNAL {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "SIGQUIT"]).arg(server);
        command
    } else {
        Command::new(server)
    }
}

fn keep(mut child: Child, orders: &Receiver<Stop>, ended: &AtomicBool) {
    let how = loop {
        match orders.recv_timeout(Duration::from_millis(200)) {
            Ok(how) => break how,
            Err(RecvTimeoutError::Disconnected) => break Stop::Immediate,
            Err(RecvTimeoutError::Timeout) => {
                if !matches!(child.try_wait(), Ok(None)) {
                    ended.store(true, Ordering::Release);
                    return;
                }
            }
        }
    };
    let _ = Command::new("kill")
        .args([how.signal(), &child.id().to_string()])
        .status();
    let deadline = Instant::now() + Duration::from_secs(10);
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
