//! Where scripts are: archives in ConfigMaps, the resource itself, a mounted folder, OCI artifacts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orchestra_sandbox::registry::{Fault, Login, Registry};
use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::artifact::{flux, odd_tar_gz, oras_files, oras_folder, push, tar_gz};
use crate::proof::{generous_world, history, owner, soon};
use crate::support::{LONG, ready, reason, scalar, standard_class};

/// Two migrations as Prisma keeps them.
const PROJECT: &[(&str, &str)] = &[
    (
        "app/prisma/migrations/migration_lock.toml",
        "provider = \"postgresql\"\n",
    ),
    (
        "app/prisma/migrations/20260101000000_members/migration.sql",
        "CREATE TABLE \"Member\" (\"id\" INT);\r\n",
    ),
    ("app/prisma/migrations/20260102000000_nothing/migration.sql", ""),
    ("app/README.md", "The app"),
    ("app/seeds/members.sql", "INSERT INTO \"Member\" VALUES (1), (2)"),
];

fn orchestra(world: &World, name: &str, spec: &Value) {
    let object = json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
        "metadata": {"name": name, "namespace": TENANTS}, "spec": spec,
    });
    world.apply(&object.to_string()).unwrap();
}

fn archive(world: &World, map: &str, packed: &[u8]) {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map, "namespace": TENANTS},
        "binaryData": {"project.tar.gz": STANDARD.encode(packed)},
    });
    world.apply(&object.to_string()).unwrap();
}

fn pull_secret(world: &World, host: &str, password: &str) {
    let login = json!({"auths": {host: {"auth": STANDARD.encode(format!("ada:{password}"))}}}).to_string();
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "pull", "namespace": TENANTS}, "stringData": {".dockerconfigjson": login},
    });
    world.apply(&object.to_string()).unwrap();
}

async fn applied(world: &World, name: &str, count: i64) -> Value {
    let is = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == count;
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap()
}

async fn members(world: &World, name: &str) -> i64 {
    scalar(&mut owner(world, name).await, "SELECT count(*) FROM \"Member\"").await
}

async fn get(world: &World, name: &str) -> Value {
    world.get(Kind::Orchestra, TENANTS, name).await.unwrap().unwrap()
}

