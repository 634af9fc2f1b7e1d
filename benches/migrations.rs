//! How long migrations take, against `psql -f` of the same files on the same server, by turns in one run.
//! `make bench-migrations` prints the table of docs/benchmarks.md.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use orchestra_operator::api::MigrationFormat;
use support::postgres::{Server, server};
use support::{execute, migrate, session, source_of};

/// Rounds of each; the median counts.
const ROUNDS: usize = 7;

/// As a product of some years has, with a script that has to be alone among every seven.
fn years() -> Vec<(String, String)> {
    (0..210)
        .map(|number| {
            let table = number / 7;
            let script = match number % 7 {
                0 => format!("CREATE TABLE t{table} (id serial PRIMARY KEY, name text NOT NULL);"),
                1 => format!("CREATE INDEX CONCURRENTLY t{table}_name ON t{table} (name);"),
                2 => format!("INSERT INTO t{table} (name) SELECT 'row ' || n FROM generate_series(1, 100) n;"),
                3 => format!("ALTER TABLE t{table} ADD a int, ADD b text DEFAULT 'x';\nCREATE INDEX ON t{table} (a);"),
                4 => format!("CREATE VIEW v{table} AS SELECT * FROM t{table} WHERE a IS NULL;"),
                5 => format!("CREATE FUNCTION f{table}() RETURNS int AS $$ SELECT 1; $$ LANGUAGE sql;"),
                _ => format!("UPDATE t{table} SET a = id;"),
            };
            (format!("{}_step", 20_200_101_000_000_i64 + number), script)
        })
        .collect()
}

/// Rows of a kilobyte, one statement each.
fn rows(megabytes: usize) -> Vec<(String, String)> {
    let body = "x".repeat(1000);
    let mut script = String::from("CREATE TABLE big (id int, body text);\n");
    for id in 0..megabytes * 1000 {
        writeln!(script, "INSERT INTO big VALUES ({id}, '{body}');").unwrap();
    }
    vec![("20200101000000_rows".to_owned(), script)]
}

async fn fresh(server: &Server) {
    let mut root = session(&server.login("postgres")).await;
    execute(&mut root, "DROP DATABASE IF EXISTS bench").await.unwrap();
    execute(&mut root, "CREATE DATABASE bench").await.unwrap();
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

async fn compare(server: &Server, what: &str, set: &[(String, String)]) {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = Vec::new();
    for (name, script) in set {
        let file = folder.path().join(format!("{name}.sql"));
        std::fs::write(&file, script).unwrap();
        arguments.extend(["-f".to_owned(), file.display().to_string()]);
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let scripts: Vec<_> = set
        .iter()
        .map(|(name, script)| (name.as_str(), script.as_str()))
        .collect();
    let formats = [
        MigrationFormat::Prisma,
        MigrationFormat::Supabase,
        MigrationFormat::Sqlx,
    ];
    let (mut plain, mut ours) = (Vec::new(), vec![Vec::new(); formats.len()]);
    for _ in 0..ROUNDS {
        fresh(server).await;
        let begun = Instant::now();
        server.psql("bench", &arguments);
        plain.push(begun.elapsed());
        for (format, times) in formats.iter().zip(&mut ours) {
            fresh(server).await;
            let begun = Instant::now();
            let source = source_of(*format, &scripts);
            let status = migrate(&server.login("bench"), &source).await.unwrap();
            times.push(begun.elapsed());
            assert_eq!((status.applied, status.pending), (set.len(), 0));
        }
    }
    let plain = median(plain);
    for (format, times) in formats.iter().zip(ours) {
        let ours = median(times);
        println!(
            "| {what} | {} | {plain:.3} | {ours:.3} | {:.2} |",
            format.as_str(),
            ours / plain
        );
    }
}

#[tokio::main]
async fn main() {
    let server = server().await;
    println!("| Scripts | Format | psql -f (s) | operator (s) | ratio |\n|---|---|---:|---:|---:|");
    compare(&server, "210 of some years", &years()).await;
    compare(&server, "1 of 50 MB, 50,000 rows", &rows(50)).await;
}
