//! What no sound registry does, and tokens; a sound one is in the suite against a real registry.

mod stub;

use super::*;
use crate::error::ErrorClass;
use std::net::SocketAddr;
use std::time::Instant;
use stub::{Answer, Asked, Stub};
use tokio::runtime::Runtime;

const PASSWORD: &str = "hunter2";
/// `me:hunter2`
const BASIC: &str = "Basic bWU6aHVudGVyMg==";
const TOKEN: &str = "granted-token";
/// Where nobody listens; a free port could be given to another test.
const NOBODY: &str = "127.0.0.1:1";
const COMPONENT: &[u8] = b"\0asm and so on";
const SHORT: Patience =
    Patience { dial: Duration::from_secs(5), silence: Duration::from_millis(300), whole: Duration::from_secs(30) };

fn runtime() -> Runtime {
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    Runtime::new().unwrap()
}

fn me() -> Access {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, PASSWORD).unwrap();
    let password = Secret::resolve("password", &format!("file:{}", path.display())).unwrap();
    Access { username: Some("me".to_owned()), password: Some(password), ..Access::default() }
}

fn reference(address: SocketAddr) -> Reference {
    Reference::parse(&format!("{address}/team/x:1")).unwrap()
}

fn pull_from(stub: &Stub, access: &Access) -> Result<Pulled> {
    pull_within(SHORT, runtime().handle(), &reference(stub.address), access, 1000)
}

fn push_to(stub: &Stub, access: &Access) -> Result<Pushed> {
    let description = Description { title: "x", ..Description::default() };
    push(runtime().handle(), &reference(stub.address), access, COMPONENT.to_vec(), &description)
}

fn manifest_of(layers: &[OciDescriptor], config_type: &str) -> Vec<u8> {
    let config = descriptor(config_type, b"{}").unwrap();
    serde_json::to_vec(&OciImageManifest { config, layers: layers.to_vec(), ..OciImageManifest::default() }).unwrap()
}

fn manifest() -> Vec<u8> {
    manifest_of(&[descriptor(LAYER_TYPE, COMPONENT).unwrap()], CONFIG_TYPE)
}

fn body(bytes: impl Into<Vec<u8>>) -> Answer {
    Answer::Whole(200, Vec::new(), bytes.into())
}

fn status(status: u16) -> Answer {
    Answer::Whole(status, Vec::new(), Vec::new())
}

/// A registry with one artifact, whose layer is answered with `layer`.
fn with_layer(manifest: Vec<u8>, layer: fn() -> Answer) -> Stub {
    Stub::start(move |asked, _| match asked.line.as_str() {
        "GET /v2/" => body(""),
        line if line.starts_with("GET /v2/team/x/manifests/") => body(manifest.clone()),
        line if line.starts_with("GET /v2/team/x/blobs/") => layer(),
        _ => status(404),
    })
}

/// A registry that wants a token, which it grants to [`me`].
fn with_token(asked: &Asked, address: SocketAddr) -> Answer {
    let is_granted = asked.authorization == format!("Bearer {TOKEN}");
    match asked.line.as_str() {
        line if line.starts_with("GET /token?") => {
            if asked.authorization == BASIC {
                body(format!("{{\"token\":\"{TOKEN}\"}}"))
            } else {
                status(401)
            }
        }
        _ if !is_granted => {
            let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"stub\"");
            Answer::Whole(401, vec![("WWW-Authenticate", challenge)], Vec::new())
        }
        "GET /v2/team/x/manifests/1" => body(manifest()),
        line if line.starts_with("GET /v2/team/x/blobs/") => body(COMPONENT),
        line if line.starts_with("POST ") => Answer::Whole(202, vec![("Location", "/upload/1".to_owned())], Vec::new()),
        line if line.starts_with("PATCH ") => {
            Answer::Whole(202, vec![("Location", "/upload/2".to_owned())], Vec::new())
        }
        line if line.starts_with("PUT ") => Answer::Whole(201, vec![("Location", "/done".to_owned())], Vec::new()),
        _ => status(404),
    }
}

#[test]
fn a_token_is_asked_for_what_is_done() {
    let stub = Stub::start(with_token);
    assert_eq!(pull_from(&stub, &me()).unwrap().bytes, COMPONENT);
    push_to(&stub, &me()).unwrap();
    let asked = stub.asked();
    let tokens: Vec<_> = asked.iter().filter(|asked| asked.line.starts_with("GET /token?")).collect();
    assert_eq!(tokens.len(), 2, "{tokens:?}");
    for (token, actions) in tokens.iter().zip(["pull", "pull%2Cpush"]) {
        assert_eq!(token.line, format!("GET /token?scope=repository%3Ateam%2Fx%3A{actions}&service=stub"));
    }
    // The password is for the one who grants tokens alone.
    let with_password = asked.iter().filter(|asked| asked.authorization == BASIC).count();
    assert_eq!(with_password, tokens.len());
}

