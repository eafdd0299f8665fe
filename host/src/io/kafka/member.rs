//! A member of a consumer group of Kafka's, for a sink's task.
//!
//! Rebalances are a handshake: librdkafka says what is to be given up and goes on only when the task has
//! finished with it. The consumer here holds a place in the group and commits; records are read by readers of
//! their own (`reader.rs`), which the task can begin anew wherever it must.
//!
//! Members are static (`group.instance.id`): a host that is killed and started again has its partitions back at
//! once. Of two with one `worker.id` the group lets the one go on that joined last, which may be the older when it
//! joins again. Which is newer says the log: each member has a writer, and of two the newer fences the older.

use super::produce::is_for_operator;
use super::{Quiet, consumer_config};
use crate::crash::CrashPoint;
use crate::error::{Error, ErrorClass, OrError, Result};
use crate::ports::group::{GroupMember, Membership, Revoked, Share, TopicPartition};
use crate::ports::log::{Commit, GroupOffset, KafkaSettings, LogWriter, WriterId};
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
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
    config: ClientConfig,
    writer: Box<dyn LogWriter>,
    at: String,
    membership: Membership,
    share: Share,
    /// librdkafka waits until what is revoked is released.
    is_awaited: bool,
}

/// Whose writer a member has: hosts of different names are beside each other.
pub(super) fn writer_id(settings: &KafkaSettings, membership: &Membership) -> WriterId {
    WriterId { connector: format!("{}@{}", membership.connector, worker(settings)), task: membership.task }
}

impl KafkaMember {
    /// `writer` is that of [`writer_id`], and newer than that of any member whose place is taken.
    pub(super) fn join(settings: &KafkaSettings, membership: &Membership, writer: Box<dyn LogWriter>) -> Result<Self> {
        let Membership { connector, task, .. } = membership;
        let mut config = consumer_config(settings, &membership.group());
        config
            .set("group.instance.id", legal(&format!("{}/{connector}/{task}", worker(settings))))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT)
            .set("topic.metadata.refresh.interval.ms", LOOK_EVERY);
        let at = format!("Kafka at `{}`: group `{}`", settings.bootstrap_servers, membership.group());
        Ok(KafkaMember {
            consumer: subscribed(&config, &membership.topics, &at)?,
            config,
            writer,
            at,
            membership: membership.clone(),
            share: Share::default(),
            is_awaited: false,
        })
    }

    fn attempt(&self, what: &str) -> String {
        format!("{}: {what}", self.at)
    }

    /// Fails once another has this member's place: for good where that one is newer.
    fn check_place(&mut self) -> Result<()> {
        let Some((code, why)) = self.consumer.client().fatal_error() else { return Ok(()) };
        if code != RDKafkaErrorCode::FencedInstanceId {
            return Err(Error::bug(self.attempt(&why)));
        }
        self.writer.commit(&Commit::default())?;
        let mut partitions = std::mem::take(&mut self.share.assigned);
        partitions.extend(self.share.revoked.iter().flat_map(|revoked| revoked.partitions.clone()));
        self.leave();
        self.share.revoked = Some(Revoked { partitions, is_lost: true });
        self.consumer = subscribed(&self.config, &self.membership.topics, &self.at)?;
        Err(Error::retry(self.attempt("an older host had its place for a moment; joined again")))
    }

    /// Has what the group asks from now on answered at once: nobody works for this consumer any more, and without
    /// an answer it would not close.
    fn leave(&mut self) {
        self.consumer.context().state().is_closing = true;
        if let Err(error) = self.release() {
            tracing::debug!(%error, "leaving a group");
        }
    }

    fn take(&mut self, list: BTreeSet<TopicPartition>) -> Result<()> {
        let native = native(&list)?;
        self.consumer.incremental_assign(&native).or_retry(self.attempt("taking partitions"))?;
        // Readers fetch; this consumer only holds the place.
        self.consumer.pause(&native).or_retry(self.attempt("taking partitions"))?;
        self.share.assigned.extend(list);
        Ok(())
    }

    fn commit_offsets(&mut self, offsets: &[GroupOffset]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for offset in offsets {
            let next = Offset::Offset(offset.next);
            list.add_partition_offset(&offset.topic, offset.partition, next).or_bug("offset list")?;
        }
        let committed = self.consumer.commit(&list, CommitMode::Sync);
        committed.map_err(|error| self.explain("committing offsets", &error))
    }

    fn explain(&mut self, what: &str, error: &KafkaError) -> Error {
        if let Err(ended) = self.check_place() {
            return ended;
        }
        let attempt = self.attempt(&format!("{what}: {error}"));
        match error.rdkafka_error_code() {
            Some(code) if is_for_operator(code) => Error::config(attempt),
            _ => Error::retry(attempt),
        }
    }

    /// What is to be done about something that librdkafka says while it looks after the membership.
    fn judge(&mut self, error: &KafkaError) -> Result<()> {
        use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
        match (error, error.rdkafka_error_code()) {
            // The topic is not there yet and is looked for again; the end of a partition is for readers.
            (_, Some(UnknownPartition | UnknownTopic | UnknownTopicOrPartition)) | (KafkaError::PartitionEOF(_), _) => {
                return Ok(());
            }
            _ => {}
        }
        match self.explain("membership", error) {
            // Readers tell what keeps them; librdkafka goes on by itself.
            told if told.class() == ErrorClass::Retry && !self.share.assigned.is_empty() => {
                tracing::debug!(%error, at = self.at, "membership");
                Ok(())
            }
            told => Err(told),
        }
    }
}

