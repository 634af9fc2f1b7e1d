//! The README's commands, and those that copy rows between databases, run as they are written.

use std::path::Path;
use std::process::{Command, Output};

use orchestra_sandbox::postgres::ensure_clients;
use orchestra_sandbox::world::{Kind, TENANTS, World, is_true};
use serde_json::{Value, json};

use crate::orphans::command;
use crate::proof::generous_world;
use crate::support::{LONG, project, ready, secret, standard_class};

/// The commands of the README that hold this text, each a line of its own.
fn written(text: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let lines = readme.lines().filter(|line| line.contains(text));
    let found: Vec<_> = lines.map(str::to_owned).collect();
    assert!(!found.is_empty(), "the README has no command with {text}");
    found
}

/// Runs a command in a folder, as a person does who has kubectl and the cluster.
fn run(world: &World, folder: &Path, line: &str) -> Output {
    let done = run_with(world, folder, line, &[]);
    assert!(done.status.success(), "{line}: {done:?}");
    done
}

/// As `run`, with these environment variables, the programs of this project in `PATH`, and whatever comes of it.
pub fn run_with(world: &World, folder: &Path, line: &str, environment: &[(&str, &str)]) -> Output {
    let kubectl = world.plane.kubectl([""; 0]);
    let tools = Path::new(kubectl.get_program()).parent().unwrap().display().to_string();
    let own = Path::new(env!("CARGO_BIN_EXE_orchestra-backup"))
        .parent()
        .unwrap()
        .display();
    let path = format!("{tools}:{own}:{}", std::env::var("PATH").unwrap());
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", line])
        .env("KUBECONFIG", world.plane.admin_kubeconfig())
        .env("PATH", path)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .output()
        .unwrap()
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

async fn applied(world: &World, name: &str, count: i64) {
    let is = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == count;
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_commands_work_as_written() {
    let world = generous_world().await;
    standard_class(&world, "");
    let _operator = world.operator("operator", |_| {}).unwrap();
    let commands = written("create configmap schema");
    for (name, format, folder, scripts) in [
        (
            "prisma",
            "Prisma",
            "prisma/migrations",
            [
                "20260101000000_add the members/migration.sql",
                "20260102000000_it's $HOME/migration.sql",
            ],
        ),
        (
            "supabase",
            "Supabase",
            "supabase/migrations",
            ["20260101000000_members.sql", "20260102000000_concerts.sql"],
        ),
        ("sqlx", "Sqlx", "migrations", ["1_the members.sql", "2_concerts.sql"]),
    ] {
        let is_its = |line: &&String| line.contains(&format!(" {folder} |"));
        let line = commands.iter().find(is_its).unwrap();
        let line = line.replace("configmap schema", &format!("configmap {name}"));
        let here = world.dir().join(name);
        if format == "Prisma" {
            write(
                &here,
                "prisma/migrations/migration_lock.toml",
                "provider = \"postgresql\"\n",
            );
        }
        write(&here, &format!("{folder}/{}", scripts[0]), "CREATE TABLE a (id int);");
        run(&world, &here, &line);
        let spec = json!({"migrations": {"format": format, "source": {"configMapRef": {"name": name}}}});
        let object = json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
            "metadata": {"name": name, "namespace": TENANTS}, "spec": spec,
        });
        world.apply(&object.to_string()).unwrap();
        applied(&world, name, 1).await;
        // Again, with a further script.
        write(&here, &format!("{folder}/{}", scripts[1]), "CREATE TABLE b (id int);");
        run(&world, &here, &line);
        applied(&world, name, 2).await;
    }
    rows_are_copied(&world).await;

    run(&world, &project(), &written("for name in first second third")[0]);
    for name in ["first", "second", "third"] {
        ready(&world, name).await;
    }
    let unknown = command(&world, &["plan", "-n", TENANTS, "fourth"]);
    let told = String::from_utf8(unknown.stderr).unwrap();
    assert!(!unknown.status.success() && unknown.stdout.is_empty(), "{told}");
    assert!(
        told.contains("there is no Orchestra fourth in namespace tenants"),
        "{told}"
    );
}

/// Puts psql and the server's own `pg_dump` first in `PATH`.
const OF_THE_SERVER: &str = "PATH=$CLIENTS/17/bin:$PATH
number=$(psql -XAtqc 'SHOW server_version_num' \"$OLD_DIRECT_URL\")
PATH=$CLIENTS/$((number / 10000))/bin:/usr/lib/postgresql/$((number / 10000))/bin:$PATH";

/// Between two tenants with the same tables, as docs/how-to/change-class.md says.
async fn rows_are_copied(world: &World) {
    let clients = tokio::task::spawn_blocking(ensure_clients).await.unwrap().unwrap();
    let old = secret(world, TENANTS, "prisma-connection").await;
    let new = secret(world, TENANTS, "supabase-connection").await;
    let roots = world.dir().join("roots.pem");
    std::fs::write(&roots, &old["ca.crt"]).unwrap();
    let (clients, roots) = (clients.display().to_string(), roots.display().to_string());
    let environment = [
        ("CLIENTS", clients.as_str()),
        ("PGSSLROOTCERT", roots.as_str()),
        ("OLD_DIRECT_URL", old["DIRECT_URL"].as_str()),
        ("NEW_DIRECT_URL", new["DIRECT_URL"].as_str()),
    ];
    let run = |commands: &str| {
        let script = format!("{OF_THE_SERVER}\n{commands}");
        let done = run_with(world, world.dir(), &script, &environment);
        assert!(done.status.success(), "{commands}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    run("psql -Xq -v ON_ERROR_STOP=1 -c 'INSERT INTO a VALUES (7)' \"$OLD_DIRECT_URL\"");
    let page = std::fs::read_to_string(project().join("docs/how-to/change-class.md")).unwrap();
    let (_, block) = page.split_once("```sh run-by=tests/stories/commands.rs\n").unwrap();
    run(block.split("```").next().unwrap());
    assert_eq!(run("psql -XAtqc 'SELECT id FROM a' \"$NEW_DIRECT_URL\""), "7\n");
}
