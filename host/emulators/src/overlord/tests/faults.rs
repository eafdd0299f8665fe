//! What goes wrong on request.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{FaultKind, FaultRate, OverlordFault};
use super::source::{Source, ranged};
use super::{SOON, inline, rows, setup, setup_with, task};

const TASK: &str = "/druid/indexer/v1/task";

fn one(id: &str) -> Value {
    task(id, "wiki", &inline(&rows(0..3)))
}

#[tokio::test]
async fn submissions_meet_no_leader_another_leader_and_refusals() {
    let setup = setup().await;
    setup.emulator.fault(OverlordFault::NoLeader(2)).await;
    // Other calls are let through.
    setup.client.get("/druid/indexer/v1/tasks").await.ok();
    for expected in [503, 503, 200] {
        assert_eq!(setup.submit(&one("a")).await.status, expected);
    }
    let leader = super::setup().await;
    setup.emulator.fault(OverlordFault::Redirect { to: leader.emulator.url(), times: 1 }).await;
    let reply = setup.submit(&one("b")).await;
    let to = format!("{}{TASK}", leader.emulator.url());
    assert_eq!((reply.status, reply.header("location")), (307, Some(to.as_str())));
    setup.emulator.fault(OverlordFault::RefuseSpec { message: "no such column".to_owned(), times: 1 }).await;
    assert_eq!(setup.submit(&one("c")).await.error(), (400, "no such column".to_owned()));
    setup.emulator.fault(OverlordFault::AnswerNext { status: 429, retry_after: Some(7), times: 1 }).await;
    let reply = setup.submit(&one("d")).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")));
    assert_eq!(setup.emulator.stats().submitted, 1);
    assert_eq!(setup.emulator.stats().faulted, 5);
}

#[tokio::test]
async fn a_task_is_taken_though_its_answer_is_lost() {
    let setup = setup().await;
    setup.emulator.fault(OverlordFault::LoseAnswer(1)).await;
    assert!(setup.client.post_text(TASK, &one("a").to_string()).await.is_none());
    assert_eq!(setup.ended("a").await["status"], "SUCCESS");
    assert_eq!(setup.submit(&one("a")).await.json()["errorCode"], "entryAlreadyExists");
    let asked = setup.emulator.requests();
    assert_eq!((asked[0].target.as_str(), asked[0].status), (TASK, None));
    assert_eq!(setup.emulator.stats().unanswered, 1);
}

#[tokio::test]
async fn a_task_is_hidden_and_its_report_missing() {
    let setup = setup().await;
    setup.emulator.fault(OverlordFault::HideStatus(2)).await;
    setup.emulator.fault(OverlordFault::HideReport(1)).await;
    setup.submit(&one("a")).await.ok();
    for expected in [404, 404, 200] {
        assert_eq!(setup.client.get(&format!("{TASK}/a/status")).await.status, expected);
    }
    setup.ended("a").await;
    for expected in [404, 200] {
        assert_eq!(setup.client.get(&format!("{TASK}/a/reports")).await.status, expected);
    }
}

#[tokio::test]
async fn tasks_are_forgotten_and_may_come_again() {
    let setup = setup().await;
    setup.emulator.fault(OverlordFault::ForgetNext(1)).await;
    assert_eq!(setup.submit(&one("a")).await.ok().json(), json!({ "task": "a" }));
    assert_eq!(setup.client.get(&format!("{TASK}/a/status")).await.status, 404);
    setup.succeed(&one("a")).await;
    // What has ended is remembered; what runs is lost, and does not come in the way of its successor.
    setup.emulator.fault(OverlordFault::HangTask(2)).await;
    setup.submit(&one("b")).await.ok();
    assert!(setup.emulator.wait_for(|stats| stats.running == 1, SOON).await);
    setup.emulator.fault(OverlordFault::ForgetTasks).await;
    assert_eq!(setup.client.get(&format!("{TASK}/b/status")).await.status, 404);
    assert_eq!(setup.client.get(&format!("{TASK}/a/status")).await.status, 200);
    setup.submit(&task("b", "other", &inline(&rows(0..7)))).await.ok();
    assert!(setup.emulator.wait_for(|stats| stats.running == 1, SOON).await);
    setup.emulator.fault(OverlordFault::Release).await;
    assert_eq!(setup.ended("b").await["dataSource"], "other");
    assert_eq!(setup.emulator.stats().rows["other"], 7);
}

