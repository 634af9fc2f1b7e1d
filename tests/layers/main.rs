//! The layers of the crate: a room imports only rooms below it, and no files of a room import each other in a
//! circle. The order of the rooms is the order of their lines in `src/lib.rs`.
//!
//! A name that a parent re-exports counts as an import of the parent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod code;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use code::{Crate, Module, files, modules_of_tests, paths_of};

#[test]
fn paths_inside_of_macros_are_read_from_their_first_segment() {
    let text = r#""{}" , super::super::a::b () , self::c::d , mysuper::e , $ crate::f::g , h : crate::h as crate::i"#;
    let mut found: Vec<_> = paths_of(text).iter().map(|path| path.join("::")).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "crate::f::g",
            "crate::h",
            "crate::i",
            "self::c::d",
            "super::super::a::b"
        ]
    );
}

/// The rooms from top to bottom.
fn rooms(root: &Path) -> Vec<String> {
    let lib = fs::read_to_string(root.join("lib.rs")).unwrap();
    let names = lib.lines().filter_map(|line| line.strip_prefix("pub mod "));
    names.map(|line| line.split(';').next().unwrap().to_owned()).collect()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The imports that climb from a room to one above it.
fn climbing(code: &Crate, rooms: &[String]) -> Vec<String> {
    let rank = |module: &Module| {
        let room = rooms.iter().position(|room| *room == module[0]);
        room.unwrap_or_else(|| panic!("{} is in no room of lib.rs", module[0]))
    };
    let mut found = Vec::new();
    for (from, targets) in &code.imports {
        for to in targets.iter().filter(|to| rank(to) < rank(from)) {
            found.push(format!(
                "{} imports {}, but {} is above {}",
                code.file(from),
                code.file(to),
                to[0],
                from[0]
            ));
        }
    }
    found
}

/// A way from a module back to itself through files of its own room.
fn circle(code: &Crate, start: &Module) -> Option<Vec<Module>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![start.clone()]];
    while let Some(way) = ways.pop() {
        let last = way.last().unwrap();
        let imports = code.imports.get(last);
        for next in imports.unwrap_or_else(|| panic!("{last:?} is no file; the way there: {way:?}")) {
            if next == start {
                return Some(way);
            }
            if next[0] == start[0] && seen.insert(next.clone()) {
                ways.push([way.as_slice(), std::slice::from_ref(next)].concat());
            }
        }
    }
    None
}

#[test]
fn a_room_imports_only_rooms_below_it() {
    let found = climbing(&Crate::read(&source()), &rooms(&source()));
    assert!(found.is_empty(), "imports that climb:\n{}", found.join("\n"));
}

