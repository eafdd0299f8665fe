//! The task of a source whose place was taken while it opened: a newer life of it has written, so what it read
//! before is old. It begins anew, and polls nothing before.

use host::connector::{PollLimits, Polled, Retries, Schemas, Settings, Source, Tolerance};
use host::error::{Error, ErrorClass, Result};
use host::io::embedded::EmbeddedLog;
use host::ports::log::{Commit, Log, PositionEntry, WriterId};
use host::task::{Chain, SourceTask, Stop, Task, TaskSettings, TaskStats, TrialSettings, Version, Versions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::tempdir;

const CONNECTOR: &str = "source";

/// Is opened so slowly the first time that another life of its task begins and commits meanwhile.
struct Slow {
    log: Arc<EmbeddedLog>,
    polls: Arc<AtomicU64>,
}

fn commit_of(position: &[u8]) -> Commit {
    let position = PositionEntry { partition: b"p".to_vec(), position: position.to_vec() };
    Commit { positions: vec![position], ..Commit::default() }
}

impl Source for Slow {
    fn open(&mut self, _settings: &Settings, positions: &[PositionEntry]) -> Result<Schemas> {
        if let Some(entry) = positions.first() {
            assert_eq!(entry.position, b"7", "what the other life committed");
            return Ok(Schemas::default());
        }
        let mut newer = self.log.writer(&WriterId { connector: CONNECTOR.to_owned(), task: 0 })?;
        newer.commit(&commit_of(b"7"))?;
        Ok(Schemas::default())
    }

    fn poll(&mut self, _limits: PollLimits) -> Result<Polled> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        Err(Error::config("enough"))
    }

    fn close(&mut self) {}
}

#[test]
fn a_task_that_was_overtaken_while_it_opened_begins_anew_and_polls_nothing_before() {
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
        trial: TrialSettings { batches: 0, reject_increase: 0.0, cpu_factor: 1.0 },
    };
    let (made, counted) = (Arc::clone(&log), Arc::clone(&polls));
    let make = move || {
        let source = Box::new(Slow { log: Arc::clone(&made), polls: Arc::clone(&counted) });
        Ok(Chain { source: (source, Settings::new()), transforms: Vec::new(), label: "slow".to_owned() })
    };
    let versions = Versions::new(Version { label: "slow".to_owned(), make: Arc::new(make) });
    let task = SourceTask { settings, log: Arc::clone(&log) as Arc<dyn Log>, feed: None, versions };
    let run = || task.run(&Stop::default(), &TaskStats::default(), false).unwrap_err();
    let error = run();
    assert_eq!((error.class(), polls.load(Ordering::SeqCst)), (ErrorClass::Retry, 0));
    assert!(error.to_string().contains("a newer writer (epoch 2) has taken over"), "{error}");
    let error = run();
    assert_eq!((error.to_string().as_str(), polls.load(Ordering::SeqCst)), ("enough", 1));
    assert_eq!(log.positions(CONNECTOR).unwrap()[0].position, b"7");
}
