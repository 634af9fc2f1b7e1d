#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement};
use strum::IntoEnumIterator as _;

use super::*;

/// The variables of each message of a file.
fn messages(lang: Lang) -> BTreeMap<String, BTreeSet<String>> {
    let source =
        fluent_syntax::parser::parse(lang.source()).unwrap_or_else(|(_, errors)| panic!("{lang:?}: {errors:?}"));
    let mut found = BTreeMap::new();
    for entry in &source.body {
        match entry {
            Entry::Message(message) => {
                let mut variables = BTreeSet::new();
                of_pattern(message.value.as_ref().unwrap(), &mut variables);
                let name = message.id.name.to_owned();
                assert!(
                    found.insert(name.clone(), variables).is_none(),
                    "{lang:?}: {name} comes twice"
                );
            }
            Entry::Comment(_) | Entry::GroupComment(_) | Entry::ResourceComment(_) => {}
            other => panic!("{lang:?}: {other:?}"),
        }
    }
    found
}

fn of_pattern(pattern: &Pattern<&str>, variables: &mut BTreeSet<String>) {
    for element in &pattern.elements {
        match element {
            PatternElement::Placeable {
                expression: Expression::Inline(inline),
            } => of_inline(inline, variables),
            PatternElement::Placeable {
                expression: Expression::Select { selector, variants },
            } => {
                of_inline(selector, variables);
                for variant in variants {
                    of_pattern(&variant.value, variables);
                }
            }
            PatternElement::TextElement { .. } => {}
        }
    }
}

fn of_inline(inline: &InlineExpression<&str>, variables: &mut BTreeSet<String>) {
    if let InlineExpression::VariableReference { id } = inline {
        variables.insert(id.name.to_owned());
    }
}

#[test]
fn both_languages_have_the_same_messages_with_the_same_arguments() {
    let (english, swedish) = (messages(Lang::En), messages(Lang::Sv));
    for (key, variables) in &english {
        assert_eq!(swedish.get(key), Some(variables), "{key} in Swedish");
    }
    let more: Vec<_> = swedish.keys().filter(|key| !english.contains_key(*key)).collect();
    assert!(more.is_empty(), "only in Swedish: {more:?}");
}

fn files(below: &str, ending: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(below);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.to_string_lossy().ends_with(ending));
    files
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// What is between quotes after each of these beginnings.
fn after<'a>(text: &'a str, beginnings: &[&str]) -> Vec<&'a str> {
    let ends = |rest: &'a str| rest.split('"').next().unwrap();
    let all = beginnings
        .iter()
        .flat_map(|beginning| text.split(beginning).skip(1).map(ends).collect::<Vec<_>>());
    all.collect()
}

#[test]
fn every_message_that_is_asked_for_exists_and_every_one_is_asked_for() {
    let known = messages(Lang::En);
    let mut sources = files("templates/console", ".html");
    sources.extend(
        files("src/console", ".rs")
            .into_iter()
            .filter(|(path, _)| !path.ends_with("_tests.rs")),
    );
    assert!(sources.len() > 20, "the sources are found");
    let asked = [".say(\"", ".with(\"", ".count(\"", ".named(\"", ".find(\""];
    for (path, text) in &sources {
        for key in after(text, &asked) {
            assert!(known.contains_key(key), "{path} asks for {key}");
        }
    }
    let all: String = sources.into_iter().map(|(_, text)| text).collect();
    // Words of the cluster are put together from what it says.
    let made = [
        "state-",
        "phase-",
        "reason-",
        "stage-",
        "problem-",
        "nav-",
        "done-",
        "action-",
        "consequence-",
    ];
    for key in known
        .keys()
        .filter(|key| !made.iter().any(|made| key.starts_with(made)))
    {
        assert!(all.contains(&format!("\"{key}\"")), "nobody asks for {key}");
    }
}

#[test]
fn no_template_holds_bare_text() {
    for (path, text) in files("templates/console", ".html") {
        let mut rest = text;
        for (open, close) in [("{#", "#}"), ("{%", "%}"), ("{{", "}}")] {
            while let Some((before, inside)) = rest.split_once(open) {
                let (_, after) = inside
                    .split_once(close)
                    .unwrap_or_else(|| panic!("{path}: {open} without an end"));
                rest = format!("{before}{after}");
            }
        }
        for attribute in ["title=\"", "aria-label=\"", "placeholder=\"", "alt=\""] {
            for value in after(&rest, &[attribute]) {
                assert!(!value.contains(char::is_alphabetic), "{path}: {attribute}{value}");
            }
        }
        let mut bare = String::new();
        let mut inside = false;
        for character in rest.chars() {
            match character {
                '<' => inside = true,
                '>' => inside = false,
                other if !inside => bare.push(other),
                _ => {}
            }
        }
        let words: Vec<_> = bare
            .split_whitespace()
            .filter(|word| word.contains(char::is_alphabetic))
            .collect();
        assert!(words.is_empty(), "{path}: {words:?}");
    }
}

#[test]
fn the_language_is_the_chosen_one_or_else_what_the_browser_asks_for() {
    for (cookie, accepted, lang) in [
        ("", "", Lang::En),
        ("", "sv-SE,sv;q=0.9,en;q=0.8", Lang::Sv),
        ("", "de;q=1, en;q=0.3, sv;q=0.5", Lang::Sv),
        ("", "sv;q=0, en;q=0.1", Lang::En),
        ("orchestra-language=sv", "en", Lang::Sv),
        ("a=b; orchestra-language=en", "sv", Lang::En),
        ("orchestra-language=xx", "sv", Lang::Sv),
    ] {
        let headers = [(COOKIE, cookie), (ACCEPT_LANGUAGE, accepted)];
        let headers = headers.map(|(name, value)| (name, value.parse().unwrap()));
        assert_eq!(Lang::of(&headers.into_iter().collect()), lang, "{cookie} {accepted}");
    }
}

#[test]
fn numbers_in_messages_are_the_languages_own() {
    for (lang, text) in [(Lang::En, "10,000 tenants"), (Lang::Sv, "10\u{a0}000 kunder")] {
        assert_eq!(lang.count("fleet-count", 10_000), text);
    }
    assert_eq!(Lang::En.count("fleet-count", 1), "1 tenant");
    for lang in Lang::iter() {
        assert_eq!(lang.word("state", "Odd"), "Odd");
        assert_eq!(lang.say("missing-key"), "missing-key");
    }
}

#[test]
fn every_reason_and_action_has_its_words() {
    use crate::api::condition::Reason;
    use crate::console::actions::Action;

    for lang in Lang::iter() {
        for reason in Reason::iter() {
            assert!(
                lang.find(&format!("reason-{reason}"), &[]).is_some(),
                "{lang:?}: {reason}"
            );
        }
        for action in Action::iter().map(<&str>::from) {
            for of in ["action", "consequence", "done"] {
                assert!(
                    lang.find(&format!("{of}-{action}"), &[]).is_some(),
                    "{lang:?}: {of}-{action}"
                );
            }
        }
    }
}
