//! The bill: from the cluster alone, with nothing but the right to look.

use std::process::Command;

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World};
use serde_json::{Value, json};

use crate::orphans::command;
use crate::proof::{generous_world, soon};
use crate::support::{gone, orchestra, patch_status, ready, sources, standard_class};

fn bill(world: &World, arguments: &[&str]) -> Value {
    let output = command(world, &[&["bill", "-o", "json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bill_shows_who_costs_what_and_adds_up() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let empty = command(&world, &["bill"]);
    assert!(
        empty.status.success() && empty.stdout.starts_with(b"none: "),
        "{empty:?}"
    );
    let operator = world.operator("operator", |_| {}).unwrap();
    for name in ["one", "two", "kept"] {
        orchestra(&world, name, "");
    }
    for name in ["one", "two", "kept"] {
        ready(&world, name).await;
    }
    world
        .kubectl(["delete", "orchestra", "kept", "-n", TENANTS, "--wait=false"])
        .unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "kept").await;

    let priced = || bill(&world, &[])["totals"][0]["monthly"] == "29.43";
    soon("everything has its price", async || priced()).await;
    let whole = bill(&world, &[]);
    let rows = whole["rows"].as_array().unwrap();
    let mut shown: Vec<_> = rows
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["state"].as_str().unwrap()))
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, [("kept", "Released"), ("one", "Bound"), ("two", "Bound")]);
    let created = world.api.ledger().projects();
    for row in rows {
        assert!(
            created
                .iter()
                .any(|project| row["project"] == project.reference.as_str()),
            "{row}"
        );
        assert_eq!((&row["monthly"], &row["currency"]), (&json!("9.81"), &json!("USD")));
    }
    // The first started hour; a second one where the story ran over a full hour or a new month.
    let to_date = whole["totals"][0]["monthToDate"].as_str().unwrap();
    assert!(["0.03", "0.09"].contains(&to_date), "{whole:#}");

    let by_class = bill(&world, &["--by=class"]);
    assert_eq!(
        (&by_class["rows"][0]["name"], &by_class["rows"][0]["databases"]),
        (&json!("standard"), &json!(3))
    );
    assert_eq!(
        bill(&world, &["--by=namespace", "-n", TENANTS])["rows"][0]["monthly"],
        "29.43"
    );
    assert_eq!(bill(&world, &["-n", "elsewhere"])["rows"], json!([]));
    assert_eq!(bill(&world, &["--class=none"])["totals"], json!([]));

    let kept = rows.iter().find(|row| row["name"] == "kept").unwrap();
    drop(operator);
    a_price_that_is_not_known_is_not_summed(&world, kept["database"].as_str().unwrap());
    whoever_may_look_may_have_it(&world).await;
}

fn a_price_that_is_not_known_is_not_summed(world: &World, database: &str) {
    patch_status(world, "orchdb", database, &json!({"cost": null}));
    let without = bill(world, &[]);
    assert_eq!(
        (&without["unpriced"], &without["totals"][0]["monthly"]),
        (&json!(1), &json!("19.62"))
    );
    let table = String::from_utf8(command(world, &["bill"]).stdout).unwrap();
    assert!(
        table.contains("total: 19.62 USD a month projected") && table.contains("not in the total: 1"),
        "{table}"
    );
    let csv = String::from_utf8(command(world, &["bill", "-o", "csv"]).stdout).unwrap();
    assert!(
        csv.starts_with("namespace,name,class,database,project,region,state,currency,monthly,month_to_date,backups\n"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 4);
}

async fn whoever_may_look_may_have_it(world: &World) {
    world
        .kubectl(["create", "serviceaccount", "clerk", "-n", SYSTEM])
        .unwrap();
    let kubeconfig = world
        .plane
        .kubeconfig_for_service_account(SYSTEM, "clerk")
        .await
        .unwrap();
    let clerk = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestra-operator"));
        command
            .env_clear()
            .env("KUBECONFIG", &kubeconfig)
            .arg("bill")
            .output()
            .unwrap()
    };
    let refused = clerk();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.contains("cannot list orchestradatabases") && said.contains("orchestra-viewer"),
        "{said}"
    );
    let account = format!("--serviceaccount={SYSTEM}:clerk");
    world
        .kubectl([
            "create",
            "clusterrolebinding",
            "clerk",
            "--clusterrole=orchestra-viewer",
            &account,
        ])
        .unwrap();
    soon("the clerk may look", async || clerk().status.success()).await;
}
