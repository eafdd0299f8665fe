//! Data: reads, writes, tags, copies.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::by;
use super::{setup, setup_with};

#[tokio::test]
async fn put_truncates_and_patch_goes_over() {
    let mut setup = setup_with(|options| options.durable = true).await;
    let client = &mut setup.client;
    let id = client.touch("/", "a").await.id();
    let file = format!("/v1/files/{id}");
    assert_eq!(client.read(&file, "").await, b"");
    client.put(&file, "", b"hello world").await.ok();
    let reply = client.put(&file, "", b"short").await.ok();
    assert_eq!((&reply.json()["size"], &reply.json()["id"]), (&json!("5"), &json!(id)));
    client.patch(&file, "", "", b"SH").await.ok();
    assert_eq!(client.read(&file, "").await, b"SHort");
    client.patch(&file, "?offset=5", "", b"er").await.ok();
    client.patch(&file, "?offset=9", "", b"gap").await.ok();
    assert_eq!(client.read(&file, "").await, b"SHorter\0\0gap");
    for (query, expected) in [
        ("?offset=2&length=3", &b"ort"[..]),
        ("?length=2", b"SH"),
        ("?offset=9", b"gap"),
        ("?offset=10&length=100", b"ap"),
        ("?offset=12", b""),
        ("?offset=1000", b""),
        ("?length=0", b""),
        ("?offset=9223372036854775807&length=9223372036854775807", b""),
    ] {
        assert_eq!(client.read(&file, query).await, expected, "{query}");
    }
    client.put(&file, "", b"").await.ok();
    assert_eq!(client.read(&file, "").await, b"");
    assert_eq!(client.put(&by("/none"), "", b"x").await.error(), (404, "fs_no_such_entry_error".to_owned()));
    assert_eq!(client.put(&by("/"), "", b"x").await.error(), (400, "fs_not_a_file_error".to_owned()));
    assert_eq!(client.get("/v1/files/2/data").await.error(), (400, "fs_not_a_file_error".to_owned()));
    assert_eq!(client.get(&format!("{file}/data?skip-atime-update=1")).await.status, 400);
    assert_eq!(client.patch(&file, "?offset=-1", "", b"x").await.status, 400);
    assert_eq!(client.patch(&file, "?offset=9223372036854775807", "", b"x").await.status, 400);
    let wrong = client.send("PUT", &format!("{file}/data"), "Content-Type: text/plain\r\n", b"x").await.unwrap();
    assert_eq!(wrong.status, 415);
    let kind = "Content-Type: application/octet-stream; charset=utf-8\r\n";
    client.send("PUT", &format!("{file}/data"), kind, b"x").await.unwrap().ok();
}

#[tokio::test]
async fn every_change_has_a_new_tag_and_a_stale_one_is_412() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    let made = client.touch("/", "a").await.ok();
    let file = format!("/v1/files/{}", made.json()["id"].as_str().unwrap());
    let mut tags = vec![made.etag()];
    assert_eq!(client.attributes(&file).await.etag(), tags[0]);
    for number in 0..20 {
        // The same bytes, within one tick of the clock: the tag changes all the same.
        let if_match = format!("If-Match: {}\r\n", tags.last().unwrap());
        let reply = match number % 2 {
            0 => client.put(&file, &if_match, b"same").await.ok(),
            _ => client.patch(&file, "?offset=0", &if_match, b"same").await.ok(),
        };
        assert!(!tags.contains(&reply.etag()));
        tags.push(reply.etag());
        assert_eq!(client.attributes(&file).await.etag(), reply.etag());
        let read = client.get(&format!("{file}/data")).await;
        assert_eq!((read.etag(), read.header("content-type")), (reply.etag(), Some("application/octet-stream")));
    }
    for stale in [tags[3].as_str(), "*", "", "\"x\""] {
        let if_match = format!("If-Match: {stale}\r\n");
        assert_eq!(client.put(&file, &if_match, b"lost").await.status, 412, "{stale}");
        assert_eq!(client.patch(&file, "?offset=4", &if_match, b"lost").await.status, 412);
    }
    assert_eq!(client.read(&file, "").await, b"same");
    client.rename("/a", "/", "b", false).await.ok();
    assert_ne!(client.attributes(&file).await.etag(), *tags.last().unwrap());
}

