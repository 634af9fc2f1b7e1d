//! What an operator with tenants, a failed one, a queue, an outage, a pool, prices, schedules and an orphan tells: every metric is
//! documented, a real Prometheus has data for every query of the dashboard, and every line of work on a tenant names it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use orchestra_operator::supabase::marker::{ClusterMarker, mint};
use orchestra_sandbox::api::{Fault, Operation, Rule};
use orchestra_sandbox::prometheus::{Prometheus, find_or_say};
use orchestra_sandbox::world::{Kind, Operator, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::metrics_page::{Family, documented, families, names_in};
use crate::pool::{house, inventory};
use crate::process::get;
use crate::proof::{database_name, generous_world, soon};
use crate::support::{LONG, patch_status, project, ready, reason, secret, standard_class};
use crate::warm_pool::tenant;

/// The metric of running Jobs: no kubelet has their logs here.
const ABSENT: &str = "orchestra_class_backup_progress_bytes";

/// Two classes: one of hosted projects with migrations and a budget, one of the pool `house`.
async fn classes(world: &World) {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fleet", "namespace": SYSTEM},
        "data": {"1_members.sql": "CREATE TABLE \"Member\" (id int);"},
    });
    world.apply(&map.to_string()).unwrap();
    standard_class(
        world,
        "  backup: {destination: {persistentVolumeClaim: {claimName: backups}}, schedule: \"0 2 * * *\"}\n  \
         budget: {monthlyLimit: \"100.00\"}\n  health: {metrics: true}\n  limits: {connections: 20}\n  \
         migrations: {format: Prisma, source: {configMapRef: {name: fleet}}, drift: {fingerprint: true}}",
    );
    let expires = "stagesub.io/token-expires-at=2999-01-01";
    world
        .kubectl(["annotate", "secret", "supabase-token", "-n", SYSTEM, expires])
        .unwrap();
    house(world, &inventory(world, &["house_one", "house_two"]).await);
    world
        .apply(
            "{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {name: house}, \
             spec: {pools: {names: [house], policy: PoolOnly}, idle: {pauseAfter: 2m}}}",
        )
        .unwrap();
}

/// A project of this cluster that nobody holds, and one that is not as the document says.
async fn others(world: &World) {
    let uid = world
        .kubectl(["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"])
        .unwrap();
    let stranger = "11111111-2222-4333-8444-555555555555";
    let name = mint(&ClusterMarker::of(&uid).unwrap(), TENANTS, "forgotten", stranger);
    crate::orphans::project(world, &name).await;
    let odd = json!({"ref": "qqqqqqqqqqqqqqqqqqqq", "name": "Somebody's", "cloud_provider": "FLY", "region": null,
        "is_branch": null, "status": "INACTIVE", "inserted_at": null, "databases": null});
    let listed = Rule {
        method: Some("GET".into()),
        path: Some("^/v1/organizations/[^/]+/projects$".into()),
        edit: vec![json!({"op": "add", "path": "/projects/-", "value": odd})],
        ..Rule::default()
    };
    world.api.rules().add(listed).unwrap();
}

/// As if it had been days ago that a schedule should have made a backup of this tenant, and a drill have verified one.
async fn deadlines_pass(world: &World, name: &str) {
    let fields = ["recoveryPointDeadline", "verifyDeadline"];
    let known = |object: &Value| {
        let backup = &object["status"]["backup"];
        fields.iter().all(|field| backup[field].is_string())
    };
    world
        .until(Kind::Orchestra, (TENANTS, name), LONG, known)
        .await
        .unwrap();
    let passed = "2026-01-01T00:00:00Z";
    let status = json!({"backup": {"recoveryPointDeadline": passed, "verifyDeadline": passed}});
    patch_status(world, "orch", name, &status);
}

