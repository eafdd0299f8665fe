//! The versions of a task's plugin: the one that runs, and one that is to take its place. A version is code that
//! is compiled and linked already, so a change-over between two batches takes no longer than opening an instance.

use super::source_task::Chain;
use crate::error::{Error, Result};
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Makes instances of one version; called on the task's own thread.
pub type MakeChain = dyn Fn() -> Result<Chain> + Send + Sync;

/// A version of a task's plugin, with its transforms.
#[derive(Clone)]
pub struct Version {
    /// Plugin name and version, for people.
    pub label: String,
    /// Makes instances.
    pub make: Arc<MakeChain>,
}

/// A change-over that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// The version that ran before.
    pub from: String,
    /// The one that runs now.
    pub to: String,
    /// From the commit of what the old one gave to the moment when the new one could be asked.
    pub pause: Duration,
}

/// A change-over that was asked for.
pub(super) struct Asked {
    pub(super) version: Version,
    answer: SyncSender<Result<Swapped>>,
}

struct Current {
    version: Version,
    /// The one before, as long as this one is on trial.
    before: Option<Version>,
}

/// The versions of one task.
pub struct Versions {
    current: Mutex<Current>,
    asked: Mutex<Option<Asked>>,
}

impl Versions {
    /// With the one that runs first.
    pub fn new(first: Version) -> Arc<Self> {
        Arc::new(Versions { current: Mutex::new(Current { version: first, before: None }), asked: Mutex::new(None) })
    }

    /// Asks the task to change over between two of its batches, and waits for that.
    ///
    /// # Errors
    /// Why it was refused; the old version goes on then. Class Config when another change-over is being made;
    /// class Retry when the task does not come to it within the time, and will not later.
    pub fn swap(&self, version: Version, within: Duration) -> Result<Swapped> {
        let answered = self.ask(version)?;
        match answered.recv_timeout(within) {
            Ok(answer) => answer,
            Err(error) => {
                let is_taken = self.lock_asked().take().is_none();
                if is_taken && error == RecvTimeoutError::Timeout {
                    // It is being made just now.
                    return answered.recv_timeout(within).unwrap_or_else(|_| Err(too_late(within)));
                }
                Err(too_late(within))
            }
        }
    }

    fn ask(&self, version: Version) -> Result<Receiver<Result<Swapped>>> {
        let mut asked = self.lock_asked();
        if asked.is_some() {
            return Err(Error::config("another version is to take over already")
                .with_hint("wait until that one runs or is refused"));
        }
        let (answer, answered) = sync_channel(1);
        *asked = Some(Asked { version, answer });
        Ok(answered)
    }

    /// The version that runs, or is started next.
    pub fn current(&self) -> Version {
        self.lock().version.clone()
    }

    /// Whether the one before may have to take its place again.
    pub(super) fn is_on_trial(&self) -> bool {
        self.lock().before.is_some()
    }

    /// A version has taken over; `is_on_trial`: the one before is kept.
    pub(super) fn set_current(&self, version: Version, is_on_trial: bool) {
        let mut current = self.lock();
        let before = std::mem::replace(&mut current.version, version);
        current.before = is_on_trial.then_some(before);
    }

    /// The trial is over.
    pub(super) fn pass(&self) {
        self.lock().before = None;
    }

    /// The one before is current again; none: there is no trial.
    pub(super) fn take_back(&self) -> Option<Version> {
        let mut current = self.lock();
        current.version = current.before.take()?;
        Some(current.version.clone())
    }

    /// The change-over that waits, which the caller makes or refuses now.
    pub(super) fn take_asked(&self) -> Option<Asked> {
        self.lock_asked().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_asked(&self) -> std::sync::MutexGuard<'_, Option<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Tells who asked, who may have gone.
    pub(super) fn answer(self, answer: Result<Swapped>) {
        let _ = self.answer.send(answer);
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version").field("label", &self.label).finish_non_exhaustive()
    }
}

fn too_late(within: Duration) -> Error {
    Error::retry(format!("the task did not change over within {} ms, and goes on as it was", within.as_millis()))
        .with_hint("is it running? A task that is waiting for its log or restarting changes over when it works again")
}
