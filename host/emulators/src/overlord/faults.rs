//! The ways the emulator can be told to fail: once, by the handle, or at a rate.
//!
//! A fault waits for what it fits: a submission, a task that starts, a question after a status. Rates
//! are decided by a seed and the order of what they fit.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use crate::dice::Dice;
use crate::fault_rate::FaultNames;
use crate::lock;

/// A way to fail. Those with `times` hold for so many of what they fit, 0 ends them; the others hold
/// at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlordFault {
    /// Answers submissions with 503: there is no leader. Nothing is taken.
    NoLeader(u64),
    /// Answers submissions with 307 to another Overlord.
    Redirect {
        /// Scheme, host and port of the leader, such as `http://127.0.0.1:8090`.
        to: String,
        /// How many submissions.
        times: u64,
    },
    /// Refuses specs with 400.
    RefuseSpec {
        /// The `errorMessage`.
        message: String,
        /// How many submissions.
        times: u64,
    },
    /// Takes a task and cuts the connection in place of the answer.
    LoseAnswer(u64),
    /// Answers that a task was taken, and has never heard of it.
    ForgetNext(u64),
    /// Forgets all tasks that have not ended, now, as after a restart that lost them; they stop, and
    /// publish nothing.
    ForgetTasks,
    /// Answers any call with a status (one below 100 or over 999 counts as 500) and, where given,
    /// `Retry-After` in seconds.
    AnswerNext {
        /// The status.
        status: u16,
        /// Seconds for `Retry-After`.
        retry_after: Option<u32>,
        /// How many calls.
        times: u64,
    },
    /// Waits before it answers any call.
    Delay {
        /// How long.
        by: Duration,
        /// How many calls.
        times: u64,
    },
    /// Answers questions after the status of a task with 404, as a follower that has not heard of it.
    HideStatus(u64),
    /// Answers questions after the report of a task with 404.
    HideReport(u64),
    /// Lets tasks fail before they read anything.
    FailTask {
        /// The `errorMsg`.
        message: String,
        /// How many tasks that start.
        times: u64,
    },
    /// Lets tasks run without doing anything until [`OverlordFault::Release`].
    HangTask(u64),
    /// Lets tasks read their sources slowly.
    SlowFetch {
        /// How fast; 0 counts as 1.
        bytes_per_second: u64,
        /// How many tasks that start.
        times: u64,
    },
    /// Lets tasks stop reading after the first bytes, with the connection open, until
    /// [`OverlordFault::Release`].
    StallFetch(u64),
    /// Lets all tasks that hang or stall go on, now.
    Release,
}

/// A kind of fault that can happen at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// 503 for a submission.
    NoLeader,
    /// 400 for a submission.
    RefuseSpec,
    /// A task is taken and the answer lost.
    LoseAnswer,
    /// A task is said to be taken, and is not.
    Forget,
    /// 503 for any call.
    Unavailable,
    /// Half a second before the answer.
    Delay,
    /// 404 for a status.
    HideStatus,
    /// 404 for a report.
    HideReport,
    /// A task fails.
    FailTask,
    /// A task reads 64 kB/s.
    SlowFetch,
}

impl FaultNames for FaultKind {
    const KINDS: &'static [(&'static str, Self)] = &[
        ("no-leader", FaultKind::NoLeader),
        ("refuse-spec", FaultKind::RefuseSpec),
        ("lose-answer", FaultKind::LoseAnswer),
        ("forget", FaultKind::Forget),
        ("unavailable", FaultKind::Unavailable),
        ("delay", FaultKind::Delay),
        ("hide-status", FaultKind::HideStatus),
        ("hide-report", FaultKind::HideReport),
        ("fail-task", FaultKind::FailTask),
        ("slow-fetch", FaultKind::SlowFetch),
    ];
}
/// How long a delay at a rate is.
const RATE_DELAY: Duration = Duration::from_millis(500);
/// How slow a fetch at a rate is.
const RATE_BYTES_PER_SECOND: u64 = 64 * 1024;
const MESSAGE: &str = "the emulator was told to fail";

/// A fault of this emulator with how often it happens.
pub type FaultRate = crate::FaultRate<FaultKind>;

/// What is to go wrong with a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CallPlan {
    pub(super) delay: Option<Duration>,
    /// A status to answer with, and `Retry-After`.
    pub(super) answer: Option<(u16, Option<u32>)>,
    pub(super) redirect: Option<String>,
    pub(super) refuse: Option<String>,
    pub(super) loses_answer: bool,
    pub(super) forgets: bool,
    /// Whether the task or its report is said not to be there.
    pub(super) hides: bool,
}

impl CallPlan {
    /// Whether anything goes wrong.
    pub(super) fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// What is to go wrong with a task that starts.
#[derive(Debug, Default)]
pub(super) struct TaskPlan {
    pub(super) fails: Option<String>,
    pub(super) hangs: bool,
    pub(super) stalls: bool,
    pub(super) bytes_per_second: Option<u64>,
    /// Releases before this one are not meant for it.
    releases: u64,
}

impl TaskPlan {
    /// Whether anything goes wrong.
    pub(super) fn is_any(&self) -> bool {
        self.fails.is_some() || self.hangs || self.stalls || self.bytes_per_second.is_some()
    }
}

/// What a call is, as far as faults go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Submission,
    Status,
    Report,
    Other,
}

