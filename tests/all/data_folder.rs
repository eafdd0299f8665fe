//! Files that are not what the host takes them for: another host's data folder, another program's
//! database, damage. Each is refused with exit code 2 and left as it was.

use crate::bad_input::{RUN, folder, refused};
use host::io::embedded::EmbeddedLog;
use host::ports::log::{Log, TopicSpec};
use std::path::Path;
use tempfile::tempdir;

#[test]
fn a_data_folder_of_another_host_is_refused() {
    let dir = folder();
    let data = dir.path().join("data");
    let _other = EmbeddedLog::open(&data, None).unwrap();
    refused(
        dir.path(),
        &["run", "--plugin", "wiki_source.wasm", "--data-dir", "data"],
        &[
            "error: data folder `data`: another host writes to it",
            "hint: stop it, or give this one its own `--data-dir`",
        ],
    );
}

#[test]
fn a_data_file_that_is_no_log_is_refused_and_left_alone() {
    let check = |make: &dyn Fn(&Path), expected: &[&str]| {
        let dir = folder();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let file = data.join("log.db");
        make(&file);
        let before = std::fs::read(&file).unwrap();
        let expected = [&["error: log `data/log.db`"], expected].concat();
        refused(dir.path(), &[&RUN[..], &["--data-dir", "data"]].concat(), &expected);
        refused(dir.path(), &["log", "ls", "--data-dir", "data"], &expected);
        assert!(std::fs::read(&file).unwrap() == before, "the file was changed");
    };
    check(
        &|file| std::fs::write(file, "no database at all, but long enough to be one".repeat(100)).unwrap(),
        &["file is not a database", "hint: the file is damaged or not a log; move it aside to start a new one"],
    );
    let other_version = |file: &Path| {
        drop(EmbeddedLog::open(file.parent().unwrap(), None).unwrap());
        rusqlite::Connection::open(file).unwrap().pragma_update(None, "user_version", 7).unwrap();
    };
    check(&other_version, &["version 7, this host reads version 2"]);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let dir = folder();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let file = data.join("log.db");
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup')").unwrap();
    drop(other);
    let before = std::fs::read(&file).unwrap();
    let arguments = [&RUN[..], &["--data-dir", "data", "--duration", "100ms"]].concat();
    refused(dir.path(), &arguments, &["log `data/log.db`: another program's file"]);
    assert!(std::fs::read(&file).unwrap() == before, "the file was changed");
}

#[test]
fn looking_into_a_log_that_is_not_there_is_told() {
    let dir = tempdir().unwrap();
    refused(
        dir.path(),
        &["log", "ls"],
        &["error: no log at `./host-data/log.db`", "hint: `--data-dir` names the folder"],
    );
    let data = dir.path().join("data");
    EmbeddedLog::open(&data, None).unwrap().create_topic("wikipedia", TopicSpec::default()).unwrap();
    for command in ["cat", "tail"] {
        refused(
            dir.path(),
            &["log", command, "wikipedya", "--data-dir", "data"],
            &["error: embedded log `data/log.db` has no topic `wikipedya`", "hint: there are: wikipedia"],
        );
    }
}

#[test]
fn a_geoip_database_that_is_none_is_refused() {
    let dir = folder();
    let arguments = [&RUN[..], &["--data-dir", "data", "--set"]].concat();
    let refuse =
        |setting: &str, expected: &[&str]| refused(dir.path(), &[&arguments[..], &[setting]].concat(), expected);
    refuse("geoip.database=none.mmdb", &["connector `wiki_source`: GeoIP database `none.mmdb`"]);
    std::fs::write(dir.path().join("text.mmdb"), "no database").unwrap();
    refuse("geoip.database=text.mmdb", &["GeoIP database `text.mmdb`"]);
}
