//! Objects that earlier versions of the operator wrote: this version finds nothing to change in those of the last one, and
//! completes those of the ones before once.
//!
//! Each folder of `tests/fixtures/stored` holds a settled tenant of a static pool, with what its database holds, as one version
//! stored it. Parts that differ from one cluster and server to the next are written `${NAME}` there, see [`Places`].

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use orchestra_sandbox::random;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, is_true};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;

use crate::proof::{history, soon, tenant};
use crate::support::{LONG, login, project, scalar, secret, sources, world};

mod capture;

/// Password of the tenant's login role in the fixtures.
const PASSWORD: &str = "A-fixture.of_the~stories-0123456";

/// The fixtures in the order in which they are created, with the field of the spec that the operator sets in a
/// second write.
const FIXTURES: [(&str, &str); 6] = [
    ("class", ""),
    ("pool", ""),
    ("orchestra", ""),
    ("database", "claimRef"),
    ("owner-secret", ""),
    ("connection-secret", ""),
];

/// A version as it was captured. No file of it is ever edited.
struct Captured {
    /// Its folder.
    folder: &'static str,
    /// The fields of statuses that later versions write beside those that are there: such a status is written once.
    completed: &'static [(Kind, &'static [&'static str])],
}

/// The captured versions, the last one at the end.
const VERSIONS: [Captured; 2] = [
    Captured {
        folder: "1",
        completed: &[(Kind::Orchestra, &["appliedSources"])],
    },
    Captured {
        folder: "2",
        completed: &[],
    },
];

impl Captured {
    /// The fields that are added to the status of an object of this kind.
    fn added(&self, kind: Kind) -> &'static [&'static str] {
        let completed = self.completed.iter().find(|(of, _)| *of == kind);
        completed.map(|(_, fields)| *fields).unwrap_or_default()
    }
}

/// What an upgrade keeps of an object whose status it completes: all but these fields, and the words of conditions.
fn kept(object: &Value, added: &[&str]) -> Value {
    let mut kept = object.clone();
    let metadata = kept["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| field != "resourceVersion" && field != "managedFields");
    let status = kept["status"].as_object_mut().unwrap();
    status.retain(|field, _| !added.contains(&field.as_str()));
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition.as_object_mut().unwrap().remove("message");
    }
    kept
}

/// What differs from one cluster and server to the next.
struct Places {
    /// The folder of the version.
    folder: String,
    /// `${ORCHESTRA_UID}`, and without hyphens `${ORCHESTRA_HEX}`.
    uid: String,
    /// `${HOST}` of the server; its port is 5432.
    host: String,
    /// `${IDENTITY}` of the database: a digest of the server's system identifier and the oid.
    identity: String,
    /// `${SECRET_VERSION}`: the resource version of the connection Secret.
    version: String,
    /// `${CHECKED_AT}`: when the database was looked at last.
    checked: String,
}

impl Places {
    async fn of(world: &World, folder: &str, uid: &str, url: &str) -> Self {
        let mut session = login(url).await.unwrap();
        Self {
            folder: folder.to_owned(),
            uid: uid.to_owned(),
            host: world.api.postgres().unwrap().address().ip().to_string(),
            identity: identity(&mut session).await,
            version: String::new(),
            checked: jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
        }
    }

    /// The place holders and their values.
    fn all(&self) -> [(&str, String); 7] {
        [
            ("${ORCHESTRA_UID}", self.uid.clone()),
            ("${ORCHESTRA_HEX}", self.uid.replace('-', "")),
            ("${IDENTITY}", self.identity.clone()),
            ("${TENANT_PASSWORD}", PASSWORD.to_owned()),
            ("${HOST}", self.host.clone()),
            ("${SECRET_VERSION}", self.version.clone()),
            ("${CHECKED_AT}", self.checked.clone()),
        ]
    }

    /// The path of a fixture.
    fn fixture(&self, name: &str) -> PathBuf {
        project().join("tests/fixtures/stored").join(&self.folder).join(name)
    }