/// One tenant after the other, so that counters rise while they are scraped.
async fn tenants(world: &World, operator: &Operator) {
    tenant(world, "one", "");
    tenant(
        world,
        "broken",
        "migrations: {format: Prisma, source: {inline: {1_bad.sql: SELECT nonsense}}}",
    );
    tenant(world, "quiet", "className: house");
    ready(world, "one").await;
    let _runner = crate::backup::runner(world).await;
    crate::backup::backup(world, "first", "one", "Retain");
    crate::backup::until(world, "first", |object| is_true(object, "Ready")).await;
    // A drill that has no server to be made on.
    crate::drill::ask(world, "first", "now");
    crate::drill::drilled(world, "first", "now").await;
    ready(world, "quiet").await;
    reason(world, "broken", "MigrationFailed").await;
    let throttled = Fault::Status {
        status: 429,
        retry_after: Some(8),
    };
    world.api.faults().add(Operation::CreateProject, 1, throttled);
    let told = async |what: &str| get(operator, "/metrics").await.1.contains(what);
    tenant(
        world,
        "two",
        "backup: {verify: {schedule: \"0 4 * * *\", target: ScratchDatabase}}",
    );
    soon("it is throttled", async || {
        told("operation=\"create_project\",code=\"429\"").await
    })
    .await;
    tenant(world, "three", "backup: {schedule: \"0 0 30 2 *\"}");
    soon("the queue is told", async || told("orchestra_queue_position{").await).await;
    ready(world, "two").await;
    deadlines_pass(world, "two").await;
    ready(world, "three").await;
    // Somebody changes the password of a tenant's login.
    let keys = secret(world, TENANTS, "quiet-connection").await;
    let mut admin = world.api.postgres().unwrap().connect_admin().await.unwrap();
    let change = format!("ALTER ROLE {} PASSWORD 'somebody-elses'", keys["user"]);
    sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut admin).await.unwrap();
    let down = |object: &Value| condition(object, "Available").1 == "LoginFailed";
    world
        .until(Kind::Orchestra, (TENANTS, "quiet"), LONG, down)
        .await
        .unwrap();
}

