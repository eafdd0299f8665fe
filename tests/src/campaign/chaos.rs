//! What the driver does to one life of the host, and how that life ends.

use super::rig::Rig;
use super::totals::Totals;
use crate::dice::Dice;
use host::crash::CrashPoint;
use host_emulators::Fault;
use host_emulators::overlord::OverlordFault;
use host_emulators::qumulo::QumuloFault;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Lives that ended at a named place, by its name.
pub type CrashReport = BTreeMap<&'static str, u64>;

/// A place that is not reached so soon is given up, and the life ends with SIGKILL.
const POINT_WITHIN: Duration = Duration::from_secs(4);
/// A place that is waited for is reached so soon.
const PLACE_WITHIN: Duration = Duration::from_secs(60);
/// Longest time from a life's being ready to its end by SIGKILL.
const KILL_WITHIN_MS: u64 = 900;
/// Share of all lives that end at a named place, in percent.
const AT_POINTS: u64 = 50;
/// Share of all lives in which a plugin is swapped, beside what is drawn.
const SWAPPED: u64 = 50;
/// Share of the others that are ended while they start.
const AT_START: u64 = 15;

/// Something that goes wrong around the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The filers' sessions end.
    FilerUnauthorized,
    /// The filers answer 503.
    FilerUnavailable,
    /// The filers are slow.
    FilerSlow,
    /// Answers of the filers are cut.
    FilerCutAnswer,
    /// Writes to the filers are cut.
    FilerCutRequest,
    /// Renames and other changes are made, and their answers lost.
    FilerLostAnswer,
    /// The filers are full for a while.
    FilerFull,
    /// The filers' watches end.
    FilerWatches,
    /// The feed's connection is cut.
    FeedCut,
    /// The feed refuses connections.
    FeedRefused,
    /// Druid takes a task and the answer is lost.
    DruidLostAnswer,
    /// Druid fails a task.
    DruidFailedTask,
    /// Druid has no leader.
    DruidNoLeader,
    /// Druid forgets its tasks.
    DruidForgot,
    /// Another version of the source's plugin takes over while records flow.
    PluginSwapped,
    /// The broker is killed and started again; the embedded log has none.
    BrokerKilled,
}

impl Harm {
    const ALL: [Harm; 16] = [
        Harm::FilerUnauthorized,
        Harm::FilerUnavailable,
        Harm::FilerSlow,
        Harm::FilerCutAnswer,
        Harm::FilerCutRequest,
        Harm::FilerLostAnswer,
        Harm::FilerFull,
        Harm::FilerWatches,
        Harm::FeedCut,
        Harm::FeedRefused,
        Harm::DruidLostAnswer,
        Harm::DruidFailedTask,
        Harm::DruidNoLeader,
        Harm::DruidForgot,
        Harm::PluginSwapped,
        Harm::BrokerKilled,
    ];

    /// As the totals have it.
    pub fn name(self) -> &'static str {
        match self {
            Harm::FilerUnauthorized => "filer_401",
            Harm::FilerUnavailable => "filer_503",
            Harm::FilerSlow => "filer_slow",
            Harm::FilerCutAnswer => "filer_cut_answer",
            Harm::FilerCutRequest => "filer_cut_request",
            Harm::FilerLostAnswer => "filer_lost_answer",
            Harm::FilerFull => "filer_full",
            Harm::FilerWatches => "filer_watches_dropped",
            Harm::FeedCut => "feed_cut",
            Harm::FeedRefused => "feed_refused",
            Harm::DruidLostAnswer => "druid_lost_answer",
            Harm::DruidFailedTask => "druid_failed_task",
            Harm::DruidNoLeader => "druid_no_leader",
            Harm::DruidForgot => "druid_forgot",
            Harm::PluginSwapped => "plugin_swapped",
            Harm::BrokerKilled => "broker_killed",
        }
    }

    /// Does it; false: there is nothing to do it to.
    fn happen(self, rig: &mut Rig, dice: &mut Dice) -> Result<bool, String> {
        let times = 1 + dice.below(4);
        let filer = |fault: QumuloFault| rig.filers().into_iter().for_each(|store| store.fault(fault.clone()));
        match self {
            Harm::FilerUnauthorized => filer(QumuloFault::Unauthorized(times)),
            Harm::FilerUnavailable => filer(QumuloFault::AnswerNext { status: 503, retry_after: None, times }),
            Harm::FilerSlow => filer(QumuloFault::Delay { by: Duration::from_millis(300), times }),
            Harm::FilerCutAnswer => filer(QumuloFault::CutAnswer(times)),
            Harm::FilerCutRequest => filer(QumuloFault::CutRequest(times)),
            Harm::FilerLostAnswer => filer(QumuloFault::LoseAnswer(times)),
            // Until the next life.
            Harm::FilerFull => filer(QumuloFault::DiskFull(true)),
            Harm::FilerWatches => filer(QumuloFault::DropWatchers),
            Harm::FeedCut => rig.feed().fault(Fault::CutAll),
            Harm::FeedRefused => rig.feed().fault(Fault::AnswerNext { status: 503, retry_after: None }),
            Harm::DruidLostAnswer => rig.druid().fault(OverlordFault::LoseAnswer(1)),
            Harm::DruidFailedTask => {
                rig.druid().fault(OverlordFault::FailTask { message: "told to".to_owned(), times: 1 });
            }
            Harm::DruidNoLeader => rig.druid().fault(OverlordFault::NoLeader(times)),
            Harm::DruidForgot => rig.druid().fault(OverlordFault::ForgetTasks),
            Harm::PluginSwapped => return Ok(rig.swap(dice)),
            Harm::BrokerKilled => match rig.broker() {
                Some(broker) => broker.kill_and_restart()?,
                None => return Ok(false),
            },
        }
        Ok(true)
    }
}

