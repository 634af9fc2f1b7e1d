//! Backups by schedule. A time that has come is one that was missed while no operator ran: the test writes it into the status
//! as the operator would have.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use super::{DESTINATION, manifests, runner};
use crate::plugin::user::User;
use crate::proof::soon;
use crate::support::{
    LONG, events_with, gone, orchestra, patch_status, project, ready, sources, standard_class, world,
};

/// The names of the backups.
async fn names(world: &World) -> Vec<String> {
    let mut all = world.list(Kind::Backup).await.unwrap();
    all.sort_by_key(|backup| backup["metadata"]["name"].to_string());
    let name = |backup: &Value| backup["metadata"]["name"].as_str().unwrap().to_owned();
    all.iter().map(name).collect()
}

async fn until(world: &World, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap()
}

fn next_of(object: &Value) -> Option<Timestamp> {
    object["status"]["backup"]["nextTime"].as_str()?.parse().ok()
}

/// The next time, once it is recorded.
async fn next(world: &World, name: &str) -> Timestamp {
    next_of(&until(world, name, |object| next_of(object).is_some()).await).unwrap()
}

/// Makes a time of the schedule, so many days ago, the one that is due.
fn miss(world: &World, name: &str, next: Timestamp, days: i64) {
    let missed = next - SignedDuration::from_hours(24 * days);
    patch_status(
        world,
        "orch",
        name,
        &json!({"backup": {"nextTime": missed.to_string()}}),
    );
}

fn patch(world: &World, name: &str, patch: &Value) {
    let patch = patch.to_string();
    world
        .kubectl(["patch", "orch", name, "-n", TENANTS, "--type=merge", "-p", &patch])
        .unwrap();
}

/// The operator is away while two times pass: one backup makes up for both, also when the operator is killed as soon as it is
/// there. The next ones push it out of the retention, with its data; the one that a person has made stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_missed_time_is_made_up_for_once_and_old_backups_go() {
    let world = world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, DESTINATION);
    sources(&world);
    // Not while the test runs.
    let hour = (Timestamp::now().to_zoned(TimeZone::UTC).hour() + 12) % 24;
    let schedule = format!("  backup: {{schedule: \"0 {hour} * * *\", retention: {{last: 2}}}}");
    orchestra(&world, "acme", &schedule);
    ready(&world, "acme").await;
    let time = next(&world, "acme").await;
    let now = Timestamp::now();
    assert!(time > now && time < now + SignedDuration::from_hours(25), "{time}");
    let begins = until(&world, "acme", |object| condition(object, "BackedUp").1 == "Pending").await;
    assert!(is_true(&begins, "Ready"), "a new schedule is nothing to wait for");

    super::backup(&world, "by-hand", "acme", "Retain");
    operator.kill().unwrap();
    miss(&world, "acme", time, 3);
    operator = world.operator("second", |_| {}).unwrap();
    soon("the missed one is made", async || names(&world).await.len() == 2).await;
    operator.kill().unwrap();
    let _runner = runner(&world).await;
    let _operator = world.operator("third", |_| {}).unwrap();
    let done = until(&world, "acme", |object| is_true(object, "BackedUp")).await;
    assert_eq!(
        next_of(&done),
        Some(time),
        "the times between are not made up for as well"
    );
    let first = done["status"]["backup"]["last"].as_str().unwrap().to_owned();
    let known = &done["status"]["backup"];
    let at = |field: &str| -> Timestamp { known[field].as_str().unwrap().parse().unwrap() };
    assert!(at("recoveryPointTime") >= at("lastCompleteTime"), "{known:#}");
    assert!(
        at("recoveryPointDeadline") > time,
        "the missed one was made up for: {known:#}"
    );
    assert_eq!(names(&world).await, [first.clone(), "by-hand".to_owned()]);
    let made = world.get(Kind::Backup, TENANTS, &first).await.unwrap().unwrap();
    assert_eq!(made["spec"]["deletionPolicy"], "Delete", "with a retention");
    assert!(
        made["metadata"]["ownerReferences"].is_null(),
        "it outlives its Orchestra"
    );
    super::until(&world, "by-hand", |backup| is_true(backup, "Ready")).await;

    // A person labels the other one as the schedule's oldest, so that the operator would delete it.
    let uid = format!(
        "stagesub.io/orchestra-uid={}",
        done["metadata"]["uid"].as_str().unwrap()
    );
    let fired = (time - SignedDuration::from_hours(24 * 4)).as_second();
    let fired = format!("stagesub.io/scheduled-at={}", fired - fired % 60);
    world
        .kubectl(["label", "orchbackup", "by-hand", "-n", TENANTS, &uid, &fired])
        .unwrap();

    // Two more of the schedule, and the first is gone, with its data.
    for days in [2, 1] {
        let last = done_again(&world, time, days).await;
        assert_ne!(last, first);
    }
    gone(&world, Kind::Backup, TENANTS, &first).await;
    let left = names(&world).await;
    assert!(left.len() == 3 && left.contains(&"by-hand".to_owned()), "{left:?}");
    assert_eq!(manifests(&world).len(), 3);
}

