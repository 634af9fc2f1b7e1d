//! What the demo prints.

use std::process::Output;

use anyhow::{Result, ensure};
use orchestra_sandbox::World;

/// A step begins.
pub(super) fn headline(text: &str) {
    println!("\n== {text}");
}

/// A remark.
pub(super) fn say(text: &str) {
    println!("   {text}");
}

/// Shows a kubectl command as a user types it, runs it, and shows what it prints.
pub(super) fn kubectl(world: &World, arguments: &[&str]) -> Result<String> {
    kubectl_as(world, arguments, arguments)
}

/// Like [`kubectl`], where files have shorter names on the screen.
pub(super) fn kubectl_as(world: &World, arguments: &[&str], shown: &[&str]) -> Result<String> {
    let shown: Vec<_> = shown.iter().map(|word| quoted(word)).collect();
    println!("   $ kubectl {}", shown.join(" "));
    let Output { status, stdout, stderr } = world.plane.kubectl(arguments).output()?;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    ensure!(status.success(), "kubectl {}: {stderr}", shown.join(" "));
    indented(&stdout);
    indented(&stderr);
    Ok(stdout.into_owned())
}

/// Lines below a command.
pub(super) fn indented(text: &str) {
    for line in text.lines() {
        println!("{}", format!("     {line}").trim_end());
    }
}

/// Rows below their headings, in columns as wide as needed.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<_> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        indented(&padded.join("   "));
    };
    line(headings.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
}

fn quoted(word: &str) -> String {
    if word.contains(['{', '*', ' ', '$']) {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}
