//! Inputs that are rejected: how many are tolerated, and what `host log dlq` makes of dead letters.

use host::crash::{self, CrashPoint};
use host::io::embedded::EmbeddedLog;
use host::ports::log::Log;
use host::worker::{TaskState, TaskStatus};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use tests::feeds::{irc, lines};
use tests::plugins::Plugin;
use tests::program::{Finished, Program, command, host};
use tests::records::{header, read_topic};
use tests::spool::{Pipeline, RECORDS, SEALED, TO_DATA_SET, WITHIN, read_all, write_records};
use tests::wait_until;
use tests::worker::{Connector, Running, start, wait_unlocked};

const LETTERS: &str = "qf2-connect-demo-dlq";

fn failed(status: &TaskStatus) -> bool {
    matches!(status.state, TaskState::Failed(_))
}

/// A sink of sealed members, and records that are none.
fn sink_with(records: u64, change: impl Fn(Connector) -> Connector) -> (Pipeline, Running) {
    let pipeline = Pipeline::on_folders();
    let sink = change(pipeline.to_data_set());
    let running = start(&pipeline.data_dir(), &[pipeline.to_spool()], None);
    write_records(running.log(), SEALED, 1, 0..records);
    running.end();
    let running = start(&pipeline.data_dir(), &[sink], None);
    (pipeline, running)
}

#[test]
fn a_sink_that_rejects_too_much_fails_and_drains_nothing() {
    let change = |sink: Connector| sink.set("errors.deadletter.max.ratio", 0.5).set("errors.deadletter.window", 100);
    let (pipeline, running) = sink_with(300, change);
    let trace = running.wait(TO_DATA_SET, "its failure", WITHIN, failed).state.trace().unwrap().to_owned();
    assert!(trace.contains("inputs are rejected, expected a share of 0.5 at most"), "{trace}");
    assert_eq!(read_all(running.log(), LETTERS).len(), 0);
    assert_eq!(running.log().group_offsets("connect-local-qf2-sink", SEALED).unwrap(), []);
    running.end();
    // With the limit gone they are all still there.
    let mut running = start(&pipeline.data_dir(), &[pipeline.to_data_set()], None);
    wait_until("dead letters", WITHIN, || read_all(running.log(), LETTERS).len() == 300);
    running.stop();
}

#[test]
fn where_nothing_is_tolerated_the_first_rejected_record_fails_the_task() {
    let (_pipeline, running) = sink_with(3, |sink| sink.set("errors.tolerance", "none"));
    let trace = running.wait(TO_DATA_SET, "its failure", WITHIN, failed).state.trace().unwrap().to_owned();
    assert!(trace.contains("3 of 3 inputs are rejected, one for `"), "{trace}");
    assert_eq!(read_all(running.log(), LETTERS).len(), 0);
}

#[test]
fn a_source_that_rejects_too_much_fails_before_it_commits_any_of_it() {
    let check = |change: &dyn Fn(Connector) -> Connector, words: &str| {
        let dir = tempfile::tempdir().unwrap();
        let garbage = lines(dir.path(), (0..500).map(|number| format!("#en.wikipedia\tno edit {number}")));
        let feed = irc(host_emulators::irc::Options { rate: 0.0, lines: Some(garbage), ..Default::default() });
        let source = Connector::new("wiki", Plugin::WikiSource).irc(&feed).set("topic", RECORDS);
        let source = change(source.set("irc.channels", "#en.wikipedia").set("batch.max.records", 50));
        let running = start(&dir.path().join("data"), &[source], None);
        let status = running.wait("wiki", "its failure", WITHIN, failed);
        assert!(status.state.trace().unwrap().contains(words), "{status:?}");
        (read_topic(running.log(), "wikipedia-dlq").len() as u64, status.counts.rejected)
    };
    let limited =
        |source: Connector| source.set("errors.deadletter.max.ratio", 0.1).set("errors.deadletter.window", 100);
    let (letters, rejected) = check(&limited, "inputs are rejected, expected a share of 0.1 at most");
    assert!(letters < 100 && letters == rejected, "{letters} {rejected}");
    let none = |source: Connector| source.set("errors.tolerance", "none");
    assert_eq!(check(&none, "inputs are rejected, one for `"), (0, 0));
}

#[test]
fn a_dead_letter_of_a_sink_is_the_record_with_connects_headers_behind_its_own() {
    let (_pipeline, running) = sink_with(20, |sink| sink);
    wait_until("dead letters", WITHIN, || read_all(running.log(), LETTERS).len() == 20);
    let records = read_all(running.log(), SEALED);
    for (letter, record) in read_all(running.log(), LETTERS).iter().zip(&records) {
        assert_eq!((&letter.key, &letter.value, letter.timestamp), (&record.key, &record.value, record.timestamp));
        let (own, added) = letter.headers.split_at(record.headers.len());
        assert_eq!(own, record.headers);
        let added: Vec<(&str, &str)> = added
            .iter()
            .map(|(name, value)| (name.as_str(), std::str::from_utf8(value.as_deref().unwrap()).unwrap()))
            .collect();
        let [.., (_, class), _, (_, message), (_, trace)] = added[..] else { panic!("{added:?}") };
        assert!(class.starts_with("spool-sink with spool_layout@"), "{class}");
        let offset = record.offset.to_string();
        let expected = [
            ("topic", SEALED),
            ("partition", "0"),
            ("offset", &offset),
            ("connector.name", TO_DATA_SET),
            ("task.id", "0"),
            ("stage", "TASK_PUT"),
            ("class.name", class),
            ("exception.class.name", "rejected"),
            ("exception.message", message),
            ("exception.stacktrace", trace),
        ]
        .map(|(name, value)| (format!("__connect.errors.{name}"), value));
        let expected: Vec<(&str, &str)> = expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(added, expected);
        assert!(message.len() > 5 && trace == format!("rejected: {message}\n\tat {class} (TASK_PUT)"), "{trace}");
    }
}

