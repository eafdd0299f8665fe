//! What can only be seen from inside: which names are asked for, and what is made of their addresses.

use super::credentials::{Credentials, Masks};
use super::names::{LookUp, Names};
use super::*;
use crate::ports::http::{Credential, Network, Rule, Target};
use crate::secret::Secret;
use proptest::prelude::*;
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock};
use tokio::runtime::Runtime;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

/// Gives the answers one after another, then none; keeps what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Names for Script {
    fn look_up(&self, name: String) -> LookUp {
        self.asked.lock().unwrap().push(name);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.is_empty() { Vec::new() } else { answers.remove(0) };
        Box::pin(async move { Ok(answer) })
    }
}

fn script(answers: &[&[&str]]) -> Arc<Script> {
    let read = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
    Arc::new(Script { answers: Mutex::new(answers.iter().map(read).collect()), asked: Mutex::default() })
}

fn grant(allow: &[&str], networks: &[&str]) -> HttpGrant {
    HttpGrant {
        allow: allow.iter().map(|rule| Rule::parse(rule).unwrap()).collect(),
        networks: networks.iter().map(|network| Network::parse(network).unwrap()).collect(),
        credentials: Vec::new(),
        max_response_bytes: 1000,
        max_request_bytes: 1000,
        max_timeout: Duration::from_secs(20),
        ca_file: None,
    }
}

fn get(url: &str) -> HttpRequest {
    let timeout = Duration::from_secs(20);
    HttpRequest { method: "GET".to_owned(), url: url.to_owned(), headers: Vec::new(), body: None, timeout }
}

fn secret(value: &str) -> Secret {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, format!("{value}\n")).unwrap();
    Secret::resolve("test", &format!("file:{}", path.display())).unwrap()
}

fn answer_once(listener: std::net::TcpListener) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
            head.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi").unwrap();
    })
}

#[test]
fn a_names_addresses_are_looked_at_each_time_and_only_good_ones_are_dialled() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Of nobody, so that a broken check reaches nobody. The first answer has one granted address among others, the second none: the name was bound anew.
    let names = script(&[&["192.0.2.1", "240.0.0.1", "127.0.0.1", "::1"], &["192.0.2.1"], &["::ffff:240.0.0.1"]]);
    let web = Web::with_names(
        grant(&["* http://example.org:*"], &["127.0.0.0/8"]),
        runtime().handle().clone(),
        Arc::clone(&names) as Arc<dyn Names>,
    );
    let web = web.unwrap();
    let server = answer_once(listener);
    let url = format!("http://example.org:{port}/a?key=1");
    assert_eq!(web.send(get(&url)).unwrap().body, b"hi");
    server.join().unwrap();
    for (class, network) in [("for documentation", "192.0.2.0/24"), ("reserved", "240.0.0.0/4")] {
        let text = format!(
            "the address of `http://example.org:{port}/a` is {class}; to reach it, add its network, `{network}`, to the \
             connector's `http.networks`"
        );
        assert_eq!(web.send(get(&url)), Err(HttpFailure::Denied(text)));
    }
    // A name without addresses is nobody's fault.
    assert!(matches!(web.send(get(&url)), Err(HttpFailure::Unreachable(text)) if !text.contains("key")));
    assert_eq!(*names.asked.lock().unwrap(), vec!["example.org"; 4]);
}

/// What URLs are put together of, to be read in two ways.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "http://",
        "https://",
        "http:",
        "HTTP://",
        "//",
        "/",
        "\\",
        "@",
        ":",
        ":80",
        ":443",
        "?",
        "#",
        ".",
        "..",
        "%2e",
        "%2f",
        "%40",
        "%00",
        "%09",
        "\t",
        "\n",
        " ",
        "user",
        "user:pass",
        "good.example",
        "GOOD.EXAMPLE",
        "good.example.",
        "good。example",
        "ｇood.example",
        "gööd.example",
        "evil.example",
        "www.good.example",
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "v1",
        "v2",
        ";",
        "&",
        "=",
        "*",
    ]);
    prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

fn is_sent_to_the_rules_host(url: &str) -> Result<(), TestCaseError> {
    let names = script(&[]);
    let grant = grant(&["GET http://good.example/v1/**", "GET https://*.good.example"], &["0.0.0.0/0", "::/0"]);
    let web = Web::with_names(grant, runtime().handle().clone(), Arc::clone(&names) as Arc<dyn Names>).unwrap();
    let answer = web.send(get(url));
    let asked = names.asked.lock().unwrap().clone();
    // The library asks for the name that it is about to dial, so that no other reading of the URL matters.
    match answer {
        Err(HttpFailure::Unreachable(_)) => {
            let parsed = reqwest::Url::parse(url).unwrap();
            prop_assert_eq!(asked, vec![parsed.host_str().unwrap().to_owned()], "{}", url);
            let is_first = parsed.scheme() == "http" && parsed.host_str() == Some("good.example");
            let is_second = parsed.scheme() == "https" && parsed.host_str().unwrap().ends_with(".good.example");
            prop_assert!(parsed.port().is_none(), "{}", url);
            prop_assert!(is_first && parsed.path().starts_with("/v1/") || is_second, "{}", url);
            prop_assert!(parsed.username().is_empty() && parsed.password().is_none(), "{}", url);
        }
        Err(HttpFailure::Denied(_) | HttpFailure::Invalid(_)) => {
            prop_assert!(asked.is_empty(), "{} is refused, and {:?} was asked for", url, asked);
        }
        other => prop_assert!(false, "{}: {:?}", url, other),
    }
    Ok(())
}

