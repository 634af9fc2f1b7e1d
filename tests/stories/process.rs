//! The operator as a process: how it starts, what it says when it cannot, what it serves, and how
//! it ends.

use std::process::{Command, Stdio};

use orchestra_sandbox::world::{Kind, Operator, condition};
use serde_json::Value;

use crate::orphans::command;
use crate::proof::{generous_world, one_project_and_both_logins, soon};
use crate::support::{LONG, orchestra, sources, standard_class};

/// Asks an operator, at the address that it has logged.
pub async fn get(operator: &Operator, path: &str) -> (u16, String) {
    soon("the operator serves", async || {
        operator.log().contains("serving /livez")
    })
    .await;
    let log = operator.log();
    let address = log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(format!("http://{address}{path}")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn operator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestra-operator"));
    command.env_clear().stdin(Stdio::null()).env("RUST_BACKTRACE", "1");
    command
}

#[test]
fn what_is_wrong_at_the_start_is_one_readable_line() {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    let unreachable = "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}], \
                       clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: a, user: {}}]}";
    for (text, says) in [
        (None, "no Kubernetes cluster is configured"),
        (Some("this is no kubeconfig"), "no Kubernetes cluster is configured"),
        (
            Some(unreachable),
            "the Kubernetes API server at http://127.0.0.1:1/ does not answer",
        ),
    ] {
        let _ = std::fs::remove_file(&kubeconfig);
        if let Some(text) = text {
            std::fs::write(&kubeconfig, text).unwrap();
        }
        let output = operator()
            .env("KUBECONFIG", &kubeconfig)
            .args(["run", "--metrics-address=127.0.0.1:0", "--log=error"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("orchestra-operator: ") && said.contains(says),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn help_names_every_flag_with_its_variable() {
    let output = operator().args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let flags = help.lines().filter(|line| line.trim_start().starts_with("--")).count();
    let variables = help.matches("[env: ").count();
    assert!(
        flags >= 10 && flags == variables,
        "{flags} flags, {variables} variables:\n{help}"
    );
    for name in [
        "SUPABASE_MANAGEMENT_TOKEN",
        "SUPABASE_ORGANIZATION_ID",
        "DATABASE_URL_POOL_1",
    ] {
        assert!(help.contains(name), "{name}:\n{help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn it_waits_for_its_resource_definitions_and_ends_in_peace() {
    let world = generous_world().await;
    world.kubectl(["delete", "crd", "orchestrapools.stagesub.io"]).unwrap();
    let mut operator = world.operator("operator", |_| {}).unwrap();
    soon("it says what it waits for", async || {
        operator.log().contains("waiting for CustomResourceDefinitions")
            && operator.log().contains("orchestrapools.stagesub.io")
    })
    .await;
    assert_eq!(get(&operator, "/livez").await.0, 200);
    let (status, said) = get(&operator, "/readyz").await;
    assert_eq!(status, 503);
    assert!(said.contains("crds"), "{said}");
    // Told to stop while it waits, it just ends.
    let mut early = world.operator("early", |_| {}).unwrap();
    soon("it waits", async || {
        early.log().contains("waiting for CustomResourceDefinitions")
    })
    .await;
    assert_eq!(early.terminate().unwrap().code(), Some(0));

    let missing = command(&world, &["check", "--timeout=0s"]);
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(
        !missing.status.success() && said.contains("are missing: orchestrapools.stagesub.io"),
        "{said}"
    );

    // An older definition: it ends, and says what upgrades it.
    let change = |change: fn(&mut serde_json::Map<String, Value>)| {
        let file = crate::support::project().join("crds/orchestrapools.stagesub.io.yaml");
        let mut definition: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let status = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties";
        change(definition.pointer_mut(status).unwrap().as_object_mut().unwrap());
        world.apply(&definition.to_string()).unwrap();
    };
    change(|status| drop(status.remove("desired").unwrap()));
    soon("it does not start", async || {
        operator.log().contains("older than this operator")
    })
    .await;
    let ended = loop {
        if let Some(ended) = operator.ended().unwrap() {
            break ended;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(ended.code(), Some(1));
    let log = operator.log();
    let said = log.lines().last().unwrap_or_default();
    assert!(
        said.starts_with("orchestra-operator: ")
            && said.contains("orchestrapools.stagesub.io lacks status.desired")
            && said.ends_with("upgrade them first: orchestra-operator crd | kubectl apply --server-side -f -"),
        "{log}"
    );

    // A newer one will do.
    change(|status| drop(status.insert("invented".into(), serde_json::json!({"type": "string"}))));
    let mut operator = world.operator("upgraded", |_| {}).unwrap();
    soon("it is ready", async || get(&operator, "/readyz").await.0 == 200).await;
    soon("it leads", async || operator.log().contains("leading")).await;
    let log = operator.log();
    let newer = log
        .lines()
        .find(|line| line.contains("newer than this operator"))
        .unwrap_or_default();
    assert!(newer.contains("orchestrapools.stagesub.io"), "{log}");
    let checked = command(&world, &["check"]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.status.success() && said.contains("lease: held and renewed by upgraded_"),
        "{checked:?}"
    );

    // A token that the provider does not know.
    standard_class(&world, "");
    world
        .store_secret(
            "supabase-token",
            "token",
            "sbp_00000000000000000000000000000000deadbeef",
        )
        .unwrap();
    let rejected = |object: &Value| condition(object, "Stalled").1 == "TokenRejected";
    let class = world
        .until(Kind::Class, ("", "standard"), LONG, rejected)
        .await
        .unwrap();
    let (_, _, message) = condition(&class, "Stalled");
    assert!(
        message.contains("wrong, expired or revoked; put a new one into the token Secret"),
        "{message}"
    );
    world.store_token().unwrap();

    sources(&world);
    orchestra(&world, "one", "");
    one_project_and_both_logins(&world, "one").await;
    let counted = "orchestra_orchestras{phase=\"Ready\"} 1";
    soon("it is counted", async || {
        get(&operator, "/metrics").await.1.contains(counted)
    })
    .await;
    let page = get(&operator, "/metrics").await.1;
    for line in [
        "orchestra_reconciles_total{controller=\"orchestra\",outcome=\"done\"} ",
        "orchestra_reconcile_duration_seconds_count{controller=\"database\"} ",
        "orchestra_reconcile_errors_total{controller=\"class\",reason=\"TokenRejected\",error_class=\"blocked\"} ",
        "orchestra_management_api_requests_total{operation=\"create_project\",code=\"201\"} 1",
        "orchestra_management_api_requests_total{operation=\"get_organization\",code=\"401\"} ",
        "orchestra_databases{phase=\"Bound\"} 1",
        "orchestra_leader 1",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }

    let began = std::time::Instant::now();
    assert_eq!(operator.terminate().unwrap().code(), Some(0));
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
    let log = operator.log();
    assert!(log.lines().last().unwrap_or_default().ends_with("stopped"), "{log}");
}
