//! Answers of the Management API in other forms and words than its document has: other people's projects, prices that
//! are missing, limits in new words, regions that are off, and proxies in front of it.

mod refusals;

use std::time::{Duration, Instant};

use orchestra_sandbox::api::{Fault, Operation, Rule};
use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::proof::{database_name, generous_world, one_project_and_both_logins, projects, soon};
use crate::support::{LONG, orchestra, reason, secret, sources, standard_class};

const LISTING: &str = "^/v1/organizations/[^/]+/projects$";

/// A project of somebody else, with these fields.
fn foreign(changes: &Value) -> Value {
    let mut project = json!({"ref": "qqqqqqqqqqqqqqqqqqqq", "name": "Somebody's old experiment", "cloud_provider": "FLY",
        "region": "sin", "is_branch": false, "status": "INACTIVE", "inserted_at": "2023-07-14T05:59:16Z", "databases": []});
    for (name, value) in changes.as_object().unwrap() {
        project[name] = value.clone();
    }
    project
}

/// A rule that adds entries to the listing of projects.
fn listed(entries: &[Value]) -> Rule {
    let add = |entry: &Value| json!({"op": "add", "path": "/projects/-", "value": entry});
    Rule {
        method: Some("GET".into()),
        path: Some(LISTING.into()),
        edit: entries.iter().map(add).collect(),
        ..Rule::default()
    }
}

/// A rule for the requests to create a project.
fn creation(rule: Rule) -> Rule {
    Rule {
        method: Some("POST".into()),
        path: Some("^/v1/projects$".into()),
        ..rule
    }
}

/// A refusal that has no effect.
fn refusal(status: u16, body: Value) -> Rule {
    creation(Rule {
        status: Some(status),
        body: Some(body),
        ..Rule::default()
    })
}

