//! `orchestra-operator backups`: executes `orchestra-backup`, which contains the client of the stores.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::bail;

/// The program that reads stores.
const PROGRAM: &str = "orchestra-backup";

/// Arguments of `orchestra-operator backups`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Arguments of `orchestra-backup`, such as `list --from s3://backups/orchestras`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub arguments: Vec<OsString>,
}

/// Executes the other program in this process: the one beside this one, or else the one in `PATH`.
///
/// # Errors
/// When it cannot be started.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let own = std::env::current_exe().ok();
    let beside = own
        .and_then(|own| Some(own.parent()?.join(PROGRAM)))
        .filter(|path| path.is_file());
    let program = beside.unwrap_or_else(|| PROGRAM.into());
    let error = Command::new(program).args(&arguments.arguments).exec();
    bail!(
        "{PROGRAM}, which reads the stores of backups, cannot be started ({error}): put it beside this program or into PATH, or run \
         the image of backup Jobs, whose entry point it is, with these arguments"
    )
}
