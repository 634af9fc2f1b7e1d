//! `kill -9` of the operator after one write and the next, through a whole life: what was written is there, and the next
//! operator learns of it by itself.

use orchestra_sandbox::gate::{Gate, Point, Release};
use orchestra_sandbox::world::{Operator, World};
use serde_json::Value;

use crate::proof::soon;
use crate::support::kill;

/// A write at which the operator is killed: the begin of its label, a text of its path or body, and whether it has taken
/// place. What an operator leaves that dies after a write is what one leaves that dies before the next, unless it changes a
/// database between the two.
pub type Write<'a> = (&'a str, &'a str, Point);

/// The status of an `OrchestraBackup`.
pub const STATUS: &str = "PATCH orchestrabackups/status";

/// An operator behind the gate.
fn behind(world: &World, gate: &Gate, name: &str) -> Operator {
    let through = |command: &mut std::process::Command| {
        command.env("KUBECONFIG", gate.kubeconfig());
    };
    world.operator(name, through).unwrap()
}

/// Kills an operator at each of these writes about an object or its Jobs, one after the other, and returns the one that
/// runs afterwards. None runs before. `life` is part of the operators' names.
pub async fn at_each(world: &World, gate: &Gate, (life, object): (&str, &Value), writes: &[Write<'_>]) -> Operator {
    let subjects = ["name", "uid"].map(|field| object["metadata"][field].as_str().unwrap());
    for subject in subjects {
        gate.follow(subject);
    }
    for (number, (label, text, point)) in writes.iter().enumerate() {
        for subject in subjects {
            gate.hold_text(subject, label, text, *point);
        }
        let mut operator = behind(world, gate, &format!("{life}-{number}"));
        soon(&format!("{life}: {label} {text}"), async || {
            subjects.iter().any(|subject| gate.held(subject).is_some())
        })
        .await;
        kill(world, &mut operator);
        // What has not taken place never does.
        for subject in subjects {
            gate.release(subject, Release::Lose);
        }
    }
    behind(world, gate, &format!("{life}-after"))
}
