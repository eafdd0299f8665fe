//! Positions in Kafka Connect's format of source offsets.
//!
//! Both parts of a position are opaque to the host. JSON objects, which is what the SDK writes, are
//! stored byte for byte, so that Connect's tools can read them; other bytes are wrapped.

use super::KafkaLog;
use super::settled::{self, Until};
use crate::error::{OrError, Result};
use crate::ports::log::PositionEntry;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const WRAP: &str = "host.hex";

/// The record key and value of a position.
pub(super) fn encode(connector: &str, entry: &PositionEntry) -> (Vec<u8>, Vec<u8>) {
    let name = Value::String(connector.to_owned());
    (format!("[{name},{}]", wrap(&entry.partition)).into_bytes(), wrap(&entry.position).into_bytes())
}

/// The connector and the partition in a record key; none for keys of other programs.
fn decode_key(key: &[u8]) -> Option<(String, Vec<u8>)> {
    let (connector, partition): (String, &RawValue) = serde_json::from_slice(key).ok()?;
    Some((connector, unwrap(partition)))
}

fn wrap(bytes: &[u8]) -> String {
    match serde_json::from_slice::<&RawValue>(bytes) {
        // Without what stands around it, and unless it looks like a wrap, it comes back as it was.
        Ok(json) if json.get().len() == bytes.len() && bytes.starts_with(b"{") && !is_wrap(json.get()) => {
            json.get().to_owned()
        }
        _ => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{{\"{WRAP}\":\"{hex}\"}}")
        }
    }
}

fn is_wrap(json: &str) -> bool {
    serde_json::from_str::<Value>(json).is_ok_and(|value| value.get(WRAP).is_some())
}

fn unwrap(json: &RawValue) -> Vec<u8> {
    let value: Option<Value> = serde_json::from_str(json.get()).ok();
    let hex = value.as_ref().and_then(|value| value.get(WRAP)?.as_str()).and_then(|hex| {
        let digits: Option<Vec<u8>> = hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
        let (pairs, odd) = digits.as_deref()?.as_chunks::<2>();
        odd.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
    });
    hex.unwrap_or_else(|| json.get().as_bytes().to_vec())
}

/// The last position of each of the connector's partitions, all transactions that were begun
/// before taken into account.
pub(super) fn read_positions(
    log: &KafkaLog,
    topic: &str,
    partitions: i32,
    connector: &str,
) -> Result<Vec<PositionEntry>> {
    let attempt = || format!("Kafka at `{}`: reading topic `{topic}`", log.at());
    let first = settled::offsets(&log.queries, topic, 0..partitions, Offset::Beginning).or_retry(attempt())?;
    let mut last: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    settled::read(&log.settings, topic, &Vec::from_iter(first), Until::Settled, |record| {
        let Some((name, partition)) = record.key().and_then(decode_key) else { return };
        if name == connector {
            let value = record.payload().and_then(|value| serde_json::from_slice(value).ok());
            last.insert(partition, value.map(unwrap));
        }
    })?;
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
        check(b"{ \"b\":1, \"a\":1.0}", b"{}", r#"["wikipedia",{ "b":1, "a":1.0}]"#, "{}");
        check(b"\xff", b"{ } ", r#"["wikipedia",{"host.hex":"ff"}]"#, r#"{"host.hex":"7b207d20"}"#);
        check(
            br#"{"host.hex":"00"}"#,
            b"[1]",
            r#"["wikipedia",{"host.hex":"7b22686f73742e686578223a223030227d"}]"#,
            r#"{"host.hex":"5b315d"}"#,
        );
    }
}
