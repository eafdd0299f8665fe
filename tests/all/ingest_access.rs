//! Who is served by an ingestion's endpoint, and how: passwords, tokens, TLS. What is wrong with their
//! configuration is in `ingest_config.rs`.

use rcgen::{CertificateParams, KeyPair};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use tests::ingest::{Answer, Client, Druid, Ingestion, change_file};
use tests::spool::{WITHIN, write_secret};
use tests::wait_until;
use tests::worker::{Connector, Running};

const PASSWORD: &str = "p:ss ü\"";

/// A secret in a file.
pub(crate) fn secret(ingestion: &Ingestion, name: &str, text: &str) -> String {
    let path = ingestion.dir.path().join(name);
    write_secret(&path, text);
    format!("file:{}", path.display())
}

pub(crate) fn with_basic(ingestion: &Ingestion) -> Connector {
    ingestion.served().set("access.username", "druid").set("access.password", secret(ingestion, "basic", PASSWORD))
}

fn with_token(ingestion: &Ingestion, ingest: Connector) -> Connector {
    ingest.set("access.token", secret(ingestion, "token", "t0ken.-_~+/="))
}

fn wait_healthy(client: &Client) {
    wait_until("the data set to be read", WITHIN, || client.get("/health").status == 200);
}

/// Everything that is served, and what is not.
fn paths(running: &Running, let_in: &Client) -> Vec<String> {
    let listed = let_in.get("/batches").expect(200).json();
    let name = listed["batches"][0]["name"].as_str().unwrap().to_owned();
    assert!(running.status(tests::ingest::INGEST).state.name() == "RUNNING");
    [
        "/".to_owned(),
        "/batches".to_owned(),
        format!("/batches/{name}"),
        format!("/batches/{name}.gz"),
        "/batches/none".to_owned(),
    ]
    .into()
}

fn assert_kept_out(answer: &Answer) {
    assert_eq!((answer.status, answer.end), (401, tests::ingest::End::Whole));
    assert!(answer.header("www-authenticate").unwrap().starts_with("Basic realm=\""));
    assert!(answer.body.len() < 200 && !answer.text().contains("wikipedia"), "{}", answer.text());
}

#[test]
fn only_who_is_named_is_served() {
    let ingestion = Ingestion::with_edits(0..50);
    ingestion.publish(ingestion.to_data_set());
    let bearer = |client: Client, token: &str| client.with("Authorization", &format!("Bearer {token}"));
    let check = |ingest: Connector, right: &[fn(Client) -> Client]| {
        let running = ingestion.start(ingest);
        let client = || Client::new(&running.endpoint());
        wait_healthy(&client());
        let paths = paths(&running, &right[0](client()));
        let wrong = [
            client(),
            client().basic("druid", "wrong"),
            client().basic("druid", ""),
            client().basic("root", PASSWORD),
            client().basic("", PASSWORD),
            client().with("Authorization", "Basic"),
            client().with("Authorization", "Basic !!!"),
            client().with("Authorization", &format!("Digest {PASSWORD}").replace('ü', "u")),
            bearer(client(), "wrong"),
            bearer(client(), ""),
            bearer(client(), "t0ken.-_~+/=x"),
        ];
        for path in &paths {
            for wrong in &wrong {
                assert_kept_out(&wrong.get(path));
                assert_kept_out(&wrong.range(path, "0-"));
                let head = wrong.open("HEAD", path, &[], b"").answer();
                assert_eq!((head.status, head.header("content-range"), head.header("etag")), (401, None, None));
            }
            for right in right {
                let answer = right(client()).get(path);
                assert_eq!(answer.status, if path.ends_with("none") { 404 } else { 200 });
            }
        }
        client().get("/health").expect(200);
        running.end();
    };
    let basic: fn(Client) -> Client = |client| client.basic("druid", PASSWORD);
    let token: fn(Client) -> Client = |client| client.with("authorization", "bearer t0ken.-_~+/=");
    check(with_basic(&ingestion), &[basic]);
    check(with_token(&ingestion, ingestion.served()), &[token]);
    check(with_token(&ingestion, with_basic(&ingestion)), &[basic, token]);
}

#[test]
fn everyone_is_served_on_loopback_where_nobody_is_named() {
    let ingestion = Ingestion::with_edits(0..50);
    ingestion.publish(ingestion.to_data_set());
    let running = ingestion.start(ingestion.served());
    let client = Client::new(&running.endpoint());
    assert!(client.addr().ip().is_loopback());
    wait_healthy(&client);
    client.get("/").expect(200);
    client.basic("who", "ever").get("/").expect(200);
}

