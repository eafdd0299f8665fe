//! Tasks taken and refused, and what is said of them.

use serde_json::{Value, json};

use super::super::OverlordFault;
use super::{DAY, SOON, Setup, appending, inline, rows, setup, setup_with, task, with};

#[tokio::test]
async fn a_task_is_taken_run_and_told_of() {
    let setup = setup().await;
    let text = rows(0..1000);
    let task = task("first", "wiki", &inline(&text));
    let reply = setup.submit(&task).await.ok();
    assert_eq!(reply.json(), json!({ "task": "first" }));
    let status = setup.ended("first").await;
    let expected = json!({
        "id": "first", "groupId": "first", "type": "index_parallel", "queueInsertionTime": "1970-01-01T00:00:00.000Z",
        "statusCode": "SUCCESS", "status": "SUCCESS", "runnerStatusCode": "NONE", "dataSource": "wiki",
        "errorMsg": null, "location": { "host": null, "port": -1, "tlsPort": -1 },
        "createdTime": status["createdTime"], "duration": status["duration"],
    });
    assert_eq!(status, expected);
    assert!(status["duration"].as_i64().unwrap() > 0 && status["createdTime"].as_str().unwrap().ends_with('Z'));
    let payload = setup.client.get("/druid/indexer/v1/task/first").await.ok().json();
    assert_eq!(payload, json!({ "task": "first", "payload": task }));
    let report = setup.report("first").await;
    assert_eq!(report["ingestionState"], "COMPLETED");
    let counts = json!({
        "processed": 1000, "processedBytes": text.len(), "processedWithError": 0, "thrownAway": 0, "unparseable": 0,
    });
    assert_eq!(report["rowStats"]["buildSegments"], counts);
    assert_eq!(setup.loaded("wiki").await, json!([1000, 499_500]));
    let stats = setup.emulator.stats();
    assert_eq!((stats.submitted, stats.succeeded, stats.rows["wiki"]), (1, 1, 1000));
    setup.emulator.stop().await;
}

#[tokio::test]
async fn what_is_no_task_is_refused_in_the_current_shape() {
    let setup = setup().await;
    let good = task("x", "wiki", &inline(&rows(0..1)));
    let without = |key: &str| {
        let mut task = good.clone();
        task["spec"].as_object_mut().unwrap().remove(key);
        task
    };
    let firehose = json!({ "type": "http", "uris": ["http://127.0.0.1:1/"] });
    let cases = [
        (json!([]), "'type'"),
        (with(good.clone(), "/type", json!("index_hadoop")), "index_hadoop"),
        (without("dataSchema"), "dataSchema"),
        (without("ioConfig"), "ioConfig"),
        (with(good.clone(), "/id", json!("")), "must not be empty"),
        (with(good.clone(), "/id", json!("a/b")), "cannot contain '/'"),
        (with(good.clone(), "/id", json!(".a")), "cannot start with '.'"),
        (with(good.clone(), "/id", json!("a b")), "whitespace"),
        (with(good.clone(), "/id", json!("a\tb")), "whitespace"),
        (with(good.clone(), "/id", json!(7)), "no text"),
        (with(good.clone(), "/spec/dataSchema/dataSource", json!("a/b")), "dataSource"),
        (with(good.clone(), "/spec/ioConfig/firehose", firehose), "firehose"),
        (with(good.clone(), "/spec/ioConfig/inputFormat", json!({ "type": "csv" })), "csv"),
        (with(good.clone(), "/spec/ioConfig/inputSource/type", json!("s3")), "s3"),
        (with(good.clone(), "/spec/dataSchema/timestampSpec/format", json!("yyyy")), "yyyy"),
        (with(good.clone(), "/spec/dataSchema/granularitySpec/intervals", json!(["x"])), "Bad Interval"),
        (with(good.clone(), "/spec/dataSchema/granularitySpec/segmentGranularity", json!("x")), "segmentGranularity"),
        (with(good.clone(), "/spec/dataSchema/parser", json!({ "parseSpec": { "format": "json" } })), "parser"),
        (appending(with(good.clone(), "/spec/ioConfig/dropExisting", json!(true))), "dropExisting"),
        (with(good.clone(), "/spec/tuningConfig/partitionsSpec", json!({ "type": "hashed" })), "hashed"),
    ];
    for (task, expected) in cases {
        let (status, message) = setup.submit(&task).await.error();
        assert!(status == 400 && message.contains(expected), "{status} {message}, expected {expected}");
    }
    let reply = setup.client.post_text("/druid/indexer/v1/task", "{nonsense").await.unwrap();
    let whole = json!({
        "error": "druidException", "errorCode": "invalidInput", "persona": "USER", "category": "INVALID_INPUT",
        "errorMessage": reply.json()["errorMessage"], "context": {},
    });
    assert_eq!((reply.status, reply.json()), (400, whole));
    for kind in ["", "Content-Type: text/plain\r\n"] {
        let reply = setup.client.send("POST", "/druid/indexer/v1/task", kind, &good.to_string()).await.unwrap();
        assert_eq!(reply.status, 415);
    }
    let kind = "Content-Type: application/json; charset=utf-8\r\n";
    setup.client.send("POST", "/druid/indexer/v1/task", kind, &good.to_string()).await.unwrap().ok();
    assert_eq!(setup.emulator.stats().submitted, 1);
}

