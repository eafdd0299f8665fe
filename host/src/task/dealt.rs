//! A sink task's share where one host has the log to itself: every n-th partition.

use super::sink_task::SinkSettings;
use crate::error::Result;
use crate::ports::group::{GroupMember, Share, TopicPartition};
use crate::ports::log::{Commit, Log, LogWriter, WriterId};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often topics that are not there yet are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often further partitions are looked for when nothing is missing.
const LOOK_SELDOM: Duration = Duration::from_secs(30);

pub(super) struct Dealt {
    log: Arc<dyn Log>,
    writer: Box<dyn LogWriter>,
    topics: Vec<String>,
    task: u32,
    num_tasks: u32,
    share: Share,
    look_at: Instant,
}

impl Dealt {
    pub(super) fn new(log: &Arc<dyn Log>, settings: &SinkSettings) -> Result<Self> {
        let writer = log.writer(&WriterId { connector: settings.connector.clone(), task: settings.task })?;
        Ok(Dealt {
            log: Arc::clone(log),
            writer,
            topics: settings.topics.clone(),
            task: settings.task,
            num_tasks: settings.num_tasks,
            share: Share::default(),
            look_at: Instant::now(),
        })
    }
}

impl GroupMember for Dealt {
    fn share(&mut self) -> Result<Share> {
        if Instant::now() < self.look_at {
            return Ok(self.share.clone());
        }
        let mut is_missing = false;
        self.share.assigned.clear();
        for name in &self.topics {
            let Some(topic) = self.log.topic(name)? else {
                is_missing = true;
                continue;
            };
            let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            let ours = (0..partitions).filter(|number| number.cast_unsigned() % self.num_tasks == self.task);
            self.share.assigned.extend(ours.map(|partition| TopicPartition { topic: name.clone(), partition }));
        }
        self.look_at = Instant::now() + if is_missing { LOOK_EVERY } else { LOOK_SELDOM };
        Ok(self.share.clone())
    }

    fn release(&mut self) -> Result<()> {
        Ok(())
    }
}

impl LogWriter for Dealt {
    fn commit(&mut self, commit: &Commit) -> Result<()> {
        self.writer.commit(commit)
    }
}
