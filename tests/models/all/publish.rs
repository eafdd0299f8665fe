//! The spool from log to inbox: files that two hosts publish.

use models::publish::{Flaw, Publish};
use models::{breaks, holds};

const TWICE: &str = "no record is published twice";

fn model() -> Publish {
    Publish { records: 2, crashes: 1, takeovers: 1, losses: 1, put_backs: 1, flaw: None }
}

#[test]
fn two_hosts_that_crash_and_hear_no_answer_publish_each_record_once() {
    let model = Publish { put_backs: 0, ..model() };
    assert!(holds("publish, lost answers", model) > 100_000);
}

#[test]
fn files_that_move_while_names_are_read_are_found() {
    let model = Publish { losses: 0, ..model() };
    assert!(holds("publish, put back", model) > 50_000);
}

#[test]
fn intervals_of_many_sizes_join() {
    let model = Publish { records: 3, takeovers: 0, losses: 0, ..model() };
    assert!(holds("publish, three records", model) > 5_000);
}

#[test]
fn each_flaw_is_found() {
    let with = |flaw| Publish { flaw: Some(flaw), ..model() };
    breaks("no memory in names", with(Flaw::NoMemoryInNames), TWICE);
    breaks("no directory fence", with(Flaw::NoDirectoryFence), TWICE);
    breaks("reads names first", with(Flaw::ReadsNamesFirst), TWICE);
    breaks("reads names once", with(Flaw::ReadsNamesOnce), TWICE);
    breaks("deletes the newest", with(Flaw::DeletesNewest), TWICE);
    breaks("commits what is written", with(Flaw::CommitsWritten), "what is committed is published");
}

/// Two passes over the names find a file that is put back behind them once. One that is put back, claimed
/// again and put back again, each time just behind a pass, is overlooked: two sources would have to stop
/// within one start of a sink.
#[test]
fn a_file_that_is_put_back_twice_behind_the_names_is_overlooked() {
    let model = Publish { crashes: 1, takeovers: 0, losses: 0, put_backs: 2, ..model() };
    breaks("put back twice", model, TWICE);
}
