//! Links between pages, to headings and to files of the repository; the table of contents.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::{Page, pages, project};

/// Folders whose files a page names as code.
const FOLDERS: [&str; 4] = ["crds/", "deploy/", "docs/", "scripts/"];

/// A path without its `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

/// What a link leads to: a path below the project, and a heading.
fn target(page: &Page, link: &str) -> (PathBuf, Option<String>) {
    let (path, heading) = match link.split_once('#') {
        Some((path, heading)) => (path, Some(heading.to_owned())),
        None => (link, None),
    };
    let file = match path {
        "" => page.path.clone(),
        path => plain(&page.path.parent().unwrap().join(path)),
    };
    (file, heading)
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let anchors: BTreeMap<_, _> = pages.iter().map(|page| (&page.path, &page.anchors)).collect();
    let mut wrong = Vec::new();
    for page in &pages {
        for (line, link) in &page.links {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = target(page, link);
            let is_there = project().join(&file).exists()
                && heading.is_none_or(|heading| anchors.get(&file).is_some_and(|of| of.contains(&heading)));
            // The book has the pages of docs/ alone.
            let is_elsewhere = page.path.starts_with("docs")
                && file.extension().is_some_and(|extension| extension == "md")
                && !file.starts_with("docs");
            if !is_there || is_elsewhere {
                wrong.push(format!("{}: {link}", page.at(*line)));
            }
        }
        for (line, code) in &page.code {
            let is_path =
                FOLDERS.iter().any(|folder| code.starts_with(folder)) && !code.contains([' ', '…', '<', '*', '{']);
            let code_path = code.trim_end_matches('/');
            if is_path && !project().join(code_path).exists() {
                wrong.push(format!("{}: {code} is no file of the repository", page.at(*line)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_once_in_the_table_of_contents() {
    let pages = pages();
    let contents = pages.iter().find(|page| page.path.ends_with("SUMMARY.md")).unwrap();
    let mut listed = BTreeMap::<_, usize>::new();
    for (_, link) in &contents.links {
        *listed.entry(target(contents, link).0).or_default() += 1;
    }
    let wrong: Vec<_> = pages
        .iter()
        .filter(|page| page.path.starts_with("docs") && page.path != contents.path)
        .filter(|page| listed.get(&page.path) != Some(&1))
        .map(|page| {
            format!(
                "{} is {} times in docs/SUMMARY.md",
                page.path.display(),
                listed.get(&page.path).unwrap_or(&0)
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
