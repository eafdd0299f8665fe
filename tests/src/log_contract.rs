//! The contract of `host::ports::log::Log` as cases that any log must pass: the embedded log in
//! `tests/all`, a real Apache Kafka in `tests/systems`.
//!
//! Every case makes topics and connectors of its own, named `<prefix>-<case>…`, so that a suite may
//! run against a log that others use, and cases may run at the same time. What becomes visible is
//! waited for: Kafka's coordinator answers a commit before its marks have reached every partition.

use crate::wait_until;
use host::error::{Error, ErrorClass};
use host::ports::log::{
    Commit, GroupOffset, Log, LogReader, LogWriter, PositionEntry, ReadLimits, StoredRecord, TopicSpec, WriterId,
    partition_of,
};
use host::record::{Batch, BatchBuilder, now_ms};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::channel;
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
        let short: String = self.name.split('_').map(|word| &word[..word.len().min(3)]).collect();
        (self.run)(&Trial { log, prefix: format!("{topic_prefix}-{short}"), missing });
    }
}

/// All promises.
pub fn cases() -> Vec<Case> {
    macro_rules! cases {
        ($($name:ident),* $(,)?) => { vec![$(Case { name: stringify!($name), run: $name }),*] };
    }
    cases![
        a_topic_is_made_once_listed_and_deleted,
        a_deleted_topic_begins_anew,
        a_topic_name_that_cannot_be_is_refused,
        records_come_back_byte_for_byte,
        records_keep_their_order_and_offsets_grow,
        one_commit_fills_several_topics,
        positions_are_replaced_partition_by_partition,
        positions_may_be_any_bytes,
        group_offsets_are_replaced_partition_by_partition,
        nothing_is_visible_of_a_failed_commit,
        a_newer_writer_fences_the_older,
        writers_of_several_connectors_write_at_once,
        a_reader_begins_in_the_middle,
        a_reader_from_beyond_the_end_gives_nothing_old,
        a_reader_keeps_its_limits,
        a_reader_waits_for_records_that_arrive,
        a_reader_is_past_the_end_once_it_has_read_it,
        a_reader_is_not_past_what_came_after_it_reached_the_end,
        a_missing_partition_is_refused,
        the_same_key_goes_where_kafka_puts_it,
        trimming_removes_the_beginning,
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

fn a_topic_is_made_once_listed_and_deleted(t: &Trial<'_>) {
    let name = t.topic("t", 3);
    assert!(!t.log.create_topic(&name, TopicSpec::default()).unwrap(), "made twice");
    assert_eq!(t.marks(&name), Some(vec![(0, 0); 3]));
    assert!(t.log.delete_topic(&name).unwrap());
    wait_until("the topic to be gone", WITHIN, || t.marks(&name).is_none());
    assert!(!t.log.delete_topic(&name).unwrap(), "deleted twice");
    if t.missing == MissingTopics::Refused {
        refused(t.log.reader(&name, 0, 0), ErrorClass::Config);
    }
}

fn a_deleted_topic_begins_anew(t: &Trial<'_>) {
    let (name, group) = (t.topic("t", 1), t.name("group"));
    let offset = GroupOffset { group: group.clone(), topic: name.clone(), partition: 0, next: 2 };
    let commit = Commit { group_offsets: vec![offset], ..appends([(&name, texts(["old", "older"]))]) };
    t.writer("c").commit(&commit).unwrap();
    assert_eq!(t.values(&name, 0, 0, 2), ["old", "older"]);
    assert!(t.log.delete_topic(&name).unwrap());
    wait_until("the topic to be gone", WITHIN, || t.marks(&name).is_none());
    wait_until("the topic to be made anew", WITHIN, || t.log.create_topic(&name, TopicSpec::default()).unwrap());
    wait_until("the topic to be listed", WITHIN, || t.marks(&name).is_some());
    t.writer("c").commit(&appends([(&name, texts(["new"]))])).unwrap();
    let records = t.read(&name, 0, 0, 1);
    assert_eq!((records[0].offset, records[0].value.as_deref()), (0, Some(&b"new"[..])));
    wait_until("the group to be forgotten", WITHIN, || t.log.group_offsets(&group, &name).unwrap().is_empty());
}

fn a_topic_name_that_cannot_be_is_refused(t: &Trial<'_>) {
    let long = "a".repeat(250);
    for name in ["", ".", "..", "with space", "with/slash", "Überschrift", "line\nbreak", &long] {
        let error = refused(t.log.create_topic(name, TopicSpec::default()), ErrorClass::Config);
        let (text, escaped) = (error.to_string(), name.escape_debug().to_string());
        assert!(text.contains(name) || text.contains(&escaped), "{text}");
    }
}

fn records_come_back_byte_for_byte(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    let now = now_ms();
    // Below the 1,000,000 bytes that librdkafka takes for a record with its frame by default.
    let large: Vec<u8> = (0..990_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let every_byte: Vec<u8> = (0..=255).collect();
    let any_bytes = [("bytes", Some(&every_byte[..]))];
    let written: Vec<Plain<'_>> = vec![
        (None, Some(b"no key"), &[], now),
        (Some(b"tombstone"), None, &[], now - 1),
        (None, None, &[], now),
        (Some(b"empty value"), Some(b""), &[], now),
        (Some(b""), Some(b"empty key"), &[], now),
        (Some(&every_byte), Some(&every_byte), &any_bytes, now),
        (Some(b"k"), Some(b"v"), &[("null", None), ("empty", Some(b"")), ("größe 📏", Some(b"1"))], now),
        (Some(b"k"), Some(b"v"), &[("twice", Some(b"1")), ("twice", Some(b"2"))], now),
        (None, Some("zażółć 日本".as_bytes()), &[], now),
        (None, Some(b"long ago"), &[], 979_516_800_000),
        (None, Some(b"soon"), &[], now + 60_000),
        (Some(b"large"), Some(&large), &[], now),
        (None, Some(b"last"), &[], now),
    ];
    t.writer("c").commit(&appends([(&topic, batch(&written))])).unwrap();
    let read = t.read(&topic, 0, 0, written.len());
    for (index, (record, (key, value, headers, timestamp))) in read.iter().zip(&written).enumerate() {
        let label = format!("record {index}");
        assert!(record.key.as_deref() == *key, "{label}: key {:?}", record.key);
        assert!(record.value.as_deref() == *value, "{label}: value differs");
        let found: Vec<_> = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(found, *headers, "{label}: headers");
        assert_eq!(record.timestamp, *timestamp, "{label}: timestamp");
        assert_eq!(record.partition, 0, "{label}");
    }
}

fn records_keep_their_order_and_offsets_grow(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    let mut writer = t.writer("c");
    let names: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for part in names.chunks(100) {
        writer.commit(&appends([(&topic, texts(part.iter().map(String::as_str)))])).unwrap();
    }
    let records = t.read(&topic, 0, 0, 1000);
    let values: Vec<_> = records.iter().map(|r| String::from_utf8(r.value.clone().unwrap()).unwrap()).collect();
    assert_eq!(values, names);
    assert_eq!(records[0].offset, 0);
    assert!(records.windows(2).all(|pair| pair[0].offset < pair[1].offset), "offsets do not grow");
    let (low, high) = t.marks(&topic).unwrap()[0];
    assert_eq!(low, 0);
    assert!(high > records[999].offset, "high {high}, last offset {}", records[999].offset);
}

fn one_commit_fills_several_topics(t: &Trial<'_>) {
    let (one, two) = (t.topic("one", 1), t.topic("two", 1));
    let batches = [(one.as_str(), texts(["a"])), (&two, texts(["b", "c"])), (&one, texts(["d"]))];
    t.writer("c").commit(&appends(batches)).unwrap();
    assert_eq!(t.values(&one, 0, 0, 2), ["a", "d"]);
    assert_eq!(t.values(&two, 0, 0, 2), ["b", "c"]);
}

fn positions_are_replaced_partition_by_partition(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    let (one, two): (&[u8], &[u8]) = (br##"{"channel":"#one"}"##, br##"{"channel":"#two"}"##);
    assert_eq!(t.log.positions(&t.name("never")).unwrap(), []);
    let mut writer = t.writer("c");
    let first = [(one, &br#"{"at":1}"#[..]), (two, br#"{"at":2}"#)];
    writer.commit(&Commit { positions: entries(&first), ..appends([(&topic, texts(["a"]))]) }).unwrap();
    t.positions_become("c", &first);
    writer.commit(&positions(&[(one, br#"{"at":3}"#)])).unwrap();
    t.positions_become("c", &[(one, br#"{"at":3}"#), (two, br#"{"at":2}"#)]);
    // Those of another connector are its own, and outlive its writer.
    t.writer("other").commit(&positions(&[(one, br#"{"at":9}"#)])).unwrap();
    drop(writer);
    t.positions_become("other", &[(one, br#"{"at":9}"#)]);
    t.positions_become("c", &[(one, br#"{"at":3}"#), (two, br#"{"at":2}"#)]);
}

fn positions_may_be_any_bytes(t: &Trial<'_>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let odd: [(&[u8], &[u8]); 6] = [
        (b"", b""),
        (b"\xff\x00", &every_byte),
        (b"{ \"spaced\" : 1 }", b"{\"b\":1,\"a\":2}"),
        (b"[1,2]", b"null"),
        (br#"{"host.hex":"00"}"#, br#"{"host.hex":"zz"}"#),
        (r#"{"größe":"📏"}"#.as_bytes(), b"{\"big\":1e400}"),
    ];
    t.writer("c").commit(&positions(&odd)).unwrap();
    t.positions_become("c", &odd);
}

fn group_offsets_are_replaced_partition_by_partition(t: &Trial<'_>) {
    let (topic, group) = (t.topic("t", 3), t.name("group"));
    let offset = |partition, next| GroupOffset { group: group.clone(), topic: topic.clone(), partition, next };
    let become_these = |expected: Vec<GroupOffset>| {
        wait_until("group offsets", WITHIN, || {
            let mut found = t.log.group_offsets(&group, &topic).unwrap();
            found.sort_by_key(|offset| offset.partition);
            found == expected
        });
    };
    assert_eq!(t.log.group_offsets(&group, &topic).unwrap(), []);
    let mut writer = t.writer("c");
    let commit = Commit {
        group_offsets: vec![offset(0, 1), offset(2, 5)],
        positions: entries(&[(b"p", b"1")]),
        ..appends([(&topic, texts(["a"]))])
    };
    writer.commit(&commit).unwrap();
    become_these(vec![offset(0, 1), offset(2, 5)]);
    writer.commit(&Commit { group_offsets: vec![offset(2, 7)], ..Commit::default() }).unwrap();
    become_these(vec![offset(0, 1), offset(2, 7)]);
    t.positions_become("c", &[(b"p", b"1")]);
    assert_eq!(t.log.group_offsets(&t.name("another"), &topic).unwrap(), []);
}

fn nothing_is_visible_of_a_failed_commit(t: &Trial<'_>) {
    let (topic, group, missing) = (t.topic("t", 1), t.name("group"), t.name("missing"));
    let mut writer = t.writer("c");
    writer.commit(&Commit { positions: entries(&[(b"p", b"1")]), ..appends([(&topic, texts(["a"]))]) }).unwrap();
    let offset = GroupOffset { group: group.clone(), topic: topic.clone(), partition: 0, next: 1 };
    let doomed = Commit {
        positions: entries(&[(b"p", b"2"), (b"q", b"1")]),
        group_offsets: vec![offset],
        ..appends([(&topic, texts(["doomed"])), (&missing, texts(["x"])), (&topic, texts(["doomed"]))])
    };
    let made = writer.commit(&doomed).is_ok();
    assert!(!made || t.missing == MissingTopics::MayBeMade, "a commit to a topic that is not there held");
    if made {
        assert_eq!(t.values(&missing, 0, 0, 1), ["x"]);
        return;
    }
    assert!(t.marks(&missing).is_none() || t.missing == MissingTopics::MayBeMade);
    // The same writer goes on, and only then is it sure that nothing comes late.
    writer.commit(&appends([(&topic, texts(["b"]))])).unwrap();
    assert_eq!(t.values(&topic, 0, 0, 2), ["a", "b"]);
    t.positions_become("c", &[(b"p", b"1")]);
    assert_eq!(t.log.group_offsets(&group, &topic).unwrap(), []);
}

fn a_newer_writer_fences_the_older(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    let mut older = t.writer("c");
    let at = |value: &str, position: &[u8]| Commit {
        positions: entries(&[(b"p", position)]),
        ..appends([(&topic, texts([value]))])
    };
    older.commit(&at("a", b"1")).unwrap();
    let mut newer = t.writer("c");
    refused(older.commit(&at("from the grave", b"9")), ErrorClass::Bug);
    newer.commit(&at("b", b"2")).unwrap();
    refused(older.commit(&at("from the grave", b"9")), ErrorClass::Bug);
    // Another connector and another task are not in its way.
    t.writer("other").commit(&appends([(&topic, texts(["c"]))])).unwrap();
    t.log.writer(&WriterId { connector: t.name("c"), task: 1 }).unwrap();
    newer.commit(&at("d", b"3")).unwrap();
    assert_eq!(t.values(&topic, 0, 0, 4), ["a", "b", "c", "d"]);
    t.positions_become("c", &[(b"p", b"3")]);
}

fn writers_of_several_connectors_write_at_once(t: &Trial<'_>) {
    const WRITERS: usize = 4;
    const COMMITS: usize = 10;
    let topic = t.topic("t", 1);
    std::thread::scope(|scope| {
        for number in 0..WRITERS {
            let (topic, mut writer) = (&topic, t.writer(&format!("c{number}")));
            scope.spawn(move || {
                for round in 0..COMMITS {
                    writer.commit(&appends([(topic, texts([format!("{number} {round:02}").as_str()]))])).unwrap();
                }
            });
        }
    });
    let mut found = t.values(&topic, 0, 0, WRITERS * COMMITS);
    // Stable, so that each writer's own order shows.
    found.sort_by_key(|value| value.split(' ').next().map(str::to_owned));
    let expected = (0..WRITERS).flat_map(|n| (0..COMMITS).map(move |round| format!("{n} {round:02}")));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

fn a_reader_begins_in_the_middle(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    t.writer("c").commit(&appends([(&topic, texts(["a", "b", "c", "d"]))])).unwrap();
    assert_eq!(t.values(&topic, 0, 2, 2), ["c", "d"]);
    assert_eq!(t.read(&topic, 0, 3, 1)[0].offset, 3);
}

fn a_reader_from_beyond_the_end_gives_nothing_old(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    let mut writer = t.writer("c");
    writer.commit(&appends([(&topic, texts(["a", "b"]))])).unwrap();
    assert_eq!(t.values(&topic, 0, 0, 2), ["a", "b"]);
    let (_, high) = t.marks(&topic).unwrap()[0];
    let mut reader = t.reader(&topic, 0, high + 100);
    assert_eq!(reader.next(within(Duration::from_secs(1))).unwrap(), []);
}

fn a_reader_keeps_its_limits(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    let (small, big) = ("x".repeat(10), "y".repeat(1000));
    t.writer("c").commit(&appends([(&topic, texts([&*small, &big, &small, &small]))])).unwrap();
    t.read(&topic, 0, 0, 4);
    let mut reader = t.reader(&topic, 0, 0);
    let mut next = |max_records, max_bytes| {
        let limits = ReadLimits { max_records, max_bytes, wait: WITHIN };
        reader.next(limits).unwrap().iter().map(|record| record.offset).collect::<Vec<_>>()
    };
    assert_eq!(next(1, 1 << 20), [0]);
    // One record is given whole, however large.
    assert_eq!(next(10, 1), [1]);
    assert_eq!(next(1, 1 << 20), [2]);
    assert_eq!(next(10, 1 << 20), [3]);
}

fn a_reader_waits_for_records_that_arrive(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    let mut writer = t.writer("c");
    let mut reader = t.reader(&topic, 0, 0);
    assert_eq!(reader.next(within(Duration::ZERO)).unwrap(), []);
    std::thread::scope(|scope| {
        let (began, beginning) = channel();
        let reading = scope.spawn(move || {
            began.send(()).unwrap();
            reader.next(within(WITHIN)).unwrap()
        });
        beginning.recv().unwrap();
        writer.commit(&appends([(&topic, texts(["late"]))])).unwrap();
        let records = reading.join().unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].value.as_deref(), Some(&b"late"[..]));
    });
}

fn a_reader_is_past_the_end_once_it_has_read_it(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    assert!(t.reader(&topic, 0, 0).is_past(0), "an empty partition is read to its end");
    t.writer("c").commit(&appends([(&topic, texts(["a", "b", "c"]))])).unwrap();
    t.read(&topic, 0, 0, 3);
    let (_, high) = t.marks(&topic).unwrap()[0];
    let mut reader = t.reader(&topic, 0, 0);
    assert!(!reader.is_past(1) && !reader.is_past(high), "nothing was read yet");
    let one = ReadLimits { max_records: 1, max_bytes: 1 << 20, wait: WITHIN };
    assert_eq!(reader.next(one).unwrap().len(), 1);
    assert!(reader.is_past(1) && !reader.is_past(2) && !reader.is_past(high), "one of three was read");
    wait_until("the reader to be past the high watermark", WITHIN, || {
        reader.next(within(Duration::from_millis(100))).unwrap();
        reader.is_past(high)
    });
}

fn a_reader_is_not_past_what_came_after_it_reached_the_end(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    let mut writer = t.writer("c");
    writer.commit(&appends([(&topic, texts(["a"]))])).unwrap();
    t.read(&topic, 0, 0, 1);
    let (_, high) = t.marks(&topic).unwrap()[0];
    let mut reader = t.reader(&topic, 0, 0);
    let mut read = 0;
    wait_until("the reader to be past the high watermark", WITHIN, || {
        read += reader.next(within(Duration::from_millis(100))).unwrap().len();
        reader.is_past(high)
    });
    writer.commit(&appends([(&topic, texts(["b"]))])).unwrap();
    wait_until("the watermark to move", WITHIN, || t.marks(&topic).unwrap()[0].1 > high);
    let (_, high) = t.marks(&topic).unwrap()[0];
    assert!(!reader.is_past(high), "past {high} after {read} of 2 records");
    wait_until("the reader to be past the new high watermark", WITHIN, || {
        read += reader.next(within(Duration::from_millis(100))).unwrap().len();
        reader.is_past(high)
    });
    assert_eq!(read, 2, "past the end without having read it");
}

fn a_missing_partition_is_refused(t: &Trial<'_>) {
    let topic = t.topic("t", 2);
    refused(t.log.reader(&topic, 2, 0), ErrorClass::Config);
    refused(t.log.trim(&topic, 2, 0), ErrorClass::Config);
    if t.missing == MissingTopics::Refused {
        let missing = t.name("missing");
        let error = refused(t.log.reader(&missing, 0, 0), ErrorClass::Config);
        assert!(error.to_string().contains(&missing), "{error}");
        refused(t.log.trim(&missing, 0, 0), ErrorClass::Config);
    }
}

fn the_same_key_goes_where_kafka_puts_it(t: &Trial<'_>) {
    // The first four from the vectors of Kafka's `UtilsTest.testMurmur2`: (hash & 0x7fffffff) % 3;
    // the others computed by the same rule outside of this program.
    let expected: [(&[u8], i32); 8] = [
        (b"21", 0),
        (b"foobar", 0),
        (b"a-little-bit-long-string", 2),
        (b"abc", 0),
        (b"#en.wikipedia", 2),
        (b"#de.wikipedia", 1),
        ("größe".as_bytes(), 2),
        (b"\xff\x00\x80", 1),
    ];
    for (key, partition) in expected {
        assert_eq!(partition_of(Some(key), 3), partition, "{key:?}");
    }
    let topic = t.topic("t", 3);
    let mut writer = t.writer("c");
    let now = now_ms();
    for round in ["first", "second"] {
        let records = expected.map(|(key, _)| (Some(key), Some(round.as_bytes()), &[][..], now));
        writer.commit(&appends([(&topic, batch(&records))])).unwrap();
    }
    for partition in 0..3 {
        let here: Vec<&[u8]> = expected.iter().filter(|(_, p)| *p == partition).map(|(key, _)| *key).collect();
        let found = t.read(&topic, partition, 0, here.len() * 2);
        let keys: Vec<&[u8]> = found.iter().map(|record| record.key.as_deref().unwrap()).collect();
        assert_eq!(keys, here.repeat(2), "partition {partition}");
    }
}

fn trimming_removes_the_beginning(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    t.writer("c").commit(&appends([(&topic, texts(["a", "b", "c", "d"]))])).unwrap();
    t.read(&topic, 0, 0, 4);
    let high = t.marks(&topic).unwrap()[0].1;
    t.log.trim(&topic, 0, 2).unwrap();
    wait_until("the low watermark to be 2", WITHIN, || t.marks(&topic).unwrap()[0] == (2, high));
    assert_eq!(t.values(&topic, 0, 0, 2), ["c", "d"], "a reader from before the first record begins with it");
    assert_eq!(t.values(&topic, 0, 3, 1), ["d"]);
    // Trimming is not undone, and offsets do not begin anew.
    t.log.trim(&topic, 0, 1).unwrap();
    assert_eq!(t.marks(&topic).unwrap()[0], (2, high));
    t.log.trim(&topic, 0, high).unwrap();
    wait_until("all to be trimmed", WITHIN, || t.marks(&topic).unwrap()[0] == (high, high));
    t.writer("c").commit(&appends([(&topic, texts(["e"]))])).unwrap();
    let records = t.read(&topic, 0, 0, 1);
    assert!(records[0].offset >= high, "offset {} after {high} were trimmed", records[0].offset);
}
