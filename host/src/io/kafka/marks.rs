//! Marks: one record in each transaction of a writer that says whose it is and which.
//!
//! They are in the offsets topic under a key of the writer's transactional id, in the form of Kafka
//! Connect's keys, so that programs which read that topic take it for one more connector.

use super::settled::{self, Until};
use crate::error::Result;
use crate::ports::log::{KafkaSettings, WriterId, partition_of};
use rdkafka::message::Message;
use serde_json::{Value, json};

/// Which transaction: the writer's own name and its count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) writer: String,
    pub(super) number: u64,
}

/// Where the marks of a connector task are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) key: Vec<u8>,
    pub(super) partition: i32,
}

/// The transactional id of a connector task: Kafka Connect's form, with our name in place of its
/// cluster's group.
pub(super) fn transactional_id(id: &WriterId) -> String {
    format!("connector-host-{}-{}", id.connector, id.task)
}

impl Place {
    /// `partitions` are those of the offsets topic.
    pub(super) fn new(id: &WriterId, partitions: i32) -> Self {
        let key = json!([transactional_id(id), { "mark": "writer" }]).to_string().into_bytes();
        Place { partition: partition_of(Some(&key), partitions), key }
    }

    /// The last mark from `offset` on, with its own offset.
    ///
    /// # Errors
    /// Class Retry when it cannot be read.
    pub(super) fn last(&self, settings: &KafkaSettings, offset: i64, until: Until) -> Result<Option<(Mark, i64)>> {
        let mut last = None;
        settled::read(settings, &settings.offsets_topic, &[(self.partition, offset)], until, |record| {
            if record.key() == Some(&self.key) {
                let mark = record.payload().and_then(Mark::decode);
                last = mark.map(|mark| (mark, record.offset())).or(last.take());
            }
        })?;
        Ok(last)
    }
}

impl Mark {
    pub(super) fn encode(&self) -> Vec<u8> {
        json!({ "transaction": self.number, "writer": self.writer }).to_string().into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let writer = value.get("writer")?.as_str()?.to_owned();
        Some(Mark { writer, number: value.get("transaction")?.as_u64()? })
    }
}
