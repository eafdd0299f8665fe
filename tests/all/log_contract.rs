//! The embedded log keeps the log's contract, case by case and with all cases on one log at once.

use host::io::embedded::EmbeddedLog;
use tests::log_contract::{MissingTopics, cases};

#[test]
fn the_embedded_log_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), None).unwrap();
    tests::log_contract::run(&log, "contract", MissingTopics::Refused);
}

#[test]
fn the_embedded_log_keeps_the_contract_with_all_cases_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), None).unwrap();
    std::thread::scope(|scope| {
        for case in cases() {
            let log = &log;
            let run = move || case.run(log, "contract", MissingTopics::Refused);
            std::thread::Builder::new().name("contract".to_owned()).spawn_scoped(scope, run).unwrap();
        }
    });
}
