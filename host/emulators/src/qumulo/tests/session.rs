//! Logins, tokens and what is refused before anything is looked at.

use serde_json::{Value, json};

use super::client::{Client, by};
use super::{setup, setup_with, start};
use crate::qumulo::QumuloFault;

#[tokio::test]
async fn without_a_good_token_everything_but_version_and_login_is_401_without_a_body() {
    let setup = setup().await;
    let mut stranger = Client::new(setup.emulator.addr());
    for token in ["", "1:wrong"] {
        stranger.token = token.to_owned();
        let version = stranger.get("/v1/version").await.ok().json();
        assert!(version["revision_id"].as_str().unwrap().contains(' '));
        for path in ["/v1/session/who-am-i", "/v1/nothing", "/v1/files/2/info/attributes", "/v1/file-system"] {
            let reply = stranger.get(path).await;
            assert_eq!((reply.status, reply.body.len()), (401, 0), "{path}");
            assert_eq!(reply.header("content-length"), Some("0"));
        }
    }
    assert_eq!(stranger.log_in("admin", "wrong").await.status, 401);
    assert_eq!(stranger.log_in("nobody", setup.emulator.password()).await.status, 401);
    // An old token on the login itself is not looked at.
    stranger.token = "1:old".to_owned();
    stranger.log_in("admin", setup.emulator.password()).await.ok();
    let me = stranger.get("/v1/session/who-am-i").await.ok().json();
    assert_eq!((me["id"].as_str(), me["name"].as_str()), (Some("500"), Some("admin")));
    assert_eq!(stranger.get("/v1/session/roles").await.ok().json(), json!(["Administrators"]));
    assert_eq!(stranger.get("/v1/node/state").await.ok().json()["state"], "ACTIVE");
}

#[tokio::test]
async fn a_password_that_was_not_given_is_random_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = start(folder.path(), |_| {}).await;
    assert!(emulator.password().len() >= 32);
    assert!(!format!("{emulator:?}").contains(emulator.password()));
    Client::logged_in(&emulator).await.get("/v1/session/who-am-i").await.ok();
}

#[tokio::test]
async fn sessions_end_when_told_and_by_time() {
    let mut setup = setup().await;
    setup.emulator.fault(QumuloFault::ExpireTokens);
    assert_eq!(setup.client.get("/v1/session/who-am-i").await.status, 401);
    setup.client.log_in("admin", setup.emulator.password()).await.ok();
    setup.client.get("/v1/session/who-am-i").await.ok();
    let mut short = setup_with(|options| options.token_life = std::time::Duration::ZERO).await;
    assert_eq!(short.client.get("/v1/session/who-am-i").await.status, 401);
}

#[tokio::test]
async fn access_tokens_outlive_a_restart_and_sessions_do_not() {
    let mut setup = setup().await;
    let tokens = "/v1/auth/access-tokens/";
    let made = setup.client.post(tokens, &json!({ "user": { "auth_id": "500" } })).await.ok().json();
    let (id, text) = (made["id"].as_str().unwrap().to_owned(), made["bearer_token"].as_str().unwrap().to_owned());
    assert!(text.starts_with("access-v1:"));
    let session = setup.client.token.clone();
    setup = setup.restart().await;
    setup.client.token = session;
    assert_eq!(setup.client.get("/v1/session/who-am-i").await.status, 401);
    setup.client.token.clone_from(&text);
    setup.client.get("/v1/session/who-am-i").await.ok();

    let meta = setup.client.get(&format!("{tokens}{id}")).await.ok().json();
    assert_eq!((&meta["id"], &meta["enabled"], &meta["expiration_time"]), (&json!(id), &json!(true), &Value::Null));
    assert_eq!(meta["user"]["auth_id"], "500");
    assert!(!meta.to_string().contains(&text));
    let second = json!({ "user": { "name": "admin" }, "expiration_time": "2000-01-01T00:00:00+01:00" });
    let old = setup.client.post(tokens, &second).await.ok().json();
    assert_eq!(setup.client.post(tokens, &second).await.status, 409);
    assert_eq!(setup.client.get(tokens).await.ok().json()["entries"].as_array().unwrap().len(), 2);
    let mut other = setup.client.again();
    other.token = old["bearer_token"].as_str().unwrap().to_owned();
    assert_eq!(other.get("/v1/session/who-am-i").await.status, 401, "its time is over");
    let old = format!("{tokens}{}", old["id"].as_str().unwrap());
    let later = setup.client.json("PATCH", &old, &json!({ "expiration_time": "2999-01-01T00:00:00Z" })).await.ok();
    assert_eq!(later.json()["expiration_time"], "2999-01-01T00:00:00.000000000Z");
    other.get("/v1/session/who-am-i").await.ok();
    setup.client.json("PATCH", &old, &json!({ "enabled": false })).await.ok();
    assert_eq!(other.get("/v1/session/who-am-i").await.status, 401, "it is turned off");
    let deleted = setup.client.delete(&old).await.ok();
    assert_eq!(deleted.body.len(), 0);
    assert_eq!(setup.client.get(&old).await.error(), (404, "http_not_found_error".to_owned()));
    assert_eq!(setup.client.post(tokens, &json!({ "user": { "name": "eve" } })).await.status, 404);
    assert_eq!(setup.client.post(tokens, &json!({})).await.error(), (400, "decode_error".to_owned()));
}

