//! The source of a crate as modules, and what each imports: read from the parsed text, unit tests left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// A module, by its path below the crate: `["migrate", "guard"]`.
pub type Module = Vec<String>;

/// The modules of the crate, and what each imports.
pub struct Crate {
    files: BTreeMap<Module, PathBuf>,
    pub imports: BTreeMap<Module, BTreeSet<Module>>,
}

impl Crate {
    pub fn read(root: &Path) -> Self {
        let (files, _) = files(root);
        Self::of(files.into_iter().map(|(module, file)| {
            let text = fs::read_to_string(&file).unwrap();
            (module, file, text)
        }))
    }

    /// Of modules with their files and texts.
    pub fn of(texts: impl IntoIterator<Item = (Module, PathBuf, String)>) -> Self {
        let mut files = BTreeMap::new();
        let mut found = BTreeMap::new();
        for (module, file, text) in texts {
            let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let mut paths = Paths::default();
            paths.visit_file(&parsed);
            found.insert(module.clone(), paths.all());
            files.insert(module, file);
        }
        let imports = found.into_iter().map(|(module, paths)| {
            let targets = paths.iter().filter_map(|path| target(&module, path, &files));
            let others = targets.filter(|target| *target != module).collect();
            (module, others)
        });
        let imports = imports.collect();
        Self { files, imports }
    }

    pub fn file(&self, module: &Module) -> String {
        let file = &self.files[module];
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        file.strip_prefix(root).unwrap_or(file).display().to_string()
    }
}

/// The files of modules, where `a/b.rs` and `a/b/mod.rs` are both `a::b`, and those of unit tests.
pub fn files(root: &Path) -> (BTreeMap<Module, PathBuf>, Vec<PathBuf>) {
    let (mut modules, mut tests) = (BTreeMap::new(), Vec::new());
    let mut open = vec![(root.to_owned(), Module::new())];
    while let Some((folder, at)) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let below = [at.as_slice(), std::slice::from_ref(&name)].concat();
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            let is_tests = name == "tests" || name.ends_with("_tests");
            if path.is_dir() && is_tests {
                tests.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.is_dir() {
                open.push((path, below));
            } else if is_tests {
                tests.push(path);
            } else if name == "mod" {
                modules.insert(at.clone(), path);
            } else if is_source && !(at.is_empty() && (name == "lib" || name == "main")) {
                modules.insert(below, path);
            }
        }
    }
    (modules, tests)
}

/// The names of the files that a text has for tests only, of which itself may be one: `mod tests;`, and the path where it
/// says one.
pub fn modules_of_tests(text: &str, is_one: bool) -> Vec<String> {
    let parsed = syn::parse_file(text).unwrap();
    let tests = parsed.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if is_one || is_test(&module.attrs) => Some(module),
        _ => None,
    });
    tests
        .map(|module| {
            let path = module.attrs.iter().find_map(|attribute| match &attribute.meta {
                syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                    syn::Expr::Lit(literal) => match &literal.lit {
                        syn::Lit::Str(path) => Some(path.value()),
                        _ => None,
                    },
                    _ => None,
                },
                _ => None,
            });
            path.unwrap_or_else(|| format!("{}.rs", module.ident))
        })
        .collect()
}

/// Collects paths, each with all its segments.
#[derive(Default)]
struct Paths {
    found: Vec<Vec<String>>,
    /// What a `use` line calls something, and the whole path of that.
    names: BTreeMap<String, Vec<String>>,
}

impl Paths {
    /// The paths, those that begin with the name of a `use` line from its path on.
    fn all(mut self) -> Vec<Vec<String>> {
        let whole = self.found.iter().filter_map(|path| {
            let named = self.names.get(path.first()?)?;
            Some([named.as_slice(), &path[1..]].concat())
        });
        let whole: Vec<_> = whole.collect();
        self.found.extend(whole);
        self.found
    }
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
            self.expand(&item.tree, &mut Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.found.push(segments);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        // serde and clap are given paths as text, also inside of quotes. The text of documentation imports nothing.
        if let syn::Meta::List(list) = &attribute.meta {
            self.found.extend(paths_of(&joined(&list.tokens.to_string())));
        }
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        // Paths inside of macros such as format! and tokio::select! are tokens, not paths.
        self.found.extend(paths_of(&joined(&item.tokens.to_string())));
        syn::visit::visit_macro(self, item);
    }
}

impl Paths {
    fn expand(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>) {
        let (path, name) = match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.expand(&path.tree, prefix);
                prefix.pop();
                return;
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.expand(item, prefix));
                return;
            }
            syn::UseTree::Glob(_) => (prefix.clone(), None),
            syn::UseTree::Name(name) => (with(prefix, &name.ident), Some(&name.ident)),
            syn::UseTree::Rename(rename) => (with(prefix, &rename.ident), Some(&rename.rename)),
        };
        // `use a::b::{self}` names what the group is of.
        let name = name.filter(|name| *name != "self").map(ToString::to_string);
        if let Some(name) = name.or_else(|| path.last().cloned()) {
            self.names.insert(name, path.clone());
        }
        self.found.push(path);
    }
}

fn with(prefix: &[String], ident: &syn::Ident) -> Vec<String> {
    if ident == "self" {
        return prefix.to_vec();
    }
    [prefix, &[ident.to_string()]].concat()
}

/// The text of tokens with the spaces inside of paths removed.
fn joined(tokens: &str) -> String {
    tokens.replace(" ::", "::").replace(":: ", "::")
}

/// The paths in a text that has no spaces inside of them. Each begins with its first segment: the second `super` of
/// `super::super::a` begins none.
pub fn paths_of(text: &str) -> Vec<Vec<String>> {
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
