//! `kubectl orchestra plan -f`: migrations wherever they are, read with the logins that the source and its reader have.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orchestra_sandbox::registry::{Fault, Login, Registry};
use orchestra_sandbox::world::{Kind, TENANTS, World};
use serde_json::{Value, json};

use super::holds;
use super::user::User;
use crate::artifact::{flux, oras_folder, push, tar_gz};
use crate::proof::generous_world;
use crate::support::standard_class;

/// Two migrations as Prisma keeps them.
const PROJECT: &[(&str, &str)] = &[
    (
        "app/prisma/migrations/20260101000000_members/migration.sql",
        "CREATE TABLE \"Member\" (\"id\" INT);\n",
    ),
    (
        "app/prisma/migrations/20260102000000_concerts/migration.sql",
        "CREATE TABLE \"Concert\" (\"id\" INT);\n",
    ),
];

/// What the plan of [`PROJECT`] says.
const LISTED: [&str; 2] = [
    "migrates:  20260101000000_members",
    "migrates:  20260102000000_concerts",
];

const RIGHT: &str = "s3cret-of-the-registry";
const WRONG: &str = "n0t-the-password";

struct Scene<'a> {
    world: &'a World,
    ada: User<'a>,
    registry: Registry,
}

impl Scene<'_> {
    fn require(&self, login: Option<fn(String, String) -> Login>) {
        self.registry
            .require(login.map(|login| login("ada".into(), RIGHT.into())));
    }

    fn artifact(&self, more: &Value) -> Value {
        let mut oci =
            json!({"image": format!("oci://{}/acme/app", self.registry.host()), "tag": "v1", "insecure": true});
        let (Some(oci_fields), Some(more)) = (oci.as_object_mut(), more.as_object()) else {
            panic!("{more} is no object");
        };
        oci_fields.extend(more.clone());
        json!({ "oci": oci })
    }

    /// The plan of an Orchestra with migrations from this source, which leaves the cluster as it is.
    fn plan(&self, source: &Value, docker: Option<&Path>, beside: &[Value]) -> String {
        let orchestra = json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
            "metadata": {"name": "one", "namespace": TENANTS}, "spec": {"migrations": {"source": source}},
        });
        let items: Vec<_> = beside.iter().chain([&orchestra]).collect();
        let file = self.world.dir().join("plan.json");
        std::fs::write(
            &file,
            json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
        )
        .unwrap();
        let mut command = self.ada.command(&["plan", "-f", file.to_str().unwrap()]);
        if let Some(docker) = docker {
            let path = format!("{}:/usr/bin:/bin", docker.display());
            command.env("DOCKER_CONFIG", docker).env("PATH", path);
        }
        let (code, plan, error) = self.ada.output(&mut command);
        assert_eq!(code, 0, "{source}: {error}");
        holds(&plan, &["tenants/one is created", "Nothing was changed."]);
        plan
    }

    fn pull_secret(&self, password: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "pull", "namespace": TENANTS},
            "stringData": {".dockerconfigjson": auths(self.registry.host(), password).to_string()},
        });
        self.world.apply(&secret.to_string()).unwrap();
    }

    /// A folder of Docker's configuration.
    fn docker(&self, name: &str, config: &Value) -> PathBuf {
        let folder = self.world.dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        folder
    }

    /// The authorizations that the registry was given since it was last asked this.
    fn authorizations(&self) -> Vec<String> {
        let seen = self.registry.seen();
        seen.into_iter().filter_map(|seen| seen.authorization).collect()
    }
}

fn auths(host: &str, password: &str) -> Value {
    json!({"auths": {host: {"auth": STANDARD.encode(format!("ada:{password}"))}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_reads_migrations_wherever_its_reader_may() {
    let world = generous_world().await;
    standard_class(&world, "");
    let mut ada = User::ada(&world).await;
    for password in [RIGHT, WRONG] {
        ada.hidden.push(password.to_owned());
        ada.hidden.push(STANDARD.encode(format!("ada:{password}")));
    }
    let registry = Registry::start(world.dir()).await.unwrap();
    push(&registry.push_host(), "acme/app", "v1", &oras_folder("app", PROJECT)).await;
    let scene = Scene {
        world: &world,
        ada,
        registry,
    };
    without_a_registry(&scene);
    without_a_login(&scene);
    with_a_pull_secret(&scene);
    with_an_own_login(&scene);
    with_a_helper(&scene);
    what_the_registry_lacks(&scene).await;
    assert!(world.get(Kind::Orchestra, TENANTS, "one").await.unwrap().is_none());
}

fn without_a_registry(scene: &Scene<'_>) {
    let archive = |packed: &[u8]| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "project", "namespace": TENANTS},
            "binaryData": {"project.tar.gz": STANDARD.encode(packed)},
        })
    };
    let source = json!({"configMapRef": {"name": "project"}});
    holds(
        &scene.plan(&source, None, &[]),
        &["ConfigMap tenants/project, which does not exist"],
    );
    // The manifests have it, before the cluster has.
    holds(&scene.plan(&source, None, &[archive(&tar_gz(PROJECT))]), &LISTED);
    scene.world.apply(&archive(&tar_gz(&PROJECT[..1])).to_string()).unwrap();
    let plan = scene.plan(&source, None, &[]);
    holds(&plan, &LISTED[..1]);
    assert!(!plan.contains(LISTED[1]), "{plan}");
    scene.world.apply(&archive(b"no archive").to_string()).unwrap();
    holds(
        &scene.plan(&source, None, &[]),
        &[
            "its migrations cannot be used: key project.tar.gz of ConfigMap tenants/project: ",
            "cannot be unpacked",
        ],
    );
    holds(
        &scene.plan(&json!({"folder": "app/prisma"}), None, &[]),
        &[
            "in the folder app/prisma below --sources-folder of the operator's pod",
            "are not listed here",
        ],
    );
}

