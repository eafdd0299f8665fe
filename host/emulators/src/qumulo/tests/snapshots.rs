//! Snapshots and tree deletes.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{SOON, by};
use super::setup;

#[tokio::test]
async fn a_snapshot_keeps_what_was_there() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    let dir = client.mkdir("/", "d").await.id();
    client.mkdir("/d", "sub").await.ok();
    let id = client.file("/d/sub", "f", b"before").await;
    client.make("/d", "CREATE_SYMLINK", "s", json!({ "old_path": "sub/f" })).await.ok();
    client.touch("/", "elsewhere").await.ok();
    let before = client.attributes(&format!("/v1/files/{id}")).await.ok();
    let taken = client.post("/v3/snapshots/", &json!({ "expiration": "", "source_file_id": dir })).await.ok().json();
    let number = taken["id"].as_i64().expect("a number");
    assert_eq!((&taken["name"], &taken["source_file_id"]), (&json!(format!("{number}_OnDemand")), &json!(dir)));
    assert_eq!((&taken["expiration"], &taken["in_delete"]), (&Value::Null, &json!(false)));

    client.put(&format!("/v1/files/{id}"), "", b"after that").await.ok();
    client.touch("/d", "new").await.ok();
    client.rename("/d/sub/f", "/d", "moved", false).await.ok();
    let at = |path: &str, what: &str| format!("{}/{what}?snapshot={number}", by(path));
    assert_eq!(client.get(&at("/d/sub/f", "data")).await.ok().body, b"before");
    assert_eq!(client.get(&format!("{}&offset=2&length=3", at("/d/sub/f", "data"))).await.ok().body, b"for");
    assert_eq!(client.get(&at("/d/s", "data")).await.ok().body, b"sub/f");
    let kept = client.get(&format!("/v1/files/{id}/info/attributes?snapshot={number}")).await.ok();
    assert_eq!((kept.json(), kept.etag()), (before.json(), before.etag()));
    assert_eq!(client.get(&at("/d/new", "info/attributes")).await.status, 404);
    assert_eq!(client.get(&at("/elsewhere", "info/attributes")).await.status, 404);
    let page = client.get(&format!("{}&limit=1", at("/d", "entries/"))).await.ok().json();
    let next = page["paging"]["next"].as_str().unwrap().to_owned();
    assert!(next.contains(&format!("snapshot={number}")));
    let rest = client.get(&next).await.ok().json();
    let names = [page["files"][0]["name"].as_str().unwrap(), rest["files"][0]["name"].as_str().unwrap()];
    assert!(names.contains(&"sub") && names.contains(&"s"), "{names:?}");
    assert_eq!(rest["paging"]["next"], "");
    assert_eq!(client.get(&format!("{}/entries/?snapshot=99", by("/d"))).await.error().0, 404);

    let mut setup = setup.restart().await;
    let client = &mut setup.client;
    assert_eq!(client.get(&at("/d/sub/f", "data")).await.ok().body, b"before");
    let second = client.post("/v3/snapshots/", &json!({ "name_suffix": "x", "source_file_id": dir })).await.ok().json();
    let newer = second["id"].as_i64().unwrap();
    assert_eq!(second["name"], format!("{newer}_x"));
    let diff = client.get(&format!("/v2/snapshots/{newer}/changes-since/{number}")).await.ok().json();
    let entries = diff["entries"].as_array().unwrap();
    assert!(entries.contains(&json!({ "op": "CREATE", "path": "/d/moved" })), "{diff}");
    assert!(entries.contains(&json!({ "op": "DELETE", "path": "/d/sub/f" })), "{diff}");
    let statuses = client.get("/v4/snapshots/status/?filter=api_snapshots_exclude_in_delete").await.ok().json();
    assert_eq!(statuses["entries"].as_array().unwrap().len(), 2);
    assert_eq!(statuses["entries"][0]["source_file_path"], "/d/");
    assert_eq!(client.get(&format!("/v3/snapshots/status/{newer}")).await.ok().json()["owners"], json!([]));
    assert_eq!(client.delete(&format!("/v3/snapshots/{newer}")).await.ok().status, 202);
    assert_eq!(client.get(&format!("/v3/snapshots/{newer}")).await.status, 404);
    assert_eq!(client.delete(&format!("/v2/snapshots/{number}")).await.ok().status, 200);
    assert_eq!(client.get("/v3/snapshots/").await.ok().json(), json!({ "entries": [] }));
    let left = std::fs::read_dir(setup.folder.path().join(".qumulo-emulator/snapshots")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn older_snapshots_calls_answer_in_their_form() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    let path = "/v2/snapshots/?expiration-time-to-live=1hours";
    let taken = client.post(path, &json!({ "name": "n", "source_file_id": "2" })).await.ok().json();
    assert!(taken["id"].is_number() && taken["directory_name"].is_string());
    assert_eq!(taken["name"], "n");
    assert!(taken["expiration"].as_str().unwrap().ends_with('Z'));
    let id = taken["id"].as_i64().unwrap();
    let one = format!("/v2/snapshots/{id}");
    assert_eq!(client.get(&one).await.ok().json(), taken);
    let over =
        client.json("PATCH", &format!("/v3/snapshots/{id}"), &json!({ "expiration": "2000-01-01T00:00:00Z" })).await;
    assert_eq!(over.status, 404, "its time is over, so it is gone");
    assert_eq!(client.get(&one).await.status, 404);
    let bad = "/v2/snapshots/?expiration-time-to-live=1year";
    assert_eq!(client.post(bad, &json!({ "name": "n", "source_file_id": "2" })).await.status, 400);
    assert_eq!(client.post("/v2/snapshots/", &json!({ "source_file_id": "2" })).await.status, 400);
    assert_eq!(client.post("/v3/snapshots/", &json!({ "source_file_id": "77" })).await.status, 404);
}

