//! Topics: made, listed, deleted, trimmed, and names that cannot be.

use super::{MissingTopics, Trial, WITHIN, appends, refused, texts};
use crate::wait_until;
use host::error::ErrorClass;
use host::ports::log::{Commit, GroupOffset, TopicSpec};

pub(super) fn a_topic_is_made_once_listed_and_deleted(t: &Trial<'_>) {
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

pub(super) fn a_deleted_topic_begins_anew(t: &Trial<'_>) {
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

pub(super) fn a_topic_name_that_cannot_be_is_refused(t: &Trial<'_>) {
    let long = "a".repeat(250);
    for name in ["", ".", "..", "with space", "with/slash", "Überschrift", "line\nbreak", &long] {
        let error = refused(t.log.create_topic(name, TopicSpec::default()), ErrorClass::Config);
        let (text, escaped) = (error.to_string(), name.escape_debug().to_string());
        assert!(text.contains(name) || text.contains(&escaped), "{text}");
    }
}

pub(super) fn trimming_removes_the_beginning(t: &Trial<'_>) {
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
