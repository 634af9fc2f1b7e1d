//! The docs: what they link to is there, what they show is accepted, what they say to type works.
//!
//! The info string of a block begins with its language. `yaml` blocks are objects, or parts of the spec of one of our kinds.
//! `sh` blocks are commands, and so are the lines of a `console` block that begin with `$ `. A block with the further word
//! `not-run` is only parsed, and so is one with `run-by=FILE`, which the test in that file takes from the page and runs.

mod commands;
mod demo;
mod judged;
mod kustomization;
mod links;
mod named;
mod place;
mod server;

pub use server::the_api_server_takes_what_the_docs_say;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::project;

/// The further word of a block that is only parsed.
const NOT_RUN: &str = "not-run";
/// What begins the further word of a block that another test runs.
const RUN_BY: &str = "run-by=";

/// A page, and what a test looks at.
#[derive(Default)]
pub struct Page {
    /// Below the project.
    path: PathBuf,
    blocks: Vec<Block>,
    /// Line and target.
    links: Vec<(usize, String)>,
    /// What a link to a heading names behind `#`.
    anchors: BTreeSet<String>,
    /// Line and text of code within a sentence.
    code: Vec<(usize, String)>,
}

/// A fenced block.
pub struct Block {
    /// Line of its fence.
    line: usize,
    language: String,
    is_run: bool,
    /// File of the test that runs it.
    run_by: Option<String>,
    text: String,
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut page = Self {
            path: path.strip_prefix(project()).unwrap().to_owned(),
            ..Self::default()
        };
        let (mut heading, mut fence) = (None::<String>, None::<Block>);
        for (event, range) in Parser::new_ext(&text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = text[..range.start].matches('\n').count() + 1;
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    let info = match kind {
                        CodeBlockKind::Fenced(info) => info.to_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    let mut words = info.split_whitespace();
                    let language = words.next().unwrap_or_default().to_owned();
                    let further: Vec<_> = words.collect();
                    let run_by = further.iter().find_map(|word| word.strip_prefix(RUN_BY));
                    fence = Some(Block {
                        line,
                        language,
                        is_run: run_by.is_none() && !further.contains(&NOT_RUN),
                        run_by: run_by.map(ToOwned::to_owned),
                        text: String::new(),
                    });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(fence.take()),
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => page.anchor(&heading.take().unwrap_or_default()),
                Event::Start(Tag::Link { dest_url, .. }) => page.links.push((line, dest_url.to_string())),
                Event::Text(part) => match (&mut fence, &mut heading) {
                    (Some(block), _) => block.text.push_str(&part),
                    (None, Some(heading)) => heading.push_str(&part),
                    (None, None) => {}
                },
                Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                    page.code.push((line, part.to_string()));
                }
                _ => {}
            }
        }
        page
    }

    /// As GitHub and mdBook name a heading.
    fn anchor(&mut self, heading: &str) {
        let kept = heading
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        let name = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let numbered = |number: usize| match number {
            0 => name.clone(),
            _ => format!("{name}-{number}"),
        };
        let free = (0..=self.anchors.len())
            .map(numbered)
            .find(|it| !self.anchors.contains(it));
        self.anchors.extend(free);
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

/// The README, and every page of docs/.
fn pages() -> Vec<Page> {
    let mut files = vec![project().join("README.md")];
    let mut folders = vec![project().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    files.sort();
    files.iter().map(|file| Page::read(file)).collect()
}

#[test]
fn a_page_is_read() {
    let folder = project().join("docs");
    let page = Page::read(&folder.join("getting-started.md"));
    assert!(page.anchors.contains("the-smallest-orchestra"), "{:?}", page.anchors);
    assert!(
        page.blocks
            .iter()
            .any(|block| block.language == "yaml" && block.text.contains("spec: {}"))
    );
    assert!(page.links.iter().any(|(_, to)| to == "../deploy/samples/minimal.yaml"));
}

#[test]
fn a_block_that_another_test_runs_is_in_a_page_that_the_test_reads() {
    let mut seen = 0;
    for page in pages() {
        for block in &page.blocks {
            let Some(file) = &block.run_by else { continue };
            let test = fs::read_to_string(project().join(file)).unwrap_or_default();
            let read = page.path.display().to_string();
            assert!(
                test.contains(&read),
                "{}: {file} does not read {read}",
                page.at(block.line)
            );
            seen += 1;
        }
    }
    assert!(seen > 0);
}
