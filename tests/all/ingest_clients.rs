//! Many clients, slow ones, and those that say or take nothing: each gets what is its own, none keeps others
//! from it, and none is waited for without a bound.

use axum::Router;
use axum::routing::get;
use host::app;
use host::config::{Config, ConnectorKind, RawConfig};
use host::serve::{Access, Endpoint, Server, ServerLimits, ServerSettings, endpoint};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use tests::feeds::runtime;
use tests::ingest::{Client, End, Exchange, INGEST, Ingestion};
use tests::spool::WITHIN;
use tests::wait_for;
use tests::worker::Running;

/// A served data set, the path of a batch in it, and its bytes.
fn served(edits: u64) -> (Ingestion, Running, String, Vec<u8>) {
    let ingestion = Ingestion::with_edits(0..edits);
    ingestion.publish(
        ingestion
            .to_data_set()
            .set("rotation.max.records", edits)
            .set("rotation.max.age.ms", 0)
            .set("batch.max.records", 1000),
    );
    let running = ingestion.start(ingestion.served());
    let client = Client::new(&running.endpoint());
    let path = wait_for("a batch", WITHIN, || {
        let answer = client.get("/batches");
        let name =
            (answer.status == 200).then(|| answer.json()["batches"][0]["name"].as_str().map(str::to_owned))??;
        Some(format!("/batches/{name}"))
    });
    let bytes = client.get(&path).expect(200).body;
    (ingestion, running, path, bytes)
}

#[test]
fn a_thousand_clients_at_once_get_all_their_bytes() {
    let (_ingestion, running, path, bytes) = served(100);
    let client = Client::new(&running.endpoint());
    let packed = client.get(&format!("{path}.gz")).expect(200).body;
    // All have asked before the first reads.
    let asked: Vec<(Exchange, &Vec<u8>)> = (0..1000)
        .map(|number| match number % 3 {
            0 => (client.open("GET", &format!("{path}.gz"), &[("Range", "bytes=0-")], b""), &packed),
            _ => (client.open("GET", &path, &[], b""), &bytes),
        })
        .collect();
    for (number, (exchange, expected)) in asked.into_iter().enumerate() {
        let answer = exchange.answer();
        assert_eq!(answer.end, End::Whole, "client {number}: {}", answer.status);
        assert!(answer.body == *expected, "client {number}: {} of {} bytes", answer.body.len(), expected.len());
    }
    assert_eq!(running.status(INGEST).state.name(), "RUNNING");
}

#[test]
fn clients_that_take_nothing_keep_no_others_from_their_bytes() {
    let (_ingestion, running, path, bytes) = served(30_000);
    assert!(bytes.len() > 6 << 20, "{} bytes fit into the buffers between", bytes.len());
    let client = Client::new(&running.endpoint()).narrow();
    let stalled: Vec<Exchange> = (0..20).map(|_| client.open("GET", &path, &[], b"")).collect();
    for _ in 0..3 {
        assert!(client.get(&path).expect(200).body == bytes);
        client.get("/batches").expect(200);
        client.get("/health").expect(200);
    }
    // What they did not take is still theirs.
    for exchange in stalled {
        let answer = exchange.answer();
        assert_eq!((answer.status, answer.end), (200, End::Whole));
        assert!(answer.body == bytes);
    }
}

#[test]
fn clients_that_take_nothing_give_way_where_they_are_too_many() {
    let (_ingestion, running, path, bytes) = served(30_000);
    let client = Client::new(&running.endpoint()).narrow();
    // As many as are served at a time, and some more.
    let stalled: Vec<Exchange> = (0..70).map(|_| client.open("GET", &path, &[], b"")).collect();
    assert!(client.get(&path).expect(200).body == bytes);
    let mut given_up = 0;
    for exchange in stalled {
        let answer = exchange.answer();
        let is_whole = answer.status == 200 && answer.end == End::Whole;
        assert!(
            !is_whole || answer.body == bytes,
            "{} of {} bytes as if they were all",
            answer.body.len(),
            bytes.len()
        );
        assert!(bytes.starts_with(&answer.body) || answer.status == 503);
        given_up += u32::from(!is_whole);
    }
    assert!(given_up > 0, "nobody gave way");
    assert!(client.get(&path).expect(200).body == bytes);
}

#[test]
fn clients_that_leave_in_the_middle_cost_nothing() {
    let (_ingestion, running, path, bytes) = served(30_000);
    let client = Client::new(&running.endpoint());
    // More than are given out at a time.
    for _ in 0..3 {
        let left: Vec<Exchange> = (0..100).map(|_| client.open("GET", &path, &[], b"")).collect();
        drop(left);
    }
    assert!(client.get(&path).expect(200).body == bytes);
}

#[test]
fn a_slow_client_gets_everything() {
    let (_ingestion, running, path, bytes) = served(1500);
    let client = Client::new(&running.endpoint());
    let mut pieces = 0;
    // Slow is what is tried here.
    let answer = client.open("GET", &path, &[], b"").answer_in_pieces(&mut |_| {
        pieces += 1;
        std::thread::sleep(Duration::from_millis(2));
    });
    assert!(answer.expect(200).body == bytes);
    assert!(pieces > 300, "{pieces}");
}

