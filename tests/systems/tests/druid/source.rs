//! What Druid asks of a server that it reads rows from, and how it takes answers that break off.

use crate::support::{WITHIN, rows, succeed, task};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use systems::druid::druid;

/// A server that gives each request the next of its answers and then ends the connection, by a reset where
/// the answer says so.
struct Server {
    address: SocketAddr,
    /// The head of each request, lines with no end.
    requests: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Server {
    fn start(answers: Vec<String>) -> Self {
        Self::start_resetting(answers.into_iter().map(|answer| (answer, false)).collect())
    }

    fn start_resetting(answers: Vec<(String, bool)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for (answer, resets) in answers {
                let mut stream = listener.accept().unwrap().0;
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                seen.lock().unwrap().push(head);
                stream.write_all(answer.as_bytes()).unwrap();
                if resets {
                    // What was written is on its way before.
                    thread::sleep(std::time::Duration::from_millis(500));
                    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
                }
            }
        });
        Self { address, requests }
    }

    /// The requests so far, each without what names the versions of Java and the port.
    fn requests(&self) -> Vec<Vec<String>> {
        let own = |line: &String| !line.starts_with("User-Agent: Java/") && !line.starts_with("Host: ");
        self.requests
            .lock()
            .unwrap()
            .iter()
            .map(|head| head.iter().filter(|line| own(line)).cloned().collect())
            .collect()
    }
}

fn request(range: &str) -> Vec<String> {
    let range = format!("Range: {range}");
    let lines = [
        "GET /batches/1.json HTTP/1.1",
        // Unasked, `druid:secret`.
        "Authorization: Basic ZHJ1aWQ6c2VjcmV0",
        &range,
        "Accept: text/html, image/gif, image/jpeg, */*; q=0.2",
        "Connection: keep-alive",
    ];
    lines.map(str::to_owned).to_vec()
}

fn input(server: &Server) -> serde_json::Value {
    json!({
        "type": "http",
        "uris": [format!("http://{}/batches/1.json", server.address)],
        "httpAuthenticationUsername": "druid",
        "httpAuthenticationPassword": "secret",
    })
}

#[test]
fn it_asks_for_ranges_and_goes_on_where_a_chunked_answer_broke_off() {
    let Some(druid) = druid() else { return };
    let text = rows(0..1000);
    let (size, middle) = (text.len(), text.len() / 2 + 1);
    let last = size - 1;
    let (begun, rest) = text.split_at(middle);
    let server = Server::start(vec![
        // No last chunk.
        format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{last}/{size}\r\nTransfer-Encoding: chunked\r\n\r\n\
             {middle:x}\r\n{begun}\r\n"
        ),
        format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {middle}-{last}/{size}\r\nContent-Length: {}\r\n\r\n{rest}",
            rest.len()
        ),
    ]);
    let read = succeed(druid, &task("resumed", "resumed", input(&server)));
    assert_eq!(read["processed"], 1000);
    assert_eq!(server.requests(), [request("bytes=0-"), request(&format!("bytes={middle}-"))]);
    druid.sql_gives("SELECT COUNT(*), SUM(added) FROM resumed", &json!([[1000, 499_500]]), WITHIN).unwrap();
}

/// Why a body whose end is not sure must be chunked or reset, and why rows must be counted.
#[test]
fn it_takes_an_answer_that_is_shorter_than_it_said_for_whole() {
    let Some(druid) = druid() else { return };
    let (size, begun) = (rows(0..1000).len(), rows(0..400));
    let server = Server::start(vec![format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{begun}")]);
    let read = succeed(druid, &task("short", "short", input(&server)));
    assert_eq!(read["processed"], 400);
    assert_eq!(server.requests(), [request("bytes=0-")]);
    druid.sql_gives("SELECT COUNT(*) FROM short", &json!([[400]]), WITHIN).unwrap();
}

/// As the host ends an answer that it cannot finish.
#[test]
fn it_goes_on_where_an_answer_was_reset() {
    let Some(druid) = druid() else { return };
    let text = rows(0..1000);
    let size = text.len();
    let last = size - 1;
    let (begun, rest) = text.split_at(rows(0..400).len());
    let server = Server::start_resetting(vec![
        (
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{last}/{size}\r\nContent-Length: {size}\r\n\r\n{begun}"
            ),
            true,
        ),
        (
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{last}/{size}\r\nContent-Length: {}\r\n\r\n{rest}",
                begun.len(),
                rest.len()
            ),
            false,
        ),
    ]);
    let read = succeed(druid, &task("reset", "reset", input(&server)));
    assert_eq!(read["processed"], 1000);
    assert_eq!(server.requests(), [request("bytes=0-"), request(&format!("bytes={}-", begun.len()))]);
}
