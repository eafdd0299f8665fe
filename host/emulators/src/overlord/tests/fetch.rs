//! What a server of rows is asked, and how answers that break off are taken.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::super::OverlordFault;
use super::source::{Source, cut, ranged, status, whole};
use super::{SOON, rows, setup, setup_with, task, with};

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn it_asks_as_java_does() {
    let setup = setup().await;
    let source = Source::start(|asked| ranged(asked, rows(0..10).as_bytes())).await;
    let mut input = source.input(&["/v1/batches/1.json?x=1", "/2.json"]);
    input["httpAuthenticationUsername"] = json!("druid");
    input["httpAuthenticationPassword"] = json!("secret");
    assert_eq!(setup.succeed(&task("a", "wiki", &input)).await["processed"], 20);
    let asked = source.asked();
    assert_eq!(
        asked.iter().map(|asked| asked.path.as_str()).collect::<Vec<_>>(),
        ["/v1/batches/1.json?x=1", "/2.json"]
    );
    let own: Vec<&str> =
        asked[0].headers.iter().map(String::as_str).filter(|line| !line.starts_with("Host: ")).collect();
    let java = [
        // Unasked, `druid:secret`.
        "Authorization: Basic ZHJ1aWQ6c2VjcmV0",
        "Range: bytes=0-",
        "User-Agent: Java/17.0.0",
        "Accept: text/html, image/gif, image/jpeg, */*; q=0.2",
        "Connection: keep-alive",
    ];
    assert_eq!(own, java);
    let fetches = setup.emulator.fetches();
    let paths: Vec<_> = fetches.iter().map(|fetch| (fetch.path.as_str(), fetch.range.as_str(), fetch.status)).collect();
    assert_eq!(paths, [("/v1/batches/1.json", "bytes=0-", Some(206)), ("/2.json", "bytes=0-", Some(206))]);
    assert_eq!(setup.emulator.stats().fetched_bytes, 2 * rows(0..10).len() as u64);
}

#[tokio::test]
async fn passwords_come_from_providers_too() {
    let setup = setup_with(|options| {
        options.environment.insert("SPOOL_PW".to_owned(), "secret".to_owned());
    })
    .await;
    let source = Source::start(|asked| match asked.header("Authorization") {
        Some("Basic ZHJ1aWQ6c2VjcmV0") => ranged(asked, rows(0..10).as_bytes()),
        _ => status(401),
    })
    .await;
    let input = |password: Value| {
        let mut input = source.input(&["/1.json"]);
        input["httpAuthenticationUsername"] = json!("druid");
        input["httpAuthenticationPassword"] = password;
        input
    };
    let provider = json!({ "type": "environment", "variable": "SPOOL_PW" });
    let named = task("environment", "wiki", &input(provider));
    setup.succeed(&named).await;
    assert_eq!(setup.client.get("/druid/indexer/v1/task/environment").await.ok().json()["payload"], named);
    setup.succeed(&task("default", "wiki", &input(json!({ "type": "default", "password": "secret" })))).await;
    // Nothing of the name is set, neither here nor in the environment of the process.
    let missing = json!({ "type": "environment", "variable": "OVERLORD_TEST_NOT_SET" });
    let error = setup.fail(&task("missing", "wiki", &input(missing))).await;
    assert!(error.contains("HTTP response code: 401"), "{error}");
    let wrong = setup.submit(&task("wrong", "wiki", &input(json!({ "type": "vault" })))).await;
    assert!(wrong.error().1.contains("httpAuthenticationPassword"));
}

