//! The official MCP server, over its standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use orchestra_sandbox::StandIn;
use serde_json::{Value, json};

use super::{FILES, node, packages, stand_in, wait_for};

/// A running server.
struct Server {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    last: u64,
}

impl Server {
    /// Without what asks other hosts than the API: the documentation.
    fn start(home: &std::path::Path, api: &StandIn) -> Self {
        let mut command = node(home);
        command
            .arg("node_modules/@supabase/mcp-server-supabase/dist/cli.js")
            .args(["--api-url", &api.url()])
            .arg("--features=account,database,debugging,development,functions,branching,storage")
            .env("SUPABASE_ACCESS_TOKEN", api.token())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            answers,
            last: 0,
        };
        let client = json!({"name": "orchestra-tests", "version": "1"});
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
        assert_eq!(server.request("initialize", &hello)["serverInfo"]["name"], "supabase");
        server.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        server
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    fn request(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let number = self.last;
        self.send(&json!({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}));
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the server has ended");
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == number {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// What a tool says: JSON, or the words of an error.
    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let result = self.request("tools/call", &json!({"name": tool, "arguments": arguments}));
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_else(|_| json!(text))
    }

    /// The same of a tool that must succeed.
    fn done(&mut self, tool: &str, arguments: &Value) -> Value {
        let answer = self.call(tool, arguments);
        assert!(answer.get("error").is_none(), "{tool}: {answer}");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mcp_server_makes_a_project_and_works_in_it() {
    let Some(home) = packages("clients", FILES) else { return };
    let api = stand_in("free").await;
    let mut server = Server::start(&home, &api);
    let organizations = server.done("list_organizations", &json!({}));
    assert_eq!(organizations["organizations"][0]["slug"], "acme-org");
    let cost = json!({"type": "project", "organization_id": "acme-org"});
    let cost = server.done("get_cost", &cost);
    assert_eq!((&cost["amount"], &cost["recurrence"]), (&json!(0), &json!("monthly")));
    let confirmed = server.done(
        "confirm_cost",
        &json!({"type": "project", "recurrence": "monthly", "amount": 0}),
    );
    let new = json!({
        "name": "tenant-a", "region": "eu-central-1", "organization_id": "acme-org",
        "confirm_cost_id": confirmed["confirmation_id"],
    });
    let created = server.done("create_project", &new);
    let reference = created["id"].as_str().unwrap().to_owned();
    wait_for(&api, &reference, "ACTIVE_HEALTHY").await;
    works_inside(&mut server, &reference);

    server.done("pause_project", &json!({"project_id": reference}));
    wait_for(&api, &reference, "INACTIVE").await;
    let paused = server.call("execute_sql", &json!({"project_id": reference, "query": "SELECT 1"}));
    assert!(
        paused.to_string().contains("Project must be active and healthy."),
        "{paused}"
    );
    server.done("restore_project", &json!({"project_id": reference}));
    wait_for(&api, &reference, "ACTIVE_HEALTHY").await;
    let there = json!({"project_id": reference, "query": "SELECT count(*) AS rows FROM public.part"});
    let there = server.done("execute_sql", &there);
    assert!(there["result"].as_str().unwrap().contains(r#"[{"rows":0}]"#), "{there}");
    assert!(api.violations().is_empty(), "{:#?}", api.violations());
}

fn works_inside(server: &mut Server, reference: &str) {
    let script = json!({
        "project_id": reference, "name": "part",
        "query": "CREATE TABLE public.part (id int PRIMARY KEY); SELECT 1",
    });
    server.done("apply_migration", &script);
    let project = json!({"project_id": reference});
    let migrations = server.done("list_migrations", &project);
    assert_eq!(migrations["migrations"][0]["name"], "part");
    let sql = json!({"project_id": reference, "query": "SELECT 40 + 2 AS answer"});
    let answer = server.done("execute_sql", &sql);
    let text = answer["result"].as_str().unwrap();
    assert!(text.contains(r#"[{"answer":42}]"#), "{text}");
    let wrong = server.call("execute_sql", &json!({"project_id": reference, "query": "SELECT nope"}));
    assert!(
        wrong.to_string().contains("Failed to run sql query: ERROR:  42703"),
        "{wrong}"
    );
    let tables = json!({"project_id": reference, "schemas": ["public"], "verbose": false});
    let tables = server.done("list_tables", &tables);
    assert_eq!(tables["tables"][0]["name"], "public.part");
    let lints = server.done("get_advisors", &json!({"project_id": reference, "type": "security"}));
    assert!(lints.to_string().contains("rls_disabled_in_public"), "{lints}");
    let keys = server.done("get_publishable_keys", &project);
    assert!(keys.to_string().contains("sb_publishable_"), "{keys}");
    let types = server.done("generate_typescript_types", &project);
    assert!(types.to_string().contains("Row: { id: number }"), "{types}");
    server.done("get_logs", &json!({"project_id": reference, "service": "postgres"}));
    for tool in [
        "list_extensions",
        "list_edge_functions",
        "list_branches",
        "get_storage_config",
        "list_storage_buckets",
    ] {
        server.done(tool, &project);
    }
}
