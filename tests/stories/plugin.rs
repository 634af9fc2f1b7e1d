//! `kubectl orchestra`, as a user of the cluster with the roles that deploy/ has: each command against the real control
//! plane, its output and exit code, and that no secret is shown.

mod plans;
mod sources;
pub mod user;

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::proof::{generous_world, owner, soon};
use crate::shells;
use crate::support::{
    LONG, events_with, gone, orchestra, patch_config_map, ready, reason, secret, sources, standard_class,
};
use user::User;

fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_works_with_kubectl_orchestra() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    let mut ada = User::ada(&world).await;
    orchestra(&world, "one", "");
    ready(&world, "one").await;
    let keys = secret(&world, TENANTS, "one-connection").await;
    ada.hidden.push(keys["password"].clone());
    ada.hidden.push(keys["SUPABASE_SERVICE_ROLE_KEY"].clone());

    looks(&ada).await;
    logs_in(&ada, &keys["password"]);
    plans::plans(&world, &ada).await;
    changes(&world, &ada).await;
    rolls_out(&ada);
    cures(&world, &ada).await;
    backs_up(&ada);
    takes_back(&world, &ada).await;
}

#[allow(clippy::too_many_lines, reason = "one part of the story, in its order")]
async fn looks(ada: &User<'_>) {
    let shown = ada.there(&["status", "one", "--exit-code"]);
    holds(
        &shown,
        &[
            "State:       ready",
            "Available:   yes",
            "2 applied, 0 pending",
            "Timeline:",
            "Created",
        ],
    );
    let document: Value = serde_json::from_str(&ada.there(&["status", "one", "-o", "json"])).unwrap();
    assert_eq!(
        (&document["state"], &document["waits"]),
        (&json!("Ready"), &Value::Null)
    );
    holds(&ada.there(&["status", "one", "-o", "yaml"]), &["state: Ready"]);
    let missing = ada.fails(3, &["status", "none", "-n", TENANTS]);
    assert_eq!(
        missing,
        "Error from server (NotFound): orchestras.stagesub.io \"none\" not found\n"
    );
    // In other namespaces she may only look.
    let forbidden = ada.fails(4, &["rotate", "none", "-n", "default"]);
    holds(
        &forbidden,
        &[
            "Error from server (Forbidden)",
            "orchestras.stagesub.io \"none\" is forbidden",
        ],
    );
    assert!(
        ada.fails(1, &["top", "--context", "none"])
            .contains("context \"none\" does not exist")
    );

    holds(&ada.there(&["top"]), &["NAME", "one", "Ready", "1 Orchestras: 1 ready"]);
    holds(
        &ada.says(&["top", "-A", "-o", "wide"]),
        &["NAMESPACE", TENANTS, "standard"],
    );
    assert_eq!(ada.there(&["top", "-o", "name"]), "orchestra.stagesub.io/one\n");
    holds(&ada.there(&["bill"]), &["one", "total:"]);
    holds(
        &ada.there(&["events", "one"]),
        &["Ready", "migrated and seeded, and the connection Secret is published"],
    );

    watches(ada).await;

    let complete = ada.program.with_file_name("kubectl_complete-orchestra");
    symlink(&ada.program, &complete).unwrap();
    let asked = Command::new(complete)
        .env_clear()
        .env("KUBECONFIG", &ada.kubeconfig)
        .args(["status", "-n", TENANTS, "o"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(asked.stdout).unwrap(), "one\tReady\n:4\n");
    let folder = ada.program.parent().unwrap();
    for shell in shells::SHELLS.into_iter().filter_map(shells::installed) {
        let offered = shells::offered(&shell, folder, &ada.kubeconfig, &["status", "-n", TENANTS, "o"]);
        assert_eq!(offered, ["one"], "{}", shell.display());
    }
}

/// The class has no settings for backups: the waiting command says what to do, and the backup is listed.
fn backs_up(ada: &User<'_>) {
    let now = ["backup", "one", "-n", TENANTS, "--name", "now"];
    let told = ada.fails(1, &[&now[..], &["--wait"]].concat());
    holds(
        &told,
        &["OrchestraBackup now is not complete", "spec.backup.destination"],
    );
    holds(&ada.fails(5, &now), &["already exists"]);
    holds(
        &ada.fails(3, &["backup", "none", "-n", TENANTS]),
        &["orchestras.stagesub.io \"none\" not found"],
    );
    // Times of creation are whole seconds.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let made = ada.there(&["backup", "one", "--delete-data", "-o", "name"]);
    assert!(
        made.starts_with("orchestrabackup.stagesub.io/one-2") && !made.contains(' '),
        "{made}"
    );
    holds(
        &ada.there(&["backups", "one"]),
        &["NAME", "VERIFIED", "now", "Pending", "one"],
    );
    holds(
        &ada.says(&["backups", "-A", "-o", "wide"]),
        &["NAMESPACE", TENANTS, "Delete"],
    );
    let all: Value = serde_json::from_str(&ada.there(&["backups", "-o", "json"])).unwrap();
    assert_eq!(
        (all[1]["name"].as_str(), all[1]["orchestra"].as_str()),
        (Some("now"), Some("one")),
        "the newest is first"
    );
    holds(
        &ada.there(&["backups", "two"]),
        &["none: kubectl orchestra backup two makes one"],
    );
}

/// Events come while she watches, until Ctrl-C.
async fn watches(ada: &User<'_>) {
    let mut watch = ada.command(&["events", "-f", "-n", TENANTS]);
    let watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(
        ada.there(&["rotate", "one"]),
        "orchestra.stagesub.io/one rotation requested\n"
    );
    events_with(ada.world, "LoginRotated").await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let id = watch.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ended = watch.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    holds(&String::from_utf8(ended.stdout).unwrap(), &["LoginRotated"]);
}

fn logs_in(ada: &User<'_>, former: &str) {
    let masked = ada.there(&["url", "one"]);
    holds(&masked, &["postgresql://", ":xxxxx@"]);
    let shown = ada
        .command(&["url", "one", "-n", TENANTS, "--show-password"])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.starts_with("postgresql://") && !shown.contains("xxxxx") && !shown.contains(former));
    assert!(
        ada.fails(1, &["url", "one", "-n", TENANTS, "--key", "password"])
            .contains("is not a database URL")
    );

    let query = |sql: &str| {
        vec![
            "psql",
            "one",
            "-n",
            TENANTS,
            "--",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
        ]
        .into_iter()
        .chain([sql])
        .map(ToOwned::to_owned)
        .collect::<Vec<_>>()
    };
    let ask = |sql: &str| {
        let arguments = query(sql);
        ada.ends(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (code, counted, error) = ask("SELECT count(*) FROM \"Member\"");
    assert_eq!((code, counted.as_str()), (0, "3\n"), "{error}");
    assert_eq!(ask("SELECT * FROM nothing").0, 1, "psql's own exit code");
    // What others see of psql: its command line. Its environment names a file that is the user's own.
    let password = shown.split(['@', ':']).nth(2).unwrap_or_default().to_owned();
    let (_, seen, error) =
        ask(r"\! tr '\0' '\n' < /proc/$PPID/cmdline; tr '\0' '\n' < /proc/$PPID/environ; stat -c %a $PGPASSFILE");
    holds(&seen, &["psql", "PGPASSFILE=", "600"]);
    assert!(!password.is_empty() && !seen.contains(&password), "{error}");
    let left = std::fs::read_dir(ada.world.dir().join("runtime")).unwrap().count();
    assert_eq!(left, 0, "files of psql stay");
}

#[allow(clippy::too_many_lines, reason = "one part of the story, in its order")]
async fn changes(world: &World, ada: &User<'_>) {
    let at = async |path: &str| {
        let object = world.get(Kind::Orchestra, TENANTS, "one").await.unwrap().unwrap();
        object.pointer(path).cloned().unwrap_or_default()
    };
    assert_eq!(
        ada.there(&["resume", "one"]),
        "orchestra.stagesub.io/one is not paused\n"
    );
    assert_eq!(
        ada.there(&["pause", "one"]),
        "orchestra.stagesub.io/one pause requested\n"
    );
    assert_eq!(at("/spec/powerState").await, "Paused");
    // Nothing is left to change: the object is printed as it is.
    let printed: Value = serde_json::from_str(&ada.there(&["pause", "one", "-o", "json"])).unwrap();
    assert_eq!(
        (
            &printed["kind"],
            &printed["metadata"]["name"],
            &printed["spec"]["powerState"]
        ),
        (&json!("Orchestra"), &json!("one"), &json!("Paused"))
    );
    assert_eq!(printed["metadata"]["managedFields"], Value::Null);
    assert_eq!(
        ada.there(&["resume", "one", "-o", "name"]),
        "orchestra.stagesub.io/one\n"
    );
    assert_eq!(at("/spec/powerState").await, "Running");
    ready(world, "one").await;
    // A repository has the field: it is not taken from it.
    let file = world.dir().join("repository.yaml");
    let text = format!(
        "apiVersion: stagesub.io/v1alpha1\nkind: Orchestra\nmetadata: {{name: one, namespace: {TENANTS}}}\nspec: {{powerState: Running}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    world
        .kubectl(["apply", "--server-side", "--field-manager=repository", "-f", path])
        .unwrap();
    let conflict = ada.fails(5, &["pause", "one", "-n", TENANTS]);
    holds(
        &conflict,
        &[
            "Error from server (Conflict)",
            "conflict with \"repository\"",
            "--force-conflicts",
        ],
    );
    assert_eq!(at("/spec/powerState").await, "Running");

    let without = ada.fails(1, &["extend", "one", "-n", TENANTS]);
    assert_eq!(
        without,
        "error: orchestra.stagesub.io/one has no ttl to extend: set one with --ttl\n"
    );
    let refused = ada.fails(1, &["extend", "one", "--ttl", "72h", "-n", TENANTS]);
    holds(&refused, &["Error from server (Invalid)", "deletionPolicy: Delete"]);
    assert_eq!(at("/metadata/annotations/stagesub.io~1extended-at").await, Value::Null);
    assert_eq!(
        ada.there(&["retry", "one"]),
        "orchestra.stagesub.io/one has nothing to retry\n"
    );
}

/// A class without migrations, which Ada may only look at.
fn rolls_out(ada: &User<'_>) {
    for arguments in [
        &["rollout", "status", "standard", "-o", "json"][..],
        &["rollout", "history", "standard", "-o", "yaml"],
        &["rollout", "pause", "standard"],
    ] {
        holds(&ada.fails(1, arguments), &["class standard has no rollout"]);
    }
}

/// The cause of a failure is in the database, and is gone before the next attempt would be made.
async fn cures(world: &World, ada: &User<'_>) {
    ready(world, "one").await;
    let insert = |table: &str| json!({"20260103000000_rows.sql": format!("INSERT INTO \"{table}\" VALUES (1);")});
    patch_config_map(world, "schema", &insert("Elsewhere"));
    reason(world, "one", "MigrationFailed").await;
    events_with(world, "Elsewhere").await;
    patch_config_map(world, "schema", &insert("Nowhere"));
    let other = |object: &Value| condition(object, "Stalled").2.contains("Nowhere");
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, other)
        .await
        .unwrap();
    // The second failure is an event of its own, under its own text.
    let events = events_with(world, "Nowhere").await;
    let failed = events.iter().filter(|event| event["reason"] == "MigrationFailed");
    assert!(failed.count() >= 2, "{events:#?}");
    let shown = ada.fails(11, &["status", "one", "-n", TENANTS, "--exit-code"]);
    assert!(shown.is_empty());
    let shown = ada.there(&["status", "one"]);
    holds(
        &shown,
        &[
            "a person must act (MigrationFailed)",
            "Available:   yes",
            "What to do: correct the script",
            "Nowhere",
        ],
    );

    owner(world, "one")
        .await
        .execute("CREATE TABLE \"Nowhere\" (id int)")
        .await
        .unwrap();
    // In the wait after the failure.
    assert_eq!(
        ada.there(&["retry", "one"]),
        "orchestra.stagesub.io/one retry requested\n"
    );
    let cured = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == 3;
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, cured)
        .await
        .unwrap();
}

async fn takes_back(world: &World, ada: &User<'_>) {
    let none = ada.fails(1, &["restore", "one", "-n", TENANTS]);
    holds(
        &none,
        &["no deleted Orchestra one in namespace tenants left a database"],
    );
    world
        .kubectl(["delete", "orchestra", "one", "-n", TENANTS, "--wait=false"])
        .unwrap();
    gone(world, Kind::Orchestra, TENANTS, "one").await;
    soon("the database is left", async || {
        ada.ends(&["restore", "one", "-n", TENANTS, "--dry-run"]).0 == 0
    })
    .await;
    let manifest = ada.there(&["restore", "one", "--dry-run"]);
    holds(
        &manifest,
        &["kind: Orchestra", "databaseName: orchdb-", "className: standard"],
    );
    assert!(world.get(Kind::Orchestra, TENANTS, "one").await.unwrap().is_none());
    let manifest = ada.there(&["restore", "one", "--dry-run", "-o", "json"]);
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["spec"]["className"], "standard", "{manifest:#}");
    holds(
        &ada.there(&["restore", "one"]),
        &["orchestra.stagesub.io/one created: it takes back orchdb-"],
    );
    ready(world, "one").await;
    let again = ada.fails(1, &["restore", "one", "-n", TENANTS]);
    holds(&again, &["no deleted Orchestra one"]);
}