fn without_a_login(scene: &Scene<'_>) {
    scene.require(None);
    let plan = scene.plan(&scene.artifact(&json!({})), None, &[]);
    holds(&plan, &LISTED);
    assert!(!plan.contains("cannot be"), "{plan}");
    assert!(scene.authorizations().is_empty());
    for login in [Login::Basic, Login::Token] {
        scene.require(Some(login));
        let host = scene.registry.host();
        let plan = scene.plan(&scene.artifact(&json!({})), None, &[]);
        holds(
            &plan,
            &[
                "its migrations cannot be listed: the registry wants a login, and the source names no pullSecretRef: the \
                 operator would be refused",
                &format!("you have no login of {host}: run `docker login {host}`"),
            ],
        );
        assert!(!plan.contains("migrates:"), "{plan}");
    }
}

fn with_a_pull_secret(scene: &Scene<'_>) {
    let source = scene.artifact(&json!({"pullSecretRef": {"name": "pull"}}));
    for login in [Login::Basic, Login::Token] {
        scene.require(Some(login));
        scene.pull_secret(WRONG);
        let plan = scene.plan(&source, None, &[]);
        holds(
            &plan,
            &[
                "its migrations cannot be listed: ",
                "/acme/app:v1: the registry refuses the login: correct the Secret of pullSecretRef",
            ],
        );
        scene.pull_secret(RIGHT);
        let plan = scene.plan(&source, None, &[]);
        holds(&plan, &LISTED);
        assert!(!plan.contains("cannot be"), "{plan}");
    }
    scene
        .world
        .kubectl(["delete", "secret", "pull", "-n", TENANTS])
        .unwrap();
}

fn with_an_own_login(scene: &Scene<'_>) {
    let host = scene.registry.host().to_owned();
    let right = scene.docker("right", &auths(&host, RIGHT));
    let wrong = scene.docker("wrong", &auths(&host, WRONG));
    let other = scene.docker("other", &auths("ghcr.io", RIGHT));
    let nameless = scene.artifact(&json!({}));
    let named = scene.artifact(&json!({"pullSecretRef": {"name": "pull"}}));
    let mine = format!("it was read with your own login of {host}");
    for login in [Login::Basic, Login::Token] {
        scene.require(Some(login));
        let plan = scene.plan(&nameless, Some(&right), &[]);
        holds(&plan, &LISTED);
        holds(
            &plan,
            &[
                "the source names no pullSecretRef: the operator would be refused",
                &mine,
            ],
        );
        // The operator would lack its Secret, and says so itself later.
        let plan = scene.plan(&named, Some(&right), &[]);
        holds(&plan, &LISTED);
        holds(&plan, &["Secret tenants/pull: it does not exist", &mine]);
        let plan = scene.plan(&nameless, Some(&wrong), &[]);
        holds(
            &plan,
            &[
                "the operator would be refused",
                &format!("{host} refuses your own login: replace it with `docker login {host}`"),
            ],
        );
        assert!(!plan.contains("correct the Secret"), "{plan}");
        assert!(!scene.authorizations().is_empty());
        let plan = scene.plan(&nameless, Some(&other), &[]);
        holds(&plan, &["you have no login of 127.0.0.1"]);
        // The login of another registry stays where it is.
        assert!(scene.authorizations().is_empty());
    }
}

/// A login that a program of the user's keeps.
fn with_a_helper(scene: &Scene<'_>) {
    let host = scene.registry.host().to_owned();
    scene.require(Some(Login::Token));
    let helped = scene.docker("helped", &json!({"credHelpers": {host.clone(): "story"}}));
    let program = helped.join("docker-credential-story");
    let says = |script: &str| {
        std::fs::write(&program, format!("#!/bin/sh\ncat >/dev/null\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        scene.plan(&scene.artifact(&json!({})), Some(&helped), &[])
    };
    let answer = json!({"ServerURL": host, "Username": "ada", "Secret": RIGHT});
    holds(&says(&format!("echo '{answer}'")), &LISTED);
    holds(
        &says(&format!("echo {WRONG}; echo {WRONG} >&2; exit 1")),
        &[&format!(
            "docker-credential-story gives no login of {host}: run it by hand"
        )],
    );
    holds(
        &says("echo credentials not found in native keychain; exit 1"),
        &["you have no login of 127.0.0.1"],
    );
}

async fn what_the_registry_lacks(scene: &Scene<'_>) {
    scene.require(None);
    let missing = scene.artifact(&json!({"tag": "v9"}));
    holds(
        &scene.plan(&missing, None, &[]),
        &["the registry has no", "/acme/app:v9: push it, or correct"],
    );
    let torn = flux(&[("1_a/migration.sql", ""), ("2_b/", "")]);
    push(&scene.registry.push_host(), "acme/app", "v2", &torn).await;
    let torn = scene.artifact(&json!({"tag": "v2"}));
    holds(
        &scene.plan(&torn, None, &[]),
        &["its migrations cannot be used: ", "P3015"],
    );
    scene.registry.fail(Some(Fault::Down));
    let plan = scene.plan(&scene.artifact(&json!({})), None, &[]);
    holds(&plan, &["its migrations cannot be listed: ", "503"]);
    scene.registry.fail(None);
}
