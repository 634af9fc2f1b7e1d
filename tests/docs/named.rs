//! The tests that the page on security names: each is there.

use std::fs;
use std::path::{Path, PathBuf};

use super::project;

/// A test that a table names.
struct NamedTest {
    line: usize,
    name: String,
    /// It must be a function: a module says less than its row does.
    is_function: bool,
}

/// The names in the last column of the tables whose last column has tests.
fn named(page: &str) -> Vec<NamedTest> {
    let (mut found, mut header) = (Vec::new(), None::<&str>);
    for (number, line) in page.lines().enumerate() {
        let last = line.strip_suffix('|').and_then(|line| line.rsplit_once('|'));
        let Some((_, cell)) = last else {
            header = None;
            continue;
        };
        let header = *header.get_or_insert(cell.trim());
        if header != "Test" && header != "Where" {
            continue;
        }
        let names = cell.split('`').skip(1).step_by(2);
        found.extend(names.map(|name| NamedTest {
            line: number + 1,
            name: name.to_owned(),
            is_function: header == "Test",
        }));
    }
    found
}

/// The files of a module and of the modules below it.
fn files(folder: &Path, module: &[&str]) -> Vec<PathBuf> {
    let path = module.iter().fold(folder.to_owned(), |path, part| path.join(part));
    let [plain, tests] = ["", "_tests"].map(|end| PathBuf::from(format!("{}{end}.rs", path.display())));
    let mut found: Vec<_> = [plain, tests].into_iter().filter(|path| path.is_file()).collect();
    let mut folders = vec![path];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The names of the tests in a file.
fn tests(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let (mut found, mut is_test) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        }
        let name = line
            .strip_prefix("pub ")
            .unwrap_or(line)
            .trim_start_matches("async ")
            .strip_prefix("fn ");
        if let Some(name) = name {
            found.extend(std::mem::take(&mut is_test).then(|| name.split('(').next().unwrap_or_default().to_owned()));
        }
    }
    found
}

/// Whether there is a test, or a module with tests, of this name: that of a program of tests, and a path in it.
pub fn is_there(name: &str) -> bool {
    exists(&NamedTest {
        line: 0,
        name: name.to_owned(),
        is_function: false,
    })
}

fn exists(test: &NamedTest) -> bool {
    if test.name.contains('/') {
        return project().join(&test.name).is_file();
    }
    let (folders, path) = match test.name.split_once(' ') {
        Some(("sandbox", path)) => (vec!["tests/sandbox/tests".to_owned()], path),
        Some((binary, path)) => (vec![format!("tests/{binary}")], path),
        None => (
            ["tests", "tests/database", "src"].map(str::to_owned).to_vec(),
            test.name.as_str(),
        ),
    };
    let parts: Vec<_> = path.split("::").collect();
    let Some((function, module)) = parts.split_last() else {
        return false;
    };
    let is_it = |name: &String| match function.strip_suffix('…') {
        Some(begins) => name.starts_with(begins),
        None => name == function,
    };
    folders.iter().map(|folder| project().join(folder)).any(|folder| {
        let of_function = files(&folder, module).into_iter().filter(|_| !module.is_empty());
        let mut of_module = files(&folder, &parts).into_iter().filter(|_| !test.is_function);
        of_function.flat_map(|file| tests(&file)).any(|name| is_it(&name))
            || of_module.any(|file| !tests(&file).is_empty())
    })
}

#[test]
fn the_tests_that_the_page_on_security_names_exist() {
    let page = fs::read_to_string(project().join("docs/security.md")).unwrap();
    let named = named(&page);
    assert!(named.len() > 80, "only {} names were found", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|test| !exists(test))
        .map(|test| format!("docs/security.md:{}: {}", test.line, test.name))
        .collect();
    assert!(
        missing.is_empty(),
        "no such test; in a column Test, name a function:\n{}",
        missing.join("\n")
    );
}

#[test]
fn a_name_of_no_test_is_noticed() {
    let is = |name: &str, is_function| {
        exists(&NamedTest {
            line: 0,
            name: name.to_owned(),
            is_function,
        })
    };
    for (name, as_function, as_module) in [
        ("docs::named::a_name_of_no_test_is_noticed", true, true),
        ("docs::named::a_name_of_no…", true, true),
        ("docs::named", false, true),
        // A function that is no test, a file without tests, and what is in no file.
        ("docs::named::exists", false, false),
        ("archive::purpose", false, false),
        ("docs::named::a_name_of_no_test_is_noticed_x", false, false),
        ("stories nowhere::at_all", false, false),
        ("a_name_of_no_test_is_noticed", false, false),
    ] {
        assert_eq!((is(name, true), is(name, false)), (as_function, as_module), "{name}");
    }
    let page = "| A | Test |\n|---|---|\n| `a` | `b`, `c::d` |\n\n| A | May |\n|---|---|\n| x | `y` |\n| A | Where |";
    let names: Vec<_> = named(page).into_iter().map(|test| test.name).collect();
    assert_eq!(names, ["b", "c::d"]);
}
