//! The ledger of an ingestion: two hosts write down what a task is to load, hand it in, follow it, and
//! write down how it ended. Mirrors `host/src/ingest/{ledger,plan,loading}.rs`.
//!
//! The service runs a task once for each identifier it is handed, whoever does. It is asked and told
//! over a net that loses answers, and may be told late.

use stateright::{Model, Property};

/// A break of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// An identifier is random, and made anew with each try.
    RandomIdentifier,
    /// A task is written down when the service has accepted it.
    RecordsAfter,
    /// Where no answer comes the batches are let go.
    LetsGoWithoutAnswer,
    /// The newer host does not end the older one's writer.
    NoFence,
}

/// Bounds of the state space, and what is broken in it.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Batches, which appear one by one.
    pub batches: u8,
    /// Crashes, after any step.
    pub crashes: u8,
    /// Lives that begin although the other host's runs.
    pub takeovers: u8,
    /// Answers that are lost.
    pub losses: u8,
    /// Tasks that fail.
    pub failures: u8,
    /// Tasks that are refused, for a reason that passes.
    pub refusals: u8,
    /// None: the protocol as it is.
    pub flaw: Option<Flaw>,
}

/// A task's identifier: a bit for each batch, the attempt, and what the flaw draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    set: u8,
    attempt: u8,
    random: u8,
}

/// A task in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Written down or handed in.
    Open,
    /// All of it is stored.
    Success,
    /// Nothing of it is stored.
    Failed,
}

/// What is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Book {
    tasks: Vec<(Id, Standing)>,
    /// A bit for each batch that is of a task, or stored.
    taken: u8,
    stored: u8,
}

/// A host's life; its book is what it read and wrote itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Life {
    is_up: bool,
    writer: u8,
    book: Book,
    /// About to be handed in, after it was written down or found unknown; first: just written down.
    in_hand: Option<(Id, bool)>,
    /// Heard from the service, and not yet written down.
    heard: Option<(Id, Standing)>,
}

/// All there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct State {
    arrived: u8,
    book: Book,
    writer: u8,
    service: Vec<(Id, Standing)>,
    /// On its way to the service, and given up by who sent it.
    late: Option<Id>,
    lives: [Life; 2],
    randoms: u8,
    crashes: u8,
    takeovers: u8,
    losses: u8,
    failures: u8,
    refusals: u8,
}

/// What becomes of a task that is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Accepted, or known already.
    Accepted,
    /// Accepted, and the answer lost.
    LostAccepted,
    /// Lost on its way, or not there yet.
    Lost,
    /// Refused.
    Refused,
}

/// A step of a host, or of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A batch appears.
    Arrive,
    /// A life begins: a writer, which ends the one before, and the ledger.
    Open(usize),
    /// Writes down a task of all batches that wait.
    Record(usize),
    /// Hands it in.
    HandIn(usize, Answer),
    /// Asks how the open task stands.
    Ask(usize),
    /// Writes down how it ended.
    End(usize),
    /// Dies.
    Crash(usize),
    /// A task runs to its end in the service: whether well.
    Run(Id, bool),
    /// What was given up arrives at the service.
    Late,
}

impl Book {
    fn open_task(&self) -> Option<Id> {
        self.tasks.iter().find(|(_, standing)| *standing == Standing::Open).map(|(id, _)| *id)
    }

    fn next(&self, arrived: u8) -> Option<Id> {
        let all = (1u8 << arrived) - 1;
        let set = all & !self.taken & !self.stored;
        let attempt = self.tasks.iter().filter(|(id, _)| id.set == set).count();
        (set != 0).then(|| Id { set, attempt: u8::try_from(attempt).unwrap_or(u8::MAX), random: 0 })
    }

    fn record(&mut self, id: Id) {
        self.tasks.push((id, Standing::Open));
        self.taken |= id.set;
    }

    fn end(&mut self, id: Id, standing: Standing) {
        for (_, other) in self.tasks.iter_mut().filter(|(other, _)| *other == id) {
            *other = standing;
        }
        self.taken &= !id.set;
        if standing == Standing::Success {
            self.stored |= id.set;
        }
    }
}

impl Ledger {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// One commit of a change; a host that was replaced ends.
    fn write(&self, state: &mut State, host: usize, change: impl Fn(&mut Book)) {
        let life = &mut state.lives[host];
        if life.writer != state.writer && !self.has(Flaw::NoFence) {
            *life = Life::default();
            return;
        }
        change(&mut life.book);
        change(&mut state.book);
    }

    fn hand_in(&self, state: &mut State, host: usize, answer: Answer) -> Option<()> {
        let (id, is_first) = state.lives[host].in_hand.take()?;
        let mut sent = id;
        if self.has(Flaw::RandomIdentifier) {
            state.randoms += 1;
            sent.random = state.randoms;
        }
        let is_known = state.service.iter().any(|(known, _)| *known == sent);
        match answer {
            Answer::Lost => state.late = Some(sent),
            Answer::Refused => {
                state.refusals -= 1;
                if is_known {
                    return Some(());
                }
                // The real host asks again for a while where it is not the first; that changes nothing here.
                let _ = is_first;
                self.write(state, host, |book| book.end(id, Standing::Failed));
            }
            _ if !is_known => {
                state.service.push((sent, Standing::Open));
                state.service.sort_by_key(|(id, _)| *id);
            }
            _ => {}
        }
        if matches!(answer, Answer::Lost | Answer::LostAccepted) {
            state.losses -= 1;
            if self.has(Flaw::LetsGoWithoutAnswer) {
                self.write(state, host, |book| book.end(id, Standing::Failed));
            }
        } else if answer == Answer::Accepted {
            match self.flaw {
                Some(Flaw::RecordsAfter) => self.write(state, host, |book| book.record(sent)),
                Some(Flaw::RandomIdentifier) => self.write(state, host, |book| {
                    book.tasks.iter_mut().filter(|(other, _)| *other == id).for_each(|(other, _)| *other = sent);
                }),
                _ => {}
            }
        }
        Some(())
    }

