//! The contract of `host::ports::log::Log` as cases that any log must pass: the embedded log in
//! `tests/all`, a real Apache Kafka in `tests/systems`.
//!
//! Every case makes topics and connectors of its own, named `<prefix>-<case>…`, so that a suite may
//! run against a log that others use, and cases may run at the same time. What becomes visible is
//! waited for: Kafka's coordinator answers a commit before its marks have reached every partition.

mod commits;
mod readers;
mod records;
mod topics;

use crate::wait_until;
use host::error::{Error, ErrorClass};
use host::ports::log::{
    Commit, Log, LogReader, LogWriter, PositionEntry, ReadLimits, StoredRecord, TopicSpec, WriterId,
};
use host::record::{Batch, BatchBuilder, now_ms};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// Longest wait for anything to become visible; a broker's slowest answer is far below.
const WITHIN: Duration = Duration::from_secs(60);

/// What a log does with a commit that names a topic which is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingTopics {
    /// The commit fails.
    Refused,
    /// The log may make the topic (`auto.create.topics.enable`), and then the commit holds.
    MayBeMade,
}

/// One promise of the contract.
pub struct Case {
    /// The promise, as a sentence.
    pub name: &'static str,
    run: fn(&Trial<'_>),
}

impl Case {
    /// Runs the case.
    ///
    /// # Panics
    /// When the log breaks the promise.
    pub fn run(&self, log: &dyn Log, topic_prefix: &str, missing: MissingTopics) {
        let short: String = self.name.split('_').flat_map(|word| word.chars().take(3)).collect();
        (self.run)(&Trial { log, prefix: format!("{topic_prefix}-{short}"), missing });
    }
}

/// All promises.
pub fn cases() -> Vec<Case> {
    macro_rules! cases {
        ($($room:ident::$name:ident),* $(,)?) => { vec![$(Case { name: stringify!($name), run: $room::$name }),*] };
    }
    cases![
        topics::a_topic_is_made_once_listed_and_deleted,
        topics::a_deleted_topic_begins_anew,
        topics::a_topic_name_that_cannot_be_is_refused,
        topics::trimming_removes_the_beginning,
        records::records_come_back_byte_for_byte,
        records::records_keep_their_order_and_offsets_grow,
        records::one_commit_fills_several_topics,
        records::writers_of_several_connectors_write_at_once,
        records::the_same_key_goes_where_kafka_puts_it,
        commits::positions_are_replaced_partition_by_partition,
        commits::positions_may_be_any_bytes,
        commits::group_offsets_are_replaced_partition_by_partition,
        commits::nothing_is_visible_of_a_failed_commit,
        commits::a_newer_writer_fences_the_older,
        readers::a_reader_begins_in_the_middle,
        readers::a_reader_from_beyond_the_end_gives_nothing_old,
        readers::a_reader_keeps_its_limits,
        readers::a_reader_waits_for_records_that_arrive,
        readers::a_reader_is_past_the_end_once_it_has_read_it,
        readers::a_reader_is_not_past_what_came_after_it_reached_the_end,
        readers::a_missing_partition_is_refused,
    ]
}

/// Runs every case and says on standard error which; all run, whatever fails.
///
/// # Panics
/// When a case failed, naming all that did.
pub fn run(log: &dyn Log, topic_prefix: &str, missing: MissingTopics) {
    let mut failed = Vec::new();
    for case in cases() {
        eprintln!("log contract: {}", case.name);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case.run(log, topic_prefix, missing))) {
            failed.push((case.name, panic));
        }
    }
    let names: Vec<_> = failed.iter().map(|(name, _)| *name).collect();
    if names.len() == 1
        && let Some((_, panic)) = failed.pop()
    {
        eprintln!("log contract: failed: {names:?}");
        resume_unwind(panic);
    }
    assert!(names.is_empty(), "{}: {} cases failed: {names:#?}", log.describe(), names.len());
}

struct Trial<'a> {
    log: &'a dyn Log,
    prefix: String,
    missing: MissingTopics,
}

