//! What goes wrong at Druid while rows are loaded: it is out of reach, answers otherwise than it should,
//! refuses, forgets, fails. In the end each row is there once, or none and the reason is told in Druid's
//! words.

use host::ingest::{BatchState, Book, TaskStage};
use host::worker::TaskStatus;
use host_emulators::overlord::{FaultRate, OverlordFault};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::feeds::free_port;
use tests::ingest::{Client, DATA_SOURCE, Druid, INGEST, Ingestion, follower, tasks, write_edits};
use tests::spool::WITHIN;
use tests::worker::Running;
use tests::{wait_for, wait_until};

fn book(running: &Running) -> Book {
    Book::read(running.log(), INGEST).unwrap()
}

/// Loads edits at a Druid that was told to fail; returns the ledger.
fn check(fault: OverlordFault) -> (Ingestion, Running, Book) {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.publish(ingestion.to_data_set());
    ingestion.druid.fault(fault);
    let running = ingestion.start(ingestion.ingest());
    let book = ingestion.check_loaded(running.log());
    let status = running.status(INGEST);
    assert_eq!((status.state.name(), status.restarts), ("RUNNING", 0), "{status:?}");
    (ingestion, running, book)
}

/// Waits until the ingestion has given up, and returns why.
fn wait_failed(running: &Running) -> String {
    let status = running.wait(INGEST, "the end", WITHIN, |status| status.state.is_over());
    assert_eq!(status.state.name(), "FAILED");
    status.state.trace().unwrap().to_owned()
}

fn is_troubled(words: &str) -> impl Fn(&TaskStatus) -> bool {
    move |status| status.counts.trouble.as_ref().is_some_and(|trouble| trouble.contains(words))
}

/// Checks that nothing is stored, and that nothing is said to be.
fn assert_nothing_is_loaded(ingestion: &Ingestion, running: &Running) {
    assert_eq!(ingestion.druid.totals(), (0, 0));
    let book = book(running);
    assert!(book.batches.values().all(|batch| batch.state == BatchState::Waiting), "{book:#?}");
    assert_eq!(book.open_task(), None);
}

#[test]
fn a_druid_that_is_down_is_waited_for() {
    let mut ingestion = Ingestion::with_edits(0..130);
    let port = free_port();
    let running = ingestion.start(ingestion.ingest().set("druid.url", format!("http://127.0.0.1:{port}")));
    let status = running.wait(INGEST, "trouble", WITHIN, is_troubled("handing in a task at Druid"));
    assert!(status.counts.retries > 0 && status.state.name() == "RUNNING", "{status:?}");
    // Meanwhile batches are found and served.
    write_edits(running.log(), 130..230);
    wait_until("new batches", WITHIN, || book(&running).batches.len() >= 5);
    Client::new(&running.endpoint()).get("/batches").expect(200);
    ingestion.druid = Druid::start_at(([127, 0, 0, 1], port).into(), |_| {});
    ingestion.check_loaded(running.log());
    running.wait(INGEST, "no trouble", WITHIN, |status| status.counts.trouble.is_none());
}

#[test]
fn a_druid_that_starts_again_in_the_middle_of_a_task_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || Some(folder.path().to_owned());
    let port = free_port();
    let start = || Druid::start_at(([127, 0, 0, 1], port).into(), |options| options.data_dir = kept());
    let mut ingestion = Ingestion::into(start());
    ingestion.fill(0..130);
    ingestion.druid.fault(OverlordFault::HangTask(1));
    let running = ingestion.start(ingestion.ingest());
    ingestion.druid.wait("a task that runs", |stats| stats.running == 1);
    // In its place one that nothing goes to, so that it can end.
    std::mem::replace(&mut ingestion.druid, Druid::start(|_| {})).stop();
    running.wait(INGEST, "trouble", WITHIN, is_troubled("asking after a task at Druid"));
    ingestion.druid = start();
    // What ran when it ended has failed: nothing of it is stored.
    let book = ingestion.check_loaded(running.log());
    assert!(tasks(&book)[0].1.stage == TaskStage::Failed && tasks(&book)[0].0.ends_with("_1"), "{book:#?}");
}

#[test]
fn a_druid_without_a_leader_is_asked_again() {
    let (ingestion, _running, book) = check(OverlordFault::NoLeader(3));
    assert_eq!((book.tasks.len(), ingestion.druid.stats().submitted), (1, 1));
    let statuses: Vec<_> = ingestion.druid.submissions().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [Some(503), Some(503), Some(503), Some(200)]);
}