#[tokio::test]
async fn an_id_is_taken_once_and_made_up_where_there_is_none() {
    let setup = setup().await;
    let first = task("twice", "wiki", &inline(&rows(0..3)));
    setup.succeed(&first).await;
    let again = setup.submit(&first).await;
    let refusal = json!({
        "error": "druidException", "errorCode": "entryAlreadyExists", "persona": "USER",
        "category": "INVALID_INPUT", "errorMessage": "Task[twice] already exists", "context": {},
    });
    assert_eq!((again.status, again.json()), (400, refusal));
    for task in [with(first.clone(), "/id", Value::Null), with(first.clone(), "/id", Value::Null)] {
        let id = setup.submit(&task).await.ok().json()["task"].as_str().unwrap().to_owned();
        let rest = id.strip_prefix("index_parallel_wiki_").unwrap();
        assert!(rest.len() == 8 + 1 + 24 && rest.ends_with('Z'), "{id}");
        assert_eq!(setup.ended(&id).await["status"], "SUCCESS");
    }
}

#[tokio::test]
async fn an_unknown_task_is_not_found_in_plain_text() {
    let setup = setup().await;
    for path in ["", "/status", "/reports"] {
        let reply = setup.client.get(&format!("/druid/indexer/v1/task/never{path}")).await;
        assert_eq!((reply.status, reply.body.as_str()), (404, "Cannot find any task with id: [never]"));
        assert_eq!(reply.header("content-type"), Some("text/plain"));
    }
    let reply = setup.client.post("/druid/indexer/v1/task/never/shutdown", &Value::Null).await.ok();
    assert_eq!(reply.json(), json!({ "task": "never" }));
    assert_eq!(setup.client.get("/druid/indexer/v1/nothing").await.status, 404);
}