/// Makes up for another time; the name of its backup.
async fn done_again(world: &World, time: Timestamp, days: i64) -> String {
    let before = until(world, "acme", |_| true).await["status"]["backup"]["last"].clone();
    miss(world, "acme", time, days);
    patch(
        world,
        "acme",
        &json!({"metadata": {"labels": {"round": days.to_string()}}}),
    );
    let is = |object: &Value| object["status"]["backup"]["last"] != before && next_of(object) == Some(time);
    let name = until(world, "acme", is).await["status"]["backup"]["last"]
        .as_str()
        .unwrap()
        .to_owned();
    super::until(world, &name, |backup| is_true(backup, "Ready")).await;
    name
}

/// The problem of a schedule is reported with the fix, in the condition and an event, and the tenant keeps working.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_cannot_be_carried_out_is_told() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "acme", "  backup: {schedule: \"0 2 * * *\"}");
    ready(&world, "acme").await;
    let told = |reason: &'static str, part: &'static str| {
        move |object: &Value| {
            let (is, why, message) = condition(object, "BackedUp");
            is == "False" && why == reason && message.contains(part)
        }
    };
    until(&world, "acme", told("NoBackupDestination", "spec.backup.destination")).await;
    standard_class(&world, DESTINATION);
    until(&world, "acme", told("Pending", "nextTime")).await;
    for (wrong, part) in [
        (json!({"schedule": "0 0 30 2 *"}), "never fires"),
        (
            json!({"schedule": "0 2 * * *", "timeZone": "Europe/Atlantis"}),
            "does not exist",
        ),
        (
            json!({"schedule": "* * * * *", "timeZone": null}),
            "may fire every 900 s at most",
        ),
    ] {
        patch(&world, "acme", &json!({"spec": {"backup": wrong}}));
        let object = until(&world, "acme", told("ScheduleInvalid", part)).await;
        assert!(is_true(&object, "Available"), "{object:#}");
    }
    events_with(&world, "ScheduleInvalid").await;
    // The class's schedule applies to Orchestras without one, and the path in the message is the class's.
    standard_class(
        &world,
        "  backup: {destination: {persistentVolumeClaim: {claimName: backups}}, schedule: \"0 0 31 6 *\"}",
    );
    patch(&world, "acme", &json!({"spec": {"backup": {"schedule": null}}}));
    until(
        &world,
        "acme",
        told("ScheduleInvalid", "OrchestraClass standard: spec.backup.schedule"),
    )
    .await;
    let wrong = |class: &Value| {
        let (is, _, message) = condition(class, "Ready");
        is == "True" && message.contains("spec.backup.schedule \"0 0 31 6 *\" never fires")
    };
    world.until(Kind::Class, ("", "standard"), LONG, wrong).await.unwrap();
    patch(&world, "acme", &json!({"spec": {"backup": {"suspend": true}}}));
    // The schedule and the Orchestra have a pass each.
    let is_quiet = |object: &Value| condition(object, "BackedUp").0.is_empty() && is_true(object, "Ready");
    let object = until(&world, "acme", is_quiet).await;
    assert!(next_of(&object).is_none(), "{object:#}");
    assert_eq!(names(&world).await, Vec::<String>::new());
}

