//! Models of the host's protocols, small enough that a model checker visits every state of them: who
//! publishes and claims what in a spool ([`publish`], [`claims`]), and which task loads which batch
//! ([`ledger`]). Each can be broken on purpose, which shows that its properties mean something.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

pub mod claims;
pub mod ledger;
pub mod publish;

use stateright::{Checker, Model};
use std::fmt::Debug;
use std::hash::Hash;

/// What became of a rename whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lost {
    /// It was done.
    Done,
    /// It was not.
    NotDone,
    /// It will be, perhaps.
    Late,
}

/// Visits all states, and returns how many there are.
///
/// # Panics
/// When a property does not hold, with the steps that lead there.
pub fn holds<M>(what: &str, model: M) -> usize
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let checker = model.checker().spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    eprintln!("{what}: {states} states, {depth} steps deep");
    checker.assert_properties();
    states
}

/// Looks for a counterexample of `property`, and returns how many steps it takes.
///
/// # Panics
/// When there is none: the model would not notice this flaw.
pub fn breaks<M>(what: &str, model: M, property: &'static str) -> usize
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let wanted = stateright::HasDiscoveries::AllOf([property].into_iter().collect());
    let checker = model.checker().finish_when(wanted).spawn_bfs().join();
    let path = checker.assert_any_discovery(property);
    let actions = path.into_actions();
    eprintln!("{what}: `{property}` fails after {} steps: {actions:?}", actions.len());
    actions.len()
}