/// Whether the tasks are where they are said to be.
async fn are(setup: &Setup, waiting: &[&str], pending: &[&str], running: &[&str]) -> bool {
    for (state, expected) in [("waiting", waiting), ("pending", pending), ("running", running)] {
        let short = setup.client.get(&format!("/druid/indexer/v1/{state}Tasks")).await.ok().json();
        let long = setup.client.get(&format!("/druid/indexer/v1/tasks?state={state}")).await.ok().json();
        let mut ids: Vec<&str> = short.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        let names = state.to_uppercase();
        if ids != expected || short != long || short.as_array().unwrap().iter().any(|t| t["runnerStatusCode"] != names)
        {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn tasks_run_in_order_within_slots_and_locks() {
    let setup = setup_with(|options| options.slots = 2).await;
    setup.emulator.fault(OverlordFault::HangTask(2)).await;
    let source = inline(&rows(0..3));
    // The second wants the same day of the same data source as the first; the fourth only a slot.
    for (id, datasource) in [("a", "one"), ("b", "one"), ("c", "two"), ("d", "three")] {
        setup.submit(&task(id, datasource, &source)).await.ok();
    }
    assert!(setup.emulator.wait_for(|stats| stats.running == 2 && stats.pending == 1, SOON).await);
    assert!(are(&setup, &["b"], &["d"], &["a", "c"]).await, "{:?}", setup.emulator.stats());
    let ids = setup.client.post("/druid/indexer/v1/taskStatus", &json!(["a", "never"])).await.ok().json();
    let location = json!({ "host": null, "port": -1, "tlsPort": -1 });
    let expected = json!({ "id": "a", "status": "RUNNING", "duration": -1, "errorMsg": null, "location": location });
    assert_eq!(ids, json!({ "a": expected }));
    assert_eq!(setup.client.get("/druid/indexer/v1/task/a/reports").await.status, 404);
    setup.emulator.fault(OverlordFault::Release).await;
    assert!(setup.emulator.wait_for(|stats| stats.succeeded == 4, SOON).await);
    assert!(are(&setup, &[], &[], &[]).await);
    let list = async |query: &str| {
        let tasks = setup.client.get(&format!("/druid/indexer/v1/tasks{query}")).await.ok().json();
        tasks.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ["d", "c", "b", "a"]);
    assert_eq!(list("?state=complete&max=2").await, ["d", "c"]);
    assert_eq!(list("?datasource=one").await, ["b", "a"]);
    assert_eq!(list("?type=compact").await, Vec::<String>::new());
    assert_eq!(setup.client.get("/druid/indexer/v1/tasks?state=x").await.status, 400);
    assert_eq!(setup.client.post("/druid/indexer/v1/taskStatus", &json!([])).await.status, 400);
}

#[tokio::test]
async fn appending_tasks_with_concurrent_locks_run_together_and_survive_a_replacement() {
    let setup = setup_with(|options| options.slots = 3).await;
    let shared = |task: Value| with(task, "/context", json!({ "useConcurrentLocks": true }));
    setup.succeed(&task("old", "wiki", &inline(&rows(0..5)))).await;
    setup.emulator.fault(OverlordFault::HangTask(1)).await;
    setup.submit(&shared(task("replace", "wiki", &inline(&rows(0..10))))).await.ok();
    assert!(setup.emulator.wait_for(|stats| stats.running == 1, SOON).await);
    setup.succeed(&shared(appending(task("append", "wiki", &inline(&rows(100..103)))))).await;
    assert_eq!(setup.emulator.stats().rows["wiki"], 8);
    // One that does not share waits.
    setup.submit(&task("alone", "wiki", &inline(&rows(0..1)))).await.ok();
    assert!(setup.emulator.wait_for(|stats| stats.waiting == 1, SOON).await);
    setup.client.post("/druid/indexer/v1/task/alone/shutdown", &Value::Null).await.ok();
    setup.emulator.fault(OverlordFault::Release).await;
    assert_eq!(setup.ended("replace").await["status"], "SUCCESS");
    assert_eq!(setup.loaded("wiki").await, json!([13, 45 + 303]));
}

#[tokio::test]
async fn a_full_queue_is_told_apart() {
    let setup = setup_with(|options| options.max_queue = 1).await;
    setup.emulator.fault(OverlordFault::HangTask(1)).await;
    setup.submit(&task("a", "one", &inline(&rows(0..1)))).await.ok();
    let reply = setup.submit(&task("b", "one", &inline(&rows(0..1)))).await;
    assert_eq!((reply.status, &reply.json()["category"]), (429, &json!("CAPACITY_EXCEEDED")));
    setup.emulator.fault(OverlordFault::Release).await;
    setup.ended("a").await;
    setup.succeed(&task("b", "one", &inline(&rows(0..1)))).await;
}

#[tokio::test]
async fn a_task_that_is_shut_down_fails_and_publishes_nothing() {
    let setup = setup().await;
    setup.emulator.fault(OverlordFault::HangTask(2)).await;
    setup.submit(&task("a", "one", &inline(&rows(0..1)))).await.ok();
    setup.submit(&task("b", "two", &inline(&rows(0..1)))).await.ok();
    assert!(setup.emulator.wait_for(|stats| stats.running == 2, SOON).await);
    setup.client.post("/druid/indexer/v1/task/a/shutdown", &Value::Null).await.ok();
    assert_eq!(setup.status("a").await["errorMsg"], "Shutdown request from user");
    let all = "/druid/indexer/v1/datasources/two/shutdownAllTasks";
    assert_eq!(setup.client.post(all, &Value::Null).await.ok().json(), json!({ "dataSource": "two" }));
    assert_eq!(setup.client.post(all, &Value::Null).await.status, 404);
    setup.emulator.fault(OverlordFault::Release).await;
    // What comes later runs, so the slots are free.
    setup.succeed(&task("c", "three", &inline(&rows(0..1)))).await;
    let stats = setup.emulator.stats();
    assert_eq!((stats.failed, stats.rows.len()), (2, 1), "{stats:?}");
}

#[tokio::test]
async fn every_call_but_health_wants_the_login() {
    let login = ("admin".to_owned(), "s3cret".to_owned());
    let mut setup = setup_with(|options| options.login = Some(login)).await;
    assert_eq!(setup.client.get("/status/health").await.ok().json(), json!(true));
    for headers in ["", "Authorization: Basic YWRtaW46d3Jvbmc=\r\n", "Authorization: Bearer x\r\n"] {
        setup.client.headers = headers.to_owned();
        let reply = setup.client.get("/status").await;
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Basic realm=\"druid\"")));
        assert_eq!(setup.submit(&task("a", "one", &inline(""))).await.status, 401);
    }
    setup.client.headers = "Authorization: basic YWRtaW46czNjcmV0\r\n".to_owned();
    assert_eq!(setup.client.get("/status").await.ok().json()["version"], "33.0.0");
    setup.succeed(&task("a", "one", &inline(&rows(0..1)))).await;
    let shown = format!("{:?} {:?}", setup.emulator, setup.emulator.server.options);
    assert!(!shown.contains("s3cret") && shown.contains("admin"), "{shown}");
}

