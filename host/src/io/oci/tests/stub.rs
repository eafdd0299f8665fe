//! A server that answers as a test says, one thread a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// `GET /v2/`, with the query.
    pub(super) line: String,
    /// The value of `Authorization`, empty where there is none.
    pub(super) authorization: String,
}

/// What is answered.
pub(super) enum Answer {
    /// Status, headers, body.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The begin of a body that was to have so many bytes.
    Cut(Vec<u8>, usize),
    /// Nothing, until the other side goes.
    Silence,
    /// A body without end, a byte at a time.
    Trickle,
}

/// Runs until the process ends.
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Stub {
    pub(super) fn start(answer: impl Fn(&Asked, SocketAddr) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    kept.lock().unwrap().push(request.clone());
                    // The other side may have gone, which some tests are about.
                    let _ = write(stream, answer(&request, address));
                });
            }
        });
        Stub { address, asked }
    }

    /// What it was asked until now.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request with its body.
fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream);
    let mut first = String::new();
    lines.read_line(&mut first).ok()?;
    let line = first.rsplit_once(" HTTP/")?.0.to_owned();
    let (mut authorization, mut length) = (String::new(), 0u64);
    loop {
        let mut header = String::new();
        lines.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    std::io::copy(&mut lines.take(length), &mut std::io::sink()).ok()?;
    Some(Asked { line, authorization })
}

fn write(mut stream: TcpStream, answer: Answer) -> std::io::Result<()> {
    let (status, headers, body, length) = match answer {
        Answer::Whole(status, headers, body) => (status, headers, body.clone(), body.len()),
        Answer::Cut(body, length) => (200, Vec::new(), body, length),
        Answer::Trickle => (200, Vec::new(), Vec::new(), usize::MAX >> 1),
        Answer::Silence => {
            return stream.read_to_end(&mut Vec::new()).map(drop);
        }
    };
    let mut head = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(&body)?;
    if length == usize::MAX >> 1 {
        // Ends when the other side has gone.
        loop {
            stream.write_all(b" ")?;
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    stream.flush()
}