#[test]
fn one_connection_serves_many_requests() {
    let (_ingestion, running, path, bytes) = served(50);
    let client = Client::new(&running.endpoint());
    let mut stream = client.connect();
    for _ in 0..20 {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&head));
        let mut body = vec![0; bytes.len()];
        stream.read_exact(&mut body).unwrap();
        assert!(body == bytes);
    }
}

/// A server with short limits over what an ingestion would answer.
fn impatient(limits: ServerLimits, router: Router) -> Server {
    let listen = "127.0.0.1:0".parse().unwrap();
    Server::start(runtime().handle(), &ServerSettings { limits, ..ServerSettings::plain(listen) }, router).unwrap()
}

/// The router of an ingestion whose data set was not read yet.
fn router(ingestion: &Ingestion) -> Router {
    let config = Config::check(&RawConfig::read(&[ingestion.config(&ingestion.served())]).unwrap()).unwrap();
    let ingest = config.connectors.iter().find_map(|connector| match &connector.kind {
        ConnectorKind::Ingest(ingest) => Some(ingest),
        _ => None,
    });
    std::fs::create_dir_all(ingestion.folder()).unwrap();
    let ingest = ingest.unwrap();
    let set = app::data_set(ingest, runtime().handle()).unwrap();
    let access = Access::default();
    endpoint(Endpoint { set, format: app::row_format(ingest), catalog: Arc::default(), access })
}

const SHORT: ServerLimits =
    ServerLimits { connections: 4, head: Duration::from_millis(300), stall: Duration::from_millis(300) };

/// Waits until the server ends a connection, and returns what it said.
fn said(mut stream: impl Read) -> String {
    let mut said = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut said);
    String::from_utf8(said).unwrap()
}

#[test]
fn who_does_not_finish_a_request_is_not_waited_for() {
    let ingestion = Ingestion::default();
    let server = impatient(SHORT, router(&ingestion));
    let client = Client::new(&server.url());
    for some in ["", "GET", "GET /health HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let mut stream = client.connect();
        stream.write_all(some.as_bytes()).unwrap();
        let said = said(&mut stream);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{some:?}: {said}");
    }
    // One that was answered may not stay for ever either.
    let mut stream = client.connect();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(said(&mut stream).starts_with("HTTP/1.1 503"));
    client.get("/health").expect(503);
}

#[test]
fn what_is_no_http_is_answered_and_left() {
    let ingestion = Ingestion::default();
    let server = impatient(SHORT, router(&ingestion));
    let client = Client::new(&server.url());
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(2000));
    for odd in ["\x16\x03\x01\x02\0\x01\0\x01\u{7f}", "hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &long, &many] {
        let mut stream = client.connect();
        // Broken off before all of it is taken is as good.
        let _ = stream.write_all(odd.as_bytes());
        let said = said(&mut stream);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4") || said.starts_with("HTTP/1.1 5"), "{said}");
    }
    client.get("/health").expect(503);
}

#[test]
fn connections_beyond_the_bound_wait_for_room() {
    let ingestion = Ingestion::default();
    let patient = ServerLimits { head: Duration::from_secs(60), ..SHORT };
    let server = impatient(patient, router(&ingestion));
    let client = Client::new(&server.url());
    let mut idle: Vec<_> = (0..4).map(|_| client.connect()).collect();
    // They are taken in the order in which they came: this answer shows that all four are.
    for stream in &mut idle {
        stream.write_all(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 503");
    }
    let waiting = client.open("GET", "/health", &[], b"");
    let probe = TcpStream::connect(server.addr()).unwrap();
    probe.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    (&probe).write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let silent = (&probe).read(&mut [0]);
    assert!(silent.is_err(), "a fifth connection was answered: {silent:?}");
    idle.pop();
    waiting.answer().expect(503);
}

#[test]
fn who_takes_nothing_of_an_answer_is_left() {
    let large = Router::new().route("/", get(|| async { vec![7_u8; 64 << 20] }));
    let server = impatient(SHORT, large);
    let client = Client::new(&server.url());
    let narrow = client.clone().narrow();
    let held: Vec<Exchange> = (0..4).map(|_| narrow.open("GET", "/", &[], b"")).collect();
    // All room is taken until they are given up.
    assert_eq!(client.get("/").expect(200).body.len(), 64 << 20);
    for exchange in held {
        let answer = exchange.answer();
        assert_ne!(answer.end, End::Whole);
        assert!(answer.body.len() < 64 << 20);
    }
}

#[test]
fn a_server_that_ends_takes_its_connections_with_it() {
    let ingestion = Ingestion::default();
    let server = impatient(ServerLimits::default(), router(&ingestion));
    let client = Client::new(&server.url());
    let stream = client.connect();
    client.get("/health").expect(503);
    drop(server);
    assert_eq!(said(stream), "");
    tests::wait_until("the port to be closed", WITHIN, || TcpStream::connect(client.addr()).is_err());
}