fn blobs(registry: &Registry) -> usize {
    registry
        .seen()
        .iter()
        .filter(|seen| seen.path.contains("/blobs/"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn an_archive_the_resource_and_a_folder_are_sources() {
    let world = generous_world().await;
    standard_class(&world, "");
    let folder = world.dir().join("sources");
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for (path, text) in PROJECT {
        write(path, text);
    }
    let _operator = world
        .operator("operator", |command| {
            command.arg("--resync=3s").arg("--sources-folder").arg(&folder);
        })
        .unwrap();
    archive(&world, "project", &tar_gz(PROJECT));
    let packed = json!({"configMapRef": {"name": "project"}});
    let seeded = json!({"configMapRef": {"name": "project"}, "path": "app/seeds"});
    orchestra(
        &world,
        "packed",
        &json!({"migrations": {"source": packed}, "seed": seeded}),
    );
    orchestra(
        &world,
        "mounted",
        &json!({
            "migrations": {"source": {"folder": "app/prisma"}},
            "seed": {"folder": "app", "path": "seeds/members.sql"},
        }),
    );
    orchestra(
        &world,
        "inline",
        &json!({
            "migrations": {"source": {"inline": {"1_members/migration.sql": "CREATE TABLE \"Member\" (id int)"}}},
            "seed": {"inline": {"a.sql": "INSERT INTO \"Member\" VALUES (1), (2)"}},
        }),
    );
    for (name, count) in [("packed", 2), ("mounted", 2), ("inline", 1)] {
        let object = applied(&world, name, count).await;
        assert_eq!(object["status"]["migrations"]["format"], "Prisma");
        assert_eq!(object["status"]["migrations"]["revision"], Value::Null);
        assert_eq!(members(&world, name).await, 2, "{name}");
    }
    let digest = |object: &Value| object["status"]["migrations"]["source"].clone();
    assert_eq!(
        digest(&get(&world, "packed").await),
        digest(&get(&world, "mounted").await),
        "the same scripts are the same, wherever they are"
    );
    write("app/prisma/migrations/20260103000000_more/migration.sql", "SELECT 3;");
    applied(&world, "mounted", 3).await;
    // The problem is reported, and a tenant in use stays in use.
    for (packed, says) in [
        (b"no archive".to_vec(), "the archive cannot be unpacked"),
        (
            odd_tar_gz(tar::EntryType::Regular, "../../etc/passwd", 0),
            "is not a path inside the source",
        ),
        (odd_tar_gz(tar::EntryType::Symlink, "1_a.sql", 0), "is a link"),
        (
            odd_tar_gz(tar::EntryType::Regular, "1_a.sql", 65 << 20),
            "more than 64 MiB",
        ),
        (tar_gz(&[("1_a/migration.sql", ""), ("2_b/", "")]), "Prisma's P3015"),
        (tar_gz(&[("1_a/migration.sql", "\u{feff}SELECT 1")]), "byte order mark"),
        (
            tar_gz(&[("prisma/migrations/1_a/migration.sql", ""), ("2_b.sql", "")]),
            "2_b.sql is not in prisma/migrations, where the migrations are",
        ),
        (
            tar_gz(&[("1_a.sql", ""), ("old/2_b.sql", "")]),
            "could not find the migration file",
        ),
    ] {
        archive(&world, "project", &packed);
        let is = |object: &Value| {
            let (_, reason, message) = condition(object, "Ready");
            reason == "SourceInvalid" && message.contains(says)
        };
        let object = world
            .until(Kind::Orchestra, (TENANTS, "packed"), LONG, is)
            .await
            .unwrap();
        assert!(
            is_true(&object, "Stalled") && is_true(&object, "Available"),
            "{object:#}"
        );
    }
    assert_eq!(history(&mut owner(&world, "packed").await).await, 2);
    archive(&world, "project", &tar_gz(PROJECT));
    ready(&world, "packed").await;
    orchestra(&world, "away", &json!({"migrations": {"source": {"folder": "none"}}}));
    assert!(
        condition(&reason(&world, "away", "SourceNotFound").await, "Ready")
            .2
            .contains("folder none")
    );
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn artifacts_are_fetched_once_and_followed() {
    let world = generous_world().await;
    standard_class(&world, "");
    let registry = Registry::start(world.dir()).await.unwrap();
    registry.require(Some(Login::Token("ada".into(), "s3cret".into())));
    let oci = json!({
        "image": format!("oci://{}/acme/app", registry.host()), "tag": "v1", "insecure": true,
        "pullSecretRef": {"name": "pull"},
    });
    let first = push(&registry.push_host(), "acme/app", "v1", &oras_folder("app", PROJECT)).await;
    let host = registry.host().to_owned();
    let start = |name: &str| {
        world
            .operator(name, |command| {
                command.args(["--resync=3s", &format!("--oci-hosts=ghcr.io,{host}")]);
            })
            .unwrap()
    };
    let mut operator = start("operator");
    let spec = json!({"migrations": {"source": {"oci": oci}}, "seed": {"oci": oci, "path": "app/seeds"}});
    orchestra(&world, "one", &spec);
    let object = reason(&world, "one", "SourceDenied").await;
    assert!(
        condition(&object, "Ready").2.contains("Secret tenants/pull"),
        "{object:#}"
    );
    pull_secret(&world, registry.host(), "wrong-password");
    let is = |object: &Value| condition(object, "Ready").2.contains("the registry refuses");
    let object = world.until(Kind::Orchestra, (TENANTS, "one"), LONG, is).await.unwrap();
    assert!(is_true(&object, "Stalled"), "{object:#}");
    pull_secret(&world, registry.host(), "s3cret");
    for name in ["two", "three"] {
        orchestra(&world, name, &spec);
    }
    for name in ["one", "two", "three"] {
        let object = applied(&world, name, 2).await;
        assert_eq!(object["status"]["migrations"]["revision"], first.as_str());
        assert_eq!(members(&world, name).await, 2);
    }
    assert_eq!(blobs(&registry), 1, "three tenants, migrations and seeds, one layer");

    // The tag moves, and its tenants follow.
    let mut more = PROJECT.to_vec();
    more.push(("app/prisma/migrations/20260103000000_more/migration.sql", "SELECT 3;"));
    let second = push(&registry.push_host(), "acme/app", "v1", &flux(&more)).await;
    for name in ["one", "two", "three"] {
        let object = applied(&world, name, 3).await;
        assert_eq!(object["status"]["migrations"]["revision"], second.as_str());
    }
    assert_eq!(blobs(&registry), 1);

    // A registry that is down does not affect Ready tenants.
    registry.fail(Some(Fault::Down));
    let before = get(&world, "one").await;
    soon("the tag is looked up", async || {
        operator.log().contains("is still used")
    })
    .await;
    assert_eq!(get(&world, "one").await["status"], before["status"]);
    operator.kill().unwrap();
    let next = start("next");
    soon("the next one has met it", async || next.log().contains("503")).await;
    let warned = |object: &Value| condition(object, "SourceAvailable").1 == "SourceUnavailable";
    let object = world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, warned)
        .await
        .unwrap();
    assert!(
        is_true(&object, "Ready") && is_true(&object, "Available") && !is_true(&object, "Stalled"),
        "{object:#}"
    );
    registry.fail(None);
    let settled = |object: &Value| {
        let quiet = |part: &str| condition(object, part).0.is_empty();
        is_true(object, "Ready") && quiet("Reconciling") && quiet("SourceAvailable")
    };
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, settled)
        .await
        .unwrap();
    for log in [operator.log(), next.log()] {
        assert!(
            !log.contains("s3cret") && !log.contains("wrong-password") && !log.contains(&STANDARD.encode("ada:s3cret"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestra_names_allowed_hosts_and_a_class_any() {
    let world = generous_world().await;
    let registry = Registry::start(world.dir()).await.unwrap();
    let files = &[(
        "supabase/migrations/20260101000000_members.sql",
        "CREATE TABLE \"Member\" (id int)",
    )];
    let digest = push(&registry.push_host(), "acme/app", "v1", &oras_files(files)).await;
    let oci = json!({"image": format!("{}/acme/app", registry.host()), "digest": digest, "insecure": true});
    standard_class(&world, "");
    let _operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "own", &json!({"migrations": {"source": {"oci": oci}}}));
    let object = reason(&world, "own", "SourceNotAllowed").await;
    let message = condition(&object, "Ready").2;
    assert!(
        message.contains(registry.host()) && message.contains("--oci-hosts"),
        "{message}"
    );
    orchestra(&world, "mounted", &json!({"migrations": {"source": {"folder": "a"}}}));
    let object = reason(&world, "mounted", "SourceNotAllowed").await;
    assert!(condition(&object, "Ready").2.contains("--sources-folder"));
    assert!(registry.seen().is_empty(), "nobody was asked");
    standard_class(&world, &format!("  migrations: {{source: {{oci: {oci}}}}}"));
    orchestra(&world, "classy", &json!({}));
    let object = applied(&world, "classy", 1).await;
    assert_eq!(object["status"]["migrations"]["format"], "Supabase");
    assert_eq!(object["status"]["migrations"]["revision"], digest.as_str());
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_source_without_a_migration_is_refused_unless_it_is_empty() {
    let world = generous_world().await;
    standard_class(&world, "");
    let _operator = world.operator("operator", |_| {}).unwrap();
    let map = |name: &str, data: &Value| {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": TENANTS}, "data": data,
        });
        world.apply(&object.to_string()).unwrap();
        let source = json!({"configMapRef": {"name": name}});
        let format = if name == "backward" { "Sqlx" } else { "Prisma" };
        orchestra(
            &world,
            name,
            &json!({"migrations": {"source": source, "format": format}}),
        );
    };
    // The first is what kubectl makes of the folder of Prisma's migrations.
    let lock = json!({"migration_lock.toml": "provider = \"postgresql\"\n"});
    for (name, data, says) in [
        (
            "locked",
            &lock,
            "it contains no migration, only migration_lock.toml: kubectl create configmap --from-file takes no folders",
        ),
        ("described", &json!({"README.md": "later"}), "only README.md: "),
        (
            "backward",
            &json!({"1_a.down.sql": "DROP TABLE a"}),
            "only 1_a.down.sql: ",
        ),
    ] {
        map(name, data);
        let object = reason(&world, name, "SourceInvalid").await;
        let message = condition(&object, "Ready").2;
        assert!(
            message.contains(says) && message.contains(&format!("tenants/{name}")),
            "{message}"
        );
        assert!(
            is_true(&object, "Stalled") && object["status"]["secretRef"].is_null(),
            "{object:#}"
        );
    }
    // One that is empty as a whole is the beginning of a new application, and is shown.
    map("empty", &json!({}));
    let shown = |object: &Value| {
        let (status, reason, message) = condition(object, "SourceAvailable");
        let told = status == "False" && reason == "SourceNotFound" && message.contains("tenants/empty is empty");
        told && is_true(object, "Ready")
    };
    world
        .until(Kind::Orchestra, (TENANTS, "empty"), LONG, shown)
        .await
        .unwrap();
    map("empty", &json!({"1_a.sql": "CREATE TABLE a (id int)"}));
    let object = applied(&world, "empty", 1).await;
    assert_eq!(condition(&object, "SourceAvailable").0, "", "{object:#}");
    // Of a tenant that has all of it, it is a warning.
    map("empty", &lock);
    let warned = |object: &Value| {
        let (status, _, message) = condition(object, "SourceAvailable");
        status == "False" && message.contains("only migration_lock.toml") && is_true(object, "Ready")
    };
    world
        .until(Kind::Orchestra, (TENANTS, "empty"), LONG, warned)
        .await
        .unwrap();
}
