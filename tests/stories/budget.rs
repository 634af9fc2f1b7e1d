//! What projects cost, and what a class may spend.

use orchestra_sandbox::api::{Fault, Operation, Options as ApiOptions, Organization, RateLimit};
use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::pool::{house, inventory};
use crate::proof::{database_name, generous_world, one_project_and_both_logins, projects, soon};
use crate::support::{LONG, events_with, gone, orchestra, ready, reason, sources, standard_class, world_with};

/// Projects that are there now.
fn alive(world: &World) -> usize {
    let all = world.api.ledger().projects();
    all.iter().filter(|project| project.deleted.is_none()).count()
}

async fn class(world: &World, is: impl Fn(&Value) -> bool) -> Value {
    world.until(Kind::Class, ("", "standard"), LONG, is).await.unwrap()
}

/// Names of the Orchestras whose Ready condition has this reason.
async fn with_reason(world: &World, reason: &str) -> Vec<String> {
    let all = world.list(Kind::Orchestra).await.unwrap();
    let with = all.iter().filter(|object| condition(object, "Ready").1 == reason);
    with.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The one of these that waits longest.
async fn oldest(world: &World, names: &[String]) -> String {
    let all = world.list(Kind::Orchestra).await.unwrap();
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    let age = |object: &&Value| {
        let text = |key: &str| object["metadata"][key].as_str().unwrap().to_owned();
        (text("creationTimestamp"), text("uid"))
    };
    let oldest = all
        .iter()
        .filter(|object| names.contains(&name(object)))
        .min_by_key(age);
    name(oldest.unwrap())
}

/// How many Warning events of this reason speak of the class, however often each came.
async fn warnings(world: &World, reason: &str) -> usize {
    let events = world.list(Kind::Event).await.unwrap();
    let told = events.iter().filter(|event| {
        event["regarding"]["kind"] == "OrchestraClass" && event["type"] == "Warning" && event["reason"] == reason
    });
    told.map(|event| usize::try_from(event["series"]["count"].as_u64().unwrap_or(1)).unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_budget_holds_what_is_too_much_and_lets_it_go_when_there_is_room() {
    let world = generous_world().await;
    standard_class(&world, r#"  budget: {monthlyLimit: "20.00"}"#);
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    let names = ["one", "two", "three", "four", "five", "six"];
    for name in names {
        orchestra(&world, name, "  deletionPolicy: Delete");
    }
    // A micro costs 9.81 a month: two fit, whoever was first.
    soon("two are ready and four are held", async || {
        with_reason(&world, "Ready").await.len() == 2 && with_reason(&world, "BudgetExceeded").await.len() == 4
    })
    .await;
    assert_eq!(world.api.ledger().projects().len(), 2);
    let held = with_reason(&world, "BudgetExceeded").await;
    let object = world.get(Kind::Orchestra, TENANTS, &held[0]).await.unwrap().unwrap();
    let (stalled, _, message) = condition(&object, "Stalled");
    assert_eq!(stalled, "True");
    assert!(
        message
            .contains("one more project at 9.81 USD a month does not fit into the budget of class standard, 20.00 USD")
            && message.contains("raise spec.budget.monthlyLimit"),
        "{message}"
    );

    let full = class(&world, |class| {
        class["status"]["cost"]["projected"] == "19.62" && class["status"]["cost"]["priceSource"] == "BillingAddons"
    })
    .await;
    assert_eq!(condition(&full, "WithinBudget").1, "BudgetExceeded");
    assert!(is_true(&full, "Ready"), "{full:#}");
    assert_eq!(full["status"]["account"]["plan"], "pro");
    let shown = world.kubectl(["get", "orchclass", "standard"]).unwrap();
    assert!(shown.contains("20.00") && shown.contains("19.62"), "{shown}");
    events_with(&world, "BudgetExceeded").await;
    assert_eq!(warnings(&world, "BudgetExceeded").await, 1);
    let served = with_reason(&world, "Ready").await;
    let tenant = world.get(Kind::Orchestra, TENANTS, &served[0]).await.unwrap().unwrap();
    assert_eq!(
        tenant["status"]["cost"],
        serde_json::json!({"currency": "USD", "monthly": "9.81", "hourly": "0.01344"})
    );

    // One goes and its project with it: the oldest waiting one continues by itself.
    let oldest = oldest(&world, &held).await;
    world
        .kubectl(["delete", "orch", &served[0], "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    soon("the next one goes on", async || {
        with_reason(&world, "Ready").await.len() == 2 && with_reason(&world, "BudgetExceeded").await.len() == 3
    })
    .await;
    assert_eq!((alive(&world), world.api.ledger().projects().len()), (2, 3));
    one_project_and_both_logins(&world, &oldest).await;

    // A Released database still costs money, so it makes no room.
    let kept = with_reason(&world, "Ready").await;
    let database = database_name(&world, &kept[0]).await;
    let patch = r#"{"spec":{"deletionPolicy":"Retain"}}"#;
    world
        .kubectl(["patch", "orch", &kept[0], "-n", TENANTS, "--type=merge", "-p", patch])
        .unwrap();
    world
        .kubectl(["delete", "orch", &kept[0], "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    let released = |object: &Value| object["status"]["phase"] == "Released";
    let object = world
        .until(Kind::Database, ("", &database), LONG, released)
        .await
        .unwrap();
    assert_eq!(object["status"]["cost"]["monthly"], "9.81");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(
        (alive(&world), with_reason(&world, "BudgetExceeded").await.len()),
        (2, 3)
    );
    let full = class(&world, |_| true).await;
    assert_eq!(full["status"]["cost"]["projected"], "19.62");

    // More money for two more, and one has to wait on.
    standard_class(&world, r#"  budget: {monthlyLimit: "39.99"}"#);
    soon("two more go on", async || with_reason(&world, "Ready").await.len() == 3).await;
    reason(
        &world,
        &with_reason(&world, "BudgetExceeded").await[0],
        "BudgetExceeded",
    )
    .await;
    assert_eq!(alive(&world), 4);
    standard_class(&world, "");
    for name in names {
        if world.get(Kind::Orchestra, TENANTS, name).await.unwrap().is_some() {
            one_project_and_both_logins(&world, name).await;
        }
    }
    assert_eq!(
        world.api.ledger().count(Operation::ListAddons),
        1,
        "prices are asked once"
    );
    assert!(world.api.violations().is_empty(), "{:?}", world.api.violations());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_meets_what_the_budget_does_not() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    house(&world, &inventory(&world, &["one"]).await);
    let filled = |pool: &Value| pool["status"]["available"] == 1;
    world.until(Kind::Pool, ("", "house"), LONG, filled).await.unwrap();
    standard_class(
        &world,
        "  pools: {names: [house], policy: CloudFirst}\n  budget: {maxProjects: 1, onExceed: UsePool}",
    );
    orchestra(&world, "cloud", "");
    let cloud = ready(&world, "cloud").await;
    assert!(cloud["status"]["project"]["ref"].is_string());
    orchestra(&world, "pooled", "");
    let pooled = ready(&world, "pooled").await;
    assert_eq!(pooled["status"]["project"], Value::Null);
    assert_eq!(
        pooled["status"]["cost"],
        Value::Null,
        "an entry of a pool costs nothing"
    );
    orchestra(&world, "waits", "");
    let waits = reason(&world, "waits", "PoolExhausted").await;
    let message = condition(&waits, "Ready").2;
    assert!(
        message.contains("in pool house") && message.contains("class standard has reached its limit of 1 projects"),
        "{message}"
    );
    assert_eq!(world.api.ledger().projects().len(), 1);
    // Without the pool it says what the limit is.
    standard_class(
        &world,
        "  pools: {names: [house], policy: CloudFirst}\n  budget: {maxProjects: 1}",
    );
    let held = reason(&world, "waits", "ProjectLimitReached").await;
    assert!(is_true(&held, "Stalled"), "{held:#}");
    standard_class(&world, "  budget: {maxProjects: 2}");
    one_project_and_both_logins(&world, "waits").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_lowered_in_time_holds_what_was_not_asked_for_yet() {
    let world = generous_world().await;
    standard_class(&world, r#"  budget: {monthlyLimit: "10"}"#);
    sources(&world);
    let mut first = world.operator("first", |_| {}).unwrap();
    class(&world, |class| is_true(class, "Available")).await;
    first.kill().unwrap();
    // The next one has no listing yet, and passes that need one wait for it.
    world
        .api
        .faults()
        .add(Operation::ListOrganizationProjects, 1, Fault::HoldBefore);
    let _operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "late", "");
    world
        .api
        .faults()
        .wait_until_held(Operation::ListOrganizationProjects)
        .await;
    let database = database_name(&world, "late").await;
    world
        .until(Kind::Database, ("", &database), LONG, Value::is_object)
        .await
        .unwrap();
    standard_class(&world, r#"  budget: {monthlyLimit: "9.80"}"#);
    // The watch reports it meanwhile.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    world.api.faults().release(Operation::ListOrganizationProjects);
    let held = reason(&world, "late", "BudgetExceeded").await;
    assert!(
        is_true(&held, "Stalled") && held["status"]["databaseName"].is_string(),
        "{held:#}"
    );
    assert_eq!(world.api.ledger().count(Operation::CreateProject), 0);
    standard_class(&world, r#"  budget: {monthlyLimit: "9.81"}"#);
    one_project_and_both_logins(&world, "late").await;

    // Let go before anything was bought, it leaves nothing.
    standard_class(&world, r#"  budget: {monthlyLimit: "0"}"#);
    orchestra(&world, "never", "");
    reason(&world, "never", "BudgetExceeded").await;
    world
        .kubectl(["delete", "orch", "never", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "never").await;
    assert_eq!(world.api.ledger().projects().len(), 1);
    assert!(is_true(&ready(&world, "late").await, "Available"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_killed_in_mid_creation_spends_no_more_either() {
    let world = generous_world().await;
    standard_class(&world, "  budget: {maxProjects: 2}");
    sources(&world);
    world
        .api
        .behave(|provider| provider.listed_after = std::time::Duration::from_secs(1));
    for name in ["one", "two", "three", "four", "five", "six"] {
        orchestra(&world, name, "");
    }
    // The answer to the first creation never comes, and what was let through is forgotten.
    world.api.faults().add(Operation::CreateProject, 1, Fault::HoldAfter);
    let mut operator = world.operator("killed", |_| {}).unwrap();
    world.api.faults().wait_until_held(Operation::CreateProject).await;
    operator.kill().unwrap();
    world.api.faults().release(Operation::CreateProject);
    let _operator = world.operator("next", |_| {}).unwrap();
    soon("two are ready and four are held", async || {
        with_reason(&world, "Ready").await.len() == 2 && with_reason(&world, "ProjectLimitReached").await.len() == 4
    })
    .await;
    for name in with_reason(&world, "Ready").await {
        one_project_and_both_logins(&world, &name).await;
    }
    assert_eq!(world.api.ledger().projects().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_nothing_lets_free_projects_be_created() {
    let rate_limit = RateLimit {
        limit: 100_000,
        ..RateLimit::default()
    };
    let organization = Organization {
        slug: "acme-org".to_owned(),
        name: "Acme".to_owned(),
        plan: "free".to_owned(),
    };
    let world = world_with(ApiOptions {
        organizations: vec![organization],
        rate_limit,
        ..ApiOptions::default()
    })
    .await;
    standard_class(&world, r#"  budget: {monthlyLimit: "0"}"#);
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "gratis", "");
    let object = one_project_and_both_logins(&world, "gratis").await;
    assert_eq!(object["status"]["cost"]["monthly"], "0.00");
    let class = class(&world, |class| class["status"]["cost"]["projects"] == 1).await;
    let (cost, account) = (&class["status"]["cost"], &class["status"]["account"]);
    assert_eq!(
        (&cost["projected"], &cost["pricePerProject"]),
        (&"0.00".into(), &"0.00".into())
    );
    assert_eq!(account["plan"], "free");
    assert_eq!(account["pausing"], true);
    assert_eq!(
        condition(&class, "WithinBudget"),
        (
            "True".into(),
            "Ready".into(),
            "there is room for another project".into()
        )
    );
    assert_eq!(projects(&world, "gratis").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_table_goes_before_the_providers_prices_and_the_class_warns_in_time() {
    let world = generous_world().await;
    let budget = |limit: &str| {
        format!(
            "  budget:\n    monthlyLimit: \"{limit}\"\n    warnAtPercent: 50\n    prices: {{asOf: \"2026-10-01\", monthly: {{micro: \"12.50\"}}}}"
        )
    };
    standard_class(&world, &budget("40"));
    sources(&world);
    let operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "first", "");
    let first = ready(&world, "first").await;
    assert_eq!(first["status"]["cost"]["monthly"], "12.50");
    let quiet = class(&world, |class| class["status"]["cost"]["projected"] == "12.50").await;
    assert_eq!(quiet["status"]["cost"]["priceSource"], "Class");
    assert_eq!(quiet["status"]["cost"]["pricesAsOf"], "2026-10-01");
    assert_eq!(condition(&quiet, "WithinBudget").1, "Ready");
    assert_eq!(warnings(&world, "BudgetNearLimit").await, 0);
    orchestra(&world, "second", "");
    ready(&world, "second").await;
    let near = class(&world, |class| class["status"]["cost"]["projected"] == "25.00").await;
    assert_eq!(condition(&near, "WithinBudget").0, "True");
    assert_eq!(condition(&near, "WithinBudget").1, "BudgetNearLimit");
    soon("the class warns", async || {
        warnings(&world, "BudgetNearLimit").await == 1
    })
    .await;
    soon("the metrics tell", async || {
        let page = crate::process::get(&operator, "/metrics").await.1;
        [
            r#"orchestra_class_cost_projected_monthly{class="standard",currency="USD"} 25"#,
            r#"orchestra_class_cost_limit_monthly{class="standard",currency="USD"} 40"#,
            r#"orchestra_class_budget_used_percent{class="standard"} 62"#,
        ]
        .iter()
        .all(|line| page.contains(line))
    })
    .await;
    // A warning is given once, not again by everything that happens.
    orchestra(&world, "third", "");
    ready(&world, "third").await;
    assert_eq!(warnings(&world, "BudgetNearLimit").await, 1);
    assert_eq!(
        world.api.ledger().count(Operation::ListAddons),
        0,
        "nobody needs the provider's prices"
    );
}
