//! What goes wrong outside while the program runs: it goes on trying, says what is wrong, loses
//! nothing that it acknowledged, and ends with the exit code that tells.

use host::io::embedded::EmbeddedLog;
use host_emulators::{Handle, irc};
use std::net::TcpListener;
use std::path::Path;
use tempfile::tempdir;
use tests::feeds::{self, free_port};
use tests::plugins::Plugin;
use tests::program::{self, Finished, Program};
use tests::records::{assert_dense, read_topic};

/// `host run` of wiki_source with a feed at this port of this machine, data in `data`.
fn arguments(port: u16, more: &[&str]) -> Vec<String> {
    let plugin = Plugin::WikiSource.path().to_str().unwrap();
    let port = format!("irc.port={port}");
    let all = ["run", "--output", "json", "--data-dir", "data", "--plugin", plugin, "--set", "irc.host=127.0.0.1"];
    all.iter().chain(&["--set", &port]).chain(more).map(|argument| (*argument).to_owned()).collect()
}

fn spawn(dir: &Path, emulator: &Handle, more: &[&str]) -> Program {
    program::spawn(dir, arguments(emulator.addr().port(), more))
}

fn records(run: &Finished) -> u64 {
    run.json()["connectors"][0]["records"].as_u64().unwrap()
}

/// Number of records in the topic, checked to be dense.
fn stored(dir: &Path) -> u64 {
    let log = EmbeddedLog::open_read_only(&dir.join("data")).unwrap();
    let records = read_topic(&log, "wikipedia");
    assert_dense(&records);
    records.len() as u64
}

#[test]
fn a_feed_that_refuses_is_tried_until_the_run_is_over() {
    let dir = tempdir().unwrap();
    let mut program = program::spawn(dir.path(), arguments(free_port(), &[]));
    let said = program.wait_stderr("IRC feed lost");
    assert!(said.contains("Connection refused"), "{said}");
    // The progress that is shown where there is no terminal.
    program.wait_stderr("feed reconnecting to 127.0.0.1:");
    program.signal("INT");
    let run = program.finish().expect(0);
    let connector = &run.json()["connectors"][0];
    assert_eq!((&connector["state"], records(&run)), (&"STOPPED".into(), 0));
}

#[test]
fn a_feed_that_never_answers_is_shown_as_connecting() {
    let dir = tempdir().unwrap();
    // Connections are taken by the system and never answered.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let run = program::host(dir.path(), arguments(port, &["--duration", "7s"])).expect(0);
    assert!(run.stderr.contains(&format!("feed connecting to 127.0.0.1:{port}")), "{}", run.stderr);
    assert_eq!(records(&run), 0);
}

#[test]
fn a_channel_that_is_not_there_is_told_and_the_others_flow() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 200.0, ..irc::Options::default() });
    let channels = ["--set", "irc.channels=#en.wikipedia,#nowhere.wikipedia"];
    let mut program = spawn(dir.path(), &emulator, &channels);
    program.wait_stderr("`127.0.0.1` has no channel `#nowhere.wikipedia`, trying again every 60 s");
    feeds::wait_for_stats(&emulator, "edits", program::WITHIN, |stats| stats.frames_sent > 20);
    program.signal("INT");
    assert!(records(&program.finish().expect(0)) > 0);
}

#[test]
fn a_password_or_token_in_a_feeds_address_is_never_told() {
    let dir = tempdir().unwrap();
    let port = free_port();
    for url in [format!("http://127.0.0.1:{port}/s?token=hunter2"), format!("http://me:hunter2@127.0.0.1:{port}/s")] {
        let url = format!("sse.url={url}");
        let settings = ["--set", "feed=eventstreams", "--set", &url];
        let mut program = program::spawn(dir.path(), arguments(port, &settings));
        program.wait_stderr("SSE feed lost");
        program.signal("INT");
        let run = program.finish().expect(0);
        assert!(!format!("{}{}", run.stdout, run.stderr).contains("hunter2"), "{}{}", run.stdout, run.stderr);
    }
}

