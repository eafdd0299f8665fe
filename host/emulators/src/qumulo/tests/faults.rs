//! Each way to fail, as a client meets it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Client, by};
use super::{setup, setup_with};
use crate::qumulo::{FaultKind, FaultRate, QumuloFault};

#[tokio::test]
async fn statuses_come_as_often_as_armed() {
    let mut setup = setup().await;
    setup.emulator.fault(QumuloFault::Unauthorized(2));
    assert_eq!(setup.client.get("/v1/session/who-am-i").await.status, 401);
    setup.client.log_in("admin", setup.emulator.password()).await.ok();
    assert_eq!(setup.client.get("/v1/session/who-am-i").await.status, 401);
    setup.client.get("/v1/session/who-am-i").await.ok();
    setup.emulator.fault(QumuloFault::Forbidden(1));
    assert_eq!(setup.client.get("/v1/session/who-am-i").await.error(), (403, "http_unauthorized_error".to_owned()));
    for (status, retry_after) in [(429, Some(3)), (503, None), (7, None)] {
        setup.emulator.fault(QumuloFault::AnswerNext { status, retry_after, times: 1 });
        let reply = setup.client.touch("/", "never").await;
        assert_eq!(reply.status, if status == 7 { 500 } else { status });
        assert_eq!(reply.header("retry-after").map(str::to_owned), retry_after.map(|after| after.to_string()));
        assert!(reply.json()["description"].is_string());
    }
    assert_eq!(setup.client.attributes(&by("/never")).await.status, 404);
    setup.emulator.fault(QumuloFault::Delay { by: Duration::from_millis(150), times: 1 });
    let begin = Instant::now();
    setup.client.get("/v1/version").await.ok();
    assert!(begin.elapsed() >= Duration::from_millis(150));
    assert_eq!(setup.emulator.stats().faulted, 7);
}

#[tokio::test]
async fn answers_are_cut_in_the_middle() {
    let mut setup = setup().await;
    let id = setup.client.file("/", "a", &vec![7; 1_000_000]).await;
    let path = format!("/v1/files/{id}/data");
    setup.emulator.fault(QumuloFault::CutAnswer(2));
    let torn = setup.client.get(&path).await;
    assert_eq!((torn.status, torn.is_whole), (200, false));
    assert_eq!(torn.header("content-length"), Some("1000000"));
    assert!((1..=500_000).contains(&torn.body.len()), "{}", torn.body.len());
    let torn = setup.client.get(&format!("{}/entries/", by("/"))).await;
    assert!(!torn.is_whole && !torn.body.is_empty());
    assert_eq!(setup.client.get(&path).await.ok().body.len(), 1_000_000);
}

#[tokio::test]
async fn a_cut_request_leaves_a_prefix() {
    let mut setup = setup().await;
    let id = setup.client.touch("/", "a").await.id();
    setup.emulator.fault(QumuloFault::CutRequest(1));
    let headers = "Content-Type: application/octet-stream\r\n";
    let reply = setup.client.send("PUT", &format!("/v1/files/{id}/data"), headers, &vec![7; 3_000_000]).await;
    assert!(reply.is_none());
    let size = setup.client.read(&format!("/v1/files/{id}"), "").await.len();
    assert!(size > 0 && size < 3_000_000, "{size}");
}

#[tokio::test]
async fn what_was_done_stays_done_when_its_answer_is_lost() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    let id = client.file("/", "a", b"x").await;
    let entries = format!("{}/entries/", by("/"));
    let lost = |emulator: &crate::qumulo::QumuloHandle| emulator.fault(QumuloFault::LoseAnswer(1));
    lost(&setup.emulator);
    let rename = json!({ "action": "RENAME", "name": "b", "old_path": "/a" }).to_string();
    assert!(client.send("POST", &entries, "", rename.as_bytes()).await.is_none());
    let repeated = client.send("POST", &entries, "", rename.as_bytes()).await.unwrap();
    assert_eq!(repeated.error(), (404, "fs_no_such_entry_error".to_owned()));
    assert_eq!(client.attributes(&by("/b")).await.id(), id);
    lost(&setup.emulator);
    let kind = "Content-Type: application/octet-stream\r\n";
    assert!(client.send("PATCH", &format!("/v1/files/{id}/data?offset=1"), kind, b"y").await.is_none());
    assert_eq!(client.read(&format!("/v1/files/{id}"), "").await, b"xy");
    lost(&setup.emulator);
    let create = json!({ "action": "CREATE_FILE", "name": "c" }).to_string();
    assert!(client.send("POST", &entries, "", create.as_bytes()).await.is_none());
    assert_eq!(client.touch("/", "c").await.status, 409);
    let unanswered = setup.emulator.requests().iter().filter(|request| request.status.is_none()).count();
    assert_eq!(unanswered, 3);
    assert_eq!(setup.emulator.stats().unanswered, 3);
}

#[tokio::test]
async fn pages_are_short_and_lead_on() {
    let mut setup = setup().await;
    for number in 0..10 {
        setup.client.touch("/", &number.to_string()).await.ok();
    }
    setup.emulator.fault(QumuloFault::ShortPage(3));
    let page = setup.client.get(&format!("{}/entries/?limit=10", by("/"))).await.ok().json();
    assert_eq!(page["files"].as_array().unwrap().len(), 5);
    assert_ne!(page["paging"]["next"], "");
    assert_eq!(setup.client.names("/", 10).await.len(), 10);
}

#[tokio::test]
async fn a_full_disk_refuses_until_it_has_room() {
    let mut setup = setup().await;
    let id = setup.client.file("/", "a", b"xxxx").await;
    setup.emulator.fault(QumuloFault::DiskFull(true));
    assert_eq!(setup.client.touch("/", "b").await.error(), (507, "fs_no_space_error".to_owned()));
    let file = format!("/v1/files/{id}");
    assert_eq!(setup.client.patch(&file, "?offset=4", "", b"y").await.status, 507);
    setup.client.patch(&file, "?offset=0", "", b"yyyy").await.ok();
    assert_eq!(setup.client.get("/v1/file-system").await.ok().json()["free_size_bytes"], "0");
    setup.emulator.fault(QumuloFault::DiskFull(false));
    setup.client.touch("/", "b").await.ok();
}

#[tokio::test]
async fn rates_happen_and_a_client_that_repeats_gets_through() {
    let rates = |kinds: &[FaultKind]| kinds.iter().map(|kind| FaultRate { kind: *kind, rate: 0.2 }).collect();
    let kinds = [FaultKind::TooMany, FaultKind::LoseAnswer, FaultKind::CutAnswer, FaultKind::Unauthorized];
    let folder = tempfile::tempdir().unwrap();
    let emulator = super::start(folder.path(), |options| options.faults = rates(&kinds)).await;
    let mut client = Client::new(emulator.addr());
    while client.log_in("admin", emulator.password()).await.status != 200 {}
    for number in 0..30 {
        let body = json!({ "action": "CREATE_FILE", "name": number.to_string() }).to_string();
        loop {
            let reply = client.send("POST", &format!("{}/entries/", by("/")), "", body.as_bytes()).await;
            if reply.is_some_and(|reply| matches!(reply.status, 200 | 409)) {
                break;
            }
        }
    }
    assert!(emulator.stats().faulted > 10);
    let num = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(num, 31);
}

#[tokio::test]
async fn one_folder_has_one_emulator() {
    let setup = setup_with(|options| options.read_only = false).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = crate::qumulo::start(listener, crate::qumulo::Options::new(setup.folder.path())).await;
    assert!(matches!(second, Err(crate::Error::Bookkeeping { .. })), "{second:?}");
}
