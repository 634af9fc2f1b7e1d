//! Completion: the script of each shell, and the names that the cluster has.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::engine::{CompletionCandidate, complete};
use clap_complete::env::Shells;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::{Flags, Plugin, Scope};
use crate::api::{Orchestra, OrchestraBackup, OrchestraClass, OrchestraDatabase};

/// Name of the program, and of the variable that asks it for completions.
const PROGRAM: &str = "kubectl-orchestra";
const VARIABLE: &str = "COMPLETE";

/// How long a person who presses a key waits for the cluster.
const PATIENCE: Duration = Duration::from_secs(3);

/// The most names that are offered.
const MOST: u32 = 500;

/// Completes and ends the process when a shell asks for it.
pub fn answer() {
    clap_complete::CompleteEnv::with_factory(Plugin::command)
        .bin(PROGRAM)
        .complete();
}

/// The script that makes a shell ask this program for completions.
///
/// # Errors
/// When the shell is not known.
pub fn script(shell: &str) -> anyhow::Result<String> {
    let shells = Shells::builtins();
    let shell = shells
        .completer(shell)
        .with_context(|| format!("unknown shell {shell}"))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    Ok(String::from_utf8(script)?)
}

/// The answer to kubectl, which asks the program `kubectl_complete-orchestra` in the way of its own completion: a line for
/// each candidate, and the directive that files are not offered (4, `ShellCompDirectiveNoFileComp` of Cobra).
pub fn for_kubectl(words: impl IntoIterator<Item = OsString>) -> String {
    let mut all = vec![OsString::from(PROGRAM)];
    all.extend(words);
    let last = all.len() - 1;
    let folder = std::env::current_dir().ok();
    let found = complete(&mut Plugin::command(), all, last, folder.as_deref()).unwrap_or_default();
    let mut answer = String::new();
    for candidate in found.iter().filter(|candidate| !candidate.is_hide_set()) {
        answer.push_str(&candidate.get_value().to_string_lossy());
        if let Some(help) = candidate.get_help() {
            let help = help.to_string();
            answer.push('\t');
            answer.push_str(help.lines().next().unwrap_or_default());
        }
        answer.push('\n');
    }
    answer + ":4\n"
}

/// The flags among the words that are being completed: they say which cluster is meant.
fn flags(words: impl IntoIterator<Item = OsString>) -> Flags {
    let mut flags = Flags::default();
    let mut words = words.into_iter().filter_map(|word| word.into_string().ok());
    while let Some(word) = words.next() {
        let (name, mut value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if matches!(name.as_str(), "-n" | "--namespace" | "--context" | "--kubeconfig") {
            value = value.or_else(|| words.next()).filter(|value| !value.is_empty());
        }
        match name.as_str() {
            "-n" | "--namespace" => flags.namespace = value,
            "--context" => flags.context = value,
            "--kubeconfig" => flags.kubeconfig = value.map(Into::into),
            _ => {}
        }
    }
    flags
}

/// What the cluster answers in time; else nothing is offered. A shell cannot show errors here.
fn ask<T, F>(question: impl FnOnce(Scope) -> F) -> Vec<T>
where
    F: Future<Output = anyhow::Result<Vec<T>>>,
{
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let answer = async {
        let scope = flags(std::env::args_os()).scope().await?;
        question(scope).await
    };
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, answer).await });
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

async fn listed<K>(api: Api<K>) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    Ok(api.list(&ListParams::default().limit(MOST)).await?.items)
}

fn candidates<K: Resource>(found: Vec<K>, help: impl Fn(&K) -> Option<String>) -> Vec<CompletionCandidate> {
    let one = |object: K| CompletionCandidate::new(object.name_any()).help(help(&object).map(Into::into));
    found.into_iter().map(one).collect()
}

/// The Orchestras of the namespace.
pub fn orchestras() -> Vec<CompletionCandidate> {
    let found = ask(|scope: Scope| async move { listed(scope.orchestras()).await });
    candidates(found, |object: &Orchestra| object.status.as_ref()?.phase.clone())
}

/// The backups of the namespace.
pub fn backups() -> Vec<CompletionCandidate> {
    let found =
        ask(|scope: Scope| async move { listed(Api::namespaced(scope.client.clone(), &scope.namespace)).await });
    candidates(found, |object: &OrchestraBackup| object.status.as_ref()?.phase.clone())
}

fn whole<K>(client: &Client) -> Api<K>
where
    K: Resource<DynamicType = ()>,
{
    Api::all(client.clone())
}

/// The classes.
pub fn classes() -> Vec<CompletionCandidate> {
    let found: Vec<OrchestraClass> = ask(|scope: Scope| async move { listed(whole(&scope.client)).await });
    candidates(found, |_| None)
}

/// The databases that deleted Orchestras left.
pub fn released() -> Vec<CompletionCandidate> {
    let found: Vec<OrchestraDatabase> = ask(|scope: Scope| async move { listed(whole(&scope.client)).await });
    let left = found.into_iter().filter(|database| database.spec.released_at.is_some());
    candidates(left.collect(), |database| database.status.as_ref()?.claim.clone())
}

/// The namespaces.
pub fn namespaces() -> Vec<CompletionCandidate> {
    let found: Vec<Namespace> = ask(|scope: Scope| async move { listed(whole(&scope.client)).await });
    candidates(found, |_| None)
}

/// The contexts of the kubeconfig.
pub fn contexts() -> Vec<CompletionCandidate> {
    let known = flags(std::env::args_os()).kubeconfig();
    let contexts = known.map(|known| known.contexts).unwrap_or_default();
    contexts
        .into_iter()
        .map(|context| CompletionCandidate::new(context.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_among_the_words_are_found() {
        let words = "kubectl-orchestra -- kubectl-orchestra status -n tenants --context=test --kubeconfig /a x";
        let found = flags(words.split(' ').map(Into::into));
        assert_eq!(found.namespace.as_deref(), Some("tenants"));
        assert_eq!(found.context.as_deref(), Some("test"));
        assert_eq!(found.kubeconfig.as_deref(), Some(std::path::Path::new("/a")));
        // The value is what is being completed.
        assert_eq!(flags(["status", "-n", ""].map(Into::into)).namespace, None);
    }

    #[test]
    fn every_shell_has_a_script_and_kubectl_an_answer() {
        for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
            let script = script(shell).unwrap_or_default();
            assert!(
                script.contains(PROGRAM) && script.contains(VARIABLE),
                "{shell}: {script}"
            );
        }
        assert!(script("tcsh").is_err());
        let answer = for_kubectl(["sta".into()]);
        assert!(answer.starts_with("status\tShow one Orchestra"), "{answer}");
        assert!(answer.ends_with(":4\n"), "{answer}");
    }
}
