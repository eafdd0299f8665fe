//! The EventStreams emulator as a client sees it: HTTP/1.1 by hand, so that cuts and half events
//! are visible.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::Fault;

const SOON: Duration = Duration::from_secs(10);
const AGENT: &str = "User-Agent: EmulatorTest/1.0 (ops@example.org)\r\n";
const STREAM: &str = "/v2/stream/recentchange";

/// A response whose body is read bit by bit. Every read has a deadline.
struct Client {
    stream: BufReader<TcpStream>,
    status: u16,
    headers: String,
    /// What of the body has been read and not used.
    body: Vec<u8>,
    /// Whether the body ended as HTTP says it should, or the connection just did.
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Proper,
    Abrupt,
}

impl Client {
    async fn get(addr: SocketAddr, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: stream.wikimedia.org\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut client =
            Self { stream: BufReader::new(stream), status: 0, headers: String::new(), body: Vec::new(), end: None };
        let first = client.line().await;
        client.status = first.split(' ').nth(1).unwrap_or("0").parse().unwrap();
        loop {
            match client.line().await.as_str() {
                "" => return client,
                header => client.headers.push_str(&format!("{}\n", header.to_ascii_lowercase())),
            }
        }
    }

    /// Opens the stream with the usual headers.
    async fn open(addr: SocketAddr, headers: &str) -> Self {
        let mut client = Self::get(addr, STREAM, &format!("{AGENT}Accept: text/event-stream\r\n{headers}")).await;
        assert_eq!(client.status, 200, "{}", client.headers);
        assert_eq!(client.block().await.as_deref(), Some(":ok"));
        client
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(SOON, self.stream.read_line(&mut line)).await.expect("a line in time").unwrap_or_default();
        line.trim_end().to_owned()
    }

    /// Reads one more chunk of the body.
    async fn chunk(&mut self) {
        let size = self.line().await;
        let Ok(size) = usize::from_str_radix(&size, 16) else {
            self.end = Some(End::Abrupt);
            return;
        };
        let mut chunk = vec![0; size + 2];
        match timeout(SOON, self.stream.read_exact(&mut chunk)).await.expect("a chunk in time") {
            Ok(_) if size == 0 => self.end = Some(End::Proper),
            Ok(_) => self.body.extend_from_slice(&chunk[..size]),
            Err(_) => self.end = Some(End::Abrupt),
        }
    }