#[tokio::test]
async fn request_headers_are_sent_where_they_are_allowed() {
    let setup = setup_with(|options| options.allowed_headers = vec!["x-spool".to_owned()]).await;
    let source = Source::start(|asked| match asked.header("X-Spool") {
        Some("yes") => ranged(asked, rows(0..10).as_bytes()),
        _ => status(403),
    })
    .await;
    let mut input = source.input(&["/1.json"]);
    input["requestHeaders"] = json!({ "X-Spool": "yes" });
    setup.succeed(&task("a", "wiki", &input)).await;
    input["requestHeaders"] = json!({ "X-Spool": "yes", "X-Other": "no" });
    let (status, message) = setup.submit(&task("b", "wiki", &input)).await.error();
    assert!(status == 400 && message.contains("forbidden header [X-Other]"), "{message}");
    let (_, message) = setup
        .submit(&with(task("c", "wiki", &input), "/spec/ioConfig/inputSource/uris", json!(["https://x/1"])))
        .await
        .error();
    assert_eq!(message, "Only [http] protocols are allowed");
}

#[tokio::test]
async fn it_goes_on_at_the_byte_where_an_answer_broke_off() {
    let text = rows(0..1000);
    let middle = text.len() / 2 + 1;
    // Of a length that is not reached, and of chunks without a last one.
    for is_chunked in [false, true] {
        let setup = setup().await;
        let body = text.clone();
        let source = Source::start(move |asked| match (asked.before, is_chunked) {
            (0, false) => cut(ranged(asked, body.as_bytes()), body.len() - middle),
            (0, true) => {
                let begun = body.split_at(middle).0;
                format!("HTTP/1.1 206 P\r\nContent-Range: bytes 0-1/2\r\nTransfer-Encoding: chunked\r\n\r\n{middle:x}\r\n{begun}\r\n")
                    .into()
            }
            _ => ranged(asked, body.as_bytes()),
        })
        .await;
        let counts = setup.succeed(&task("a", "wiki", &source.input(&["/1.json"]))).await;
        assert_eq!((&counts["processed"], &counts["processedBytes"]), (&json!(1000), &json!(text.len())));
        assert_eq!(source.ranges(), ["bytes=0-".to_owned(), format!("bytes={middle}-")]);
        assert_eq!(setup.loaded("wiki").await, json!([1000, 499_500]));
    }
}

#[tokio::test]
async fn it_skips_where_the_server_knows_no_ranges() {
    let setup = setup().await;
    let text = rows(0..1000);
    let source = Source::start(move |asked| match asked.before {
        0 => cut(whole(text.as_bytes()), 5000),
        _ => whole(text.as_bytes()),
    })
    .await;
    setup.succeed(&task("a", "wiki", &source.input(&["/1.json"]))).await;
    assert_eq!(setup.loaded("wiki").await, json!([1000, 499_500]));
    assert_eq!(source.ranges().len(), 2);
    // Less than was there before cannot be skipped.
    let shrunk = Source::start(|asked| match asked.before {
        0 => cut(whole(rows(0..1000).as_bytes()), 5000),
        _ => whole(b"{}\n"),
    })
    .await;
    let error = setup.fail(&task("b", "wiki", &shrunk.input(&["/1.json"]))).await;
    assert!(error.contains("Requested to skip [") && error.contains("skipped is [3]"), "{error}");
}

#[tokio::test]
async fn a_short_body_is_an_error_unless_it_is_trusted_as_java_does() {
    let text = rows(0..1000);
    let missing = text.len() - rows(0..400).len();
    for (is_trusted, expected) in [(true, Ok(400)), (false, Err("Premature EOF"))] {
        let setup = setup_with(|options| {
            options.trust_short_bodies = is_trusted;
            options.max_tries = 1;
        })
        .await;
        let body = text.clone();
        let source = Source::start(move |_| cut(whole(body.as_bytes()), missing)).await;
        let task = task("a", "wiki", &source.input(&["/1.json"]));
        match expected {
            Ok(num) => assert_eq!(setup.succeed(&task).await["processed"], num),
            Err(text) => assert!(setup.fail(&task).await.contains(text)),
        }
    }
}

