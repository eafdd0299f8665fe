//! Requests of guests, against small servers that redirect, stall, cut and echo.

use host::io::web::Web;
use host::ports::http::{Credential, Http, HttpFailure, HttpGrant, HttpRequest, HttpResponse, Network, Rule};
use host::secret::Secret;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::feeds::runtime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const MINUTE: Duration = Duration::from_secs(60);
/// For what never comes: long enough for the request to have been sent.
const MOMENT: Duration = Duration::from_millis(300);

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

    fn leading(status: &'static str, to: impl AsRef<str>) -> Self {
        Server::saying(status, format!("Location: {}\r\n", to.as_ref()), "on")
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

/// Waits until the client is gone.
fn stall(stream: &mut TcpStream) {
    while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
}

/// Everything of this machine.
const LOCAL: &str = "* http://127.0.0.1:*/**";

/// An address that is not public and nobody's: where a check is broken, a test reaches no metadata service and no
/// network that the machine is in. Which addresses are refused is tested where nothing is dialled.
const NOBODY: &str = "192.0.2.1";

fn grant(allow: &[&str]) -> HttpGrant {
    HttpGrant {
        allow: allow.iter().map(|rule| Rule::parse(rule).unwrap()).collect(),
        networks: vec![Network::parse("127.0.0.0/8").unwrap(), Network::parse("::1/128").unwrap()],
        credentials: Vec::new(),
        max_response_bytes: 1000,
        max_request_bytes: 1000,
        max_timeout: MINUTE,
        ca_file: None,
    }
}

fn request(method: &str, url: &str) -> HttpRequest {
    HttpRequest { method: method.to_owned(), url: url.to_owned(), headers: Vec::new(), body: None, timeout: MINUTE }
}

fn with_headers(request: HttpRequest, headers: &[(&str, &str)]) -> HttpRequest {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    HttpRequest { headers, ..request }
}

fn send(grant: HttpGrant, request: HttpRequest) -> Result<HttpResponse, HttpFailure> {
    Web::new(grant, runtime().handle().clone()).unwrap().send(request)
}

fn get(allow: &[&str], url: &str) -> Result<HttpResponse, HttpFailure> {
    send(grant(allow), request("GET", url))
}

fn text(answer: &HttpResponse) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

fn denied(answer: Result<HttpResponse, HttpFailure>, words: &str) {
    assert!(matches!(&answer, Err(HttpFailure::Denied(text)) if text.contains(words)), "{answer:?}, not `{words}`");
}

/// A secret that is nowhere else, and its text.
fn secret() -> (Secret, String) {
    let dir = tempfile::tempdir().unwrap();
    let value = format!("secret+{}", dir.path().file_name().unwrap().to_str().unwrap().replace('.', "-"));
    let path = dir.path().join("secret");
    std::fs::write(&path, &value).unwrap();
    (Secret::resolve("http.credentials", &format!("file:{}", path.display())).unwrap(), value)
}

#[test]
fn an_answer_is_given_whatever_its_status() {
    // Its body is not what it says, and is none of the host's business.
    let server = Server::saying("404 Not Found", "X-Why: gone\r\nContent-Encoding: gzip\r\n", "no such thing");
    let answer = get(&[LOCAL], &server.url("/x?token=1")).unwrap();
    assert_eq!((answer.status, text(&answer)), (404, "no such thing"));
    assert!(answer.headers.contains(&("x-why".to_owned(), b"gone".to_vec())), "{answer:?}");
    let head = &server.asked()[0];
    assert!(head.starts_with("GET /x?token=1 HTTP/1.1\r\n") && head.contains("user-agent: connector-host/"), "{head}");
    assert!(!head.contains("accept-encoding"), "{head}");
    let own = with_headers(request("PATCH", &server.url("/")), &[("User-Agent", "mine"), ("X-A", "1"), ("x-a", "2")]);
    send(grant(&[LOCAL]), HttpRequest { body: Some(b"body".to_vec()), ..own }).unwrap();
    let head = &server.asked()[1];
    assert!(head.contains("user-agent: mine\r\n") && !head.contains("connector-host"), "{head}");
    assert!(head.contains("x-a: 1\r\nx-a: 2\r\n") && head.contains("content-length: 4\r\n"), "{head}");
}

#[test]
fn only_what_is_granted_is_asked_for() {
    let server = Server::saying("200 OK", "", "hello");
    let rule = format!("GET http://{}/v1/**", server.address);
    denied(get(&[], &server.url("/v1/x")), "to grant it, add a rule for it, such as `GET http://127.0.0.1");
    for path in ["/v2/x?secret=1", "/v1/../v2/x", "/v1/%2e%2E/v2/x", "/v1/..\\..\\v2/x", "/v2/x#/v1/"] {
        denied(get(&[&rule], &server.url(path)), "/v2/x` is not granted");
    }
    for path in ["/v1/..%2fv2", "/v1/a%5cb", "/v1/..;/v2", "/v1", "//v1/x"] {
        denied(get(&[&rule], &server.url(path)), "is not granted");
    }
    for method in ["POST", "get", "HEAD"] {
        denied(send(grant(&[&rule]), request(method, &server.url("/v1/x"))), &format!("`{method} http://127.0.0.1"));
    }
    for method in ["CONNECT", "TRACE", "track"] {
        denied(send(grant(&[LOCAL]), request(method, &server.url("/v1/x"))), "is never granted");
    }
    for user in ["user:pass@", "user@", ":pass@"] {
        let answer = get(&[&rule], &format!("http://{user}{}/v1/x", server.address));
        assert!(!format!("{answer:?}").contains("pass@"), "{answer:?}");
        denied(answer, "credentials are the host's");
    }
    let port = server.address.port();
    for (url, words) in [
        (format!("http://localhost:{port}/v1/x"), "is not granted"),
        (format!("http://127.0.0.1.:{}/v1/x", port ^ 1), "is not granted"),
        (format!("https://127.0.0.1:{port}/v1/x"), "is not granted"),
        ("file:///etc/passwd".to_owned(), "expected `http` or `https`"),
        (format!("ftp://127.0.0.1:{port}/v1/x"), "expected `http` or `https`"),
        ("data:,x".to_owned(), "expected `http` or `https`"),
    ] {
        denied(get(&[&rule], &url), words);
    }
    let theirs = ["Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Trailer", "Upgrade", "Expect"];
    for header in theirs.into_iter().chain(["Proxy-Authorization", "proxy-connection", "Keep-Alive"]) {
        let request = with_headers(request("GET", &server.url("/v1/x")), &[(header, "x")]);
        denied(send(grant(&[&rule]), request), "is the host's to set");
    }
    assert_eq!(server.asked().len(), 0, "nobody was asked");
    // Other spellings of the same address are the same address.
    for spelling in
        ["127.1", "0x7f.0.0.1", "0x7f.1", "2130706433", "017700000001", "127.0.0.1", "127.0.0.1.", "１２７.1"]
    {
        let answer = get(&[&rule], &format!("http://{spelling}:{port}/v1/x"));
        assert_eq!(text(&answer.unwrap()), "hello", "{spelling}");
    }
}

#[test]
fn what_is_no_request_is_told() {
    for (method, url) in
        [("GET", "no url"), ("GET", "/x"), ("GET", "http://"), ("G T", LOCAL), ("", "http://127.0.0.1/")]
    {
        let answer = send(grant(&[LOCAL]), request(method, url));
        assert!(matches!(answer, Err(HttpFailure::Invalid(_))), "{method} {url}: {answer:?}");
    }
    for (name, value) in [("a b", "x"), ("", "x"), ("x", "a\r\nb: c"), ("x\r\ny", "x"), (":path", "/")] {
        let answer = send(grant(&[LOCAL]), with_headers(request("GET", "http://127.0.0.1/"), &[(name, value)]));
        assert!(matches!(&answer, Err(HttpFailure::Invalid(text)) if !text.contains('\r')), "{name}: {answer:?}");
    }
}

#[test]
fn addresses_that_are_not_public_are_reached_only_where_their_network_is_granted() {
    let server = Server::saying("200 OK", "", "hello");
    let port = server.address.port();
    let send_to = |host: &str, networks: Vec<Network>| {
        let grant = HttpGrant { networks, ..grant(&[&format!("* http://{host}:*/**")]) };
        send(grant, request("GET", &format!("http://{host}:{port}/?key=1")))
    };
    // As a name, which is resolved, and as addresses in several clothes.
    for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"] {
        denied(send_to(host, Vec::new()), "is loopback; to reach it, add its network, `");
    }
    for (host, class) in [(NOBODY, "for documentation"), ("240.0.0.1", "reserved"), ("0.0.0.0", "unspecified")] {
        denied(send_to(host, grant(&[]).networks), class);
    }
    assert_eq!(server.asked().len(), 0, "nobody was asked");
    assert_eq!(text(&send_to("localhost", grant(&[]).networks).unwrap()), "hello");
}

