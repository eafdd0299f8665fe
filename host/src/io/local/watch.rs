//! Watching a directory by looking at its times of change: portable, and one call to the kernel
//! every [`EVERY`].

use super::place::{explain, metadata};
use crate::error::{ErrorClass, Result};
use crate::ports::files::{FilePath, Seen, Watch};
use cap_std::fs::{Dir, Metadata, MetadataExt};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is looked at. Longer than the kernel's clock for files takes to go on, some
/// milliseconds.
const EVERY: Duration = Duration::from_millis(150);

/// What changes when a name comes or goes.
type Times = (u64, u64, i64, i64, i64, i64);

/// A watch.
pub(super) struct LocalWatch {
    root: Arc<Dir>,
    directory: FilePath,
    last: Option<Times>,
    /// A name that came within the same tick of the file system's clock as the change that was told
    /// last left no trace: so each change is told once more, at the next look.
    echo: bool,
    looked_at: Option<Instant>,
}

impl LocalWatch {
    pub(super) fn new(root: Arc<Dir>, directory: FilePath) -> Self {
        LocalWatch { root, directory, last: None, echo: false, looked_at: None }
    }

    fn look(&mut self) -> Result<Seen> {
        self.looked_at = Some(Instant::now());
        let found = match metadata(&self.root, &self.directory) {
            Ok(found) => found.filter(Metadata::is_dir),
            Err(error) => {
                let error = explain(error, format!("watching `{}`", self.directory));
                self.last = None;
                return if error.class() == ErrorClass::Config { Err(error) } else { Ok(Seen::Nothing) };
            }
        };
        let Some(found) = found else { return Ok(Seen::Gone) };
        let times = Some(times(&found));
        let changed = times != self.last;
        self.last = times;
        if changed || std::mem::take(&mut self.echo) {
            self.echo = changed;
            return Ok(Seen::List);
        }
        Ok(Seen::Nothing)
    }
}

fn times(found: &Metadata) -> Times {
    (found.dev(), found.ino(), found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec())
}

impl Watch for LocalWatch {
    fn next(&mut self, wait: Duration) -> Result<Seen> {
        let until = Instant::now() + wait;
        loop {
            let due = self.looked_at.map_or_else(Instant::now, |at| at + EVERY);
            if due > until {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
                return Ok(Seen::Nothing);
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            match self.look()? {
                Seen::Nothing => {}
                seen => return Ok(seen),
            }
        }
    }
}
