//! Hosts that end in the middle of loading: killed at each moment between what they write down and what they
//! ask of Druid, stopped, replaced by another. Each row is stored once, and the ledger knows it.

use host::ingest::{Book, TaskStage};
use host_emulators::overlord::OverlordFault;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tests::dice::Dice;
use tests::feeds::free_port;
use tests::ingest::{Call, INGEST, Ingestion, Moment, proxy, rows_in, tasks, write_edits};
use tests::program::{self, Program};
use tests::spool::WITHIN;
use tests::wait_until;
use tests::worker::{Connector, start, start_beside, wait_unlocked};

/// A program that a proxy may end.
#[derive(Clone, Default)]
struct Victim(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    program: Option<Program>,
    is_spared: bool,
    is_dead: bool,
}

impl Victim {
    /// Ends the program with SIGKILL, waiting for it where it is only being started. Whether it was not spared.
    fn kill(&self) -> bool {
        let (lock, changed) = &*self.0;
        let mut state = lock.lock().unwrap();
        while state.program.is_none() && !state.is_spared {
            state = changed.wait(state).unwrap();
        }
        if state.is_spared {
            return false;
        }
        let program = state.program.take().unwrap();
        program.signal("KILL");
        assert_eq!(program.finish().code, None);
        (state.is_spared, state.is_dead) = (true, true);
        changed.notify_all();
        true
    }

    /// Hands the program over and waits for its end.
    fn give(&self, program: Program) {
        let (lock, changed) = &*self.0;
        lock.lock().unwrap().program = Some(program);
        changed.notify_all();
        let state = lock.lock().unwrap();
        let (state, _) = changed.wait_timeout_while(state, WITHIN, |state| !state.is_dead).unwrap();
        assert!(state.is_dead, "the moment to end the program did not come");
    }
}

/// An ingestion whose batches stay where they are when the host starts again.
fn fixed(ingestion: &Ingestion) -> Connector {
    ingestion.ingest().set("listen", format!("127.0.0.1:{}", free_port()))
}

fn spawn(ingestion: &Ingestion, ingest: &Connector) -> Program {
    let config = ingestion.config(ingest);
    wait_unlocked(&ingestion.data_dir());
    program::spawn(ingestion.dir.path(), [Path::new("run"), &config])
}

fn book(ingestion: &Ingestion) -> Book {
    Book::read(&ingestion.log(), INGEST).unwrap()
}

/// Runs the host until a call is at the moment that `is_it` names, kills it just then, and checks what the
/// ledger says; then lets another go on.
fn check(is_it: fn(&Call) -> bool, expected: TaskStage) {
    let ingestion = Ingestion::with_edits(0..230);
    ingestion.publish(ingestion.to_data_set());
    let victim = Victim::default();
    let killer = victim.clone();
    let url = proxy(ingestion.druid.addr(), move |call| !(is_it(call) && killer.kill()));
    let ingest = fixed(&ingestion).set("druid.url", url);
    victim.give(spawn(&ingestion, &ingest));
    let before = book(&ingestion);
    let (id, task) = before.open_task().unwrap();
    assert_eq!(task.stage, expected);
    assert!(task.batches.len() >= 4, "{task:?}");
    let mut program = spawn(&ingestion, &ingest);
    program.wait_stderr("batches at http://");
    let after = ingestion.check_loaded(&ingestion.log());
    program.signal("INT");
    program.finish().expect(0);
    // Where the endpoint was away for longer than Druid tries, the task failed and has a second attempt.
    let stem = id.strip_suffix('1').unwrap();
    let (last, earlier) = after.tasks.values().collect::<Vec<_>>().split_last().map(|(l, e)| (*l, e.to_vec())).unwrap();
    assert!(after.tasks.keys().all(|id| id.starts_with(stem)), "the same task, and no other: {:?}", after.tasks);
    assert!(earlier.iter().all(|task| task.stage == TaskStage::Failed), "{earlier:?}");
    assert_eq!((last.stage, &last.batches), (TaskStage::Success, &task.batches));
    let (submitted, handed_in) = (ingestion.druid.stats().submitted, ingestion.druid.submissions().len());
    assert_eq!((submitted, handed_in), (after.tasks.len() as u64, after.tasks.len()));
}

#[test]
fn a_kill_before_a_task_is_handed_in_costs_nothing() {
    check(|call| call.is_submission() && call.moment == Moment::Asked, TaskStage::Recorded);
}

#[test]
fn a_kill_after_a_task_was_accepted_doubles_nothing() {
    check(|call| call.is_submission() && call.moment == Moment::Answered, TaskStage::Recorded);
}

#[test]
fn a_kill_while_a_task_runs_doubles_nothing() {
    check(|call| call.is_status() && call.moment == Moment::Asked, TaskStage::Submitted);
}

#[test]
fn a_kill_after_a_success_that_was_not_heard_doubles_nothing() {
    let is_success = |call: &Call| {
        call.is_status() && call.moment == Moment::Answered && call.body.contains("\"statusCode\":\"SUCCESS\"")
    };
    check(is_success, TaskStage::Submitted);
}

#[test]
fn a_kill_before_the_report_is_read_doubles_nothing() {
    let is_report = |call: &Call| call.line.ends_with("/reports") && call.moment == Moment::Answered;
    check(is_report, TaskStage::Submitted);
}

