//! The source's half of the spool protocol: two hosts claim files from one inbox, each into the lane
//! of its task, commit records with the claim they are of, and settle what is committed. Mirrors
//! `host/src/spool/{source,claim,owner}.rs` and the order of `host/src/task/source_task.rs`.
//!
//! One step is one rename or one commit; a poll is not a step, since nobody sees it. Numbers stand for
//! what is random there: a token is the number of the taking. A lane's directory has the token in its
//! name, so a rename out of or into it works only for who took it last.

mod state;

pub use state::{Claim, Lane, Life, Position, Stage, State, Step, Written};

use crate::Lost;
use stateright::{Model, Property};

/// A break of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Files are settled when they were read, not when they are committed.
    SettlesBeforeCommit,
    /// A lane's directory keeps its name when it is taken over.
    NoDirectoryFence,
    /// Who adopts a lane does not end its owner's writer in the log.
    NoLogFence,
    /// Records are one commit, the position after them another.
    PositionApart,
    /// A life reads its position, takes the lane, and does not ask whether the log still holds it for the
    /// newest: a life that slept in between renames claims by an old position. Found in the host by this model.
    NoProbe,
    /// A life whose lane is taken while it recovers goes on with what it has: its first commit replaces the
    /// position by which the rest would have been settled. Found in the host by this model.
    GoesOnWithoutLane,
}

/// Bounds of the state space, and what is broken in it.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Files in the inbox at first.
    pub files: u8,
    /// Records of each.
    pub records: u8,
    /// The task that each host runs; the same one: two hosts that do not know of each other.
    pub tasks: [u8; 2],
    /// Crashes, after any step.
    pub crashes: u8,
    /// Orderly stops.
    pub stops: u8,
    /// Lanes that are taken although their owner may be alive.
    pub takeovers: u8,
    /// Renames whose answer is lost.
    pub losses: u8,
    /// Whether a claim without answer may also be made later, when nobody expects it.
    pub late: bool,
    /// None: the protocol as it should be.
    pub flaw: Option<Flaw>,
}

impl Claims {
    fn lane(&self, host: usize) -> usize {
        usize::from(self.tasks[host])
    }

    /// Whether a rename by `token` finds the lane's directory under its name.
    fn holds(&self, state: &State, lane: usize, token: u8) -> bool {
        let held = state.lanes[lane].token;
        held != 0 && (held == token || self.flaw == Some(Flaw::NoDirectoryFence))
    }

    fn is_newest(&self, state: &State, host: usize) -> bool {
        state.log[self.lane(host)].writer == state.lives[host].writer
    }

    /// One claim of an earlier life in `lane`: settled, or claimed into the host's own.
    fn recover(&self, state: &mut State, host: usize, lane: usize, by: u8, position: Position) -> bool {
        let (own, holds) = (self.lane(host), self.holds(state, lane, by));
        let life = &mut state.lives[host];
        let found = state.lanes[lane].claims.iter().position(|claim| claim.token != life.token);
        let Some(index) = found.filter(|_| holds) else { return false };
        let old = state.lanes[lane].claims.remove(index);
        let is_of_it = position.token == old.token;
        if is_of_it && old.number < position.claim {
            state.outbox.push(old.file);
            return true;
        }
        let from = if is_of_it && old.number == position.claim { position.bytes.max(old.from) } else { old.from };
        let claim = Claim { token: life.token, number: life.next, from, file: old.file };
        if own != lane && state.lanes[own].token != life.token {
            // Its own lane is gone: the rename fails.
            state.lanes[lane].claims.insert(index, old);
            return false;
        }
        life.next += 1;
        life.claims.push(claim.clone());
        state.lanes[own].claims.push(claim);
        state.lanes[own].claims.sort();
        true
    }

    fn claim(&self, state: &mut State, host: usize, file: u8) -> bool {
        let life = &state.lives[host];
        let claim = Claim { token: life.token, number: life.next, from: 0, file };
        self.move_in(state, self.lane(host), claim)
    }

    /// Moves a file from the inbox into a lane, if both are there.
    fn move_in(&self, state: &mut State, lane: usize, claim: Claim) -> bool {
        let file = claim.file;
        let Some(index) = state.inbox.iter().position(|waiting| *waiting == file) else { return false };
        if !self.holds(state, lane, claim.token) {
            return false;
        }
        state.inbox.remove(index);
        state.lanes[lane].claims.push(claim);
        state.lanes[lane].claims.sort();
        true
    }

    fn note_claim(state: &mut State, host: usize, file: u8) {
        let life = &mut state.lives[host];
        life.claims.push(Claim { token: life.token, number: life.next, from: 0, file });
        life.next += 1;
    }

    /// Moves a claim out of its lane, if it is there.
    fn leave(&self, state: &mut State, host: usize, claim: &Claim) -> bool {
        let lane = self.lane(host);
        let held = self.holds(state, lane, state.lives[host].token);
        // A claim's own name stays as it was claimed.
        let of = |other: &Claim| (other.token, other.number, other.file) == (claim.token, claim.number, claim.file);
        let index = state.lanes[lane].claims.iter().position(of).filter(|_| held);
        index.map(|index| state.lanes[lane].claims.remove(index)).is_some()
    }

