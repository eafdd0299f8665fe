//! Requests of guests, against small servers that redirect, stall, cut and echo.

use host::io::web::Web;
use host::ports::http::{Credential, Http, HttpFailure, HttpGrant, HttpRequest, HttpResponse, Network, Rule};
use host::secret::Secret;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::feeds::runtime;

const SECOND: Duration = Duration::from_secs(1);

/// A server that does with each connection what a function does, given the head of its request.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, seen, answer) = (stream.unwrap(), Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    seen.lock().unwrap().push(head.clone());
                    answer(&head, &mut stream);
                });
            }
        });
        Server { address, asked }
    }

    /// Answers with a status line, headers and a body.
    fn saying(status: &'static str, headers: impl Into<String>, body: &'static str) -> Self {
        let headers = headers.into();
        Server::start(move |_, stream| say(stream, status, &headers, body.as_bytes()))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    // A client that has seen enough may be gone.
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

fn grant(allow: &[&str]) -> HttpGrant {
    HttpGrant {
        allow: allow.iter().map(|rule| Rule::parse(rule).unwrap()).collect(),
        networks: vec![Network::parse("127.0.0.0/8").unwrap(), Network::parse("::1").unwrap()],
        credentials: Vec::new(),
        max_response_bytes: 1000,
        max_request_bytes: 1000,
        max_timeout: Duration::from_secs(20),
        ca_file: None,
    }
}

fn request(method: &str, url: &str) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        timeout: Duration::from_secs(20),
    }
}

fn send(grant: HttpGrant, request: HttpRequest) -> Result<HttpResponse, HttpFailure> {
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    Web::new(grant, runtime().handle().clone()).unwrap().send(request)
}

fn get(allow: &[&str], url: &str) -> Result<HttpResponse, HttpFailure> {
    send(grant(allow), request("GET", url))
}

/// Everything of this machine.
const LOCAL: &str = "* http://127.0.0.1:*/**";

fn text(answer: &HttpResponse) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

