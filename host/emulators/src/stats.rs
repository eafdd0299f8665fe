//! What an emulator counts and remembers, so that a test or a person can ask what happened.
//!
//! Invariant: counters only rise, but for the number of clients there now. What clients say about
//! themselves is kept distinct and bounded.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock;

/// How many different names of one kind are kept.
const MAX_NAMES: usize = 64;
/// How much of a text from a client is kept, in characters.
const MAX_NAME_CHARS: usize = 512;

/// A look at the counters of an emulator. The numbers are read one after the other, not at one
/// instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Clients there now: IRC connections, or streams being read.
    pub clients_now: u64,
    /// Clients there have ever been.
    pub clients_ever: u64,
    /// Clients turned away: by [`Fault::RefuseNext`](crate::Fault::RefuseNext), over
    /// [`MAX_CONNECTIONS`](crate::MAX_CONNECTIONS), or with an HTTP status in place of a stream.
    pub refused: u64,
    /// Channels joined, counted each time. Always 0 for a stream.
    pub joins: u64,
    /// Edits the feed has produced, recorded lines included; canary events and garbage are not.
    pub produced: u64,
    /// Messages or events handed to the connection of a client, summed over the clients; garbage
    /// included.
    pub frames_sent: u64,
    /// Messages or events a client lost because it was too slow, summed over the clients.
    pub dropped: u64,
    /// The last `Last-Event-ID` a client sent. Always `None` for IRC.
    pub last_event_id: Option<String>,
    /// The different `User-Agent`s seen, oldest first, at most 64. Empty for IRC.
    pub user_agents: Vec<String>,
    /// The different nicks seen, oldest first, at most 64. Empty for a stream.
    pub nicks: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) clients_now: AtomicU64,
    pub(crate) clients_ever: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) joins: AtomicU64,
    pub(crate) produced: AtomicU64,
    pub(crate) frames_sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    last_event_id: Option<String>,
    user_agents: Vec<String>,
    nicks: Vec<String>,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, num: u64) {
        // Counters guard nothing, so their order among each other does not matter.
        counter.fetch_add(num, Ordering::Relaxed);
    }

    pub(crate) fn saw_agent(&self, agent: &str) {
        remember(&mut lock(&self.said).user_agents, agent);
    }

    pub(crate) fn saw_nick(&self, nick: &str) {
        remember(&mut lock(&self.said).nicks, nick);
    }

    pub(crate) fn saw_last_event_id(&self, id: &str) {
        lock(&self.said).last_event_id = Some(id.chars().take(MAX_NAME_CHARS).collect());
    }

    /// Counts a client as there until the returned guard is dropped.
    pub(crate) fn arrive(shared: &std::sync::Arc<crate::handle::Shared>) -> Present {
        Self::add(&shared.counters.clients_now, 1);
        Self::add(&shared.counters.clients_ever, 1);
        Present(shared.clone())
    }

    pub(crate) fn look(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let said = lock(&self.said);
        Stats {
            clients_now: get(&self.clients_now),
            clients_ever: get(&self.clients_ever),
            refused: get(&self.refused),
            joins: get(&self.joins),
            produced: get(&self.produced),
            frames_sent: get(&self.frames_sent),
            dropped: get(&self.dropped),
            last_event_id: said.last_event_id.clone(),
            user_agents: said.user_agents.clone(),
            nicks: said.nicks.clone(),
        }
    }
}

/// A client that is there; dropping it says that it left.
#[derive(Debug)]
pub(crate) struct Present(std::sync::Arc<crate::handle::Shared>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.counters.clients_now.fetch_sub(1, Ordering::Relaxed);
    }
}

fn remember(names: &mut Vec<String>, name: &str) {
    let name: String = name.chars().take(MAX_NAME_CHARS).collect();
    if names.len() < MAX_NAMES && !names.contains(&name) {
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_distinct_and_bounded() {
        let counters = Counters::default();
        for number in 0..200 {
            counters.saw_agent("one");
            counters.saw_agent(&number.to_string());
        }
        counters.saw_last_event_id(&"x".repeat(10_000));
        let stats = counters.look();
        assert_eq!(stats.user_agents.len(), MAX_NAMES);
        assert_eq!(stats.user_agents.first().map(String::as_str), Some("one"));
        assert_eq!(stats.last_event_id.map(|id| id.len()), Some(MAX_NAME_CHARS));
    }
}