#[test]
fn a_redirect_is_a_request_of_its_own() {
    let end = Server::saying("200 OK", "", "the end");
    let hop = Server::leading("302 Found", end.url("/v1/end?token=1"));
    assert_eq!(text(&get(&[LOCAL], &hop.url("/")).unwrap()), "the end");
    // Not granted, another scheme, a private address, a user.
    let only_hop = format!("* http://{}/**", hop.address);
    let answer = get(&[&only_hop], &hop.url("/"));
    assert!(!format!("{answer:?}").contains("token"), "{answer:?}");
    denied(answer, "/v1/end` is not granted");
    for (to, words) in [
        (format!("http://{NOBODY}/latest"), "for documentation"),
        ("//240.0.0.1/".to_owned(), "reserved"),
        ("file:///etc/passwd".to_owned(), "expected `http` or `https`"),
        (format!("http://me:pass@{}/", end.address), "credentials are the host's"),
    ] {
        let allow = [LOCAL, "* http://192.0.2.1", "* http://240.0.0.1"];
        denied(get(&allow, &Server::leading("307 Temporary Redirect", to).url("/")), words);
    }
    // An address by name.
    let by_name = Server::leading("302 Found", format!("http://localhost:{}/", end.address.port()));
    let networks = vec![Network::parse("127.0.0.1").unwrap()];
    let named = HttpGrant { networks, ..grant(&[LOCAL, "* http://localhost:*"]) };
    assert_eq!(text(&send(named.clone(), request("GET", &by_name.url("/"))).unwrap()), "the end");
    denied(get(&[LOCAL], &by_name.url("/")), "is not granted");
    assert_eq!(end.asked().len(), 2);
    // What leads nowhere is an answer.
    for headers in ["", "Location: http://\r\n"] {
        let answer = get(&[LOCAL], &Server::saying("302 Found", headers, "x").url("/")).unwrap();
        assert_eq!((answer.status, text(&answer)), (302, "x"));
    }
    assert_eq!(get(&[LOCAL], &Server::leading("304 Not Modified", "/").url("/")).unwrap().status, 304);
}

