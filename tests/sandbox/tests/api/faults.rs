//! What goes wrong on purpose.

use std::time::Duration;

use crate::common::{new_project, start};
use orchestra_sandbox::api::{Fate, Fault, Operation, RateLimit, Rule};
use reqwest::Method;
use serde_json::{Value, json};

const LIST: &str = "/v1/organizations/acme-org/projects";

#[tokio::test]
async fn a_lost_response_leaves_a_real_project() {
    let client = start("pro").await;
    let faults = client.sandbox.faults();
    faults.add(Operation::CreateProject, 1, Fault::LoseResponse);
    faults.add(Operation::CreateProject, 1, Fault::CloseBefore);
    for expected in [1, 1] {
        let lost = client
            .send(Method::POST, "/v1/projects", Some(new_project("tenant-a")))
            .await;
        assert!(lost.unwrap_err().is_request(), "no status line came");
        let (_, listed) = client.get(LIST).await;
        assert_eq!(listed["pagination"]["count"], expected);
    }
    faults.add(Operation::CreateProject, 1, Fault::Truncate);
    let cut = client
        .send(Method::POST, "/v1/projects", Some(new_project("tenant-b")))
        .await
        .unwrap();
    assert_eq!(cut.status(), 201);
    assert!(cut.text().await.is_err(), "the body breaks off");
    assert_eq!(client.sandbox.ledger().projects().len(), 2);
    let unanswered = client
        .sandbox
        .ledger()
        .requests()
        .iter()
        .filter(|it| it.status.is_none())
        .count();
    assert_eq!(unanswered, 2);
    client.assert_no_violations();
}

#[tokio::test]
async fn a_request_is_held_before_and_after_its_effect() {
    let client = start("pro").await;
    let faults = client.sandbox.faults().clone();
    for (fault, there) in [(Fault::HoldBefore, 0), (Fault::HoldAfter, 2)] {
        faults.add(Operation::CreateProject, 1, fault);
        let create = client.send(Method::POST, "/v1/projects", Some(new_project("tenant-a")));
        let look = async {
            faults.wait_until_held(Operation::CreateProject).await;
            let (_, listed) = client.get(LIST).await;
            faults.release(Operation::CreateProject);
            listed["pagination"]["count"].clone()
        };
        let (created, count) = tokio::join!(create, look);
        assert_eq!(created.unwrap().status(), 201);
        assert_eq!(count, there);
    }
}

#[tokio::test]
async fn an_effect_comes_although_the_client_has_gone() {
    let client = start("pro").await;
    let faults = client.sandbox.faults();
    faults.add(Operation::CreateProject, 1, Fault::HoldBefore);
    tokio::select! {
        _ = client.send(Method::POST, "/v1/projects", Some(new_project("tenant-a"))) => panic!("held"),
        () = faults.wait_until_held(Operation::CreateProject) => {}
    }
    faults.release(Operation::CreateProject);
    for _ in 0..100 {
        if client.get(LIST).await.1["pagination"]["count"] == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no project came");
}

#[tokio::test]
async fn statuses_and_rate_limits_are_as_documented() {
    let client = start("pro").await;
    let faults = client.sandbox.faults();
    let busy = Fault::Status {
        status: 429,
        retry_after: Some(7),
    };
    faults.add(Operation::ListOrganizations, 1, busy);
    faults.add(Operation::ListOrganizations, 1, Fault::HtmlBadGateway);
    let response = client.send(Method::GET, "/v1/organizations", None).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    let response = client.send(Method::GET, "/v1/organizations", None).await.unwrap();
    assert_eq!(response.status(), 502);
    assert!(response.text().await.unwrap().contains("<html>"));

    client.sandbox.limit(RateLimit {
        limit: 2,
        window: Duration::from_millis(500),
    });
    for (remaining, status) in [("1", 200), ("0", 200), ("0", 429)] {
        let response = client.send(Method::GET, "/v1/organizations", None).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["x-ratelimit-limit"], "2");
        assert_eq!(response.headers()["x-ratelimit-remaining"], remaining);
        assert_eq!(response.headers()["x-ratelimit-reset"], "1");
    }
    assert_eq!(
        client.get("/v1/projects").await.0,
        200,
        "another endpoint has its own counter"
    );
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(client.get("/v1/organizations").await.0, 200);
}

#[tokio::test]
async fn projects_get_stuck_fail_and_come_late() {
    let client = start("pro").await;
    client.sandbox.behave(|it| it.fate = Fate::Failed);
    let failing = client.create("failing").await;
    client.sandbox.behave(|it| {
        it.fate = Fate::Stuck;
        it.keys_after = Duration::from_mins(1);
        it.pooler_after = Duration::from_mins(1);
        it.listed_after = Duration::from_mins(1);
    });
    let stuck = client.create("stuck").await;
    client.wait_for(&failing, "INIT_FAILED").await;
    client.wait_for(&stuck, "COMING_UP").await;
    assert_eq!(
        client.get(LIST).await.1["pagination"]["count"],
        1,
        "the other is not listed yet"
    );
    client.sandbox.unstick();
    client.wait_for(&stuck, "ACTIVE_HEALTHY").await;
    assert_eq!(client.get(&format!("/v1/projects/{stuck}/api-keys")).await.0, 400);
    let (_, health) = client
        .get(&format!("/v1/projects/{stuck}/health?services=pooler"))
        .await;
    assert_eq!(health[0]["status"], "UNHEALTHY");
    assert!(
        client
            .login(&format!("postgres.{stuck}"), crate::common::PASSWORD)
            .await
            .is_err()
    );
    client.assert_no_violations();
}