    fn is_done(&self, state: &State) -> bool {
        state.book.stored == (1u8 << self.batches) - 1
    }

    fn act(&self, state: &State, host: usize, actions: &mut Vec<Step>) {
        let life = &state.lives[host];
        if !life.is_up {
            let is_alone = !state.lives[1 - host].is_up;
            // Hosts are alike: who begins is number 0.
            let may_begin = host == 0 || state.writer > 0;
            if may_begin && !self.is_done(state) && (is_alone || state.takeovers > 0) {
                actions.push(Step::Open(host));
            }
            return;
        }
        if state.crashes > 0 {
            actions.push(Step::Crash(host));
        }
        if life.in_hand.is_some() {
            actions.push(Step::HandIn(host, Answer::Accepted));
            if state.losses > 0 {
                actions.extend([Answer::LostAccepted, Answer::Lost].map(|answer| Step::HandIn(host, answer)));
            }
            if state.refusals > 0 {
                actions.push(Step::HandIn(host, Answer::Refused));
            }
        } else if life.heard.is_some() {
            actions.push(Step::End(host));
        } else if life.book.open_task().is_some() {
            actions.push(Step::Ask(host));
        } else {
            actions.push(Step::Record(host));
        }
    }
}

impl Model for Ledger {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let Ledger { crashes, takeovers, losses, failures, refusals, .. } = *self;
        vec![State { crashes, takeovers, losses, failures, refusals, ..State::default() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        if state.arrived < self.batches {
            actions.push(Step::Arrive);
        }
        (0..2).for_each(|host| self.act(state, host, actions));
        for (id, _) in state.service.iter().filter(|(_, standing)| *standing == Standing::Open) {
            actions.push(Step::Run(*id, true));
            if state.failures > 0 {
                actions.push(Step::Run(*id, false));
            }
        }
        if state.late.is_some() {
            actions.push(Step::Late);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Arrive => state.arrived += 1,
            Step::Open(host) => {
                state.takeovers -= u8::from(state.lives[1 - host].is_up);
                state.writer += 1;
                let (writer, book) = (state.writer, state.book.clone());
                state.lives[host] = Life { is_up: true, writer, book, ..Life::default() };
            }
            Step::Record(host) => {
                let id = last.lives[host].book.next(last.arrived)?;
                if !self.has(Flaw::RecordsAfter) {
                    self.write(&mut state, host, |book| book.record(id));
                }
                if state.lives[host].is_up {
                    state.lives[host].in_hand = Some((id, true));
                }
            }
            Step::HandIn(host, answer) => self.hand_in(&mut state, host, answer)?,
            Step::Ask(host) => {
                let id = last.lives[host].book.open_task()?;
                match last.service.iter().find(|(known, _)| *known == id) {
                    None => state.lives[host].in_hand = Some((id, false)),
                    Some((_, Standing::Open)) => {}
                    Some((_, standing)) => state.lives[host].heard = Some((id, *standing)),
                }
            }
            Step::End(host) => {
                let (id, standing) = state.lives[host].heard.take()?;
                self.write(&mut state, host, |book| book.end(id, standing));
            }
            Step::Crash(host) => {
                state.crashes -= 1;
                state.lives[host] = Life::default();
            }
            Step::Run(id, is_success) => {
                state.failures -= u8::from(!is_success);
                let standing = if is_success { Standing::Success } else { Standing::Failed };
                state.service.iter_mut().filter(|(known, _)| *known == id).for_each(|(_, at)| *at = standing);
            }
            Step::Late => {
                let id = state.late.take()?;
                if !state.service.iter().any(|(known, _)| *known == id) {
                    state.service.push((id, Standing::Open));
                    state.service.sort_by_key(|(id, _)| *id);
                }
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no batch is in two tasks that succeeded", |_, state: &State| {
                let mut good = state.service.iter().filter(|(_, standing)| *standing == Standing::Success);
                good.try_fold(0, |seen, (id, _)| (seen & id.set == 0).then_some(seen | id.set)).is_some()
            }),
            Property::always("what is written down as stored is stored", |_, state: &State| {
                let good = state.service.iter().filter(|(_, standing)| *standing == Standing::Success);
                state.book.stored & !good.fold(0, |stored, (id, _)| stored | id.set) == 0
            }),
            Property::always("where it ends all batches are stored", |model: &Ledger, state: &State| {
                model.is_done(state) || !model.next_steps(state).is_empty()
            }),
            Property::sometimes("all batches are stored", |model: &Ledger, state: &State| model.is_done(state)),
        ]
    }
}
