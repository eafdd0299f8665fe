//! A pipeline on filers that fail: at rates that a seed decides, or all the time for a while. Nothing is
//! lost or repeated, and what passes by itself needs nobody. What does not pass is told in words that help.

use host::worker::TaskState;
use host_emulators::qumulo::{FaultKind, FaultRate, QumuloFault};
use std::time::Duration;
use tests::spool::{
    FROM_SPOOL, Pipeline, RECORDS, Store, TO_DATA_SET, TO_SPOOL, WITHIN, names, write_records, write_secret,
};
use tests::wait_until;
use tests::worker::start;

/// Runs a pipeline on filers that fail like this, with a stop in the middle.
fn check_faults(rates: &[(FaultKind, f64)], seed: u64) {
    let rates: Vec<FaultRate> = rates.iter().map(|(kind, rate)| FaultRate { kind: *kind, rate: *rate }).collect();
    let pipeline = Pipeline::on_filers_with(|options| {
        options.faults = rates.clone();
        options.seed = seed;
    });
    // Listings of several pages, and files that are written in several requests.
    let connectors = pipeline.connectors().map(|connector| connector.set("qq.pagesize", 5).set("tasks.max", 2));
    let [to_spool, from_spool, to_data_set] = connectors;
    let connectors = [to_spool.set("rotation.max.records", 20), from_spool, to_data_set];
    let running = start(&pipeline.data_dir(), &connectors, None);
    write_records(running.log(), RECORDS, 2, 0..300);
    running.wait(TO_DATA_SET, "half of it", WITHIN, |status| status.counts.records > 0);
    for status in running.end() {
        // What cannot be said good-bye to is given up with its lease; nothing else is wrong.
        let trace = status.state.trace().unwrap_or_default();
        assert!(!trace.contains("panicked"), "{trace}");
    }
    let mut running = start(&pipeline.data_dir(), &connectors, None);
    write_records(running.log(), RECORDS, 2, 300..600);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
    assert_eq!(names(&pipeline.stage("quarantine")), [""; 0]);
    for store in [&pipeline.first, &pipeline.second] {
        let stats = store.emulator().stats();
        assert!(stats.faulted > 0, "nothing went wrong: {stats:?}");
    }
}

#[test]
fn sessions_that_end_all_the_time_lose_and_repeat_nothing() {
    check_faults(&[(FaultKind::Unauthorized, 0.1)], 1);
}

#[test]
fn a_filer_that_is_often_busy_loses_and_repeats_nothing() {
    check_faults(&[(FaultKind::Unavailable, 0.08), (FaultKind::TooMany, 0.005), (FaultKind::Delay, 0.005)], 2);
}

#[test]
fn connections_that_are_cut_lose_and_repeat_nothing() {
    check_faults(&[(FaultKind::CutAnswer, 0.05), (FaultKind::CutRequest, 0.2)], 3);
}

#[test]
fn answers_that_are_lost_lose_and_repeat_nothing() {
    check_faults(&[(FaultKind::LoseAnswer, 0.15)], 4);
}

#[test]
fn short_pages_and_watches_that_end_lose_and_repeat_nothing() {
    let rates = [(FaultKind::ShortPage, 0.5), (FaultKind::DropWatchers, 0.02), (FaultKind::RefuseNotify, 0.4)];
    check_faults(&rates, 5);
}

#[test]
fn a_disk_that_is_full_now_and_then_loses_and_repeats_nothing() {
    check_faults(&[(FaultKind::DiskFull, 0.06)], 6);
}

#[test]
fn everything_that_can_go_wrong_at_once_loses_and_repeats_nothing() {
    use FaultKind::*;
    let kinds = [Unauthorized, Unavailable, CutAnswer, CutRequest, ShortPage, LoseAnswer, DropWatchers, RefuseNotify];
    let rates: Vec<_> = kinds.into_iter().chain([DiskFull]).map(|kind| (kind, 0.015)).collect();
    check_faults(&rates, 7);
}

/// Checks that a state of both filers that lasts is told and outlived.
fn check_outage(begin: QumuloFault, end: QumuloFault, says: &str) {
    let pipeline = Pipeline::on_filers();
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    write_records(running.log(), RECORDS, 1, 0..200);
    pipeline.check(running.log());
    for store in [&pipeline.first, &pipeline.second] {
        store.fault(begin.clone());
    }
    write_records(running.log(), RECORDS, 1, 200..400);
    let status = running.wait(TO_SPOOL, "trouble", WITHIN, |status| status.counts.trouble.is_some());
    let trouble = status.counts.trouble.unwrap();
    let port = pipeline.first.emulator().addr().port().to_string();
    for words in [says, "127.0.0.1", &port] {
        assert!(trouble.contains(words), "`{words}` is not in: {trouble}");
    }
    for store in [&pipeline.first, &pipeline.second] {
        store.fault(end.clone());
    }
    pipeline.check(running.log());
    running.wait(TO_SPOOL, "no more trouble", WITHIN, |status| status.counts.trouble.is_none());
    for status in running.stop() {
        assert_eq!(status.state, TaskState::Stopped, "{status:?}");
    }
    pipeline.check(running.log());
}

