//! What there is while files are claimed, and the steps that change it.

use crate::Lost;

/// A claimed file, under its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    pub(super) token: u8,
    pub(super) number: u8,
    pub(super) from: u8,
    pub(super) file: u8,
}

/// A lane's directory; token 0: there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Lane {
    pub(super) token: u8,
    pub(super) claims: Vec<Claim>,
}

/// What was committed last by a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Position {
    pub(super) token: u8,
    pub(super) claim: u8,
    pub(super) bytes: u8,
}

/// What the log keeps of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Written {
    /// The newest writer; older ones can commit nothing.
    pub(super) writer: u8,
    pub(super) position: Position,
}

/// Where a life is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Not running.
    #[default]
    Down,
    /// It has its writer and its position.
    Opened,
    /// It has the lane.
    Taken,
    /// It goes through what an earlier life left in the lane.
    Recovering,
    /// It claims, commits and settles.
    Running,
    /// It has taken the other task's directory.
    Adopting,
    /// It has ended the other task's writer, and goes through what that left.
    Adopted,
    /// It gives back what it has not begun.
    Closing,
}

/// A host's life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Life {
    pub(super) stage: Stage,
    pub(super) writer: u8,
    pub(super) position: Position,
    pub(super) token: u8,
    pub(super) next: u8,
    /// To be read, the first one perhaps in part.
    pub(super) claims: Vec<Claim>,
    /// Committed, and not settled.
    pub(super) done: Vec<Claim>,
    /// A file whose claim had no answer.
    pub(super) in_doubt: Option<u8>,
    /// Flaw: a position that is still to be committed.
    pub(super) apart: Option<Position>,
    /// Token of the directory that is being adopted.
    pub(super) adopted: u8,
}

/// All there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) inbox: Vec<u8>,
    pub(super) lanes: [Lane; 2],
    pub(super) outbox: Vec<u8>,
    pub(super) log: [Written; 2],
    /// How often each record of each file was committed.
    pub(super) committed: Vec<Vec<u8>>,
    pub(super) lives: [Life; 2],
    /// A claim that nobody waits for any more, and whose.
    pub(super) late: Option<(usize, Claim)>,
    pub(super) tokens: u8,
    pub(super) crashes: u8,
    pub(super) stops: u8,
    pub(super) takeovers: u8,
    pub(super) losses: u8,
}

/// A step of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Begins a life: a writer, which ends the one before, and the position.
    Open,
    /// Takes the lane by renaming its directory.
    Take,
    /// Asks the log whether it is still the newest.
    Probe,
    /// Settles or takes up one claim of an earlier life; goes on when there is none.
    Recover,
    /// Claims a file, with or without an answer.
    Claim(u8, Option<Lost>),
    /// A claim that was given up is made after all.
    Arrive,
    /// Finds out about a claim without answer.
    Resolve,
    /// Commits one record with its position.
    Commit,
    /// Flaw: commits the position by itself.
    CommitPosition,
    /// Settles a file; true: no answer.
    Settle(bool),
    /// Takes the other task's lane, for good.
    Adopt,
    /// Ends the other task's writer.
    Fence,
    /// Finds that its lane was taken.
    Notice,
    /// Begins to stop.
    Stop,
    /// Gives back one file that it has not begun, then ends.
    PutBack,
    /// Dies.
    Crash,
}
