//! A member of a consumer group of Kafka's, for a sink's task.
//!
//! Rebalances are a handshake: librdkafka says what is to be given up and goes on only when the task has
//! finished with it. The consumer here holds a place in the group and commits; records are read by readers of
//! their own (`reader.rs`), which the task can begin anew wherever it must.
//!
//! Members are static (`group.instance.id`): a host that is killed and started again has its partitions back at
//! once, and of two hosts with one `worker.id` the newer ends the older.

use super::plain::PlainWriter;
use super::{Quiet, consumer_config};
use crate::crash::CrashPoint;
use crate::error::{Error, OrError, Result};
use crate::ports::group::{GroupMember, Membership, Revoked, Share, TopicPartition};
use crate::ports::log::{Commit, GroupOffset, KafkaSettings, LogWriter, WriterId};
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// After this the partitions of a host that says nothing are given to others; Kafka Connect's worker too has 10 s.
const SESSION_TIMEOUT: &str = "10000";
/// How soon topics and partitions that were made are noticed.
const LOOK_EVERY: &str = "2000";
/// Events that are taken at once; there are few.
const MAX_EVENTS: usize = 100;

pub(super) struct KafkaMember {
    consumer: BaseConsumer<Rebalances>,
    settings: KafkaSettings,
    id: WriterId,
    group: String,
    letters: Option<PlainWriter>,
    share: Share,
}

impl KafkaMember {
    pub(super) fn join(settings: &KafkaSettings, membership: &Membership) -> Result<Self> {
        let Membership { connector, task, topics } = membership;
        let group = membership.group();
        let worker = settings.worker_id.clone().unwrap_or_else(machine_name);
        let attempt = format!("Kafka at `{}`: joining group `{group}`", settings.bootstrap_servers);
        let mut config = consumer_config(settings, &group);
        config
            .set("group.instance.id", format!("{worker}/{connector}-{task}"))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT)
            .set("topic.metadata.refresh.interval.ms", LOOK_EVERY);
        let consumer: BaseConsumer<Rebalances> =
            config.create_with_context(Rebalances::default()).or_config(&attempt)?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).or_config(&attempt)?;
        Ok(KafkaMember {
            consumer,
            settings: settings.clone(),
            id: WriterId { connector: connector.clone(), task: *task },
            group,
            letters: None,
            share: Share::default(),
        })
    }

    fn attempt(&self, what: &str) -> String {
        format!("Kafka at `{}`: group `{}`: {what}", self.settings.bootstrap_servers, self.group)
    }

    /// Fails once another member has this one's place.
    fn check_place(&self) -> Result<()> {
        let Some((code, why)) = self.consumer.client().fatal_error() else { return Ok(()) };
        if code == RDKafkaErrorCode::FencedInstanceId {
            let hint = "another host of this `worker.id` runs a connector of this name: stop one of them, or give each \
                        its own `worker.id`";
            return Err(Error::config(self.attempt("a newer member has taken over")).with_hint(hint));
        }
        Err(Error::bug(self.attempt(&why)))
    }

    fn take(&mut self, list: BTreeSet<TopicPartition>) -> Result<()> {
        let native = native(&list)?;
        self.consumer.incremental_assign(&native).or_retry(self.attempt("taking partitions"))?;
        // Readers fetch; this consumer only holds the place.
        self.consumer.pause(&native).or_retry(self.attempt("taking partitions"))?;
        self.share.assigned.extend(list);
        Ok(())
    }

    fn commit_offsets(&self, offsets: &[GroupOffset]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for offset in offsets {
            let next = Offset::Offset(offset.next);
            list.add_partition_offset(&offset.topic, offset.partition, next).or_bug("offset list")?;
        }
        match self.consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.check_place()?;
                Err(Error::retry(self.attempt(&format!("committing offsets: {error}"))))
            }
        }
    }
}

impl GroupMember for KafkaMember {
    fn share(&mut self) -> Result<Share> {
        for _ in 0..MAX_EVENTS {
            match self.consumer.poll(Duration::ZERO) {
                None => break,
                // What was on its way before the pause; the reader has it too.
                Some(Ok(_)) => {}
                // A topic that is not there yet, among others: librdkafka goes on by itself.
                Some(Err(error)) => tracing::debug!(%error, group = self.group, "consumer group"),
            }
        }
        self.check_place()?;
        match self.consumer.context().take() {
            Some(Event::Assign(list)) => self.take(list)?,
            Some(Event::Revoke(partitions)) => {
                let is_lost = self.consumer.assignment_lost();
                self.share.assigned.retain(|at| !partitions.contains(at));
                self.share.revoked = Some(Revoked { partitions, is_lost });
            }
            None => {}
        }
        Ok(self.share.clone())
    }

    fn release(&mut self) -> Result<()> {
        if let Some(revoked) = self.share.revoked.take() {
            let list = native(&revoked.partitions)?;
            self.consumer.incremental_unassign(&list).or_retry(self.attempt("giving partitions up"))?;
        }
        Ok(())
    }
}

impl LogWriter for KafkaMember {
    /// Records first, at least once; then offsets, refused where this member is none any more.
    fn commit(&mut self, commit: &Commit) -> Result<()> {
        if !commit.appends.is_empty() || !commit.positions.is_empty() {
            if self.letters.is_none() {
                self.letters = Some(PlainWriter::open(self.settings.clone(), &self.id)?);
            }
            if let Some(letters) = &mut self.letters {
                letters.commit(&Commit { group_offsets: Vec::new(), ..commit.clone() })?;
            }
        }
        self.check_place()?;
        if commit.group_offsets.is_empty() {
            return Ok(());
        }
        CrashPoint::LogBeforeCommit.pass();
        self.commit_offsets(&commit.group_offsets)?;
        CrashPoint::LogAfterCommit.pass();
        Ok(())
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        // What is asked of it from now on is answered at once: nobody works for this member any more.
        self.consumer.context().state().is_closing = true;
        if self.release().is_err() || self.consumer.context().take().is_some() {
            tracing::debug!(group = self.group, "left in the middle of a rebalance");
            let _ = self.consumer.unassign();
        }
    }
}

/// What the group asks of its member.
#[derive(Debug)]
enum Event {
    Assign(BTreeSet<TopicPartition>),
    Revoke(BTreeSet<TopicPartition>),
}

/// Keeps what the group asks until the task has time for it. librdkafka asks one thing at a time, and waits.
#[derive(Default)]
struct Rebalances(Mutex<State>);

#[derive(Default)]
struct State {
    event: Option<Event>,
    is_closing: bool,
}

impl Rebalances {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Event> {
        self.state().event.take()
    }
}

impl ClientContext for Rebalances {
    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: Code, list: &mut TopicPartitionList) {
        let mut state = self.state();
        let at = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| TopicPartition {
            topic: element.topic().to_owned(),
            partition: element.partition(),
        };
        let partitions = list.elements().iter().map(at).collect();
        match code {
            _ if state.is_closing => drop(consumer.unassign()),
            Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => state.event = Some(Event::Assign(partitions)),
            Code::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => state.event = Some(Event::Revoke(partitions)),
            _ => {
                tracing::warn!(error = %RDKafkaErrorCode::from(code), "rebalance");
                drop(consumer.unassign());
            }
        }
    }
}

fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn native(partitions: &BTreeSet<TopicPartition>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for at in partitions {
        list.add_partition_offset(&at.topic, at.partition, Offset::End).or_bug("partition list")?;
    }
    Ok(list)
}