#[test]
fn a_chain_of_redirects_has_an_end() {
    let chain = |hops: usize| {
        Server::start(move |head, stream| {
            let number: usize = head[5..head.find(" HTTP").unwrap()].parse().unwrap();
            match number < hops {
                true => say(stream, "302 Found", &format!("Location: /{}\r\n", number + 1), b""),
                false => say(stream, "200 OK", "", b"the end"),
            }
        })
    };
    let (five, six) = (chain(5), chain(6));
    assert_eq!(text(&get(&[LOCAL], &five.url("/0")).unwrap()), "the end");
    let answer = get(&[LOCAL], &six.url("/0"));
    assert!(matches!(&answer, Err(HttpFailure::Other(text)) if text.contains("more than 5 times")), "{answer:?}");
    assert_eq!(six.asked().len(), 6);
}

#[test]
fn method_and_body_become_over_redirects_what_browsers_make_of_them() {
    for (status, method, expected) in [
        ("301 Moved Permanently", "POST", "GET"),
        ("302 Found", "POST", "GET"),
        ("302 Found", "PUT", "PUT"),
        ("303 See Other", "POST", "GET"),
        ("303 See Other", "PUT", "GET"),
        ("303 See Other", "HEAD", "HEAD"),
        ("307 Temporary Redirect", "POST", "POST"),
        ("308 Permanent Redirect", "POST", "POST"),
    ] {
        let end = Server::saying("200 OK", "", "");
        let hop = Server::leading(status, end.url("/"));
        let with_body = HttpRequest { body: Some(b"body".to_vec()), ..request(method, &hop.url("/")) };
        send(grant(&[LOCAL]), with_headers(with_body, &[("Content-Type", "text/plain"), ("X-Mine", "1")])).unwrap();
        let head = end.asked()[0].clone();
        assert!(head.starts_with(&format!("{expected} / ")) && head.contains("x-mine: 1"), "{status}: {head}");
        let is_kept = expected == method;
        assert_eq!((head.contains("content-type"), head.contains("content-length: 4")), (is_kept, is_kept), "{head}");
    }
    // Becoming another method, it is another request.
    let ring = Server::leading("303 See Other", "/again");
    denied(send(grant(&["POST http://127.0.0.1:*"]), request("POST", &ring.url("/"))), "`GET http://127.0.0.1");
}