fn denied(answer: Result<HttpResponse, HttpFailure>, words: &str) {
    match answer {
        Err(HttpFailure::Denied(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{other:?}, expected a denial with `{words}`"),
    }
}

#[test]
fn an_answer_is_given_whatever_its_status() {
    let server = Server::saying("404 Not Found", "X-Why: gone\r\n", "no such thing");
    let answer = get(&[LOCAL], &server.url("/x?token=1")).unwrap();
    assert_eq!((answer.status, text(&answer)), (404, "no such thing"));
    assert!(answer.headers.contains(&("x-why".to_owned(), b"gone".to_vec())), "{answer:?}");
    let head = &server.asked()[0];
    assert!(head.starts_with("GET /x?token=1 HTTP/1.1\r\n") && head.contains("user-agent: connector-host/"), "{head}");
}

#[test]
fn only_what_is_granted_is_asked_for() {
    let server = Server::saying("200 OK", "", "hello");
    let rule = format!("GET http://{}/v1/**", server.address);
    denied(get(&[], &server.url("/v1/x")), "to grant it, add `GET http://127.0.0.1");
    denied(get(&[&rule], &server.url("/v2/x?secret=1")), "/v2/x`");
    denied(get(&[&rule], &server.url("/v1/../v2/x")), "/v2/x`");
    denied(get(&[&rule], &server.url("/v1/%2e%2e/v2/x")), "/v2/x`");
    denied(get(&[&rule], &server.url("/v1/..%2fv2")), "is not granted");
    denied(send(grant(&[&rule]), request("POST", &server.url("/v1/x"))), "`POST http://127.0.0.1");
    denied(get(&[&rule], &format!("http://user:pass@{}/v1/x", server.address)), "credentials are the host's");
    denied(get(&[&rule], &format!("http://localhost:{}/v1/x", server.address.port())), "is not granted");
    denied(get(&[&rule], "file:///etc/passwd"), "expected `http` or `https`");
    for header in ["Host", "content-length", "Transfer-Encoding", "Connection", "Proxy-Authorization"] {
        let headers = vec![(header.to_owned(), b"x".to_vec())];
        denied(
            send(grant(&[&rule]), HttpRequest { headers, ..request("GET", &server.url("/v1/x")) }),
            "is the host's to set",
        );
    }
    assert_eq!(server.asked().len(), 0, "nobody was asked");
    assert_eq!(text(&get(&[&rule], &server.url("/v1/x")).unwrap()), "hello");
    // Other spellings of the same address are the same address.
    let port = server.address.port();
    for spelling in ["127.1", "0x7f.0.0.1", "2130706433", "127.0.0.1"] {
        assert_eq!(text(&get(&[&rule], &format!("http://{spelling}:{port}/v1/x")).unwrap()), "hello", "{spelling}");
    }
}

#[test]
fn addresses_that_are_not_public_are_reached_only_where_their_network_is_named() {
    let server = Server::saying("200 OK", "", "hello");
    let port = server.address.port();
    let without = |host: &str| {
        let rule = format!("* http://{host}:*/**");
        let url = format!("http://{host}:{port}/");
        (HttpGrant { networks: Vec::new(), ..grant(&[&rule]) }, request("GET", &url))
    };
    // As a name, which is resolved, and as addresses in several clothes.
    for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"] {
        let (grant, request) = without(host);
        denied(send(grant, request), "is loopback; to reach it, name its network in the connector's `http.networks`");
    }
    for (host, range) in [("169.254.169.254", "link-local"), ("10.0.0.1", "private"), ("0.0.0.0", "unspecified")] {
        let (grant, request) = without(host);
        denied(send(grant, request), range);
    }
    assert_eq!(server.asked().len(), 0, "nobody was asked");
    let (_, request) = without("localhost");
    assert_eq!(text(&send(grant(&["GET http://localhost:*/**"]), request).unwrap()), "hello");
}

#[test]
fn a_redirect_is_a_request_of_its_own() {
    let end = Server::saying("200 OK", "", "the end");
    let to = |url: String| format!("Location: {url}\r\n");
    let hop = Server::saying("302 Found", to(end.url("/v1/end")), "");
    assert_eq!(text(&get(&[LOCAL], &hop.url("/")).unwrap()), "the end");
    // Not granted, another scheme, a private address.
    let only_hop = format!("* http://{}/**", hop.address);
    denied(get(&[&only_hop], &hop.url("/")), "/v1/end");
    let elsewhere = Server::saying("307 Temporary Redirect", to("http://169.254.169.254/latest".to_owned()), "");
    denied(get(&[LOCAL, "* http://169.254.169.254/**"], &elsewhere.url("/")), "link-local");
    let file = Server::saying("302 Found", to("file:///etc/passwd".to_owned()), "");
    denied(get(&[LOCAL], &file.url("/")), "expected `http` or `https`");
    let ring = Server::saying("302 Found", "Location: /again\r\n", "");
    let answer = get(&[LOCAL], &ring.url("/"));
    assert!(matches!(&answer, Err(HttpFailure::Other(text)) if text.contains("more than 5 times")), "{answer:?}");
    assert_eq!(ring.asked().len(), 6);
    // What becomes of method and body, as browsers do it.
    for (status, expected) in [("303 See Other", "GET"), ("302 Found", "GET"), ("308 Permanent Redirect", "POST")] {
        let end = Server::saying("200 OK", "", "the end");
        let hop = Server::saying(status, to(end.url("/")), "");
        let post = HttpRequest { body: Some(b"body".to_vec()), ..request("POST", &hop.url("/")) };
        send(grant(&[LOCAL]), post).unwrap();
        assert!(end.asked()[0].starts_with(&format!("{expected} / ")), "{status}: {:?}", end.asked());
    }
}

fn secret(name: &str) -> (tempfile::TempDir, Secret, String) {
    let dir = tempfile::tempdir().unwrap();
    // The folder's name is drawn: what it is found in, it got into.
    let value = format!("{name}{}", dir.path().file_name().unwrap().to_str().unwrap().replace('.', "-"));
    let path = dir.path().join("secret");
    std::fs::write(&path, &value).unwrap();
    (dir, Secret::resolve("http.credentials", &format!("file:{}", path.display())).unwrap(), value)
}

#[test]
fn a_credential_is_put_on_where_its_rule_allows_and_is_in_nothing_the_guest_gets() {
    // Sends back all it was sent, in a header too.
    let echo = Server::start(|head, stream| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with("authorization:")).unwrap_or("none");
        say(stream, "200 OK", &format!("X-Echo: {line}\r\n"), head.as_bytes());
    });
    let (_dir, token, value) = secret("token");
    let rule = |path: &str| Rule::parse(&format!("* http://{}{path}", echo.address)).unwrap();
    let with = |credential: Credential| HttpGrant { credentials: vec![credential], ..grant(&[LOCAL]) };
    let bearer = with(Credential::bearer(rule("/v1/**"), token.clone()));
    let answer = send(bearer.clone(), request("GET", &echo.url("/v1/x"))).unwrap();
    assert!(echo.asked()[0].contains(&format!("earer {value}\r\n")), "{:?}", echo.asked());
    let shown = format!("{answer:?} {}", text(&answer));
    assert!(!shown.contains(&value) && text(&answer).contains("earer ***"), "{shown}");
    // Elsewhere it is not put on, and where it is, a guest cannot set its header.
    send(bearer.clone(), request("GET", &echo.url("/other"))).unwrap();
    assert!(!echo.asked()[1].contains(&value));
    let headers = vec![("Authorization".to_owned(), b"mine".to_vec())];
    let mine = HttpRequest { headers, ..request("GET", &echo.url("/v1/x")) };
    denied(send(bearer.clone(), mine.clone()), "header `authorization`");
    send(bearer, HttpRequest { url: echo.url("/other"), ..mine }).unwrap();
    let basic = with(Credential::basic(rule("/**"), "me", token.clone()));
    let answer = send(basic, request("GET", &echo.url("/"))).unwrap();
    assert!(text(&answer).contains("asic ***"), "{answer:?}");
    let key = with(Credential::header(rule("/**"), "X-Api-Key", token.clone()).unwrap());
    send(key, request("GET", &echo.url("/"))).unwrap();
    assert!(echo.asked().last().unwrap().contains(&format!("x-api-key: {value}\r\n")));
    for wrong in ["Host", "", "a b", "content-length"] {
        assert!(Credential::header(rule("/**"), wrong, token.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_credential_does_not_follow_a_redirect_to_another_server() {
    let end = Server::saying("200 OK", "", "the end");
    let hop = Server::saying("302 Found", format!("Location: {}\r\n", end.url("/")), "");
    let (_dir, token, value) = secret("token");
    let rule = Rule::parse(&format!("* http://{}/**", hop.address)).unwrap();
    let grant = HttpGrant { credentials: vec![Credential::bearer(rule, token)], ..grant(&[LOCAL]) };
    let headers = vec![("cookie".to_owned(), b"a=b".to_vec()), ("x-mine".to_owned(), b"1".to_vec())];
    send(grant, HttpRequest { headers, ..request("GET", &hop.url("/")) }).unwrap();
    let (first, second) = (hop.asked()[0].clone(), end.asked()[0].clone());
    assert!(first.contains(&value) && first.contains("cookie: a=b"), "{first}");
    assert!(!second.contains(&value) && !second.contains("cookie") && second.contains("x-mine: 1"), "{second}");
}

#[test]
fn answers_have_a_bound_and_a_time() {
    let body = "x".repeat(1001);
    let large = Server::start(move |_, stream| say(stream, "200 OK", "", body.as_bytes()));
    let endless = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while stream.write_all(b"64\r\n").and_then(|()| stream.write_all(&[b'x'; 100])).is_ok() {
            let _ = stream.write_all(b"\r\n");
        }
    });
    for server in [&large, &endless] {
        let answer = get(&[LOCAL], &server.url("/"));
        let is_told = |text: &str| text.contains("has more than 1000 bytes");
        assert!(matches!(&answer, Err(HttpFailure::TooLarge(text)) if is_told(text)), "{answer:?}");
    }
    let many = HttpRequest { body: Some(vec![0; 1001]), ..request("POST", &large.url("/")) };
    assert!(matches!(send(grant(&[LOCAL]), many), Err(HttpFailure::TooLarge(_))));
    // Neither a head nor the end of a body comes.
    let silent = Server::start(|_, stream| drop(stream.read(&mut [0])));
    let stalled = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx");
        let _ = stream.read(&mut [0]);
    });
    for server in [&silent, &stalled] {
        let answer = send(grant(&[LOCAL]), HttpRequest { timeout: SECOND / 5, ..request("GET", &server.url("/")) });
        assert!(matches!(&answer, Err(HttpFailure::Timeout(text)) if text == "no answer within 200 ms"), "{answer:?}");
    }
    let cut = Server::start(|_, stream| drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")));
    assert!(matches!(get(&[LOCAL], &cut.url("/")), Err(HttpFailure::Unreachable(_))));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(
        matches!(get(&[LOCAL], &format!("http://{nobody}/?key=1")), Err(HttpFailure::Unreachable(text)) if !text.contains("key"))
    );
    for (method, url) in [("GET", "no url"), ("G T", "http://127.0.0.1/"), ("", "http://127.0.0.1/")] {
        assert!(matches!(send(grant(&[LOCAL]), request(method, url)), Err(HttpFailure::Invalid(_))), "{method} {url}");
    }
}

#[test]
fn many_threads_ask_at_once() {
    let server = Server::start(|head, stream| {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        say(stream, "200 OK", "", path.as_bytes());
    });
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let web = Web::new(grant(&[LOCAL]), runtime().handle().clone()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (web, server) = (&web, &server);
            scope.spawn(move || {
                for number in 0..20 {
                    let path = format!("/{thread}/{number}");
                    assert_eq!(text(&web.send(request("GET", &server.url(&path))).unwrap()), path);
                }
            });
        }
    });
    assert_eq!(server.asked().len(), 320);
}
