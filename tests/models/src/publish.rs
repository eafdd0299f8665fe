//! The sink's half of the spool protocol: two hosts with the same task write files of one partition
//! aside, publish each by one rename, and commit offsets some time after. Mirrors
//! `host/src/spool/{sink,names,owner}.rs` and `host/src/task/sink_task.rs`.
//!
//! Files move on meanwhile, and a start reads names place by place, while they do: that is where it
//! could overlook one. A file's name is the offsets it holds, and is all that a later start knows of it.

use crate::Lost;
use stateright::{Model, Property};

/// A break of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A start goes on at the committed offset, whatever names there are.
    NoMemoryInNames,
    /// Files are written in a directory that keeps its name when another takes over.
    NoDirectoryFence,
    /// Names are read before the directory is taken.
    ReadsNamesFirst,
    /// Names are read once: a file that is put back behind the reading is overlooked.
    ReadsNamesOnce,
    /// The newest file is deleted from the trash like any other.
    DeletesNewest,
    /// An offset is committed when its records are written aside.
    CommitsWritten,
}

/// Bounds of the state space, and what is broken in it.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Records in the log.
    pub records: u8,
    /// Crashes, after any step.
    pub crashes: u8,
    /// Lives that begin although the other host's runs.
    pub takeovers: u8,
    /// Renames whose answer is lost: done, not done, or done later.
    pub losses: u8,
    /// Files that a source gives back to the inbox.
    pub put_backs: u8,
    /// None: the protocol as it is.
    pub flaw: Option<Flaw>,
}

/// Offsets of a file: the first, and the one after the last.
pub type Interval = (u8, u8);

/// Where a life is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Not running.
    #[default]
    Down,
    /// It has its writer.
    Opened,
    /// It knows the committed offset.
    Asked,
    /// It reads names: in which pass, and which place is next.
    Reading(u8, u8),
    /// It writes and publishes.
    Ready,
    /// A call failed.
    Trouble,
}

/// A host's life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Life {
    stage: Stage,
    writer: u8,
    epoch: u8,
    /// What it knows the group to have committed.
    committed: u8,
    /// Everything before it is published, as far as it knows.
    safe: u8,
    /// The file that it has written aside.
    written: Option<Interval>,
}

/// All there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// Of the partition's directory: rises with each owner.
    epoch: u8,
    /// Files in inbox, lanes and outbox.
    places: [Vec<Interval>; 3],
    /// How often each record was published.
    published: Vec<u8>,
    /// The newest writer in the log.
    writer: u8,
    committed: u8,
    has_gone_back: bool,
    lives: [Life; 2],
    /// A rename that nobody waits for any more, and the epoch its path names.
    late: Option<(u8, Interval)>,
    crashes: u8,
    takeovers: u8,
    losses: u8,
    put_backs: u8,
}

/// A step of a host, or of what moves files on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Begins a life: a writer, which ends the one before.
    Open(usize),
    /// Asks for the committed offset.
    Ask(usize),
    /// Takes the directory and clears it; true: no answer.
    Take(usize, bool),
    /// Reads the names in one place.
    Read(usize),
    /// Writes a file aside up to an offset.
    Write(usize, u8),
    /// Publishes it, with or without an answer.
    Publish(usize, Option<Lost>),
    /// Commits what is safe.
    Commit(usize),
    /// Finds that its directory was taken.
    Notice(usize),
    /// Commits what is safe before it begins again, or learns that it was replaced.
    CommitInTrouble(usize),
    /// Dies.
    Crash(usize),
    /// The rename that was given up arrives.
    Arrive,
    /// A file moves on: claimed, or settled.
    Move(usize, Interval),
    /// A claim is put back.
    PutBack(Interval),
    /// A file is deleted from the trash.
    Delete(Interval),
}

impl Publish {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn publish(&self, state: &mut State, epoch: u8, file: Interval) -> bool {
        let is_there = epoch == state.epoch || self.has(Flaw::NoDirectoryFence);
        if !is_there || state.places[0].contains(&file) {
            return false;
        }
        state.places[0].push(file);
        (file.0..file.1).for_each(|offset| state.published[usize::from(offset)] += 1);
        true
    }

