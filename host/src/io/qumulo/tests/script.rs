//! A server that answers as a test says, request by request, and keeps what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// What becomes of a request.
pub(super) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Less than was promised, then the end of the connection.
    Cut {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
        promised: usize,
    },
    /// The end of the connection.
    Close,
    /// Nothing, and the connection stays.
    Silence,
    /// Parts of a stream, each after a time, then the end of the connection.
    Stream {
        kind: &'static str,
        parts: Vec<(Duration, String)>,
    },
}

impl Reply {
    pub(super) fn json(body: impl Into<String>) -> Self {
        Reply::Answer { status: 200, headers: Vec::new(), body: body.into().into_bytes() }
    }

    pub(super) fn error(status: u16, class: &str) -> Self {
        let body = format!(r#"{{"error_class": "{class}", "description": "as the test says"}}"#);
        Reply::Answer { status, headers: Vec::new(), body: body.into_bytes() }
    }

    pub(super) fn missing() -> Self {
        Reply::error(404, "fs_no_such_entry_error")
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Reply::Answer { headers, .. } | Reply::Cut { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

type Answering = Box<dyn FnMut(&Asked) -> Reply + Send>;

/// The server; it ends with the runtime.
pub(super) struct Script {
    pub(super) runtime: Runtime,
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Script {
    /// Answers logins with the tokens `t1`, `t2` and so on, and all else as `answer` says.
    pub(super) fn start(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answering: Arc<Mutex<Answering>> = Arc::new(Mutex::new(Box::new(answer)));
        let log = Arc::clone(&asked);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answering) = (Arc::clone(&log), Arc::clone(&answering));
                tokio::spawn(async move { serve(stream, &log, &answering).await });
            }
        });
        Script { runtime, address, asked }
    }

    /// All requests but logins, as `METHOD target`.
    pub(super) fn lines(&self) -> Vec<String> {
        let asked = self.asked();
        asked.iter().filter(|asked| !asked.is("POST", "login")).map(|a| format!("{} {}", a.method, a.target)).collect()
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn logins(&self) -> usize {
        self.asked().iter().filter(|asked| asked.is("POST", "login")).count()
    }
}

async fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, answering: &Mutex<Answering>) {
    let mut buffer = Vec::new();
    while let Some(asked) = request(&mut stream, &mut buffer).await {
        let reply = {
            let mut log = log.lock().unwrap();
            log.push(asked.clone());
            let logins = log.iter().filter(|asked| asked.is("POST", "login")).count();
            let mut answer = answering.lock().unwrap();
            match answer(&asked) {
                // A test that does not answer logins gets them answered.
                Reply::Answer { status: 404, .. } if asked.is("POST", "/v1/session/login") => {
                    Reply::json(format!(r#"{{"bearer_token": "t{logins}"}}"#))
                }
                reply => reply,
            }
        };
        let (head, body, stay) = match reply {
            Reply::Answer { status, headers, body } => (head(status, &headers, Some(body.len())), body, true),
            Reply::Cut { status, headers, body, promised } => (head(status, &headers, Some(promised)), body, false),
            Reply::Close => return,
            Reply::Silence => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return;
            }
            Reply::Stream { kind, parts } => {
                let headers = [("content-type", kind.to_owned()), ("connection", "close".to_owned())];
                if stream.write_all(head(200, &headers, None).as_bytes()).await.is_err() {
                    return;
                }
                for (wait, part) in parts {
                    tokio::time::sleep(wait).await;
                    if stream.write_all(part.as_bytes()).await.is_err() {
                        return;
                    }
                }
                return;
            }
        };
        let sent = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        if sent.is_err() || !stay {
            return;
        }
    }
}

fn head(status: u16, headers: &[(&'static str, String)], length: Option<usize>) -> String {
    let mut head = format!("HTTP/1.1 {status} As The Test Says\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length {
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    head + "\r\n"
}

async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Asked> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let (method, target) = (first.next().unwrap(), first.next().unwrap());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut asked = Asked { method, target, headers, body: Vec::new() };
    let length: usize = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    asked.body = buffer.drain(..length).collect();
    Some(asked)
}
