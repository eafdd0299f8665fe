//! Large directories and large files, within bounds that a slow machine meets.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::by;
use super::setup;

const ENTRIES: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_entries_are_listed_in_time() {
    let mut setup = setup().await;
    let dir = setup.folder.path().join("many");
    std::fs::create_dir(&dir).unwrap();
    for number in 0..ENTRIES {
        std::fs::File::create(dir.join(format!("file-{number:06}"))).unwrap();
    }
    let begin = Instant::now();
    let first = setup.client.get(&format!("{}/entries/?limit=1000", by("/many"))).await.ok().json();
    assert_eq!(first["child_count"], ENTRIES);
    let took_up = begin.elapsed();
    let begin = Instant::now();
    assert_eq!(setup.client.names("/many", 1000).await.len(), ENTRIES);
    let listed = begin.elapsed();
    println!("{ENTRIES} entries: taken up in {took_up:?}, listed in {listed:?}");
    assert!(took_up + listed < Duration::from_secs(100), "{took_up:?} {listed:?}");
    setup.client.post("/v1/tree-delete/jobs/", &serde_json::json!({ "id": "/many" })).await.ok();
    let begin = Instant::now();
    while setup.client.attributes(&by("/many")).await.status != 404 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("deleted in {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_reader_that_does_not_read_and_a_writer_that_does_not_write_hold_little() {
    let mut setup = setup().await;
    let size: u64 = 1 << 30;
    std::fs::File::create(setup.folder.path().join("big")).unwrap().set_len(size).unwrap();
    let mut slow = TcpStream::connect(setup.emulator.addr()).await.unwrap();
    slow.write_all(setup.client.head("GET", &format!("{}/data", by("/big")), "").as_bytes()).await.unwrap();
    let mut first = vec![0; 1000];
    slow.read_exact(&mut first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // What the sockets hold is some megabytes, whatever the size of the file.
    let read = setup.emulator.stats().bytes_read;
    assert!(read < 32 * 1024 * 1024, "{read}");
    // The other connection is served meanwhile.
    assert_eq!(setup.client.read(&by("/big"), "?offset=5&length=3").await, [0; 3]);
}
