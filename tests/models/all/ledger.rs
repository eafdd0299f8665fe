//! The ledger of an ingestion: each batch is loaded by one task.

use models::ledger::{Flaw, Ledger};
use models::{breaks, holds};

const TWICE: &str = "no batch is in two tasks that succeeded";

fn model() -> Ledger {
    Ledger { batches: 2, crashes: 2, takeovers: 1, losses: 1, failures: 1, refusals: 0, flaw: None }
}

#[test]
fn two_hosts_that_crash_and_hear_no_answer_load_each_batch_once() {
    assert!(holds("ledger", model()) > 10_000);
}

#[test]
fn a_refusal_lets_batches_go_where_nobody_else_hands_in() {
    let model = Ledger { batches: 3, crashes: 1, takeovers: 0, losses: 0, refusals: 2, ..model() };
    assert!(holds("ledger, refusals", model) > 1_000);
}

/// The identifier cannot help where a task is taken for refused while somebody's hand-in of it is still on its
/// way: the host waits some time before it believes that, and this model knows no time.
#[test]
fn a_refusal_that_overtakes_a_hand_in_needs_the_wait() {
    breaks("late hand-in", Ledger { crashes: 0, takeovers: 0, refusals: 1, ..model() }, TWICE);
}

#[test]
fn each_flaw_is_found() {
    let with = |flaw| Ledger { flaw: Some(flaw), ..model() };
    breaks("random identifier", with(Flaw::RandomIdentifier), TWICE);
    breaks("records after", with(Flaw::RecordsAfter), TWICE);
    breaks("lets go without an answer", with(Flaw::LetsGoWithoutAnswer), TWICE);
    breaks("no fence", with(Flaw::NoFence), TWICE);
}
