//! `kubectl orchestra bill`.

use clap_complete::engine::ArgValueCandidates;

use super::complete;
use super::scope::Scope;
use crate::cli::bill::{self, ByFlag};
use crate::cli::output::Output;
use crate::money::charged::Month;

/// Arguments of `bill`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// What one row represents.
    #[arg(long, value_enum, default_value_t)]
    pub by: ByFlag,
    /// Only databases of this class.
    #[arg(long, add = ArgValueCandidates::new(complete::classes))]
    pub class: Option<String>,
    /// One row for all databases of the Orchestras with the same value of this label, such as a cost centre.
    #[arg(long, value_name = "LABEL", conflicts_with = "by")]
    pub by_label: Option<String>,
    /// A month that is over, as the ledger has closed it: 2026-11. Omitted: the current month.
    #[arg(long, conflicts_with = "by_label")]
    pub month: Option<Month>,
    /// CSV with the columns of FOCUS 1.2: one charge for each hosted project.
    #[arg(long, conflicts_with_all = ["by", "by_label", "output"])]
    pub focus: bool,
    /// Namespace of the operator, which holds the ledger.
    #[arg(long, default_value = "orchestra-system")]
    pub operator_namespace: String,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// The bill of all namespaces, or of the one that a flag names.
///
/// # Errors
/// When the cluster cannot be read.
pub async fn run(scope: &Scope, arguments: &Arguments) -> anyhow::Result<String> {
    let arguments = bill::Arguments {
        by: arguments.by,
        class: arguments.class.clone(),
        namespace: scope.is_named.then(|| scope.namespace.clone()),
        by_label: arguments.by_label.clone(),
        month: arguments.month,
        focus: arguments.focus,
        operator_namespace: arguments.operator_namespace.clone(),
        output: arguments.output,
    };
    bill::run(&scope.client, &arguments).await
}