#[test]
fn errors_of_any_call_are_waited_out() {
    for (status, times) in [(503, 4), (500, 3), (502, 3)] {
        let fault = OverlordFault::AnswerNext { status, retry_after: None, times };
        let (ingestion, _running, book) = check(fault);
        assert_eq!((book.tasks.len(), ingestion.druid.stats().submitted), (1, 1), "{status}");
    }
}

#[test]
fn a_full_queue_is_waited_for() {
    let (ingestion, _running, book) = check(OverlordFault::AnswerNext { status: 429, retry_after: Some(1), times: 2 });
    assert_eq!((book.tasks.len(), ingestion.druid.stats().submitted), (1, 1));
}

#[test]
fn a_task_whose_acceptance_was_not_heard_is_no_second_one() {
    let (ingestion, _running, book) = check(OverlordFault::LoseAnswer(1));
    assert_eq!((book.tasks.len(), ingestion.druid.stats().submitted), (1, 1));
    let statuses: Vec<_> = ingestion.druid.submissions().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [None], "it was asked after before it was handed in again");
}

#[test]
fn a_task_that_was_accepted_unheard_and_is_not_known_yet_is_handed_in_under_the_same_name() {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.publish(ingestion.to_data_set());
    ingestion.druid.fault(OverlordFault::LoseAnswer(1));
    ingestion.druid.fault(OverlordFault::HideStatus(1));
    let running = ingestion.start(ingestion.ingest());
    let book = ingestion.check_loaded(running.log());
    assert_eq!((book.tasks.len(), ingestion.druid.stats().submitted), (1, 1));
    let statuses: Vec<_> = ingestion.druid.submissions().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [None, Some(400)], "Druid knows the name");
}

#[test]
fn an_answer_that_takes_too_long_is_as_good_as_lost() {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.publish(ingestion.to_data_set());
    ingestion.druid.fault(OverlordFault::Delay { by: Duration::from_secs(2), times: 3 });
    let running = ingestion.start(ingestion.ingest().set("druid.timeout.ms", 300));
    let book = ingestion.check_loaded(running.log());
    assert_eq!(book.tasks.len(), 1);
    assert!(running.status(INGEST).counts.retries > 0);
}

#[test]
fn the_leader_is_followed() {
    let login = Some(("host".to_owned(), "leader".to_owned()));
    let ingestion = Ingestion::into(Druid::start(|options| options.login = login));
    ingestion.fill(0..130);
    let path = ingestion.dir.path().join("druid.password");
    tests::spool::write_secret(&path, "leader");
    let ingest = ingestion.ingest().set("druid.url", follower(ingestion.druid.addr()));
    let ingest = ingest.set("druid.username", "host").set("druid.password", format!("file:{}", path.display()));
    let running = ingestion.start(ingest);
    ingestion.check_loaded(running.log());
    assert!(running.status(INGEST).counts.trouble.is_none());
}

#[test]
fn overlords_that_send_each_other_on_are_not_followed_for_ever() {
    let ingestion = Ingestion::with_edits(0..130);
    let (to, times) = (ingestion.druid.url(), 10);
    ingestion.druid.fault(OverlordFault::Redirect { to, times });
    let running = ingestion.start(ingestion.ingest().set("errors.retry.delay.max.ms", 1000));
    running.wait(INGEST, "trouble", WITHIN, is_troubled("sent on more than 3 times"));
    ingestion.check_loaded(running.log());
}

#[test]
fn a_refused_task_ends_the_ingestion_in_druids_words_and_loses_no_batch() {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.publish(ingestion.to_data_set());
    let message = "Column order is wrong; ask an operator".to_owned();
    ingestion.druid.fault(OverlordFault::RefuseSpec { message: message.clone(), times: 1 });
    let running = ingestion.start(ingestion.ingest());
    let trace = wait_failed(&running);
    assert!(trace.contains("is refused by Druid `http://") && trace.contains(&message), "{trace}");
    assert_nothing_is_loaded(&ingestion, &running);
    let (id, task) = tasks(&book(&running)).remove(0);
    assert_eq!((task.stage, task.error.as_deref()), (TaskStage::Failed, Some(message.as_str())));
    // It still serves, and the other connector keeps on.
    Client::new(&running.endpoint()).get("/").expect(200);
    assert_eq!(running.status(tests::spool::TO_DATA_SET).state.name(), "RUNNING");
    running.end();
    let running = ingestion.start(ingestion.ingest());
    let after = tasks(&ingestion.check_loaded(running.log()));
    assert_eq!((after[1].0.as_str(), after[1].1.stage), (id.replace("_1", "_2").as_str(), TaskStage::Success));
    assert_eq!(after[1].1.batches, task.batches);
}

