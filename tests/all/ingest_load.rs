//! Rows from a data set into an emulated Druid: each once, as the topic has them, fetched as Druid fetches and
//! by who may. What goes wrong on the way is in `ingest_faults.rs` and `ingest_kills.rs`.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::ingest::{DATA_SOURCE, Druid, INGEST, Ingestion, ingested, iso, proxy, rows_in, tasks, write_edits};
use tests::plugins::Plugin;
use tests::program;
use tests::spool::{Pipeline, RECORDS, TO_DATA_SET, WITHIN, private_key, write_secret};
use tests::worker::{Connector, start};
use tests::{feeds, wait_until};

/// Loads some edits, then some more, with an ingestion that was changed.
fn check(ingestion: &Ingestion, ingest: Connector) {
    ingestion.fill(0..230);
    let mut running = ingestion.start(ingest);
    ingestion.check_loaded(running.log());
    write_edits(running.log(), 230..300);
    let book = ingestion.check_loaded(running.log());
    assert_eq!(ingestion.druid.stats().submitted, book.tasks.len() as u64, "each task was handed in once");
    for status in running.stop() {
        let ended = (status.state.name(), status.restarts, status.counts.rejected);
        assert_eq!(ended, ("STOPPED", 0, 0), "{status:?}");
    }
}

#[test]
fn every_row_is_loaded_once() {
    let ingestion = Ingestion::with_edits(0..400);
    let mut running = ingestion.start(ingestion.ingest());
    ingestion.check_loaded(running.log());
    for more in [400..401, 401..430, 430..700] {
        write_edits(running.log(), more);
        ingestion.check_loaded(running.log());
    }
    let book = ingestion.check_loaded(running.log());
    let (rows, skipped) = rows_in(running.log());
    let mut told = BTreeMap::new();
    for batch in book.batches.values() {
        batch.facts.skipped.iter().for_each(|(reason, count)| *told.entry(reason.as_str()).or_default() += count);
    }
    assert_eq!(told, skipped, "what is no row is counted, by reason");
    running.wait(INGEST, "nothing left to do", WITHIN, |status| status.counts.backlog == Some(0));
    let status = running.stop().into_iter().find(|status| status.name == INGEST).unwrap();
    assert_eq!(
        (status.state.name(), status.counts.records, status.counts.backlog),
        ("STOPPED", rows.len() as u64, Some(0))
    );
    assert_eq!(ingestion.druid.stats().submitted, book.tasks.len() as u64);
    drop(running);
    // A new life finds nothing to do.
    let running = ingestion.start(ingestion.ingest());
    running.wait(INGEST, "a look at the data set", WITHIN, |status| status.counts.backlog == Some(0));
    ingestion.check_loaded(running.log());
    assert_eq!(ingestion.druid.stats().submitted, book.tasks.len() as u64);
}

#[test]
fn druid_fetches_each_batch_compressed_and_with_a_range() {
    let ingestion = Ingestion::with_edits(0..200);
    let running = ingestion.start(ingestion.ingest());
    let book = ingestion.check_loaded(running.log());
    let fetches = ingestion.druid.handle().fetches();
    assert_eq!(fetches.len(), book.batches.len(), "{fetches:#?}");
    for fetch in &fetches {
        // The length of what was never compressed before is not known: all of it then, and no part.
        assert!(fetch.range == "bytes=0-" && matches!(fetch.status, Some(200 | 206)), "{fetch:?}");
        assert!(fetch.path.starts_with("/batches/wikipedia") && fetch.path.ends_with(".spool.gz"), "{fetch:?}");
    }
    let plain: u64 = book.batches.values().map(|batch| batch.facts.bytes).sum();
    assert!(ingestion.druid.stats().fetched_bytes < plain / 2, "compressed it is much less than {plain} bytes");
}

#[test]
fn plain_batches_are_fetched_where_that_is_asked_for() {
    let ingestion = Ingestion::default();
    check(&ingestion, ingestion.ingest().set("fetch.gzip", false));
    let fetches = ingestion.druid.handle().fetches();
    assert!(fetches.iter().all(|fetch| fetch.path.ends_with(".spool") && fetch.status == Some(206)), "{fetches:#?}");
}

