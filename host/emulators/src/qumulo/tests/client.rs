//! A client that does as it is told, and no more.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::QumuloHandle;

pub(super) const SOON: Duration = Duration::from_secs(20);

/// One connection, opened again when the emulator has closed it.
pub(super) struct Client {
    addr: SocketAddr,
    pub(super) token: String,
    stream: Option<BufReader<TcpStream>>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
    /// Whether all of the body came.
    pub(super) is_whole: bool,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn etag(&self) -> String {
        self.header("etag").expect("an ETag").to_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub(super) fn error(&self) -> (u16, String) {
        let class = if self.body.is_empty() { Value::Null } else { self.json()["error_class"].clone() };
        (self.status, class.as_str().unwrap_or_default().to_owned())
    }

    #[track_caller]
    pub(super) fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{self:?} {}", String::from_utf8_lossy(&self.body));
        self
    }

    /// The id of the object in the answer.
    #[track_caller]
    pub(super) fn id(self) -> String {
        self.ok().json()["id"].as_str().expect("an id").to_owned()
    }
}

/// A path as a reference.
pub(super) fn by(path: &str) -> String {
    let encoded = path.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    format!("/v1/files/{}", encoded.collect::<String>())
}

impl Client {
    pub(super) fn new(addr: SocketAddr) -> Self {
        Self { addr, token: String::new(), stream: None }
    }

    pub(super) async fn logged_in(emulator: &QumuloHandle) -> Self {
        let mut client = Self::new(emulator.addr());
        client.log_in(emulator.user(), emulator.password()).await.ok();
        client
    }

    /// Another connection with the same token.
    pub(super) fn again(&self) -> Self {
        Self { addr: self.addr, token: self.token.clone(), stream: None }
    }

    pub(super) async fn log_in(&mut self, user: &str, password: &str) -> Reply {
        let reply = self.post("/v1/session/login", &json!({ "username": user, "password": password })).await;
        if reply.status == 200 {
            self.token = reply.json()["bearer_token"].as_str().unwrap().to_owned();
        }
        reply
    }

    /// Sends a request as it stands, and reads the answer; `None` when the connection ended instead.
    pub(super) async fn raw(&mut self, request: &[u8]) -> Option<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(TcpStream::connect(self.addr).await.unwrap()),
        };
        // A connection that the emulator is cutting may refuse what is still to be sent.
        let _ = stream.write_all(request).await;
        let reply = timeout(SOON, read(&mut stream)).await.expect("an answer in time")?;
        let closes = reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if reply.is_whole && !closes {
            self.stream = Some(stream);
        }
        Some(reply)
    }

    pub(super) fn head(&self, method: &str, path: &str, headers: &str) -> String {
        let token =
            if self.token.is_empty() { String::new() } else { format!("Authorization: Bearer {}\r\n", self.token) };
        format!("{method} {path} HTTP/1.1\r\nHost: qumulo\r\n{token}{headers}\r\n")
    }

    /// Sends a request with a body of known length.
    pub(super) async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<Reply> {
        let mut request = self.head(method, path, &format!("{headers}Content-Length: {}\r\n", body.len())).into_bytes();
        request.extend_from_slice(body);
        self.raw(&request).await
    }

    pub(super) async fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, "", b"").await.expect("an answer")
    }

    pub(super) async fn delete(&mut self, path: &str) -> Reply {
        self.send("DELETE", path, "", b"").await.expect("an answer")
    }

    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Reply {
        self.json("POST", path, body).await
    }

    pub(super) async fn json(&mut self, method: &str, path: &str, body: &Value) -> Reply {
        let headers = "Content-Type: application/json\r\n";
        self.send(method, path, headers, body.to_string().as_bytes()).await.expect("an answer")
    }

    /// A create or rename in a directory.
    pub(super) async fn make(&mut self, dir: &str, action: &str, name: &str, more: Value) -> Reply {
        let mut body = json!({ "action": action, "name": name });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.post(&format!("{}/entries/", by(dir)), &body).await
    }

    pub(super) async fn mkdir(&mut self, dir: &str, name: &str) -> Reply {
        self.make(dir, "CREATE_DIRECTORY", name, json!({})).await
    }

    pub(super) async fn touch(&mut self, dir: &str, name: &str) -> Reply {
        self.make(dir, "CREATE_FILE", name, json!({})).await
    }

    pub(super) async fn rename(&mut self, old: &str, dir: &str, name: &str, clobber: bool) -> Reply {
        self.make(dir, "RENAME", name, json!({ "old_path": old, "clobber": clobber })).await
    }

    /// Creates a file with these bytes. Returns its id.
    pub(super) async fn file(&mut self, dir: &str, name: &str, bytes: &[u8]) -> String {
        let id = self.touch(dir, name).await.id();
        self.put(&format!("/v1/files/{id}"), "", bytes).await.ok();
        id
    }

    pub(super) async fn put(&mut self, file: &str, headers: &str, bytes: &[u8]) -> Reply {
        let headers = format!("Content-Type: application/octet-stream\r\n{headers}");
        self.send("PUT", &format!("{file}/data"), &headers, bytes).await.expect("an answer")
    }

    pub(super) async fn patch(&mut self, file: &str, query: &str, headers: &str, bytes: &[u8]) -> Reply {
        let headers = format!("Content-Type: application/octet-stream\r\n{headers}");
        self.send("PATCH", &format!("{file}/data{query}"), &headers, bytes).await.expect("an answer")
    }

    pub(super) async fn read(&mut self, file: &str, query: &str) -> Vec<u8> {
        self.get(&format!("{file}/data{query}")).await.ok().body
    }

    pub(super) async fn attributes(&mut self, file: &str) -> Reply {
        self.get(&format!("{file}/info/attributes")).await
    }

    /// The names of all pages.
    pub(super) async fn names(&mut self, dir: &str, limit: usize) -> Vec<String> {
        let (mut names, mut next) = (Vec::new(), format!("{}/entries/?limit={limit}", by(dir)));
        while !next.is_empty() {
            let page = self.get(&next).await.ok().json();
            let files = page["files"].as_array().unwrap();
            assert!(files.len() <= limit);
            names.extend(files.iter().map(|file| file["name"].as_str().unwrap().to_owned()));
            next = page["paging"]["next"].as_str().unwrap().to_owned();
        }
        names
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Reply> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|num| *num > 0)?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut headers = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|num| *num > 0)?;
        if line == "\r\n" {
            break;
        }
        headers.push_str(&line);
    }
    let mut reply = Reply { status, headers: headers.replace("\r\n", "\n"), body: Vec::new(), is_whole: true };
    if let Some(length) = reply.header("content-length") {
        let mut left: usize = length.parse().unwrap();
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let most = left.min(buffer.len());
            match stream.read(&mut buffer[..most]).await {
                Ok(num) if num > 0 => {
                    reply.body.extend_from_slice(&buffer[..num]);
                    left -= num;
                }
                _ => {
                    reply.is_whole = false;
                    break;
                }
            }
        }
    } else {
        assert!(reply.header("transfer-encoding").is_none(), "a plain answer has a length: {reply:?}");
    }
    Some(reply)
}