    fn commit(&self, state: &mut State, host: usize) -> bool {
        let life = &mut state.lives[host];
        if life.writer != state.writer {
            return false;
        }
        let written = life.written.filter(|_| self.has(Flaw::CommitsWritten)).map(|file| file.1);
        let safe = life.safe.max(written.unwrap_or(0));
        if life.committed < safe {
            life.committed = safe;
            state.has_gone_back |= safe < state.committed;
            state.committed = safe;
        }
        true
    }

    fn is_done(&self, state: &State) -> bool {
        state.committed == self.records && state.published.iter().all(|count| *count >= 1)
    }

    fn after_reading(&self, pass: u8, place: u8) -> Stage {
        let passes = if self.has(Flaw::ReadsNamesOnce) { 1 } else { 2 };
        match (place, pass + 1 == passes) {
            (0 | 1, _) => Stage::Reading(pass, place + 1),
            (_, false) => Stage::Reading(pass + 1, 0),
            (_, true) => Stage::Ready,
        }
    }

    fn act(&self, state: &State, host: usize, actions: &mut Vec<Step>) {
        let life = &state.lives[host];
        if life.stage != Stage::Down && state.crashes > 0 {
            actions.push(Step::Crash(host));
        }
        match life.stage {
            Stage::Down => {
                let is_alone = state.lives[1 - host].stage == Stage::Down;
                // Hosts are alike: who begins is number 0.
                let may_begin = host == 0 || state.writer > 0;
                if may_begin && !self.is_done(state) && (is_alone || state.takeovers > 0) {
                    actions.push(Step::Open(host));
                }
            }
            Stage::Opened => actions.push(Step::Ask(host)),
            Stage::Asked => {
                actions.push(Step::Take(host, false));
                if state.losses > 0 {
                    actions.push(Step::Take(host, true));
                }
            }
            Stage::Reading(..) => actions.push(Step::Read(host)),
            Stage::Trouble => actions.push(Step::CommitInTrouble(host)),
            Stage::Ready => {
                if life.epoch != state.epoch {
                    actions.push(Step::Notice(host));
                }
                match life.written {
                    None => actions.extend((life.safe + 1..=self.records).map(|next| Step::Write(host, next))),
                    Some(_) => {
                        actions.push(Step::Publish(host, None));
                        if state.losses > 0 {
                            let lost = [Lost::Done, Lost::NotDone, Lost::Late];
                            actions.extend(lost.map(|lost| Step::Publish(host, Some(lost))));
                        }
                    }
                }
                actions.push(Step::Commit(host));
            }
        }
    }