    fn fill(&self, text: &str) -> String {
        self.all()
            .iter()
            .fold(text.to_owned(), |text, (place, value)| text.replace(place, value))
    }
}

async fn identity(session: &mut PgConnection) -> String {
    let query = "SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) \
                 FROM pg_control_system()";
    let told: String = sqlx::query_scalar(query).fetch_one(session).await.unwrap();
    let digest = Sha256::digest(told);
    digest.iter().take(16).fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// The database `one` and its owner; the URL of the owner's login.
pub async fn database(world: &World) -> String {
    let server = world.api.postgres().expect("the stand-in started a server");
    let url = server
        .create_database("one", "one_owner", &random::alphanumeric(20))
        .await
        .unwrap();
    world
        .store_secret("database-pool", "DATABASE_URL_POOL_1", &url)
        .unwrap();
    url
}

/// A session of the superuser in the database `one`.
async fn admin(world: &World) -> PgConnection {
    let url = world.api.postgres().unwrap().admin_url();
    login(&url.replace("/postgres?", "/one?")).await.unwrap()
}

/// Reads a fixture; kubectl turns it into JSON.
fn read(world: &World, name: &str, places: &Places) -> (PathBuf, Value) {
    let text = std::fs::read_to_string(places.fixture(&format!("{name}.yaml"))).unwrap();
    let file = world.dir().join(format!("{name}.yaml"));
    std::fs::write(&file, places.fill(&text)).unwrap();
    let read = world
        .kubectl(["create", "--dry-run=client", "-o=json", "-f", file.to_str().unwrap()])
        .unwrap();
    (file, serde_json::from_str(&read).unwrap())
}

/// Creates a fixture without its status.
fn create(world: &World, (name, later): (&str, &str), places: &Places) {
    let (file, whole) = read(world, name, places);
    let path = file.to_str().unwrap();
    let mut first = whole.clone();
    first.as_object_mut().unwrap().remove("status");
    if let Some(spec) = first.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove(later);
    }
    std::fs::write(&file, first.to_string()).unwrap();
    world.kubectl(["create", "-f", path]).unwrap();
    if !later.is_empty() {
        patch(world, path, &[], &json!({"spec": {later: whole["spec"][later]}}));
    }
}

/// Writes the status of a fixture that was created.
fn write_status(world: &World, name: &str, places: &Places) {
    let (file, whole) = read(world, name, places);
    if whole["status"].is_object() {
        let status = json!({"status": whole["status"]});
        patch(world, file.to_str().unwrap(), &["--subresource=status"], &status);
    }
}