fn met(world: &World, id: u64) -> u32 {
    let rules = world.api.rules().all();
    rules.iter().find(|rule| rule.id == id).map_or(0, |rule| rule.met)
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_odd_projects_stop_nobody() {
    let world = generous_world().await;
    let operator = world
        .operator("operator", |command| {
            command.env("ORCHESTRA_RESYNC", "1s");
        })
        .unwrap();
    let variants = [
        json!({"region": null, "is_branch": null, "status": "ARCHIVED_BY_PROVIDER", "inserted_at": null, "databases": null}),
        json!({"ref": "qqqqqqqqqqqqqqqqqqqa", "databases": [{"region": "sin", "status": "UNKNOWN", "identifier": "q"}]}),
        json!({"ref": "qqqqqqqqqqqqqqqqqqqb", "status": null}),
        json!({"ref": "qqqqqqqqqqqqqqqqqqqc", "name": null}),
        json!({"ref": null}),
        json!({"ref": "qqqqqqqqqqqqqqqqqqqd", "status": "PROMOTING", "databases": [
            {"region": "sin", "status": "HIBERNATING", "cloud_provider": "FLY", "identifier": "q", "type": "ANALYTICS_REPLICA",
             "infra_compute_size": "femto"}]}),
    ];
    let mut entries: Vec<_> = variants.iter().map(foreign).collect();
    entries.extend([json!(null), json!({}), json!("a text")]);
    world.api.rules().add(listed(&entries)).unwrap();
    let priceless = Rule {
        path: Some("/billing/addons$".into()),
        edit: vec![
            json!({"op": "replace", "path": "/available_addons/0/variants/0/price", "value": null}),
            json!({"op": "add", "path": "/available_addons/-", "value": {"type": "brand_new", "variants": null}}),
        ],
        ..Rule::default()
    };
    world.api.rules().add(priceless).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "own", "");
    one_project_and_both_logins(&world, "own").await;

    let told = |object: &Value| {
        let (status, _, message) = condition(object, "Ready");
        let (count, unclear) = (
            "8 of the organization's projects",
            "5 of them without a reference or a name",
        );
        status == "True" && message.contains(count) && message.contains(unclear)
    };
    world.until(Kind::Class, ("", "standard"), LONG, told).await.unwrap();
    let page = crate::process::get(&operator, "/metrics").await.1;
    let counted = r#"orchestra_management_api_odd_items_total{operation="list_projects"}"#;
    assert!(page.contains(counted), "{page}");

    world.api.rules().clear();
    let well = |object: &Value| condition(object, "Ready").2 == "claims can be met";
    world.until(Kind::Class, ("", "standard"), LONG, well).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_in_other_words_is_a_limit_and_a_project_that_may_be_ours_is_not_bought_again() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    let words =
        "Members of this organization have gone beyond their limit of free projects: ada (limit: 2 free projects)";
    let limit = world.api.rules().add(refusal(400, json!({"message": words}))).unwrap();
    orchestra(&world, "limited", "");
    let told = reason(&world, "limited", "QuotaExceeded").await;
    assert!(is_true(&told, "Stalled") && !is_true(&told, "Reconciling"), "{told:#}");
    let message = condition(&told, "Ready").2;
    assert!(
        message.contains(words) && message.contains("pause or delete one that nobody uses"),
        "{message}"
    );
    assert!(
        !message.contains("region") && !message.contains("instanceSize"),
        "{message}"
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(met(&world, limit), 1, "the next attempt comes after ten seconds");

    // A project of this very name shows, but without a reference: it must not be bought again.
    let database = database_name(&world, "limited").await;
    let object = world.get(Kind::Database, "", &database).await.unwrap().unwrap();
    let name = object["spec"]["supabase"]["name"].clone();
    let odd = world
        .api
        .rules()
        .add(listed(&[foreign(&json!({"ref": null, "name": name}))]))
        .unwrap();
    assert!(world.api.rules().remove(limit));
    let unclear = reason(&world, "limited", "ProjectUnclear").await;
    assert!(is_true(&unclear, "Stalled"), "{unclear:#}");
    assert!(world.api.ledger().projects().is_empty(), "nothing was bought");
    assert!(world.api.rules().remove(odd));
    one_project_and_both_logins(&world, "limited").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_off_is_left_and_a_proxy_s_refusal_is_looked_up() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(
        &world,
        "  placement: {allowedRegions: [eu-central-1, eu-west-3, eu-north-1]}",
    );
    sources(&world);
    // One refusal names the region, and the other one says nothing, but the list of regions does.
    let refused = |region: &str, message: &str| Rule {
        request: Some(region.into()),
        ..refusal(400, json!({"message": message}))
    };
    let napping = refused("eu-central-1", "eu-central-1 takes a nap");
    let silent = refused("eu-west-3", "We cannot do that for you now");
    for rule in [napping, silent] {
        world.api.rules().add(rule).unwrap();
    }
    let off = Rule {
        path: Some("/available-regions$".into()),
        edit: vec![json!({"op": "add", "path": "/all/specific/10/status", "value": "other"})],
        ..Rule::default()
    };
    world.api.rules().add(off).unwrap();
    orchestra(&world, "elsewhere", "");
    let object = one_project_and_both_logins(&world, "elsewhere").await;
    assert_eq!(object["status"]["project"]["region"], "eu-north-1");
    world.api.rules().clear();

    // The API has created the project, and a proxy keeps its answer back.
    let page = "<html><head><title>Blocked by policy</title></head><body>ref 4711</body></html>";
    let kept_back = creation(Rule {
        effect: Some(true),
        times: Some(1),
        status: Some(403),
        text: Some(page.into()),
        ..Rule::default()
    });
    world.api.rules().add(kept_back).unwrap();
    orchestra(&world, "kept-back", "");
    one_project_and_both_logins(&world, "kept-back").await;

    // A proxy that lets nothing pass is named.
    let closed = world.api.rules().add(creation(Rule {
        status: Some(403),
        text: Some(page.into()),
        ..Rule::default()
    }));
    orchestra(&world, "closed", "");
    let told = reason(&world, "closed", "RequestRefused").await;
    let message = condition(&told, "Ready").2;
    let parts = ["a web page: Blocked by policy", "any proxy before it"];
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    assert!(world.api.rules().remove(closed.unwrap()));

    // 544 tells nothing about the outcome.
    let fault = Fault::AnswerAfter {
        status: 544,
        message: "Connection terminated due to connection timeout".into(),
    };
    world.api.faults().add(Operation::CreateProject, 1, fault);
    orchestra(&world, "timed-out", "");
    one_project_and_both_logins(&world, "timed-out").await;
    one_project_and_both_logins(&world, "closed").await;
    soon("each was bought once", async || {
        projects(&world, "kept-back").await.len() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn keys_that_change_at_the_provider_are_published_and_disabled_ones_are_not() {
    let world = generous_world().await;
    let _operator = world
        .operator("operator", |command| {
            command.env("ORCHESTRA_RESYNC", "1s");
        })
        .unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "one", "");
    let before = one_project_and_both_logins(&world, "one").await;
    let published = secret(&world, TENANTS, "one-connection").await;
    let rotated = Rule {
        path: Some("/api-keys$".into()),
        edit: vec![
            json!({"op": "replace", "path": "/3/api_key", "value": "sb_secret_rotated"}),
            json!({"op": "remove", "path": "/3/secret_jwt_template"}),
        ],
        ..Rule::default()
    };
    world.api.rules().add(rotated).unwrap();
    soon("the new key is published", async || {
        let now = secret(&world, TENANTS, "one-connection").await;
        now["SUPABASE_SERVICE_ROLE_KEY"] == "sb_secret_rotated"
    })
    .await;
    let now = secret(&world, TENANTS, "one-connection").await;
    assert!(
        published
            .iter()
            .all(|(key, value)| key == "SUPABASE_SERVICE_ROLE_KEY" || now[key] == *value)
    );
    let noted = |object: &Value| is_true(object, "Ready") && object["status"]["secretRef"]["keys"].is_string();
    let after = world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, noted)
        .await
        .unwrap();
    assert_eq!(after["status"]["project"], before["status"]["project"]);

    // Only legacy keys are listed, and they are disabled: nobody gets one.
    world.api.rules().clear();
    let only_legacy = Rule {
        path: Some("/api-keys$".into()),
        edit: vec![
            json!({"op": "remove", "path": "/3"}),
            json!({"op": "remove", "path": "/2"}),
        ],
        ..Rule::default()
    };
    let disabled = Rule {
        path: Some("/api-keys/legacy$".into()),
        body: Some(json!({"enabled": false})),
        ..Rule::default()
    };
    for rule in [only_legacy, disabled] {
        world.api.rules().add(rule).unwrap();
    }
    orchestra(&world, "two", "");
    // A tenant in use is Ready as before, and its status says that the keys do not work.
    let (usable, dead) = ("Ready", "KeysUsable");
    let told = |object: &Value| condition(object, dead).1 == "KeysDisabled" && is_true(object, usable);
    let database = database_name(&world, "one").await;
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, told)
        .await
        .unwrap();
    world.until(Kind::Database, ("", &database), LONG, told).await.unwrap();
    let told = reason(&world, "two", "KeysDisabled").await;
    assert!(
        condition(&told, "Ready").2.contains("legacy API keys are disabled"),
        "{told:#}"
    );
    world.api.rules().clear();
    one_project_and_both_logins(&world, "two").await;
    let two = secret(&world, TENANTS, "two-connection").await;
    assert!(two["SUPABASE_SERVICE_ROLE_KEY"].starts_with("sb_secret_"));
    let well = |object: &Value| condition(object, dead).0.is_empty() && is_true(object, usable);
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, well)
        .await
        .unwrap();

    // Somebody deletes the secret key where there are no legacy ones.
    let deleted = Rule {
        path: Some("/api-keys$".into()),
        edit: ["/3", "/1", "/0"]
            .map(|path| json!({"op": "remove", "path": path}))
            .into(),
        ..Rule::default()
    };
    let deleted = world.api.rules().add(deleted).unwrap();
    let told = |object: &Value| condition(object, dead).2.contains("no secret API key") && is_true(object, usable);
    for (kind, at) in [(Kind::Orchestra, (TENANTS, "one")), (Kind::Database, ("", &*database))] {
        world.until(kind, at, LONG, told).await.unwrap();
    }
    assert!(world.api.rules().remove(deleted));
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, well)
        .await
        .unwrap();

    // The request for the keys has to wait: nothing of a database in use waits for it.
    let limited = Rule {
        path: Some("/api-keys$".into()),
        status: Some(429),
        headers: [("retry-after".to_owned(), "5".to_owned())].into(),
        ..Rule::default()
    };
    let limited = world.api.rules().add(limited).unwrap();
    let begun = Instant::now();
    while met(&world, limited) < 2 || begun.elapsed() < Duration::from_secs(8) {
        let object = world.get(Kind::Database, "", &database).await.unwrap().unwrap();
        assert!(
            condition(&object, "Reconciling").0.is_empty() && is_true(&object, usable),
            "{object:#}"
        );
        assert!(begun.elapsed() < LONG, "the keys are read again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_listed_before_a_request_is_not_its_project_and_a_person_says_what_else_is_not() {
    let world = generous_world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    let undated = |region: &str| foreign(&json!({"ref": null, "name": null, "inserted_at": null, "region": region}));
    let before = world.api.rules().add(listed(&[undated("sin")])).unwrap();
    standard_class(&world, "");
    sources(&world);
    // The outcome of each request is unknown, and there is none.
    let unanswered = || {
        let rule = refusal(
            544,
            json!({"message": "Connection terminated due to connection timeout"}),
        );
        world.api.rules().add(rule).unwrap()
    };
    let lost = unanswered();
    orchestra(&world, "restarted", "");
    soon("a request was sent", async || met(&world, lost) > 0).await;
    operator.kill().unwrap();
    let _operator = world.operator("next", |_| {}).unwrap();
    assert!(world.api.rules().remove(lost));
    one_project_and_both_logins(&world, "restarted").await;
    let database = database_name(&world, "restarted").await;
    let object = world.get(Kind::Database, "", &database).await.unwrap().unwrap();
    assert!(object["status"].get("unclearBefore").is_none(), "{object:#}");

    // One more comes after the request.
    let lost = unanswered();
    orchestra(&world, "late", "");
    soon("a request was sent", async || met(&world, lost) > 0).await;
    assert!(world.api.rules().remove(before));
    let entries = [undated("sin"), undated("sin"), undated("gru")];
    world.api.rules().add(listed(&entries)).unwrap();
    let told = reason(&world, "late", "ProjectUnclear").await;
    assert!(is_true(&told, "Stalled"), "{told:#}");
    assert!(world.api.rules().remove(lost));
    let message = condition(&told, "Ready").2;
    let command = &message[message.find("annotate orchdb").expect("the command is told")..];
    let arguments: Vec<_> = command.split(' ').collect();
    world
        .kubectl([arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]])
        .unwrap();
    one_project_and_both_logins(&world, "late").await;
}
