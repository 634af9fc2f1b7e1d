//! Requests whose answers repeat the names in them.

use super::*;

#[tokio::test]
async fn the_names_in_a_request_are_no_words_of_its_answer() {
    let wire = Wire::play(|seen, _| {
        let message = if seen.line.starts_with("POST /v1/projects ") {
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            format!("{} already exists in {}", body["name"], body["organization_slug"])
        } else {
            let last = seen.line.split([' ', '?']).nth(1).unwrap().to_owned();
            format!("{last} not found in the project of unpaid-bills")
        };
        Play::Answer(400, "", json!({ "message": message }).to_string())
    })
    .await;
    let client = wire.client(&Arc::default());
    let place = QueuePlace {
        since: jiff::Timestamp::UNIX_EPOCH,
        name: "tenants/invoices".into(),
    };
    let permit = client.permit_creation("free-project-limit", &place).await.unwrap();
    let project = NewProject {
        name: "tenants-invoices-1".into(),
        organization: "free-project-limit".into(),
        ..new_project()
    };
    let error = client.create_project(&project, permit).await.unwrap_err();
    assert_eq!(error.reason(), Reason::OutcomeUnknown, "{error}");
    assert!(
        error.to_string().contains("tenants-invoices-1"),
        "names are shown: {error}"
    );
    let error = client.get_project("unpaid-bills").await.unwrap_err();
    assert_eq!(error.reason(), Reason::RequestRefused, "{error}");
    let made = client.create_api_key(REF, &KeyType::Secret, "invoices_1", "").await;
    assert_eq!(
        made.unwrap_err().reason(),
        Reason::BillingRestricted,
        "another project's name"
    );
    let deleted = client.delete_api_key("unpaid-bills", "invoices-1").await.unwrap_err();
    assert_eq!(deleted.reason(), Reason::RequestRefused, "{deleted}");
}
