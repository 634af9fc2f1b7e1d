//! The limits of memory and work for one judgement. A script's author decides how much of both the judgement takes: by names,
//! statements, and the number of objects that a name can mean. Statements after a limit are not judged: the plan has the finding
//! [`FindingKind::Unjudged`](super::FindingKind), and waits for approval.

use std::cell::Cell;

/// The most bytes that the guard keeps in memory, apart from the scripts. Ten thousand tables with foreign keys take less.
const MEMORY: usize = 24 << 20;

/// The most units of work. One unit is an object that is looked at, or a byte that is parsed, and takes less than a microsecond. A
/// dump with a hundred thousand rows, each in a statement of its own, takes less.
pub const WORK: usize = 40_000_000;

/// The bytes of an element of a set or map, without its text.
pub const ENTRY: usize = 96;
/// The bytes of a relation, a function, a trigger, a key or a finding, without its texts.
pub const OBJECT: usize = 320;
/// The bytes of a column or constraint.
pub const COLUMN: usize = 160;
/// The units of work of a statement, without those of its text.
pub const STATEMENT: usize = 250;

/// The memory and work that are left. When one of them has run out, the judgement ends.
#[derive(Debug)]
pub struct Allowance {
    memory: Cell<usize>,
    work: Cell<usize>,
    done: Cell<usize>,
    spent: Cell<bool>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self::of(MEMORY, WORK)
    }
}

impl Allowance {
    /// An allowance of so many bytes and units of work.
    pub fn of(memory: usize, work: usize) -> Self {
        Self {
            memory: Cell::new(memory),
            work: Cell::new(work),
            done: Cell::new(0),
            spent: Cell::new(false),
        }
    }

    /// Takes bytes for an object that is kept. Returns false if they are not left; the caller then does not keep the object.
    pub fn remember(&self, bytes: usize) -> bool {
        self.take(&self.memory, bytes)
    }

    /// Takes units of work. Returns false if they are not left; the caller then does not do the work.
    pub fn work(&self, units: usize) -> bool {
        let left = self.take(&self.work, units);
        self.done.set(self.done.get() + if left { units } else { 0 });
        left
    }

    /// Whether memory or work has run out.
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
