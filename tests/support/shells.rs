//! Shells that complete the words of `kubectl-orchestra`, where they are installed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The shells that are tried.
pub const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// The program of a shell; where there is none, that is said.
pub fn installed(shell: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders)
        .map(|folder| folder.join(shell))
        .find(|program| program.is_file());
    if found.is_none() {
        let why = format!("completion in {shell}: it is not installed (Debian, Ubuntu: apt-get install {shell})");
        orchestra_sandbox::left_out(&why);
    }
    found
}

/// What a shell (a program of [`installed`]) offers for the last of the words that follow `kubectl-orchestra`. It has the script
/// of `kubectl-orchestra completion`, and asks the program in this folder.
pub fn offered(shell: &Path, folder: &Path, kubeconfig: &Path, words: &[&str]) -> Vec<String> {
    let name = shell.file_name().and_then(|name| name.to_str()).unwrap();
    let line = format!("kubectl-orchestra {}", words.join(" "));
    let (option, script) = match name {
        "bash" => ("--norc", in_bash(&line, words)),
        "zsh" => ("--no-rcs", in_zsh(&line, words)),
        _ => (
            "--no-config",
            format!("kubectl-orchestra completion fish | source\ncomplete --do-complete '{line}'\n"),
        ),
    };
    let output = Command::new(shell)
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", folder)
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .args([option, "-c", &script])
        .output()
        .unwrap();
    let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success() && error.is_empty(), "{name}: {out}{error}");
    // A description follows a colon in zsh, and a tab in fish.
    let values = out
        .lines()
        .map(|line| line.split([':', '\t']).next().unwrap_or_default().trim_end());
    values
        .filter(|value| !value.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// The script registers a function, which reads the words and sets an array.
fn in_bash(line: &str, words: &[&str]) -> String {
    let (last, count) = (words.last().copied().unwrap_or_default(), words.len());
    format!(
        "source <(kubectl-orchestra completion bash)
        function=$(complete -p kubectl-orchestra | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_WORDS=({line}) COMP_CWORD={count} COMP_TYPE=9
        $function kubectl-orchestra '{last}' ''
        printf '%s\\n' \"${{COMPREPLY[@]}}\"
        "
    )
}

/// The script registers a function, which gives an array by its name to `_describe`. Both are part of zsh's completion, which
/// only a terminal has.
fn in_zsh(line: &str, words: &[&str]) -> String {
    format!(
        "compdef() {{ registered=$1 }}
        _describe() {{ print -rl -- ${{(P)@[$#]}} }}
        source <(kubectl-orchestra completion zsh)
        words=({line}) CURRENT={}
        $registered
        ",
        words.len() + 1
    )
}
