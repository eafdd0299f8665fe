//! The task of a sink at moments that no whole pipeline meets at will: the topic grew between two questions, a
//! newer task took over while the target was out of reach, and its group wants a partition back.

use host::connector::{Assigned, Rejected, Retries, Sink, TopicPartition};
use host::error::{Error, Result};
use host::io::embedded::EmbeddedLog;
use host::ports::group::{GroupMember, Membership, Revoked, Share};
use host::ports::log::{
    Commit, GroupOffset, Log, LogReader, LogWriter, PositionEntry, StoredRecord, TopicInfo, TopicSpec, WriterId,
};
use host::task::{SinkSettings, SinkTask, Stop, Task, TaskStats};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::tempdir;
use tests::spool::{RECORDS, WITHIN, write_records};
use tests::wait_until;

const CONNECTOR: &str = "sink";

/// The embedded log, whose first answer about a topic is one from before its last records.
struct Late {
    log: EmbeddedLog,
    is_late: AtomicBool,
    group: Option<Arc<Group>>,
}

impl Log for Late {
    fn describe(&self) -> String {
        self.log.describe()
    }

    fn id(&self) -> Result<String> {
        self.log.id()
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.log.topics()
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        let mut found = self.log.topic(name)?;
        if self.is_late.swap(false, Ordering::SeqCst) {
            let partitions = found.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.for_each(|marks| marks.high /= 2);
        }
        Ok(found)
    }

    fn create_topic(&self, name: &str, spec: TopicSpec) -> Result<bool> {
        self.log.create_topic(name, spec)
    }

    fn delete_topic(&self, name: &str) -> Result<bool> {
        self.log.delete_topic(name)
    }

    fn writer(&self, id: &WriterId) -> Result<Box<dyn LogWriter>> {
        self.log.writer(id)
    }

    fn join(&self, membership: &Membership) -> Result<Option<Box<dyn GroupMember>>> {
        let Some(group) = &self.group else { return Ok(None) };
        assert_eq!(membership.group(), "connect-sink");
        Ok(Some(Box::new(Member(Arc::clone(group)))))
    }

    fn reader(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn LogReader>> {
        self.log.reader(topic, partition, offset)
    }

    fn group_offsets(&self, group: &str, topic: &str) -> Result<Vec<GroupOffset>> {
        self.log.group_offsets(group, topic)
    }

    fn positions(&self, connector: &str) -> Result<Vec<PositionEntry>> {
        self.log.positions(connector)
    }

    fn trim(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        self.log.trim(topic, partition, offset)
    }
}

/// A group of one, and what its member did, in order.
#[derive(Default)]
struct Group {
    share: Mutex<Share>,
    target: Arc<Target>,
}

impl Group {
    fn of(target: &Arc<Target>) -> Arc<Self> {
        let share = Share { assigned: [0, 1].map(partition).into(), revoked: None };
        Arc::new(Group { share: Mutex::new(share), target: Arc::clone(target) })
    }

    fn revoke(&self, number: i32, is_lost: bool) {
        let mut share = self.share.lock().unwrap();
        assert!(share.assigned.remove(&partition(number)));
        share.revoked = Some(Revoked { partitions: [partition(number)].into(), is_lost });
    }
}

struct Member(Arc<Group>);

impl GroupMember for Member {
    fn share(&mut self) -> Result<Share> {
        Ok(self.0.share.lock().unwrap().clone())
    }

    fn release(&mut self) -> Result<()> {
        self.0.target.note("member released".to_owned());
        self.0.share.lock().unwrap().revoked = None;
        Ok(())
    }
}

impl LogWriter for Member {
    fn commit(&mut self, commit: &Commit) -> Result<()> {
        let offsets = commit.group_offsets.iter();
        offsets.for_each(|offset| self.0.target.note(format!("committed {} up to {}", offset.partition, offset.next)));
        Ok(())
    }
}

fn partition(partition: i32) -> TopicPartition {
    TopicPartition { topic: RECORDS.to_owned(), partition }
}

/// What a target holds, and whether it can be reached.
#[derive(Default)]
struct Target {
    did: Mutex<Vec<String>>,
    start: Option<i64>,
    offsets: Mutex<BTreeMap<i32, Vec<i64>>>,
    is_out_of_reach: AtomicBool,
    is_unable_to_finish: AtomicBool,
}

impl Target {
    fn note(&self, what: String) {
        self.did.lock().unwrap().push(what);
    }

