//! The Supabase CLI, which a profile points to the stand-in.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::{Path, PathBuf};
use std::process::Command;

use orchestra_sandbox::StandIn;
use orchestra_sandbox::api::Rule;
use orchestra_sandbox::loopback;
use orchestra_sandbox::router::RouterOptions;
use serde_json::json;

use super::{left_out, output, packages, project, stand_in_at};

/// The pooler's name, as the CLI wants one.
const POOLER: &str = "aws-0-eu-central-1.pooler.localhost";

/// The CLI, its home and the folder of a project.
struct Cli {
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Cli {
    /// None where the program cannot be had, or cannot be given an `/etc/hosts` of its own.
    fn new(api: &StandIn) -> Option<Self> {
        let home = packages("supabase", &["package.json", "package-lock.json"])?;
        let dir = tempfile::tempdir().unwrap();
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let pooler = api.router().session_address().ip();
        std::fs::write(dir.path().join("hosts"), format!("{hosts}\n{pooler} {POOLER}\n")).unwrap();
        let profile = format!(
            "name: sandbox\napi_url: {url}\ndashboard_url: {url}/dashboard\nproject_host: supabase.test\npooler_host: pooler.localhost\n",
            url = api.url()
        );
        std::fs::write(dir.path().join("profile.yaml"), profile).unwrap();
        let folder = dir.path().join("project/supabase/migrations");
        std::fs::create_dir_all(folder).unwrap();
        let cli = Self {
            program: home.join("node_modules/@supabase/cli-linux-x64/bin/supabase"),
            dir,
        };
        let tried = cli.namespace("true").output();
        if tried.is_ok_and(|out| out.status.success()) {
            return Some(cli);
        }
        left_out("a mount namespace is not permitted here, so the CLI cannot find the pooler's name")
    }

    fn migrations(&self) -> PathBuf {
        self.dir.path().join("project/supabase/migrations")
    }

    /// A program that sees another `/etc/hosts`.
    fn namespace(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--map-root-user", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"")
            .arg(self.dir.path().join("hosts"))
            .arg(program.as_ref());
        command
    }

    async fn supabase(&self, api: &StandIn, what: &[&str]) -> String {
        let mut command = self.namespace(&self.program);
        command
            .args(["--agent", "no", "--yes", "--profile"])
            .arg(self.dir.path().join("profile.yaml"))
            .arg("--workdir")
            .arg(self.dir.path().join("project"))
            .args(what)
            .env("HOME", self.dir.path())
            .env("SUPABASE_ACCESS_TOKEN", api.token())
            .envs([
                ("DO_NOT_TRACK", "1"),
                ("SUPABASE_TELEMETRY_DISABLED", "1"),
                ("NO_COLOR", "1"),
            ]);
        output(command).await
    }
}

#[tokio::test]
async fn the_cli_links_and_pushes_with_a_role_for_a_short_time() {
    // It takes 5432 for sessions, whatever the API says, and a pooler in the domain of its profile.
    let router = RouterOptions {
        host: loopback::address(),
        session_port: 5432,
        transaction_port: 6543,
        ..RouterOptions::default()
    };
    let api = stand_in_at("pro", router).await;
    // The CLI wants a token of this form.
    api.set_tokens(vec![format!("sbp_{}", "0123456789".repeat(4))]);
    let Some(cli) = Cli::new(&api) else { return };
    let reference = project(&api, "tenant-a").await;
    let named = format!("postgresql://postgres.{reference}:[YOUR-PASSWORD]@{POOLER}:6543/postgres");
    let replace = |field: &str, value: &str| json!({"op": "replace", "path": format!("/*/{field}"), "value": value});
    let rule = Rule {
        path: Some("/config/database/pooler$".to_owned()),
        edit: vec![
            replace("db_host", POOLER),
            replace("connection_string", &named),
            replace("connectionString", &named),
        ],
        ..Rule::default()
    };
    api.rules().add(rule).unwrap();

    let listed = cli.supabase(&api, &["projects", "list"]).await;
    assert!(listed.contains(&reference) && listed.contains("tenant-a"), "{listed}");
    assert!(cli.supabase(&api, &["orgs", "list"]).await.contains("acme-org"));
    cli.supabase(&api, &["link", "--project-ref", &reference]).await;
    let version = "20260101000000";
    let script = "CREATE TABLE public.part (id int PRIMARY KEY);\nALTER TABLE public.part ENABLE ROW LEVEL SECURITY;\n";
    std::fs::write(cli.migrations().join(format!("{version}_part.sql")), script).unwrap();
    let before = cli.supabase(&api, &["migration", "list", "--remote"]).await;
    assert_eq!(before.matches(version).count(), 1, "only here: {before}");
    cli.supabase(&api, &["db", "push", "--remote"]).await;
    let after = cli.supabase(&api, &["migration", "list", "--remote"]).await;
    assert_eq!(after.matches(version).count(), 2, "here and there: {after}");

    // What the CLI pushed the API lists, and its tables belong to the owner.
    let client = reqwest::Client::new();
    let ask = async |path: &str, body: serde_json::Value| {
        let url = format!("{}/v1/projects/{reference}/{path}", api.url());
        let answer = client.post(url).bearer_auth(api.token()).json(&body).send().await;
        answer.unwrap().json::<serde_json::Value>().await.unwrap()
    };
    let history = json!({"query": "SELECT version, name FROM supabase_migrations.schema_migrations"});
    assert_eq!(
        ask("database/query", history).await,
        json!([{"version": version, "name": "part"}])
    );
    let owner = json!({"query": "SELECT tableowner = current_user AS ours FROM pg_tables WHERE tablename = 'part'"});
    assert_eq!(ask("database/query", owner).await, json!([{"ours": true}]));
    assert!(api.violations().is_empty(), "{:#?}", api.violations());
}
