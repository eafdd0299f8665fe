//! Watching a directory: the cluster's change notification, and looking at the directory now and
//! then where there is none.
//!
//! A watch that begins, or begins anew after whatever happened to its connection, says
//! [`Seen::List`]: what came in between is in the listing, which begins after the watch is
//! registered. Names that nobody fetched are bounded: when there are too many, they become a
//! [`Seen::List`] too.

use super::backoff::Backoff;
use super::client::Request;
use super::cluster::Cluster;
use super::events::Events;
use super::failure::Failure;
use crate::error::{Error, ErrorClass, Result, innermost};
use crate::ports::files::{FileInfo, FilePath, Seen, Watch};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Names that wait to be fetched.
const MAX_NAMES: usize = 4096;
/// A cluster says that it is alive far more often.
const SILENCE: Duration = Duration::from_secs(60);
/// A registration is answered at once.
const REGISTERED_WITHIN: Duration = Duration::from_secs(30);
/// A connection that lasted this long was good: the next is made soon.
const GOOD_SESSION: Duration = Duration::from_secs(10);
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT_LONGEST: Duration = Duration::from_secs(30);
/// Where there is no notification, it is asked for again: clusters are upgraded, rights given.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// How often a watch makes sure that the path still leads to the directory it watches: a rename of
/// the directory is no event of its own.
const SAME_DIRECTORY: Duration = Duration::from_secs(30);

/// What the task saw and nobody has fetched yet.
#[derive(Default)]
struct State {
    names: Vec<String>,
    list: bool,
    gone: bool,
    failed: Option<Error>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn list(&self) {
        self.tell(|state| state.list = true);
    }
}

