//! The task of a sink at the two moments that no whole pipeline meets at will: the topic grew between
//! two questions, and a newer task took over while the target was out of reach.

use host::connector::{Assigned, Rejected, Retries, Sink, TopicPartition};
use host::error::{Error, Result};
use host::io::embedded::EmbeddedLog;
use host::ports::log::{
    GroupOffset, Log, LogReader, LogWriter, PositionEntry, StoredRecord, TopicInfo, TopicSpec, WriterId,
};
use host::task::{SinkSettings, SinkTask, Stop, Task, TaskStats};
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

/// What a target holds, and whether it can be reached.
#[derive(Default)]
struct Target {
    start: Option<i64>,
    offsets: Mutex<Vec<i64>>,
    is_out_of_reach: AtomicBool,
}

struct Keeps(Arc<Target>);

impl Sink for Keeps {
    fn assign(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> Result<Vec<Assigned>> {
        Ok(partitions.iter().map(|_| Assigned::From(self.0.start)).collect())
    }

    fn put(&mut self, _: &TopicPartition, records: &[StoredRecord]) -> Result<()> {
        self.0.offsets.lock().unwrap().extend(records.iter().map(|record| record.offset));
        Ok(())
    }

    fn take_rejects(&mut self) -> Vec<(String, Rejected)> {
        Vec::new()
    }

    fn flush(&mut self, _: bool) -> Result<()> {
        match self.0.is_out_of_reach.load(Ordering::SeqCst) {
            true => Err(Error::retry("out of reach")),
            false => Ok(()),
        }
    }

    fn safe_offset(&self, _: &TopicPartition) -> Option<i64> {
        None
    }

    fn close(&mut self) {}
}

/// Runs a task on ten records until it ends by itself or `is_enough`, and returns how it ended.
fn run(
    dir: &Path,
    is_late: bool,
    target: &Arc<Target>,
    is_enough: impl Fn(&dyn Log, &TaskStats) -> bool,
) -> Result<()> {
    let log = EmbeddedLog::open(dir, None).unwrap();
    write_records(&log, RECORDS, 1, 0..10);
    let log: Arc<dyn Log> = Arc::new(Late { log, is_late: AtomicBool::new(is_late) });
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
    let make = Box::new(move || Ok(Box::new(Keeps(Arc::clone(&given))) as Box<dyn Sink>));
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
    run(dir.path(), true, &target, |_, _| target.offsets.lock().unwrap().len() == 2).unwrap();
    assert_eq!(*target.offsets.lock().unwrap(), [8, 9]);
}

#[test]
fn a_target_that_is_ahead_of_the_topic_itself_is_refused() {
    let dir = tempdir().unwrap();
    let target = Arc::new(Target { start: Some(11), ..Target::default() });
    let error = run(dir.path(), true, &target, |_, _| false).unwrap_err();
    let found = "topic `wikipedia` partition 0 ends at offset 10, the sink has written up to offset 11";
    assert_eq!(error.to_string(), found);
}

#[test]
fn a_task_that_has_committed_nothing_yet_learns_in_its_trouble_that_a_newer_one_took_over() {
    let dir = tempdir().unwrap();
    let target = Arc::new(Target { is_out_of_reach: AtomicBool::new(true), ..Target::default() });
    let taken = AtomicBool::new(false);
    let error = run(dir.path(), false, &target, |log, stats| {
        if stats.counts().retries > 0 && !taken.swap(true, Ordering::SeqCst) {
            log.writer(&WriterId { connector: CONNECTOR.to_owned(), task: 0 }).unwrap();
        }
        false
    })
    .unwrap_err();
    assert!(error.to_string().contains("a newer writer (epoch 2) has taken over from epoch 1"), "{error}");
}