#[tokio::test]
async fn a_tree_delete_runs_by_itself_and_is_gone_when_done() {
    let mut setup = setup().await;
    for call in ["/v1/tree-delete/jobs/", "delete-tree"] {
        let client = &mut setup.client;
        let dir = client.mkdir("/", "tree").await.id();
        for outer in 0..5 {
            client.mkdir("/tree", &outer.to_string()).await.ok();
            for inner in 0..30 {
                client.touch(&format!("/tree/{outer}"), &inner.to_string()).await.ok();
            }
        }
        std::os::unix::fs::symlink("/etc", setup.folder.path().join("tree/link")).unwrap();
        let started = match call {
            "delete-tree" => client.post(&format!("{}/delete-tree", by("/tree")), &json!({})).await,
            jobs => client.post(jobs, &json!({ "id": dir })).await,
        };
        assert_eq!((started.status, started.body.len()), (202, 0));
        let job = format!("/v1/tree-delete/jobs/{dir}");
        let deleted = async {
            loop {
                let seen = client.get(&job).await;
                if seen.status == 404 {
                    assert_eq!(seen.error().1, "http_not_found_error");
                    break;
                }
                assert_eq!(seen.json()["initial_path"], "/tree/");
                let again = client.post("/v1/tree-delete/jobs/", &json!({ "id": dir })).await;
                assert!(matches!(again.status, 202 | 404 | 409), "{again:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, deleted).await.expect("the tree is not deleted");
        assert_eq!(client.attributes(&by("/tree")).await.status, 404);
        assert_eq!(client.get("/v1/tree-delete/jobs/").await.ok().json(), json!({ "jobs": [] }));
    }
    assert!(std::path::Path::new("/etc/passwd").exists());
    let client = &mut setup.client;
    assert_eq!(client.post("/v1/tree-delete/jobs/", &json!({ "id": "2" })).await.status, 403);
    assert_eq!(client.post("/v1/tree-delete/jobs/", &json!({ "id": "/none" })).await.status, 404);
    assert_eq!(client.delete("/v1/tree-delete/jobs/7").await.error(), (404, "http_not_found_error".to_owned()));
    assert_eq!(client.post("/v1/tree-delete/jobs/restart/7", &json!({})).await.status, 404);
}