#[test]
fn a_task_says_what_its_batches_hold() {
    let ingestion = Ingestion::with_edits(0..100);
    ingestion.publish(ingestion.to_data_set());
    let running = ingestion.start(ingestion.ingest());
    let book = ingestion.check_loaded(running.log());
    let [(id, entry)] = &tasks(&book)[..] else { panic!("expected one task: {book:#?}") };
    let (rows, _) = rows_in(running.log());
    assert_eq!((entry.rows, entry.stored, entry.attempt), (Some(rows.len() as u64), Some(rows.len() as u64), 1));
    let task = ingestion.druid.task(id);
    assert_eq!((&task["type"], &task["id"]), (&json!("index_parallel"), &json!(id)));
    let schema = &task["spec"]["dataSchema"];
    assert_eq!(schema["dataSource"], DATA_SOURCE);
    assert_eq!(schema["timestampSpec"], json!({ "column": "timestamp", "format": "iso" }));
    assert_eq!(schema["dimensionsSpec"]["dimensions"][5], json!({ "type": "long", "name": "added" }));
    // Whole days, one span where they touch: the first row's day to the last row's.
    let first = rows.iter().map(|row| iso(row.at)).min().unwrap();
    let last = rows.iter().map(|row| iso(row.at + 86_400_000)).max().unwrap();
    assert_eq!(schema["granularitySpec"]["intervals"], json!([format!("{}/{}", &first[..10], &last[..10])]));
    let io = &task["spec"]["ioConfig"];
    assert_eq!(io["appendToExisting"], true);
    let uris: Vec<&str> =
        io["inputSource"]["uris"].as_array().unwrap().iter().map(|uri| uri.as_str().unwrap()).collect();
    let named: Vec<String> = book.in_order().iter().map(|(name, _)| name.replace('+', "%2B")).collect();
    let expected: Vec<String> = named.iter().map(|name| format!("{}/batches/{name}.gz", running.endpoint())).collect();
    assert_eq!(uris, expected);
}

#[test]
fn a_task_has_so_many_batches_at_most() {
    let ingestion = Ingestion::default();
    check(&ingestion, ingestion.ingest().set("task.max.batches", 2));
    let book = tests::ingest::tasks(&host::ingest::Book::read(&ingestion.log(), INGEST).unwrap());
    assert!(book.len() >= 3 && book.iter().all(|(_, task)| task.batches.len() <= 2), "{book:#?}");
}

#[test]
fn a_calendar_says_when_to_load() {
    let ingestion = Ingestion::default();
    check(&ingestion, ingestion.ingest().set("schedule", "* * * * * *"));
}

#[test]
fn nothing_is_loaded_before_its_time() {
    let ingestion = Ingestion::with_edits(0..120);
    // The first of January: whenever this runs, that is not now.
    let running = ingestion.start(ingestion.ingest().set("schedule", "0 0 1 1 *"));
    let rows = rows_in(running.log()).0.len() as u64;
    running
        .wait(INGEST, "batches that wait", WITHIN, |status| status.counts.backlog.is_some_and(|batches| batches >= 3));
    let waiting = || {
        let book = host::ingest::Book::read(running.log(), INGEST).unwrap();
        book.batches.values().map(|batch| batch.facts.records).sum::<u64>()
    };
    wait_until("all rows known", WITHIN, || waiting() == rows);
    assert_eq!(ingestion.druid.submissions(), []);
    // Now is said by who submits.
    running.end();
    let config = ingestion.config(&ingestion.ingest().set("schedule", "0 0 1 1 *"));
    program::host(ingestion.dir.path(), ["ingest", "submit", "--config", config.to_str().unwrap()]).expect(0);
    ingestion.check_loaded(&ingestion.log());
}

