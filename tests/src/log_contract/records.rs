//! Records: what is written comes back, in its order, in the partition of its key.

use super::{Plain, Trial, appends, batch, texts};
use host::ports::log::partition_of;
use host::record::now_ms;

pub(super) fn records_come_back_byte_for_byte(t: &Trial<'_>) {
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

pub(super) fn records_keep_their_order_and_offsets_grow(t: &Trial<'_>) {
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

pub(super) fn one_commit_fills_several_topics(t: &Trial<'_>) {
    let (one, two) = (t.topic("one", 1), t.topic("two", 1));
    let batches = [(one.as_str(), texts(["a"])), (&two, texts(["b", "c"])), (&one, texts(["d"]))];
    t.writer("c").commit(&appends(batches)).unwrap();
    assert_eq!(t.values(&one, 0, 0, 2), ["a", "d"]);
    assert_eq!(t.values(&two, 0, 0, 2), ["b", "c"]);
}

pub(super) fn writers_of_several_connectors_write_at_once(t: &Trial<'_>) {
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

pub(super) fn the_same_key_goes_where_kafka_puts_it(t: &Trial<'_>) {
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