/// The sample.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn the_sample_is_backed_up_on_demand_and_has_a_next_time() {
    let world = world().await;
    let _runner = runner(&world).await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, DESTINATION);
    let folder = project().join("deploy/samples/backups");
    world.kubectl(["apply", "-k", folder.to_str().unwrap()]).unwrap();
    ready(&world, "archive").await;
    super::until(&world, "archive-before-the-move", |backup| is_true(backup, "Ready")).await;
    let time = next(&world, "archive").await;
    assert!(time > Timestamp::now());
    let ada = User::ada(&world).await;
    let wait = [
        "backup",
        "archive",
        "--name",
        "now",
        "--wait",
        "--timeout",
        "1m",
        "-o",
        "json",
    ];
    // The object at the end of the work, and nothing else.
    let told: Value = serde_json::from_str(&ada.there(&wait)).unwrap();
    assert_eq!(
        (&told["metadata"]["name"], told["status"]["manifestDigest"].is_string()),
        (&json!("now"), true),
        "{told:#}"
    );
    assert!(ada.there(&["backups", "archive"]).contains("Completed"));

    // What it costs is estimated before a schedule is accepted; one that asks for more than the budget has is refused.
    let class = |limit: &str| {
        let prices = "prices: {sentGigabyte: '1000', storedGigabyte: '1'}";
        let backup = format!("{}}}}}, {prices}}}", DESTINATION.trim_end_matches('}'));
        standard_class(&world, &format!("  budget: {{monthlyLimit: '{limit}'}}\n{backup}"));
    };
    class("30.00");
    patch(
        &world,
        "archive",
        &json!({"spec": {"backup": {"schedule": "*/15 * * * *"}}}),
    );
    let is_refused = |object: &Value| condition(object, "BackedUp").1 == "BudgetExceeded" && is_true(object, "Ready");
    let refused = until(&world, "archive", is_refused).await;
    let (_, _, message) = condition(&refused, "BackedUp");
    assert!(message.contains("spec.budget.monthlyLimit"), "{message}");
    assert_ne!(
        refused["status"]["backup"]["estimate"]["madeAMonth"], 2920,
        "{refused:#}"
    );
    class("900000.00");
    let is_accepted = |object: &Value| object["status"]["backup"]["estimate"]["madeAMonth"] == 2920;
    let accepted = until(&world, "archive", is_accepted).await;
    let monthly = accepted["status"]["backup"]["estimate"]["monthly"]
        .as_str()
        .unwrap()
        .to_owned();
    let told = ada.there(&["status", "archive"]);
    assert!(told.contains(&format!("{monthly} USD a month")), "{told}");
    let bill = ada.there(&["bill", "-o", "csv"]);
    assert!(
        bill.lines()
            .any(|row| row.starts_with("tenants,archive,") && row.ends_with(&format!(",{monthly}"))),
        "{bill}"
    );
}

/// Two schedules are applied at once, and the budget has room for one: the other one is refused, and is accepted when the
/// limit is raised.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_schedules_at_once_the_one_that_fits_is_accepted() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    let class = |limit: f64| {
        let prices = "prices: {sentGigabyte: '1000', storedGigabyte: '0'}";
        let backup = format!("{}}}}}, {prices}}}", DESTINATION.trim_end_matches('}'));
        standard_class(&world, &format!("  budget: {{monthlyLimit: '{limit:.2}'}}\n{backup}"));
    };
    class(100_000.0);
    sources(&world);
    let names = ["one", "two"];
    for name in names {
        orchestra(&world, name, "  backup: {schedule: \"0 2 * * *\"}");
    }
    let monthly = |object: &Value| {
        object["status"]["backup"]["estimate"]["monthly"]
            .as_str()?
            .parse::<f64>()
            .ok()
    };
    let mut dearest = 0.0_f64;
    for name in names {
        ready(&world, name).await;
        let object = until(&world, name, |object| monthly(object).is_some()).await;
        dearest = dearest.max(monthly(&object).unwrap());
        patch(&world, name, &json!({"spec": {"backup": {"schedule": null}}}));
        until(&world, name, |object| object["status"]["backup"].is_null()).await;
    }
    // Of the projects each costs 9.81.
    class(2.0 * 9.81 + 1.5 * dearest);
    let is_seen = |class: &Value| class["status"]["observedGeneration"] == class["metadata"]["generation"];
    world.until(Kind::Class, ("", "standard"), LONG, is_seen).await.unwrap();
    for name in names {
        patch(&world, name, &json!({"spec": {"backup": {"schedule": "0 2 * * *"}}}));
    }
    let accepted = async || {
        let all = world.list(Kind::Orchestra).await.unwrap();
        let refused = all
            .iter()
            .filter(|object| condition(object, "BackedUp").1 == "BudgetExceeded");
        (
            all.iter().filter(|object| next_of(object).is_some()).count(),
            refused.count(),
        )
    };
    soon("one is accepted and one is refused", async || {
        accepted().await == (1, 1)
    })
    .await;
    class(100_000.0);
    soon("both are accepted", async || accepted().await == (2, 0)).await;
}
