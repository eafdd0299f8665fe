//! What the ingestion endpoint serves: names that always give the same bytes, from any byte on, plain or
//! compressed; and that all of it is what the topic has. Who is not served is in `ingest_access.rs`, what is
//! damaged in `ingest_damage.rs`.

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use tests::feeds::free_port;
use tests::ingest::{Answer, Client, INGEST, Ingestion, Row, iso, rows_in, write_edits};
use tests::plugins::Plugin;
use tests::spool::WITHIN;
use tests::wait_for;
use tests::worker::{Running, start};

/// A served data set of these edits.
fn served(numbers: Range<u64>) -> (Ingestion, Running) {
    let ingestion = Ingestion::with_edits(numbers);
    ingestion.publish(ingestion.to_data_set());
    let running = ingestion.start(ingestion.served());
    (ingestion, running)
}

/// What is listed, once that is so many batches.
fn listed(running: &Running, batches: usize) -> Vec<Value> {
    let client = Client::new(&running.endpoint());
    wait_for("the batches", WITHIN, || {
        let answer = client.get("/batches");
        let listed = (answer.status == 200).then(|| answer.json()["batches"].as_array().unwrap().clone())?;
        (listed.len() >= batches).then_some(listed)
    })
}

fn path(batch: &Value) -> String {
    format!("/batches/{}", batch["name"].as_str().unwrap())
}

fn lines(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{}\n", row.text)).collect()
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut plain).unwrap();
    plain
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_list_says_what_each_batch_holds() {
    let (_ingestion, running) = served(0..230);
    let (rows, skipped) = rows_in(running.log());
    let client = Client::new(&running.endpoint());
    let mut rest = rows.as_slice();
    let mut left_out: BTreeMap<String, u64> = BTreeMap::new();
    for batch in listed(&running, 5) {
        let bytes = client.get(&path(&batch)).expect(200).body;
        let records = usize::try_from(batch["records"].as_u64().unwrap()).unwrap();
        let (own, after) = rest.split_at(records);
        rest = after;
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), lines(own));
        assert_eq!((&batch["bytes"], &batch["sha256"]), (&json!(bytes.len()), &json!(digest(&bytes))));
        let first = own.iter().map(|row| row.at).min().unwrap();
        let last = own.iter().map(|row| row.at).max().unwrap();
        assert_eq!(batch["interval"], format!("{}/{}", iso(first), iso(last + 1)));
        assert_eq!((&batch["state"], &batch["served"]), (&json!("waiting"), &json!(true)));
        for (reason, count) in batch["skipped"].as_object().unwrap() {
            *left_out.entry(reason.clone()).or_default() += count.as_u64().unwrap();
        }
    }
    assert_eq!(rest, [], "rows of no batch");
    assert_eq!(left_out.iter().map(|(reason, count)| (reason.as_str(), *count)).collect::<BTreeMap<_, _>>(), skipped);
    let answer = client.get("/batches").expect(200);
    assert_eq!((answer.header("content-type"), &answer.json()["refused"]), (Some("application/json"), &json!([])));
}

#[test]
fn all_rows_are_at_one_address_in_order() {
    let (_ingestion, running) = served(0..230);
    listed(&running, 5);
    let client = Client::new(&running.endpoint());
    let rows = rows_in(running.log()).0;
    for headers in [&[][..], &[("Range", "bytes=0-")], &[("Range", "bytes=100-")], &[("If-None-Match", "*")]] {
        // What is there changes, so no part of it means anything later.
        let answer = client.get_with("/", headers).expect(200);
        assert_eq!(answer.text(), lines(&rows));
        assert_eq!(answer.header("content-length").unwrap(), answer.body.len().to_string());
        assert_eq!((answer.header("etag"), answer.header("accept-ranges")), (None, Some("none")));
        assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    }
    write_edits(running.log(), 230..260);
    let rows = rows_in(running.log()).0;
    let all = wait_for("the new rows", WITHIN, || {
        let answer = client.get("/").expect(200);
        (answer.body.len() >= lines(&rows).len()).then_some(answer)
    });
    assert_eq!(all.text(), lines(&rows));
}

