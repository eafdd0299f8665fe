//! `exactly.once` = `off`: no transactions. Records come before positions, so that a crash in between repeats
//! them and loses none; with transactions the same crash does neither.

use crate::support::{
    WITHIN, assert_each_once, connect, edits, eventstreams_config, id, kafka, read, read_now, texts, values,
};
use host::crash::{self, CrashPoint};
use host::ports::log::{Commit, GroupOffset, Log, PositionEntry};
use host_emulators::edits::Edit;
use host_emulators::eventstreams::Options;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tempfile::tempdir;
use tests::feeds;
use tests::program::{Program, command, spawn};

const LIMIT: u64 = 1500;

/// Ends a host between records and positions a few times, then lets another finish; what the topic has.
fn crash_and_go_on(bootstrap: &str, connector: &str, exactly_once: &str) -> Vec<crate::support::Stored> {
    let dir = tempdir().unwrap();
    let emulator = feeds::eventstreams(Options { rate: 150.0, seed: 31, limit: Some(LIMIT), ..Options::default() });
    let expected = edits(31, usize::try_from(LIMIT).unwrap(), |_| true);
    let config = eventstreams_config(dir.path(), bootstrap, connector, &emulator);
    let text = std::fs::read_to_string(&config).unwrap() + &format!("\"exactly.once\" = \"{exactly_once}\"\n");
    std::fs::write(&config, text).unwrap();
    // The first not before a position is committed: until then a feed begins where it is.
    for times in [6, 4, 3] {
        let mut host = command(dir.path());
        host.args(["run", config.to_str().unwrap()]);
        host.env(crash::VARIABLE, format!("{}:{times}", CrashPoint::LogBeforeCommit.name()));
        let ended = Program::start(host).finish();
        assert_eq!(ended.code, None, "it was to end at the place: {}", ended.stderr);
    }
    let host = spawn(dir.path(), ["run", config.to_str().unwrap()]);
    let wanted: BTreeSet<String> = expected.iter().map(Edit::uuid).collect();
    let ids = || -> BTreeSet<String> {
        let found = read_now(bootstrap, connector);
        found.iter().map(|record| record.json()["eventId"].as_str().unwrap().to_owned()).collect()
    };
    let deadline = Instant::now() + WITHIN;
    while ids() != wanted {
        let (found, wanted, said) = (ids().len(), wanted.len(), host.stderr());
        assert!(Instant::now() < deadline, "{connector}: {found} of {wanted} edits: {said}");
        std::thread::sleep(Duration::from_millis(200));
    }
    host.signal("INT");
    host.finish().expect(0);
    read(bootstrap, connector)
}

#[test]
fn without_transactions_a_crash_repeats_records_and_loses_none() {
    let Some(kafka) = kafka() else { return };
    let expected = edits(31, usize::try_from(LIMIT).unwrap(), |_| true);
    let repeated = crash_and_go_on(kafka.bootstrap(), "repeated", "off");
    assert!(repeated.len() > expected.len(), "{} of {}", repeated.len(), expected.len());
    let once = crash_and_go_on(kafka.bootstrap(), "not-repeated", "required");
    assert_each_once(&once, "eventId", expected.iter().map(Edit::uuid));
}

#[test]
fn a_writer_without_transactions_keeps_records_positions_and_offsets() {
    let Some(kafka) = kafka() else { return };
    let log = connect(kafka.bootstrap());
    log.create_topic("plain", host::ports::log::TopicSpec::default()).unwrap();
    let mut writer = log.repeating_writer(&id("plain-writer")).unwrap();
    let position = PositionEntry { partition: br#"{"input":1}"#.to_vec(), position: br#"{"last":"b"}"#.to_vec() };
    let offset = GroupOffset { group: "plain-group".to_owned(), topic: "plain".to_owned(), partition: 0, next: 2 };
    let commit = Commit {
        appends: vec![("plain".to_owned(), texts(&["a", "b"]))],
        positions: vec![position.clone()],
        group_offsets: vec![offset.clone()],
    };
    writer.commit(&commit).unwrap();
    assert_eq!(values(kafka.bootstrap(), "plain"), ["a", "b"]);
    assert_eq!(log.positions("plain-writer").unwrap(), [position]);
    assert_eq!(log.group_offsets("plain-group", "plain").unwrap(), [offset]);
    // A topic that is not there is told, and nothing of the commit is made.
    let wrong = Commit { appends: vec![("none".to_owned(), texts(&["x"]))], ..commit };
    let error = writer.commit(&wrong).unwrap_err().to_string();
    assert!(error.contains("topic `none` is not there"), "{error}");
}