/// A record as written: key, value, headers, timestamp.
type Plain<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [(&'a str, Option<&'a [u8]>)], i64);

impl Trial<'_> {
    fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }

    /// Makes a topic and waits until the log lists it.
    fn topic(&self, suffix: &str, partitions: i32) -> String {
        let name = self.name(suffix);
        assert!(self.log.create_topic(&name, TopicSpec { partitions, retention: None }).unwrap(), "`{name}` was there");
        wait_until(&format!("topic `{name}` to be listed"), WITHIN, || self.marks(&name).is_some());
        name
    }

    /// Watermarks of each partition, none while the topic is not listed.
    fn marks(&self, topic: &str) -> Option<Vec<(i64, i64)>> {
        let topics = self.log.topics().unwrap();
        let found = topics.into_iter().find(|info| info.name == topic)?;
        Some(found.partitions.iter().map(|marks| (marks.low, marks.high)).collect())
    }

    fn writer(&self, connector: &str) -> Box<dyn LogWriter> {
        self.log.writer(&WriterId { connector: self.name(connector), task: 0 }).unwrap()
    }

    fn reader(&self, topic: &str, partition: i32, offset: i64) -> Box<dyn LogReader> {
        self.log.reader(topic, partition, offset).unwrap()
    }

    /// The first `count` records from `offset` on, and that no more than these are there.
    fn read(&self, topic: &str, partition: i32, offset: i64, count: usize) -> Vec<StoredRecord> {
        let mut reader = self.reader(topic, partition, offset);
        let mut records = Vec::new();
        wait_until(&format!("{count} records in `{topic}`"), WITHIN, || {
            records.extend(reader.next(within(Duration::from_millis(200))).unwrap());
            records.len() >= count
        });
        records.extend(reader.next(within(Duration::ZERO)).unwrap());
        assert_eq!(records.len(), count, "records in `{topic}` partition {partition} from {offset} on");
        records
    }

    fn values(&self, topic: &str, partition: i32, offset: i64, count: usize) -> Vec<String> {
        let text = |record: StoredRecord| String::from_utf8(record.value.unwrap()).unwrap();
        self.read(topic, partition, offset, count).into_iter().map(text).collect()
    }

    fn positions_become(&self, connector: &str, expected: &[(&[u8], &[u8])]) {
        let connector = self.name(connector);
        let mut expected = entries(expected);
        expected.sort_by(|a, b| a.partition.cmp(&b.partition));
        wait_until(&format!("positions of `{connector}` to be {expected:?}"), WITHIN, || {
            let mut found = self.log.positions(&connector).unwrap();
            found.sort_by(|a, b| a.partition.cmp(&b.partition));
            found == expected
        });
    }
}

fn within(wait: Duration) -> ReadLimits {
    ReadLimits { max_records: 10_000, max_bytes: 64 << 20, wait }
}

fn batch(records: &[Plain<'_>]) -> Batch {
    let mut builder = BatchBuilder::default();
    records.iter().for_each(|(key, value, headers, timestamp)| builder.push(*key, *value, headers, *timestamp));
    builder.build()
}

fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> Batch {
    let now = now_ms();
    batch(&values.into_iter().map(|value| (None, Some(value.as_bytes()), &[][..], now)).collect::<Vec<_>>())
}

fn appends<const N: usize>(batches: [(&str, Batch); N]) -> Commit {
    Commit { appends: batches.map(|(topic, batch)| (topic.to_owned(), batch)).into(), ..Commit::default() }
}

fn entries(positions: &[(&[u8], &[u8])]) -> Vec<PositionEntry> {
    let entry = |(partition, position): &(&[u8], &[u8])| PositionEntry {
        partition: partition.to_vec(),
        position: position.to_vec(),
    };
    positions.iter().map(entry).collect()
}

fn positions(positions: &[(&[u8], &[u8])]) -> Commit {
    Commit { positions: entries(positions), ..Commit::default() }
}

fn refused<T>(result: host::error::Result<T>, class: ErrorClass) -> Error {
    let error = result.err().expect("an error");
    assert_eq!(error.class(), class, "{error}");
    error
}