#[tokio::test]
async fn malformed_requests_are_refused_with_an_object() {
    let mut setup = setup().await;
    let client = &mut setup.client;
    let entries = format!("{}/entries/", by("/"));
    let json_kind = "Content-Type: application/json\r\n";
    let cases: [(&str, &str, Vec<u8>, u16, &str); 12] = [
        ("GET", "/v1/nothing", vec![], 404, "http_not_found_error"),
        ("GET", "/v1/files/2/entries", vec![], 404, "http_not_found_error"),
        ("PUT", "/v1/session/who-am-i", vec![], 405, "http_method_not_allowed_error"),
        ("POST", "/v1/files/2/data", vec![], 405, "http_method_not_allowed_error"),
        ("POST", &entries, b"{".to_vec(), 400, "decode_error"),
        ("POST", &entries, b"[]".to_vec(), 400, "decode_error"),
        ("POST", &entries, b"\xef\xbb\xbf{}".to_vec(), 400, "decode_error"),
        ("POST", &entries, br#"{"action":"CREATE_FILE","name":7}"#.to_vec(), 400, "decode_error"),
        ("POST", &entries, br#"{"action":"NOTHING","name":"x"}"#.to_vec(), 400, "decode_error"),
        ("POST", &entries, vec![b' '; 2 * 1024 * 1024], 413, "http_request_too_large_error"),
        ("GET", "/v1/files/relative/info/attributes", vec![], 400, "fs_file_path_invalid_error"),
        ("GET", "/v1/files/2/entries/?limit=x", vec![], 400, "http_bad_request_error"),
    ];
    for (method, path, body, status, class) in cases {
        let reply = client.send(method, path, json_kind, &body).await.expect("an answer");
        assert_eq!(reply.error(), (status, class.to_owned()), "{method} {path}");
        let error = reply.json();
        assert!(error["description"].is_string() && error["stack"].is_array() && error["module"].is_string());
    }
    for garbage in [&b"\x00\x01\x02\r\n\r\n"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        let mut raw = Client::new(setup.emulator.addr());
        assert!(raw.raw(garbage).await.is_none_or(|reply| reply.status == 400));
    }
    setup.client.get("/v1/session/who-am-i").await.ok();
}

#[tokio::test]
async fn a_chunked_json_body_is_read_and_requests_are_remembered() {
    let mut setup = setup().await;
    let body = r#"{"action":"CREATE_DIRECTORY","name":"r"}"#;
    let head = setup.client.head("POST", "/v1/files/%2f/entries/", "Transfer-Encoding: chunked\r\n");
    let (first, second) = body.split_at(10);
    let chunked = format!("{head}{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    setup.client.raw(chunked.as_bytes()).await.unwrap().ok();
    let requests = setup.emulator.requests();
    let last = requests.last().unwrap();
    assert_eq!((last.method.as_str(), last.target.as_str()), ("POST", "/v1/files/%2f/entries/"));
    assert_eq!(last.status, Some(200));
    let stats = setup.emulator.stats();
    assert_eq!((stats.logins, stats.requests, stats.connections_now), (1, 2, 1));
}
