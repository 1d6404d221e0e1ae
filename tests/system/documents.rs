//! What the documents name is there.

use std::collections::BTreeSet;
use std::path::Path;

/// All Rust code of the repository, but for what was built.
fn all_code(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            all_code(&path, code);
        } else if name.ends_with(".rs") {
            code.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// What a document names and the code does not have.
fn missing(document: &str, at_least: usize) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    all_code(root, &mut code);
    let text = std::fs::read_to_string(root.join(document)).unwrap();
    let named = text.split('`').skip(1).step_by(2);
    // Tests are claims: long names. Functions are named with their module or type.
    let is_test = |name: &&str| name.matches('_').count() >= 3;
    let is_function = |name: &&str| name.contains("::");
    let names: Vec<&str> = named.filter(|name| is_test(name) || is_function(name)).collect();
    assert!(names.len() > at_least, "{names:?}");
    let is_missing = |name: &&&str| {
        let last = name.rsplit("::").next().unwrap();
        !code.contains(&format!("fn {last}")) && !code.contains(&format!("enum {last}"))
    };
    names.iter().filter(is_missing).map(ToString::to_string).collect()
}

#[test]
fn every_test_and_function_that_the_architecture_names_exists() {
    let missing = missing("ARCHITECTURE.md", 30);
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:?}");
}

#[test]
fn every_failure_case_names_its_tests_and_they_exist() {
    let missing = missing("docs/failure-cases.md", 120);
    assert!(missing.is_empty(), "docs/failure-cases.md names what is not there: {missing:?}");
    let text = include_str!("../../docs/failure-cases.md");
    for case in 1..=34 {
        let row = text.lines().find(|line| line.starts_with(&format!("| {case} |")));
        assert!(row.is_some_and(|row| row.contains('`')), "case {case} has no test");
    }
}

/// Every crate that a Cargo.toml names, but for our own.
fn named_dependencies(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "node_modules"].contains(&&*name) && !name.starts_with('.') {
            named_dependencies(&path, names);
        } else if name == "Cargo.toml" {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut is_list = false;
            for line in text.lines() {
                if line.starts_with('[') {
                    is_list = line.ends_with("dependencies]");
                } else if let (true, Some((name, what))) = (is_list, line.split_once('=')) {
                    let name = name.trim().trim_end_matches(".workspace");
                    // Ours are named in the workspace with their folder, elsewhere without a dash.
                    if !name.starts_with('#') && !what.contains("path =") {
                        names.insert(name.to_owned());
                    }
                }
            }
        }
    }
}

#[test]
fn every_dependency_has_a_line_that_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ours = include_str!("../../Cargo.toml").lines().filter(|line| line.contains("path = "));
    let ours: BTreeSet<&str> = ours.filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    let mut named = BTreeSet::new();
    named_dependencies(root, &mut named);
    named.retain(|name| !ours.contains(name.as_str()));
    assert!(named.len() > 50, "{named:?}");
    let rows = include_str!("../../docs/dependencies.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let described: BTreeSet<&str> =
        rows.flat_map(|row| row.split(" | ").next().unwrap().split(", ").map(|name| name.trim_matches('`'))).collect();
    let missing: Vec<&String> = named.iter().filter(|name| !described.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/dependencies.md does not say what these are for: {missing:?}");
}
