//! Records that are hard to carry: written to a topic, and read back.

use super::MARKER;
use host::ports::log::{Commit, Log, ReadLimits, StoredRecord, TopicSpec, WriterId};
use host::record::BatchBuilder;
use std::time::Duration;

/// Appends records `numbers` to a topic in one commit each 100, making the topic where it is missing.
/// Every kind of record is among any 100: without key, empty, tombstones, headers, odd times, large.
///
/// # Panics
/// When the log does not take them.
pub fn write_records(log: &dyn Log, topic: &str, partitions: i32, numbers: std::ops::Range<u64>) {
    log.create_topic(topic, TopicSpec { partitions, ..TopicSpec::default() }).unwrap();
    let mut writer = log.writer(&WriterId { connector: "producer".to_owned(), task: 0 }).unwrap();
    let mut numbers = numbers.peekable();
    while numbers.peek().is_some() {
        let mut batch = BatchBuilder::default();
        numbers.by_ref().take(100).for_each(|number| push_record(&mut batch, number));
        let appends = vec![(topic.to_owned(), batch.build())];
        writer.commit(&Commit { appends, ..Commit::default() }).unwrap();
    }
}

fn push_record(batch: &mut BatchBuilder, number: u64) {
    let key = match number % 5 {
        0 => None,
        1 => Some(String::new()),
        _ => Some(format!("{MARKER} key {}", number % 40)),
    };
    let value = match number % 7 {
        3 => None,
        5 => Some(String::new()),
        _ if number % 100 == 9 => Some(format!("{MARKER} {number} {}", "large ".repeat(5000))),
        _ => Some(format!("{MARKER} {number} {}", "x".repeat((number % 300) as usize))),
    };
    let name = format!("{MARKER} header");
    let text = format!("{MARKER} {number}");
    let headers: &[(&str, Option<&[u8]>)] = match number % 3 {
        0 => &[],
        1 => &[(&name, Some(text.as_bytes())), ("null", None), (&name, Some(b""))],
        _ => &[("", Some(&[0, 255, 128]))],
    };
    let timestamp = match number % 100 {
        40 => i64::MIN,
        41 => i64::MAX,
        42 => -1,
        43 => 0,
        _ => 1_795_574_096_789 + i64::try_from(number).unwrap() * 10,
    };
    batch.push(key.as_deref().map(str::as_bytes), value.as_deref().map(str::as_bytes), headers, timestamp);
}

/// Every record of every partition of a topic, partition by partition; none when there is no such topic.
///
/// # Panics
/// When the log cannot be read.
pub fn read_all(log: &dyn Log, topic: &str) -> Vec<StoredRecord> {
    let Some(info) = log.topic(topic).unwrap() else { return Vec::new() };
    let limits = ReadLimits { max_records: 10_000, max_bytes: 64 << 20, wait: Duration::ZERO };
    let mut records = Vec::new();
    for (partition, marks) in (0..).zip(&info.partitions) {
        let mut reader = log.reader(topic, partition, 0).unwrap();
        while !reader.is_past(marks.high) {
            records.extend(reader.next(limits).unwrap());
        }
    }
    records
}