    /// The next part of the body up to `mark`, without it; `None` when the body has ended first.
    async fn part(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.body.windows(mark.len()).position(|window| window == mark) {
                let part = self.body[..at].to_vec();
                self.body.drain(..at + mark.len());
                return Some(part);
            }
            if self.end.is_some() {
                return None;
            }
            self.chunk().await;
        }
    }

    /// Reads on until the body has ended.
    async fn finish(&mut self) {
        let end = timeout(SOON, async {
            while self.end.is_none() {
                self.chunk().await;
            }
        });
        end.await.expect("the stream ends");
    }

    async fn block(&mut self) -> Option<String> {
        self.part(b"\n\n").await.map(|block| String::from_utf8(block).unwrap())
    }

    /// The id and the data of the next event.
    async fn event(&mut self) -> (String, Value) {
        loop {
            let block = self.block().await.unwrap_or_else(|| panic!("an event before the end {:?}", self.end));
            let mut lines = block.lines();
            if block.starts_with(':') {
                continue;
            }
            assert_eq!(lines.next(), Some("event: message"), "{block}");
            let id = lines.next().unwrap().strip_prefix("id: ").unwrap().to_owned();
            let data = lines.next().unwrap().strip_prefix("data: ").unwrap();
            assert_eq!(lines.next(), None);
            return (id, serde_json::from_str(data).unwrap());
        }
    }

    async fn names(&mut self, num: usize) -> Vec<String> {
        let mut names = Vec::new();
        while names.len() < num {
            names.push(self.event().await.1["meta"]["id"].as_str().unwrap().to_owned());
        }
        names
    }

    async fn whole(mut self) -> Value {
        let length = self.headers.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        timeout(SOON, self.stream.read_exact(&mut body)).await.unwrap().unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

async fn emulator(options: Options) -> Handle {
    start(TcpListener::bind("127.0.0.1:0").await.unwrap(), options).await.unwrap()
}

fn expected_ids(seed: u64, num: usize) -> Vec<String> {
    Generator::new(seed).take(num).map(|edit| edit.uuid()).collect()
}

#[tokio::test]
async fn events_are_framed_as_the_real_service_frames_them() {
    let emulator = emulator(Options { rate: 0.0, seed: 9, limit: Some(300), ..Options::default() }).await;
    let before = crate::clock::now_ms();
    let mut client = Client::open(emulator.addr(), "").await;
    assert!(client.headers.contains("content-type: text/event-stream; charset=utf-8"), "{}", client.headers);
    assert!(client.headers.contains("transfer-encoding: chunked"));
    let mut last = 0;
    for id in expected_ids(9, 300) {
        let (place, event) = client.event().await;
        let place: Value = serde_json::from_str(&place).unwrap();
        assert_eq!(event["meta"]["id"], *id);
        assert_eq!(place[0]["topic"], "eqiad.mediawiki.recentchange");
        assert_eq!(
            place[1],
            serde_json::json!({"topic": "codfw.mediawiki.recentchange", "partition": 0, "offset": -1})
        );
        let at = place[0]["timestamp"].as_i64().unwrap();
        assert!(at >= before && at <= crate::clock::now_ms() && at >= last);
        assert_eq!(event["meta"]["dt"], crate::clock::iso_ms(at));
        last = at;
    }
    let stats = emulator.stats();
    assert_eq!((stats.produced, stats.frames_sent, stats.clients_now), (300, 300, 1));
    assert_eq!(stats.user_agents, ["EmulatorTest/1.0 (ops@example.org)"]);
    emulator.stop().await;
}

#[tokio::test]
async fn both_names_and_lines_of_json_are_served() {
    let emulator = emulator(Options { rate: 0.0, seed: 9, limit: Some(20), ..Options::default() }).await;
    let path = "/v2/stream/recentchange,mediawiki.recentchange";
    let mut client = Client::get(emulator.addr(), path, &format!("{AGENT}Accept: application/json\r\n")).await;
    assert!(client.headers.contains("content-type: application/x-ndjson"), "{}", client.headers);
    for id in expected_ids(9, 20) {
        let line = client.part(b"\n").await.unwrap();
        let event: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(event["meta"]["id"], *id);
    }
    emulator.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_back_gets_its_last_millisecond_again_and_misses_nothing() {
    let emulator = emulator(Options { rate: 3000.0, limit: Some(1500), ..Options::default() }).await;
    let expected = expected_ids(1, 1500);
    let mut seen = Vec::new();
    let mut client = Client::open(emulator.addr(), "").await;
    let mut last_id = String::new();
    for _ in 0..400 {
        let (id, event) = client.event().await;
        // Canaries have no page; they count as places all the same.
        if event["meta"]["domain"] != "canary" {
            seen.push(event["meta"]["id"].as_str().unwrap().to_owned());
        }
        last_id = id;
    }
    drop(client);
    assert!(emulator.wait_for(|stats| stats.clients_now == 0 && stats.produced == 1500, SOON).await);
    let mut client = Client::open(emulator.addr(), &format!("Last-Event-ID: {last_id}\r\n")).await;
    let (first_id, first) = client.event().await;
    assert_eq!(first_id, last_id, "the millisecond of the last event comes again");
    let mut again = vec![first["meta"]["id"].as_str().unwrap().to_owned()];
    while again.last() != expected.last() {
        let (_, event) = client.event().await;
        if event["meta"]["domain"] != "canary" {
            again.push(event["meta"]["id"].as_str().unwrap().to_owned());
        }
    }
    let joint = expected.iter().position(|id| *id == again[0]).unwrap();
    assert!(joint < seen.len(), "at least the last event is repeated");
    assert_eq!(again, expected[joint..]);
    assert_eq!(seen, expected[..seen.len()]);
    assert_eq!(emulator.stats().last_event_id, Some(last_id));
    emulator.stop().await;
}

#[tokio::test]
async fn since_starts_in_the_past_and_the_history_is_bounded() {
    let emulator =
        emulator(Options { rate: 0.0, limit: Some(900), canary_every: 0, history: 100, ..Options::default() }).await;
    let mut client = Client::open(emulator.addr(), "").await;
    let all = client.names(900).await;
    for since in ["since=2020-01-01T00%3A00%3A00Z", "since=0", "other=1&since=1577836800000"] {
        let path = format!("{STREAM}?{since}");
        let mut late = Client::get(emulator.addr(), &path, AGENT).await;
        assert_eq!(late.block().await.as_deref(), Some(":ok"));
        assert_eq!(late.names(100).await, all[800..]);
    }
    emulator.stop().await;
}

#[tokio::test]
async fn canaries_come_between_the_events_and_are_not_counted() {
    let emulator = emulator(Options { rate: 0.0, limit: Some(100), canary_every: 10, ..Options::default() }).await;
    let mut client = Client::open(emulator.addr(), "").await;
    let mut domains = Vec::new();
    for _ in 0..110 {
        domains.push(client.event().await.1["meta"]["domain"].as_str().unwrap().to_owned());
    }
    for (at, domain) in domains.iter().enumerate() {
        assert_eq!(domain == "canary", at % 11 == 10, "{at}");
    }
    assert_eq!(emulator.stats().produced, 100);
    emulator.stop().await;
}

#[tokio::test]
async fn requests_that_cannot_be_served_are_refused_with_a_reason() {
    let emulator = emulator(Options { limit: Some(0), max_clients: Some(1), ..Options::default() }).await;
    let addr = emulator.addr();
    let _open = Client::open(addr, "").await;
    let agent = AGENT;
    let bad_id = format!("{agent}Last-Event-ID: [{{\"topic\":\"x\"}}]\r\n");
    let cases = [
        (STREAM, "", 403, "User-Agent_Policy"),
        (STREAM, "User-Agent: \r\n", 403, "User-Agent_Policy"),
        ("/v2/stream/recentchange,page-create", agent, 404, "`page-create`"),
        ("/v2/stream/", agent, 404, "no path"),
        ("/v1/anything", agent, 404, "no path `/v1/anything`"),
        (STREAM, bad_id.as_str(), 400, "Last-Event-ID"),
        ("/v2/stream/recentchange?since=never", agent, 400, "since"),
        (STREAM, agent, 429, "too many streams"),
    ];
    for (path, headers, status, detail) in cases {
        let client = Client::get(addr, path, headers).await;
        assert_eq!(client.status, status, "{path}");
        assert_eq!(client.headers.contains("retry-after: 5"), status == 429);
        let body = client.whole().await;
        assert_eq!(body["status"], status);
        assert!(body["detail"].as_str().unwrap().contains(detail), "{body}");
    }
    emulator.stop().await;
}

#[tokio::test]
async fn the_agent_rule_can_be_off() {
    let emulator =
        emulator(Options { rate: 0.0, limit: Some(1), require_user_agent: false, ..Options::default() }).await;
    let mut client = Client::get(emulator.addr(), STREAM, "").await;
    assert_eq!((client.status, client.block().await.as_deref()), (200, Some(":ok")));
    emulator.stop().await;
}

#[tokio::test]
async fn answers_can_be_armed() {
    let emulator = emulator(Options { rate: 0.0, limit: Some(1), ..Options::default() }).await;
    emulator.fault(Fault::AnswerNext { status: 429, retry_after: Some(7) });
    emulator.fault(Fault::AnswerNext { status: 503, retry_after: None });
    let client = Client::get(emulator.addr(), STREAM, AGENT).await;
    assert_eq!((client.status, client.headers.contains("retry-after: 7")), (429, true));
    let client = Client::get(emulator.addr(), STREAM, AGENT).await;
    assert_eq!((client.status, client.headers.contains("retry-after")), (503, false));
    Client::open(emulator.addr(), "").await;
    assert_eq!(emulator.stats().refused, 2);
    emulator.stop().await;
}

#[tokio::test]
async fn a_cut_falls_into_the_middle_of_an_event() {
    let emulator = emulator(Options { limit: Some(0), ..Options::default() }).await;
    let mut client = Client::open(emulator.addr(), "").await;
    // A connection between two requests is cut as well.
    let mut idle = Client::get(emulator.addr(), "/elsewhere", AGENT).await;
    emulator.fault(Fault::CutAll);
    assert_eq!(client.block().await, None);
    assert_eq!(client.end, Some(End::Abrupt));
    assert!(client.body.starts_with(b"event: message\ndata: {"), "{:?}", String::from_utf8_lossy(&client.body));
    let mut rest = Vec::new();
    let _ = timeout(SOON, idle.stream.read_to_end(&mut rest)).await.expect("the idle connection ends");
    assert!(emulator.wait_for(|stats| stats.clients_now == 0, SOON).await);
    Client::open(emulator.addr(), "").await;
    emulator.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_its_time_is_up_even_if_nobody_reads() {
    let cut_after = Duration::from_millis(300);
    let emulator = emulator(Options { rate: 0.0, cut_after, keep_alive: SOON, ..Options::default() }).await;
    let begin = std::time::Instant::now();
    let mut client = Client::open(emulator.addr(), "").await;
    client.finish().await;
    assert_eq!(client.end, Some(End::Abrupt));
    assert!(begin.elapsed() >= cut_after);
    let _stuck = Client::open(emulator.addr(), "").await;
    assert!(emulator.wait_for(|stats| stats.clients_ever == 2 && stats.clients_now == 0, SOON).await);
    emulator.stop().await;
}

#[tokio::test]
async fn an_idle_stream_gets_comments() {
    let keep_alive = Duration::from_millis(50);
    let emulator = emulator(Options { limit: Some(0), keep_alive, ..Options::default() }).await;
    let mut client = Client::open(emulator.addr(), "").await;
    for _ in 0..3 {
        assert_eq!(client.block().await.as_deref(), Some(": "));
    }
    emulator.stop().await;
}

#[tokio::test]
async fn a_silent_host_neither_answers_nor_sends() {
    let emulator = emulator(Options { rate: 200.0, ..Options::default() }).await;
    let mut client = Client::open(emulator.addr(), "").await;
    client.event().await;
    emulator.fault(Fault::Silence(true));
    let waiting = tokio::spawn(Client::get(emulator.addr(), STREAM, AGENT));
    // What was under way may still come, then nothing.
    let silence = timeout(Duration::from_millis(400), async { while client.block().await.is_some() {} });
    assert!(silence.await.is_err());
    assert!(!waiting.is_finished());
    emulator.fault(Fault::Silence(false));
    client.event().await;
    assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap().status, 200);
    emulator.stop().await;
}

#[tokio::test]
async fn connections_can_be_refused_and_garbage_sent() {
    let emulator = emulator(Options { limit: Some(0), ..Options::default() }).await;
    emulator.fault(Fault::RefuseNext(1));
    let mut refused = TcpStream::connect(emulator.addr()).await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(SOON, refused.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
    emulator.fault(Fault::GarbageNext(5));
    let mut client = Client::open(emulator.addr(), "").await;
    let mut num_broken = 0;
    for _ in 0..5 {
        let block = client.part(b"\n\n").await.unwrap();
        num_broken += usize::from(std::str::from_utf8(&block).is_err());
    }
    assert!(num_broken >= 2);
    assert_eq!(emulator.stats().produced, 0);
    emulator.stop().await;
}

#[tokio::test]
async fn recorded_events_get_new_ids_and_keep_their_data() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "event: message\nid: [{\"old\":1}]\ndata: {\"a\":\"ü\"}\n\nevent: error\ndata: {}\n\n")
        .unwrap();
    let lines = Lines::read(file.path()).unwrap();
    let emulator = emulator(Options { rate: 0.0, lines: Some(lines), ..Options::default() }).await;
    let mut client = Client::open(emulator.addr(), "").await;
    let (id, data) = client.event().await;
    assert!(id.contains("eqiad.mediawiki.recentchange"), "{id}");
    assert_eq!(data, serde_json::json!({"a": "ü"}));
    let error = client.block().await.unwrap();
    assert!(error.starts_with("event: error\nid: [{") && error.ends_with("\ndata: {}"), "{error}");
    emulator.stop().await;
}

#[tokio::test]
async fn stopping_ends_streams_and_frees_the_port() {
    let emulator = emulator(Options::default()).await;
    let addr = emulator.addr();
    let mut client = Client::open(addr, "").await;
    tokio::join!(emulator.stop(), client.finish());
    TcpListener::bind(addr).await.expect("the port is free");
}
