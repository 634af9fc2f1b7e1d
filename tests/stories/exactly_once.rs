//! Exactly once, whatever happens when: no project is bought, no database claimed and nothing
//! deleted twice, and nothing is left behind that nobody holds.
//!
//! Many Orchestras share a world. Each is held at a boundary of its own (a write to Kubernetes at the
//! [`orchestra_sandbox::gate::Gate`], or a request at the provider), and when all are held, something happens to them.

mod answers;
mod kills;
mod minds;
mod pools;
mod rivals;
mod scene;
mod soak;

use std::collections::BTreeSet;

use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::gate::{Point, Release};

/// Where an Orchestra is held.
#[derive(Clone, Debug)]
pub enum Cut {
    /// Nowhere.
    Nowhere,
    /// At the first write of this label.
    Write(String, Point),
    /// At a request to the provider.
    Call(Operation, Fault),
}

/// An Orchestra, and where it is held.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// From a pool, or else from the provider.
    pub pool: bool,
    /// Its policy is Delete, or else Retain.
    pub delete: bool,
    pub cut: Cut,
}

impl Case {
    /// Holds it there from now on.
    pub fn arm(&self, scene: &scene::Scene) {
        match &self.cut {
            Cut::Nowhere => {}
            Cut::Write(label, point) => scene.gate.hold(&self.name, label, *point),
            Cut::Call(operation, fault) => {
                let faults = scene.world.api.faults();
                faults.add_for(&self.subject(), *operation, 1, fault.clone());
            }
        }
    }

    /// Whether it is held now, and at what.
    pub fn held(&self, scene: &scene::Scene) -> Option<String> {
        match &self.cut {
            Cut::Nowhere => None,
            Cut::Write(_, point) => scene.gate.held(&self.name).map(|label| format!("{point:?} {label}")),
            Cut::Call(operation, fault) => {
                let held = scene.world.api.faults().holds(&self.subject());
                held.then(|| format!("{fault:?} {operation}"))
            }
        }
    }

    pub fn release(&self, scene: &scene::Scene, release: Release) {
        scene.gate.release(&self.name, release);
        scene.world.api.faults().release_for(&self.subject());
    }

    /// Part of the name of its project, and of no other.
    pub fn subject(&self) -> String {
        format!("-{}-", self.name)
    }

    pub fn is(&self, point: Point) -> bool {
        matches!(&self.cut, Cut::Write(_, is) if *is == point)
    }
}

/// One case for each boundary. `writes` are what a creation was seen to write.
pub fn boundaries(prefix: &str, pool: bool, delete: bool, writes: &[String], calls: &[Operation]) -> Vec<Case> {
    let mut cuts = Vec::new();
    let writes: BTreeSet<_> = writes.iter().collect();
    for write in writes {
        cuts.push(Cut::Write(write.clone(), Point::Before));
        cuts.push(Cut::Write(write.clone(), Point::After));
    }
    for operation in calls {
        // A creation that is held back for longer than the settling time is a new one when it comes:
        // those are held one by one, and not for long.
        if *operation != Operation::CreateProject {
            cuts.push(Cut::Call(*operation, Fault::HoldBefore));
        }
        cuts.push(Cut::Call(*operation, Fault::HoldAfter));
    }
    let case = |(number, cut)| Case {
        name: format!("{prefix}{number:02}"),
        pool,
        delete,
        cut,
    };
    cuts.into_iter().enumerate().map(case).collect()
}

/// What every creation must have been held at: without these, a matrix would be an empty one.
pub fn assert_met(held: &BTreeSet<String>, wanted: &[&str]) {
    for wanted in wanted {
        for point in ["Before", "After"] {
            let met = |label: &String| label.contains(point) && label.contains(wanted);
            assert!(held.iter().any(met), "nothing was held {point} {wanted}: {held:#?}");
        }
    }
}

/// The writes of a creation that matter.
pub const CREATION: &[&str] = &[
    "PATCH orchestras finalizers on",
    "POST orchestradatabases",
    "PATCH orchestradatabases finalizers on",
    "POST secrets password",
    "createIssuedAt",
    "project",
    "project-url",
    "tenant-password",
    "DATABASE_URL",
    "v1-get-services-health",
    "v1-get-pooler-config",
    "v1-get-project-api-keys",
];

/// The requests of a creation about its project.
pub const CALLS: &[Operation] = &[
    Operation::CreateProject,
    Operation::Health,
    Operation::PoolerConfig,
    Operation::ListKeys,
];

pub type Held = BTreeSet<String>;
