//! The spool from inbox to log: claims of two hosts.

use models::claims::{Claims, Flaw};
use models::{breaks, holds};

const TWICE: &str = "no record is committed twice";
const SETTLED: &str = "what is settled is committed";

/// Two tasks, each of which may adopt the other's lane.
fn two_tasks() -> Claims {
    Claims {
        files: 2,
        records: 2,
        tasks: [0, 1],
        crashes: 1,
        stops: 0,
        takeovers: 1,
        losses: 0,
        late: false,
        flaw: None,
    }
}

/// Two hosts that run the same task.
fn one_task() -> Claims {
    Claims { tasks: [0, 0], takeovers: 2, ..two_tasks() }
}

#[test]
fn two_tasks_that_crash_and_adopt_each_others_claims_commit_each_record_once() {
    assert!(holds("two tasks", two_tasks()) > 100_000);
}

#[test]
fn two_hosts_with_the_same_task_commit_each_record_once() {
    assert!(holds("one task", one_task()) > 40_000);
}

#[test]
fn lost_answers_and_crashes_lose_nothing() {
    let model = Claims { records: 1, losses: 1, ..two_tasks() };
    assert!(holds("lost answers and crashes", model) > 100_000);
}

#[test]
fn lost_answers_and_stops_lose_nothing() {
    let model = Claims { records: 1, crashes: 0, stops: 1, losses: 1, ..two_tasks() };
    assert!(holds("lost answers and stops", model) > 50_000);
}

#[test]
fn each_flaw_is_found() {
    let with = |model: Claims, flaw| Claims { flaw: Some(flaw), ..model };
    breaks("settles early", with(two_tasks(), Flaw::SettlesBeforeCommit), SETTLED);
    breaks("adopts without the log", with(two_tasks(), Flaw::NoLogFence), TWICE);
    breaks("position apart", with(two_tasks(), Flaw::PositionApart), TWICE);
    breaks("no directory fence", with(one_task(), Flaw::NoDirectoryFence), TWICE);
    breaks("goes on without its lane", with(one_task(), Flaw::GoesOnWithoutLane), TWICE);
    breaks("no probe", with(one_task(), Flaw::NoProbe), TWICE);
}

/// A claim has one number, which the next file gets where the claim turns out not to have been made. If it is
/// made after that, on a file that another host claimed and put back in between, two claims have this number,
/// and a restart settles both. It needs a filer that does a rename long after it was given up.
#[test]
fn a_claim_that_is_made_after_it_was_given_up_is_taken_for_committed() {
    let model = Claims { records: 1, stops: 1, takeovers: 0, losses: 1, late: true, ..two_tasks() };
    breaks("late claim", model, SETTLED);
}
