//! What is known of a command without running it: whether the program that it is for would take its words.

use std::fs;

use orchestra_sandbox::api::Rule;
use serde_json::Value;

use super::commands::{missing_target, refusal};
use super::{named, project};

/// Commands of helm that the docs have.
const OF_HELM: [&str; 5] = ["install", "upgrade", "uninstall", "test", "template"];

/// Why a command would be refused. None when nothing is known of it.
pub fn judged(words: &[String]) -> Option<Result<(), String>> {
    let (program, rest) = words.split_first()?;
    match program.as_str() {
        // It ran.
        "kubectl" => Some(Ok(())),
        "orchestra-operator" | "kubectl-orchestra" => {
            Some(refusal(words).map_or(Ok(()), |error| Err(error.to_string())))
        }
        "make" => Some(missing_target(rest).map_or(Ok(()), Err)),
        "helm" => Some(helm(rest)),
        "cargo" => cargo(rest),
        "curl" => curl(rest),
        _ => None,
    }
}

/// The word behind a flag.
fn value<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| word == flag)?;
    words.get(at + 1).map(String::as_str)
}

/// The chart is there, and has the values that are set.
fn helm(words: &[String]) -> Result<(), String> {
    let verb = words.first().map(String::as_str).unwrap_or_default();
    if !OF_HELM.contains(&verb) {
        return Err(format!("helm {verb} is not known to tests/docs/judged.rs"));
    }
    let charts = words.iter().filter(|word| word.starts_with("deploy/"));
    for chart in charts {
        if !project().join(chart).join("Chart.yaml").is_file() {
            return Err(format!("{chart} is no chart"));
        }
    }
    let schema = fs::read_to_string(project().join("deploy/chart/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    for pair in words.windows(2).filter(|pair| pair[0] == "--set") {
        let name = pair[1].split('=').next().unwrap_or_default();
        let mut part = &schema;
        // Below a value without properties of its own, anything goes.
        for key in name.split('.') {
            match part.get("properties") {
                None => break,
                Some(properties) => {
                    part = properties
                        .get(key)
                        .ok_or_else(|| format!("the chart has no value {name}"))?;
                }
            }
        }
    }
    Ok(())
}

/// The tests that `cargo test` names are there, and so is the subcommand of the sandbox with its flags.
fn cargo(words: &[String]) -> Option<Result<(), String>> {
    match words.first()?.as_str() {
        "test" => {
            let at = words.iter().position(|word| word == "--test")?;
            let test = words.get(at + 1..at + 3)?.join(" ");
            Some(if named::is_there(&test) {
                Ok(())
            } else {
                Err(format!("there is no test {test}"))
            })
        }
        "run" if value(words, "-p") == Some("orchestra-sandbox") => {
            let command = value(words, "--")?;
            let file = format!("tests/sandbox/src/command/{}.rs", command.replace('-', "_"));
            let text = fs::read_to_string(project().join(&file)).unwrap_or_default();
            let given = words.iter().skip_while(|word| *word != "--").skip(1);
            let mut flags = given.filter_map(|word| word.strip_prefix("--"));
            let unknown = flags.find(|flag| !text.contains(&format!("\n    {}: ", flag.replace('-', "_"))));
            Some(match unknown {
                _ if text.is_empty() => Err(format!("{file} is not there")),
                Some(flag) => Err(format!("{file} has no flag --{flag}")),
                None => Ok(()),
            })
        }
        _ => None,
    }
}

/// A rule that the stand-in for the Management API is given.
fn curl(words: &[String]) -> Option<Result<(), String>> {
    words.last().filter(|url| url.ends_with("/_sandbox/rules"))?;
    let rule = serde_json::from_str::<Rule>(value(words, "--json")?);
    Some(rule.map(drop).map_err(|error| format!("it is no rule: {error}")))
}

#[test]
fn what_a_program_would_refuse_is_noticed() {
    let is = |line: &str| {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        judged(&words).map(|judged| judged.is_ok())
    };
    for (line, expected) in [
        ("helm upgrade a deploy/chart --set console.enabled=true", Some(true)),
        ("helm upgrade a deploy/chart --set console.enable=true", Some(false)),
        ("helm upgrade a deploy/kustomize", Some(false)),
        ("helm repair a", Some(false)),
        ("cargo test --test stories isolation", Some(true)),
        ("cargo test --test stories nowhere", Some(false)),
        ("cargo build", None),
        (
            "cargo run -p orchestra-sandbox -- management-api --port 8900",
            Some(true),
        ),
        (
            "cargo run -p orchestra-sandbox -- management-api --door 8900",
            Some(false),
        ),
        (
            "curl --json {\"times\":3} http://127.0.0.1:8900/_sandbox/rules",
            Some(true),
        ),
        (
            "curl --json {\"time\":3} http://127.0.0.1:8900/_sandbox/rules",
            Some(false),
        ),
        ("orchestra-operator bill", Some(true)),
        ("kubectl-orchestra bills", Some(false)),
        ("psql -c x", None),
    ] {
        assert_eq!(is(line), expected, "{line}");
    }
}