fn patch(world: &World, file: &str, more: &[&str], change: &Value) {
    let change = format!("-p={change}");
    let arguments = ["patch", "-f", file, "--type=merge", &change];
    let output = world.plane.kubectl(arguments).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Puts the fixtures of a version into the cluster and the server.
async fn put(world: &World, folder: &str, url: &str) -> Places {
    let mut places = Places::of(world, folder, "", url).await;
    for fixture in FIXTURES {
        create(world, fixture, &places);
        if fixture.0 == "orchestra" {
            let object = world.get(Kind::Orchestra, TENANTS, "stored").await.unwrap().unwrap();
            places.uid = text(&object["metadata"]["uid"]);
        }
    }
    let secret_there = world.get(Kind::Secret, TENANTS, "stored-connection").await.unwrap();
    places.version = text(&secret_there.unwrap()["metadata"]["resourceVersion"]);
    for (name, _) in FIXTURES {
        write_status(world, name, &places);
    }
    let mut session = admin(world).await;
    let dump = std::fs::read_to_string(places.fixture("database.sql")).unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(places.fill(&dump)))
        .execute(&mut session)
        .await
        .unwrap();
    drop(session);
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_previous_version_wrote_is_not_changed() {
    let [.., last] = &VERSIONS;
    assert!(
        last.completed.is_empty(),
        "capture this version: its statuses have new fields"
    );
    takes_over(last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_version_wrote_is_completed_once() {
    let [first, ..] = &VERSIONS;
    takes_over(first).await;
}

/// This version takes over what a captured one has stored.
async fn takes_over(captured: &Captured) {
    let world = world().await;
    sources(&world);
    let url = database(&world).await;
    let places = put(&world, captured.folder, &url).await;
    let mut versions = Vec::new();
    for (kind, namespace, name) in stored(&places) {
        let object = world.get(kind, namespace, &name).await.unwrap().unwrap();
        let observed = &object["status"]["observedGeneration"];
        assert!(
            observed.is_null() || *observed == object["metadata"]["generation"],
            "{object:#}"
        );
        versions.push((kind, namespace, name, object));
    }

    let operator = world
        .operator("operator", |command| {
            command.env("ORCHESTRA_RESYNC", "2s");
        })
        .unwrap();
    soon("it leads", async || operator.log().contains("leading")).await;
    for (kind, namespace, name, before) in &mut versions {
        let added = captured.added(*kind);
        if !added.is_empty() {
            let is_completed = |object: &Value| added.iter().all(|field| !object["status"][*field].is_null());
            let now = world
                .until(*kind, (*namespace, name.as_str()), LONG, is_completed)
                .await;
            let now = now.unwrap();
            assert_eq!(kept(&now, added), kept(before, added));
            *before = now;
        }
    }
    // Several passes of each controller.
    tokio::time::sleep(Duration::from_secs(8)).await;
    for (kind, namespace, name, before) in versions {
        let now = world.get(kind, namespace, &name).await.unwrap().unwrap();
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        assert_eq!(
            version(&now),
            version(&before),
            "{kind:?} {name} was changed from {before:#} to {now:#}"
        );
    }
    let secrets = world.list(Kind::Secret).await.unwrap();
    let new = |secret: &&Value| secret["metadata"]["name"].as_str().unwrap().ends_with("-tenant");
    assert_eq!(secrets.iter().find(new), None, "the tenant has its password already");
    let object = world.get(Kind::Orchestra, TENANTS, "stored").await.unwrap().unwrap();
    assert!(is_true(&object, "Ready"), "{object:#}");
    goes_on(&world).await;
}

/// A new migration is applied with the password and the history that are there.
async fn goes_on(world: &World) {
    let more = r#"{"data": {"20260103000000_halls.sql": "CREATE TABLE \"Hall\" (\"id\" SERIAL PRIMARY KEY);"}}"#;
    world
        .kubectl(["patch", "configmap", "schema", "-n", TENANTS, "-p", more])
        .unwrap();
    let applied = |object: &Value| object["status"]["migrations"]["applied"] == 3 && is_true(object, "Ready");
    world
        .until(Kind::Orchestra, (TENANTS, "stored"), LONG, applied)
        .await
        .unwrap();
    let keys = secret(world, TENANTS, "stored-connection").await;
    assert_eq!(keys["password"], PASSWORD);
    let mut session = tenant(world, "stored").await;
    assert_eq!(history(&mut session).await, 3);
    assert_eq!(scalar(&mut session, r#"SELECT count(*) FROM "Member""#).await, 3);
    // What the previous version granted beyond the data is gone, of what there was and of what came.
    let beyond = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
                  WHERE nspname = 'public' AND relkind = 'r' AND (has_table_privilege(c.oid, 'TRIGGER') \
                      OR has_table_privilege(c.oid, 'REFERENCES') OR has_schema_privilege(n.oid, 'CREATE') \
                      OR relname = '_prisma_migrations' AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))";
    assert_eq!(scalar(&mut session, beyond).await, 0);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The objects that must not change.
fn stored(places: &Places) -> [(Kind, &'static str, String); 6] {
    let database = format!("orchdb-{}", places.identity);
    [
        (Kind::Class, "", "standard".to_owned()),
        (Kind::Pool, "", "house".to_owned()),
        (Kind::Orchestra, TENANTS, "stored".to_owned()),
        (Kind::Database, "", database.clone()),
        (Kind::Secret, SYSTEM, database),
        (Kind::Secret, TENANTS, "stored-connection".to_owned()),
    ]
}