#[test]
fn a_credential_is_put_on_where_its_rule_says_and_is_in_nothing_the_guest_gets() {
    // Sends back all it was sent, in headers too.
    let echo = Server::start(|head, stream| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with("authorization:")).unwrap_or("none");
        let headers = format!("X-Echo: {line}\r\nSet-Cookie: a={line}; b\r\nSet-Cookie: plain=1\r\n");
        say(stream, "200 OK", &headers, head.as_bytes());
    });
    let (token, value) = secret();
    let rule = |path: &str| Rule::parse(&format!("* http://{}{path}", echo.address)).unwrap();
    let with = |credential: Credential| HttpGrant { credentials: vec![credential], ..grant(&[LOCAL]) };
    let bearer = with(Credential::bearer(rule("/v1/**"), token.clone()));
    assert!(!format!("{bearer:?}").contains(&value));
    let answer = send(bearer.clone(), request("GET", &echo.url("/v1/x"))).unwrap();
    assert!(echo.asked()[0].contains(&format!("authorization: Bearer {value}\r\n")), "{:?}", echo.asked());
    assert!(text(&answer).contains("authorization: Bearer ***\r\n"), "{answer:?}");
    let shown = format!("{:?} {}", answer.headers, text(&answer));
    assert!(!shown.contains(&value), "{shown}");
    let has = |name: &str, value: &str| answer.headers.contains(&(name.to_owned(), value.as_bytes().to_vec()));
    assert!(has("x-echo", "authorization: Bearer ***") && has("set-cookie", "plain=1"), "{answer:?}");
    // Elsewhere it is not put on, and where it is, a guest cannot set its header.
    send(bearer.clone(), request("GET", &echo.url("/other"))).unwrap();
    assert!(!echo.asked()[1].contains(&value));
    let mine = |path: &str| with_headers(request("GET", &echo.url(path)), &[("AUTHORIZATION", "mine")]);
    denied(send(bearer.clone(), mine("/v1/x")), "header `authorization`");
    assert!(text(&send(bearer, mine("/other")).unwrap()).contains("authorization: mine"));
    let basic = with(Credential::basic(rule(""), "me", token.clone()));
    assert!(text(&send(basic, request("GET", &echo.url("/"))).unwrap()).contains("authorization: Basic ***\r\n"));
    let key = with(Credential::header(rule(""), "X-Api-Key", token).unwrap());
    assert!(text(&send(key, request("GET", &echo.url("/"))).unwrap()).contains("x-api-key: ***\r\n"));
    assert!(echo.asked().last().unwrap().contains(&format!("x-api-key: {value}\r\n")));
}

