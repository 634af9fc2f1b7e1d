//! Tokens that change, end or are wrong: creations wait for a better one, and tenants never notice.

use std::time::Duration;

use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::random;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::proof::{generous_world, one_project_and_both_logins, soon};
use crate::support::{LONG, orchestra, ready, reason, sources, standard_class};

fn token() -> String {
    format!("sbp_{}", random::hex(40))
}

fn store(world: &World, token: &str) {
    world.store_secret("supabase-token", "token", token).unwrap();
}

async fn class(world: &World, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    world.until(Kind::Class, ("", name), LONG, is).await.unwrap()
}

async fn token_is(world: &World, reason: &str) -> String {
    let is = |class: &Value| condition(class, "TokenAccepted").1 == reason;
    let class = class(world, "standard", is).await;
    condition(&class, "TokenAccepted").2
}

/// How often the provider answered 401.
fn rejections(world: &World) -> usize {
    let all = world.api.ledger().requests();
    all.iter().filter(|request| request.status == Some(401)).count()
}

/// Warning events of this reason that speak of the class.
async fn warned(world: &World, reason: &str) -> bool {
    let events = world.list(Kind::Event).await.unwrap();
    events.iter().any(|event| {
        event["regarding"]["kind"] == "OrchestraClass" && event["type"] == "Warning" && event["reason"] == reason
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_token_is_used_by_the_next_request() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "before", "");
    ready(&world, "before").await;
    let known = class(&world, "standard", |class| is_true(class, "TokenAccepted")).await;
    let user = known["status"]["account"]["user"].as_str().unwrap().to_owned();
    assert!(condition(&known, "TokenAccepted").2.contains(&user), "{known:#}");
    let checked = world.api.ledger().count(Operation::GetOrganization);
    assert_eq!(checked, 1, "a token is checked once, and then by use");

    // In the overlap both are good; then the old one goes.
    let (old, new) = (world.api.token(), token());
    world.api.set_tokens(vec![old, new.clone()]);
    store(&world, &new);
    soon("the new one is checked", async || {
        world.api.ledger().count(Operation::GetOrganization) == checked + 1
    })
    .await;
    world.api.set_tokens(vec![new.clone()]);
    orchestra(&world, "after", "");
    one_project_and_both_logins(&world, "after").await;
    one_project_and_both_logins(&world, "before").await;
    assert_eq!(rejections(&world), 0, "the old token was used once more");
    assert_eq!(world.api.ledger().count(Operation::GetOrganization), checked + 1);

    // A 401 triggers all classes with that token at once, long before their next pass; and a transient problem of the
    // provider is transient here, too.
    let twin = |deadline: &str| {
        let class = format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {{name: twin}}, spec: {{progressDeadline: {deadline}, \
             provider: {{supabase: {{organization: acme-org, tokenSecretRef: {{name: supabase-token}}}}}}}}}}"
        );
        world.apply(&class).unwrap();
    };
    twin("10m");
    class(&world, "twin", |class| is_true(class, "TokenAccepted")).await;
    world.api.set_tokens(vec![]);
    twin("11m");
    let message = token_is(&world, "TokenRejected").await;
    assert!(message.contains(&format!("belongs to user {user}")), "{message}");
    world.api.set_tokens(vec![new]);
    token_is(&world, "TokenAccepted").await;
    for name in ["before", "after"] {
        assert!(is_true(&ready(&world, name).await, "Available"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_in_mid_creation_loses_nothing() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let operator = world.operator("operator", |_| {}).unwrap();
    class(&world, "standard", |class| is_true(class, "Available")).await;
    // Some are created, one is under way, and the others are still to come.
    let names: Vec<String> = (0..10).map(|number| format!("bulk-{number}")).collect();
    world.api.behave(|provider| provider.coming_up = Duration::from_secs(1));
    for name in &names[..5] {
        orchestra(&world, name, "");
    }
    soon("the first are created", async || {
        world.api.ledger().projects().len() >= 3
    })
    .await;
    world.api.faults().add(Operation::CreateProject, 1, Fault::HoldAfter);
    for name in &names[5..] {
        orchestra(&world, name, "");
    }
    world.api.faults().wait_until_held(Operation::CreateProject).await;
    world.api.set_tokens(vec![]);
    world.api.faults().release(Operation::CreateProject);

    let message = token_is(&world, "TokenRejected").await;
    assert!(message.contains("put a new one into the token Secret"), "{message}");
    soon("the creations that are left stall", async || {
        let all = world.list(Kind::Orchestra).await.unwrap();
        all.iter()
            .any(|object| condition(object, "Stalled").1 == "TokenRejected")
    })
    .await;
    soon("the class warns", async || warned(&world, "TokenRejected").await).await;
    let new = token();
    world.api.set_tokens(vec![new.clone()]);
    store(&world, &new);
    for name in &names {
        one_project_and_both_logins(&world, name).await;
    }
    assert_eq!(world.api.ledger().projects().len(), 10);
    assert!(world.api.ledger().most_alive().values().all(|most| *most <= 1));
    assert!(token_is(&world, "TokenAccepted").await.contains("accepts the token"));
    assert!(!operator.log().contains(&new), "a token in the log");
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_wrong_token_stalls_the_creations_of_its_class_and_nothing_else() {
    let world = generous_world().await;
    standard_class(&world, "");
    let other = token();
    world.api.set_tokens(vec![world.api.token(), other.clone()]);
    world.store_secret("other-token", "token", &other).unwrap();
    world
        .apply(
            "
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {name: other}
spec: {provider: {supabase: {organization: acme-org, tokenSecretRef: {name: other-token}}}}
",
        )
        .unwrap();
    sources(&world);
    let fast = |command: &mut std::process::Command| {
        command.env("ORCHESTRA_RESYNC", "1s");
    };
    let mut operator = world.operator("operator", fast).unwrap();
    orchestra(&world, "lives", "");
    orchestra(&world, "elsewhere", "  className: other");
    ready(&world, "lives").await;
    ready(&world, "elsewhere").await;
    let database = crate::proof::database_name(&world, "lives").await;
    let flips = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let times = conditions
            .iter()
            .filter(|is| ["Ready", "Available"].contains(&is["type"].as_str().unwrap_or_default()));
        times
            .map(|is| (is["status"].clone(), is["lastTransitionTime"].clone()))
            .collect::<Vec<_>>()
    };
    let before = flips(&ready(&world, "lives").await);

    world.api.set_tokens(vec![other]);
    // Nobody asks for anything: the resync is what meets it.
    token_is(&world, "TokenRejected").await;
    orchestra(&world, "waits", "");
    let waits = reason(&world, "waits", "TokenRejected").await;
    assert!(is_true(&waits, "Stalled"), "{waits:#}");
    let unharmed = async |when: &str| {
        for _ in 0..30 {
            let object = world.get(Kind::Orchestra, TENANTS, "lives").await.unwrap().unwrap();
            assert!(
                is_true(&object, "Ready") && is_true(&object, "Available"),
                "{when}: {object:#}"
            );
            assert_eq!(condition(&object, "Stalled").0, "", "{when}: {object:#}");
            assert_eq!(flips(&object), before, "{when}");
            let object = world.get(Kind::Database, "", &database).await.unwrap().unwrap();
            assert!(is_true(&object, "Ready"), "{when}: {object:#}");
            assert_eq!(condition(&object, "Stalled").0, "", "{when}: {object:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    unharmed("after the resync").await;
    operator.terminate().unwrap();
    let _operator = world.operator("again", fast).unwrap();
    orchestra(&world, "later", "");
    reason(&world, "later", "TokenRejected").await;
    unharmed("after a restart").await;
    drop(crate::proof::tenant(&world, "lives").await);

    // The class with a good token continues to create projects.
    orchestra(&world, "elsewhere-too", "  className: other");
    one_project_and_both_logins(&world, "elsewhere-too").await;
    let good = class(&world, "other", |_| true).await;
    assert!(is_true(&good, "TokenAccepted") && is_true(&good, "Ready"), "{good:#}");
    assert_eq!(world.api.ledger().projects().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_token_that_cannot_be_one_says_so_and_one_that_ends_soon_warns() {
    let world = generous_world().await;
    standard_class(&world, "");
    let operator = world.operator("operator", |_| {}).unwrap();
    let good = world.api.token();
    token_is(&world, "TokenAccepted").await;
    for wrong in ["", " \n"] {
        store(&world, wrong);
        let message = token_is(&world, "TokenMissing").await;
        assert!(
            message.contains("or it is empty: put the Management API token into key token of Secret supabase-token"),
            "{message}"
        );
        store(&world, &good);
        token_is(&world, "TokenAccepted").await;
    }
    for (wrong, says) in [
        (format!("\"{good}\""), "write it without quotes"),
        (format!("\u{feff}{good}"), "without a byte order mark"),
    ] {
        store(&world, &wrong);
        let message = token_is(&world, "TokenMissing").await;
        assert!(message.contains(says) && !message.contains(&good), "{message}");
        store(&world, &good);
        token_is(&world, "TokenAccepted").await;
    }
    let sent = world.api.ledger().requests().len();
    store(&world, &format!("{}\n{}", &good[..20], &good[20..]));
    let message = token_is(&world, "TokenRejected").await;
    assert!(
        message.contains("holds characters that no token has; check its Secret"),
        "{message}"
    );
    assert_eq!(world.api.ledger().requests().len(), sent, "it was sent");
    // Files end in a line feed, and so do Secrets made of them.
    store(&world, &format!("{good}\n"));
    token_is(&world, "TokenAccepted").await;

    let annotate = |text: &str| {
        let annotation = format!("stagesub.io/token-expires-at={text}");
        world
            .kubectl([
                "annotate",
                "secret",
                "supabase-token",
                "-n",
                SYSTEM,
                "--overwrite",
                &annotation,
            ])
            .unwrap();
    };
    annotate("soon");
    let told = |class: &Value| {
        condition(class, "TokenAccepted")
            .2
            .contains("is neither a date like 2026-12-31")
    };
    let unread = class(&world, "standard", told).await;
    assert!(
        is_true(&unread, "TokenAccepted") && is_true(&unread, "Ready"),
        "{unread:#}"
    );
    annotate("2999-01-01");
    let dated = class(&world, "standard", |class| {
        class["status"]["account"]["tokenExpiresAt"] == "2999-01-01T00:00:00Z"
    })
    .await;
    assert_eq!(condition(&dated, "TokenAccepted").1, "TokenAccepted");
    assert!(!warned(&world, "TokenExpiring").await);
    let soon_over = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(13 * 24);
    annotate(&soon_over.to_string());
    let message = token_is(&world, "TokenExpiring").await;
    assert!(
        message.contains("put a new one into its Secret, and correct the annotation"),
        "{message}"
    );
    soon("it warns", async || warned(&world, "TokenExpiring").await).await;
    let line = format!(
        r#"orchestra_class_token_expiration_timestamp_seconds{{class="standard"}} {}"#,
        soon_over.as_second()
    );
    soon("the metrics tell", async || {
        crate::process::get(&operator, "/metrics").await.1.contains(&line)
    })
    .await;
    // It still works, so nothing is delayed.
    let class = class(&world, "standard", |_| true).await;
    assert!(is_true(&class, "Available") && is_true(&class, "Ready"), "{class:#}");
}
