//! What a campaign counted.

use super::chaos::CrashReport;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What became of the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Records that the feed had.
    pub records: u64,
    /// Missing somewhere: in the topic, in the data set or in Druid.
    pub lost: u64,
    /// There more often than once, at any of these places.
    pub doubled: u64,
}

impl Found {
    /// Whether each is everywhere once.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0
    }
}

/// Counts of a campaign, or of one run. Printed, it is one line.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    log: &'static str,
    /// Runs that ended, well or not.
    pub runs: u64,
    /// Lives of the host ended from outside with SIGKILL.
    pub kills: u64,
    /// Lives that ended at a named place.
    pub crashes: CrashReport,
    /// What else was done, by kind.
    pub harms: BTreeMap<&'static str, u64>,
    /// What became of the records.
    pub found: Found,
    /// From each start of the host to the first new record in the topic.
    pub recoveries: Vec<Duration>,
    /// Runs that failed: seed and why.
    pub failed: Vec<(u64, String)>,
}

impl Totals {
    pub(super) fn new(log: &'static str) -> Self {
        Totals { log, ..Totals::default() }
    }

    pub(super) fn add(&mut self, other: Totals) {
        self.runs += other.runs;
        self.kills += other.kills;
        other.crashes.into_iter().for_each(|(point, times)| *self.crashes.entry(point).or_default() += times);
        other.harms.into_iter().for_each(|(kind, times)| *self.harms.entry(kind).or_default() += times);
        self.found.records += other.found.records;
        self.found.lost += other.found.lost;
        self.found.doubled += other.found.doubled;
        self.recoveries.extend(other.recoveries);
        self.failed.extend(other.failed);
    }

    /// Lives that were ended, wherever.
    pub fn ended_lives(&self) -> u64 {
        self.kills + self.crashes.values().sum::<u64>()
    }

    /// Whether every run ended with each record everywhere once.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.found.is_clean()
    }

    fn recovery(&self) -> Option<(Duration, Duration)> {
        let mut times = self.recoveries.clone();
        times.sort();
        Some((*times.get(times.len() / 2)?, *times.last()?))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { records, lost, doubled } = self.found;
        let (log, runs, lives, kills) = (self.log, self.runs, self.ended_lives(), self.kills);
        write!(f, "log={log} runs={runs} ended_lives={lives} sigkill={kills}")?;
        self.crashes.iter().try_for_each(|(point, times)| write!(f, " {point}={times}"))?;
        self.harms.iter().try_for_each(|(kind, times)| write!(f, " {kind}={times}"))?;
        if let Some((median, most)) = self.recovery() {
            write!(f, " recovery_ms_median={} recovery_ms_max={}", median.as_millis(), most.as_millis())?;
        }
        write!(f, " records={records} lost={lost} doubled={doubled} failed_seeds=[")?;
        for (index, (seed, why)) in self.failed.iter().enumerate() {
            write!(f, "{}{seed}: {why}", if index > 0 { "; " } else { "" })?;
        }
        f.write_str("]")
    }
}