#[test]
fn a_name_from_elsewhere_leads_nowhere_where_nobody_is_asked() {
    let ingestion = Ingestion::with_edits(0..50);
    ingestion.publish(ingestion.to_data_set());
    let running = ingestion.start(ingestion.served());
    let client = || Client::new(&running.endpoint());
    wait_healthy(&client());
    for own in ["localhost", "localhost:9500", "127.0.0.1", "[::1]:9500", "[::1]", "192.0.2.1"] {
        client().called(own).get("/").expect(200);
    }
    // A browser that was led here by a page of that name does not read for it.
    for other in ["rebound.example", "rebound.example:9500", "127.0.0.1.example", ""] {
        for path in paths(&running, &client()) {
            let answer = client().called(other).get(&path);
            assert!(matches!(answer.status, 400 | 421), "{other}: {path}: {}", answer.status);
            assert!(!answer.text().contains("wikipedia"));
        }
    }
    running.end();
    // Who says who he is may come by any name.
    let running = ingestion.start(with_basic(&ingestion));
    let client = Client::new(&running.endpoint()).called("ingest.example:9500");
    wait_healthy(&client);
    client.basic("druid", PASSWORD).get("/").expect(200);
}

/// A certificate for 127.0.0.1 and its key, as PEM files.
pub(crate) fn certificate(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (certificate, private) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key.pem")));
    std::fs::write(&certificate, made.pem()).unwrap();
    std::fs::write(&private, key.serialize_pem()).unwrap();
    (certificate, private)
}

#[test]
fn batches_travel_by_tls_where_that_is_asked_for() {
    let ingestion = Ingestion::with_edits(0..150);
    ingestion.publish(ingestion.to_data_set());
    let (certificate, key) = certificate(ingestion.dir.path(), "tls");
    let ingest = with_basic(&ingestion).set("tls.certificate.file", certificate.display());
    let running = ingestion.start(ingest.set("tls.key.file", key.display()));
    assert!(running.endpoint().starts_with("https://127.0.0.1:"), "{}", running.endpoint());
    let client = Client::new(&running.endpoint()).trusting(&certificate);
    wait_healthy(&client);
    assert_kept_out(&client.get("/"));
    let client = client.basic("druid", PASSWORD);
    let all = client.get("/").expect(200);
    let rows = tests::ingest::rows_in(running.log()).0;
    assert_eq!(all.text().lines().collect::<Vec<_>>(), rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>());
    let paths = paths(&running, &client);
    let (whole, part) = (client.get(&paths[2]).expect(200).body, client.range(&paths[2], "100-").expect(206).body);
    assert_eq!(part, whole[100..]);
    // Without TLS nothing is said.
    let mut plain = std::net::TcpStream::connect(client.addr()).unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    // Damage breaks it too.
    change_file(&ingestion.files()[1], |bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    });
    let broken = client.get("/");
    assert!(broken.end != tests::ingest::End::Whole || broken.status == 500, "{} {:?}", broken.status, broken.end);
}

#[test]
fn a_druid_behind_tls_is_known_by_its_authority() {
    let ingestion = Ingestion::into(Druid::start(|_| {}));
    ingestion.fill(0..50);
    let authority = crate::tls::Authority::new(ingestion.dir.path());
    let url = format!("https://{}", authority.proxy(ingestion.druid.addr()));
    let running =
        ingestion.start(ingestion.ingest().set("druid.url", &url).set("druid.tls.ca.file", authority.pem.display()));
    ingestion.check_loaded(running.log());
    running.end();
    // Without it, it is nobody.
    ingestion.fill(50..100);
    let before = ingestion.druid.stats().requests;
    let running = ingestion.start(ingestion.ingest().set("druid.url", &url));
    let status = running.wait(tests::ingest::INGEST, "trouble", WITHIN, |status| status.counts.trouble.is_some());
    assert!(status.counts.trouble.unwrap().to_lowercase().contains("certificate"));
    assert_eq!(ingestion.druid.stats().requests, before);
    let stages: BTreeSet<_> = [running.status(tests::ingest::INGEST).state.name()].into();
    assert_eq!(stages, BTreeSet::from(["RUNNING"]));
}
