//! Readers: where they begin, what they wait for, and when they have seen the end.

use super::{MissingTopics, Trial, WITHIN, appends, refused, texts, within};
use crate::wait_until;
use host::error::ErrorClass;
use host::ports::log::ReadLimits;
use std::sync::mpsc::channel;
use std::time::Duration;

pub(super) fn a_reader_begins_in_the_middle(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    t.writer("c").commit(&appends([(&topic, texts(["a", "b", "c", "d"]))])).unwrap();
    assert_eq!(t.values(&topic, 0, 2, 2), ["c", "d"]);
    assert_eq!(t.read(&topic, 0, 3, 1)[0].offset, 3);
}

pub(super) fn a_reader_from_beyond_the_end_gives_nothing_old(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    let mut writer = t.writer("c");
    writer.commit(&appends([(&topic, texts(["a", "b"]))])).unwrap();
    assert_eq!(t.values(&topic, 0, 0, 2), ["a", "b"]);
    let (_, high) = t.marks(&topic).unwrap()[0];
    let mut reader = t.reader(&topic, 0, high + 100);
    assert_eq!(reader.next(within(Duration::from_secs(1))).unwrap(), []);
}

pub(super) fn a_reader_keeps_its_limits(t: &Trial<'_>) {
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

pub(super) fn a_reader_waits_for_records_that_arrive(t: &Trial<'_>) {
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

pub(super) fn a_reader_is_past_the_end_once_it_has_read_it(t: &Trial<'_>) {
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

pub(super) fn a_reader_is_not_past_what_came_after_it_reached_the_end(t: &Trial<'_>) {
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

pub(super) fn a_missing_partition_is_refused(t: &Trial<'_>) {
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
