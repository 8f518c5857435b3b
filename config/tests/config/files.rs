//! Files of the repository that belong to the configuration.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_example_is_right_and_gives_no_warning() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let config = godwit_config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
            assert!(config.warnings.is_empty(), "{}", config.warnings.join("\n"));
            names.push(path.file_name().unwrap().to_owned());
        }
    }
    for name in ["minimal.toml", "reflector.toml", "tor-host.toml"] {
        assert!(names.contains(&name.into()), "{name} is missing");
    }
}

#[test]
fn the_reference_is_current() {
    let path = root().join("docs/configuration.md");
    let made = godwit_config::reference();
    if std::env::var_os("GODWIT_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/configuration.md is not what the schema says: GODWIT_BLESS=1 cargo test -p godwit-config reference"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = godwit_config::load("/nowhere/godwit.toml").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("error: /nowhere/godwit.toml: can't be read: No such file"),
        "{error}"
    );
}
