//! Large directories and large files.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{SOON, by};
use super::setup;

const ENTRIES: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_entries_are_listed_and_deleted() {
    let mut setup = setup().await;
    let dir = setup.folder.path().join("many");
    std::fs::create_dir(&dir).unwrap();
    for number in 0..ENTRIES {
        std::fs::File::create(dir.join(format!("file-{number:06}"))).unwrap();
    }
    let first = setup.client.get(&format!("{}/entries/?limit=1000", by("/many"))).await.ok().json();
    assert_eq!(first["child_count"], ENTRIES);
    assert_eq!(setup.client.names("/many", 1000).await.len(), ENTRIES);
    setup.client.post("/v1/tree-delete/jobs/", &serde_json::json!({ "id": "/many" })).await.ok();
    let deleted = async {
        while setup.client.attributes(&by("/many")).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(3 * SOON, deleted).await.expect("the directory is not deleted");
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
    // What the sockets hold is some megabytes, whatever the size of the file; then nothing moves.
    let stands = async {
        let (mut read, mut same) = (0, 0);
        while same < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = setup.emulator.stats().bytes_read;
            assert!(now < 32 * 1024 * 1024, "{now}");
            same = if now == read { same + 1 } else { 0 };
            read = now;
        }
    };
    tokio::time::timeout(SOON, stands).await.expect("it goes on reading");
    // The other connection is served meanwhile.
    assert_eq!(setup.client.read(&by("/big"), "?offset=5&length=3").await, [0; 3]);
}