/// Where a life can end: no record of this pipeline is one that a sink rejects.
pub(super) const PLACES: [CrashPoint; 12] = {
    use CrashPoint::*;
    [
        LogBeforeCommit,
        LogAfterCommit,
        SourceCommitted,
        OwnerTaken,
        SpoolWritten,
        SpoolPublished,
        SpoolClaimed,
        SpoolRecovered,
        SpoolSettled,
        IngestRecorded,
        IngestAccepted,
        IngestEnded,
    ]
};

/// The transform of a life: its way to fail, and how the totals name it.
const GUESTS: [(&str, &str); 4] =
    [("", "plugin_none"), ("trap", "plugin_traps"), ("loop", "plugin_loops"), ("bloat", "plugin_bloats")];

/// How a life is to end.
enum End {
    /// With SIGKILL, this long after it began to work.
    Kill(Duration),
    /// With SIGKILL, this long after it was started.
    KillAtStart(Duration),
    /// At a named place that it has passed so often.
    At(CrashPoint, u64),
}

impl End {
    fn draw(dice: &mut Dice) -> Self {
        if dice.happens(AT_POINTS) {
            End::At(*dice.pick(&PLACES), dice.below(6))
        } else if dice.happens(AT_START) {
            End::KillAtStart(Duration::from_millis(dice.below(500)))
        } else {
            End::Kill(Duration::from_millis(dice.below(KILL_WITHIN_MS)))
        }
    }
}

/// One life that ends the first time it comes to a place.
///
/// # Errors
/// When it does not come there, or ends in another way.
pub(super) fn die_at(rig: &mut Rig, point: CrashPoint, totals: &mut Totals) -> Result<(), String> {
    rig.start("", Some((point, 0)));
    rig.watch(Instant::now() + PLACE_WITHIN, totals);
    match rig.kill() {
        (None, true, _) => *totals.crashes.entry(point.name()).or_default() += 1,
        (code, _, said) => return Err(format!("`{}` was not reached, code {code:?}: {said}", point.name())),
    }
    Ok(())
}

/// One life of the host, with what goes wrong in it.
///
/// # Errors
/// When it ended by itself, which nothing that is done here may bring about.
pub(super) fn live(rig: &mut Rig, dice: &mut Dice, totals: &mut Totals) -> Result<(), String> {
    rig.filers().into_iter().for_each(|store| store.fault(QumuloFault::DiskFull(false)));
    let end = End::draw(dice);
    let mut harms: Vec<Harm> = (0..dice.below(3)).map(|_| *dice.pick(&Harm::ALL)).collect();
    if dice.happens(SWAPPED) {
        harms.push(Harm::PluginSwapped);
    }
    // Another component in the chain than in the life before, and each with a way of its own to fail.
    let (guest, kind) = *dice.pick(&GUESTS);
    *totals.harms.entry(kind).or_default() += 1;
    let armed = match end {
        End::At(point, times) => Some((point, times)),
        End::Kill(_) | End::KillAtStart(_) => None,
    };
    rig.start(guest, armed);
    let began = Instant::now();
    let deadline = match end {
        End::KillAtStart(after) => began + after,
        End::Kill(after) => {
            rig.wait_ready()?;
            Instant::now() + after
        }
        End::At(..) => {
            rig.wait_ready()?;
            began + POINT_WITHIN
        }
    };
    for harm in harms {
        if harm.happen(rig, dice)? {
            *totals.harms.entry(harm.name()).or_default() += 1;
        }
    }
    rig.watch(deadline, totals);
    let (code, died_by_itself, said) = rig.kill();
    match (code, died_by_itself, armed) {
        (None, true, Some((point, _))) => *totals.crashes.entry(point.name()).or_default() += 1,
        (None, false, _) => totals.kills += 1,
        _ => return Err(format!("the host ended by itself with {code:?}: {said}")),
    }
    Ok(())
}
