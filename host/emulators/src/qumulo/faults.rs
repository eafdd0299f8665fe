//! The ways the emulator can be told to fail: once, by the handle, or at a rate.
//!
//! A fault waits for a request that it fits (a lost answer for something that changes files, a short
//! page for a listing), so what was asked for happens. Rates are decided by a seed and the order of
//! the requests that fit.

use std::sync::Mutex;
use std::time::Duration;

use axum::http::Method;

use super::route::{Part, Route};
use crate::dice::Dice;
use crate::fault_rate::FaultNames;
use crate::lock;

/// A way to fail. Those with a number hold for so many of the next requests that they fit, 0 ends
/// them; the others hold at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QumuloFault {
    /// Answers 401, whatever the token. Logins are let through.
    Unauthorized(u64),
    /// Ends all session tokens now. Access tokens stay.
    ExpireTokens,
    /// Answers 403.
    Forbidden(u64),
    /// Answers with a status (one below 100 or over 999 counts as 500) and, where given,
    /// `Retry-After` in seconds.
    AnswerNext {
        /// The status.
        status: u16,
        /// Seconds for `Retry-After`.
        retry_after: Option<u32>,
        /// How many requests.
        times: u64,
    },
    /// Waits before it does what was asked.
    Delay {
        /// How long.
        by: Duration,
        /// How many requests.
        times: u64,
    },
    /// Cuts the connection in the middle of an answer's body.
    CutAnswer(u64),
    /// Reads the first piece of the data of a write, writes it, and cuts the connection.
    CutRequest(u64),
    /// Gives fewer entries than were asked for, and a next page.
    ShortPage(u64),
    /// Carries out a change (create, rename, write, delete, and the like) and cuts the connection
    /// in place of the answer.
    LoseAnswer(u64),
    /// Ends all event streams now.
    DropWatchers,
    /// Refuses to watch, with this status: 403 or 404, as a cluster without the right or the call.
    RefuseNotify {
        /// The status.
        status: u16,
        /// How many requests.
        times: u64,
    },
    /// The file system is full (`true`) or has room again.
    DiskFull(bool),
    /// The file system can only be read (`true`) or written again.
    ReadOnly(bool),
}

/// A kind of fault that can happen at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// 401 for any request but a login.
    Unauthorized,
    /// 403 for any request but a login.
    Forbidden,
    /// 429 with `Retry-After: 1`.
    TooMany,
    /// 503.
    Unavailable,
    /// Half a second before the answer.
    Delay,
    /// The connection ends within the answer.
    CutAnswer,
    /// The connection ends within the data of a write.
    CutRequest,
    /// A page with fewer entries than asked for.
    ShortPage,
    /// A change is made and its answer lost.
    LoseAnswer,
    /// All event streams end, before any request is answered.
    DropWatchers,
    /// 403 for a watch.
    RefuseNotify,
    /// No space for a change.
    DiskFull,
}

impl FaultNames for FaultKind {
    const KINDS: &'static [(&'static str, Self)] = &[
        ("unauthorized", FaultKind::Unauthorized),
        ("forbidden", FaultKind::Forbidden),
        ("too-many", FaultKind::TooMany),
        ("unavailable", FaultKind::Unavailable),
        ("delay", FaultKind::Delay),
        ("cut-answer", FaultKind::CutAnswer),
        ("cut-request", FaultKind::CutRequest),
        ("short-page", FaultKind::ShortPage),
        ("lose-answer", FaultKind::LoseAnswer),
        ("drop-watchers", FaultKind::DropWatchers),
        ("refuse-notify", FaultKind::RefuseNotify),
        ("disk-full", FaultKind::DiskFull),
    ];
}
/// How long a delay at a rate is.
const RATE_DELAY: Duration = Duration::from_millis(500);

/// A fault of this emulator with how often it happens.
pub type FaultRate = crate::FaultRate<FaultKind>;

/// What is to go wrong with one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) delay: Option<Duration>,
    /// A status to answer with, and `Retry-After`.
    pub(super) answer: Option<(u16, Option<u32>)>,
    pub(super) cuts_answer: bool,
    pub(super) cuts_request: bool,
    pub(super) is_short: bool,
    pub(super) loses_answer: bool,
    pub(super) drops_watchers: bool,
    pub(super) is_full: bool,
}

impl Plan {
    /// Whether anything goes wrong.
    pub(super) fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// The faults that wait, and those that happen at a rate.
#[derive(Debug)]
pub(super) struct Faults {
    rates: Vec<FaultRate>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    armed: Vec<QumuloFault>,
}

impl Faults {
    pub(super) fn new(rates: Vec<FaultRate>, seed: u64) -> Self {
        Self { rates, state: Mutex::new(State { dice: Dice::new(seed), armed: Vec::new() }) }
    }

    /// Lets a fault wait for the requests it fits; in the place of one of its kind.
    pub(super) fn arm(&self, fault: QumuloFault) {
        let mut state = lock(&self.state);
        let kind = std::mem::discriminant(&fault);
        state.armed.retain(|armed| std::mem::discriminant(armed) != kind);
        state.armed.push(fault);
    }

