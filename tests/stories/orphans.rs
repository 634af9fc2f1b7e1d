//! What costs money and serves nobody is counted, told once and listed, and never deleted by the operator.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use orchestra_operator::supabase::marker::{ClusterMarker, mint};
use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition};
use serde_json::{Value, json};

use crate::process::get;
use crate::proof::{database_name, generous_world, projects, soon};
use crate::support::{gone, orchestra, ready, reason, sources, standard_class};
use crate::way_back::taker;

/// Runs a command of the operator's program as an admin of the cluster.
pub fn command(world: &World, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestra-operator"));
    command
        .env_clear()
        .env("KUBECONFIG", world.plane.admin_kubeconfig())
        .args(arguments)
        .output()
        .unwrap()
}

fn orphans(world: &World, output: &str) -> Output {
    let address = format!("--supabase-api-url={}", world.api.url());
    command(world, &["orphans", "-o", output, &address])
}

fn listed(world: &World) -> Vec<Value> {
    let output = orphans(world, "json");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    all.as_array().unwrap().clone()
}

/// Creates a project as somebody else does, and gives its reference.
pub async fn project(world: &World, name: &str) -> String {
    let body = json!({
        "name": name, "db_pass": "Somebody-elses.1", "organization_slug": "acme-org",
        "region_selection": {"type": "specific", "code": "eu-west-1"},
    });
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("{}/v1/projects", world.api.url()))
        .bearer_auth(world.api.token())
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    let created: Value = answer.json().await.unwrap();
    created["ref"].as_str().unwrap().to_owned()
}

