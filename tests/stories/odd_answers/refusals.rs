//! Refused creations that do not say what they are about, or say it in the tenant's own name.

use orchestra_sandbox::api::Rule;
use orchestra_sandbox::world::{Kind, World, condition, is_true};
use serde_json::json;

use super::{creation, met, refusal};
use crate::proof::{database_name, generous_world, one_project_and_both_logins, soon};
use crate::support::{orchestra, reason, sources, standard_class};

/// Positions in the stand-in's list of regions.
const FRANKFURT: usize = 6;
const PARIS: usize = 10;
const STOCKHOLM: usize = 11;

/// What all events say.
fn events(world: &World) -> String {
    let columns = "jsonpath={range .items[*]}{.reason} {.message}{\"\\n\"}{end}";
    world.kubectl(["get", "events", "-A", "-o", columns]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_name_is_not_the_word_of_the_provider_and_a_conflict_is_looked_up() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    // The outcome of the first request is unknown. The second one creates the project, and a retry on the way to the API is
    // told that there is one of this name.
    let lost = refusal(
        544,
        json!({"message": "Connection terminated due to connection timeout"}),
    );
    let lost = world.api.rules().add(lost).unwrap();
    orchestra(&world, "invoices", "");
    soon("a request was sent", async || met(&world, lost) > 0).await;
    let database = database_name(&world, "invoices").await;
    let object = world.get(Kind::Database, "", &database).await.unwrap().unwrap();
    let name = object["spec"]["supabase"]["name"].as_str().unwrap();
    assert!(name.contains("-invoices-"), "{name}");
    let message = format!("Project with name {name} already exists in your organization.");
    let kept_back = creation(Rule {
        effect: Some(true),
        times: Some(1),
        status: Some(409),
        body: Some(json!({ "message": message })),
        ..Rule::default()
    });
    world.api.rules().add(kept_back).unwrap();
    assert!(world.api.rules().remove(lost));
    one_project_and_both_logins(&world, "invoices").await;
    let told = events(&world);
    assert!(!told.contains("BillingRestricted"), "{told}");

    // A conflict that comes again is told in the provider's words; nothing is bought meanwhile, and nothing afterwards twice.
    let conflict = refusal(409, json!({"message": "This cannot be done twice"}));
    let conflict = world.api.rules().add(conflict).unwrap();
    orchestra(&world, "free-limit", "");
    let told = reason(&world, "free-limit", "RequestRefused").await;
    assert!(is_true(&told, "Stalled") && !is_true(&told, "Reconciling"), "{told:#}");
    let message = condition(&told, "Ready").2;
    let parts = [
        "(This cannot be done twice)",
        "lists no project of that name",
        "Ask the provider's support",
    ];
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    assert!(met(&world, conflict) >= 2, "the first one is looked up");
    assert_eq!(world.api.ledger().projects().len(), 1, "nothing was bought");
    assert!(world.api.rules().remove(conflict));
    one_project_and_both_logins(&world, "free-limit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_the_list_calls_off_is_left_whatever_status_the_refusal_has() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(
        &world,
        "  placement: {allowedRegions: [eu-central-1, eu-west-3, eu-north-1, eu-west-1]}",
    );
    sources(&world);
    let off = Rule {
        path: Some("/available-regions$".into()),
        edit: [FRANKFURT, PARIS, STOCKHOLM]
            .iter()
            .map(|index| json!({"op": "add", "path": format!("/all/specific/{index}/status"), "value": "other"}))
            .collect(),
        ..Rule::default()
    };
    world.api.rules().add(off).unwrap();
    let refused = |region: &str, status: u16, message: &str| {
        let rule = Rule {
            request: Some(region.into()),
            ..refusal(status, json!({ "message": message }))
        };
        world.api.rules().add(rule).unwrap()
    };
    let rules = [
        refused(
            "eu-central-1",
            403,
            "This region is not available for your organization",
        ),
        refused("eu-west-3", 404, "Region not found"),
        refused("eu-north-1", 409, "Not today"),
    ];
    orchestra(&world, "elsewhere", "");
    let object = one_project_and_both_logins(&world, "elsewhere").await;
    assert_eq!(object["status"]["project"]["region"], "eu-west-1");
    let asked = rules.map(|rule| met(&world, rule));
    assert_eq!(asked, [1; 3], "no region is asked twice");
    let told = events(&world);
    let others = ["PermissionDenied", "OrganizationNotFound", "RequestRefused"];
    assert!(!others.iter().any(|other| told.contains(other)), "{told}");

    // What the list says nothing of is told as what it is.
    let denied = refusal(403, json!({"message": "Forbidden action"}));
    let denied = world.api.rules().add(denied).unwrap();
    orchestra(&world, "denied", "");
    reason(&world, "denied", "PermissionDenied").await;
    assert!(world.api.rules().remove(denied));
    one_project_and_both_logins(&world, "denied").await;
}
