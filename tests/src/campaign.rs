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
        let one = run_one(seed, options, place, &mut |rig, totals| {
            let mut dice = Dice::new(seed);
            (0..options.kills).try_for_each(|_| chaos::live(rig, &mut dice, totals))
        });
        say(&format!("seed {seed}: {one}"));
        totals.add(one);
    }
    totals
}

/// Ends one life of the host at each of the named places, one after the other; nothing else goes wrong.
///
/// # Panics
/// As [`run`].
pub fn visit_places(seed: u64, changes: u64, place: &mut Place<'_>) -> Totals {
    // So slow a feed that there is something left at the last place.
    let kills = chaos::PLACES.len() as u64 * 3;
    let options = Options { seed, runs: 1, duration: None, kills, changes };
    run_one(seed, &options, place, &mut |rig, totals| {
        chaos::PLACES.into_iter().try_for_each(|point| chaos::die_at(rig, point, totals))
    })
}

/// Lives of a run, until its last one.
type Lives<'a> = dyn FnMut(&mut Rig, &mut Totals) -> Result<(), String> + 'a;

fn run_one(seed: u64, options: &Options, place: &mut Place<'_>, lives: &mut Lives<'_>) -> Totals {
    let mut totals = Totals::new(place.name());
    totals.runs = 1;
    // What a run finds is in its totals, also where it ends in the middle.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let broker = match place {
            Place::Embedded => None,
            Place::Kafka(start) => Some(start()?),
        };
        let mut rig = Rig::new(seed, options, broker);
        rig.begin()?;
        lives(&mut rig, &mut totals)?;
        let ended = rig.finish(&mut totals);
        totals.found = rig.count();
        ended
    }));
    let error = match ended {
        Ok(Ok(())) if totals.found.is_clean() => None,
        Ok(Ok(())) => Some("records were lost or doubled".to_owned()),
        Ok(Err(error)) => Some(error),
        Err(panic) => Some(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "the run panicked".to_owned())),
    };
    totals.failed.extend(error.map(|error| (seed, error)));
    totals
}