#[test]
fn dead_letters_of_a_sink_that_dies_before_it_goes_on_are_there() {
    let pipeline = Pipeline::on_folders();
    write_records(&EmbeddedLog::open(&pipeline.data_dir(), None).unwrap(), SEALED, 1, 0..20);
    let config = pipeline.config("host.toml", &[pipeline.to_data_set()]);
    let start = |crash: Option<CrashPoint>| {
        wait_unlocked(&pipeline.data_dir());
        let mut command = command(pipeline.dir.path());
        command.args([Path::new("run"), &config]);
        crash.iter().for_each(|point| {
            command.env(crash::VARIABLE, format!("{}:0", point.name()));
        });
        Program::start(command)
    };
    assert_eq!(start(Some(CrashPoint::SinkLetters)).finish().code, None, "it ends there");
    let log = EmbeddedLog::open_read_only(&pipeline.data_dir()).unwrap();
    let offsets = || log.group_offsets("connect-local-qf2-sink", SEALED).unwrap();
    assert_eq!((offsets(), read_all(&log, LETTERS).is_empty()), (Vec::new(), false));
    let mut program = start(None);
    // Before that it does not listen to signals, and everything may be there already.
    program.wait_stderr("connector `");
    // Nothing of them is safe in the target, so no offset says when it is done.
    let places = || -> BTreeSet<String> {
        let letters = read_all(&log, LETTERS);
        letters.iter().map(|letter| header(letter, "__connect.errors.offset").unwrap().to_owned()).collect()
    };
    wait_until("all of them", WITHIN, || places().len() == 20);
    program.signal("INT");
    program.finish().expect(0);
}

#[test]
fn tolerance_that_cannot_be_is_refused() {
    let pipeline = Pipeline::on_folders();
    let refused = |key: &str, value: &str, words: &str| {
        let sink = pipeline.to_data_set().set("errors.tolerance", "none").set(key, value);
        let error = tests::worker::try_start(&pipeline.data_dir(), &[sink], None).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused("errors.deadletter.max.ratio", "0.1", "is set, and `errors.tolerance` is `none`");
    refused("errors.deadletter.max.ratio", "1.5", "is `1.5`, expected 0 to 1");
    refused("errors.tolerance", "some", "is `some`, expected one of `none`, `all`");
    refused("errors.deadletter.window", "0", "is `0`, expected 1 to");
}

#[test]
fn dead_letters_are_counted_by_reason_and_replayed_once() {
    let (pipeline, running) = sink_with(20, |sink| sink);
    wait_until("dead letters", WITHIN, || read_all(running.log(), LETTERS).len() == 20);
    let before = read_all(running.log(), SEALED);
    running.end();
    wait_unlocked(&pipeline.data_dir());
    let data_dir = pipeline.data_dir();
    let run = |arguments: &[&str]| -> Finished {
        let place = ["--data-dir", data_dir.to_str().unwrap()];
        host(pipeline.dir.path(), ["log", "dlq"].iter().chain(arguments).chain(&place))
    };
    let kinds = run(&["ls", "--output", "json"]).expect(0).json_lines();
    assert_eq!(kinds.iter().map(|kind| kind["count"].as_u64().unwrap()).sum::<u64>(), 20, "{kinds:?}");
    for kind in &kinds {
        assert_eq!((&kind["topic"], &kind["connector"]), (&json!(LETTERS), &json!(TO_DATA_SET)));
        assert_eq!(kind["stage"], "TASK_PUT");
        assert!(kind["reason"].as_str().unwrap().len() > 5, "{kind}");
    }
    assert!(run(&["ls"]).expect(0).stdout.contains(LETTERS));

    assert!(run(&["replay", LETTERS, "--to", "again", "--max", "5"]).expect(0).stderr.contains("5 records"));
    assert!(run(&["replay", LETTERS, "--to", "again"]).expect(0).stderr.contains("15 records"));
    assert!(run(&["replay", LETTERS, "--to", "again"]).expect(0).stderr.contains("0 records"));
    wait_unlocked(&data_dir);
    let running = start(&data_dir, &[pipeline.to_spool()], None);
    let content = |topic: &str| -> Vec<Value> {
        let records = read_all(running.log(), topic);
        records.iter().map(|record| json!([record.key, record.value, record.headers, record.timestamp])).collect()
    };
    assert_eq!(content("again"), content(SEALED), "as they were, tombstones and headers too");
    assert_eq!(before.len(), 20);
    running.end();
    wait_unlocked(&data_dir);
    for (arguments, words) in [
        (["replay", "none", "--to", "x"], "has no topic `none`"),
        (["replay", LETTERS, "--to", LETTERS], "expected another topic"),
        (["replay", LETTERS, "--to", "a b"], "topic name `a b`"),
    ] {
        let said = run(&arguments).expect(2).stderr;
        assert!(said.contains(words), "{said}");
    }
}
