//! The program `orchestra-backup`, which the pods of backups run.

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestra_operator::cli::job::main()
}