#[test]
fn urls_that_are_read_in_two_ways_go_to_the_rules_host_or_nowhere() {
    for url in [
        "http://good.example/v1/x",
        "http:good.example/v1/x",
        "http:\\\\good.example\\v1\\x",
        "http://good.example\\@evil.example/v1/",
        "http://good.example@evil.example/v1/",
        "http://evil.example#@good.example/v1/",
        "http://evil.example?@good.example/v1/",
        "http://good.example:80@evil.example/v1/",
        "http://good.example%2f@evil.example/v1/",
        "http://good.example%00.evil.example/v1/",
        "http://good.exam\tple/v1/x",
        "http://good.example/v1/../v2",
        "http://good.example/v1/%2e%2E/v2",
        "http://good.example//v1/x",
        "http://ｇood.example/v1/x",
        "https://www.good.example",
        "https://www.good.example./",
        "https://good.example/",
        "http://127.0.0.1/v1/",
        "http://0x7f.1/v1/",
        "file://good.example/v1/",
    ] {
        is_sent_to_the_rules_host(url).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn what_is_sent_goes_to_the_rules_host(middle in pieces(), end in pieces()) {
        is_sent_to_the_rules_host(&middle)?;
        is_sent_to_the_rules_host(&format!("http://good.example{middle}"))?;
        is_sent_to_the_rules_host(&format!("http://{middle}good.example/v1/{end}"))?;
        is_sent_to_the_rules_host(&format!("https://www{middle}.good.example{end}"))?;
    }
}

fn target(path: &str) -> Target<'_> {
    Target { method: "GET", scheme: "https", host: "example.org", port: 443, path }
}

#[test]
fn of_several_credentials_for_a_header_the_first_is_taken() {
    let rule = |path: &str| Rule::parse(&format!("GET https://example.org{path}")).unwrap();
    let credentials = Credentials::new(&[
        Credential::bearer(rule("/v1/**"), secret("first")),
        Credential::basic(rule("/**"), "me", secret("second")),
        Credential::header(rule("/**"), "X-Key", secret("third")).unwrap(),
    ]);
    let credentials = credentials.unwrap();
    let check = |path: &str, expected: &[(&str, &str)]| {
        let found: Vec<_> = credentials.of(&target(path)).into_iter().map(|one| (&one.name, &one.value)).collect();
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(found, expected, "{path}");
    };
    check("/v1/x", &[("authorization", "Bearer first"), ("x-key", "third")]);
    check("/v2/x", &[("authorization", "Basic bWU6c2Vjb25k"), ("x-key", "third")]);
    assert!(format!("{:?}", credentials.of(&target("/v1/x"))[0].value).contains("Sensitive"));
    let broken = Credentials::new(&[Credential::bearer(rule("/**"), secret("two\nlines"))]);
    let error = broken.err().unwrap();
    assert!(error.to_string().contains("cannot be sent in a header") && !error.to_string().contains("two"), "{error}");
}

#[test]
fn secrets_are_masked_however_often_and_nothing_else_is() {
    let rule = Rule::parse("GET https://example.org").unwrap();
    let check = |secrets: &[&str], text: &str, expected: &str| {
        let credentials: Vec<_> =
            secrets.iter().map(|value| Credential::basic(rule.clone(), "me", secret(value))).collect();
        let mut masks = Masks::default();
        for credential in &credentials {
            let one = Credentials::new(std::slice::from_ref(credential)).unwrap();
            one.of(&target("/")).into_iter().for_each(|one| masks.add(one));
        }
        assert_eq!(masks.over_text(text.to_owned()), expected);
        assert_eq!(masks.over(text.as_bytes().to_vec()), expected.as_bytes());
    };
    check(&[], "nothing", "nothing");
    check(&["hunter2"], "hunter2, hunter2hunter2 and hunter", "***, ****** and hunter");
    check(&["hunter2"], "Basic bWU6aHVudGVyMg==!", "Basic ***!");
    check(&["a/b+c=d"], "a/b+c=d a%2Fb%2Bc%3Dd", "*** ***");
    // Too short to be told from any other text.
    check(&["abcde"], "abcde", "abcde");
    // One within another.
    check(&["hunter2", "hunter2-long"], "hunter2-long hunter2-", "*** ***-");
    let much = "hunter2".repeat(100_000);
    check(&["hunter2"], &much, &"***".repeat(100_000));
}