#[test]
fn who_gets_no_token_is_told_so() {
    let stub = Stub::start(with_token);
    let other = Access { username: Some("other".to_owned()), ..me() };
    for (access, reason) in [(Access::default(), "wants a user name and a password"), (other, "refuses this user name")]
    {
        for error in [pull_from(&stub, &access).unwrap_err(), push_to(&stub, &access).unwrap_err()] {
            assert_eq!(error.class(), ErrorClass::Config);
            assert!(error.to_string().contains(reason), "{error}");
            assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
        }
    }
    let stub = Stub::start(|_, _| {
        let challenge = format!("Bearer realm=\"http://{NOBODY}/token\"");
        Answer::Whole(401, vec![("WWW-Authenticate", challenge)], Vec::new())
    });
    assert_eq!(pull_from(&stub, &me()).unwrap_err().class(), ErrorClass::Retry);
}

#[test]
fn an_upload_that_is_sent_elsewhere_goes_without_password() {
    let other = Stub::start(|asked, _| {
        let status = if asked.line.starts_with("PUT ") { 201 } else { 202 };
        Answer::Whole(status, vec![("Location", "/done".to_owned())], Vec::new())
    });
    let elsewhere = format!("http://{}/upload", other.address);
    let stub = Stub::start(move |asked, _| match asked.line.split_once(' ') {
        _ if asked.authorization != BASIC => {
            Answer::Whole(401, vec![("WWW-Authenticate", "Basic realm=\"stub\"".to_owned())], Vec::new())
        }
        Some(("POST", _)) => Answer::Whole(202, vec![("Location", elsewhere.clone())], Vec::new()),
        Some(("PUT", _)) => Answer::Whole(201, vec![("Location", "/done".to_owned())], Vec::new()),
        _ => body(""),
    });
    // The other's relative address leads back to the registry, where the rest of the upload goes.
    push_to(&stub, &me()).unwrap();
    let asked = other.asked();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.authorization.is_empty()), "{asked:?}");
}

