//! Positions in Kafka Connect's format of source offsets.
//!
//! Both parts of a position are opaque to the host. JSON objects, which is what the SDK writes,
//! are stored as they are, so that Connect's tools can read them; other bytes are wrapped.

use super::KafkaLog;
use crate::error::Result;
use crate::ports::log::{Log, PositionEntry, ReadLimits};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

const WRAP: &str = "host.hex";

/// The record key and value of a position.
pub(super) fn encode(connector: &str, entry: &PositionEntry) -> (Vec<u8>, Vec<u8>) {
    let key = Value::Array(vec![Value::String(connector.to_owned()), wrap(&entry.partition)]);
    (key.to_string().into_bytes(), wrap(&entry.position).to_string().into_bytes())
}

/// The connector and the partition in a record key; none for keys of other programs.
fn decode_key(key: &[u8]) -> Option<(String, Vec<u8>)> {
    let Value::Array(parts) = serde_json::from_slice(key).ok()? else { return None };
    match <[Value; 2]>::try_from(parts).ok()? {
        [Value::String(connector), partition] => Some((connector, unwrap(partition))),
        _ => None,
    }
}

fn wrap(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        // Byte for byte the same when written again, or it would not come back as it was.
        Ok(Value::Object(map)) if Value::Object(map.clone()).to_string().as_bytes() == bytes => Value::Object(map),
        _ => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Value::Object(Map::from_iter([(WRAP.to_owned(), Value::String(hex))]))
        }
    }
}

fn unwrap(value: Value) -> Vec<u8> {
    let hex = value.get(WRAP).and_then(Value::as_str).and_then(|hex| {
        let digits: Option<Vec<u8>> = hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
        let (pairs, odd) = digits.as_deref()?.as_chunks::<2>();
        odd.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
    });
    hex.unwrap_or_else(|| value.to_string().into_bytes())
}

/// Reads the topic to its end and keeps the last position of each of the connector's partitions.
pub(super) fn read_positions(
    log: &KafkaLog,
    topic: &str,
    partitions: usize,
    connector: &str,
) -> Result<Vec<PositionEntry>> {
    let mut last: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    let limits = ReadLimits { max_records: 4096, max_bytes: 16 << 20, wait: Duration::from_millis(500) };
    for partition in 0..i32::try_from(partitions).unwrap_or(0) {
        let marks = log.watermarks(topic, partition)?;
        if marks.low == marks.high {
            continue;
        }
        let mut reader = log.reader(topic, partition, marks.low)?;
        while !reader.is_past(marks.high) {
            for record in reader.next(limits)? {
                let Some((name, partition)) = record.key.as_deref().and_then(decode_key) else { continue };
                if name == connector {
                    let value = record.value.and_then(|value| serde_json::from_slice(&value).ok());
                    last.insert(partition, value.map(unwrap));
                }
            }
        }
    }
    let kept =
        last.into_iter().filter_map(|(partition, position)| Some(PositionEntry { partition, position: position? }));
    Ok(kept.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_look_as_connect_writes_them_and_come_back_byte_for_byte() {
        let check = |partition: &[u8], position: &[u8], key: &str, value: &str| {
            let entry = PositionEntry { partition: partition.to_vec(), position: position.to_vec() };
            let (found_key, found_value) = encode("wikipedia", &entry);
            assert_eq!((std::str::from_utf8(&found_key), std::str::from_utf8(&found_value)), (Ok(key), Ok(value)));
            assert_eq!(decode_key(&found_key), Some(("wikipedia".to_owned(), partition.to_vec())));
            assert_eq!(unwrap(serde_json::from_slice(&found_value).unwrap()), position);
        };
        check(
            br##"{"channel":"#en.wikipedia"}"##,
            br#"{"timestamp":1}"#,
            r##"["wikipedia",{"channel":"#en.wikipedia"}]"##,
            r#"{"timestamp":1}"#,
        );
        check(b"\xff", b"{ }", r#"["wikipedia",{"host.hex":"ff"}]"#, r#"{"host.hex":"7b207d"}"#);
    }
}
