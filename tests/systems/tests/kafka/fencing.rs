//! Two hosts, and one that dies.

use crate::support::{WITHIN, assert_each_once, edits, end, eventstreams_config, kafka, read, read_now};
use host_emulators::edits::Edit;
use host_emulators::eventstreams::Options;
use std::time::Duration;
use tempfile::tempdir;
use tests::program::spawn;
use tests::{feeds, wait_until};

/// Everything that the emulator produces, and that it was given to a host that resumed.
fn wait_for_all(bootstrap: &str, topic: &str, expected: &[Edit]) {
    wait_until(&format!("{} records in `{topic}`", expected.len()), WITHIN, || {
        std::thread::sleep(Duration::from_millis(500));
        read_now(bootstrap, topic).len() >= expected.len()
    });
}

#[test]
fn a_newer_host_takes_over_from_an_older_one_and_no_record_is_doubled() {
    let Some(kafka) = kafka() else { return };
    let bootstrap = kafka.bootstrap();
    let dir = tempdir().unwrap();
    let limit = 4000;
    let emulator = feeds::eventstreams(Options { rate: 400.0, seed: 21, limit: Some(limit), ..Options::default() });
    let expected = edits(21, usize::try_from(limit).unwrap(), |_| true);
    let config = eventstreams_config(dir.path(), bootstrap, "takeover", &emulator);
    let run = ["run", config.to_str().unwrap(), "--duration", "90s"];
    let mut older = spawn(dir.path(), run);
    wait_until("the older host to write", WITHIN, || end(bootstrap, "takeover") > 200);
    let newer = spawn(dir.path(), run);
    older.wait_stderr("a newer writer has taken over");
    wait_for_all(bootstrap, "takeover", &expected);
    assert!(!older.is_running(), "the older host goes on: {}", older.stderr());
    let (older, newer_said) = (older.finish().expect(1), newer.stderr());
    assert!(older.stderr.contains("task failed"), "{}", older.stderr);
    assert!(!newer_said.contains("taken over"), "{newer_said}");
    newer.signal("INT");
    newer.finish().expect(0);
    assert_each_once(&read(bootstrap, "takeover"), "eventId", expected.iter().map(Edit::uuid));
}

#[test]
fn a_host_that_was_killed_goes_on_where_its_last_commit_ended() {
    let Some(kafka) = kafka() else { return };
    let bootstrap = kafka.bootstrap();
    let dir = tempdir().unwrap();
    let limit = 5000;
    let emulator = feeds::eventstreams(Options { rate: 500.0, seed: 22, limit: Some(limit), ..Options::default() });
    let expected = edits(22, usize::try_from(limit).unwrap(), |_| true);
    let config = eventstreams_config(dir.path(), bootstrap, "killed", &emulator);
    let run = ["run", config.to_str().unwrap(), "--duration", "90s"];
    let mut seen = 0;
    for life in 0..3_u64 {
        let running = spawn(dir.path(), run);
        wait_until("this life to write", WITHIN, || end(bootstrap, "killed") > seen + 300);
        // Somewhere in a transaction of every 100 ms.
        std::thread::sleep(Duration::from_millis(37 * life));
        running.signal("KILL");
        running.finish();
        seen = end(bootstrap, "killed");
        let ids: Vec<String> = expected.iter().map(Edit::uuid).collect();
        let found = read_now(bootstrap, "killed");
        assert_each_once(&found, "eventId", ids.into_iter().take(found.len()));
    }
    let last = spawn(dir.path(), run);
    wait_for_all(bootstrap, "killed", &expected);
    last.signal("INT");
    last.finish().expect(0);
    assert_each_once(&read(bootstrap, "killed"), "eventId", expected.iter().map(Edit::uuid));
}