#[test]
fn an_altered_answer_is_refused_with_both_digests() {
    let found = |digest: &str, expected: &str| format!("what the registry sends is `{digest}`, expected `{expected}`");
    let stub = with_layer(manifest(), || body(&b"\0asm and so up"[..]));
    let error = pull_from(&stub, &Access::default()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    assert!(error.to_string().ends_with(&found(&digest(b"\0asm and so up"), &digest(COMPONENT))), "{error}");

    let pinned = digest(b"another manifest");
    let reference = reference(stub.address).pinned(&pinned);
    let error = pull_within(SHORT, runtime().handle(), &reference, &Access::default(), 1000).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    assert!(error.to_string().ends_with(&found(&digest(&manifest()), &pinned)), "{error}");
}

#[test]
fn a_layer_is_what_its_manifest_says_or_nothing() {
    for (answer, class, reason) in [
        ((|| Answer::Cut(b"\0asm".to_vec(), COMPONENT.len())) as fn() -> Answer, ErrorClass::Retry, "end of file"),
        (|| body([COMPONENT, b"!"].concat()), ErrorClass::Config, "more than 14 bytes"),
        (|| body(&b"\0asm"[..]), ErrorClass::Config, "what the registry sends is"),
        (|| status(404), ErrorClass::Config, "not found"),
        (|| Answer::Silence, ErrorClass::Retry, "timed out"),
    ] {
        let error = pull_from(&with_layer(manifest(), answer), &Access::default()).unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(error.to_string().contains(&format!("layer `{}`: ", digest(COMPONENT))), "{error}");
    }
}

#[test]
fn other_addresses_of_a_layer_are_not_asked() {
    let other = Stub::start(|_, _| body(COMPONENT));
    let urls = Some(vec![format!("http://{}/layer", other.address)]);
    let layer = OciDescriptor { urls, ..descriptor(LAYER_TYPE, COMPONENT).unwrap() };
    let stub = with_layer(manifest_of(&[layer], CONFIG_TYPE), || status(404));
    assert!(pull_from(&stub, &Access::default()).unwrap_err().to_string().ends_with("not found"));
    assert!(other.asked().is_empty());
}

#[test]
fn what_a_manifest_is_is_told() {
    let layer = descriptor(LAYER_TYPE, COMPONENT).unwrap();
    let sized = |size| OciDescriptor { size, ..layer.clone() };
    let tar = OciDescriptor { media_type: "application/x-tar".to_owned(), ..layer.clone() };
    let long = format!("{}\n", "x".repeat(1000));
    for (manifest, found) in [
        (b"<html>".to_vec(), "no JSON"),
        (b"{}".to_vec(), "no manifest: missing field"),
        (
            br#"{"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json"}"#.to_vec(),
            "a `application/vnd.docker",
        ),
        (manifest_of(&[], CONFIG_TYPE), "0 layers, expected one"),
        (manifest_of(&[layer.clone(), layer.clone()], CONFIG_TYPE), "2 layers, expected one"),
        (manifest_of(std::slice::from_ref(&layer), &long), "xxx`, expected `application/vnd.wasm"),
        (manifest_of(&[tar], CONFIG_TYPE), "its layer is `application/x-tar`, expected `application/wasm`"),
        (manifest_of(&[sized(1001)], CONFIG_TYPE), "has 1001 bytes, expected at most 1000"),
        (manifest_of(&[sized(-1)], CONFIG_TYPE), "has -1 bytes, expected at most 1000"),
    ] {
        let error = pull_from(&with_layer(manifest, || body(COMPONENT)), &Access::default()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Config);
        assert!(error.to_string().contains(found) && error.to_string().len() < 600, "{found}: {error}");
    }
}

#[test]
fn an_answer_has_a_class() {
    let denied = br#"{"errors":[{"code":"DENIED","message":"no"}]}"#;
    let full = br#"{"errors":[{"code":"SIZE_INVALID","message":"too\nlarge"}]}"#;
    let busy = br#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#;
    for (status, answer, class, reason) in [
        (401, &b""[..], ErrorClass::Config, "wants a user name"),
        (403, b"", ErrorClass::Config, "wants a user name"),
        (403, denied, ErrorClass::Config, "wants a user name"),
        (404, b"", ErrorClass::Config, "not found"),
        (400, full, ErrorClass::Config, r"too\nlarge"),
        (418, b"", ErrorClass::Config, "status 418"),
        (429, busy, ErrorClass::Retry, "the registry refuses"),
        (429, b"", ErrorClass::Retry, "status 429"),
        (503, b"", ErrorClass::Retry, "status 503"),
    ] {
        let stub = Stub::start(move |_, _| Answer::Whole(status, Vec::new(), answer.to_vec()));
        for error in
            [pull_from(&stub, &Access::default()).unwrap_err(), push_to(&stub, &Access::default()).unwrap_err()]
        {
            assert_eq!(error.class(), class, "{status}: {error}");
        }
        let error = pull_from(&stub, &Access::default()).unwrap_err().to_string();
        assert!(error.contains(reason), "{status}: {error}");
    }
}

#[test]
fn a_registry_is_not_waited_for_without_end() {
    let error = pull(runtime().handle(), &reference(NOBODY.parse().unwrap()), &Access::default(), 1000).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(error.to_string().contains("refused") && error.hint().is_some(), "{error}");

    let begin = Instant::now();
    let error = pull_from(&Stub::start(|_, _| Answer::Silence), &Access::default()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(error.to_string().ends_with("timed out"), "{error}");
    // One that is never silent for long.
    let patience = Patience { silence: Duration::from_secs(20), whole: Duration::from_millis(300), ..SHORT };
    let stub = Stub::start(|_, _| Answer::Trickle);
    let error =
        pull_within(patience, runtime().handle(), &reference(stub.address), &Access::default(), 1000).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(error.to_string().ends_with("not done after 0.3 s"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_answer_that_the_library_fails_at_ends_in_an_error() {
    let stub = Stub::start(|asked, address| match asked.line.as_str() {
        line if line.starts_with("GET /token?") => body(r#"{"token":"two\nlines"}"#),
        _ => {
            let challenge = format!("Bearer realm=\"http://{address}/token\"");
            Answer::Whole(401, vec![("WWW-Authenticate", challenge)], Vec::new())
        }
    });
    assert_eq!(pull_from(&stub, &me()).unwrap_err().class(), ErrorClass::Bug);
}

#[test]
fn what_cannot_be_asked_for_is_refused_before_it_is_asked() {
    let stub = Stub::start(|_, _| status(500));
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for (access, reason) in [
        (Access { password: None, ..me() }, "a user name without a password"),
        (Access { username: None, ..me() }, "a password without a user name"),
        (Access { ca_file: Some(folder.path().join("none.pem")), ..Access::default() }, "none.pem`: "),
        (Access { ca_file: Some(empty), ..Access::default() }, "empty.pem`: none in it, expected PEM"),
    ] {
        let error = pull_from(&stub, &access).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Config);
        assert!(error.to_string().contains(reason), "{error}");
    }
    let pinned = reference(stub.address).pinned(&digest(b""));
    let description = Description::default();
    let error = push(runtime().handle(), &pinned, &Access::default(), COMPONENT.to_vec(), &description).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    assert!(stub.asked().is_empty());
}