#[test]
fn a_name_gives_the_same_bytes_for_ever() {
    let (ingestion, mut running) = served(0..230);
    let mut known: BTreeMap<String, (String, Vec<u8>)> = BTreeMap::new();
    let mut check = |running: &Running, batches: usize| {
        let client = Client::new(&running.endpoint());
        for batch in listed(running, batches) {
            for path in [path(&batch), format!("{}.gz", path(&batch))] {
                let answer = client.get(&path).expect(200);
                let found = (answer.header("etag").unwrap().to_owned(), answer.body);
                assert!(found.0.starts_with('"') && found.0.ends_with('"'), "{} is no strong tag", found.0);
                assert_eq!(known.entry(path).or_insert(found.clone()), &found);
            }
        }
    };
    check(&running, 5);
    check(&running, 5);
    write_edits(running.log(), 230..300);
    check(&running, 7);
    for _ in 0..2 {
        running.end();
        running = ingestion.start(ingestion.ingest());
        ingestion.check_loaded(running.log());
        check(&running, 7);
    }
    let tags: std::collections::BTreeSet<_> = known.values().map(|(tag, _)| tag).collect();
    assert_eq!(tags.len(), known.len(), "each name has a tag of its own");
}

#[test]
fn a_batch_is_read_by_many_at_once() {
    let (_ingestion, running) = served(0..100);
    let batches = listed(&running, 2);
    let client = Client::new(&running.endpoint());
    let expected: Vec<Vec<u8>> = batches.iter().map(|batch| client.get(&path(batch)).expect(200).body).collect();
    std::thread::scope(|scope| {
        for reader in 0..12 {
            let (client, batches, expected) = (client.clone(), &batches, &expected);
            scope.spawn(move || {
                for (batch, expected) in batches.iter().zip(expected) {
                    let packed = client.get(&format!("{}.gz", path(batch))).expect(200).body;
                    assert_eq!(unpacked(&packed), *expected);
                    let from = reader * 97;
                    let part = client.range(&path(batch), &format!("{from}-")).expect(206).body;
                    assert_eq!(part, expected[from..]);
                }
            });
        }
    });
}

/// Asks for a part and checks that it is that one of `whole`; none: there is no such part.
fn check_part(client: &Client, path: &str, whole: &[u8], range: &str, expected: Option<Range<usize>>) {
    let answer = client.range(path, range);
    let total = whole.len();
    match expected {
        Some(part) => {
            let answer = answer.expect(206);
            assert_eq!(
                answer.header("content-range").unwrap(),
                format!("bytes {}-{}/{total}", part.start, part.end - 1),
                "{range}"
            );
            assert_eq!(answer.header("content-length").unwrap(), part.len().to_string(), "{range}");
            assert!(answer.body == whole[part], "{path} {range}: other bytes");
        }
        None => {
            let answer = answer.expect(416);
            assert_eq!(answer.header("content-range").unwrap(), format!("bytes */{total}"), "{range}");
            assert!(answer.header("etag").is_some());
        }
    }
}

fn check_parts(client: &Client, path: &str, whole: &[u8]) {
    let total = whole.len();
    let part = |range: String, expected| check_part(client, path, whole, &range, expected);
    part("0-".to_owned(), Some(0..total));
    part("1-".to_owned(), Some(1..total));
    part(format!("{}-", total / 2), Some(total / 2..total));
    part(format!("{}-", total - 1), Some(total - 1..total));
    part(format!("{total}-"), None);
    part(format!("{}-", total + 1000), None);
    part(format!("{}-", u64::MAX), None);
    part("0-0".to_owned(), Some(0..1));
    part("10-19".to_owned(), Some(10..20));
    part(format!("10-{}", total * 2), Some(10..total));
    part(format!("10-{}", u64::MAX), Some(10..total));
    part("-1".to_owned(), Some(total - 1..total));
    part("-100".to_owned(), Some(total - 100..total));
    part(format!("-{}", total * 2), Some(0..total));
    part("-0".to_owned(), None);
    // Parts that join are the whole.
    let mut joined = Vec::new();
    while joined.len() < total {
        let next = (joined.len() + 1000).min(total) - 1;
        joined.extend(client.range(path, &format!("{}-{next}", joined.len())).expect(206).body);
    }
    assert!(joined == whole, "parts do not join to the whole");
    // Several parts at a time, and what is none, are answered with all of it.
    for odd in ["0-1,3-4", "a-", "5-2", "--1", "", "99999999999999999999999-"] {
        assert!(client.range(path, odd).expect(200).body == whole, "{odd}");
    }
    assert!(client.get_with(path, &[("Range", "lines=0-")]).expect(200).body == whole);
}

#[test]
fn any_part_of_a_batch_can_be_fetched() {
    let (_ingestion, running) = served(0..50);
    let batch = listed(&running, 1).remove(0);
    let client = Client::new(&running.endpoint());
    let plain = client.get(&path(&batch)).expect(200).body;
    check_parts(&client, &path(&batch), &plain);
}

