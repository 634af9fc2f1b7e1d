//! How the fixtures were made: from a story with the operator of the last release.

use std::process::Command;

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World};
use serde_json::json;

use super::*;
use crate::pool::{house, pool_only};
use crate::support::{orchestra, ready};

/// The folder of the next version.
fn next() -> String {
    let stored = project().join("tests/fixtures/stored");
    let folder = (1..=u32::MAX)
        .map(|number| number.to_string())
        .find(|name| !stored.join(name).exists());
    let folder = folder.unwrap();
    std::fs::create_dir(stored.join(&folder)).unwrap();
    folder
}

/// Writes the fixtures of the next version, with the operator that `ORCHESTRA_OPERATOR` names and the `pg_dump` that
/// `PG_DUMP` names. Those of earlier versions stay as they are.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the fixtures, after a release"]
async fn capture() {
    let world = world().await;
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    let url = database(&world).await;
    let entry = format!("DATABASE_URL_POOL_1: {}", serde_json::to_string(&url).unwrap());
    house(&world, &[entry]);
    pool_only(&world);
    orchestra(&world, "stored", "");
    let object = ready(&world, "stored").await;
    // The class and the pool have counted.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let object = world
        .get(Kind::Orchestra, TENANTS, "stored")
        .await
        .unwrap()
        .unwrap_or(object);
    let places = Places {
        version: text(&object["status"]["secretRef"]["resourceVersion"]),
        checked: text(&object["status"]["migrations"]["checkedAt"]),
        ..Places::of(&world, &next(), &text(&object["metadata"]["uid"]), &url).await
    };
    let password = secret(&world, TENANTS, "stored-connection").await["password"].clone();
    let keep = |name: &str, text: &str| {
        let mut text = text
            .replace(&password, PASSWORD)
            .replace(
                &format!("checkedAt: \"{}\"", places.checked),
                "checkedAt: \"${CHECKED_AT}\"",
            )
            .replace(
                &format!("resourceVersion: \"{}\"", places.version),
                "resourceVersion: \"${SECRET_VERSION}\"",
            );
        for (place, value) in places.all().iter().take(5) {
            text = text.replace(value, place);
        }
        std::fs::write(places.fixture(name), text).unwrap();
    };
    for ((file, _), (kind, namespace, name)) in FIXTURES.iter().zip(stored(&places)) {
        keep(&format!("{file}.yaml"), &manifest(&world, kind, namespace, &name).await);
    }
    keep("database.sql", &dump(&world, &places, &password));
}

/// An object without what the API server sets; the values of a Secret in plain text.
async fn manifest(world: &World, kind: Kind, namespace: &str, name: &str) -> String {
    let namespace = if namespace.is_empty() { SYSTEM } else { namespace };
    let type_ = match kind {
        Kind::Class => "orchestraclass",
        Kind::Pool => "orchestrapool",
        Kind::Orchestra => "orchestra",
        Kind::Database => "orchestradatabase",
        _ => "secret",
    };
    let yaml = world.kubectl(["get", type_, name, "-n", namespace, "-o=yaml"]).unwrap();
    let set = ["resourceVersion", "uid", "creationTimestamp"].map(|key| format!("  {key}: "));
    let lines = yaml.split_inclusive('\n');
    let yaml: String = lines
        .filter(|line| !set.iter().any(|set| line.starts_with(set)))
        .collect();
    let Some((before, rest)) = yaml.split_once("\ndata:\n") else {
        return yaml;
    };
    let mut text = format!("{before}\nstringData:\n");
    for (key, value) in secret(world, namespace, name).await {
        writeln!(text, "  {key}: {}", json!(value)).unwrap();
    }
    text.extend(rest.split_inclusive('\n').skip_while(|line| line.starts_with(' ')));
    text
}

/// The tenant's login role and what the database holds.
fn dump(world: &World, places: &Places, password: &str) -> String {
    let role = format!("orchestra_{}", places.uid.replace('-', ""));
    let url = world.api.postgres().unwrap().admin_url().replace("/postgres?", "/one?");
    let program = std::env::var("PG_DUMP").unwrap();
    let output = Command::new(program)
        .args(["--inserts", "--dbname", &url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dump = String::from_utf8(output.stdout).unwrap();
    let skipped = ["--", "\\", "\n", "CREATE SCHEMA public", "SET "];
    let lines = dump.split_inclusive('\n');
    let kept: String = lines
        .filter(|line| !skipped.iter().any(|skipped| line.starts_with(skipped)))
        .collect();
    format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{password}';\n\
         GRANT {role} TO one_owner WITH ADMIN OPTION;\n\
         REVOKE ALL ON DATABASE one FROM PUBLIC;\n\
         GRANT CONNECT, TEMPORARY ON DATABASE one TO {role};\n{kept}"
    )
}
