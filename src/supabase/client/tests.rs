#![allow(clippy::unwrap_used)]
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::Client;
use crate::api::condition::Reason;
use crate::error::ErrorClass;
use crate::supabase::error::Error;
use crate::supabase::health::Service;
use crate::supabase::rate_limit::QueuePlace;
use crate::supabase::settings::ApiSettings;
use crate::supabase::types::{CreatedProject, KeyType, NewProject, RegionSelection};
use crate::supabase::wire_tests::{Play, TOKEN, Wire, ok};
use crate::telemetry::metrics::Metrics;

mod names;

const PASSWORD: &str = "Very-secret_password.0123456789~";
const REF: &str = "abcdefghijklmnopqrst";

fn new_project() -> NewProject {
    NewProject {
        name: "orch-marker".into(),
        organization: "acme".into(),
        password: PASSWORD.into(),
        region: RegionSelection::Specific("eu-central-1".into()),
        instance_size: None,
    }
}

async fn create(client: &Client) -> Result<CreatedProject, Error> {
    let place = QueuePlace {
        since: jiff::Timestamp::UNIX_EPOCH,
        name: "tenants/one".into(),
    };
    let permit = client.permit_creation("acme", &place).await?;
    client.create_project(&new_project(), permit).await
}

fn created() -> Value {
    json!({"id": REF, "ref": REF, "organization_id": "acme", "organization_slug": "acme",
        "name": "orch-marker", "region": "eu-central-1", "created_at": "2026-05-22T10:00:00Z",
        "status": "UNKNOWN"})
}

/// A write, and everything that its error and its client show.
async fn create_against(play: Play) -> (Result<CreatedProject, Error>, usize, String) {
    let wire = Wire::play(move |_, _| play.clone()).await;
    let metrics = Arc::new(Metrics::default());
    let client = wire.client(&metrics);
    let outcome = create(&client).await;
    let shown = format!(
        "{outcome:?} {client:?} {:?} {}",
        new_project(),
        metrics.encode().unwrap()
    );
    let shown = match &outcome {
        Err(error) => format!("{shown} {error}"),
        Ok(_) => shown,
    };
    (outcome, wire.seen().len(), shown)
}

#[tokio::test]
async fn a_create_sends_what_the_schema_allows_and_nothing_else() {
    let wire = Wire::play(|_, _| Play::Answer(201, "", created().to_string())).await;
    let client = wire.client(&Arc::default());
    let project = create(&client).await.unwrap();
    assert_eq!((project.reference.as_str(), project.status.as_ref()), (REF, "UNKNOWN"));
    let seen = &wire.seen()[0];
    assert_eq!(seen.line, "POST /v1/projects HTTP/1.1");
    assert!(
        seen.head.contains(&format!("authorization: Bearer {TOKEN}\r\n")),
        "{}",
        seen.head
    );
    assert!(seen.head.contains("user-agent: orchestra-operator/"), "{}", seen.head);
    assert_eq!(
        serde_json::from_str::<Value>(&seen.body).unwrap(),
        json!({"name": "orch-marker", "organization_slug": "acme", "db_pass": PASSWORD,
            "region_selection": {"type": "specific", "code": "eu-central-1"}})
    );
}

