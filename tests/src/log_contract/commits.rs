//! Commits: positions and group offsets go with the records, all of it or nothing, by one writer.

use super::{MissingTopics, Trial, WITHIN, appends, entries, positions, refused, texts};
use crate::wait_until;
use host::error::ErrorClass;
use host::ports::log::{Commit, GroupOffset, WriterId};

pub(super) fn positions_are_replaced_partition_by_partition(t: &Trial<'_>) {
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

pub(super) fn positions_may_be_any_bytes(t: &Trial<'_>) {
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

pub(super) fn group_offsets_are_replaced_partition_by_partition(t: &Trial<'_>) {
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

pub(super) fn nothing_is_visible_of_a_failed_commit(t: &Trial<'_>) {
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

pub(super) fn a_newer_writer_fences_the_older(t: &Trial<'_>) {
    let topic = t.topic("t", 1);
    let mut older = t.writer("c");
    let at = |value: &str, position: &[u8]| Commit {
        positions: entries(&[(b"p", position)]),
        ..appends([(&topic, texts([value]))])
    };
    older.commit(&at("a", b"1")).unwrap();
    let mut newer = t.writer("c");
    refused(older.commit(&at("from the grave", b"9")), ErrorClass::Config);
    newer.commit(&at("b", b"2")).unwrap();
    refused(older.commit(&at("from the grave", b"9")), ErrorClass::Config);
    // Another connector and another task are not in its way.
    t.writer("other").commit(&appends([(&topic, texts(["c"]))])).unwrap();
    t.log.writer(&WriterId { connector: t.name("c"), task: 1 }).unwrap();
    newer.commit(&at("d", b"3")).unwrap();
    assert_eq!(t.values(&topic, 0, 0, 4), ["a", "b", "c", "d"]);
    t.positions_become("c", &[(b"p", b"3")]);
}
