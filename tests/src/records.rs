//! Reading topics back, and what holds for all of them.

use host::ports::log::{Log, ReadLimits, StoredRecord};
use serde_json::Value;
use std::time::Duration;

const ALL: ReadLimits = ReadLimits { max_records: 10_000, max_bytes: 64 << 20, wait: Duration::ZERO };

/// Every record of partition 0, in order; none when there is no such topic.
///
/// # Panics
/// When the log cannot be read.
pub fn read_topic(log: &dyn Log, topic: &str) -> Vec<StoredRecord> {
    let topics = log.topics().unwrap();
    let Some(info) = topics.into_iter().find(|info| info.name == topic) else { return Vec::new() };
    let mut reader = log.reader(topic, 0, 0).unwrap();
    let mut records = Vec::new();
    while !reader.is_past(info.partitions[0].high) {
        records.extend(reader.next(ALL).unwrap());
    }
    records
}

/// Checks that offsets begin at 0 and leave none out.
///
/// # Panics
/// Naming the first record that is not where it should be.
pub fn assert_dense(records: &[StoredRecord]) {
    for (expected, record) in (0..).zip(records) {
        assert_eq!(record.offset, expected, "offset of record {expected}");
    }
}

/// The value as text.
///
/// # Panics
/// When there is none, or it is not UTF-8.
pub fn text(record: &StoredRecord) -> &str {
    std::str::from_utf8(record.value.as_deref().expect("a value")).unwrap()
}

/// The value as JSON.
///
/// # Panics
/// When it is not JSON.
pub fn json(record: &StoredRecord) -> Value {
    serde_json::from_str(text(record)).unwrap_or_else(|error| panic!("{error}: {}", text(record)))
}

/// The payload of a value in Kafka Connect's envelope.
///
/// # Panics
/// When it is not such an envelope.
pub fn payload(record: &StoredRecord) -> Value {
    let mut envelope = json(record);
    assert_eq!(envelope["schema"]["type"], "struct", "{envelope}");
    envelope["payload"].take()
}

/// A header's text; none when there is no such header.
///
/// # Panics
/// When its value is not UTF-8.
pub fn header<'a>(record: &'a StoredRecord, name: &str) -> Option<&'a str> {
    let (_, value) = record.headers.iter().find(|(known, _)| known == name)?;
    value.as_deref().map(|value| std::str::from_utf8(value).unwrap())
}
