//! Who watches which directory, and what they are told: `qumulo-api.md` section 11.
//!
//! Invariants: events come to a watcher in the order of the changes; a watcher's queue is bounded,
//! and one that overflows ends the watcher, who has to list again; a watcher that waits costs
//! nothing when others change things elsewhere, and a change that nobody watches costs one look.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::answer::{Class, Refusal};
use super::store::{Found, Id};
use crate::lock;

/// All types of events there are.
const TYPES: [&str; 24] = [
    "child_file_added",
    "child_dir_added",
    "child_file_removed",
    "child_dir_removed",
    "child_file_moved_from",
    "child_file_moved_to",
    "child_dir_moved_from",
    "child_dir_moved_to",
    "child_btime_changed",
    "child_mtime_changed",
    "child_atime_changed",
    "child_size_changed",
    "child_extra_attrs_changed",
    "child_acl_changed",
    "child_owner_changed",
    "child_group_changed",
    "child_data_written",
    "child_stream_added",
    "child_stream_removed",
    "child_stream_moved_from",
    "child_stream_moved_to",
    "child_stream_size_changed",
    "child_stream_data_written",
    SELF_REMOVED,
];
const SELF_REMOVED: &str = "self_removed";

/// Something that happened to an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'a> {
    kind: &'static str,
    spine: &'a [Id],
    path: &'a str,
}

impl<'a> Event<'a> {
    pub(super) fn of(kind: &'static str, found: &'a Found) -> Self {
        Self { kind, spine: &found.spine, path: &found.path }
    }
}

/// What a watcher wants to hear of.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) dir: Id,
    pub(super) is_recursive: bool,
    /// `None` for all types.
    pub(super) types: Option<Vec<&'static str>>,
}

impl Wish {
    /// Reads the types of a filter, separated by commas.
    ///
    /// # Errors
    /// Class Query, with the name that is no type.
    pub(super) fn read_types(filter: Option<&str>) -> Result<Option<Vec<&'static str>>, Refusal> {
        let Some(filter) = filter.filter(|filter| !filter.is_empty()) else { return Ok(None) };
        let known = |name: &str| TYPES.into_iter().find(|known| *known == name);
        let types = filter.split(',').map(|name| {
            let short: String = name.chars().take(100).collect();
            known(name).ok_or_else(|| Refusal::new(Class::Query, format!("`{short}` is no type of event")))
        });
        types.collect::<Result<_, _>>().map(Some)
    }

    /// What this watcher is told of an event; `None` when it is not its business.
    fn sees(&self, event: &Event<'_>) -> Option<Value> {
        if self.types.as_ref().is_some_and(|types| !types.contains(&event.kind)) {
            return None;
        }
        let depth = event.spine.iter().position(|id| *id == self.dir)?;
        let below = event.spine.len() - 1 - depth;
        if below == 0 || (below > 1 && !self.is_recursive) {
            return None;
        }
        // The root has no name, so as many names lead to the watched directory as there are ids
        // before it.
        let path: Vec<&str> = event.path.split('/').skip(depth).collect();
        Some(told(event.kind, &path.join("/"), event.spine))
    }
}

fn told(kind: &str, path: &str, spine: &[Id]) -> Value {
    let spine: Vec<String> = spine.iter().map(Id::to_string).collect();
    json!({ "type": kind, "path": path, "spine": spine, "stream_name": null })
}

/// All who watch.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: Mutex<Vec<Watcher>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Watcher {
    number: u64,
    wish: Wish,
    queue: mpsc::Sender<Vec<Value>>,
}

/// A place among the watchers, left when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) number: u64,
    queue: mpsc::Receiver<Vec<Value>>,
    watchers: Arc<Watchers>,
}

impl Watchers {
    /// Watches from now on, with room for so many batches that were not read yet.
    pub(super) fn sit(self: &Arc<Self>, wish: Wish, room: usize) -> Seat {
        let (queue, receiver) = mpsc::channel(room.max(1));
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.all).push(Watcher { number, wish, queue });
        Seat { number, queue: receiver, watchers: self.clone() }
    }

    /// Tells everybody concerned, in one batch each.
    pub(super) fn emit(&self, events: &[Event<'_>]) {
        lock(&self.all).retain(|watcher| {
            let batch: Vec<Value> = events.iter().filter_map(|event| watcher.wish.sees(event)).collect();
            batch.is_empty() || watcher.queue.try_send(batch).is_ok()
        });
    }

    /// Tells those who watch a directory that it is gone, which is the last they hear.
    pub(super) fn removed(&self, found: &Found) {
        lock(&self.all).retain(|watcher| {
            if watcher.wish.dir != found.id() {
                return true;
            }
            let is_wanted = watcher.wish.types.as_ref().is_none_or(|types| types.contains(&SELF_REMOVED));
            if is_wanted {
                // Full or gone, the stream ends all the same.
                let _ = watcher.queue.try_send(vec![told(SELF_REMOVED, "", &found.spine)]);
            }
            false
        });
    }

    /// Ends all streams.
    pub(super) fn drop_all(&self) {
        lock(&self.all).clear();
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.all).len()
    }
}

impl Seat {
    /// The next batch, together with those that wait behind it; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Vec<Value>> {
        let mut batch = self.queue.recv().await?;
        while let Ok(more) = self.queue.try_recv() {
            batch.extend(more);
        }
        Some(batch)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.watchers.all).retain(|watcher| watcher.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(dir: Id, is_recursive: bool, filter: Option<&str>) -> Wish {
        Wish { dir, is_recursive, types: Wish::read_types(filter).unwrap() }
    }

    #[test]
    fn a_watcher_sees_its_children_with_paths_from_its_directory() {
        let event = Event { kind: "child_file_added", spine: &[2, 10, 20, 30], path: "a/b/c" };
        let path = |wish: Wish| wish.sees(&event).map(|told| told["path"].as_str().unwrap().to_owned());
        assert_eq!(path(wish(20, false, None)).as_deref(), Some("c"));
        assert_eq!(path(wish(10, true, None)).as_deref(), Some("b/c"));
        assert_eq!(path(wish(2, true, None)).as_deref(), Some("a/b/c"));
        assert_eq!(path(wish(10, false, None)), None);
        assert_eq!(path(wish(30, true, None)), None);
        assert_eq!(path(wish(99, true, None)), None);
        assert_eq!(path(wish(20, false, Some("child_file_removed"))), None);
        assert!(wish(20, false, Some("self_removed,child_file_added")).sees(&event).is_some());
        assert_eq!(Wish::read_types(Some("child_file_added,nothing")).unwrap_err().class, Class::Query);
    }

    #[tokio::test]
    async fn a_full_queue_ends_the_watcher_and_not_the_others() {
        let watchers = Arc::new(Watchers::default());
        let mut slow = watchers.sit(wish(2, false, None), 2);
        let mut roomy = watchers.sit(wish(2, false, None), 100);
        for _ in 0..5 {
            watchers.emit(&[Event { kind: "child_file_added", spine: &[2, 3], path: "x" }]);
        }
        assert_eq!(slow.next().await.map(|batch| batch.len()), Some(2));
        assert_eq!(slow.next().await, None);
        assert_eq!(roomy.next().await.map(|batch| batch.len()), Some(5));
        assert_eq!(watchers.len(), 1);
        drop(roomy);
        assert_eq!(watchers.len(), 0);
    }
}
