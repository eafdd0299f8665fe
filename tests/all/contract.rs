//! The WIT contract: what was released stays as it was, and what was built against it runs.

use crate::guests::check_delivers;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;
use tests::plugins::{Plugin, root};

/// Every released file's path and SHA-256, one a line.
fn digests(folder: &Path) -> String {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => folders.push(entry),
                false if entry.extension().is_some_and(|extension| extension == "wit") => files.push(entry),
                false => {}
            }
        }
    }
    files.sort();
    let mut text = String::new();
    for file in files {
        let digest: String =
            Sha256::digest(std::fs::read(&file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(text, "{digest}  {}", file.strip_prefix(folder).unwrap().display());
    }
    text
}

#[test]
fn a_released_contract_never_changes() {
    let folder = root().join("wit/released");
    let recorded = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    assert_eq!(digests(&folder), recorded, "wit/released is frozen: make a new version instead");
    assert!(recorded.lines().count() >= 9, "{recorded}");
}

#[test]
fn a_component_of_the_first_contract_runs_beside_one_of_todays() {
    let package = host::plugin::Package::read(Plugin::FrozenSource.path()).unwrap();
    assert!(package.exports.contains(&"connector:plugin/source-task@0.1.0".to_owned()), "{:?}", package.exports);
    let today = host::plugin::Package::read(Plugin::LentSource.path()).unwrap();
    assert!(today.exports.contains(&"connector:plugin/source-task@0.1.1".to_owned()), "{:?}", today.exports);
    // The one beside it is of today's contract.
    check_delivers(Plugin::FrozenSource);
}
