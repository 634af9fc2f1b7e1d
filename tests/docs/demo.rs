//! What the demo prints, as a page shows it: each heading is one that the demo prints.

use std::fs;

use super::{Page, project};

/// What begins the line of a heading.
const HEADING: &str = "== ";

/// The headings in a file of the demo: the texts of `headline("…")`, each up to what is filled in.
fn printed(file: &str) -> Vec<String> {
    let text = fs::read_to_string(project().join("tests/sandbox/src/command").join(file)).unwrap();
    let calls = text.split("headline(").skip(1);
    let texts = calls.filter_map(|call| {
        let text = call.trim_start_matches("&format!(").strip_prefix('"')?;
        Some(text.split(['"', '{']).next().unwrap_or_default().to_owned())
    });
    texts.collect()
}

#[test]
fn the_shown_demo_has_the_headings_of_the_demo() {
    let page = Page::read(&project().join("docs/getting-started.md"));
    let block = page
        .blocks
        .iter()
        .find(|block| block.language == "console" && block.text.starts_with("$ make demo\n"))
        .unwrap();
    let lines = block.text.lines().filter_map(|line| line.strip_prefix(HEADING));
    let shown: Vec<_> = lines.collect();
    let printed = [printed("demo.rs"), printed("demo/story.rs")].concat();
    assert!(printed.len() >= 10, "{printed:?}");
    for heading in &shown {
        let is = |printed: &String| heading.starts_with(printed.as_str());
        assert!(printed.iter().any(is), "the demo does not print {HEADING}{heading}");
    }
    for needed in ["Neither tenant's login", "The web console", "All done"] {
        assert!(
            shown.iter().any(|heading| heading.starts_with(needed)),
            "{needed}: {shown:?}"
        );
    }
}
