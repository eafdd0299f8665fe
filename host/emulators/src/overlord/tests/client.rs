//! A client that does as it is told, and no more.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::SOON;

pub(super) struct Client {
    addr: SocketAddr,
    /// Further header lines.
    pub(super) headers: String,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    #[track_caller]
    pub(super) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Status and the message of a current error.
    #[track_caller]
    pub(super) fn error(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(body["error"], "druidException", "{self:?}");
        assert!(body["context"].is_object() && body["persona"].is_string(), "{self:?}");
        (self.status, body["errorMessage"].as_str().unwrap().to_owned())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Client {
    pub(super) fn new(addr: SocketAddr) -> Self {
        Self { addr, headers: String::new() }
    }

    pub(super) async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, "", "").await.expect("an answer")
    }

    pub(super) async fn post(&self, target: &str, body: &Value) -> Reply {
        self.post_text(target, &body.to_string()).await.expect("an answer")
    }

    pub(super) async fn post_text(&self, target: &str, body: &str) -> Option<Reply> {
        self.send("POST", target, "Content-Type: application/json\r\n", body).await
    }

    /// `None` where the connection ends without an answer.
    pub(super) async fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> Option<Reply> {
        let sent = async {
            let mut stream = TcpStream::connect(self.addr).await.unwrap();
            let (length, own) = (body.len(), &self.headers);
            let head = format!(
                "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{own}{headers}Content-Length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await.unwrap();
            String::from_utf8(text).unwrap()
        };
        let text = timeout(SOON, sent).await.expect("an answer in time");
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Reply { status, head: head.to_owned(), body: body.to_owned() })
    }
}
