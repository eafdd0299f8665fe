//! What makes a rename of a directory end everything below its old name, at once and for all.
//!
//! The kernel looks a path up and acts on what it found, in two steps: a directory that is moved
//! between them takes the action with it. So everything that acts on a path holds a shared lock on
//! the root for as long as both steps take, and a rename of a directory holds it alone. The lock is
//! the kernel's (`flock` on the root directory): it holds between processes and ends with them.
//! Whoever waits for the disk has let go of it before: a rename of a directory must not wait for
//! others' syncs one after the other.

use crate::error::{Error, Result};
use cap_std::fs::Dir;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Nobody holds it for longer than a few calls to the kernel take; one who does is stuck.
const WITHIN: Duration = Duration::from_secs(10);
const FIRST: Duration = Duration::from_micros(20);
const LONGEST: Duration = Duration::from_millis(5);

/// Held while a path is acted on.
pub(super) struct Fence {
    _locked: Option<OwnedFd>,
}

impl Fence {
    /// For acting on a path.
    pub(super) fn shared(root: &Dir) -> Result<Self> {
        Fence::new(root, FlockOperation::NonBlockingLockShared)
    }

    /// For moving a directory.
    pub(super) fn alone(root: &Dir) -> Result<Self> {
        Fence::new(root, FlockOperation::NonBlockingLockExclusive)
    }

    fn new(root: &Dir, operation: FlockOperation) -> Result<Self> {
        // A file of its own for each: threads that share one would share the lock.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(root, ".", flags, Mode::empty())
            .map_err(|error| super::explain(error.into(), "opening the root"))?;
        let taken = lock(&file, operation, WITHIN);
        match taken {
            Ok(true) => Ok(Fence { _locked: Some(file) }),
            Ok(false) => Err(Error::retry(format!("another holds the root's lock for {} s", WITHIN.as_secs()))),
            // File systems without locks: what is left of the fence is the kernel's own narrow gap.
            Err(Errno::NOTSUP | Errno::NOLCK | Errno::BADF | Errno::INVAL | Errno::NOSYS) => {
                Ok(Fence { _locked: None })
            }
            Err(error) => Err(super::explain(error.into(), "locking the root")),
        }
    }
}

/// Takes a lock, waiting `within` a time; false: others held it all the time.
pub(super) fn lock(file: &OwnedFd, operation: FlockOperation, within: Duration) -> Result<bool, Errno> {
    let until = Instant::now() + within;
    let mut wait = FIRST;
    loop {
        match rustix::fs::flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::AGAIN | Errno::INTR) if Instant::now() < until => {}
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(error),
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(LONGEST);
    }
}
