//! What the host writes, read by Kafka's own console consumer.

use crate::support::{connect, id, kafka, texts};
use host::ports::log::{Commit, Log, TopicSpec};
use host::record::{BatchBuilder, now_ms};

const CLASS: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

#[test]
fn the_console_consumer_reads_what_was_committed_and_nothing_else() {
    let Some(kafka) = kafka() else { return };
    let log = connect(kafka.bootstrap());
    let (topic, small) = ("console", "console-small");
    log.create_topic(topic, TopicSpec::default()).unwrap();
    let mut writer = log.writer(&id("console")).unwrap();
    let mut batch = BatchBuilder::default();
    batch.push(Some("größe".as_bytes()), Some("zażółć 日本".as_bytes()), &[("from", Some(b"host"))], now_ms());
    batch.push(None, Some(b"no key"), &[], now_ms());
    batch.push(Some(b"tombstone"), None, &[], now_ms());
    let commit = Commit { appends: vec![(topic.to_owned(), batch.build())], ..Commit::default() };
    writer.commit(&commit).unwrap();
    // A transaction that fails on its way: its first topic takes the record, its second does not.
    log.create_topic(small, TopicSpec::default()).unwrap();
    let large = "x".repeat(1_500_000);
    let appends = vec![(topic.to_owned(), texts(&["of a failed commit"])), (small.to_owned(), texts(&[&large]))];
    let error = writer.commit(&Commit { appends, ..Commit::default() }).unwrap_err();
    assert_eq!(error.class(), host::error::ErrorClass::Config, "{error}");
    assert!(error.to_string().contains(&format!("topic `{small}`")), "{error}");
    writer.commit(&Commit { appends: vec![(topic.to_owned(), texts(&["last"]))], ..Commit::default() }).unwrap();

    let mut arguments = vec!["--bootstrap-server", kafka.bootstrap(), "--topic", topic, "--from-beginning"];
    arguments.extend(["--isolation-level", "read_committed", "--timeout-ms", "5000"]);
    for property in ["print.key=true", "print.headers=true", "key.separator=|", "headers.separator=,"] {
        arguments.extend(["--formatter-property", property]);
    }
    let output = kafka.java(CLASS, &arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // Its log goes to standard output as well, each line with the time.
    let lines: Vec<&str> = out.lines().filter(|line| line.contains('|')).collect();
    let expected =
        ["from:host|größe|zażółć 日本", "NO_HEADERS|null|no key", "NO_HEADERS|tombstone|null", "NO_HEADERS|null|last"];
    assert_eq!(lines, expected, "{out}\n{err}");
}
