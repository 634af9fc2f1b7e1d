//! Commands of the docs: ours are parsed by the command line itself, and `make` has the targets.

use clap::Parser as _;
use clap::error::ErrorKind;
use orchestra_operator::cli::CommandLine;
use orchestra_operator::cli::plugin::Plugin;

use super::{pages, project};

/// What begins one of our commands.
const OURS: [(&str, &str); 2] = [
    ("orchestra-operator ", "orchestra-operator"),
    ("kubectl orchestra ", "kubectl-orchestra"),
];

/// Why our command line would refuse these words, the program's name being the first.
pub fn refusal(words: &[String]) -> Option<clap::Error> {
    let shows_help = |error: &clap::Error| {
        matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        )
    };
    let error = match words.first().map(String::as_str) {
        Some("kubectl-orchestra") => Plugin::try_parse_from(words).err(),
        _ => CommandLine::try_parse_from(words).err(),
    };
    error.filter(|error| !shows_help(error))
}

/// Why `make` would refuse these words.
pub fn missing_target(words: &[String]) -> Option<String> {
    let makefile = std::fs::read_to_string(project().join("Makefile")).unwrap();
    let is_target = |word: &str| makefile.lines().any(|line| line.starts_with(&format!("{word}:")));
    let mut targets = words
        .iter()
        .filter(|word| !word.contains('=') && !word.starts_with('-'));
    targets
        .find(|word| !is_target(word))
        .map(|word| format!("make has no target {word}"))
}

#[test]
fn commands_within_sentences_are_parsed() {
    let mut wrong = Vec::new();
    for page in pages() {
        for (line, code) in &page.code {
            let ours = OURS.iter().find_map(|(begins, program)| {
                let rest = code.strip_prefix(begins)?;
                Some((rest, program))
            });
            if let Some((rest, program)) = ours {
                let mut words = vec![(*program).to_owned()];
                // Words for omitted or repeated parts.
                words.extend(rest.split_whitespace().filter(|word| *word != "…").map(str::to_owned));
                let error = refusal(&words).filter(|error| error.kind() != ErrorKind::MissingRequiredArgument);
                wrong.extend(error.map(|error| format!("{}: {code}: {error}", page.at(*line))));
            }
            if let Some(rest) = code.strip_prefix("make ") {
                let words: Vec<_> = rest.split_whitespace().map(str::to_owned).collect();
                wrong.extend(missing_target(&words).map(|why| format!("{}: {why}", page.at(*line))));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