impl GroupMember for KafkaMember {
    fn share(&mut self) -> Result<Share> {
        for _ in 0..MAX_EVENTS {
            let polled = self.consumer.poll(Duration::ZERO).map(|polled| polled.map(drop));
            match polled {
                None => break,
                // What was on its way before the pause; the reader has it too.
                Some(Ok(())) => {}
                Some(Err(error)) => self.judge(&error)?,
            }
        }
        self.check_place()?;
        match self.consumer.context().take() {
            Some(Event::Assign(list)) => self.take(list)?,
            Some(Event::Revoke(partitions)) => {
                let is_lost = self.consumer.assignment_lost();
                self.share.assigned.retain(|at| !partitions.contains(at));
                self.share.revoked = Some(Revoked { partitions, is_lost });
                self.is_awaited = true;
            }
            None => {}
        }
        Ok(self.share.clone())
    }

    fn release(&mut self) -> Result<()> {
        if let Some(revoked) = self.share.revoked.take()
            && std::mem::take(&mut self.is_awaited)
        {
            let list = native(&revoked.partitions)?;
            self.consumer.incremental_unassign(&list).or_retry(self.attempt("giving partitions up"))?;
        }
        Ok(())
    }
}

impl LogWriter for KafkaMember {
    /// Records first; then offsets, refused where this member is none any more. An empty commit tells whether a
    /// newer member is there.
    fn commit(&mut self, commit: &Commit) -> Result<()> {
        let Commit { appends, positions, group_offsets } = commit;
        if !appends.is_empty() || !positions.is_empty() || group_offsets.is_empty() {
            self.writer.commit(&Commit { group_offsets: Vec::new(), ..commit.clone() })?;
        }
        if group_offsets.is_empty() {
            return Ok(());
        }
        self.check_place()?;
        CrashPoint::LogBeforeCommit.pass();
        self.commit_offsets(group_offsets)?;
        CrashPoint::LogAfterCommit.pass();
        Ok(())
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.leave();
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
        let at = |element: &TopicPartitionListElem<'_>| TopicPartition {
            topic: element.topic().to_owned(),
            partition: element.partition(),
        };
        let partitions = list.elements().iter().map(at).collect();
        let event = match code {
            Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Event::Assign(partitions),
            // The only other thing that librdkafka asks.
            _ => Event::Revoke(partitions),
        };
        if !state.is_closing {
            state.event = Some(event);
            return;
        }
        let answered = match event {
            Event::Assign(_) => consumer.incremental_assign(list),
            Event::Revoke(_) => consumer.incremental_unassign(list),
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "leaving a group");
        }
    }
}

/// A name in the letters that Kafka allows for members, unlike that of any other name.
fn legal(name: &str) -> String {
    let mut legal = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => legal.push(c),
            _ => legal.push_str(&format!("_{:x}_", u32::from(c))),
        }
    }
    legal
}

fn worker(settings: &KafkaSettings) -> String {
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    settings.worker_id.clone().unwrap_or_else(machine)
}

fn subscribed(config: &ClientConfig, topics: &[String], at: &str) -> Result<BaseConsumer<Rebalances>> {
    let consumer: BaseConsumer<Rebalances> = config.create_with_context(Rebalances::default()).or_config(at)?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).or_config(at)?;
    Ok(consumer)
}

fn native(partitions: &BTreeSet<TopicPartition>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for at in partitions {
        list.add_partition_offset(&at.topic, at.partition, Offset::End).or_bug("partition list")?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_members_are_legal_and_differ_where_what_they_name_does() {
        assert_eq!(legal("edge-1/wiki sink/0"), "edge-1_2f_wiki_20_sink_2f_0");
        assert_ne!(legal("a/b_c/0"), legal("a/b/c/0"));
        assert_ne!(legal("a_2f_b"), legal("a/b"));
    }
}