/// How often each orphan was reported.
async fn told(world: &World) -> Vec<(String, u64)> {
    let events = world.list(Kind::Event).await.unwrap();
    // The databases publish events of their own, too.
    let orphaned = events
        .iter()
        .filter(|event| event["reason"] == "Orphaned" && event["regarding"]["kind"] != "OrchestraDatabase");
    let mut told: Vec<_> = orphaned
        .map(|event| {
            assert_eq!(
                (&event["type"], &event["regarding"]["kind"]),
                (&json!("Warning"), &json!("OrchestraClass"))
            );
            let count = event["series"]["count"].as_u64().unwrap_or(1);
            (event["related"]["name"].as_str().unwrap().to_owned(), count)
        })
        .collect();
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn orphans_are_counted_told_once_and_listed() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let resync = |command: &mut Command| {
        command.env("ORCHESTRA_RESYNC", "1s");
    };
    let mut operator = world.operator("operator", resync).unwrap();
    // The answer to its creation is lost: it is held all the same, and no orphan.
    world.api.faults().add(Operation::CreateProject, 1, Fault::LoseResponse);
    for name in ["one", "kept", "deserted"] {
        orchestra(&world, name, "");
    }
    for name in ["one", "kept", "deserted"] {
        ready(&world, name).await;
    }
    let nothing = orphans(&world, "table");
    assert!(nothing.status.success());
    assert!(String::from_utf8_lossy(&nothing.stdout).starts_with("none: "));
    assert!(listed(&world).is_empty() && told(&world).await.is_empty());

    // Its marker names this cluster, and no OrchestraDatabase holds it; the others are not ours.
    let uid = world
        .kubectl(["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"])
        .unwrap();
    let (ours, stranger) = (ClusterMarker::of(&uid).unwrap(), "11111111-2222-4333-8444-555555555555");
    let held = projects(&world, "one").await.remove(0);
    assert!(ours.made(&held.name), "{}", held.name);
    let orphan = project(&world, &mint(&ours, TENANTS, "forgotten", stranger)).await;
    project(
        &world,
        &mint(&ClusterMarker::of(stranger).unwrap(), TENANTS, "one", stranger),
    )
    .await;
    project(&world, "somebody's own project").await;

    let (kept, deserted) = (
        database_name(&world, "kept").await,
        database_name(&world, "deserted").await,
    );
    world
        .kubectl(["delete", "orchestra", "kept", "-n", TENANTS, "--wait=false"])
        .unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "kept").await;
    operator.kill().unwrap();
    let forced = r#"{"metadata":{"finalizers":null}}"#;
    world
        .kubectl(["delete", "orchestra", "deserted", "-n", TENANTS, "--wait=false"])
        .unwrap();
    world
        .kubectl([
            "patch",
            "orchestra",
            "deserted",
            "-n",
            TENANTS,
            "--type=merge",
            "-p",
            forced,
        ])
        .unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "deserted").await;
    let operator = world.operator("second", resync).unwrap();

    let monthly = r#"orchestra_orphans_cost_monthly{class="standard",kind="#;
    for line in [
        r#"orchestra_orphans{class="standard",kind="project"} 1"#.to_owned(),
        r#"orchestra_orphans{class="standard",kind="database"} 2"#.to_owned(),
        format!(r#"{monthly}"project",currency="USD"}} 9.81"#),
        format!(r#"{monthly}"database",currency="USD"}} 19.62"#),
    ] {
        soon(&line, async || get(&operator, "/metrics").await.1.contains(&line)).await;
    }

    who_waits_for_it_is_told_how_it_is_released(&world, &deserted).await;
    the_list_tells_what_they_are(&world, &kept, &deserted, &orphan);
    each_is_told_once(&world, &kept, &deserted, &orphan).await;
    what_to_do_is_what_works(&world, &kept, &deserted, &orphan).await;
    a_missing_token_is_no_clean_list(&world);
}

async fn who_waits_for_it_is_told_how_it_is_released(world: &World, deserted: &str) {
    taker(world, TENANTS, "heir", deserted, "");
    let heir = reason(world, "heir", "InUse").await;
    let message = condition(&heir, "Ready").2;
    let command = format!("kubectl patch orchdb {deserted} --type=merge -p");
    assert!(
        message.contains("was never released") && message.contains(&command),
        "{message}"
    );
    world
        .kubectl(["delete", "orch", "heir", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
}

fn the_list_tells_what_they_are(world: &World, kept: &str, deserted: &str, orphan: &str) {
    let found = listed(world);
    let status = |name: &str| {
        let one = found
            .iter()
            .find(|one| one["name"] == name || one["project"] == name)
            .unwrap();
        assert_eq!(
            (&one["monthly"], &one["currency"], &one["class"]),
            (&json!("9.81"), &json!("USD"), &json!("standard")),
            "{one:#}"
        );
        (
            one["kind"].as_str().unwrap(),
            one["status"].as_str().unwrap(),
            one["region"].as_str().unwrap(),
        )
    };
    assert_eq!(found.len(), 3, "{found:#?}");
    let (kind, _, region) = status(orphan);
    assert_eq!((kind, region), ("Project", "eu-west-1"));
    assert_eq!(status(kept), ("OrchestraDatabase", "Released", "eu-central-1"));
    assert_eq!(status(deserted), ("OrchestraDatabase", "Deserted", "eu-central-1"));
    let table = String::from_utf8(orphans(world, "table").stdout).unwrap();
    assert!(table.contains(&format!("supabase projects delete {orphan}")), "{table}");
    let csv = String::from_utf8(orphans(world, "csv").stdout).unwrap();
    assert!(
        csv.starts_with("kind,project,name,class,region,status,since,currency,monthly,next\n"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 4, "{csv}");
}

async fn each_is_told_once(world: &World, kept: &str, deserted: &str, orphan: &str) {
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let told = told(world).await;
    // The first operator may have reported what it saw before it was killed.
    let names: BTreeSet<_> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from([kept, deserted, orphan]), "{told:?}");
    assert!(told.len() <= 5 && told.iter().all(|(_, count)| *count == 1), "{told:?}");
    let once = told.iter().filter(|(name, _)| name == deserted).count();
    assert_eq!(once, 1, "{told:?}");
    assert_eq!(
        world.api.ledger().count(Operation::DeleteProject),
        0,
        "the operator deletes none"
    );
}

/// The steps that the list names end in an empty list.
async fn what_to_do_is_what_works(world: &World, kept: &str, deserted: &str, orphan: &str) {
    let now = format!(r#"{{"spec":{{"releasedAt":"{}"}}}}"#, jiff::Timestamp::now());
    world
        .kubectl(["patch", "orchdb", deserted, "--type=merge", "-p", &now])
        .unwrap();
    let destroy = r#"{"spec":{"reclaimPolicy":"Delete"}}"#;
    for name in [kept, deserted] {
        world
            .kubectl(["patch", "orchdb", name, "--type=merge", "-p", destroy])
            .unwrap();
        gone(world, Kind::Database, "", name).await;
    }
    let left = listed(world);
    assert_eq!(left.len(), 1, "{left:#?}");
    let url = format!("{}/v1/projects/{orphan}", world.api.url());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let deleted = async || {
        let answer = http.delete(&url).bearer_auth(world.api.token()).send().await.unwrap();
        answer.status().is_success()
    };
    soon("the project is old enough to be deleted", deleted).await;
    assert!(listed(world).is_empty());
    let one = world.get(Kind::Orchestra, TENANTS, "one").await.unwrap().unwrap();
    assert!(orchestra_sandbox::world::is_true(&one, "Ready"));
}

fn a_missing_token_is_no_clean_list(world: &World) {
    world
        .kubectl(["delete", "secret", "supabase-token", "-n", SYSTEM])
        .unwrap();
    let output = orphans(world, "table");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(
            "this is not all: class standard: cannot read Secret supabase-token in namespace orchestra-system"
        ),
        "{said}"
    );
    assert!(!said.contains(&world.api.token()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_organization_of_two_classes_counts_once() {
    let world = generous_world().await;
    standard_class(&world, "");
    world
        .apply(
            r"
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {name: another}
spec:
  provider: {supabase: {organization: acme-org, tokenSecretRef: {name: supabase-token}}}
",
        )
        .unwrap();
    let uid = world
        .kubectl(["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"])
        .unwrap();
    let stranger = "11111111-2222-4333-8444-555555555555";
    project(
        &world,
        &mint(&ClusterMarker::of(&uid).unwrap(), TENANTS, "forgotten", stranger),
    )
    .await;
    let operator = world
        .operator("operator", |command| {
            command.env("ORCHESTRA_RESYNC", "1s");
        })
        .unwrap();
    let counts = async |class: &str, count: u8| {
        let line = format!("orchestra_orphans{{class=\"{class}\",kind=\"project\"}} {count}\n");
        get(&operator, "/metrics").await.1.contains(&line)
    };
    soon("one class counts it, and the other does not", async || {
        counts("another", 1).await && counts("standard", 0).await
    })
    .await;
    assert_eq!(listed(&world).len(), 1);
}