#[tokio::test]
async fn bad_answers_are_asked_for_again_and_then_fail_the_task() {
    let setup = setup_with(|options| options.max_tries = 3).await;
    let source = Source::start(|asked| match asked.before {
        0 => status(503),
        1 => status(404),
        _ => ranged(asked, rows(0..10).as_bytes()),
    })
    .await;
    setup.succeed(&task("a", "wiki", &source.input(&["/1.json"]))).await;
    assert_eq!(source.ranges(), ["bytes=0-"; 3]);
    let cases = [
        (401, "response code: 401"),
        (416, "code: 416"),
        (404, "FileNotFound"),
        (410, "FileNotFound"),
        (500, "code: 500"),
    ];
    for (code, expected) in cases {
        let source = Source::start(move |_| status(code)).await;
        let error = setup.fail(&task(&format!("t{code}"), "wiki", &source.input(&["/1.json"]))).await;
        assert!(error.contains(expected), "{error}");
        assert_eq!(source.ranges().len(), 3, "{code}");
    }
    // Nobody there.
    let gone = { Source::start(|_| Vec::new()).await.input(&["/1.json"]) };
    assert!(setup.fail(&task("gone", "wiki", &gone)).await.contains("failed"));
    // What was there stays.
    assert_eq!(setup.loaded("wiki").await, json!([10, 45]));
    assert_eq!(setup.report("t500").await["ingestionState"], "BUILD_SEGMENTS");
}

#[tokio::test]
async fn ten_tries_are_the_default() {
    let setup = setup().await;
    let source = Source::start(|_| status(500)).await;
    setup.fail(&task("a", "wiki", &source.input(&["/1.json"]))).await;
    assert_eq!(source.ranges().len(), 10);
}

#[tokio::test]
async fn gzip_is_unpacked_by_the_extension_of_the_path() {
    let setup = setup().await;
    let text = rows(0..1000);
    // Two members, cut within the first and asked for again.
    let packed = [gzip(&rows(0..600)), gzip(&rows(600..1000))].concat();
    let size = packed.len();
    let source = Source::start(move |asked| match (asked.path.as_str(), asked.before) {
        ("/1.json.gz?part=x", 0) => cut(ranged(asked, &packed), size - 1000),
        ("/cut.json.gz", _) => ranged(asked, &packed[..size - 4]),
        _ => ranged(asked, &packed),
    })
    .await;
    let counts = setup.succeed(&task("a", "wiki", &source.input(&["/1.json.gz?part=x"]))).await;
    assert_eq!((&counts["processed"], &counts["processedBytes"]), (&json!(1000), &json!(text.len())));
    assert_eq!(source.ranges(), ["bytes=0-", "bytes=1000-"]);
    assert_eq!(setup.loaded("wiki").await, json!([1000, 499_500]));
    assert_eq!(setup.emulator.stats().fetched_bytes, size as u64);
    // Without the extension it is not text; without its end it is not whole; plain text is no gzip.
    assert!(setup.fail(&task("b", "wiki", &source.input(&["/1.json?x=.gz"]))).await.contains("Max parse exceptions"));
    assert!(setup.fail(&task("c", "wiki", &source.input(&["/cut.json.gz"]))).await.contains("Unexpected end of ZLIB"));
    let plain = Source::start(|asked| ranged(asked, rows(0..10).as_bytes())).await;
    assert!(setup.fail(&task("d", "wiki", &plain.input(&["/1.gz"]))).await.contains("gzip"));
    assert!(setup.fail(&task("e", "wiki", &plain.input(&["/1.json.zst"]))).await.contains(".zst"));
}