#[test]
fn any_part_of_a_compressed_batch_can_be_fetched() {
    let (ingestion, running) = served(0..100);
    let batches = listed(&running, 2);
    let client = Client::new(&running.endpoint());
    let packed_path = format!("{}.gz", path(&batches[0]));
    // The first who asks is not told the length, later ones are.
    let first = client.range(&packed_path, "0-").expect(200);
    assert_eq!(first.header("content-length"), None);
    let again = client.get(&packed_path).expect(200);
    assert_eq!(
        (&again.body, again.header("content-length")),
        (&first.body, Some(first.body.len().to_string().as_str()))
    );
    assert_eq!(unpacked(&first.body), client.get(&path(&batches[0])).expect(200).body);
    check_parts(&client, &packed_path, &first.body);
    // A part of what nobody has fetched whole yet.
    let packed_path = format!("{}.gz", path(&batches[1]));
    let part = client.range(&packed_path, "20-").expect(206);
    assert_eq!(part.body, client.get(&packed_path).expect(200).body[20..]);
    // A header without a time of making and without a name: the same rows are the same bytes.
    assert_eq!(first.body[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, first.body[8], first.body[9]]);
    running.end();
    let running = ingestion.start(ingestion.served());
    listed(&running, 2);
    let after = Client::new(&running.endpoint()).range(&packed_path, "20-").expect(206);
    assert_eq!(after.body, part.body);
}

#[test]
fn the_tag_says_whether_bytes_are_the_same() {
    let (_ingestion, running) = served(0..50);
    let batch = listed(&running, 1).remove(0);
    let client = Client::new(&running.endpoint());
    let (plain, packed) = (path(&batch), format!("{}.gz", path(&batch)));
    for path in [&plain, &packed] {
        let whole = client.get(path).expect(200);
        let tag = whole.header("etag").unwrap();
        for same in [tag, "*", &format!("\"other\", {tag}")] {
            let answer = client.get_with(path, &[("If-None-Match", same)]).expect(304);
            assert_eq!((answer.header("etag"), answer.body.len()), (Some(tag), 0));
        }
        client.get_with(path, &[("If-None-Match", "\"other\"")]).expect(200);
        let from = |tag: &str| client.get_with(path, &[("Range", "bytes=10-"), ("If-Range", tag)]);
        assert_eq!(from(tag).expect(206).body, whole.body[10..]);
        for other in ["\"other\"", &format!("W/{tag}"), "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(from(other).expect(200).body, whole.body, "{other}");
        }
    }
    let tag = |path: &str| client.get(path).header("etag").unwrap().to_owned();
    assert_ne!(tag(&plain), tag(&packed));
}

#[test]
fn a_head_is_that_of_the_answer_without_its_body() {
    let (_ingestion, running) = served(0..50);
    let batch = listed(&running, 1).remove(0);
    let client = Client::new(&running.endpoint());
    let head = |path: &str, headers: &[(&str, &str)]| client.open("HEAD", path, headers, b"").answer();
    let shown = |answer: &Answer| {
        let kept = |(name, _): &&(String, String)| name != "date";
        answer.headers.iter().filter(kept).cloned().collect::<BTreeMap<_, _>>()
    };
    let packed = format!("{}.gz", path(&batch));
    client.get(&packed).expect(200);
    for path in ["/", "/batches", "/health", &path(&batch), &packed] {
        for headers in [&[][..], &[("Range", "bytes=5-9")]] {
            let (with, without) = (client.get_with(path, headers), head(path, headers));
            assert_eq!((without.status, without.body.len()), (with.status, 0), "{path}");
            assert_eq!(shown(&without), shown(&with), "{path} {headers:?}");
        }
    }
    let batch_head = head(&path(&batch), &[]);
    assert_eq!(batch_head.header("x-batch-records"), Some(batch["records"].to_string().as_str()));
    assert_eq!(batch_head.header("accept-ranges"), Some("bytes"));
}

#[test]
fn encodings_are_never_made_up() {
    let (_ingestion, running) = served(0..50);
    let batch = listed(&running, 1).remove(0);
    let client = Client::new(&running.endpoint()).with("Accept-Encoding", "gzip, deflate, br");
    let rows = lines(&rows_in(running.log()).0);
    assert_eq!(client.get(&path(&batch)).expect(200).text(), rows);
    assert_eq!(client.get("/").expect(200).text(), rows);
    let packed = client.get(&format!("{}.gz", path(&batch))).expect(200);
    assert_eq!((unpacked(&packed.body), packed.header("content-type")), (rows.into_bytes(), Some("application/gzip")));
    client.get("/batches").expect(200);
}

