//! The layers of the crate: a room imports only rooms below it, and no files of a room import each other in a
//! circle. The order of the rooms is the order of their lines in `src/lib.rs`.
//!
//! The `use` lines and the paths that begin with `crate`, `super` or `self` are read from the parsed source, unit
//! tests left out. A name that a parent re-exports counts as an import of the parent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// A module, by its path below the crate: `["migrate", "guard"]`.
type Module = Vec<String>;

/// The modules of the crate, and what each imports.
struct Crate {
    files: BTreeMap<Module, PathBuf>,
    imports: BTreeMap<Module, BTreeSet<Module>>,
}

impl Crate {
    fn read(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        find(root, &mut Vec::new(), &mut files);
        let imports = files.iter().map(|(module, file)| {
            let text = fs::read_to_string(file).unwrap();
            let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let mut paths = Paths::default();
            paths.visit_file(&parsed);
            let targets = paths.found.iter().filter_map(|path| target(module, path, &files));
            (module.clone(), targets.filter(|target| target != module).collect())
        });
        let imports = imports.collect();
        Self { files, imports }
    }

    fn file(&self, module: &Module) -> String {
        let file = &self.files[module];
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        file.strip_prefix(root).unwrap_or(file).display().to_string()
    }
}

/// Modules by file: `a/b.rs` and `a/b/mod.rs` are both `a::b`. Files of unit tests are left out.
fn find(folder: &Path, at: &mut Module, files: &mut BTreeMap<Module, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            at.push(name);
            find(&path, at, files);
            at.pop();
        } else if name == "mod" {
            files.insert(at.clone(), path);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && name != "tests"
            && !name.ends_with("_tests")
            && !(at.is_empty() && (name == "lib" || name == "main"))
        {
            files.insert([at.as_slice(), &[name]].concat(), path);
        }
    }
}

/// Collects paths, each with all its segments.
#[derive(Default)]
struct Paths {
    found: Vec<Vec<String>>,
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        is_cfg
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            expand(&item.tree, &mut Vec::new(), &mut self.found);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 && ["crate", "super", "self"].contains(&segments[0].as_str()) {
            self.found.push(segments);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        // Paths inside of macros such as format! and tokio::select! are tokens, not paths.
        let text = item.tokens.to_string().replace(" ::", "::").replace(":: ", "::");
        self.found.extend(paths_of(&text));
        syn::visit::visit_macro(self, item);
    }
}

/// The paths in a text that has no spaces inside of them. Each begins with its first segment: the second `super` of
/// `super::super::a` begins none.
fn paths_of(text: &str) -> Vec<Vec<String>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(start) {
            if text[..at].ends_with(is_part) {
                continue;
            }
            let end = text[at..].find(|c: char| !is_part(c));
            let path = &text[at..end.map_or(text.len(), |end| at + end)];
            found.push(path.split("::").map(ToOwned::to_owned).collect());
        }
    }
    found
}

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

fn expand(tree: &syn::UseTree, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let with = |name: String, prefix: &[String]| [prefix, &[name]].concat();
    match tree {
        syn::UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            expand(&path.tree, prefix, found);
            prefix.pop();
        }
        syn::UseTree::Name(name) if name.ident == "self" => found.push(prefix.clone()),
        syn::UseTree::Name(name) => found.push(with(name.ident.to_string(), prefix)),
        syn::UseTree::Rename(rename) => found.push(with(rename.ident.to_string(), prefix)),
        syn::UseTree::Glob(_) => found.push(prefix.clone()),
        syn::UseTree::Group(group) => group.items.iter().for_each(|item| expand(item, prefix, found)),
    }
}

/// The module whose file a path leads to; none for a path out of the crate.
fn target(from: &Module, path: &[String], files: &BTreeMap<Module, PathBuf>) -> Option<Module> {
    let mut at = from.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => (at, rest) = (Vec::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|segment| segment == "super") {
                at.pop();
                rest = &rest[1..];
            }
        }
        child if files.contains_key(&[from.as_slice(), &[child.to_owned()]].concat()) => {}
        _ => return None,
    }
    for segment in rest {
        at.push(segment.clone());
        if !files.contains_key(&at) {
            at.pop();
            break;
        }
    }
    (!at.is_empty()).then_some(at)
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
        for next in &code.imports[way.last().unwrap()] {
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

#[test]
fn an_import_that_is_turned_round_is_found() {
    let mut code = Crate::read(&source());
    let (low, high) = (vec!["postgres".to_owned()], vec!["orchestra".to_owned()]);
    code.imports.get_mut(&low).unwrap().insert(high.clone());
    let found = climbing(&code, &rooms(&source()));
    assert!(
        found
            .iter()
            .any(|line| line.contains(&code.file(&low)) && line.contains(&code.file(&high))),
        "{found:?}"
    );
}

/// How many rows an answer has is up to whoever owns the database: `postgres::bounded` reads them, and nobody else keeps
/// all rows of an answer.
#[test]
fn no_answer_of_a_database_is_read_without_a_bound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    find(&root, &mut Vec::new(), &mut files);
    let unbounded = files.into_values().filter(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.contains(".fetch_all(") || text.contains(".fetch_many(") && !text.contains("count.add(")
    });
    assert_eq!(unbounded.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}
