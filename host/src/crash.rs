//! Named places between two durable steps, at which a campaign ends the process as a power failure would:
//! nothing is flushed, closed or told to anybody. Without feature `crash-points`, which only tests switch on,
//! they are nothing.

/// A place between two durable steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CrashPoint {
    /// A commit is complete, and neither the log nor its caller knows.
    LogBeforeCommit,
    /// A commit is durable, and its caller does not know.
    LogAfterCommit,
    /// A source's records are in the log, and its feed or its files are as before.
    SourceCommitted,
    /// Dead letters of a sink are in the log, the offset after them is not.
    SinkLetters,
    /// An owner's directory has a new name, and nothing in it was looked at.
    OwnerTaken,
    /// A spool file is whole beside the place where it will be read.
    SpoolWritten,
    /// A spool file is published, and no offset says so.
    SpoolPublished,
    /// A spool file is claimed, and nothing of it is in the log.
    SpoolClaimed,
    /// A claim that an earlier life left is settled or taken up, others are not.
    SpoolRecovered,
    /// A committed file is out of the way, others are not.
    SpoolSettled,
    /// A task is written down, and was not handed in.
    IngestRecorded,
    /// A task was accepted, and that is not written down.
    IngestAccepted,
    /// A task's end is known, and is not written down.
    IngestEnded,
}

impl CrashPoint {
    /// All of them.
    pub const ALL: [CrashPoint; 13] = [
        CrashPoint::LogBeforeCommit,
        CrashPoint::LogAfterCommit,
        CrashPoint::SourceCommitted,
        CrashPoint::SinkLetters,
        CrashPoint::OwnerTaken,
        CrashPoint::SpoolWritten,
        CrashPoint::SpoolPublished,
        CrashPoint::SpoolClaimed,
        CrashPoint::SpoolRecovered,
        CrashPoint::SpoolSettled,
        CrashPoint::IngestRecorded,
        CrashPoint::IngestAccepted,
        CrashPoint::IngestEnded,
    ];

    /// As [`VARIABLE`] has it.
    pub fn name(self) -> &'static str {
        match self {
            CrashPoint::LogBeforeCommit => "log-before-commit",
            CrashPoint::LogAfterCommit => "log-after-commit",
            CrashPoint::SourceCommitted => "source-committed",
            CrashPoint::SinkLetters => "sink-letters",
            CrashPoint::OwnerTaken => "owner-taken",
            CrashPoint::SpoolWritten => "spool-written",
            CrashPoint::SpoolPublished => "spool-published",
            CrashPoint::SpoolClaimed => "spool-claimed",
            CrashPoint::SpoolRecovered => "spool-recovered",
            CrashPoint::SpoolSettled => "spool-settled",
            CrashPoint::IngestRecorded => "ingest-recorded",
            CrashPoint::IngestAccepted => "ingest-accepted",
            CrashPoint::IngestEnded => "ingest-ended",
        }
    }

    /// Ends the process here if [`VARIABLE`] says so.
    #[inline]
    pub fn pass(self) {
        #[cfg(feature = "crash-points")]
        armed::pass(self);
    }
}

/// Environment variable that names a place and how often it is passed before the process ends there:
/// `spool-published:3`.
pub const VARIABLE: &str = "HOST_CRASH_AT";

#[cfg(feature = "crash-points")]
mod armed {
    use super::{CrashPoint, VARIABLE};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    struct Armed {
        point: CrashPoint,
        left: AtomicI64,
    }

    pub(super) fn pass(point: CrashPoint) {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let Some(armed) = ARMED.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?)) else { return };
        if armed.point == point && armed.left.fetch_sub(1, Relaxed) == 0 {
            // Not an exit: no destructor and no handler runs.
            std::process::abort();
        }
    }

    fn parse(text: &str) -> Option<Armed> {
        let (name, times) = text.split_once(':')?;
        let point = CrashPoint::ALL.into_iter().find(|point| point.name() == name)?;
        Some(Armed { point, left: AtomicI64::new(times.parse().ok()?) })
    }
}