#[test]
fn a_name_may_be_written_in_several_ways_and_no_other_file_is_reached() {
    let (ingestion, running) = served(0..50);
    let batch = listed(&running, 1).remove(0);
    let client = Client::new(&running.endpoint());
    let (name, expected) = (batch["name"].as_str().unwrap(), client.get(&path(&batch)).expect(200).body);
    assert!(name.contains('+'));
    for same in [name.replace('+', "%2B"), name.replace('+', "%2b").replace("wiki", "%77iki")] {
        assert_eq!(client.get(&format!("/batches/{same}")).expect(200).body, expected);
    }
    std::fs::write(ingestion.folder().join("notes.txt"), "zebra-51").unwrap();
    std::fs::write(ingestion.dir.path().join("above.txt"), "zebra-51").unwrap();
    let absolute = ingestion.dir.path().join("above.txt");
    let absolute = absolute.display();
    let odd = [
        "../above.txt".to_owned(),
        "%2e%2e/above.txt".to_owned(),
        "..%2fabove.txt".to_owned(),
        "..%5cabove.txt".to_owned(),
        format!("x/../{name}"),
        format!("./{name}"),
        format!("%2e/{name}"),
        format!("{name}/"),
        format!("/{name}"),
        format!("{name}%00"),
        format!("{name}.gz.gz"),
        format!("{name}.bz2"),
        "%ff%fe".to_owned(),
        format!("{absolute}"),
        format!("/{absolute}"),
        "%".to_owned(),
        String::new(),
        ".gz".to_owned(),
        "x".repeat(5000),
    ];
    for path in
        odd.iter().map(|name| format!("/batches/{name}")).chain(["/nothing".to_owned(), "/../set/notes.txt".to_owned()])
    {
        let answer = client.get(&path);
        assert!(matches!(answer.status, 400 | 404 | 414), "{path}: {}", answer.status);
        assert!(!answer.text().contains("zebra-51"), "{path}");
    }
    client.get("/health").expect(200);
}

#[test]
fn only_reading_is_possible() {
    let (_ingestion, running) = served(0..50);
    let batch = listed(&running, 1).remove(0);
    let client = Client::new(&running.endpoint());
    for path in ["/", "/batches", &path(&batch), "/health"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = client.open(method, path, &[], b"{}").answer();
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(answer.header("allow").unwrap().contains("GET"), "{method} {path}");
        }
    }
    client.get(&path(&batch)).expect(200);
}

#[test]
fn before_the_data_set_was_read_everyone_is_asked_to_wait() {
    let ingestion = Ingestion::default();
    // A filer that is out of reach.
    tests::spool::write_secret(&ingestion.dir.path().join("password"), "x");
    let ingest = ingestion
        .served()
        .unset("data.set")
        .set("layout.plugin", Plugin::SpoolLayout.path().display())
        .set("dir", "/set")
        .set("qq.hostname", "127.0.0.1")
        .set("qq.port", free_port())
        .set("qq.username", "admin")
        .set("qq.password", format!("file:{}", ingestion.dir.path().join("password").display()));
    let running = start(&ingestion.data_dir(), &[ingest], None);
    let client = Client::new(&running.endpoint());
    for path in ["/", "/batches", "/batches/x", "/batches/x.gz", "/health"] {
        let answer = client.get(path).expect(503);
        assert_eq!(
            (answer.header("retry-after"), answer.text()),
            (Some("5"), "the data set is being read\n"),
            "{path}"
        );
    }
    running.wait(INGEST, "trouble", WITHIN, |status| status.counts.trouble.is_some());
    client.get("/health").expect(503);
}

#[test]
fn an_empty_data_set_is_one_too() {
    let ingestion = Ingestion::default();
    let running = ingestion.start(ingestion.served());
    assert_eq!(listed(&running, 0), Vec::<Value>::new());
    let client = Client::new(&running.endpoint());
    let all = client.get("/").expect(200);
    assert_eq!((all.text(), all.header("content-length")), ("", Some("0")));
    assert_eq!(client.get("/health").expect(200).text(), "ok\n");
    let unknown = client.get("/batches/x").expect(404);
    assert_eq!(unknown.text(), "no batch is named `x`\n");
}
