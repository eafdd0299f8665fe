//! Reading a topic to an end that holds: everything written before now, once it is decided.
//!
//! Readers of committed records stop before the first transaction that is still open in a
//! partition, whoever's it is. What was committed behind it is there and not yet shown, so the end
//! as readers see it is not enough where the last record matters, as for positions and marks.

use super::{Quiet, READERS, TIMEOUT, consumer, consumer_config};
use crate::error::{Error, OrError, Result};
use crate::ports::log::KafkaSettings;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::Offset;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How far to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// All that readers are shown now.
    Shown,
    /// All that was written before now; waits until open transactions end.
    Settled,
}

/// Gives the committed records of the partitions from the offsets on, in order within a partition.
///
/// # Errors
/// Class Retry when the broker is out of reach, or when transactions stay open for too long.
pub(super) fn read(
    settings: &KafkaSettings,
    topic: &str,
    from: &[(i32, i64)],
    until: Until,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<()> {
    let attempt = format!("Kafka at `{}`: reading topic `{topic}`", settings.bootstrap_servers);
    let reading = consumer(settings, READERS)?;
    let numbers = || from.iter().map(|(number, _)| *number);
    let written = match until {
        Until::Shown => BTreeMap::new(),
        Until::Settled => {
            let mut config = consumer_config(settings, READERS);
            config.set("isolation.level", "read_uncommitted");
            let asking: BaseConsumer<Quiet> = config.create_with_context(Quiet).or_config(&attempt)?;
            offsets(&asking, topic, numbers(), Offset::End).or_retry(&attempt)?
        }
    };
    let shown = offsets(&reading, topic, numbers(), Offset::End).or_retry(&attempt)?;
    let end_of = |number: &i32| written.get(number).max(shown.get(number)).copied().unwrap_or(0);
    let mut left: BTreeMap<i32, i64> = BTreeMap::new();
    let mut list = TopicPartitionList::new();
    for (number, offset) in from {
        if end_of(number) > *offset {
            left.insert(*number, end_of(number));
            list.add_partition_offset(topic, *number, Offset::Offset(*offset)).or_bug(&attempt)?;
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    reading.assign(&list).or_retry(&attempt)?;
    let mut deadline = Instant::now() + TIMEOUT;
    while !left.is_empty() {
        match reading.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                each(&message);
                // The limit is for waiting, not for reading.
                deadline = Instant::now() + TIMEOUT;
                continue;
            }
            // The end met is not before the one shown at the beginning. The position alone may stay
            // below it: compaction can leave a gap there.
            Some(Err(KafkaError::PartitionEOF(number))) if shown.get(&number) >= left.get(&number) => {
                left.remove(&number);
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => return Err(Error::retry(format!("{attempt}: {error}"))),
        }
        // The position counts the marks of transactions, which are no records.
        for (number, position) in positions(&reading, topic).or_retry(&attempt)? {
            if left.get(&number).is_some_and(|end| position >= *end) {
                left.remove(&number);
            }
        }
        if Instant::now() >= deadline {
            let seconds = TIMEOUT.as_secs();
            let numbers: Vec<String> = left.keys().map(i32::to_string).collect();
            let numbers = numbers.join("`, `");
            return Err(Error::retry(format!(
                "{attempt}: partitions `{numbers}` cannot be read to their ends within {seconds} s"
            ))
            .with_hint("a transaction that somebody left open there ends by itself within its time limit"));
        }
    }
    Ok(())
}

/// The first or last offsets of a topic's partitions, in one request a broker.
pub(super) fn offsets(
    consumer: &BaseConsumer<Quiet>,
    topic: &str,
    partitions: impl Iterator<Item = i32>,
    which: Offset,
) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let mut asked = TopicPartitionList::new();
    for number in partitions {
        asked.add_partition_offset(topic, number, which)?;
    }
    let found = consumer.offsets_for_times(asked, TIMEOUT)?;
    let mut offsets = BTreeMap::new();
    for element in found.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert(element.partition(), offset);
        }
    }
    Ok(offsets)
}

/// Where a consumer is in a topic's partitions, as far as it has begun there.
pub(super) fn positions(consumer: &BaseConsumer<Quiet>, topic: &str) -> Result<Vec<(i32, i64)>, KafkaError> {
    // The list ends before the consumer can, or that would hang for ever.
    let list = consumer.position()?;
    let here = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some((element.partition(), offset)),
        _ => None,
    };
    Ok(list.elements_for_topic(topic).iter().filter_map(here).collect())
}
