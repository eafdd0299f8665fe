//! Watching, as the vendor's client needs it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::client::{Client, SOON, by};
use super::{setup, setup_with};
use crate::qumulo::QumuloFault;
use crate::qumulo::store::{New, Ref};

/// A stream of events, its chunks taken off.
struct Watch {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Watch {
    /// Opens a watch and reads its first line.
    async fn open(client: &Client, addr: std::net::SocketAddr, dir: &str, query: &str) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let head = client.head("GET", &format!("{}/notify{query}", by(dir)), "");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut watch = Self { stream: BufReader::new(stream), body: Vec::new() };
        let mut headers = String::new();
        while !headers.ends_with("\r\n\r\n") {
            assert_ne!(watch.stream.read_line(&mut headers).await.unwrap(), 0);
        }
        let headers = headers.to_ascii_lowercase();
        assert!(headers.starts_with("http/1.1 200"), "{headers}");
        assert!(headers.contains("content-type: text/event-source\r\n"), "{headers}");
        let first = watch.line().await.unwrap();
        assert!(first.starts_with(": watching "), "{first}");
        watch
    }

    /// The next line; `None` at the end.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.body.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.body.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            let mut size = String::new();
            timeout(SOON, self.stream.read_line(&mut size)).await.expect("a line in time").unwrap();
            let size = usize::from_str_radix(size.trim(), 16).ok().filter(|size| *size > 0)?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).await.unwrap();
            self.body.extend_from_slice(&chunk[..size]);
        }
    }

    /// The next batch of events, keepalives left out; `None` at the end.
    async fn batch(&mut self) -> Option<Vec<Value>> {
        loop {
            let line = self.line().await?;
            if line.is_empty() || line == ": keepalive" {
                continue;
            }
            let data = line.strip_prefix("data: ").expect("a known kind of line");
            return Some(serde_json::from_str::<Vec<Value>>(data).unwrap());
        }
    }

    /// The types and paths of the next events, at least `num`.
    async fn events(&mut self, num: usize) -> Vec<String> {
        let mut events = Vec::new();
        while events.len() < num {
            let batch = self.batch().await.expect("events before the end");
            events.extend(batch.iter().map(|event| {
                assert!(event["stream_name"].is_null());
                format!("{} {}", event["type"].as_str().unwrap(), event["path"].as_str().unwrap())
            }));
        }
        events
    }
}

