//! Reading one partition, committed records only.

use super::settled::positions;
use super::{Quiet, READERS, consumer};
use crate::error::{Error, OrError, Result};
use crate::ports::log::{KafkaSettings, LogReader, ReadLimits, StoredRecord, Watermarks};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

pub(super) struct KafkaReader {
    consumer: BaseConsumer<Quiet>,
    topic: String,
    attempt: String,
    from: i64,
    // Everything below was read, gaps included.
    next: i64,
    high: i64,
}

impl KafkaReader {
    pub(super) fn open(
        settings: &KafkaSettings,
        topic: &str,
        partition: i32,
        from: i64,
        marks: Watermarks,
    ) -> Result<Self> {
        let at = &settings.bootstrap_servers;
        let attempt = format!("Kafka at `{at}`: reading topic `{topic}` partition {partition}");
        let consumer = consumer(settings, READERS)?;
        let mut list = TopicPartitionList::new();
        // From beyond the end librdkafka would begin anew at the first record.
        let begin = Offset::Offset(from.clamp(marks.low, marks.high));
        list.add_partition_offset(topic, partition, begin).or_bug(&attempt)?;
        consumer.assign(&list).or_retry(&attempt)?;
        let next = from.max(marks.low);
        Ok(KafkaReader { consumer, topic: topic.to_owned(), attempt, from, next, high: marks.high })
    }

    /// Takes the gaps into account that were passed since the last record.
    fn pass_gaps(&mut self) -> Result<()> {
        let positions = positions(&self.consumer, &self.topic).or_retry(&self.attempt)?;
        for (_, position) in positions {
            self.next = self.next.max(position);
        }
        Ok(())
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
                None => {
                    self.pass_gaps()?;
                    if !records.is_empty() || Instant::now() >= deadline {
                        break;
                    }
                }
                Some(Ok(message)) if message.offset() < self.from => {}
                Some(Ok(message)) => {
                    let record = stored(&message);
                    bytes += record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
                    self.next = record.offset + 1;
                    records.push(record);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.pass_gaps()?;
                    // The end met is not before the one seen when this reader was made. The
                    // position alone may stay below it: compaction can leave a gap there.
                    self.next = self.next.max(self.high);
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
        self.next >= offset
    }
}

fn stored(message: &BorrowedMessage<'_>) -> StoredRecord {
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect());
    StoredRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