#[tokio::test]
async fn a_write_is_sent_once_whatever_happens_and_knows_what_it_does_not_know() {
    let echo = format!(r#"{{"message":"{PASSWORD} and {TOKEN} are weak"}}"#);
    let html = "<html><title>502 Bad Gateway</title></html>".to_owned();
    let half = created().to_string()[..40].to_owned();
    for (play, unknown, reason) in [
        (Play::Dropped, true, Reason::ProviderUnavailable),
        (Play::Answer(502, "", html.clone()), true, Reason::ProviderUnavailable),
        (Play::Answer(500, "", echo.clone()), true, Reason::ProviderUnavailable),
        (Play::Answer(201, "", html), true, Reason::ProviderUnavailable),
        (Play::Answer(201, "", half.clone()), true, Reason::ProviderUnavailable),
        (Play::Truncated(201, half), true, Reason::ProviderUnavailable),
        (Play::Answer(400, "", echo.clone()), false, Reason::RequestRefused),
        (
            Play::Answer(429, "retry-after: 7\r\n", echo),
            false,
            Reason::RateLimited,
        ),
        (
            Play::Answer(307, "location: /v1/other\r\n", String::new()),
            false,
            Reason::RequestRefused,
        ),
    ] {
        let (outcome, requests, shown) = create_against(play.clone()).await;
        let error = outcome.unwrap_err();
        assert_eq!(requests, 1, "{play:?} must not be sent again");
        assert_eq!(
            (error.outcome_unknown(), error.reason()),
            (unknown, reason),
            "{play:?} {error}"
        );
        assert!(!shown.contains(PASSWORD) && !shown.contains(TOKEN), "{shown}");
        assert!(!shown.contains("127.0.0.1:") || !error.to_string().contains("127.0.0.1"));
    }
}

#[tokio::test]
async fn a_refused_connection_is_an_unknown_outcome_and_a_timeout_too() {
    let metrics = Arc::new(Metrics::default());
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let settings = ApiSettings::new(&format!("http://{closed}"), "sandbox.test", &[]).unwrap();
    let mut client = Client::new(Arc::new(settings), &TOKEN.into(), metrics.clone()).unwrap();
    assert!(create(&client).await.unwrap_err().outcome_unknown());
    let wire = Wire::play(|_, _| Play::Slow(Duration::from_secs(5), String::new())).await;
    client.settings = wire.settings();
    client.http = reqwest::Client::builder()
        .timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    assert!(create(&client).await.unwrap_err().outcome_unknown());
    let page = metrics.encode().unwrap();
    assert!(page.contains(r#"operation="create_project",code="connect""#), "{page}");
    assert!(page.contains(r#"operation="create_project",code="timeout""#), "{page}");
}

#[tokio::test]
async fn a_read_is_sent_again_where_that_helps() {
    let wire = Wire::play(|_, n| match n {
        0 => Play::Answer(502, "", "error code: 502".into()),
        1 => Play::Dropped,
        2 => Play::Truncated(200, "[".into()),
        _ => ok("[]"),
    })
    .await;
    let client = wire.client(&Arc::default());
    assert_eq!(client.pooler_config(REF).await.unwrap().len(), 0);
    assert_eq!(wire.seen().len(), 4);

    let wire = Wire::play(|_, _| Play::Answer(503, "", "down".into())).await;
    let error = wire.client(&Arc::default()).get_project(REF).await.unwrap_err();
    assert_eq!((error.class(), wire.seen().len()), (ErrorClass::Transient, 4));

    let wire = Wire::play(|_, _| Play::Answer(401, "", r#"{"message":"Unauthorized"}"#.into())).await;
    let error = wire.client(&Arc::default()).get_project(REF).await.unwrap_err();
    assert_eq!((error.reason(), wire.seen().len()), (Reason::TokenRejected, 1));
}

#[tokio::test]
async fn what_a_proxy_answers_says_nothing_about_the_token() {
    let page = "<html><head><title>Log in to the proxy</title></head></html>";
    let wire = Wire::play(move |_, n| match n {
        0 | 3 => Play::Answer(401, "", page.into()),
        1 => Play::Answer(401, "", r#"{"message":"Unauthorized"}"#.into()),
        2 => ok(page),
        _ => ok("[]"),
    })
    .await;
    let client = wire.client(&Arc::default());
    for (reason, rejected) in [
        (Some(Reason::RequestRefused), false),
        (Some(Reason::TokenRejected), true),
        (Some(Reason::ProviderUnavailable), true),
        (Some(Reason::RequestRefused), true),
        (None, false),
    ] {
        let error = client.pooler_config(REF).await.err();
        let state = client.token_state().is_rejected();
        let told = error.as_ref().map(Error::reason);
        assert_eq!((told, state), (reason, rejected), "{error:?}");
        let hint = error.is_some_and(|error| error.to_string().contains("any proxy before it"));
        assert_eq!(hint, reason == Some(Reason::RequestRefused));
    }
    assert_eq!(wire.seen().len(), 5);
}

#[tokio::test]
async fn a_429_goes_to_the_rate_limiter_and_stops_its_endpoint_and_scope_only() {
    let headers = "x-ratelimit-limit: 120\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 40\r\n";
    let wire = Wire::play(move |seen, _| {
        if seen.line.contains(REF) {
            Play::Answer(429, headers, r#"{"message":"Rate limit exceeded"}"#.into())
        } else {
            ok("[]")
        }
    })
    .await;
    let client = wire.client(&Arc::default());
    for sent in [1, 1] {
        let error = client.api_keys(REF).await.unwrap_err();
        assert!(
            matches!(error.class(), ErrorClass::After(d) if d > Duration::from_secs(35)),
            "{error}"
        );
        assert_eq!(wire.seen().len(), sent);
    }
    client.api_keys("another").await.unwrap();
    assert!(
        wire.seen()[1]
            .line
            .ends_with("/v1/projects/another/api-keys?reveal=true HTTP/1.1")
    );
}

#[tokio::test]
async fn writes_take_empty_answers_and_services_are_repeated_keys() {
    let wire = Wire::play(|seen, _| match seen.line.as_str() {
        line if line.contains("/health") => ok(json!([{"name": "db", "healthy": true, "status": "ACTIVE_HEALTHY"}])),
        line if line.starts_with("DELETE") => ok(""),
        _ => ok("null"),
    })
    .await;
    let client = wire.client(&Arc::default());
    client.delete_project(REF).await.unwrap();
    client.update_database_password(REF, &PASSWORD.into()).await.unwrap();
    assert_eq!(wire.seen()[1].body, format!(r#"{{"password":"{PASSWORD}"}}"#));
    let health = client
        .services_health(REF, &[Service::Db, Service::Auth])
        .await
        .unwrap();
    assert!(wire.seen()[2].line.contains("?services=db&services=auth "));
    assert_eq!(
        super::super::health::health_ready(&health).unwrap_err()[0].0,
        Service::Auth
    );
}

#[test]
fn a_token_that_is_none_is_refused_before_anything_is_sent() {
    for token in ["", " \n", "sbp_\u{7}x", "a\nb"] {
        let settings = Arc::new(ApiSettings::hosted().unwrap());
        let error = Client::new(settings, &token.into(), Arc::default()).unwrap_err();
        assert_eq!(error, Error::TokenMalformed);
    }
}

#[tokio::test]
async fn the_hosted_api_is_reached_with_tls() {
    let settings = Arc::new(ApiSettings::hosted().unwrap());
    let client = Client::new(settings, &TOKEN.into(), Arc::default()).unwrap();
    assert_eq!(client.settings().api_url().scheme(), "https");
}

#[tokio::test]
async fn an_undecodable_answer_does_not_repeat_its_content() {
    let wire = Wire::play(|_, _| ok(r#"[{"name": "sb_secret_key" 3}]"#)).await;
    let error = wire.client(&Arc::default()).api_keys(REF).await.unwrap_err();
    assert!(
        error.to_string().ends_with("Syntax error in line 1, column 27"),
        "{error}"
    );
    let wire = Wire::play(|_, _| ok(json!("sb_secret_key"))).await;
    let error = wire.client(&Arc::default()).api_keys(REF).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("sb_secret"), "{error}");
}

#[tokio::test]
async fn legacy_keys_are_asked_for_only_where_one_is_chosen() {
    let old = json!([{"name": "anon", "type": "legacy", "api_key": "a"},
        {"name": "service_role", "type": "legacy", "api_key": "b"}]);
    let new = json!([{"name": "default", "type": "publishable", "api_key": "sb_publishable_1"},
        {"name": "default", "type": "secret", "api_key": "sb_secret_1"}]);
    let enabled = Play::Answer(200, "", r#"{"enabled": "true"}"#.into());
    let disabled = Play::Answer(200, "", r#"{"enabled": false}"#.into());
    let removed = Play::Answer(404, "", r#"{"message": "Cannot GET /v1/x"}"#.into());
    let odd = Play::Answer(200, "", r#"{"enabled": null}"#.into());
    let proxy = Play::Answer(404, "", "<html></html>".into());
    for (keys, legacy, requests, reason) in [
        (new, enabled.clone(), 1, None),
        (old.clone(), enabled, 2, None),
        (old.clone(), disabled, 2, Some(Reason::KeysDisabled)),
        (old.clone(), removed, 2, Some(Reason::KeysDisabled)),
        (old.clone(), odd, 2, Some(Reason::ProviderUnavailable)),
        (old, proxy, 2, Some(Reason::Provisioning)),
    ] {
        let wire = Wire::play(move |seen, _| {
            if seen.line.contains("/legacy ") {
                return legacy.clone();
            }
            // JSON in a JSON text, as some gateways make of it.
            ok(json!(keys.to_string()).to_string())
        })
        .await;
        let chosen = wire.client(&Arc::default()).chosen_keys(REF, &[]).await;
        assert_eq!(chosen.as_ref().err().map(Error::reason), reason);
        assert_eq!(wire.seen().len(), requests);
    }
}

#[tokio::test]
async fn a_key_is_made_once_for_each_request_and_deleted_by_its_identity() {
    let wire = Wire::play(|_, n| match n {
        0 => Play::Answer(
            201,
            "",
            json!({"id": "1-2", "name": "one_1", "type": "secret", "api_key": "sb_secret_new"}).to_string(),
        ),
        1 => Play::Answer(504, "", String::new()),
        2 => ok(json!({"name": "one_1"}).to_string()),
        3 => Play::Answer(404, "", json!({"message": "API key not found"}).to_string()),
        // A gateway knows nothing of the key, which may still work.
        _ => Play::Answer(
            404,
            "",
            json!({"message": "no Route matched with those values"}).to_string(),
        ),
    })
    .await;
    let client = wire.client(&Arc::default());
    let create = || client.create_api_key(REF, &KeyType::Secret, "one_1", "of a test");
    let key = create().await.unwrap();
    assert_eq!((key.id.as_deref(), key.name.as_str()), (Some("1-2"), "one_1"));
    assert_eq!(key.revealed().unwrap().expose_secret(), "sb_secret_new");
    assert!(create().await.unwrap_err().outcome_unknown());
    client.delete_api_key(REF, "1-2").await.unwrap();
    assert!(client.delete_api_key(REF, "1-2").await.unwrap_err().is_gone());
    assert!(!client.delete_api_key(REF, "1-2").await.unwrap_err().is_gone());
    let seen = wire.seen();
    assert_eq!(seen.len(), 5, "a write is never resent");
    assert!(
        seen[0]
            .line
            .starts_with(&format!("POST /v1/projects/{REF}/api-keys?reveal=true "))
    );
    let body: Value = serde_json::from_str(&seen[0].body).unwrap();
    let wanted = json!({"type": "secret", "name": "one_1", "description": "of a test",
        "secret_jwt_template": {"role": "service_role"}});
    assert_eq!(body, wanted);
    assert!(
        seen[2]
            .line
            .starts_with(&format!("DELETE /v1/projects/{REF}/api-keys/1-2 "))
    );
}

/// One thread, so that the libraries under the client log to this test's lines too.
#[tokio::test]
async fn a_trace_of_everything_shows_no_secret() {
    use crate::telemetry::logs::{LogFormat, subscriber, tests::Lines};

    let wire = Wire::play(|seen, n| match n {
        0 | 1 => Play::Answer(500, "", seen.body.clone()),
        2 => Play::Answer(201, "", created().to_string()),
        _ => ok(json!([{"name": "anon", "api_key": "sb_secret_key"}])),
    })
    .await;
    let client = wire.client(&Arc::default());
    // Registers the places that are traced: one that another test registers at the same moment may miss the
    // subscriber of this one.
    create(&client).await.unwrap_err();
    let lines = Lines::default();
    let writer = lines.clone();
    let logs = subscriber(LogFormat::Text, "trace", move || writer.clone()).unwrap();
    let _logged = tracing::subscriber::set_default(logs);
    tracing::debug!(error = ?create(&client).await, "first");
    tracing::debug!(created = ?create(&client).await, "second");
    tracing::debug!(keys = ?client.api_keys(REF).await, "third");
    let text = lines.text();
    assert!(text.contains("create_project") && text.contains("third"), "{text}");
    for secret in [PASSWORD, TOKEN, "sb_secret_key"] {
        assert!(!text.contains(secret), "{text}");
    }
}