/// A watch; its task ends with it.
pub(super) struct QumuloWatch {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl QumuloWatch {
    pub(super) fn start(cluster: Arc<Cluster>, runtime: &Handle, directory: FilePath) -> Self {
        let shared = Arc::new(Shared::default());
        let watcher = Watcher { cluster, directory, shared: Arc::clone(&shared) };
        let task = runtime.spawn(async move { watcher.run().await }).abort_handle();
        QumuloWatch { shared, task }
    }
}

impl Drop for QumuloWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch for QumuloWatch {
    fn next(&mut self, wait: Duration) -> Result<Seen> {
        let until = Instant::now() + wait;
        let mut state = self.shared.state();
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.gone {
                return Ok(Seen::Gone);
            }
            let names = std::mem::take(&mut state.names);
            if std::mem::take(&mut state.list) {
                return Ok(Seen::List);
            }
            if !names.is_empty() {
                return Ok(Seen::Appeared(names));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Seen::Nothing);
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Why a notification ended.
enum Ended {
    /// The directory is gone.
    Gone,
    /// The cluster does not notify, or not this user.
    Refused(Error),
    /// The connection broke, or could not be made.
    Broke(Error),
    /// It can never work as configured.
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        match error.class() {
            ErrorClass::Config => Ended::Failed(error),
            _ => Ended::Broke(error),
        }
    }
}

struct Watcher {
    cluster: Arc<Cluster>,
    directory: FilePath,
    shared: Arc<Shared>,
}

impl Watcher {
    async fn run(&self) {
        let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_LONGEST);
        let mut told = false;
        loop {
            let began = Instant::now();
            let ended = match self.notified().await {
                Ended::Refused(error) => {
                    if !told {
                        let (directory, reason) = (self.directory.to_string(), error.to_string());
                        tracing::info!(directory, reason, "no change notification: the directory is looked at instead");
                    }
                    told = true;
                    self.looked_at(Instant::now() + ASK_AGAIN).await
                }
                ended => ended,
            };
            if began.elapsed() >= GOOD_SESSION {
                backoff.reset();
            }
            match ended {
                Ended::Gone => return self.shared.tell(|state| state.gone = true),
                Ended::Failed(error) => {
                    let error = self.cluster.explain(error, format!("watching `{}`", self.directory));
                    return self.shared.tell(|state| state.failed = Some(error));
                }
                Ended::Refused(_) => {}
                Ended::Broke(error) => {
                    let wait = backoff.next_wait();
                    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    tracing::debug!(directory = %self.directory, %error, wait_ms, "watch begins anew");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// One connection from its opening to its end.
    async fn notified(&self) -> Ended {
        match self.open().await {
            Ok((watched, response)) => match self.listen(&watched, response).await {
                Ok(never) => match never {},
                Err(ended) => ended,
            },
            Err(ended) => ended,
        }
    }

    async fn stat(&self) -> Result<FileInfo, Ended> {
        self.cluster.stat(&self.directory).await?.ok_or(Ended::Gone)
    }

    async fn open(&self) -> Result<(FileInfo, Response), Ended> {
        let watched = self.stat().await?;
        let query = "/notify?recursive=false&filter=child_file_moved_to%2Cchild_file_added%2Cself_removed";
        let request = Request::get(self.cluster.of_path(&self.directory, query));
        let response = match self.cluster.client.open_in_time(&request).await {
            Ok(response) => response,
            // The directory was there: it is the notification that is not.
            Err(failure) if matches!(failure.status(), 400 | 403 | 404 | 405 | 501) => {
                return Err(Ended::Refused(failure.into_error()));
            }
            Err(Failure::Final(error)) => return Err(error.into()),
            Err(failure) => return Err(Ended::Broke(failure.into_error())),
        };
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("none");
        // The cluster's own spelling, and the standard's.
        if kind.starts_with("text/event-source") || kind.starts_with("text/event-stream") {
            return Ok((watched, response));
        }
        let found = kind.escape_debug();
        Err(Ended::Refused(Error::retry(format!("content type `{found}`, expected `text/event-source`"))))
    }

    async fn listen(&self, watched: &FileInfo, mut response: Response) -> Result<std::convert::Infallible, Ended> {
        let mut events = Events::default();
        let mut registered = false;
        let mut heard_at = Instant::now();
        let mut checked_at = Instant::now();
        loop {
            let patience = if registered { SILENCE } else { REGISTERED_WITHIN };
            let wait = (heard_at + patience).min(checked_at + SAME_DIRECTORY).saturating_duration_since(Instant::now());
            match timeout(wait, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    heard_at = Instant::now();
                    let heard = events.hear(&chunk)?;
                    if heard.gone {
                        return Err(Ended::Gone);
                    }
                    if heard.watching && !registered {
                        registered = true;
                        self.shared.list();
                    }
                    self.appeared(heard.names);
                }
                Ok(Ok(None)) => return Err(Ended::Broke(Error::retry("the notification ended"))),
                Ok(Err(error)) => return Err(Ended::Broke(Error::retry(innermost(&error, error.is_timeout())))),
                Err(_) if heard_at.elapsed() >= patience => {
                    let seconds = patience.as_secs();
                    return Err(Ended::Broke(Error::retry(format!("the notification was silent for {seconds} s"))));
                }
                Err(_) => {}
            }
            if checked_at.elapsed() >= SAME_DIRECTORY {
                checked_at = Instant::now();
                // Trouble with this question says nothing about the notification.
                match self.cluster.stat(&self.directory).await {
                    Ok(None) => return Err(Ended::Gone),
                    Ok(Some(now)) if now.id != watched.id => {
                        return Err(Ended::Broke(Error::retry("another directory has the name now")));
                    }
                    _ => {}
                }
            }
        }
    }

    fn appeared(&self, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        self.shared.tell(|state| {
            state.names.extend(names);
            if state.names.len() > MAX_NAMES {
                state.names = Vec::new();
                state.list = true;
            }
        });
    }

    /// Looks at the directory's time of change until it is time to ask for notification again.
    async fn looked_at(&self, until: Instant) -> Ended {
        let mut last = None;
        loop {
            let look = self.cluster.look(&self.directory).await;
            match look {
                Ok(None) => return Ended::Gone,
                Ok(Some((attributes, _))) => {
                    let now = Some((attributes.id, attributes.modification_time));
                    if last != now {
                        last = now;
                        self.shared.list();
                    }
                }
                Err(error) if error.class() == ErrorClass::Config => return Ended::Failed(error),
                // What came meanwhile is told when it works again.
                Err(error) => {
                    tracing::debug!(directory = %self.directory, %error, "looking at the directory failed");
                    last = None;
                }
            }
            if Instant::now() >= until {
                return Ended::Refused(Error::retry("time to ask again"));
            }
            tokio::time::sleep(self.cluster.settings.poll_interval).await;
        }
    }
}
