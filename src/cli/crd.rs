//! `orchestra-operator crd`: prints the CustomResourceDefinitions.

use std::path::PathBuf;

use anyhow::Context as _;

use super::output::say;
use crate::api;
use crate::views::reference;

/// Flags of `orchestra-operator crd`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Write one file for each definition into this folder instead of printing them.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Print the API reference (docs/api.md) instead: every field with its type, limits, rules and description.
    #[arg(long, conflicts_with = "output")]
    pub docs: bool,
}

/// Prints the definitions, or writes them to files.
///
/// # Errors
/// When a file or standard output cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.docs {
        return say(reference::markdown()?.trim_end());
    }
    let documents = api::crd_documents()?;
    let Some(folder) = &arguments.output else {
        let all: Vec<_> = documents.values().map(|document| format!("---\n{document}")).collect();
        return say(all.concat().trim_end());
    };
    for (file, document) in documents {
        let path = folder.join(file);
        std::fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