#[tokio::test]
async fn redirects_are_followed_within_http() {
    let setup = setup_with(|options| options.max_tries = 1).await;
    let to = |code: u16, place: &str| {
        format!("HTTP/1.1 {code} R\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    };
    let source = Source::start(move |asked| match asked.path.as_str() {
        "/302" => to(302, "/307"),
        "/307" => to(307, "/good"),
        "/loop" => to(302, "/loop"),
        "/tls" => to(302, "https://127.0.0.1/good"),
        _ => ranged(asked, rows(0..10).as_bytes()),
    })
    .await;
    setup.succeed(&task("a", "wiki", &source.input(&["/302"]))).await;
    assert_eq!(source.ranges(), ["bytes=0-"; 3]);
    assert!(setup.fail(&task("b", "wiki", &source.input(&["/loop"]))).await.contains("redirected too many times"));
    // Not followed, and so read: it has no rows.
    assert_eq!(setup.succeed(&task("c", "wiki", &source.input(&["/tls"]))).await["processed"], 0);
}

#[tokio::test]
async fn the_legacy_spec_reads_twice_without_intervals() {
    let setup = setup_with(|options| options.legacy = true).await;
    let text = rows(0..100);
    let more = rows(0..100) + "{\"timestamp\":\"2026-03-01\",\"added\":7}\n";
    let source = Source::start(move |asked| match asked.before {
        0 => ranged(asked, text.as_bytes()),
        _ => ranged(asked, more.as_bytes()),
    })
    .await;
    let legacy = json!({ "type": "index", "id": "legacy", "spec": {
        "dataSchema": {
            "dataSource": "Wikipedia",
            "parser": { "type": "string", "parseSpec": {
                "format": "json", "timestampSpec": { "column": "timestamp", "format": "iso" },
                "dimensionsSpec": { "dimensions": ["page", { "name": "added", "type": "long" }] },
            } },
            "granularitySpec": { "type": "uniform", "segmentGranularity": "DAY", "rollup": false, "queryGranularity": "none" },
            "metricsSpec": [],
        },
        "ioConfig": { "type": "index", "firehose": { "type": "http", "fetchTimeout": 300_000, "uris": [source.url("/")] } },
        "tuningConfig": { "type": "index", "forceExtendableShardSpecs": true, "reportParseExceptions": false },
    } });
    let counts = setup.succeed(&legacy).await;
    // A row that came between the two readings is in a day that the first did not see.
    assert_eq!((&counts["processed"], &counts["thrownAway"]), (&json!(100), &json!(1)));
    assert_eq!(setup.report("legacy").await["rowStats"]["determinePartitions"]["processed"], 100);
    assert_eq!(source.ranges().len(), 2);
    let named = with(legacy, "/spec/dataSchema/granularitySpec/intervals", json!([super::DAY]));
    setup.succeed(&with(named, "/id", json!("named"))).await;
    assert_eq!(source.ranges().len(), 3);
    assert_eq!(setup.client.get("/status").await.ok().json()["version"], "25.0.0");
}

#[tokio::test]
async fn a_stalled_source_times_out_and_a_stalled_task_goes_on() {
    let setup = setup_with(|options| {
        options.fetch_timeout = std::time::Duration::from_millis(50);
        options.max_tries = 2;
    })
    .await;
    // Takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let input = json!({ "type": "http", "uris": [format!("http://{}/1", silent.local_addr().unwrap())] });
    assert_eq!(setup.fail(&task("silent", "wiki", &input)).await, "Read timed out");
    let setup = setup_with(|_| {}).await;
    setup.emulator.fault(OverlordFault::StallFetch(1)).await;
    let source = Source::start(|asked| ranged(asked, rows(0..10).as_bytes())).await;
    setup.submit(&task("stalls", "wiki", &source.input(&["/1.json"]))).await.ok();
    assert!(setup.emulator.wait_for(|stats| stats.fetched_bytes > 0, SOON).await);
    assert_eq!(setup.status("stalls").await["runnerStatusCode"], "RUNNING");
    setup.emulator.fault(OverlordFault::Release).await;
    assert_eq!(setup.ended("stalls").await["status"], "SUCCESS");
}

#[tokio::test]
async fn a_task_that_is_shut_down_lets_go_of_its_source() {
    let setup = setup().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let input = json!({ "type": "http", "uris": [format!("http://{}/1", listener.local_addr().unwrap())] });
    setup.submit(&task("a", "wiki", &input)).await.ok();
    let (mut stream, _) = listener.accept().await.unwrap();
    setup.client.post("/druid/indexer/v1/task/a/shutdown", &Value::Null).await.ok();
    // The request, and then the end of the connection, though it has had no answer.
    let mut request = Vec::new();
    let read = stream.read_to_end(&mut request);
    tokio::time::timeout(SOON, read).await.expect("an end").unwrap();
    assert_eq!(setup.status("a").await["status"], "FAILED");
}
