//! The bill: from the cluster alone, with nothing but the right to look.

use std::process::Command;

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World};
use serde_json::{Value, json};

use crate::orphans::command;
use crate::proof::{generous_world, soon};
use crate::support::{LONG, gone, orchestra, patch_status, ready, sources, standard_class};

fn bill(world: &World, arguments: &[&str]) -> Value {
    let output = command(world, &[&["bill", "-o", "json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Looks often at what is settled.
fn often(command: &mut Command) {
    command.env("ORCHESTRA_RESYNC", "2s");
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
    let operator = world.operator("operator", often).unwrap();
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
    let made = world.api.ledger().projects();
    for row in rows {
        assert!(made.iter().any(|it| row["project"] == it.reference.as_str()), "{row}");
        assert_eq!((&row["monthly"], &row["currency"]), (&json!("9.81"), &json!("USD")));
    }
    // The first started hour of each; a second one where the story ran over a full hour.
    let to_date = whole["totals"][0]["monthToDate"].as_str().unwrap();
    assert!(["0.03", "0.05", "0.07", "0.09"].contains(&to_date), "{whole:#}");

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
    let running = rows.iter().find(|row| row["name"] == "one").unwrap();
    is_billed_in_its_new_size(&world, running).await;
    drop(operator);
    a_label_groups_its_tenants(&world);
    a_pause_is_not_billed(&world, kept["database"].as_str().unwrap());
    a_price_that_is_not_known_is_not_summed(&world, kept["database"].as_str().unwrap());
    whoever_may_look_may_have_it(&world).await;
    the_ledger_keeps_what_is_gone(&world, kept["database"].as_str().unwrap()).await;
}

async fn resize(world: &World, project: &str, size: &str) {
    let url = format!("{}/v1/projects/{project}/billing/addons", world.api.url());
    let body = json!({"addon_type": "compute_instance", "addon_variant": format!("ci_{size}")});
    let request = reqwest::Client::new().patch(url).bearer_auth(world.api.token());
    assert!(request.json(&body).send().await.unwrap().status().is_success());
}

/// Somebody resizes the project in the provider's dashboard: the price follows, and the hours before it keep theirs.
async fn is_billed_in_its_new_size(world: &World, before: &Value) {
    let (database, project) = (
        before["database"].as_str().unwrap(),
        before["project"].as_str().unwrap(),
    );
    resize(world, project, "small").await;
    let is_small = |object: &Value| object["status"]["cost"]["hourly"] == "0.0206";
    let object = world
        .until(Kind::Database, ("", database), LONG, is_small)
        .await
        .unwrap();
    let periods = object["status"]["charges"]["periods"].as_array().unwrap();
    let [first, second] = periods.as_slice() else {
        panic!("{object:#}");
    };
    assert_eq!(
        (&first["instanceSize"], &first["hourly"], &first["end"]),
        (&json!("micro"), &json!("0.01344"), &second["begin"]),
        "{object:#}"
    );
    assert_eq!(
        (&second["instanceSize"], &second["end"]),
        (&json!("small"), &Value::Null)
    );
    // A started hour of each size, to the cent: 0.01344 and 0.0206; more where the story ran over a full hour.
    let whole = bill(world, &["--class=standard"]);
    let row = whole["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "one")
        .unwrap();
    assert_eq!(row["monthly"], "15.04");
    assert!(
        ["0.03", "0.05"].contains(&row["monthToDate"].as_str().unwrap()),
        "{row}"
    );
    resize(world, project, "micro").await;
    let is_micro = |object: &Value| object["status"]["cost"]["hourly"] == "0.01344";
    world
        .until(Kind::Database, ("", database), LONG, is_micro)
        .await
        .unwrap();
}

fn a_label_groups_its_tenants(world: &World) {
    world
        .kubectl(["label", "orchestra", "one", "two", "-n", TENANTS, "team=web"])
        .unwrap();
    let rows = bill(world, &["--by-label=team"])["rows"].clone();
    let found: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["name"], &row["monthly"]))
        .collect();
    assert_eq!(
        found,
        [(&Value::Null, &json!("9.81")), (&json!("web"), &json!("19.62"))],
        "the Orchestra of the released one is gone"
    );
}

fn a_pause_is_not_billed(world: &World, database: &str) {
    let period = json!({"begin": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z", "instanceSize": "micro", "hourly": "0.01344"});
    patch_status(world, "orchdb", database, &json!({"charges": {"periods": [period]}}));
    let whole = bill(world, &[]);
    let row = whole["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["database"] == database)
        .unwrap();
    assert_eq!((&row["monthly"], &row["monthToDate"]), (&json!("9.81"), &json!("0.00")));
    assert_eq!(row["monthEnd"], "0.00", "it is paused");
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
        csv.starts_with(
            "namespace,name,class,database,project,region,state,currency,monthly,month_to_date,month_end,backups\n"
        ),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 4);
    let charges = String::from_utf8(command(world, &["bill", "--focus"]).stdout).unwrap();
    assert!(
        charges.starts_with("BilledCost,BillingAccountId,") && charges.contains(",acme-org,"),
        "{charges}"
    );
    assert_eq!(charges.lines().count(), 4);
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

/// A month whose end is more than a day ago, with a record of a database that nobody knows any more.
fn a_month_that_was_not_closed(world: &World) -> String {
    let long_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(40 * 24);
    let month = long_ago.strftime("%Y-%m").to_string();
    let record = json!({
        "namespace": TENANTS, "name": "former", "class": "standard", "database": "orchdb-former", "hours": 100,
        "currency": "USD", "amount": "1.34", "until": long_ago.to_string(),
    });
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("orchestra-ledger-{month}"), "namespace": SYSTEM, "labels": {"stagesub.io/ledger": month}},
        "data": {"uid-of-former": record.to_string()},
    });
    world.apply(&map.to_string()).unwrap();
    month
}

#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn the_ledger_keeps_what_is_gone(world: &World, database: &str) {
    let month = a_month_that_was_not_closed(world);
    let of_month = format!("--month={month}");
    let open = command(world, &["bill", &of_month]);
    assert!(
        String::from_utf8_lossy(&open.stderr).contains("is not closed"),
        "{open:?}"
    );

    let _operator = world.operator("next", often).unwrap();
    let name = format!("orchestra-ledger-{month}");
    soon("the month is closed", async || {
        let map = world
            .kubectl(["get", "configmap", &name, "-n", SYSTEM, "-o", "json"])
            .unwrap();
        serde_json::from_str::<Value>(&map).unwrap()["immutable"] == true
    })
    .await;
    let past = bill(world, &[&of_month]);
    assert_eq!(
        (&past["month"], &past["totals"][0]["monthToDate"]),
        (&json!(month), &json!("1.34"))
    );
    assert_eq!(
        past["rows"].as_array().unwrap().len(),
        1,
        "the others were made later: {past:#}"
    );
    let changed = world.kubectl([
        "patch",
        "configmap",
        &name,
        "-n",
        SYSTEM,
        "-p",
        r#"{"data":{"another":"{}"}}"#,
    ]);
    assert!(changed.is_err(), "a month that is closed was changed");

    let is_priced = |object: &Value| object["status"]["cost"]["hourly"] == "0.01344";
    world
        .until(Kind::Database, ("", database), LONG, is_priced)
        .await
        .unwrap();
    world.kubectl(["delete", "orchdb", database, "--wait=false"]).unwrap();
    gone(world, Kind::Database, "", database).await;
    let whole = bill(world, &[]);
    let row = whole["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["database"] == database)
        .unwrap();
    assert_eq!(
        (&row["state"], &row["name"], &row["monthly"]),
        (&json!("Gone"), &json!("kept"), &Value::Null)
    );
    // A started hour; a second one where the story ran over a full hour.
    assert!(
        ["0.01", "0.03"].contains(&row["monthToDate"].as_str().unwrap()),
        "{row}"
    );
    assert_eq!(row["monthEnd"], row["monthToDate"]);
}