#[tokio::test]
async fn events_come_in_order_with_relative_paths_and_spines() {
    let mut setup = setup().await;
    let addr = setup.emulator.addr();
    let dir = setup.client.mkdir("/", "d").await.id();
    let mut all = Watch::open(&setup.client, addr, "/", "?recursive=True").await;
    let mut own = Watch::open(&setup.client, addr, "/d", "?recursive=False").await;
    let filter = "?recursive=false&filter=child_file_moved_to%2Cself_removed";
    let mut moved = Watch::open(&setup.client, addr, "/d", filter).await;
    let client = &mut setup.client;
    let id = client.file("/", "f", b"x").await;
    client.rename("/f", "/d", "g", false).await.ok();
    client.json("PATCH", &format!("{}/info/attributes", by("/d/g")), &json!({ "size": "0", "owner": "7" })).await.ok();
    client.mkdir("/d", "sub").await.ok();
    client.rename("/d/sub", "/d", "sub2", false).await.ok();
    client.rename("/d/g", "/", "h", false).await.ok();
    client.delete(&by("/h")).await.ok();
    client.delete(&by("/d/sub2")).await.ok();
    client.delete(&by("/d")).await.ok();
    let expected = [
        "child_file_added f",
        "child_size_changed f",
        "child_data_written f",
        "child_mtime_changed f",
        "child_file_moved_from f",
        "child_file_moved_to d/g",
        "child_size_changed d/g",
        "child_owner_changed d/g",
        "child_dir_added d/sub",
        "child_dir_moved_from d/sub",
        "child_dir_moved_to d/sub2",
        "child_file_moved_from d/g",
        "child_file_moved_to h",
        "child_file_removed h",
        "child_dir_removed d/sub2",
        "child_dir_removed d",
    ];
    assert_eq!(all.events(expected.len()).await, expected);
    let expected = [
        "child_file_moved_to g",
        "child_size_changed g",
        "child_owner_changed g",
        "child_dir_added sub",
        "child_dir_moved_from sub",
        "child_dir_moved_to sub2",
        "child_file_moved_from g",
        "child_dir_removed sub2",
        "self_removed ",
    ];
    assert_eq!(own.events(expected.len()).await, expected);
    assert_eq!(own.line().await.as_deref(), Some(""));
    assert_eq!(own.line().await, None, "nothing follows the end of the directory");
    let batch = moved.batch().await.unwrap();
    assert_eq!(batch[0]["spine"], json!(["2", dir, id]));
    assert_eq!(moved.events(1).await, ["self_removed "]);
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    client.touch("/", "f").await.ok();
    let notify = |dir: &str, query: &str| format!("{}/notify{query}", by(dir));
    assert_eq!(client.get(&notify("/none", "")).await.status, 404);
    assert_eq!(client.get(&notify("/f", "")).await.error(), (400, "fs_not_a_directory_error".to_owned()));
    assert_eq!(client.get(&notify("/", "?filter=nothing")).await.status, 400);
    assert_eq!(client.get(&notify("/", "?recursive=maybe")).await.status, 400);
    let settings = "/v1/file-system/settings/notify";
    assert_eq!(client.get(settings).await.ok().json(), json!({ "recursive_mode": "ENABLED" }));
    client.json("PUT", settings, &json!({ "recursive_mode": "DISABLED_ERROR" })).await.ok();
    assert_eq!(client.get(&notify("/", "?recursive=TRUE")).await.status, 403);
    client.json("PUT", settings, &json!({ "recursive_mode": "DISABLED_IGNORE" })).await.ok();
    assert_eq!(client.json("PUT", settings, &json!({ "recursive_mode": "x" })).await.status, 400);
    client.mkdir("/", "d").await.ok();
    let mut flat = Watch::open(&setup.client, setup.emulator.addr(), "/", "?recursive=true").await;
    setup.client.touch("/d", "deep").await.ok();
    setup.client.touch("/", "flat").await.ok();
    assert_eq!(flat.events(1).await, ["child_file_added flat"]);
    for status in [403, 404] {
        setup.emulator.fault(QumuloFault::RefuseNotify { status, times: 1 });
        assert_eq!(setup.client.get(&notify("/", "")).await.status, status);
    }
}

