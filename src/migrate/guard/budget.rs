//! How much the guard remembers and does in one judgement, whatever the scripts make of it. It is spent on what an
//! author chooses: names, statements, the number of objects that a name can mean. What is not judged once it is spent may
//! do anything, and waits for a person ([`FindingKind::Unjudged`](super::FindingKind)).

use std::cell::Cell;

/// Bytes that are remembered, beside the scripts. Some ten thousand tables with keys take less.
const MEMORY: usize = 24 << 20;

/// Units of work. Each takes some tenths of a microsecond: an object that is looked at, or a byte that is parsed. A dump with
/// a hundred thousand rows, each in a statement of its own, needs less.
pub const WORK: usize = 40_000_000;

/// The bytes of an element of a set or map, beside its text.
pub const ENTRY: usize = 96;
/// The bytes of a relation, a function, a trigger, a key or a finding, beside its texts.
pub const OBJECT: usize = 320;
/// The bytes of a column or constraint.
pub const COLUMN: usize = 160;
/// The work of a statement, beside that of its text.
pub const STATEMENT: usize = 250;

/// What is left of memory and work. Once either is spent, both are.
#[derive(Debug)]
pub struct Budget {
    memory: Cell<usize>,
    work: Cell<usize>,
    done: Cell<usize>,
    spent: Cell<bool>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(MEMORY, WORK)
    }
}

impl Budget {
    /// A budget of so many bytes and units of work.
    pub fn of(memory: usize, work: usize) -> Self {
        Self {
            memory: Cell::new(memory),
            work: Cell::new(work),
            done: Cell::new(0),
            spent: Cell::new(false),
        }
    }

    /// Takes bytes for something that is remembered. Returns whether they were left: if not, it is not remembered.
    pub fn remember(&self, bytes: usize) -> bool {
        self.take(&self.memory, bytes)
    }

    /// Takes units of work. Returns whether they were left: if not, the work is not done.
    pub fn work(&self, units: usize) -> bool {
        let left = self.take(&self.work, units);
        self.done.set(self.done.get() + if left { units } else { 0 });
        left
    }

    /// Whether nothing more is judged.
    pub fn is_spent(&self) -> bool {
        self.spent.get()
    }

    /// Ends the judgement.
    pub fn spend(&self) {
        self.spent.set(true);
    }

    /// The units of work that were done.
    pub fn done(&self) -> usize {
        self.done.get()
    }

    fn take(&self, of: &Cell<usize>, amount: usize) -> bool {
        match of.get().checked_sub(amount) {
            Some(left) if !self.is_spent() => {
                of.set(left);
                true
            }
            _ => {
                self.spend();
                false
            }
        }
    }
}