#[test]
fn the_legacy_dialect_is_loaded_by_an_old_druid() {
    let ingestion = Ingestion::into(Druid::start(|options| options.legacy = true));
    check(&ingestion, ingestion.ingest().set("dialect", "legacy"));
    let book = host::ingest::Book::read(&ingestion.log(), INGEST).unwrap();
    let task = ingestion.druid.task(&tasks(&book)[0].0);
    assert_eq!((&task["type"], &task["spec"]["ioConfig"]["firehose"]["type"]), (&json!("index"), &json!("http")));
}

#[test]
fn a_data_set_may_be_named_by_its_folder() {
    let ingestion = Ingestion::with_edits(0..130);
    ingestion.publish(ingestion.to_data_set());
    let ingest = ingestion.ingest().unset("data.set").set("files", "local").set("dir", ingestion.folder().display());
    let ingest = ingest.set("layout.plugin", Plugin::SpoolLayout.path().display());
    let running = start(&ingestion.data_dir(), &[ingest], None);
    ingestion.check_loaded(running.log());
}

#[test]
fn the_address_that_druid_is_given_may_be_another() {
    let ingestion = Ingestion::with_edits(0..100);
    let port = feeds::free_port();
    let before = proxy(([127, 0, 0, 1], port).into(), |_| true);
    let ingest = ingestion.ingest().set("listen", format!("127.0.0.1:{port}"));
    let running = ingestion.start(ingest.set("advertised.url", format!("{before}/")));
    let book = ingestion.check_loaded(running.log());
    let uri = ingestion.druid.task(&tasks(&book)[0].0)["spec"]["ioConfig"]["inputSource"]["uris"][0].clone();
    assert!(uri.as_str().unwrap().starts_with(&format!("{before}/batches/wikipedia")), "{uri}");
}

#[test]
fn the_whole_pipeline_on_filers_ends_in_druid() {
    let pipeline = Pipeline::on_filers();
    let ingestion = Ingestion::default();
    let key = private_key(pipeline.dir.path(), "demo");
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let connectors = [to_spool, from_spool, to_data_set, ingestion.ingest().set("open.keys", key)];
    let mut running = start(&pipeline.data_dir(), &connectors, None);
    for edits in [0..333, 333..900] {
        write_edits(running.log(), edits);
        ingestion.check_loaded(running.log());
    }
    // The ledger knows the records by the topic that they were first in, not by what carried them.
    let book = ingestion.check_loaded(running.log());
    let members = book.batches.values().flat_map(|batch| &batch.facts.members);
    let mut spans: Vec<_> =
        members.map(|(topic, partition, first, next)| (topic.as_str(), *partition, *first, *next)).collect();
    spans.sort_unstable();
    assert!(spans.iter().all(|(topic, partition, ..)| (*topic, *partition) == (RECORDS, 0)), "{spans:?}");
    assert!(spans.windows(2).all(|pair| pair[0].3 == pair[1].2), "{spans:?}");
    assert_eq!((spans[0].2, spans[spans.len() - 1].3), (0, 900));
    assert!(running.stop().iter().all(|status| status.state.name() == "STOPPED" && status.restarts == 0));
    assert_eq!(ingested(&book), rows_in(running.log()).0.len() as u64);
}

/// A word that is nowhere but in the secret.
const PASSWORD: &str = "s3cr\"et \\ zebra-41 ü";

/// The ingestion asks who fetches.
fn guarded(ingestion: &Ingestion) -> Connector {
    let path = ingestion.dir.path().join("password");
    write_secret(&path, PASSWORD);
    ingestion.ingest().set("access.username", "druid").set("access.password", format!("file:{}", path.display()))
}