#[test]
fn a_credential_goes_over_redirects_only_where_its_rule_says() {
    let (token, value) = secret();
    let end = Server::saying("200 OK", "", "the end");
    let hop = Server::leading("302 Found", end.url("/"));
    let with = |server: &Server, path: &str| {
        let rule = Rule::parse(&format!("* http://{}{path}", server.address)).unwrap();
        HttpGrant { credentials: vec![Credential::bearer(rule, token.clone())], ..grant(&[LOCAL]) }
    };
    let headers = [("Cookie", "a=b"), ("X-Mine", "1")];
    send(with(&hop, ""), with_headers(request("GET", &hop.url("/")), &headers)).unwrap();
    let (first, second) = (hop.asked()[0].clone(), end.asked()[0].clone());
    assert!(first.contains(&value) && first.contains("cookie: a=b"), "{first}");
    assert!(!second.contains(&value) && !second.contains("cookie") && second.contains("x-mine: 1"), "{second}");
    // The guest's own is for whom it was sent to; the host's, where it goes: at the second alone.
    let own = [("Authorization", "mine")];
    send(with(&end, ""), with_headers(request("GET", &hop.url("/")), &own)).unwrap();
    assert!(hop.asked()[1].contains("authorization: mine\r\n"));
    assert!(end.asked()[1].contains(&format!("authorization: Bearer {value}\r\n")));
    // On the same server: kept, unless the host's is due there.
    let same = Server::start(|head, stream| match head.starts_with("GET /a ") {
        true => say(stream, "302 Found", "Location: /v1/b\r\n", b""),
        false => say(stream, "200 OK", "", b"the end"),
    });
    send(grant(&[LOCAL]), with_headers(request("GET", &same.url("/a")), &own)).unwrap();
    assert!(same.asked()[1].contains("authorization: mine\r\n"));
    denied(send(with(&same, "/v1/**"), with_headers(request("GET", &same.url("/a")), &own)), "is the host's to set");
    assert_eq!(same.asked().len(), 3);
    send(with(&same, "/a"), request("GET", &same.url("/a"))).unwrap();
    assert!(same.asked()[3].contains(&value) && !same.asked()[4].contains(&value));
}

#[test]
fn a_server_that_leads_on_with_the_secret_in_the_address_does_not_show_it() {
    let (token, value) = secret();
    let thief = Server::start(|head, stream| {
        let line = head.lines().find(|line| line.starts_with("authorization: Bearer ")).unwrap();
        let secret = &line["authorization: Bearer ".len()..];
        let to = format!("Location: http://evil.example/{secret}/{}?{secret}\r\n", secret.replace('+', "%2B"));
        say(stream, "302 Found", &to, b"");
    });
    let credential = Credential::bearer(Rule::parse(LOCAL).unwrap(), token);
    let answer = send(HttpGrant { credentials: vec![credential], ..grant(&[LOCAL]) }, request("GET", &thief.url("/")));
    let shown = format!("{answer:?}");
    assert!(!shown.contains(&value) && !shown.contains(&value.replace('+', "%2B")), "{shown}");
    denied(answer, "`GET http://evil.example/***/");
}

