//! The campaign: numbered records go through the whole pipeline while a seeded driver kills the host and hurts
//! everything around it. In the end every record of the feed is in the first topic, in the last data set and in
//! Druid, each once.
//!
//! The seed decides what is done and in which order; how far the host is when it is done is the machine's.

mod chaos;
mod rig;
mod totals;

pub use chaos::{CrashReport, Harm};
pub use totals::{Found, Totals};

use crate::dice::Dice;
use rig::Rig;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// A Kafka broker that a campaign hurts.
pub trait Broker {
    /// `host:port`.
    fn bootstrap(&self) -> String;

    /// Ends it with SIGKILL and starts it again with what it had stored.
    ///
    /// # Errors
    /// What it said last.
    fn kill_and_restart(&mut self) -> Result<(), String>;
}

/// Where the records are kept.
pub enum Place<'a> {
    /// The host's own log.
    Embedded,
    /// A new broker for each run.
    Kafka(&'a mut dyn FnMut() -> Result<Box<dyn Broker>, String>),
}

impl Place<'_> {
    fn name(&self) -> &'static str {
        match self {
            Place::Embedded => "embedded",
            Place::Kafka(_) => "kafka",
        }
    }
}

/// What a campaign does.
#[derive(Debug, Clone)]
pub struct Options {
    /// Of the first run; each further run has the next one.
    pub seed: u64,
    /// Runs, each with a pipeline of its own.
    pub runs: u64,
    /// No run is begun after this time.
    pub duration: Option<Duration>,
    /// Lives of the host that are ended in each run, before one that may finish.
    pub kills: u64,
    /// Changes in each run's feed, of which some two in three are records.
    pub changes: u64,
}

/// Runs a campaign, telling of each run as it ends. A run that fails is counted, and the next one goes on.
///
/// # Panics
/// When no component builds.
pub fn run(options: &Options, place: &mut Place<'_>, say: &mut dyn FnMut(&str)) -> Totals {
    let began = Instant::now();
    let mut totals = Totals::new(place.name());
    for seed in (options.seed..).take(usize::try_from(options.runs).unwrap_or(usize::MAX)) {
        if options.duration.is_some_and(|most| began.elapsed() >= most) {
            break;
        }
        let mut one = Totals::new(place.name());
        // What a run finds is in `one`, also where it ends in the middle.
        let ended = catch_unwind(AssertUnwindSafe(|| run_one(seed, options, place, &mut one)));
        one.runs = 1;
        let error = match ended {
            Ok(Ok(())) if one.found.is_clean() => None,
            Ok(Ok(())) => Some("records were lost or doubled".to_owned()),
            Ok(Err(error)) => Some(error),
            Err(panic) => Some(match panic.downcast_ref::<String>() {
                Some(text) => text.clone(),
                None => "the run panicked".to_owned(),
            }),
        };
        if let Some(error) = error {
            one.failed.push((seed, error));
        }
        say(&format!("seed {seed}: {one}"));
        totals.add(one);
    }
    totals
}

fn run_one(seed: u64, options: &Options, place: &mut Place<'_>, totals: &mut Totals) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let broker = match place {
        Place::Embedded => None,
        Place::Kafka(start) => Some(start()?),
    };
    let mut rig = Rig::new(seed, options, broker);
    for _ in 0..options.kills {
        chaos::live(&mut rig, &mut dice, totals)?;
    }
    let ended = rig.finish(totals);
    totals.found = rig.count();
    ended
}