#[test]
fn the_password_goes_to_druid_and_nowhere_else() {
    let ingestion = Ingestion::with_edits(0..120);
    let config = ingestion.config(&guarded(&ingestion));
    ingestion.publish(ingestion.to_data_set());
    let mut command = program::command(ingestion.dir.path());
    command.args(["ingest", "submit", "--output", "json", "--config"]).arg(&config).env("HOST_LOG", "trace");
    let run = program::Program::start(command).finish().expect(0);
    let book = ingestion.check_loaded(&ingestion.log());
    let source = &ingestion.druid.task(&tasks(&book)[0].0)["spec"]["ioConfig"]["inputSource"];
    assert_eq!(source["httpAuthenticationUsername"], "druid");
    assert_eq!(source["httpAuthenticationPassword"], json!({ "type": "default", "password": PASSWORD }));
    let config = config.to_str().unwrap();
    let spec = program::host(ingestion.dir.path(), ["ingest", "spec", "--config", config]).expect(0);
    let ledger = format!("{book:?}");
    for said in [&run.stdout, &run.stderr, &spec.stdout, &spec.stderr, &ledger] {
        assert!(!said.contains("zebra-41"), "the password is told: {said}");
    }
    assert!(run.stderr.contains("task is handed in"), "nothing was logged: {}", run.stderr);
}

#[test]
fn the_password_may_be_in_the_environment_of_druid() {
    let environment = BTreeMap::from([("FETCH".to_owned(), PASSWORD.to_owned())]);
    let ingestion = Ingestion::into(Druid::start(|options| options.environment = environment));
    check(&ingestion, guarded(&ingestion).set("access.password.variable", "FETCH"));
    let book = host::ingest::Book::read(&ingestion.log(), INGEST).unwrap();
    let task = ingestion.druid.task(&tasks(&book)[0].0);
    let password = &task["spec"]["ioConfig"]["inputSource"]["httpAuthenticationPassword"];
    assert_eq!(*password, json!({ "type": "environment", "variable": "FETCH" }));
    assert!(!task.to_string().contains("zebra-41"));
}

#[test]
fn a_token_is_sent_by_who_may_send_headers() {
    let path = |ingestion: &Ingestion| ingestion.dir.path().join("token");
    let guarded = |ingestion: &Ingestion| {
        write_secret(&path(ingestion), "zebra-42");
        ingestion.ingest().set("access.token", format!("file:{}", path(ingestion).display()))
    };
    let allowed = vec!["authorization".to_owned()];
    let ingestion = Ingestion::into(Druid::start(|options| options.allowed_headers = allowed));
    check(&ingestion, guarded(&ingestion));
    // By default no Druid sends any, and says so.
    let ingestion = Ingestion::with_edits(0..100);
    let running = ingestion.start(guarded(&ingestion));
    let status = running.wait(INGEST, "the end", WITHIN, |status| status.state.is_over());
    let trace = status.state.trace().unwrap();
    assert!(trace.contains("forbidden header [authorization]") && !trace.contains("zebra-42"), "{trace}");
    assert_eq!(ingestion.druid.totals(), (0, 0));
}

#[test]
fn druid_may_ask_who_hands_tasks_in() {
    let login = Some(("host".to_owned(), "pass:word".to_owned()));
    let ingestion = Ingestion::into(Druid::start(|options| options.login = login));
    let path = ingestion.dir.path().join("druid.password");
    write_secret(&path, "pass:word");
    let ingest = ingestion.ingest().set("druid.username", "host");
    check(&ingestion, ingest.clone().set("druid.password", format!("file:{}", path.display())));
    write_secret(&path, "zebra-43");
    ingestion.fill(300..330);
    let before = ingestion.druid.stats().submitted;
    let running = ingestion.start(ingest.set("druid.password", format!("file:{}", path.display())));
    let status = running.wait(INGEST, "the end", WITHIN, |status| status.state.is_over());
    let trace = status.state.trace().unwrap();
    assert!(trace.contains("handing in a task at Druid") && trace.contains("status 401"), "{trace}");
    assert!(!trace.contains("zebra-43"), "{trace}");
    assert_eq!(ingestion.druid.stats().submitted, before);
    let connectors: Vec<Value> = vec![json!(status.name), json!(running.status(TO_DATA_SET).state.name())];
    assert_eq!(connectors, [json!(INGEST), json!("RUNNING")], "the other connector keeps on");
}