    /// What is to go wrong with this request.
    pub(super) fn plan(&self, method: &Method, route: &Route) -> Plan {
        let mut plan = Plan::default();
        let mut state = lock(&self.state);
        let is_login = *route == Route::Login;
        let is_watch = matches!(route, Route::File(_, Part::Notify));
        let is_page = matches!(route, Route::File(_, Part::Entries)) && method == Method::GET;
        let is_change = method != Method::GET && !matches!(route, Route::Login | Route::Resolve);
        let is_write = matches!(route, Route::File(_, Part::Data)) && method != Method::GET;
        for fault in &mut state.armed {
            use QumuloFault::*;
            let fits = match fault {
                Unauthorized(_) | Forbidden(_) | CutAnswer(_) => !is_login,
                CutRequest(_) => is_write,
                ShortPage(_) => is_page,
                LoseAnswer(_) => is_change,
                RefuseNotify { .. } => is_watch,
                _ => true,
            };
            let times = match fault {
                Unauthorized(times) | Forbidden(times) | CutAnswer(times) | CutRequest(times) => times,
                ShortPage(times) | LoseAnswer(times) => times,
                AnswerNext { times, .. } | Delay { times, .. } | RefuseNotify { times, .. } => times,
                ExpireTokens | DropWatchers | DiskFull(_) | ReadOnly(_) => continue,
            };
            if !fits || *times == 0 {
                continue;
            }
            *times -= 1;
            match fault {
                Unauthorized(_) => plan.answer = Some((401, None)),
                Forbidden(_) => plan.answer = Some((403, None)),
                AnswerNext { status, retry_after, .. } => plan.answer = Some((*status, *retry_after)),
                RefuseNotify { status, .. } => plan.answer = Some((*status, None)),
                Delay { by, .. } => plan.delay = Some(*by),
                CutAnswer(_) => plan.cuts_answer = true,
                CutRequest(_) => plan.cuts_request = true,
                ShortPage(_) => plan.is_short = true,
                LoseAnswer(_) => plan.loses_answer = true,
                ExpireTokens | DropWatchers | DiskFull(_) | ReadOnly(_) => {}
            }
        }
        for FaultRate { kind, rate } in &self.rates {
            let fits = match kind {
                FaultKind::Unauthorized | FaultKind::Forbidden | FaultKind::CutAnswer => !is_login,
                FaultKind::CutRequest => is_write,
                FaultKind::ShortPage => is_page,
                FaultKind::LoseAnswer | FaultKind::DiskFull => is_change,
                FaultKind::RefuseNotify => is_watch,
                _ => true,
            };
            // 53 bits are what a float holds.
            if !fits || (state.dice.roll() >> 11) as f64 >= rate * (1_u64 << 53) as f64 {
                continue;
            }
            match kind {
                FaultKind::Unauthorized => plan.answer = Some((401, None)),
                FaultKind::Forbidden | FaultKind::RefuseNotify => plan.answer = Some((403, None)),
                FaultKind::TooMany => plan.answer = Some((429, Some(1))),
                FaultKind::Unavailable => plan.answer = Some((503, None)),
                FaultKind::Delay => plan.delay = Some(RATE_DELAY),
                FaultKind::CutAnswer => plan.cuts_answer = true,
                FaultKind::CutRequest => plan.cuts_request = true,
                FaultKind::ShortPage => plan.is_short = true,
                FaultKind::LoseAnswer => plan.loses_answer = true,
                FaultKind::DropWatchers => plan.drops_watchers = true,
                FaultKind::DiskFull => plan.is_full = true,
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Ref;
    use super::*;

    #[test]
    fn rates_are_read_and_the_kinds_named() {
        let read = |text: &str| text.parse::<FaultRate>();
        assert_eq!(read("cut-answer=0.25").unwrap(), FaultRate { kind: FaultKind::CutAnswer, rate: 0.25 });
        for bad in ["cut-answer", "cut-answer=", "cut-answer=2", "cut-answer=-1", "cut-answer=NaN"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let error = read("nothing=1").unwrap_err().to_string();
        assert!(FaultKind::KINDS.iter().all(|(name, _)| error.contains(name)), "{error}");
    }

    #[test]
    fn a_fault_waits_for_a_request_that_it_fits() {
        let faults = Faults::new(Vec::new(), 1);
        faults.arm(QumuloFault::LoseAnswer(1));
        faults.arm(QumuloFault::ShortPage(1));
        let list = Route::File(Ref::Id(2), Part::Entries);
        assert!(!faults.plan(&Method::GET, &Route::Version).is_any());
        assert!(faults.plan(&Method::GET, &list).is_short);
        assert!(!faults.plan(&Method::GET, &list).is_any());
        assert!(faults.plan(&Method::POST, &list).loses_answer);
        assert!(!faults.plan(&Method::POST, &list).is_any());
        faults.arm(QumuloFault::Unauthorized(5));
        faults.arm(QumuloFault::Unauthorized(0));
        assert!(!faults.plan(&Method::GET, &list).is_any());
    }

    #[test]
    fn rates_are_kept_and_the_same_for_a_seed() {
        let happened = |seed: u64| -> Vec<bool> {
            let faults = Faults::new(vec![FaultRate { kind: FaultKind::TooMany, rate: 0.3 }], seed);
            (0..1000).map(|_| faults.plan(&Method::GET, &Route::Version).answer.is_some()).collect()
        };
        assert_eq!(happened(7), happened(7));
        assert_ne!(happened(7), happened(8));
        let num = happened(7).into_iter().filter(|hit| *hit).count();
        assert!((250..350).contains(&num), "{num}");
        let always = Faults::new(vec![FaultRate { kind: FaultKind::TooMany, rate: 1.0 }], 1);
        assert!((0..100).all(|_| always.plan(&Method::GET, &Route::Version).answer.is_some()));
    }
}