    fn commit(&self, state: &mut State, host: usize) {
        if !self.is_newest(state, host) {
            state.lives[host].stage = Stage::Closing;
            return;
        }
        let lane = self.lane(host);
        let life = &mut state.lives[host];
        let mut claim = life.claims.remove(0);
        state.committed[usize::from(claim.file)][usize::from(claim.from)] += 1;
        claim.from += 1;
        let mut position = Position { token: claim.token, claim: claim.number, bytes: claim.from };
        if claim.from == self.records {
            (position.claim, position.bytes) = (claim.number + 1, 0);
            if self.flaw != Some(Flaw::SettlesBeforeCommit) {
                life.done.push(claim);
            }
        } else {
            life.claims.insert(0, claim);
        }
        match self.flaw {
            Some(Flaw::PositionApart) => life.apart = Some(position),
            _ => state.log[lane].position = position,
        }
    }

    fn is_done(&self, state: &State) -> bool {
        state.outbox.len() == usize::from(self.files) && state.committed.iter().flatten().all(|count| *count >= 1)
    }
}

impl Model for Claims {
    type State = State;
    type Action = (usize, Step);

    fn init_states(&self) -> Vec<State> {
        let committed = vec![vec![0; usize::from(self.records)]; usize::from(self.files)];
        let Claims { crashes, stops, takeovers, losses, .. } = *self;
        let inbox = (0..self.files).collect();
        vec![State { inbox, committed, crashes, stops, takeovers, losses, ..State::default() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Self::Action>) {
        if state.late.is_some() {
            actions.push((0, Step::Arrive));
        }
        for host in 0..2 {
            let life = &state.lives[host];
            let mut add = |step| actions.push((host, step));
            if life.stage != Stage::Down && state.crashes > 0 {
                add(Step::Crash);
            }
            match life.stage {
                Stage::Down => {
                    let other = 1 - host;
                    let shared = self.tasks[host] == self.tasks[other] && state.lives[other].stage != Stage::Down;
                    // Hosts are alike: who begins is number 0.
                    let may_begin = host == 0 || state.log.iter().any(|log| log.writer > 0);
                    if may_begin && !self.is_done(state) && (!shared || state.takeovers > 0) {
                        add(Step::Open);
                    }
                }
                Stage::Opened => add(Step::Take),
                Stage::Taken => add(Step::Probe),
                Stage::Recovering | Stage::Adopted => add(Step::Recover),
                Stage::Adopting => add(Step::Fence),
                Stage::Closing => add(Step::PutBack),
                Stage::Running => self.running(state, host, &mut add),
            }
        }
    }

    fn next_state(&self, last: &State, (host, step): Self::Action) -> Option<State> {
        let mut state = last.clone();
        let (lane, other) = (self.lane(host), 1 - self.lane(host));
        match step {
            Step::Open => {
                let shared = self.tasks[0] == self.tasks[1] && last.lives[1 - host].stage != Stage::Down;
                state.takeovers -= u8::from(shared);
                state.log[lane].writer += 1;
                let Written { writer, position } = state.log[lane];
                state.lives[host] = Life { stage: Stage::Opened, writer, position, ..Life::default() };
            }
            Step::Take => {
                state.tokens += 1;
                state.lanes[lane].token = state.tokens;
                state.lives[host].token = state.tokens;
                state.lives[host].stage = Stage::Taken;
            }
            Step::Probe => {
                let passes = self.flaw == Some(Flaw::NoProbe) || self.is_newest(last, host);
                state.lives[host].stage = if passes { Stage::Recovering } else { Stage::Down };
            }
            Step::Recover => self.recover_step(&mut state, host),
            Step::Claim(file, None) => {
                if !self.claim(&mut state, host, file) {
                    return None;
                }
                Self::note_claim(&mut state, host, file);
            }
            Step::Claim(file, Some(lost)) => {
                state.losses -= 1;
                state.lives[host].in_doubt = Some(file);
                match lost {
                    Lost::Done if !self.claim(&mut state, host, file) => return None,
                    Lost::Late => {
                        let Life { token, next, .. } = last.lives[host];
                        state.late = Some((host, Claim { token, number: next, from: 0, file }));
                    }
                    Lost::Done | Lost::NotDone => {}
                }
            }
            Step::Arrive => {
                let (host, claim) = state.late.take()?;
                self.move_in(&mut state, self.lane(host), claim);
            }
            Step::Resolve => {
                let file = state.lives[host].in_doubt.take()?;
                let life = &last.lives[host];
                let claim = Claim { token: life.token, number: life.next, from: 0, file };
                let is_there = self.holds(last, lane, life.token) && last.lanes[lane].claims.contains(&claim);
                if self.claim(&mut state, host, file) || is_there {
                    Self::note_claim(&mut state, host, file);
                }
            }
            Step::Commit => self.commit(&mut state, host),
            Step::CommitPosition => {
                let position = state.lives[host].apart.take()?;
                match self.is_newest(last, host) {
                    true => state.log[lane].position = position,
                    false => state.lives[host].stage = Stage::Closing,
                }
            }
            Step::Settle(is_lost) => {
                let life = &last.lives[host];
                let claim = life.done.first().or(life.claims.first())?.clone();
                if self.leave(&mut state, host, &claim) {
                    state.outbox.push(claim.file);
                }
                match is_lost {
                    true => state.losses -= 1,
                    false => state.lives[host].done.retain(|other| *other != claim),
                }
            }
            Step::Adopt => {
                state.takeovers -= 1;
                state.tokens += 1;
                state.lanes[other].token = state.tokens;
                state.lives[host].adopted = state.tokens;
                state.lives[host].stage = Stage::Adopting;
            }
            Step::Fence => {
                state.log[other].writer += u8::from(self.flaw != Some(Flaw::NoLogFence));
                state.lives[host].position = state.log[other].position;
                state.lives[host].stage = Stage::Adopted;
            }
            Step::Stop => {
                state.stops -= 1;
                state.lives[host].stage = Stage::Closing;
            }
            Step::PutBack => {
                let index = state.lives[host].claims.iter().position(|claim| claim.from == 0);
                match index.map(|index| state.lives[host].claims.remove(index)) {
                    Some(claim) if self.leave(&mut state, host, &claim) => {
                        state.inbox.push(claim.file);
                        state.inbox.sort_unstable();
                    }
                    Some(_) => {}
                    None => state.lives[host] = Life::default(),
                }
            }
            Step::Notice => state.lives[host] = Life::default(),
            Step::Crash => {
                state.crashes -= 1;
                state.lives[host] = Life::default();
            }
        }
        if state.lives[host].stage == Stage::Down {
            state.lives[host] = Life::default();
        }
        state.outbox.sort_unstable();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no record is committed twice", |_, state: &State| {
                state.committed.iter().flatten().all(|count| *count <= 1)
            }),
            Property::always("what is settled is committed", |_, state: &State| {
                state.outbox.iter().all(|file| state.committed[usize::from(*file)].iter().all(|count| *count >= 1))
            }),
            Property::always("each file is in one place", |model: &Claims, state: &State| {
                let claimed = state.lanes.iter().flat_map(|lane| &lane.claims).map(|claim| claim.file);
                let mut all: Vec<u8> = state.inbox.iter().chain(&state.outbox).copied().chain(claimed).collect();
                all.sort_unstable();
                all == (0..model.files).collect::<Vec<u8>>()
            }),
            Property::always("where it ends all is committed and settled", |model: &Claims, state: &State| {
                model.is_done(state) || !model.next_steps(state).is_empty()
            }),
            Property::sometimes("all is committed and settled", |model: &Claims, state: &State| model.is_done(state)),
        ]
    }
}

