//! `host plugin build`: a crate in, a component out, and words that help when it cannot be.

use std::path::Path;
use tempfile::tempdir;
use tests::plugins::{Plugin, root};
use tests::program;

const MANIFEST: &str = "[plugin]\nname = \"broken\"\nversion = \"0.1.0\"\nworld = \"source\"\n";

fn crate_in(dir: &Path, manifest: Option<&str>, code: &str) {
    let cargo = "[package]\nname = \"broken\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
        [lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    std::fs::write(dir.join("Cargo.toml"), cargo).unwrap();
    std::fs::create_dir(dir.join("src")).unwrap();
    std::fs::write(dir.join("src/lib.rs"), code).unwrap();
    if let Some(manifest) = manifest {
        std::fs::write(dir.join("plugin.toml"), manifest).unwrap();
    }
}

#[test]
fn a_plugin_is_built_and_its_path_is_the_result() {
    // Built before, so that this compiles nothing.
    let plugin = Plugin::UnrulyTransform;
    plugin.path();
    let dir = tempdir().unwrap();
    let folder = root().join(plugin.folder());
    let run = program::host(dir.path(), ["plugin", "build", folder.to_str().unwrap(), "-o", "t.wasm"]).expect(0);
    assert_eq!(run.stdout, "t.wasm\n");
    assert!(run.stderr.contains("built unruly_transform@0.1.0 ("), "{}", run.stderr);
    let inspected = program::host(dir.path(), ["plugin", "inspect", "t.wasm", "--output", "json"]).expect(0).json();
    assert_eq!(inspected["world"], "transform");
    assert_eq!(inspected["imports"].as_array().unwrap().iter().filter(|i| i.to_string().contains("feed")).count(), 0);
}

#[test]
fn a_crate_that_cannot_be_built_is_told_why() {
    let check = |manifest: Option<&str>, code: &str, expected: &[&str]| {
        let dir = tempdir().unwrap();
        crate_in(dir.path(), manifest, code);
        let run = program::host(dir.path(), ["plugin", "build", ".", "-o", "out.wasm"]);
        assert!(run.code.is_some_and(|code| code > 0) && run.stdout.is_empty(), "{run:?}");
        for words in expected {
            assert!(run.stderr.contains(words), "`{words}` is not in: {}", run.stderr);
        }
        assert!(!dir.path().join("out.wasm").exists() || expected.contains(&"exports"), "half a result");
    };
    check(None, "", &["plugin folder `.`: `plugin.toml`: No such file", "hint: a plugin folder holds Cargo.toml and"]);
    check(Some("[plugin]\nname = 1\n"), "", &["manifest `./plugin.toml`: ", "name"]);
    check(Some(MANIFEST), "fn broken( {", &["compiling plugin `.`: `cargo` failed", "src/lib.rs:1"]);
    check(Some(MANIFEST), "", &["exports", "expected `connector:plugin/source-task@0.1.1`"]);
}
