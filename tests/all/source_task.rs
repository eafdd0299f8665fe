//! The task of a source whose place was taken while it opened: a newer life of it has written, so what it read
//! before is old, and it must neither poll nor commit by it.

use host::connector::{PollLimits, Polled, Retries, Schemas, Settings, Source, Tolerance};
use host::error::{ErrorClass, Result};
use host::io::embedded::EmbeddedLog;
use host::ports::log::{Commit, Log, PositionEntry, WriterId};
use host::task::{Chain, SourceTask, Stop, Task, TaskSettings, TaskStats};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::tempdir;

const CONNECTOR: &str = "source";

/// Is opened so slowly that another life of its task begins and commits meanwhile.
struct Slow {
    log: Arc<EmbeddedLog>,
    polls: Arc<AtomicU64>,
}

impl Source for Slow {
    fn open(&mut self, _settings: &Settings, positions: &[PositionEntry]) -> Result<Schemas> {
        assert!(positions.is_empty());
        let mut newer = self.log.writer(&WriterId { connector: CONNECTOR.to_owned(), task: 0 })?;
        let position = PositionEntry { partition: b"p".to_vec(), position: b"7".to_vec() };
        newer.commit(&Commit { positions: vec![position], ..Commit::default() })?;
        Ok(Schemas::default())
    }

    fn poll(&mut self, _limits: PollLimits) -> Result<Polled> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        Ok(Polled::default())
    }

    fn close(&mut self) {}
}

#[test]
fn a_task_that_was_overtaken_while_it_opened_polls_nothing() {
    let dir = tempdir().unwrap();
    let log = Arc::new(EmbeddedLog::open(dir.path(), None).unwrap());
    let polls = Arc::new(AtomicU64::new(0));
    let settings = TaskSettings {
        connector: CONNECTOR.to_owned(),
        task: 0,
        topic: "t".to_owned(),
        dead_letter_topic: "t-dlq".to_owned(),
        exactly_once: true,
        partitions: 1,
        key_schemas: false,
        value_schemas: false,
        batch_records: 10,
        batch_bytes: 1 << 20,
        commit_interval: Duration::ZERO,
        commit_bytes: 1 << 20,
        retries: Retries { delay_max: Duration::from_millis(20), timeout: None },
        max_records: None,
        tolerance: Tolerance::None,
    };
    let (made, counted) = (Arc::clone(&log), Arc::clone(&polls));
    let make = move || {
        let source = Box::new(Slow { log: Arc::clone(&made), polls: Arc::clone(&counted) });
        Ok(Chain { source: (source, Settings::new()), transforms: Vec::new(), label: "slow".to_owned() })
    };
    let task = SourceTask { settings, log: Arc::clone(&log) as Arc<dyn Log>, feed: None, make: Box::new(make) };
    let error = task.run(&Stop::default(), &TaskStats::default(), false).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    assert!(error.to_string().contains("a newer writer (epoch 2) has taken over"), "{error}");
    assert_eq!(polls.load(Ordering::SeqCst), 0);
    assert_eq!(log.positions(CONNECTOR).unwrap()[0].position, b"7");
}