impl Claims {
    fn running(&self, state: &State, host: usize, add: &mut dyn FnMut(Step)) {
        let (life, lane) = (&state.lives[host], self.lane(host));
        if life.apart.is_some() {
            return add(Step::CommitPosition);
        }
        if state.lanes[lane].token != life.token {
            add(Step::Notice);
        }
        if state.stops > 0 {
            add(Step::Stop);
        }
        let settles_early = self.flaw == Some(Flaw::SettlesBeforeCommit) && !life.claims.is_empty();
        if !life.done.is_empty() || settles_early {
            add(Step::Settle(false));
            if state.losses > 0 {
                add(Step::Settle(true));
            }
        }
        if life.in_doubt.is_some() {
            add(Step::Resolve);
        } else {
            for file in &state.inbox {
                add(Step::Claim(*file, None));
                if state.losses > 0 {
                    add(Step::Claim(*file, Some(Lost::Done)));
                    add(Step::Claim(*file, Some(Lost::NotDone)));
                    if self.late {
                        add(Step::Claim(*file, Some(Lost::Late)));
                    }
                }
            }
            let other = &state.lanes[1 - lane];
            if self.tasks[0] != self.tasks[1] && state.takeovers > 0 && other.token != 0 {
                add(Step::Adopt);
            }
        }
        if !life.claims.is_empty() {
            add(Step::Commit);
        }
    }

    fn recover_step(&self, state: &mut State, host: usize) {
        let (lane, other) = (self.lane(host), 1 - self.lane(host));
        let Life { stage, position, token, adopted, .. } = state.lives[host];
        let (from, by) = if stage == Stage::Adopted { (other, adopted) } else { (lane, token) };
        if self.recover(state, host, from, by, position) {
            return;
        }
        if stage == Stage::Adopted && state.lanes[other].token == by && state.lanes[other].claims.is_empty() {
            state.lanes[other] = Lane::default();
        }
        let is_lost = !self.holds(state, lane, token) && self.flaw != Some(Flaw::GoesOnWithoutLane);
        state.lives[host].adopted = 0;
        state.lives[host].stage = if stage == Stage::Recovering && is_lost { Stage::Down } else { Stage::Running };
    }
}