#[test]
fn requests_and_answers_have_bounds() {
    let is_too_large = |answer: Result<HttpResponse, HttpFailure>, words: &str| {
        assert!(matches!(&answer, Err(HttpFailure::TooLarge(text)) if text.contains(words)), "{answer:?}");
    };
    let sized = |bytes: usize| Server::start(move |_, stream| say(stream, "200 OK", "", &vec![b'x'; bytes]));
    assert_eq!(get(&[LOCAL], &sized(1000).url("/")).unwrap().body.len(), 1000);
    is_too_large(get(&[LOCAL], &sized(1001).url("/")), "has more than 1000 bytes");
    // Without a length said before: in pieces, and until the end of the connection.
    let endless = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while stream.write_all(b"64\r\n").and_then(|()| stream.write_all(&[b'x'; 100])).is_ok() {
            let _ = stream.write_all(b"\r\n");
        }
    });
    let to_the_end = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 100]).is_ok() {}
    });
    is_too_large(get(&[LOCAL], &endless.url("/?key=1")), "has more than 1000 bytes");
    is_too_large(get(&[LOCAL], &to_the_end.url("/")), "has more than 1000 bytes");
    // The length is that of a body that does not come.
    let head = Server::start(|_, stream| drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n")));
    assert_eq!(send(grant(&[LOCAL]), request("HEAD", &head.url("/"))).unwrap().body, b"");
    // Headers: too many, too large, and so large that the library gives up.
    let many = Server::saying("200 OK", "x: 1\r\n".repeat(101), "");
    is_too_large(get(&[LOCAL], &many.url("/")), "too large");
    for bytes in [66_000, 1_000_000] {
        let large = Server::saying("200 OK", format!("x: {}\r\n", "x".repeat(bytes)), "");
        is_too_large(get(&[LOCAL], &large.url("/")), "");
    }
    let nobody = "http://127.0.0.1:1/";
    let post = |body: usize| HttpRequest { body: Some(vec![0; body]), ..request("POST", nobody) };
    is_too_large(send(grant(&[LOCAL]), post(1001)), "a body of 1001 bytes, the limit is 1000");
    assert!(matches!(send(grant(&[LOCAL]), post(1000)), Err(HttpFailure::Unreachable(_))));
    is_too_large(get(&[LOCAL], &format!("{nobody}{}", "x".repeat(8 << 10))), "a URL of");
    let large = "x".repeat(64 << 10);
    is_too_large(send(grant(&[LOCAL]), with_headers(request("GET", nobody), &[("x", &large)])), "1 headers of 65537");
    is_too_large(send(grant(&[LOCAL]), with_headers(request("GET", nobody), &[("x", "1"); 101])), "101 headers");
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_as_long_as_was_said() {
    let silent = Server::start(|_, stream| stall(stream));
    let half_a_head = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ");
        stall(stream);
    });
    let half_a_body = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx");
        stall(stream);
    });
    let behind = Server::leading("302 Found", half_a_body.url("/"));
    for server in [&silent, &half_a_head, &half_a_body, &behind] {
        let over = Err(HttpFailure::Timeout("no answer within 300 ms".to_owned()));
        assert_eq!(send(grant(&[LOCAL]), HttpRequest { timeout: MOMENT, ..request("GET", &server.url("/")) }), over);
        // The grant's time is the longest.
        let short = HttpGrant { max_timeout: MOMENT, ..grant(&[LOCAL]) };
        assert_eq!(send(short, HttpRequest { timeout: Duration::MAX, ..request("GET", &server.url("/")) }), over);
    }
}

#[test]
fn a_connection_that_breaks_is_no_answer() {
    let gone = Server::start(|_, _| {});
    let cut = Server::start(|_, stream| drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")));
    let cut_piece = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    });
    let odd = Server::start(|_, stream| drop(stream.write_all(b"SSH-2.0-OpenSSH\r\n")));
    for server in [&gone, &cut, &cut_piece, &odd] {
        // What is not read of a request when its connection is closed makes that a reset.
        let body = Some(vec![0; 1000]);
        let answer = send(grant(&[LOCAL]), HttpRequest { body, ..request("POST", &server.url("/?key=1")) });
        assert!(matches!(&answer, Err(HttpFailure::Unreachable(text)) if !text.contains("key")), "{answer:?}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("http://{nobody}/?key=1"), "http://no-such-name.invalid/?key=1".to_owned()] {
        let answer = get(&[LOCAL, "* http://no-such-name.invalid"], &url);
        assert!(matches!(&answer, Err(HttpFailure::Unreachable(text)) if !text.contains("key")), "{answer:?}");
    }
}

