//! docs/rfcs.md says nothing that is not so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn table() -> String {
    fs::read_to_string(root().join("docs/rfcs.md")).expect("docs/rfcs.md")
}

/// The file that a test's path before `::` names.
fn file_of(module: &str) -> PathBuf {
    if Path::new(module).extension().is_some() {
        root().join(module)
    } else {
        let path = module.replace("::", "/");
        root().join(format!("tests/tests/system/{path}.rs"))
    }
}

#[test]
fn every_test_that_it_names_is_there() {
    let table = table();
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        if row.starts_with("| RFC") {
            continue;
        }
        let column = row.trim_end_matches([' ', '|']).rsplit('|').next();
        let tests: Vec<&str> = column
            .unwrap_or_default()
            .split('`')
            .skip(1)
            .step_by(2)
            .collect();
        assert!(!tests.is_empty(), "no test stands for: {row}");
        for test in tests {
            let (module, function) = test.rsplit_once("::").expect("module::function");
            let path = file_of(module);
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|e| panic!("{test}: {}: {e}", path.display()));
            let mark = format!("fn {function}");
            assert!(text.contains(&mark), "{} has no {mark}", path.display());
            named += 1;
        }
    }
    assert!(named > 20, "the table was not understood");
}

#[test]
fn every_rfc_that_the_code_cites_stands_there() {
    let table = table();
    let mut cited = BTreeSet::new();
    for folder in ["bgp", "bgpd", "config", "fib", "netlink", "policy", "rib"] {
        collect(&root().join(folder).join("src"), &mut cited);
    }
    assert!(cited.contains("4271"), "the sources were not read");
    let missing: Vec<&String> = cited.iter().filter(|n| !table.contains(*n)).collect();
    assert!(missing.is_empty(), "not in docs/rfcs.md: {missing:?}");
}

/// The numbers after `RFC ` in all sources below a folder.
fn collect(folder: &Path, cited: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, cited);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            for rest in text.split("RFC ").skip(1) {
                let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
                if number.len() == 4 {
                    cited.insert(number);
                }
            }
        }
    }
}