#[tokio::test]
async fn of_many_appends_with_one_tag_exactly_one_wins() {
    let mut setup = setup().await;
    let id = setup.client.touch("/", "log").await.id();
    let file = format!("/v1/files/{id}");
    for round in 0..10_usize {
        let etag = setup.client.attributes(&file).await.etag();
        let appends = (0..6).map(|_| {
            let (mut client, file) = (setup.client.again(), file.clone());
            let if_match = format!("If-Match: {etag}\r\n");
            async move { client.patch(&file, &format!("?offset={round}"), &if_match, b"x").await.status }
        });
        let statuses = futures_util::future::join_all(appends).await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 5, "{statuses:?}");
    }
    assert_eq!(setup.client.read(&file, "").await, b"xxxxxxxxxx");
}

#[tokio::test]
async fn while_a_file_is_written_no_condition_on_it_holds() {
    let mut setup = setup().await;
    let id = setup.client.touch("/", "a").await.id();
    let file = format!("/v1/files/{id}");
    let mut slow = TcpStream::connect(setup.emulator.addr()).await.unwrap();
    let headers = "Content-Type: application/octet-stream\r\nContent-Length: 10\r\n";
    slow.write_all(setup.client.head("PUT", &format!("{file}/data"), headers).as_bytes()).await.unwrap();
    slow.write_all(b"half ").await.unwrap();
    assert!(setup.emulator.wait_for(|stats| stats.bytes_written == 5, super::client::SOON).await);
    while setup.client.read(&file, "").await != b"half " {
        tokio::task::yield_now().await;
    }
    let if_match = format!("If-Match: {}\r\n", setup.client.attributes(&file).await.etag());
    assert_eq!(setup.client.patch(&file, "?offset=5", &if_match, b"other").await.status, 412);
    slow.write_all(b"whole").await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(setup.client.read(&file, "").await, b"half whole");
    let if_match = format!("If-Match: {}\r\n", setup.client.attributes(&file).await.etag());
    setup.client.patch(&file, "?offset=10", &if_match, b"!").await.ok();
}

#[tokio::test]
async fn a_write_that_breaks_off_leaves_what_came() {
    let mut setup = setup().await;
    let id = setup.client.touch("/", "a").await.id();
    let file = format!("/v1/files/{id}");
    let before = setup.client.attributes(&file).await.etag();
    let mut broken = TcpStream::connect(setup.emulator.addr()).await.unwrap();
    let headers = "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n";
    broken.write_all(setup.client.head("PUT", &format!("{file}/data"), headers).as_bytes()).await.unwrap();
    broken.write_all(b"4\r\nhalf\r\n").await.unwrap();
    assert!(setup.emulator.wait_for(|stats| stats.bytes_written == 4, super::client::SOON).await);
    drop(broken);
    assert!(setup.emulator.wait_for(|stats| stats.connections_now == 1, super::client::SOON).await);
    assert_eq!(setup.client.read(&file, "").await, b"half");
    let after = setup.client.attributes(&file).await.etag();
    assert_ne!(after, before);
    setup.client.put(&file, &format!("If-Match: {after}\r\n"), b"again").await.ok();
}

