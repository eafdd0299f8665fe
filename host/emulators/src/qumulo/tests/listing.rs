//! Pages.

use std::collections::BTreeSet;

use serde_json::json;

use super::client::by;
use super::setup;

fn set(names: Vec<String>) -> BTreeSet<String> {
    let num = names.len();
    let set: BTreeSet<String> = names.into_iter().collect();
    assert_eq!(set.len(), num, "a name came twice");
    set
}

#[tokio::test]
async fn pages_follow_each_other_and_hide_the_bookkeeping() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    assert_eq!(client.names("/", 10).await, [""; 0]);
    for number in 0..25 {
        client.touch("/", &format!("f{number}")).await.ok();
    }
    let expected: BTreeSet<String> = (0..25).map(|number| format!("f{number}")).collect();
    for limit in [1, 7, 24, 25, 26, 1000] {
        assert_eq!(set(client.names("/", limit).await), expected, "{limit}");
    }
    let page = client.get(&format!("{}/entries/?limit=2", by("/"))).await.ok().json();
    assert_eq!((&page["path"], &page["id"], &page["child_count"]), (&json!("/"), &json!("2"), &json!(25)));
    let next = page["paging"]["next"].as_str().unwrap();
    let after = next.strip_prefix("/v1/files/2/entries/?after=").unwrap().strip_suffix("&limit=2").unwrap();
    assert!(after.parse::<i64>().unwrap() > 0);
    let last = client.get(&format!("{}/entries/", by("/"))).await.ok().json();
    assert_eq!(last["paging"]["next"], "");
    assert_eq!(last["files"][0], client.attributes(&by(last["files"][0]["path"].as_str().unwrap())).await.ok().json());
    assert_ne!(client.names("/", 100).await, expected.into_iter().collect::<Vec<_>>(), "not in order of the alphabet");
    let pattern = client.get(&format!("{}/entries/?smb-pattern=F1%3F&limit=3", by("/"))).await.ok().json();
    assert_eq!(pattern["files"].as_array().unwrap().len(), 3);
    let next = pattern["paging"]["next"].as_str().unwrap();
    assert!(next.ends_with("&smb-pattern=F1%3F"), "{next}");
    let acls = client.get(&format!("{}/entries/?include-acls=true&limit=2", by("/"))).await.ok().json();
    assert_eq!(acls["file_acls"]["acl_indices"], json!([null, null]));
    assert_eq!(client.get(&format!("{}/entries/?limit=0", by("/"))).await.status, 400);
    assert_eq!(client.get(&format!("{}/entries/?skip-atime-update=1", by("/"))).await.status, 400);
    client.get(&format!("{}/entries/?skip-atime-update=true", by("/"))).await.ok();
    assert_eq!(
        client.get(&format!("{}/entries/", by("/f1"))).await.error(),
        (400, "fs_not_a_directory_error".to_owned())
    );
    assert_eq!(
        client.get(&format!("{}/entries/", by("/no"))).await.error(),
        (404, "fs_no_such_entry_error".to_owned())
    );
    assert_eq!(client.attributes(&by("/.qumulo-emulator")).await.status, 404);
    assert_eq!(client.attributes(&by("/.qumulo-emulator/state.db")).await.status, 404);
    assert_eq!(client.rename("/.qumulo-emulator", "/", "x", false).await.status, 404);
}

#[tokio::test]
async fn deleting_while_paging_skips_nothing() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    client.mkdir("/", "spool").await.ok();
    for number in 0..50 {
        client.touch("/spool", &number.to_string()).await.ok();
    }
    let (mut taken, mut next) = (Vec::new(), format!("{}/entries/?limit=7", by("/spool")));
    while !next.is_empty() {
        let page = client.get(&next).await.ok().json();
        for file in page["files"].as_array().unwrap() {
            taken.push(file["name"].as_str().unwrap().to_owned());
            client.delete(&format!("/v1/files/{}", file["id"].as_str().unwrap())).await.ok();
        }
        next = page["paging"]["next"].as_str().unwrap().to_owned();
    }
    assert_eq!(set(taken).len(), 50);
    assert_eq!(client.names("/spool", 10).await, [""; 0]);
    client.delete(&by("/spool")).await.ok();
}

#[tokio::test]
async fn a_listing_never_sees_half_a_rename() {
    let mut setup = setup().await;
    setup.client.mkdir("/", "d").await.ok();
    for number in 0..10 {
        setup.client.touch("/d", &format!("a{number}")).await.ok();
    }
    let mut mover = setup.client.again();
    let moves = async {
        for round in 0..30 {
            let (from, to) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
            mover.rename(&format!("/d/{from}3"), "/d", &format!("{to}3"), false).await.ok();
        }
    };
    let mut lister = setup.client.again();
    let lists = async {
        for _ in 0..60 {
            assert_eq!(lister.names("/d", 100).await.len(), 10);
        }
    };
    tokio::join!(moves, lists);
}
