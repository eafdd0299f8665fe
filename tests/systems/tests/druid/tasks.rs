//! Tasks with the rows in them.

use crate::support::{WITHIN, rows, succeed, task};
use serde_json::{Value, json};
use systems::druid::druid;

#[test]
fn every_row_of_a_task_is_there_once() {
    let Some(druid) = druid() else { return };
    let text = rows(0..1000);
    let read = succeed(druid, &task("inline", "inline", json!({ "type": "inline", "data": text })));
    let expected = json!({
        "processed": 1000, "processedBytes": text.len(), "processedWithError": 0, "thrownAway": 0, "unparseable": 0
    });
    assert_eq!(read, expected);

    let query = "SELECT COUNT(*), COUNT(DISTINCT page), SUM(added), MIN(__time), MAX(__time) FROM inline";
    let wanted = json!([[1000, 1000, 499_500, "2026-02-03T00:00:00.000Z", "2026-02-03T16:39:00.000Z"]]);
    druid.sql_gives(query, &wanted, WITHIN).unwrap();
}

#[test]
fn a_task_replaces_what_was_there() {
    let Some(druid) = druid() else { return };
    for (id, numbers) in [("replaced-1", 0..10), ("replaced-2", 5..30)] {
        let (count, sum) = (numbers.len(), numbers.clone().sum::<u32>());
        succeed(druid, &task(id, "replaced", json!({ "type": "inline", "data": rows(numbers) })));
        druid.sql_gives("SELECT COUNT(*), SUM(added) FROM replaced", &json!([[count, sum]]), WITHIN).unwrap();
    }
}

#[test]
fn an_id_is_taken_once() {
    let Some(druid) = druid() else { return };
    let task = task("twice", "twice", json!({ "type": "inline", "data": rows(0..3) }));
    assert_eq!(druid.submit(&task).unwrap().status, 200);

    // Two checks refuse it, of the queue and of the metadata, each in words of its own.
    let again = druid.submit(&task).unwrap();
    assert_eq!(again.status, 400, "{again:?}");
    let refusal: Value = serde_json::from_str(&again.body).unwrap();
    let words = (refusal["errorCode"].as_str().unwrap(), refusal["errorMessage"].as_str().unwrap());
    let known = [("entryAlreadyExists", "Task[twice] already exists"), ("invalidInput", "Task [twice] already exists")];
    assert!(known.contains(&words), "{refusal}");

    assert_eq!(druid.ended("twice", WITHIN).unwrap()["status"], "SUCCESS");
    let again = druid.submit(&task).unwrap();
    let refusal = json!({
        "error": "druidException", "errorCode": "entryAlreadyExists", "persona": "USER",
        "category": "INVALID_INPUT", "errorMessage": "Task[twice] already exists", "context": {},
    });
    assert_eq!((again.status, serde_json::from_str(&again.body).unwrap()), (400, refusal));
    druid.sql_gives("SELECT COUNT(*), SUM(added) FROM twice", &json!([[3, 3]]), WITHIN).unwrap();
}

#[test]
fn an_unknown_task_is_not_found_in_plain_text() {
    let Some(druid) = druid() else { return };
    for path in ["", "/status", "/reports"] {
        let answer = druid.get(&format!("/druid/indexer/v1/task/never{path}")).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (404, "Cannot find any task with id: [never]"));
    }
}

#[test]
fn an_empty_line_is_a_bad_row() {
    let Some(druid) = druid() else { return };
    let text = rows(0..2) + "\n";
    assert_eq!(druid.submit(&task("blank", "blank", json!({ "type": "inline", "data": text }))).unwrap().status, 200);
    let status = druid.ended("blank", WITHIN).unwrap();
    let message = status["errorMsg"].as_str().unwrap();
    assert!(status["status"] == "FAILED" && message.contains("Max parse exceptions[0] exceeded"), "{status}");
}