    fn offsets(&self, partition: i32) -> Vec<i64> {
        self.offsets.lock().unwrap().get(&partition).cloned().unwrap_or_default()
    }
}

/// Makes safe what was put, when asked for everything.
struct Keeps(Arc<Target>, BTreeMap<i32, i64>);

impl Sink for Keeps {
    fn assign(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> Result<Vec<Assigned>> {
        self.1.retain(|number, _| partitions.iter().all(|(at, _)| at.partition != *number));
        Ok(partitions.iter().map(|_| Assigned::From(self.0.start)).collect())
    }

    fn put(&mut self, at: &TopicPartition, records: &[StoredRecord]) -> Result<()> {
        let mut offsets = self.0.offsets.lock().unwrap();
        offsets.entry(at.partition).or_default().extend(records.iter().map(|record| record.offset));
        Ok(())
    }

    fn take_rejects(&mut self) -> Vec<(String, Rejected)> {
        Vec::new()
    }

    fn flush(&mut self, all: bool) -> Result<()> {
        let is_unable = all && self.0.is_unable_to_finish.load(Ordering::SeqCst);
        if is_unable || self.0.is_out_of_reach.load(Ordering::SeqCst) {
            return Err(Error::retry("out of reach"));
        }
        if all {
            let offsets = self.0.offsets.lock().unwrap();
            self.1 = offsets.iter().filter_map(|(at, offsets)| Some((*at, offsets.last()? + 1))).collect();
        }
        Ok(())
    }

    fn safe_offset(&self, at: &TopicPartition) -> Option<i64> {
        self.1.get(&at.partition).copied()
    }

    fn release(&mut self, partitions: &BTreeSet<TopicPartition>) {
        partitions.iter().for_each(|at| self.0.note(format!("sink released {}", at.partition)));
    }

    fn close(&mut self) {}
}

/// Runs a task on ten records until it ends by itself or `is_enough`, and returns how it ended.
fn run(
    dir: &Path,
    is_late: bool,
    group: Option<&Arc<Group>>,
    target: &Arc<Target>,
    is_enough: impl Fn(&dyn Log, &TaskStats) -> bool,
) -> Result<()> {
    let log = EmbeddedLog::open(dir, None).unwrap();
    write_records(&log, RECORDS, if group.is_some() { 2 } else { 1 }, 0..10);
    let log: Arc<dyn Log> = Arc::new(Late { log, is_late: AtomicBool::new(is_late), group: group.cloned() });
    let settings = SinkSettings {
        connector: CONNECTOR.to_owned(),
        task: 0,
        num_tasks: 1,
        topics: vec![RECORDS.to_owned()],
        dead_letter_topic: None,
        label: "test".to_owned(),
        batch_records: 100,
        batch_bytes: 1 << 20,
        retries: Retries { delay_max: Duration::from_millis(20), timeout: None },
        tolerance: host::connector::Tolerance::All { max_ratio: None },
    };
    let given = Arc::clone(target);
    let make = Box::new(move || Ok(Box::new(Keeps(Arc::clone(&given), BTreeMap::new())) as Box<dyn Sink>));
    let task = SinkTask { settings, log: Arc::clone(&log), make };
    let (stop, stats) = (&Stop::default(), &TaskStats::default());
    std::thread::scope(|scope| {
        let running = scope.spawn(move || task.run(stop, stats, false));
        wait_until("enough, or the end", WITHIN, || running.is_finished() || is_enough(&*log, stats));
        stop.ask(Duration::ZERO);
        running.join().unwrap()
    })
}

#[test]
fn a_target_that_is_ahead_of_an_old_answer_about_the_topic_goes_on() {
    let dir = tempdir().unwrap();
    let target = Arc::new(Target { start: Some(8), ..Target::default() });
    run(dir.path(), true, None, &target, |_, _| target.offsets(0).len() == 2).unwrap();
    assert_eq!(target.offsets(0), [8, 9]);
}

#[test]
fn a_target_that_is_ahead_of_the_topic_itself_is_refused() {
    let dir = tempdir().unwrap();
    let target = Arc::new(Target { start: Some(11), ..Target::default() });
    let error = run(dir.path(), true, None, &target, |_, _| false).unwrap_err();
    let found = "topic `wikipedia` partition 0 ends at offset 10, the sink has written up to offset 11";
    assert_eq!(error.to_string(), found);
}

#[test]
fn a_task_that_has_committed_nothing_yet_learns_in_its_trouble_that_a_newer_one_took_over() {
    let dir = tempdir().unwrap();
    let target = Arc::new(Target { is_out_of_reach: AtomicBool::new(true), ..Target::default() });
    let taken = AtomicBool::new(false);
    let error = run(dir.path(), false, None, &target, |log, stats| {
        if stats.counts().retries > 0 && !taken.swap(true, Ordering::SeqCst) {
            log.writer(&WriterId { connector: CONNECTOR.to_owned(), task: 0 }).unwrap();
        }
        false
    })
    .unwrap_err();
    assert!(error.to_string().contains("a newer writer (epoch 2) has taken over from epoch 1"), "{error}");
}

/// Runs a task whose group takes one of its two partitions back once all was put, until that is given up and
/// `is_enough`.
fn revoked(is_lost: bool, is_unable_to_finish: bool, is_enough: impl Fn(&Target) -> bool) -> Arc<Target> {
    let dir = tempdir().unwrap();
    let target = Arc::new(Target::default());
    let group = Group::of(&target);
    let asked = AtomicBool::new(false);
    run(dir.path(), false, Some(&group), &target, |_, _| {
        if num_put(&target) == 10 && !asked.swap(true, Ordering::SeqCst) {
            target.is_unable_to_finish.store(is_unable_to_finish, Ordering::SeqCst);
            group.revoke(1, is_lost);
        }
        let is_given_up = target.did.lock().unwrap().iter().any(|did| did == "member released");
        if is_given_up {
            target.is_unable_to_finish.store(false, Ordering::SeqCst);
        }
        is_given_up && is_enough(&target)
    })
    .unwrap();
    assert!(!target.offsets(0).is_empty() && !target.offsets(1).is_empty(), "nothing in one of the partitions");
    target
}

fn num_put(target: &Target) -> usize {
    target.offsets.lock().unwrap().values().map(Vec::len).sum()
}

/// What was done before the member said that it had given up.
fn done_before(target: &Target) -> Vec<String> {
    let did = target.did.lock().unwrap();
    did.iter().take_while(|did| *did != "member released").cloned().collect()
}

#[test]
fn what_is_revoked_is_finished_and_committed_before_it_is_given_up() {
    let target = revoked(false, false, |_| true);
    let [kept, given] = [0, 1].map(|partition| target.offsets(partition).len());
    let expected =
        [format!("committed 0 up to {kept}"), format!("committed 1 up to {given}"), "sink released 1".to_owned()];
    assert_eq!(done_before(&target), expected);
}

#[test]
fn what_is_revoked_and_cannot_be_finished_is_dropped_and_all_else_is_read_again() {
    let target = revoked(false, true, |target| num_put(target) > 10);
    assert_eq!(done_before(&target), ["sink released 1"]);
    let (kept, given) = (target.offsets(0), target.offsets(1));
    // The sink forgot what it was given: a file that began where it is safe would lack these.
    let (first, again) = kept.split_at(10 - given.len());
    assert_eq!(first, again);
}

#[test]
fn what_is_lost_is_dropped_and_all_else_goes_on() {
    let target = revoked(true, false, |_| true);
    assert_eq!(done_before(&target), ["sink released 1"]);
    assert_eq!(num_put(&target), 10);
}
