//! A server of rows that answers as a test says, byte by byte, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) path: String,
    /// Header lines as they came.
    pub(super) headers: Vec<String>,
    /// From the `Range` header.
    pub(super) offset: usize,
    /// How many there were before it.
    pub(super) before: usize,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

pub(super) struct Source {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Source {
    /// Answers each request with what `answer` says, and closes the connection.
    pub(super) async fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let seen = asked.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, &seen, &answer).await;
            }
        });
        Self { addr, asked, task }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn ranges(&self) -> Vec<String> {
        self.asked().iter().map(|asked| asked.header("Range").unwrap_or_default().to_owned()).collect()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// An input source of these paths.
    pub(super) fn input(&self, paths: &[&str]) -> Value {
        json!({ "type": "http", "uris": paths.iter().map(|path| self.url(path)).collect::<Vec<_>>() })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Asked>>, answer: impl Fn(&Asked) -> Vec<u8>) {
    let mut lines = BufReader::new(&mut stream).lines();
    let mut headers = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await
        && !line.is_empty()
    {
        headers.push(line);
    }
    if headers.is_empty() {
        return;
    }
    let path = headers.remove(0).split(' ').nth(1).unwrap().to_owned();
    let before = seen.lock().unwrap().len();
    let mut asked = Asked { path, headers, offset: 0, before };
    let range = asked.header("Range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    asked.offset = range.and_then(|range| range.parse().ok()).expect("a range");
    let bytes = answer(&asked);
    seen.lock().unwrap().push(asked);
    // A client that has gone is its own affair.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

/// 206 with the rest of the body.
pub(super) fn ranged(asked: &Asked, body: &[u8]) -> Vec<u8> {
    if asked.offset >= body.len() {
        return format!("HTTP/1.1 416 No\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\n\r\n", body.len()).into();
    }
    let rest = &body[asked.offset..];
    let (first, last, size) = (asked.offset, body.len() - 1, body.len());
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{size}\r\nContent-Length: {}\r\n\r\n",
        rest.len()
    );
    [head.as_bytes(), rest].concat()
}

/// 200 with the whole body.
pub(super) fn whole(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The answer without the last `num` bytes.
pub(super) fn cut(mut answer: Vec<u8>, num: usize) -> Vec<u8> {
    answer.truncate(answer.len() - num);
    answer
}

pub(super) fn status(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} So\r\nContent-Length: 3\r\n\r\nno\n").into()
}