#[test]
fn a_task_that_ends_while_no_host_runs_is_found_at_its_end() {
    for fails in [false, true] {
        let ingestion = Ingestion::with_edits(0..130);
        ingestion.druid.fault(OverlordFault::HangTask(1));
        if fails {
            ingestion.druid.fault(OverlordFault::FailTask { message: "No space left".to_owned(), times: 1 });
        }
        // Something has to serve what the task fetches, and that is not the host that loads.
        let served = fixed(&ingestion);
        let program = spawn(&ingestion, &served);
        ingestion.druid.wait("a task that runs", |stats| stats.running == 1);
        wait_until("it to be known as accepted", WITHIN, || {
            book(&ingestion).open_task().is_some_and(|(_, task)| task.stage == TaskStage::Submitted)
        });
        program.signal("KILL");
        assert_eq!(program.finish().code, None);
        let submitted = ingestion.druid.stats().submitted;
        if fails {
            ingestion.druid.fault(OverlordFault::Release);
            ingestion.druid.wait("its failure", |stats| stats.failed == 1);
        }
        let program = spawn(&ingestion, &served);
        let asked = ingestion.druid.stats().requests;
        ingestion.druid.wait("to be asked after it", |stats| stats.requests > asked + 5);
        ingestion.druid.fault(OverlordFault::Release);
        let after = ingestion.check_loaded(&ingestion.log());
        program.signal("INT");
        program.finish().expect(0);
        let failed = after.tasks.values().filter(|task| task.stage == TaskStage::Failed).count();
        assert_eq!((submitted, failed), (1, usize::from(fails)));
        assert_eq!(ingestion.druid.stats().submitted, after.tasks.len() as u64);
    }
}

#[test]
fn a_host_that_was_stopped_while_a_task_ran_goes_on_with_it() {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.publish(ingestion.to_data_set());
    ingestion.druid.fault(OverlordFault::HangTask(1));
    let ingest = fixed(&ingestion);
    let running = ingestion.start(ingest.clone());
    ingestion.druid.wait("a task that runs", |stats| stats.running == 1);
    let statuses = running.end();
    assert!(statuses.iter().all(|status| status.state.name() == "STOPPED"), "{statuses:?}");
    assert!(book(&ingestion).open_task().is_some());
    let running = ingestion.start(ingest);
    let asked = ingestion.druid.stats().requests;
    ingestion.druid.wait("to be asked after it", |stats| stats.requests > asked + 5);
    ingestion.druid.fault(OverlordFault::Release);
    let after = ingestion.check_loaded(running.log());
    assert_eq!((after.tasks.len(), ingestion.druid.stats().submitted), (1, 1));
}

#[test]
fn kills_at_any_moment_lose_and_double_nothing() {
    let ingestion = Ingestion::with_edits(0..1500);
    let ingest = fixed(&ingestion).set("task.max.batches", 1).set("schedule", "1ms");
    let mut dice = Dice::new(7);
    let mut in_the_middle = 0;
    for _ in 0..8 {
        let done = ingestion.druid.stats().submitted;
        let program = spawn(&ingestion, &ingest);
        ingestion.druid.wait("some more tasks, or all", |stats| {
            stats.submitted > done + 1
                || tests::ingest::ingested(&book(&ingestion)) == rows_in(&ingestion.log()).0.len() as u64
        });
        // A moment that the seed draws, within the time of a task.
        std::thread::sleep(Duration::from_millis(dice.below(60)));
        program.signal("KILL");
        assert_eq!(program.finish().code, None);
        in_the_middle += u32::from(book(&ingestion).open_task().is_some());
    }
    let program = spawn(&ingestion, &ingest);
    let after = ingestion.check_loaded(&ingestion.log());
    program.signal("INT");
    program.finish().expect(0);
    assert!(in_the_middle > 0, "no kill met a task");
    assert!(after.tasks.len() >= 30, "{}", after.tasks.len());
}

#[test]
fn the_older_of_two_ingestions_of_one_name_gives_up() {
    let ingestion = Ingestion::with_edits(0..130);
    let older = ingestion.start(ingestion.ingest());
    ingestion.check_loaded(older.log());
    let newer = start_beside(
        &older,
        &[ingestion.to_data_set().named("idle").set("topics", "nothing"), ingestion.ingest().set("data.set", "idle")],
    );
    newer.wait(INGEST, "to be there", WITHIN, |status| status.counts.backlog == Some(0));
    write_edits(older.log(), 130..330);
    let status = older.wait(INGEST, "the end", WITHIN, |status| status.state.is_over());
    assert_eq!(status.state.name(), "FAILED");
    let trace = status.state.trace().unwrap();
    assert!(trace.contains("another") || trace.contains("newer"), "{trace}");
    let after = ingestion.check_loaded(newer.log());
    assert_eq!(ingestion.druid.stats().submitted, after.tasks.len() as u64);
    let (status, stages) = (newer.status(INGEST), tasks(&after));
    assert_eq!((status.state.name(), status.restarts), ("RUNNING", 0), "{stages:?}");
}

#[test]
fn two_ingestions_that_take_turns_double_nothing() {
    let ingestion = Ingestion::with_edits(0..330);
    let running = ingestion.start(ingestion.ingest());
    let mut others = Vec::new();
    // Each takes the ledger over from the one before, wherever that is.
    for life in 0..4 {
        let sink = ingestion.to_data_set().named("idle").set("topics", "nothing");
        others.push(start_beside(&running, &[sink, ingestion.ingest().set("data.set", "idle")]));
        write_edits(running.log(), 330 + life * 70..330 + (life + 1) * 70);
    }
    let after = ingestion.check_loaded(running.log());
    assert_eq!(ingestion.druid.stats().submitted, after.tasks.len() as u64);
    drop(others);
    drop(running);
    let running = start(&ingestion.data_dir(), &[ingestion.to_data_set(), ingestion.ingest()], None);
    ingestion.check_loaded(running.log());
}