#[test]
fn a_disk_that_is_full_for_a_while_is_told_and_waited_for() {
    check_outage(QumuloFault::DiskFull(true), QumuloFault::DiskFull(false), "fs_no_space_error");
}

#[test]
fn a_filer_that_can_only_be_read_for_a_while_is_told_and_waited_for() {
    check_outage(QumuloFault::ReadOnly(true), QumuloFault::ReadOnly(false), "fs_read_only_error");
}

#[test]
fn a_sink_is_given_up_when_its_filer_failed_for_long_enough_and_goes_on_when_it_is_started_again() {
    let pipeline = Pipeline::on_filers();
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let running = start(&pipeline.data_dir(), &[to_spool.clone().set("errors.retry.timeout", 400)], None);
    pipeline.first.fault(QumuloFault::ReadOnly(true));
    write_records(running.log(), RECORDS, 1, 0..200);
    let status = running.wait(TO_SPOOL, "its end", WITHIN, |status| status.state.is_over());
    let trace = status.state.trace().unwrap();
    assert!(trace.starts_with("given up after 400 ms of trying again: ") && trace.contains("fs_read_only"), "{trace}");
    assert_eq!(status.state.name(), "FAILED");
    running.end();
    pipeline.first.fault(QumuloFault::ReadOnly(false));
    let running = start(&pipeline.data_dir(), &[to_spool, from_spool, to_data_set], None);
    pipeline.check(running.log());
}

/// Checks that every connector fails for good with these words, and that no password is told.
fn check_refused(
    pipeline: &Pipeline,
    change: &dyn Fn(tests::worker::Connector) -> tests::worker::Connector,
    expected: &[&str],
) {
    let connectors = pipeline.connectors().map(change);
    let mut running = start(&pipeline.data_dir(), &connectors, None);
    write_records(running.log(), RECORDS, 1, 0..10);
    // The data set's sink has no topic to read yet, and asks its filer nothing.
    for name in [TO_SPOOL, FROM_SPOOL] {
        let status = running.wait(name, "its failure", WITHIN, |status| matches!(status.state, TaskState::Failed(_)));
        let trace = status.state.trace().unwrap();
        for words in expected.iter().chain(&["127.0.0.1"]) {
            assert!(trace.contains(words), "{name}: `{words}` is not in: {trace}");
        }
        assert!(!format!("{status:?}").contains("hunter2"), "{status:?}");
    }
    running.stop();
}

#[test]
fn a_wrong_password_is_told_and_not_repeated() {
    let pipeline = Pipeline::on_filers();
    let wrong = pipeline.dir.path().join("wrong.password");
    write_secret(&wrong, "hunter2");
    let name = format!("file:{}", wrong.display());
    check_refused(&pipeline, &|connector| connector.set("qq.password", &name), &["logging in as `admin`: status 401"]);
    // A cluster ends an account after some tries.
    assert!(pipeline.first.emulator().stats().refused <= 4, "{:?}", pipeline.first.emulator().stats());
}

#[test]
fn a_filer_that_is_somebody_else_is_told_and_gets_no_password() {
    let pipeline = Pipeline::on_filers();
    let other = Store::qumulo(pipeline.dir.path(), "other", |_| {});
    let Store::Qumulo { certificate, .. } = &other else { unreachable!() };
    let authority = certificate.display().to_string();
    check_refused(&pipeline, &|connector| connector.set("qq.tls.ca.file", &authority), &["certificate"]);
    assert_eq!(pipeline.first.emulator().stats().requests, 0, "something was sent to a stranger");
    let pipeline = Pipeline::on_filers();
    let pinned = format!("sha256:{}", "0f".repeat(32));
    let unpinned = |connector: tests::worker::Connector| connector.unset("qq.tls.ca.file").set("qq.tls", &pinned);
    check_refused(&pipeline, &unpinned, &["has the SHA-256 fingerprint `", "expected `0F:0F:"]);
    assert_eq!(pipeline.first.emulator().stats().requests, 0, "something was sent to a stranger");
}

#[test]
fn rights_that_are_missing_are_told_with_the_call_that_needs_them() {
    let pipeline = Pipeline::on_filers();
    pipeline.first.fault(QumuloFault::Forbidden(u64::MAX));
    check_refused(&pipeline, &|connector| connector, &["status 403"]);
}

#[test]
fn a_filer_that_is_not_there_yet_is_waited_for() {
    let pipeline = Pipeline::on_filers();
    let times = u64::MAX;
    pipeline.first.fault(QumuloFault::AnswerNext { status: 503, retry_after: None, times });
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    write_records(running.log(), RECORDS, 1, 0..100);
    wait_until("the filer to be asked", WITHIN, || pipeline.first.emulator().stats().faulted > 3);
    pipeline.first.fault(QumuloFault::AnswerNext { status: 503, retry_after: None, times: 0 });
    pipeline.check(running.log());
    // Tokens that end, and a delay that is shorter than a call may take, are nothing to be told.
    pipeline.first.fault(QumuloFault::ExpireTokens);
    pipeline.first.fault(QumuloFault::Delay { by: Duration::from_millis(300), times: 5 });
    write_records(running.log(), RECORDS, 1, 100..200);
    pipeline.check(running.log());
    running.stop();
}