#[tokio::test]
async fn tasks_fail_and_hang_as_told() {
    let setup = setup().await;
    setup.emulator.fault(OverlordFault::FailTask { message: "disk full".to_owned(), times: 1 }).await;
    assert_eq!(setup.fail(&one("a")).await, "disk full");
    assert_eq!(setup.report("a").await["errorMsg"], "disk full");
    setup.emulator.fault(OverlordFault::HangTask(1)).await;
    setup.submit(&one("b")).await.ok();
    assert!(setup.emulator.wait_for(|stats| stats.running == 1, SOON).await);
    assert_eq!(setup.status("b").await["runnerStatusCode"], "RUNNING");
    setup.emulator.fault(OverlordFault::Release).await;
    assert_eq!(setup.ended("b").await["status"], "SUCCESS");
    // An earlier release is not for a later task.
    setup.emulator.fault(OverlordFault::HangTask(1)).await;
    setup.submit(&one("c")).await.ok();
    setup.succeed(&task("d", "other", &inline(&rows(0..3)))).await;
    assert_eq!(setup.status("c").await["runnerStatusCode"], "RUNNING");
    setup.emulator.stop().await;
}

#[tokio::test]
async fn a_slow_fetch_takes_at_least_the_time_of_its_rate() {
    let setup = setup().await;
    let text = rows(0..1000);
    let least = Duration::from_secs_f64(text.len() as f64 / 600_000.0);
    let source = Source::start(move |asked| ranged(asked, text.as_bytes())).await;
    setup.emulator.fault(OverlordFault::SlowFetch { bytes_per_second: 600_000, times: 1 }).await;
    let before = tokio::time::Instant::now();
    setup.succeed(&task("a", "wiki", &source.input(&["/1.json"]))).await;
    assert!(before.elapsed() >= least, "{:?}", before.elapsed());
}

#[tokio::test]
async fn rates_happen_and_a_client_that_repeats_gets_through() {
    let kinds = [FaultKind::NoLeader, FaultKind::LoseAnswer, FaultKind::HideStatus, FaultKind::Unavailable];
    let rates = kinds.iter().map(|kind| FaultRate { kind: *kind, rate: 0.2 }).collect();
    let setup = setup_with(|options| options.faults = rates).await;
    for number in 0..20 {
        let body = one(&format!("t{number}")).to_string();
        loop {
            let reply = setup.client.post_text(TASK, &body).await;
            // Lost, and known when it is said again.
            if reply.is_some_and(|reply| matches!(reply.status, 200 | 400)) {
                break;
            }
        }
    }
    assert!(setup.emulator.wait_for(|stats| stats.succeeded == 20, SOON).await);
    let stats = setup.emulator.stats();
    assert!(stats.faulted > 3 && stats.submitted == 20, "{stats:?}");
}

#[test]
fn rates_are_read_and_the_kinds_named() {
    let read = |text: &str| text.parse::<FaultRate>();
    assert_eq!(read("lose-answer=0.25").unwrap(), FaultRate { kind: FaultKind::LoseAnswer, rate: 0.25 });
    for bad in ["lose-answer", "lose-answer=", "lose-answer=2", "lose-answer=-1", "lose-answer=NaN"] {
        assert!(read(bad).is_err(), "{bad}");
    }
    let error = read("nothing=1").unwrap_err().to_string();
    assert!(error.contains("`no-leader`") && error.contains("`slow-fetch`"), "{error}");
}