#[tokio::test]
async fn wrong_tokens_names_and_fields_are_refused() {
    let client = start("pro").await;
    client.sandbox.behave(|it| it.refuse_duplicate_names = true);
    client.create("tenant-a").await;
    let create = async |body: Value| client.call(Method::POST, "/v1/projects", Some(body)).await;
    let (status, body) = create(new_project("tenant-a")).await;
    assert_eq!(status, 400);
    assert!(
        body["message"]
            .as_str()
            .unwrap()
            .contains("already exists in your organization.")
    );
    client.sandbox.behave(|it| it.project_limit = Some(1));
    let (status, body) = create(new_project("tenant-b")).await;
    assert_eq!(status, 400);
    assert!(body["message"].as_str().unwrap().contains("maximum limits"));
    assert_eq!(create(new_project("tenant.b")).await.0, 400);
    client.assert_no_violations();

    let mut unknown_field = new_project("tenant-b");
    unknown_field["labels"] = json!({});
    assert_eq!(create(unknown_field).await.0, 400);
    assert_eq!(
        client.sandbox.violations().len(),
        usize::from(client.sandbox.is_checked())
    );

    client.sandbox.set_tokens(vec!["first".to_owned(), "second".to_owned()]);
    assert_eq!(client.get("/v1/projects").await.0, 200);
    client.sandbox.set_tokens(Vec::new());
    let (status, body) = client.get("/v1/projects").await;
    assert_eq!((status, body), (401, json!({"message": "Unauthorized"})));
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
async fn rules_edit_and_replace_answers() {
    let client = start("pro").await;
    client.create("tenant-a").await;
    client.create("tenant-b").await;
    let add = async |rule: Value| {
        let (status, body) = client.call(Method::POST, "/_sandbox/rules", Some(rule)).await;
        assert_eq!(status, 201, "{body}");
        body["id"].as_u64().unwrap()
    };
    let edited = add(json!({
        "method": "get", "path": "^/v1/organizations/[^/]+/projects$", "times": 1,
        "merge": {"pagination": null},
        "edit": [
            {"op": "add", "path": "/projects/-", "value": {"ref": "odd", "name": null, "status": "x"}},
            {"op": "replace", "path": "/projects/*/status", "value": "PROMOTING"},
            {"op": "remove", "path": "/projects/0/databases"},
        ],
    }))
    .await;
    let (_, listed) = client.get(LIST).await;
    assert_eq!(listed.get("pagination"), None);
    let projects = listed["projects"].as_array().unwrap();
    assert_eq!(projects.len(), 3);
    assert!(projects.iter().all(|it| it["status"] == "PROMOTING"));
    assert_eq!(
        (&projects[2]["name"], projects[0].get("databases")),
        (&Value::Null, None)
    );
    assert_eq!(client.get(LIST).await.1["projects"].as_array().unwrap().len(), 2);
    let gone = client
        .call(Method::DELETE, &format!("/_sandbox/rules/{edited}"), None)
        .await;
    assert_eq!(gone.0, 404, "it was used up");

    // In place of the operation, without a token, and only for one request's body.
    let refusal = add(json!({"method": "POST", "request": "tenant-c", "status": 403, "text": "Forbidden"})).await;
    let response = client
        .send(Method::POST, "/v1/projects", Some(new_project("tenant-c")))
        .await
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (403, &"text/plain; charset=utf-8".parse().unwrap())
    );
    assert_eq!(response.text().await.unwrap(), "Forbidden");
    client.create("tenant-d").await;
    let (_, rules) = client.get("/_sandbox/rules").await;
    assert_eq!((&rules[0]["id"], &rules[0]["met"]), (&json!(refusal), &json!(1)));
    client.sandbox.rules().clear();

    // The effect takes place and the answer is another one.
    let odd = Rule {
        method: Some("POST".to_owned()),
        status: Some(544),
        body: Some(json!("a word")),
        effect: Some(true),
        ..Rule::default()
    };
    client.sandbox.rules().add(odd).unwrap();
    let answer = client
        .call(Method::POST, "/v1/projects", Some(new_project("tenant-c")))
        .await;
    assert_eq!(answer, (544, json!("a word")));
    assert_eq!(client.get(LIST).await.1["pagination"]["count"], 4);

    // A refusal is not edited; an edit that cannot be made is seen.
    let edit = json!([{"op": "remove", "path": "/0/nothing"}]);
    add(json!({"path": "projects/aaaaaaaaaaaaaaaaaaaa$", "edit": edit})).await;
    assert_eq!(client.get("/v1/projects/aaaaaaaaaaaaaaaaaaaa").await.0, 404);
    add(json!({"path": "/v1/organizations$", "edit": edit})).await;
    assert_eq!(client.get("/v1/organizations").await.0, 500);
    for wrong in [json!({"path": "("}), json!({"edit": [{"op": "?"}]})] {
        assert_eq!(client.call(Method::POST, "/_sandbox/rules", Some(wrong)).await.0, 400);
    }
}
