//! Reading one partition, committed records only.

use super::consumer;
use crate::error::{Error, OrError, Result};
use crate::ports::log::{KafkaSettings, LogReader, ReadLimits, StoredRecord};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

pub(super) struct KafkaReader {
    consumer: BaseConsumer,
    attempt: String,
    next: i64,
    // Transactions leave marks that are no records, so the last offset is never reached by
    // counting; the end of the partition is told apart instead.
    reached_end: bool,
}

impl KafkaReader {
    pub(super) fn open(settings: &KafkaSettings, topic: &str, partition: i32, offset: i64) -> Result<Self> {
        let at = &settings.bootstrap_servers;
        let attempt = format!("Kafka at `{at}`: reading topic `{topic}` partition {partition}");
        let consumer: BaseConsumer = consumer(settings, "connector-host-reader").create().or_config(&attempt)?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, partition, Offset::Offset(offset)).or_bug(&attempt)?;
        consumer.assign(&from).or_retry(&attempt)?;
        Ok(KafkaReader { consumer, attempt, next: offset, reached_end: false })
    }
}

impl LogReader for KafkaReader {
    fn next(&mut self, limits: ReadLimits) -> Result<Vec<StoredRecord>> {
        let deadline = Instant::now() + limits.wait;
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < limits.max_records && bytes < limits.max_bytes {
            // The first record is worth waiting for, the rest is taken while it is at hand.
            let wait =
                if records.is_empty() { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            match self.consumer.poll(wait) {
                None if records.is_empty() && Instant::now() < deadline => {}
                None => break,
                Some(Ok(message)) => {
                    let headers = message.headers().map(|headers| {
                        headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect()
                    });
                    let record = StoredRecord {
                        partition: message.partition(),
                        offset: message.offset(),
                        timestamp: message.timestamp().to_millis().unwrap_or(0),
                        key: message.key().map(<[u8]>::to_vec),
                        value: message.payload().map(<[u8]>::to_vec),
                        headers: headers.unwrap_or_default(),
                    };
                    bytes += record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
                    self.next = record.offset + 1;
                    records.push(record);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.reached_end = true;
                    if !records.is_empty() {
                        break;
                    }
                }
                Some(Err(error)) if records.is_empty() => {
                    return Err(Error::retry(format!("{}: {error}", self.attempt)));
                }
                Some(Err(_)) => break,
            }
        }
        Ok(records)
    }

    fn is_past(&self, offset: i64) -> bool {
        self.next >= offset || self.reached_end
    }
}
