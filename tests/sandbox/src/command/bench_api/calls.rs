//! Requests by operation, and those that were refused.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use orchestra_sandbox::api::{Operation, Recorded};

/// What was asked of the Management API.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// By the document's operation id.
    pub(super) by_operation: BTreeMap<String, usize>,
    /// 429s before an operation's first answer was there, and after it.
    pub(super) refused: [usize; 2],
    /// From the first creation to the last one.
    pub(super) creating: Duration,
}

impl Calls {
    pub(super) fn of(requests: &[Recorded]) -> Self {
        // When the first answer of each operation told its limit.
        let mut learned: HashMap<Operation, jiff::Timestamp> = HashMap::new();
        for request in requests {
            let (Some(operation), Some(_)) = (request.operation, request.status) else {
                continue;
            };
            let answered = request.at + jiff::SignedDuration::try_from(request.took).unwrap_or_default();
            let first = learned.entry(operation).or_insert(answered);
            *first = answered.min(*first);
        }
        let creations = requests
            .iter()
            .filter(|request| request.operation == Some(Operation::CreateProject))
            .map(|request| request.at);
        let (first, last) = (creations.clone().min(), creations.max());
        let creating = first.zip(last).map(|(first, last)| last.duration_since(first));
        let mut calls = Self {
            creating: creating.and_then(|time| time.try_into().ok()).unwrap_or_default(),
            ..Self::default()
        };
        for request in requests {
            let name = request.operation.map_or("unknown", Operation::id);
            *calls.by_operation.entry(name.to_owned()).or_default() += 1;
            if request.status == Some(429) {
                let late = request
                    .operation
                    .is_some_and(|operation| request.at > learned[&operation]);
                calls.refused[usize::from(late)] += 1;
            }
        }
        calls
    }

    pub(super) fn total(&self) -> usize {
        self.by_operation.values().sum()
    }

    /// Calls of one operation.
    pub(super) fn count(&self, operation: Operation) -> usize {
        self.by_operation.get(operation.id()).copied().unwrap_or_default()
    }

    /// Calls that speak of one project.
    pub(super) fn of_projects(&self) -> usize {
        let shared = [
            Operation::ListOrganizationProjects,
            Operation::GetOrganization,
            Operation::ListOrganizations,
            Operation::Entitlements,
        ];
        self.total() - shared.into_iter().map(|operation| self.count(operation)).sum::<usize>()
    }
}