#[test]
fn many_threads_ask_at_once() {
    let server = Server::start(|head, stream| {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        say(stream, "200 OK", "", path.as_bytes());
    });
    let web = Web::new(grant(&[LOCAL]), runtime().handle().clone()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (web, server) = (&web, &server);
            scope.spawn(move || {
                // As guests' threads are: within a small runtime of their own.
                let own = tokio::runtime::Builder::new_current_thread().build().unwrap();
                own.block_on(async {
                    for number in 0..20 {
                        let path = format!("/{thread}/{number}");
                        assert_eq!(text(&web.send(request("GET", &server.url(&path))).unwrap()), path);
                    }
                });
            });
        }
    });
    assert_eq!(server.asked().len(), 320);
}

#[test]
fn a_host_that_ends_says_so() {
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let web = Web::new(grant(&[LOCAL]), other.handle().clone()).unwrap();
    drop(other);
    let answer = web.send(request("GET", "http://127.0.0.1:1/"));
    assert!(matches!(&answer, Err(HttpFailure::Other(text)) if text.contains("host is ending")), "{answer:?}");
}

/// A server with TLS for `localhost` that speaks what it is told to; its address, and what it was sent first.
fn secured(protocols: &[&str]) -> (SocketAddr, Arc<Mutex<Vec<String>>>, PathBuf, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let pem = dir.path().join("ca.pem");
    std::fs::write(&pem, issuer.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&asked);
    runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that refuses the certificate ends its connection, and nothing else.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut first = [0; 16];
            let _ = stream.read_exact(&mut first).await;
            seen.lock().unwrap().push(String::from_utf8_lossy(&first).into_owned());
            let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nsecure";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, asked, pem, dir)
}

#[test]
fn who_answers_with_tls_must_be_who_was_asked() {
    let (address, asked, pem, dir) = secured(&["http/1.1"]);
    let allow = ["* https://localhost:*", "* https://127.0.0.1:*"];
    let url = |host: &str| format!("https://{host}:{}/", address.port());
    let trusting = HttpGrant { ca_file: Some(pem), ..grant(&allow) };
    assert_eq!(text(&send(trusting.clone(), request("GET", &url("localhost"))).unwrap()), "secure");
    // Signed by whom nobody knows; for another name.
    for (grant, host) in [(grant(&allow), "localhost"), (trusting.clone(), "127.0.0.1")] {
        let answer = send(grant, request("GET", &url(host)));
        assert!(matches!(&answer, Err(HttpFailure::Unreachable(text)) if text.contains("certificate")), "{answer:?}");
    }
    assert_eq!(*asked.lock().unwrap(), ["GET / HTTP/1.1\r\n"]);
    // A server that would rather speak HTTP/2 is spoken to so.
    let (address, asked, pem, _dir) = secured(&["h2", "http/1.1"]);
    let both = HttpGrant { ca_file: Some(pem), ..grant(&allow) };
    let answer = send(both, request("GET", &format!("https://localhost:{}/", address.port())));
    assert!(matches!(&answer, Err(HttpFailure::Unreachable(_))), "it does not speak it: {answer:?}");
    assert_eq!(*asked.lock().unwrap(), ["PRI * HTTP/2.0\r\n"]);
    // A file that holds no certificate.
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for path in [empty, dir.path().join("none.pem")] {
        let error = Web::new(HttpGrant { ca_file: Some(path), ..grant(&allow) }, runtime().handle().clone()).err();
        assert!(error.unwrap().to_string().starts_with("option `http.tls.ca.file`: `"));
    }
}