#[test]
fn a_dialect_that_druid_does_not_speak_is_told() {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.publish(ingestion.to_data_set());
    let running = ingestion.start(ingestion.ingest().set("dialect", "legacy"));
    let trace = wait_failed(&running);
    assert!(trace.contains("is refused by Druid"), "{trace}");
    assert_nothing_is_loaded(&ingestion, &running);
    running.end();
    let running = ingestion.start(ingestion.ingest());
    ingestion.check_loaded(running.log());
}

#[test]
fn a_task_that_failed_is_tried_again_under_another_name() {
    let (ingestion, _running, book) = check(OverlordFault::FailTask { message: "No space left".to_owned(), times: 1 });
    let [(first, failed), (second, good)] = &tasks(&book)[..] else { panic!("{book:#?}") };
    assert!(first.ends_with("_1") && *second == first.replace("_1", "_2"), "{first}, {second}");
    assert_eq!((failed.stage, failed.error.as_deref()), (TaskStage::Failed, Some("No space left")));
    assert_eq!((good.stage, &good.batches, good.attempt), (TaskStage::Success, &failed.batches, 2));
    assert_eq!(ingestion.druid.stats().submitted, 2);
}

#[test]
fn tasks_that_always_fail_end_the_ingestion_and_mark_nothing() {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.publish(ingestion.to_data_set());
    ingestion.druid.fault(OverlordFault::FailTask { message: "No space left".to_owned(), times: 100 });
    let running = ingestion.start(ingestion.ingest().set("task.max.attempts", 3));
    let trace = wait_failed(&running);
    assert!(trace.contains("_3` failed, as 3 in a row did: No space left"), "{trace}");
    assert_nothing_is_loaded(&ingestion, &running);
    assert_eq!((ingestion.druid.stats().submitted, book(&running).tasks.len()), (3, 3));
    running.end();
    ingestion.druid.fault(OverlordFault::FailTask { message: String::new(), times: 0 });
    let running = ingestion.start(ingestion.ingest());
    let after = tasks(&ingestion.check_loaded(running.log()));
    assert!(after[3].0.ends_with("_4"), "{after:#?}");
}

#[test]
fn a_task_that_a_person_ended_is_tried_again() {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.druid.fault(OverlordFault::HangTask(1));
    let running = ingestion.start(ingestion.ingest());
    let id = wait_for("a task", WITHIN, || Some(book(&running).open_task()?.0.clone()));
    ingestion.druid.wait("it to run", |stats| stats.running == 1);
    let druid = Client::new(&ingestion.druid.url());
    druid.post(&format!("/druid/indexer/v1/task/{id}/shutdown"), &serde_json::json!({})).expect(200);
    let book = ingestion.check_loaded(running.log());
    assert_eq!(book.tasks[&id].error.as_deref(), Some("Shutdown request from user"));
}

#[test]
fn a_task_that_takes_its_time_is_waited_for() {
    for fault in [OverlordFault::HangTask(1), OverlordFault::StallFetch(1)] {
        let ingestion = Ingestion::with_edits(0..130);
        ingestion.publish(ingestion.to_data_set());
        ingestion.druid.fault(fault);
        let running = ingestion.start(ingestion.ingest());
        ingestion.druid.wait("a task that runs", |stats| stats.running == 1);
        let asked = ingestion.druid.stats().requests;
        ingestion.druid.wait("to be asked often", |stats| stats.requests > asked + 20);
        assert!(book(&running).batches.values().all(|batch| batch.state == BatchState::Taken));
        // What comes meanwhile waits for the next.
        write_edits(running.log(), 130..180);
        wait_until("a batch that waits", WITHIN, || {
            book(&running).batches.values().any(|batch| batch.state == BatchState::Waiting)
        });
        ingestion.druid.fault(OverlordFault::Release);
        let book = ingestion.check_loaded(running.log());
        let stored: BTreeSet<_> = tasks(&book).iter().map(|(_, task)| task.stage.name()).collect();
        assert_eq!((stored, ingestion.druid.stats().submitted), (BTreeSet::from(["success"]), book.tasks.len() as u64));
    }
}

#[test]
fn an_overlord_that_has_not_heard_of_a_task_yet_is_given_time() {
    let (ingestion, _running, book) = check(OverlordFault::HideStatus(10));
    assert_eq!((book.tasks.len(), ingestion.druid.submissions().len()), (1, 1));
}