#[tokio::test]
async fn the_leader_and_supervisors_are_told_of() {
    let setup = setup().await;
    let get = async |path: &str| setup.client.get(&format!("/druid/indexer/v1/{path}")).await;
    assert_eq!(get("leader").await.ok().body, setup.emulator.url());
    assert_eq!(get("isLeader").await.ok().json(), json!({ "leader": true }));
    let spec = json!({ "type": "kafka", "spec": {
        "dataSchema": { "dataSource": "stream" }, "ioConfig": { "topic": "wikipedia" },
    } });
    let post = async |path: &str, body: &Value| setup.client.post(&format!("/druid/indexer/v1/{path}"), body).await;
    assert_eq!(post("supervisor", &spec).await.ok().json(), json!({ "id": "stream" }));
    assert_eq!(get("supervisor").await.ok().json(), json!(["stream"]));
    assert_eq!(get("supervisor/stream").await.ok().json(), spec);
    assert_eq!(get("supervisor/stream/status").await.ok().json()["payload"]["state"], "RUNNING");
    assert_eq!(post("supervisor/stream/suspend", &Value::Null).await.ok().json()["suspended"], true);
    assert_eq!(get("supervisor/stream/status").await.ok().json()["payload"]["state"], "SUSPENDED");
    assert_eq!(post("supervisor", &with(spec.clone(), "/type", json!("kinesis"))).await.error().0, 400);
    assert_eq!(post("supervisor", &with(spec, "/spec/ioConfig/topic", json!(""))).await.error().0, 400);
    assert_eq!(post("supervisor/stream/terminate", &Value::Null).await.ok().json(), json!({ "id": "stream" }));
    assert_eq!(get("supervisor").await.ok().json(), json!([]));
    assert_eq!(get("supervisor/stream").await.status, 404);
    let loadstatus = "/druid/coordinator/v1/datasources/wiki/loadstatus?forceMetadataRefresh=true";
    assert_eq!(setup.client.get(loadstatus).await.status, 204);
    setup.succeed(&task("a", "wiki", &inline(&rows(0..1)))).await;
    assert_eq!(setup.client.get(loadstatus).await.ok().json(), json!({ "wiki": 100.0 }));
}

#[tokio::test]
async fn compaction_keeps_rows_and_lessens_segments() {
    let setup = setup().await;
    for (id, numbers) in [("a", 0..10), ("b", 10..20), ("c", 20..30)] {
        setup.succeed(&appending(task(id, "wiki", &inline(&rows(numbers))))).await;
    }
    assert_eq!(setup.emulator.stats().segments["wiki"], 3);
    let compact = json!({
        "type": "compact", "id": "compact", "dataSource": "wiki",
        "ioConfig": { "type": "compact", "inputSpec": { "type": "interval", "interval": DAY } },
    });
    assert_eq!(setup.succeed(&compact).await["processed"], 30);
    assert_eq!(setup.emulator.stats().segments["wiki"], 1);
    assert_eq!(setup.loaded("wiki").await, json!([30, 435]));
    let nothing = with(with(compact, "/id", json!("nothing")), "/dataSource", json!("other"));
    assert_eq!(setup.fail(&nothing).await, "No segments found for compaction");
    // Another data source from the same rows.
    let own = json!({ "type": "druid", "dataSource": "wiki", "interval": DAY });
    setup.succeed(&task("copy", "copy", &own)).await;
    assert_eq!(setup.loaded("copy").await, json!([30, 435]));
    let part =
        json!({ "type": "druid", "dataSource": "wiki", "interval": "2026-02-03T00:00:00Z/2026-02-03T00:10:00Z" });
    assert!(setup.fail(&task("part", "copy", &part)).await.contains("a part of"));
}
