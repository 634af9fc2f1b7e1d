//! The program `orchestra-operator`, which is `kubectl-orchestra` as well.

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestra_operator::cli::main()
}
