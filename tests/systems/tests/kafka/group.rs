//! Several members share the partitions of a topic, and hand them over.

use crate::support::{WITHIN, connect, kafka};
use host::error::ErrorClass;
use host::io::kafka::KafkaLog;
use host::ports::group::{GroupMember, Membership, Share, TopicPartition};
use host::ports::log::{Commit, GroupOffset, KafkaSettings, Log, TopicSpec};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tests::wait_until;

const PARTITIONS: i32 = 4;

fn join(bootstrap: &str, worker: &str, topic: &str, task: u32) -> Box<dyn GroupMember> {
    let settings = KafkaSettings { worker_id: Some(worker.to_owned()), ..KafkaSettings::new(bootstrap) };
    let log = KafkaLog::connect(settings).unwrap();
    let connector = format!("{topic}-sink");
    log.join(&Membership { connector, task, topics: vec![topic.to_owned()] }).unwrap().unwrap()
}

fn offset(topic: &str, partition: i32, next: i64) -> Commit {
    let (group, topic) = (format!("connect-{topic}-sink"), topic.to_owned());
    Commit { group_offsets: vec![GroupOffset { group, topic, partition, next }], ..Commit::default() }
}

/// Asks a member until its share is as wanted; whatever it is to give up it gives up.
fn ask(member: &mut dyn GroupMember, what: &str, mut is_wanted: impl FnMut(&Share) -> bool) -> Share {
    let mut share = Share::default();
    wait_until(what, WITHIN, || {
        share = member.share().unwrap();
        if is_wanted(&share) {
            return true;
        }
        if share.revoked.is_some() {
            member.release().unwrap();
        }
        false
    });
    share
}

fn has(count: usize) -> impl Fn(&Share) -> bool {
    move |share| share.assigned.len() == count && share.revoked.is_none()
}

#[test]
fn a_partition_is_given_to_another_member_when_the_first_says_so_and_not_before() {
    let Some(kafka) = kafka() else { return };
    let bootstrap = kafka.bootstrap();
    let topic = "group-shared";
    let log = connect(bootstrap);
    log.create_topic(topic, TopicSpec { partitions: PARTITIONS, ..TopicSpec::default() }).unwrap();
    let mut one = join(bootstrap, "one", topic, 0);
    let all = ask(one.as_mut(), "all partitions", has(4)).assigned;
    assert_eq!(all, (0..PARTITIONS).map(|partition| TopicPartition { topic: topic.to_owned(), partition }).collect());
    one.commit(&offset(topic, 0, 7)).unwrap();

    let mut two = join(bootstrap, "two", topic, 0);
    let revoked = ask(one.as_mut(), "something to give up", |share| share.revoked.is_some());
    let given = revoked.revoked.unwrap();
    assert_eq!((given.partitions.len(), given.is_lost, revoked.assigned.len()), (2, false, 2));
    // Still its own: what it finishes now can be committed.
    let at = given.partitions.first().unwrap().partition;
    one.commit(&offset(topic, at, 9)).unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(two.share().unwrap().assigned, BTreeSet::new(), "it was not given up yet");
        assert!(one.share().unwrap().revoked.is_some());
    }
    one.release().unwrap();
    let theirs = ask(two.as_mut(), "what was given up", |share| {
        one.share().unwrap();
        share.assigned.len() == 2
    });
    assert_eq!(theirs.assigned, given.partitions);
    assert_eq!(one.share().unwrap().assigned, revoked.assigned);

    let committed = log.group_offsets(&format!("connect-{topic}-sink"), topic).unwrap();
    let committed: Vec<_> = committed.iter().map(|offset| (offset.partition, offset.next)).collect();
    assert!(committed.contains(&(at, 9)), "{committed:?}");

    // One that is gone, in the middle of something or not, is replaced.
    drop(one);
    ask(two.as_mut(), "what the first had", has(4));
}

