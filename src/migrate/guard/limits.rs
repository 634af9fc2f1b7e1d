//! The limits within which code is judged: its depth, and its total size.

use std::sync::Arc;

use super::finding::FindingKind;
use super::judge::Judge;

/// How deep code may call code.
const DEEPEST: usize = 16;

/// Judges code within the limits: each text once in a chain of calls, up to a depth, and up to a total size.
pub fn run(judge: &mut Judge<'_>, text: &Arc<str>, label: &str, judges: impl Fn(&mut Judge<'_>)) {
    // The text is compared with those before.
    if !judge.known.code.allowance.work(1 + text.len() / 64) {
        return;
    }
    if judge.active.contains(text) || judge.was_judged(text) {
        return;
    }
    if judge.active.len() >= DEEPEST || !judge.spend(text.len()) {
        judge.find(
            FindingKind::Opaque,
            "",
            format!("{label}, beyond the size of code that is analysed"),
        );
        return;
    }
    let outermost = judge.label.is_none();
    if outermost {
        judge.label = Some(label.to_owned());
    }
    judge.active.push(text.clone());
    let elsewhere = judge.known.elsewhere;
    judges(judge);
    // In a loop, a new search path also applies to the statements before it.
    if judge.known.elsewhere && !elsewhere {
        judges(judge);
    }
    judge.active.pop();
    if outermost {
        judge.label = None;
    }
}