/// The scrape configuration of the documentation, for this operator: its address in the place of the Service's name.
fn config(operator: &Operator) -> String {
    let page = std::fs::read_to_string(project().join("docs/metrics.md")).unwrap();
    let begin = page.find("scrape_configs:").unwrap();
    let block = page[begin..].split("```").next().unwrap();
    let log = operator.log();
    let address = log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    let (block, discovery) = block.split_once("    dns_sd_configs:").unwrap();
    assert!(discovery.contains("orchestra-operator-metrics.orchestra-system.svc") && discovery.contains("port: 8080"));
    let config = block.replace("scrape_interval: 30s", "scrape_interval: 1s");
    let config = format!("{config}    static_configs: [{{targets: [\"{address}\"]}}]\n");
    assert!(config.contains(": 1s"), "{config}");
    let rules = project().join("deploy/monitoring/rules.yaml");
    format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [\"{}\"]\n{config}",
        rules.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_and_every_query_has_data() {
    let world = generous_world().await;
    classes(&world).await;
    others(&world).await;
    let operator = world
        .operator("operator", |command: &mut Command| {
            command
                .env("ORCHESTRA_PROBE_INTERVAL", "1s")
                .env("ORCHESTRA_RESYNC", "2s")
                .env("ORCHESTRA_LEASE_DURATION", "60s");
        })
        .unwrap();
    soon("it leads", async || operator.log().contains("leading")).await;
    let prometheus = match find_or_say("queries of the dashboard") {
        Some(programs) => {
            let dir = world.dir().join("prometheus");
            Some(Prometheus::start(&programs, &dir, &config(&operator)).await.unwrap())
        }
        None => None,
    };
    tenants(&world, &operator).await;
    each_is_documented(&operator).await;
    if let Some(prometheus) = &prometheus {
        queries_have_data(prometheus).await;
        rules_are_evaluated(prometheus).await;
    }
    let mut databases = BTreeMap::new();
    for name in ["one", "two", "three", "broken"] {
        databases.insert(database_name(&world, name).await, name);
    }
    lines_name_their_tenant(&operator.log(), &databases);
}

/// Waits until the page has each metric of the documentation, and compares what it says of them.
async fn each_is_documented(operator: &Operator) {
    let wanted = documented(&std::fs::read_to_string(project().join("docs/metrics.md")).unwrap());
    let mut found = Vec::new();
    let began = Instant::now();
    let missing = |found: &[Family]| -> BTreeSet<String> {
        let names: BTreeSet<_> = found.iter().map(|family| &family.name).collect();
        let missing = wanted.iter().filter(|family| !names.contains(&family.name));
        missing.map(|family| family.name.clone()).collect()
    };
    loop {
        let mut left = missing(&found);
        // It was told before, while somebody waited.
        left.remove("orchestra_queue_position");
        left.remove(ABSENT);
        if left.is_empty() {
            break;
        }
        assert!(began.elapsed() < LONG, "documented, and not there: {left:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        found = families(&get(operator, "/metrics").await.1);
    }
    for family in &found {
        let same = wanted.iter().find(|it| it.name == family.name);
        assert_eq!(same, Some(family), "what docs/metrics.md says of {}", family.name);
    }
}

/// Every expression of the dashboard, with the variables as Grafana fills them in.
fn expressions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(project().join("deploy/monitoring/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let filled = expression
                .replace("$class", ".*")
                .replace("$namespace", TENANTS)
                .replace("$name", "one")
                .replace("$__rate_interval", "1m");
            assert!(!filled.contains('$'), "{expression}");
            all.push((panel["title"].as_str().unwrap().to_owned(), filled));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["definition"].as_str() {
            let inner = query.trim_start_matches("label_values(").trim_end_matches(')');
            let (series, label) = inner.rsplit_once(", ").unwrap();
            let series = series.replace("$namespace", TENANTS);
            all.push((query.to_owned(), format!("count by ({label}) ({series})")));
        }
    }
    all
}

async fn queries_have_data(prometheus: &Prometheus) {
    let mut all = expressions();
    let rules = std::fs::read_to_string(project().join("deploy/monitoring/rules.yaml")).unwrap();
    all.extend(names_in(&rules).into_iter().map(|name| {
        let series = format!("count({{__name__=~\"{name}(_bucket)?\"}})");
        ("a metric of an alert".to_owned(), series)
    }));
    all.retain(|(_, expression)| !expression.contains(ABSENT));
    assert!(all.len() > 60, "{}", all.len());
    let mut without = BTreeMap::new();
    // What rises is known after two scrapes.
    let began = Instant::now();
    loop {
        without.clear();
        for (title, expression) in &all {
            let samples = prometheus.query(expression).await;
            let samples = samples.unwrap_or_else(|error| panic!("{title}: {expression}: {error}"));
            if !samples.iter().any(|(_, value)| !value.is_nan()) {
                without.insert(expression, (title, samples));
            }
        }
        if without.is_empty() || began.elapsed() > LONG {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(without.is_empty(), "queries without data: {without:#?}");
}

/// Every rule of the file is evaluated without an error, and those fire whose cause is here.
async fn rules_are_evaluated(prometheus: &Prometheus) {
    // A rule's state is that of its last evaluation.
    let began = Instant::now();
    let rules = loop {
        let answer = prometheus.get("rules", &[]).await.unwrap();
        let groups = answer["groups"].as_array().unwrap().iter();
        let rules: Vec<Value> = groups
            .flat_map(|group| group["rules"].as_array().unwrap().clone())
            .collect();
        let fire = [
            "OrchestraTenantStalled",
            "OrchestraTenantsUnavailable",
            "OrchestraOrphans",
        ];
        if fire.iter().all(|name| state(&rules, name) == "pending") {
            break rules;
        }
        let states: Vec<_> = fire.iter().map(|name| state(&rules, name)).collect();
        assert!(began.elapsed() < LONG, "{fire:?}: {states:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert!(rules.len() > 20, "{}", rules.len());
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
    for name in ["OrchestraOperatorDown", "OrchestraNoLeader", "OrchestraBudgetExceeded"] {
        assert_eq!(state(&rules, name), "inactive", "{name}");
    }
}

fn state(rules: &[Value], name: &str) -> String {
    let rule = rules.iter().find(|rule| rule["name"] == name);
    rule.and_then(|rule| rule["state"].as_str())
        .unwrap_or_default()
        .to_owned()
}

/// Modules whose lines are about one tenant, if they are not in a pass over a class or a pool.
const ABOUT_TENANTS: [&str; 9] = [
    "backup",
    "orchestra",
    "migrate",
    "content",
    "health",
    "credentials",
    "database",
    "postgres",
    "source",
];

fn lines_name_their_tenant(log: &str, databases: &BTreeMap<String, &str>) {
    let mut told = BTreeMap::new();
    for line in log.lines() {
        let module = line.split("orchestra_operator::").nth(1);
        let module = module.and_then(|rest| rest.split(':').next()).unwrap_or_default();
        let of_many = ["controller=\"class\"", "controller=\"pool\""]
            .iter()
            .any(|it| line.contains(it));
        let is_pass = line.contains("orchestra_operator::controller::reconcile:");
        let names_one = line.contains(&format!("namespace=\"{TENANTS}\"")) && line.contains("orchestra=\"");
        // An entry of a pool that nobody has claimed.
        let unclaimed = line.contains("controller=\"database\"") && !databases.keys().any(|name| line.contains(name));
        if (ABOUT_TENANTS.contains(&module) || is_pass) && !of_many && !unclaimed {
            assert!(names_one, "a line of work on a tenant does not name it: {line}");
            *told.entry(module).or_insert(0) += 1;
        }
        for (database, tenant) in databases {
            let named = format!("orchestra=\"{tenant}\"");
            let of_it = line.contains(&format!("database=\"{database}\""));
            assert!(!of_it || line.contains(&named), "{line}");
        }
    }
    for module in ["orchestra", "migrate", "database"] {
        assert!(told.contains_key(module), "no line of {module}: {told:?}");
    }
    let applied = |line: &&str| line.contains("applied migration") && line.contains("orchestra=\"one\"");
    assert!(
        log.lines().any(|line| applied(&line)),
        "migration lines name the tenant"
    );
}