#[tokio::test]
async fn streams_keep_alive_and_end_when_dropped_or_left() {
    let mut setup = setup_with(|options| options.keep_alive = Duration::from_millis(20)).await;
    let addr = setup.emulator.addr();
    let mut watch = Watch::open(&setup.client, addr, "/", "").await;
    assert_eq!(watch.line().await.as_deref(), Some(": keepalive"));
    assert_eq!(watch.line().await.as_deref(), Some(": keepalive"));
    let left = Watch::open(&setup.client, addr, "/", "").await;
    assert_eq!(setup.emulator.stats().watchers_now, 2);
    drop(left);
    assert!(setup.emulator.wait_for(|stats| stats.watchers_now == 1, SOON).await);
    setup.emulator.fault(QumuloFault::DropWatchers);
    assert_eq!(watch.batch().await, None);
    assert_eq!(setup.emulator.stats().watchers_now, 0);
    let mut watch = Watch::open(&setup.client, addr, "/", "").await;
    setup.client.touch("/", "after").await.ok();
    assert_eq!(watch.events(1).await, ["child_file_added after"]);
    let emulator = setup.emulator;
    tokio::join!(emulator.stop(), async { assert_eq!(watch.batch().await, None) });
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_ended_and_nobody_waits_for_it() {
    let mut setup = setup_with(|options| options.watch_queue = 4).await;
    let mut watch = Watch::open(&setup.client, setup.emulator.addr(), "/", "").await;
    let name = "x".repeat(200);
    let mut num = 0;
    while setup.emulator.stats().watchers_now == 1 {
        setup.client.file("/", &format!("{name}{num}"), b"x").await;
        setup.client.delete(&by(&format!("/{name}{num}"))).await.ok();
        num += 1;
        assert!(num < 50_000, "the queue never filled");
    }
    let mut seen = 0;
    while let Some(batch) = watch.batch().await {
        seen += batch.len();
    }
    assert!(seen < num * 5);
}

/// Notes the sizes of the TLS records that come.
struct Records {
    stream: TcpStream,
    header: Vec<u8>,
    left: usize,
    sizes: Arc<Mutex<Vec<usize>>>,
}

impl AsyncRead for Records {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let is_header = self.left == 0;
        let most = if is_header { 5 - self.header.len() } else { self.left };
        let mut part = buf.take(most);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let bytes = part.filled().to_vec();
        buf.advance(bytes.len());
        if !is_header {
            self.left -= bytes.len();
            return Poll::Ready(Ok(()));
        }
        self.header.extend_from_slice(&bytes);
        if let [_, _, _, high, low] = self.header[..] {
            self.left = usize::from(high) << 8 | usize::from(low);
            self.sizes.lock().unwrap().push(self.left);
            self.header.clear();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Records {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The lengths of an answer's headers and of each of its chunks, as they are sent.
fn parts(answer: &str) -> Vec<usize> {
    let (headers, mut rest) = answer.split_once("\r\n\r\n").unwrap();
    let mut parts = vec![headers.len() + 4];
    while let Some((size, _)) = rest.split_once("\r\n") {
        let whole = size.len() + 2 + usize::from_str_radix(size, 16).unwrap() + 2;
        parts.push(whole);
        rest = rest.split_at(whole).1;
    }
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_lines_are_in_tls_records_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = super::start(folder.path(), |options| options.tls = true).await;
    let mut roots = RootCertStore::empty();
    let pem = emulator.certificate_pem().unwrap().as_bytes();
    roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    for name in ["localhost", "127.0.0.1"] {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let stream = TcpStream::connect(emulator.addr()).await.unwrap();
        let stream = Records { stream, header: Vec::new(), left: 0, sizes: sizes.clone() };
        let mut tls = connector.connect(ServerName::try_from(name).unwrap(), stream).await.unwrap();
        let login = json!({ "username": "admin", "password": emulator.password() }).to_string();
        let head = "POST /v1/session/login HTTP/1.1\r\nHost: q\r\n";
        let request = format!("{head}Content-Length: {}\r\n\r\n{login}", login.len());
        tls.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut tls, |text| text.ends_with('}')).await;
        let (_, token) = answer.split_once("\"bearer_token\":\"").unwrap();
        let token = token.trim_end_matches("\"}");
        sizes.lock().unwrap().clear();
        let head = "GET /v1/files/2/notify?recursive=False HTTP/1.1\r\nHost: q\r\n";
        let request = format!("{head}Authorization: Bearer {token}\r\n\r\n");
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut answer = read_until(&mut tls, |text| text.contains(": watching ")).await;
        // Three batches at once: each in a line of its own or all in one.
        for file in ["a", "b", "c"] {
            let name = format!("{name}-{file}");
            emulator.server.store.make(&Ref::Id(2), &name, &New::File).unwrap();
        }
        answer += &read_until(&mut tls, |text| text.matches("child_file_added").count() == 3).await;
        // A record of TLS 1.3 has a byte for its kind and 16 that prove it.
        let expected: Vec<usize> = parts(&answer).into_iter().map(|part| part + 17).collect();
        assert!(expected.len() >= 3, "{answer}");
        assert_eq!(*sizes.lock().unwrap(), expected, "{answer}");
    }
}

async fn read_until(stream: &mut (impl AsyncRead + Unpin), is_all: impl Fn(&str) -> bool) -> String {
    let (mut text, mut buffer) = (String::new(), vec![0; 64 * 1024]);
    while !is_all(&text) {
        let num = timeout(SOON, stream.read(&mut buffer)).await.expect("more in time").unwrap();
        assert_ne!(num, 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..num]).unwrap());
    }
    text
}