#[test]
fn a_report_that_is_missing_costs_the_count_alone() {
    let (_ingestion, _running, book) = check(OverlordFault::HideReport(1000));
    let (_, task) = tasks(&book).remove(0);
    assert_eq!((task.stage, task.stored, task.error), (TaskStage::Success, None, None));
}

/// Checks that a task which Druid has no trace of is handed in again as it was.
fn check_forgotten(forget: impl FnOnce(&Druid)) {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.publish(ingestion.to_data_set());
    forget(&ingestion.druid);
    // The emulator remembers its last 1000 calls.
    let running = ingestion.start(ingestion.ingest().set("task.poll.interval.ms", 100));
    let id = wait_for("a task", WITHIN, || {
        let book = book(&running);
        let (id, task) = book.open_task()?;
        (task.stage == TaskStage::Submitted).then(|| id.clone())
    });
    if ingestion.druid.stats().submitted > 0 {
        ingestion.druid.wait("it to run", |stats| stats.running == 1);
        ingestion.druid.fault(OverlordFault::ForgetTasks);
    }
    let book = ingestion.check_loaded(running.log());
    assert_eq!(book.tasks.keys().collect::<Vec<_>>(), [&id]);
    assert_eq!(ingestion.druid.submissions().len(), 2);
}

#[test]
fn a_task_that_was_forgotten_is_handed_in_again_under_its_name() {
    check_forgotten(|druid| druid.fault(OverlordFault::HangTask(1)));
}

#[test]
fn a_task_that_never_came_to_be_is_handed_in_again_under_its_name() {
    check_forgotten(|druid| druid.fault(OverlordFault::ForgetNext(1)));
}

#[test]
fn a_druid_that_may_not_fetch_stores_nothing() {
    let environment = std::collections::BTreeMap::from([("FETCH".to_owned(), "wrong".to_owned())]);
    let ingestion = Ingestion::into(Druid::start(|options| {
        options.environment = environment;
        options.max_tries = 2;
    }));
    ingestion.fill(0..130);
    let path = ingestion.dir.path().join("password");
    tests::spool::write_secret(&path, "right");
    let ingest = ingestion.ingest().set("access.username", "druid").set("task.max.attempts", 2);
    let ingest = ingest.set("access.password", format!("file:{}", path.display()));
    let running = ingestion.start(ingest.set("access.password.variable", "FETCH"));
    let trace = wait_failed(&running);
    assert!(trace.contains("HTTP response code: 401"), "{trace}");
    assert_nothing_is_loaded(&ingestion, &running);
}

#[test]
fn an_address_that_is_no_druid_is_told() {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.publish(ingestion.to_data_set());
    let running = ingestion.start(ingestion.ingest().set("druid.url", format!("{}/nowhere", ingestion.druid.url())));
    let trace = wait_failed(&running);
    assert!(trace.contains("handing in a task at Druid") && trace.contains("status 404"), "{trace}");
    assert_eq!(ingestion.druid.totals(), (0, 0));
}

/// Druid fails in every way that heals, at rates: each row is there once nevertheless.
fn check_rates(seed: u64) {
    let rates = "no-leader=0.2 lose-answer=0.2 unavailable=0.1 hide-status=0.1 hide-report=0.1 fail-task=0.3";
    let rates: Vec<FaultRate> = rates.split(' ').map(|rate| rate.parse().unwrap()).collect();
    let ingestion = Ingestion::into(Druid::start(|options| {
        options.faults = rates;
        options.seed = seed;
    }));
    ingestion.fill(0..1000);
    ingestion.publish(ingestion.to_data_set());
    let ingest = ingestion.ingest().set("task.max.batches", 1).set("task.max.attempts", 100);
    let mut running = ingestion.start(ingest.set("errors.retry.delay.max.ms", 20));
    // SQL fails as the rest does, so the ledger is asked first.
    let done = |book: &Book| {
        book.batches.len() >= 20 && book.batches.values().all(|batch| batch.state == BatchState::Ingested)
    };
    wait_until("every batch", WITHIN, || done(&book(&running)));
    running.stop();
    let rows = tests::ingest::rows_in(running.log()).0;
    assert_eq!(ingestion.druid.stats().rows[DATA_SOURCE], rows.len() as u64);
    let book = book(&running);
    tests::ingest::assert_sound(&book);
    assert!(ingestion.druid.stats().faulted > 20 && book.tasks.len() > 20, "{:?}", ingestion.druid.stats());
}

#[test]
fn whatever_heals_costs_no_row_and_doubles_none() {
    (1..4).for_each(check_rates);
}
