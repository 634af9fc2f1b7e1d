//! Every single answer of the provider is lost, late, doubled or garbled.

use std::time::Duration;

use orchestra_sandbox::api::{Fault, Operation};

use super::scene::Scene;
use super::{CALLS, Case, Cut};
use crate::support::LONG;

fn status(status: u16) -> Fault {
    Fault::Status {
        status,
        retry_after: None,
    }
}

fn after(status: u16, message: &str) -> Fault {
    Fault::AnswerAfter {
        status,
        message: message.into(),
    }
}

fn refuse(status: u16, message: &str) -> Fault {
    Fault::Refuse {
        status,
        message: message.into(),
    }
}

/// What can happen to any answer.
fn faults() -> Vec<Fault> {
    vec![
        Fault::LoseResponse,
        Fault::CloseBefore,
        Fault::HtmlBadGateway,
        Fault::Truncate,
        Fault::Delay { ms: 2000 },
        Fault::Twice,
        status(500),
        status(503),
        Fault::Status {
            status: 429,
            retry_after: Some(2),
        },
        after(500, "Internal server error"),
        after(504, "Gateway timeout"),
    ]
}

fn case(name: String, delete: bool) -> Case {
    Case {
        name,
        pool: false,
        delete,
        cut: Cut::Nowhere,
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn no_answer_can_make_it_buy_or_destroy_twice() {
    let scene = Scene::start(0).await;
    let _operator = scene.operator("operator", &["--create-settle=3s"]);
    // A request that a proxy sends twice is recognised by the name that is taken.
    scene
        .world
        .api
        .behave(|provider| provider.refuse_duplicate_names = true);
    let provider = scene.world.api.faults();
    let mut cases = Vec::new();
    let mut arm = |operation: Operation, fault: Fault| {
        let case = case(format!("an{:02}", cases.len()), true);
        provider.add_for(&case.subject(), operation, 1, fault);
        cases.push(case);
    };
    for operation in CALLS {
        for fault in faults() {
            arm(*operation, fault);
        }
    }
    for fault in [
        // Longer than the client has patience.
        Fault::Delay { ms: 33_000 },
        refuse(400, "an-project already exists in your organization."),
        refuse(409, "Project name already in use"),
        after(400, "an-project already exists in your organization."),
        after(409, "Conflict"),
        refuse(404, "Organization not found"),
    ] {
        arm(Operation::CreateProject, fault);
    }
    for operation in [Operation::Health, Operation::PoolerConfig, Operation::ListKeys] {
        arm(operation, refuse(400, "Project must be active and healthy."));
        arm(operation, refuse(404, "Project not found"));
    }
    for fault in faults() {
        provider.add(Operation::ListOrganizationProjects, 1, fault);
    }
    scene.order(cases.iter().map(|case| (case.name.clone(), false, true)));
    for case in &cases {
        scene.usable(&case.name, false).await;
        assert_eq!(
            provider.left(&case.subject()),
            0,
            "{}: its fault was not met",
            case.name
        );
    }
    scene.sound().await;

    let mut ends = faults();
    ends.extend([
        after(400, "Resource has been removed"),
        refuse(400, "Project not ready for deletion."),
        refuse(403, "Forbidden action"),
    ]);
    let (ends, kept): (Vec<_>, _) = (ends.into_iter().zip(&cases).collect(), &cases);
    for (fault, case) in &ends {
        provider.add_for(&case.subject(), Operation::DeleteProject, 1, fault.clone());
    }
    scene.delete(ends.iter().map(|(_, case)| case.name.as_str()));
    for (_, case) in &ends {
        scene.left(case).await;
    }
    for case in &kept[ends.len()..] {
        scene.usable(&case.name, false).await;
    }
    scene.sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_listed_late_is_not_bought_again() {
    // Before the settling time: the listing shows it.
    let scene = Scene::start(0).await;
    let patient = scene.operator("patient", &["--create-settle=20s"]);
    let lose = |name: &str| {
        let faults = scene.world.api.faults();
        faults.add_for(&format!("-{name}-"), Operation::CreateProject, 1, Fault::LoseResponse);
        scene.order([(name.to_string(), false, true)]);
    };
    scene
        .world
        .api
        .behave(|provider| provider.listed_after = Duration::from_secs(8));
    lose("listed");
    scene.usable("listed", false).await;
    assert_eq!(scene.world.api.ledger().count(Operation::CreateProject), 1);
    drop(patient);

    // After the settling time: the provider's refusal of a second one of the name shows it.
    scene.world.api.behave(|provider| {
        provider.listed_after = Duration::from_secs(30);
        provider.refuse_duplicate_names = true;
    });
    let _hasty = scene.operator("hasty", &["--create-settle=3s"]);
    lose("refused");
    scene.usable("refused", false).await;
    assert!(
        scene.world.api.ledger().count(Operation::CreateProject) > 2,
        "the second net was needed"
    );
    assert!(LONG > Duration::from_secs(30));
    scene.sound().await;
}