    fn step(&self, state: &mut State, step: Step) -> Option<()> {
        match step {
            Step::Open(host) => {
                state.takeovers -= u8::from(state.lives[1 - host].stage != Stage::Down);
                state.writer += 1;
                state.lives[host] = Life { stage: Stage::Opened, writer: state.writer, ..Life::default() };
            }
            Step::Ask(host) => {
                let Life { writer, .. } = state.lives[host];
                let (committed, mut safe) = (state.committed, 0);
                if self.has(Flaw::ReadsNamesFirst) {
                    safe = state.places.iter().flatten().map(|file| file.1).max().unwrap_or(0);
                }
                state.lives[host] = Life { stage: Stage::Asked, writer, committed, safe, ..Life::default() };
            }
            Step::Take(host, is_lost) => {
                state.epoch += 1;
                state.losses -= u8::from(is_lost);
                let life = &mut state.lives[host];
                life.epoch = state.epoch;
                life.stage = match is_lost {
                    true => Stage::Trouble,
                    false if self.has(Flaw::ReadsNamesFirst) => Stage::Ready,
                    false => Stage::Reading(0, 0),
                };
                life.safe = life.safe.max(life.committed);
            }
            Step::Read(host) => {
                let life = &mut state.lives[host];
                let Stage::Reading(pass, place) = life.stage else { return None };
                let found = state.places[usize::from(place)].iter().map(|file| file.1).max();
                if !self.has(Flaw::NoMemoryInNames) {
                    life.safe = life.safe.max(found.unwrap_or(0));
                }
                life.stage = self.after_reading(pass, place);
            }
            Step::Write(host, next) => {
                let life = &mut state.lives[host];
                life.written = Some((life.safe, next));
            }
            Step::Publish(host, lost) => {
                let Life { epoch, written, .. } = state.lives[host];
                let file = written?;
                state.lives[host].written = None;
                state.losses -= u8::from(lost.is_some());
                if lost == Some(Lost::Late) {
                    state.late = Some((epoch, file));
                }
                let is_done = matches!(lost, None | Some(Lost::Done)) && self.publish(state, epoch, file);
                match is_done && lost.is_none() {
                    true => state.lives[host].safe = file.1,
                    false => state.lives[host].stage = Stage::Trouble,
                }
            }
            Step::Commit(host) => {
                if !self.commit(state, host) {
                    state.lives[host] = Life::default();
                }
            }
            Step::Notice(host) => {
                state.lives[host].written = None;
                state.lives[host].stage = Stage::Trouble;
            }
            Step::CommitInTrouble(host) => match self.commit(state, host) {
                true => state.lives[host].stage = Stage::Opened,
                false => state.lives[host] = Life::default(),
            },
            Step::Crash(host) => {
                state.crashes -= 1;
                state.lives[host] = Life::default();
            }
            Step::Arrive => {
                let (epoch, file) = state.late.take()?;
                self.publish(state, epoch, file);
            }
            Step::Move(place, file) => {
                state.places[place].retain(|other| *other != file);
                state.places[place + 1].push(file);
            }
            Step::PutBack(file) => {
                state.put_backs -= 1;
                state.places[1].retain(|other| *other != file);
                state.places[0].push(file);
            }
            Step::Delete(file) => state.places[2].retain(|other| *other != file),
        }
        Some(())
    }
}

impl Model for Publish {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let Publish { crashes, takeovers, losses, put_backs, .. } = *self;
        let published = vec![0; usize::from(self.records)];
        vec![State { published, crashes, takeovers, losses, put_backs, ..State::default() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        (0..2).for_each(|host| self.act(state, host, actions));
        if state.late.is_some() {
            actions.push(Step::Arrive);
        }
        for (place, files) in state.places.iter().enumerate().take(2) {
            actions.extend(files.iter().map(|file| Step::Move(place, *file)));
        }
        if state.put_backs > 0 {
            actions.extend(state.places[1].iter().map(|file| Step::PutBack(*file)));
        }
        // The trash sees only itself: its newest stays.
        let newest = state.places[2].iter().map(|file| file.1).max();
        let may_go = |file: &&Interval| Some(file.1) != newest || self.has(Flaw::DeletesNewest);
        actions.extend(state.places[2].iter().filter(may_go).map(|file| Step::Delete(*file)));
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        self.step(&mut state, step)?;
        state.places.iter_mut().for_each(|files| files.sort_unstable());
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no record is published twice", |_, state: &State| {
                state.published.iter().all(|count| *count <= 1)
            }),
            Property::always("what is published is a prefix", |_, state: &State| {
                state.published.is_sorted_by(|a, b| a >= b)
            }),
            Property::always("what is committed is published", |_, state: &State| {
                state.published.iter().take(usize::from(state.committed)).all(|count| *count >= 1)
            }),
            Property::always("committed offsets never go back", |_, state: &State| !state.has_gone_back),
            Property::always("where it ends all is published and committed", |model: &Publish, state: &State| {
                model.is_done(state) || !model.next_steps(state).is_empty()
            }),
            Property::sometimes("all is published and committed", |model: &Publish, state: &State| {
                model.is_done(state)
            }),
        ]
    }
}