#[test]
fn a_kafka_that_is_down_at_the_start_is_told_within_its_time_limit() {
    let dir = tempdir().unwrap();
    let kafka = ["--set", "bootstrap.servers=127.0.0.1:1"];
    let run = program::host(dir.path(), arguments(free_port(), &kafka)).expect(2);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("error: Kafka at `127.0.0.1:1` gave no metadata within "), "{}", run.stderr);
    assert!(
        run.stderr.contains("hint: is the broker running, and is `bootstrap.servers` its address"),
        "{}",
        run.stderr
    );
}

#[test]
fn looking_into_a_kafka_that_is_down_is_told_within_its_time_limit() {
    let dir = tempdir().unwrap();
    let commands = [&["ls"][..], &["cat", "wikipedia"], &["tail", "wikipedia"]];
    let programs = commands
        .map(|command| program::spawn(dir.path(), [&["log"], command, &["--bootstrap", "127.0.0.1:1"]].concat()));
    for run in programs.map(|program| program.finish().expect(2)) {
        assert!(run.stdout.is_empty() && run.stderr.contains("error: Kafka at `127.0.0.1:1` gave no"), "{run:?}");
    }
}

#[test]
fn a_full_disk_stops_nothing_and_loses_nothing_that_was_acknowledged() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 500.0, ..irc::Options::default() });
    let settings =
        ["--set", "errors.retry.delay.max.ms=100", "--set", "task.shutdown.graceful.timeout.ms=500", "--set"];
    let mut program = spawn(dir.path(), &emulator, &[&settings[..], &["embedded.max.bytes=1000000"]].concat());
    let said = program.wait_stderr("trying again");
    assert!(said.contains("the disk is full, or `embedded.max.bytes` is reached"), "{said}");
    assert!(said.contains("nothing committed is lost, and the host goes on by itself"), "{said}");
    program.wait_stderr(", RUNNING: log `data/log.db`: committing: the disk is full");
    program.signal("INT");
    let run = program.finish().expect(1);
    let connector = &run.json()["connectors"][0];
    let trace = connector["trace"].as_str().unwrap();
    assert!(trace.contains("records were taken and not written"), "{trace}");
    assert!(run.stderr.contains("error: connectors failed: `wiki_source`"), "{}", run.stderr);
    assert!(connector["not_written"].as_u64().unwrap() > 0 && connector["retries"].as_u64().unwrap() > 0);
    let acknowledged = records(&run);
    assert!(acknowledged > 0);
    assert_eq!(stored(dir.path()), acknowledged);
    // With room it goes on where it was.
    let room = ["--set", "embedded.max.bytes=10000000", "--max-records", "100"];
    let run = spawn(dir.path(), &emulator, &room).finish().expect(0);
    assert_eq!((records(&run), stored(dir.path())), (100, acknowledged + 100));
}

#[test]
fn a_disk_that_has_room_again_is_written_to_without_a_restart() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 500.0, ..irc::Options::default() });
    let settings = ["--set", "errors.retry.delay.max.ms=100", "--set", "embedded.max.bytes=1000000"];
    let mut program = spawn(dir.path(), &emulator, &settings);
    program.wait_stderr("trying again");
    // The room that the retention of a topic makes, made here by hand.
    let other = rusqlite::Connection::open(dir.path().join("data/log.db")).unwrap();
    other.busy_timeout(program::WITHIN).unwrap();
    other.execute_batch("DELETE FROM records; UPDATE partitions SET low = next").unwrap();
    program.wait_stderr("works again");
    program.signal("INT");
    program.finish();
}

#[test]
fn a_task_is_given_up_when_it_was_tried_again_for_long_enough() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 500.0, ..irc::Options::default() });
    let settings = ["--set", "errors.retry.timeout=300", "--set", "embedded.max.bytes=1000000"];
    let run = spawn(dir.path(), &emulator, &settings).finish().expect(1);
    let connector = &run.json()["connectors"][0];
    let trace = connector["trace"].as_str().unwrap();
    assert!(trace.contains("given up after 300 ms of trying again: log `data/log.db`: committing: the disk is full"));
    assert!(run.stderr.contains("`errors.retry.timeout` is the limit"), "{}", run.stderr);
    assert_eq!(connector["state"], "FAILED");
    assert_eq!(stored(dir.path()), records(&run), "what was acknowledged is there");
}
