//! An HTTP server that plays a script, for answers that no emulator gives.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

/// What is sent after one request; the connection is then held open or closed.
pub(crate) struct Answer {
    /// Head and body as bytes.
    pub(crate) bytes: Vec<u8>,
    /// Keep the connection open until the client ends it.
    pub(crate) hold: bool,
}

impl Answer {
    /// An answer with this status line, content type and body.
    pub(crate) fn new(status: &str, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n");
        Answer { bytes: [head.as_bytes(), body.as_ref()].concat(), hold: false }
    }

    /// The beginning of an event stream.
    pub(crate) fn stream(body: impl AsRef<[u8]>) -> Self {
        Answer::new("200 OK", "text/event-stream", body)
    }

    /// Keeps the connection open.
    pub(crate) fn held(mut self) -> Self {
        self.hold = true;
        self
    }
}

/// Serves on a free port, for the life of the process: `answer` gets the number of the connection,
/// from 0. Every request's head is sent to the receiver.
pub(crate) fn serve(mut answer: impl FnMut(usize) -> Answer + Send + 'static) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut reader = BufReader::new(stream);
            let Some(head) = read_head(&mut reader) else { continue };
            // A test that has seen enough is gone.
            let _ = told.send(head);
            let answer = answer(number);
            let mut stream: TcpStream = reader.into_inner();
            // A client that has seen enough leaves in the middle.
            if stream.write_all(&answer.bytes).is_ok() && answer.hold {
                std::thread::spawn(move || drop(std::io::copy(&mut stream, &mut std::io::sink())));
            }
        }
    });
    (address, heard)
}

fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}