#[test]
fn a_member_that_ends_before_it_has_given_up_what_it_was_asked_for_holds_nobody_up() {
    let Some(kafka) = kafka() else { return };
    let bootstrap = kafka.bootstrap();
    let topic = "group-ends";
    connect(bootstrap).create_topic(topic, TopicSpec { partitions: PARTITIONS, ..TopicSpec::default() }).unwrap();
    let mut one = join(bootstrap, "one", topic, 0);
    ask(one.as_mut(), "all partitions", has(4));
    let mut two = join(bootstrap, "two", topic, 0);
    ask(one.as_mut(), "something to give up", |share| share.revoked.is_some());
    drop(one);
    ask(two.as_mut(), "all partitions", has(4));
}

#[test]
fn a_newer_life_has_its_partitions_at_once_and_an_older_one_commits_no_more() {
    let Some(kafka) = kafka() else { return };
    let bootstrap = kafka.bootstrap();
    let topic = "group-lives";
    connect(bootstrap).create_topic(topic, TopicSpec { partitions: PARTITIONS, ..TopicSpec::default() }).unwrap();
    let mut older = join(bootstrap, "one", topic, 0);
    ask(older.as_mut(), "all partitions", has(4));
    let mut newer = join(bootstrap, "one", topic, 0);
    ask(newer.as_mut(), "all partitions", has(4));
    newer.commit(&offset(topic, 1, 5)).unwrap();
    let mut ended = None;
    wait_until("the older one to end", WITHIN, || {
        ended = older.share().and_then(|_| older.commit(&offset(topic, 1, 3))).err().or_else(|| ended.take());
        ended.as_ref().is_some_and(|error| error.class() == ErrorClass::Config)
    });
    let said = ended.unwrap().to_string();
    assert!(said.contains("a newer writer has taken over"), "{said}");
    let committed = connect(bootstrap).group_offsets(&format!("connect-{topic}-sink"), topic).unwrap();
    assert_eq!(committed.iter().map(|offset| (offset.partition, offset.next)).collect::<Vec<_>>(), [(1, 5)]);
    ask(newer.as_mut(), "its partitions still", has(4));
}

#[test]
fn topics_and_members_that_come_later_are_seen() {
    let Some(kafka) = kafka() else { return };
    let bootstrap = kafka.bootstrap();
    let topic = "group-later";
    let mut first = join(bootstrap, "one", topic, 0);
    let mut second = join(bootstrap, "one", topic, 1);
    assert_eq!(first.share().unwrap(), Share::default());
    connect(bootstrap).create_topic(topic, TopicSpec { partitions: PARTITIONS, ..TopicSpec::default() }).unwrap();
    wait_until("two each", WITHIN, || {
        [first.as_mut(), second.as_mut()].into_iter().all(|member| {
            let share = member.share().unwrap();
            if share.revoked.is_some() {
                member.release().unwrap();
            }
            share.assigned.len() == 2
        })
    });
}

#[test]
fn a_member_whose_place_an_older_one_took_by_joining_again_takes_it_back() {
    let Some(kafka) = kafka() else { return };
    let bootstrap = kafka.bootstrap();
    let topic = "group-stolen";
    connect(bootstrap).create_topic(topic, TopicSpec { partitions: PARTITIONS, ..TopicSpec::default() }).unwrap();
    let mut member = join(bootstrap, "one", topic, 0);
    ask(member.as_mut(), "all partitions", has(4));
    // As an older one does that the group has forgotten: it joins under the same name, without a newer writer.
    let older: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", format!("connect-{topic}-sink"))
        .set("group.instance.id", format!("one_2f_{topic}-sink_2f_0"))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()
        .unwrap();
    older.subscribe(&[topic]).unwrap();
    let mut told = None;
    wait_until("the member to lose its place", WITHIN, || {
        older.poll(Duration::from_millis(10));
        told = member.share().err();
        told.is_some()
    });
    let told = told.unwrap();
    assert_eq!(told.class(), ErrorClass::Retry, "{told}");
    let lost = member.share().unwrap().revoked.unwrap();
    assert_eq!((lost.partitions.len(), lost.is_lost), (4, true));
    ask(member.as_mut(), "all partitions again", |share| {
        older.poll(Duration::from_millis(10));
        has(4)(share)
    });
    wait_until("the older one to hear of it", WITHIN, || {
        older.poll(Duration::from_millis(10));
        older.client().fatal_error().is_some_and(|(code, _)| code == RDKafkaErrorCode::FencedInstanceId)
    });
    assert!(has(4)(&member.share().unwrap()));
}