#[tokio::test]
async fn copies_and_holes() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    let source = client.file("/", "a", b"0123456789").await;
    let target = client.touch("/", "b").await.ok();
    let (etag, file) = (target.etag(), format!("/v1/files/{}", target.id()));
    let copy = format!("{file}/copy-chunk");
    let body = json!({ "source_path": "/a", "source_offset": "2", "length": "5", "target_offset": "1" });
    let headers = format!("If-Match: {etag}\r\n");
    let done = client.send("POST", &copy, &headers, body.to_string().as_bytes()).await.unwrap().ok();
    assert!(done.body.is_empty());
    assert_eq!(client.attributes(&file).await.etag(), done.etag());
    assert_eq!(client.read(&file, "").await, b"\x0023456");
    assert_eq!(client.send("POST", &copy, &headers, body.to_string().as_bytes()).await.unwrap().status, 412);
    let stale = json!({ "source_id": source, "source_etag": "\"x\"" });
    assert_eq!(client.post(&copy, &stale).await.status, 412);
    client.post(&copy, &json!({ "source_id": source })).await.ok();
    assert_eq!(client.read(&file, "").await, b"0123456789");
    assert_eq!(client.post(&copy, &json!({})).await.error(), (400, "decode_error".to_owned()));
    assert_eq!(client.post(&copy, &json!({ "source_path": "/none" })).await.status, 404);
    client.post(&format!("{file}/punch-hole"), &json!({ "offset": "8", "size": "4096" })).await.ok();
    assert_eq!(client.read(&file, "").await, b"01234567\0\0");
}

#[tokio::test]
async fn a_large_copy_answers_with_what_is_left() {
    let mut setup = setup().await;
    let size = 65 * 1024 * 1024;
    std::fs::File::create(setup.folder.path().join("big")).unwrap().set_len(size).unwrap();
    let file = format!("/v1/files/{}", setup.client.touch("/", "copy").await.id());
    let copy = format!("{file}/copy-chunk");
    let rest = setup.client.post(&copy, &json!({ "source_path": "/big" })).await.ok();
    let (etag, next) = (rest.etag(), rest.json());
    assert_eq!((&next["target_offset"], &next["length"]), (&json!("67108864"), &json!("1048576")));
    let headers = format!("If-Match: {etag}\r\n");
    let done = setup.client.send("POST", &copy, &headers, next.to_string().as_bytes()).await.unwrap().ok();
    assert!(done.body.is_empty());
    assert_eq!(setup.client.attributes(&file).await.ok().json()["size"], size.to_string());
}

#[tokio::test]
async fn a_full_or_read_only_file_system_refuses_to_grow() {
    let mut setup = setup_with(|options| options.max_bytes = Some(100)).await;
    let client = &mut setup.client;
    let id = client.touch("/", "a").await.id();
    let file = format!("/v1/files/{id}");
    client.put(&file, "", &[1; 90]).await.ok();
    let space = |text: &serde_json::Value| (text["total_size_bytes"].clone(), text["free_size_bytes"].clone());
    assert_eq!(space(&client.get("/v1/file-system").await.ok().json()), (json!("100"), json!("10")));
    assert_eq!(client.patch(&file, "?offset=90", "", &[1; 20]).await.error(), (507, "fs_no_space_error".to_owned()));
    client.patch(&file, "?offset=80", "", &[1; 20]).await.ok();
    assert_eq!(client.touch("/", "b").await.status, 507);
    client.json("PATCH", &format!("{file}/info/attributes"), &json!({ "size": "10" })).await.ok();
    assert_eq!(space(&client.get("/v1/file-system").await.ok().json()), (json!("100"), json!("90")));
    client.file("/", "b", &[1; 50]).await;
    client.delete(&by("/b")).await.ok();
    client.put(&file, "", &[1; 100]).await.ok();

    setup.emulator.fault(crate::qumulo::QumuloFault::ReadOnly(true));
    let client = &mut setup.client;
    let read_only = (403, "fs_read_only_error".to_owned());
    assert_eq!(client.mkdir("/", "d").await.error(), read_only);
    assert_eq!(client.put(&file, "", b"").await.error(), read_only);
    assert_eq!(client.delete(&file).await.error(), read_only);
    assert_eq!(client.rename("/a", "/", "c", false).await.error(), read_only);
    assert_eq!(
        client.json("PATCH", &format!("{file}/info/attributes"), &json!({ "size": "0" })).await.error(),
        read_only
    );
    assert_eq!(client.read(&file, "").await.len(), 100);
}