#[test]
fn files_of_a_room_import_each_other_in_no_circle() {
    let code = Crate::read(&source());
    let mut found = Vec::new();
    for module in code
        .imports
        .keys()
        .filter(|module| STRICT.contains(&module[0].as_str()))
    {
        if let Some(way) = circle(&code, module) {
            let names: Vec<_> = way.iter().map(|module| code.file(module)).collect();
            found.push(names.join(" → "));
        }
    }
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

/// Rooms without any circle between their files. In the others a room's `mod.rs`, which has its `Context` and its
/// pass, and the files that work for the pass know each other.
const STRICT: [&str; 6] = ["archive", "migrate", "source", "supabase", "postgres", "telemetry"];

/// Two rooms, of which the lower one has this text in `low/mod.rs`, or in a file of its own below.
fn with(text: &str) -> Crate {
    let module = |path: &str, text: &str| {
        let module: Module = path.split('/').map(ToOwned::to_owned).collect();
        (module, PathBuf::from(format!("{path}.rs")), text.to_owned())
    };
    Crate::of([
        module("high", "pub mod part;"),
        module("high/part", ""),
        module("low", text),
        module("low/a", "use super::b;"),
        module("low/b", ""),
    ])
}

#[test]
fn an_import_that_is_turned_round_is_found() {
    let rooms = ["high".to_owned(), "low".to_owned()];
    for text in [
        "use crate::high;",
        "use crate::high::part::Thing as Other;",
        "use crate::{low::a, high::{part::{self}}};",
        "use super::high::*;",
        "fn f() { use crate::high::part; }",
        "fn f() -> crate::high::Thing { todo!() }",
        "fn f() { println!(\"{}\", crate::high::part::NAME) }",
        "macro_rules! m { () => { $crate::high::part::f() } }",
        "struct S { #[serde(default = \"crate::high::part::f\")] s: u8 }",
        "struct S { #[arg(value_parser = crate::high::part::f)] s: u8 }",
        "use crate as root; fn f() { root::high::part::f() }",
        "use crate::{self as root}; fn f() { root::high::part::f() }",
    ] {
        let found = climbing(&with(text), &rooms);
        let names = |line: &String| line.contains("low.rs") && line.contains("high");
        assert!(found.iter().any(names), "{text}: {found:?}");
    }
    let fine = "use std::high; mod high_tests { } #[cfg(test)] mod tests { use crate::high; }";
    assert_eq!(climbing(&with(fine), &rooms), Vec::<String>::new());
}

#[test]
fn a_circle_is_found_by_whatever_name_it_goes() {
    let low: Module = vec!["low".to_owned()];
    let a: Module = vec!["low".to_owned(), "a".to_owned()];
    for text in [
        "mod a; use a::f;",
        "mod a; fn f() { a::f() }",
        "use crate::low as here; fn f() { here::a::f() }",
    ] {
        let mut code = with(text);
        code.imports.get_mut(&a).unwrap().insert(low.clone());
        assert!(circle(&code, &low).is_some(), "{text}");
    }
}

#[test]
fn the_root_gives_no_room_another_name_and_only_unit_tests_are_left_out() {
    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    let lib = syn::parse_file(&lib).unwrap();
    let modules = lib.items.iter().all(|item| matches!(item, syn::Item::Mod(_)));
    assert!(
        modules,
        "lib.rs has more than modules: a re-export hides which room a name is of"
    );
    let (files, tests) = files(&source());
    let sources = files.values().map(|file| fs::read_to_string(file).unwrap());
    let sources: Vec<_> = sources
        .inspect(|text| assert!(!text.contains("#[macro_export]")))
        .collect();
    let of_tests = tests.iter().map(|file| fs::read_to_string(file).unwrap());
    let names: BTreeSet<_> = sources.iter().flat_map(|text| modules_of_tests(text, false)).collect();
    let names: BTreeSet<_> = of_tests
        .flat_map(|text| modules_of_tests(&text, true))
        .chain(names)
        .collect();
    for file in tests {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(names.contains(name), "{} is no module of tests", file.display());
    }
}

#[test]
fn a_plan_imports_nothing_that_could_do_something() {
    let (files, _) = files(&source());
    // What a plan is made of is in a folder `plan`; the plan of an Orchestra chooses its waits in another file.
    let is_plan = |module: &Module| module.iter().any(|name| name == "plan") || module.join("/") == "orchestra/wait";
    let plans: Vec<_> = files.into_iter().filter(|(module, _)| is_plan(module)).collect();
    for read in ["database/plan/facts", "pool/plan/members", "orchestra/wait"] {
        assert!(
            plans.iter().any(|(module, _)| module.join("/") == read),
            "{read} is not read"
        );
    }
    for (_, file) in plans {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            let found = ["kube::", "reqwest::", "sqlx::", "tokio::", "async fn", "::now("]
                .iter()
                .find(|name| line.contains(*name));
            let is_command = file.ends_with("cli/plan.rs");
            assert!(found.is_none() || is_command, "{}: {line}", file.display());
        }
    }
}

#[test]
fn no_file_is_longer_than_can_be_read() {
    let (files, tests) = files(&source());
    let of_tests = rust_files(&source().with_file_name("tests"));
    assert!(of_tests.len() > 100, "the tests are not read");
    for file in files.into_values().chain(tests).chain(of_tests) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 400, "{} has {lines} lines", file.display());
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// Without a field manager `managedFields` names the writer `unknown`, and nobody can tell whose a field is.
#[test]
fn every_write_to_kubernetes_names_its_field_manager() {
    let (files, tests) = files(&source());
    let all = files.into_values().chain(tests);
    let others: Vec<_> = all.filter(|file| !file.ends_with("controller/write.rs")).collect();
    assert!(others.len() > 100, "the sources are not read");
    for file in others {
        let text = fs::read_to_string(&file).unwrap();
        let made = ["PostParams", "PatchParams"].iter().find(|name| text.contains(*name));
        let shown = file.display();
        assert!(
            made.is_none(),
            "{shown} makes {made:?} of its own: take those of controller::write, which name the field manager"
        );
    }
}

/// The owner of the database decides how many rows an answer has: only `postgres::bounded` reads them, and no other code
/// keeps all rows of an answer.
#[test]
fn no_answer_of_a_database_is_read_without_a_bound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (files, _) = files(&root);
    let unbounded = files.into_values().filter(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.contains(".fetch_all(") || text.contains(".fetch_many(") && !text.contains("count.add(")
    });
    assert_eq!(unbounded.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}