/// The faults that wait, and those that happen at a rate.
#[derive(Debug)]
pub(super) struct Faults {
    rates: Vec<FaultRate>,
    state: Mutex<State>,
    releases: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    armed: Vec<OverlordFault>,
}

impl State {
    /// Whether a fault of this kind happens at its rate.
    fn happens(&mut self, rates: &[FaultRate], kind: FaultKind) -> bool {
        let mut is_any = false;
        for FaultRate { rate, .. } in rates.iter().filter(|rate| rate.kind == kind) {
            // 53 bits are what a float holds.
            is_any |= ((self.dice.roll() >> 11) as f64) < rate * (1_u64 << 53) as f64;
        }
        is_any
    }
}

impl Faults {
    pub(super) fn new(rates: Vec<FaultRate>, seed: u64) -> Self {
        let state = Mutex::new(State { dice: Dice::new(seed), armed: Vec::new() });
        Self { rates, state, releases: watch::Sender::new(0) }
    }

    /// Lets a fault wait for what it fits; in the place of one of its kind.
    pub(super) fn arm(&self, fault: OverlordFault) {
        let mut state = lock(&self.state);
        let kind = std::mem::discriminant(&fault);
        state.armed.retain(|armed| std::mem::discriminant(armed) != kind);
        state.armed.push(fault);
    }

    /// Lets go what hangs and stalls.
    pub(super) fn release(&self) {
        self.releases.send_modify(|releases| *releases += 1);
    }

    /// Completes when there was a release after `plan` was made.
    pub(super) async fn released(&self, plan: &TaskPlan) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.releases.subscribe().wait_for(|releases| *releases > plan.releases).await;
    }

    /// What is to go wrong with this call.
    pub(super) fn plan_call(&self, asked: Asked) -> CallPlan {
        let mut plan = CallPlan::default();
        let mut state = lock(&self.state);
        let is_submission = asked == Asked::Submission;
        for fault in &mut state.armed {
            use OverlordFault::*;
            let (times, fits) = match fault {
                NoLeader(times) | LoseAnswer(times) | ForgetNext(times) => (times, is_submission),
                Redirect { times, .. } | RefuseSpec { times, .. } => (times, is_submission),
                AnswerNext { times, .. } | Delay { times, .. } => (times, true),
                HideStatus(times) => (times, asked == Asked::Status),
                HideReport(times) => (times, asked == Asked::Report),
                FailTask { .. } | HangTask(_) | SlowFetch { .. } | StallFetch(_) | ForgetTasks | Release => continue,
            };
            if !fits || *times == 0 {
                continue;
            }
            *times -= 1;
            match fault {
                NoLeader(_) => plan.answer = Some((503, None)),
                LoseAnswer(_) => plan.loses_answer = true,
                ForgetNext(_) => plan.forgets = true,
                Redirect { to, .. } => plan.redirect = Some(to.clone()),
                RefuseSpec { message, .. } => plan.refuse = Some(message.clone()),
                AnswerNext { status, retry_after, .. } => plan.answer = Some((*status, *retry_after)),
                Delay { by, .. } => plan.delay = Some(*by),
                HideStatus(_) | HideReport(_) => plan.hides = true,
                _ => {}
            }
        }
        let mut happens = |kind| state.happens(&self.rates, kind);
        if happens(FaultKind::Unavailable) || is_submission && happens(FaultKind::NoLeader) {
            plan.answer = Some((503, None));
        }
        if happens(FaultKind::Delay) {
            plan.delay = Some(RATE_DELAY);
        }
        match asked {
            Asked::Submission => {
                if happens(FaultKind::RefuseSpec) {
                    plan.refuse = Some(MESSAGE.to_owned());
                }
                plan.loses_answer |= happens(FaultKind::LoseAnswer);
                plan.forgets |= happens(FaultKind::Forget);
            }
            Asked::Status => plan.hides |= happens(FaultKind::HideStatus),
            Asked::Report => plan.hides |= happens(FaultKind::HideReport),
            Asked::Other => {}
        }
        plan
    }

    /// What is to go wrong with a task that starts now.
    pub(super) fn plan_task(&self) -> TaskPlan {
        let mut plan = TaskPlan { releases: *self.releases.borrow(), ..TaskPlan::default() };
        let mut state = lock(&self.state);
        for fault in &mut state.armed {
            use OverlordFault::*;
            match fault {
                FailTask { times, message } if *times > 0 => {
                    *times -= 1;
                    plan.fails = Some(message.clone());
                }
                HangTask(times) if *times > 0 => {
                    *times -= 1;
                    plan.hangs = true;
                }
                StallFetch(times) if *times > 0 => {
                    *times -= 1;
                    plan.stalls = true;
                }
                SlowFetch { times, bytes_per_second } if *times > 0 => {
                    *times -= 1;
                    plan.bytes_per_second = Some(*bytes_per_second);
                }
                _ => {}
            }
        }
        if state.happens(&self.rates, FaultKind::FailTask) {
            plan.fails = Some(MESSAGE.to_owned());
        }
        if state.happens(&self.rates, FaultKind::SlowFetch) {
            plan.bytes_per_second = Some(RATE_BYTES_PER_SECOND);
        }
        plan
    }
}
