//! The real `SinkTask` on the real embedded log, with a target that does what a random script says: the
//! offsets that its group commits are never ahead of what is safe, never go back, and end at the end.

use host::connector::{Assigned, Rejected, Sink, Tolerance, TopicPartition};
use host::error::{Error, Result};
use host::io::embedded::EmbeddedLog;
use host::ports::log::{
    Commit, GroupOffset, Log, LogReader, LogWriter, PositionEntry, ReadLimits, StoredRecord, TopicInfo, TopicSpec,
    WriterId,
};
use host::record::BatchBuilder;
use host::task::{Retries, SinkSettings, SinkTask, Stop, Task, TaskStats};
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TOPIC: &str = "topic";
const WITHIN: Duration = Duration::from_secs(30);

/// What a flush does.
#[derive(Debug, Clone, Copy)]
enum Flush {
    Nothing,
    /// Makes this many records safe at most.
    Some(usize),
    /// Fails, having made this many safe.
    Fails(usize),
    /// The instance dies, having made this many safe.
    Dies(usize),
}

/// What a commit does.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Comes,
    /// Lost: was it made?
    Lost(bool),
}

fn flush() -> impl Strategy<Value = Flush> {
    prop_oneof![
        Just(Flush::Nothing),
        (1..20usize).prop_map(Flush::Some),
        (0..20usize).prop_map(Flush::Fails),
        (0..20usize).prop_map(Flush::Dies),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![Just(Answer::Comes), any::<bool>().prop_map(Answer::Lost)]
}

/// What is in the target, what is still to happen, and what should not have.
#[derive(Default)]
struct Target {
    safe: i64,
    /// What the living sink knows of that.
    known: i64,
    offsets: Vec<i64>,
    flushes: VecDeque<Flush>,
    answers: VecDeque<Answer>,
    committed: i64,
    wrong: Vec<String>,
}

type Shared = Arc<Mutex<Target>>;

struct Scripted {
    target: Shared,
    put: VecDeque<i64>,
    safe: Option<i64>,
}

impl Scripted {
    /// What a crash leaves is in the target; what is not is forgotten.
    fn make_safe(&mut self, count: usize) {
        let mut target = self.target.lock().unwrap();
        for offset in self.put.drain(..count.min(self.put.len())) {
            target.offsets.push(offset);
            target.safe = offset + 1;
        }
    }
}

impl Sink for Scripted {
    fn assign(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> Result<Vec<Assigned>> {
        self.put.clear();
        let mut target = self.target.lock().unwrap();
        let found = Some(target.safe).filter(|safe| *safe > 0);
        self.safe = found.max(partitions[0].1);
        target.known = self.safe.unwrap_or(0);
        Ok(vec![Assigned::From(self.safe)])
    }

    fn put(&mut self, _: &TopicPartition, records: &[StoredRecord]) -> Result<()> {
        self.put.extend(records.iter().map(|record| record.offset));
        Ok(())
    }

    fn take_rejects(&mut self) -> Vec<(String, Rejected)> {
        Vec::new()
    }

    fn flush(&mut self, all: bool) -> Result<()> {
        let next = self.target.lock().unwrap().flushes.pop_front();
        let (count, error) = match next {
            _ if all => (usize::MAX, None),
            None => (usize::MAX, None),
            Some(Flush::Nothing) => (0, None),
            Some(Flush::Some(count)) => (count, None),
            Some(Flush::Fails(count)) => (count, Some(Error::retry("no answer"))),
            Some(Flush::Dies(count)) => (count, Some(Error::bug("dead"))),
        };
        self.make_safe(count);
        match error {
            // What it made before an error it does not know itself.
            Some(error) => Err(error),
            None => {
                let mut target = self.target.lock().unwrap();
                self.safe = Some(target.safe).filter(|safe| *safe > 0).max(self.safe);
                target.known = target.safe;
                Ok(())
            }
        }
    }

    fn safe_offset(&self, _: &TopicPartition) -> Option<i64> {
        self.safe
    }

    fn release(&mut self, _: &BTreeSet<TopicPartition>) {}

    fn close(&mut self) {}
}

/// The embedded log; its writers check each commit, and lose answers.
struct Checked {
    log: EmbeddedLog,
    target: Shared,
}

impl Log for Checked {
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
        self.log.topic(name)
    }

    fn create_topic(&self, name: &str, spec: TopicSpec) -> Result<bool> {
        self.log.create_topic(name, spec)
    }

    fn delete_topic(&self, name: &str) -> Result<bool> {
        self.log.delete_topic(name)
    }

    fn writer(&self, id: &WriterId) -> Result<Box<dyn LogWriter>> {
        Ok(Box::new(CheckedWriter { writer: self.log.writer(id)?, target: Arc::clone(&self.target) }))
    }

    fn reader(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn LogReader>> {
        Ok(Box::new(Hasty(self.log.reader(topic, partition, offset)?)))
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

/// A reader that does not wait for more records: there will be none.
struct Hasty(Box<dyn LogReader>);

impl LogReader for Hasty {
    fn next(&mut self, limits: ReadLimits) -> Result<Vec<StoredRecord>> {
        self.0.next(ReadLimits { wait: Duration::ZERO, ..limits })
    }

    fn is_past(&self, offset: i64) -> bool {
        self.0.is_past(offset)
    }
}

struct CheckedWriter {
    writer: Box<dyn LogWriter>,
    target: Shared,
}

impl LogWriter for CheckedWriter {
    fn commit(&mut self, commit: &Commit) -> Result<()> {
        let mut target = self.target.lock().unwrap();
        let answer = target.answers.pop_front().unwrap_or(Answer::Comes);
        if let Answer::Lost(false) = answer {
            return Err(Error::retry("not made"));
        }
        for offset in &commit.group_offsets {
            if offset.next > target.safe || offset.next < target.committed {
                let (committed, safe) = (target.committed, target.safe);
                let wrong = format!("{} committed after {committed}, {safe} is safe", offset.next);
                target.wrong.push(wrong);
            }
            target.committed = offset.next;
        }
        self.writer.commit(commit)?;
        match answer {
            Answer::Lost(_) => Err(Error::retry("made, no answer")),
            Answer::Comes => Ok(()),
        }
    }
}

fn write(log: &dyn Log, records: i64) {
    log.create_topic(TOPIC, TopicSpec::default()).unwrap();
    let mut batch = BatchBuilder::default();
    (0..records).for_each(|number| batch.push(None, Some(number.to_string().as_bytes()), &[], number));
    let mut writer = log.writer(&WriterId { connector: "producer".to_owned(), task: 0 }).unwrap();
    writer.commit(&Commit { appends: vec![(TOPIC.to_owned(), batch.build())], ..Commit::default() }).unwrap();
}

/// One life, until it knows that everything is safe and was stopped, or until it dies.
fn live(log: &Arc<dyn Log>, target: &Shared, records: i64, batch_records: u32) -> Result<()> {
    let settings = SinkSettings {
        connector: "sink".to_owned(),
        task: 0,
        num_tasks: 1,
        topics: vec![TOPIC.to_owned()],
        dead_letter_topic: None,
        label: "test".to_owned(),
        batch_records,
        batch_bytes: 1 << 20,
        retries: Retries { delay_max: Duration::from_millis(1), timeout: None },
        tolerance: Tolerance::All { max_ratio: None },
    };
    let given = Arc::clone(target);
    let make = move || {
        let target = Arc::clone(&given);
        Ok(Box::new(Scripted { target, put: VecDeque::new(), safe: None }) as Box<dyn Sink>)
    };
    let task = SinkTask { settings, log: Arc::clone(log), make: Box::new(make) };
    let (stop, stats) = (&Stop::default(), &TaskStats::default());
    std::thread::scope(|scope| {
        let running = scope.spawn(move || task.run(stop, stats, false));
        let deadline = Instant::now() + WITHIN;
        while !running.is_finished() && target.lock().unwrap().known < records {
            assert!(Instant::now() < deadline, "not done in time");
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.ask(Duration::from_secs(5));
        running.join().unwrap()
    })
}

fn check(dir: &Path, records: i64, batch_records: u32, flushes: Vec<Flush>, answers: Vec<Answer>) {
    let (flushes, answers) = (flushes.into(), answers.into());
    let target = Arc::new(Mutex::new(Target { flushes, answers, ..Target::default() }));
    let log = EmbeddedLog::open(dir, None).unwrap();
    write(&log, records);
    let log: Arc<dyn Log> = Arc::new(Checked { log, target: Arc::clone(&target) });
    for _ in 0..100 {
        if live(&log, &target, records, batch_records).is_ok() {
            break;
        }
    }
    // A life that was stopped in its trouble has perhaps not committed all: a calm one does.
    let calm = |target: &mut Target| (target.flushes, target.answers, target.known) = Default::default();
    calm(&mut target.lock().unwrap());
    live(&log, &target, records, batch_records).unwrap();
    let target = target.lock().unwrap();
    assert_eq!(target.wrong, Vec::<String>::new());
    assert_eq!(target.offsets, (0..records).collect::<Vec<i64>>(), "each once, in order");
    let offsets = log.group_offsets("connect-sink", TOPIC).unwrap();
    assert_eq!(offsets.iter().map(|offset| offset.next).collect::<Vec<_>>(), [records]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_a_safe_prefix_is_committed(
        records in 1..60i64,
        batch_records in 1..20u32,
        flushes in prop::collection::vec(flush(), 0..12),
        answers in prop::collection::vec(answer(), 0..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path(), records, batch_records, flushes, answers);
    }
}
