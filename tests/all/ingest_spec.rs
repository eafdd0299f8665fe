//! Components that write tasks and misbehave, beside one that does not: what they write is held to what they
//! were asked for, none of it reaches Druid, the host and its other connectors go on.

use host::app;
use host::config::{Config, ConnectorKind, RawConfig};
use host::connector::Span;
use host::error::ErrorClass;
use host::ingest::{BatchState, Book, SpecWriter};
use host::wasm::Engines;
use host_emulators::overlord::OverlordFault;
use std::sync::OnceLock;
use tests::ingest::{Client, INGEST, Ingestion, mending_proxy, rows_in, write_edits};
use tests::plugins::Plugin;
use tests::spool::{TO_DATA_SET, WITHIN, write_secret};
use tests::worker::{Connector, start, try_start};

/// What is wrong with a task, and the words that say so.
const WRONG: &[(&str, &str)] = &[
    ("empty text", "that is no JSON: EOF"),
    ("no json", "that is no JSON"),
    ("half a json", "that is no JSON"),
    ("two jsons", "that is no JSON: trailing characters"),
    ("array", "that is no JSON object"),
    ("deep json", "that is no JSON: recursion limit exceeded"),
    ("no id", "with identifier none, expected `host_unruly_append_"),
    ("another id", "with identifier `another`, expected `host_unruly_append_"),
    ("id as a number", "with identifier none"),
    ("two ids", "with identifier `another`"),
    ("no data source", "for another data source than `unruly`"),
    ("another data source", "for another data source than `unruly`"),
    ("data source in other case", "for another data source than `unruly`"),
    ("second data source", "for another data source than `unruly`"),
    ("deleting task", "of type `kill`, expected `index_parallel`"),
    ("idle task", "of type `noop`, expected `index_parallel`"),
    ("replacing task", "that does not append: `appendToExisting` is false, `dropExisting` false"),
    ("other intervals", "of 1 intervals, expected the 1 given"),
    ("no address", "that fetches 0 addresses, expected the 3 given"),
    ("another address", "that fetches 1 addresses, expected the 3 given"),
    ("one address more", "that fetches 4 addresses, expected the 3 given"),
    ("one address less", "that fetches 2 addresses, expected the 3 given"),
    ("addresses backwards", "that fetches 3 addresses, expected the 3 given"),
    ("address as text", "that fetches no list of addresses, expected the 3 given"),
    ("hidden address", "with 2 inputs, expected 1"),
    ("hidden firehose", "whose input has member `delegates`, which no input needs"),
    ("local files", "whose input has member `baseDir`, which no input needs"),
    ("secret elsewhere", "with 2 places for secrets, 1 where none belongs, expected the 1 given"),
    ("secret in the data source", "for another data source than `unruly`"),
    ("unknown secret", "with 2 places for secrets, 0 where none belongs, expected the 1 given"),
    // Calls that fail.
    ("config in task", "this task has no words"),
    ("deny in task", "nothing is granted to this mode"),
    ("bug in task", "found itself broken"),
    // Calls that do not end well.
    ("panic in task", "`write-task`"),
    ("loop in task", "`write-task`"),
    ("memory in task", "`write-task`"),
];

/// An ingestion of the data set by the component that misbehaves.
fn unruly(ingestion: &Ingestion, mode: &str) -> Connector {
    let name = format!("\"{mode}\"");
    let password = ingestion.dir.path().join("password");
    write_secret(&password, "zebra-61");
    let plugin = Plugin::UnrulyIngest.path().display();
    let ingest = ingestion.ingest().named(&name).set("plugin", plugin).set("mode", mode).set("data.source", "unruly");
    let ingest = ingest.set("access.username", "druid").set("access.password", format!("file:{}", password.display()));
    ingest
        .set("restart.max", 1)
        .set("errors.retry.delay.max.ms", 20)
        .set("cpu.max.ms", 300)
        .set("memory.max.bytes", 64 << 20)
}

#[test]
fn nothing_of_a_task_that_is_not_what_was_asked_for_reaches_druid() {
    let ingestion = Ingestion::with_edits(0..150);
    ingestion.publish(ingestion.to_data_set());
    let mut connectors = vec![ingestion.to_data_set(), ingestion.ingest()];
    connectors.extend(WRONG.iter().map(|(mode, _)| unruly(&ingestion, mode)));
    let mut running = start(&ingestion.data_dir(), &connectors, None);
    for (mode, words) in WRONG {
        let status = running.wait(mode, "the end", WITHIN, |status| status.state.is_over());
        let trace = status.state.trace().unwrap_or_default();
        assert!(status.state.name() == "FAILED" && trace.contains(words), "{mode}: `{words}` is not in: {trace}");
        assert!(!trace.contains("zebra-61"), "{mode}: {trace}");
        let book = Book::read(running.log(), mode).unwrap();
        assert!(
            book.batches.values().all(|batch| matches!(batch.state, BatchState::Waiting | BatchState::Taken)),
            "{mode}"
        );
    }
    // The one that is sound goes on, and so does the sink.
    write_edits(running.log(), 150..200);
    let book = ingestion.check_loaded(running.log());
    let good = ingestion.druid.submissions();
    assert_eq!(good.len(), book.tasks.len(), "{good:#?}");
    assert_eq!(ingestion.druid.stats().submitted, book.tasks.len() as u64);
    for name in [INGEST, TO_DATA_SET] {
        let status = running.status(name);
        assert_eq!((status.state.name(), status.restarts), ("RUNNING", 0), "{name}");
    }
    Client::new(&running.endpoint()).get("/health").expect(200);
    running.stop();
}

#[test]
fn a_component_that_wants_to_be_asked_again_is() {
    let ingestion = Ingestion::with_edits(0..150);
    ingestion.publish(ingestion.to_data_set());
    // What a later version says is asked again too: nothing is known of it.
    for (mode, words) in [("retry in task", "not yet"), ("other in task", "something of a later version")] {
        let running = start(&ingestion.data_dir(), &[ingestion.to_data_set(), unruly(&ingestion, mode)], None);
        let status = running.wait(mode, "trouble", WITHIN, |status| status.counts.retries >= 3);
        assert!(status.counts.trouble.unwrap().contains(words));
        assert_eq!((status.state.name(), status.restarts), ("RUNNING", 0));
        assert_eq!(ingestion.druid.submissions(), []);
        running.end();
    }
}

#[test]
fn an_ingestion_that_does_not_open_is_refused_at_the_start() {
    let ingestion = Ingestion::with_edits(0..10);
    let check = |mode: &str, words: &str| {
        let refused = try_start(&ingestion.data_dir(), &[ingestion.to_data_set(), unruly(&ingestion, mode)], None);
        let error = refused.err().unwrap_or_else(|| panic!("{mode}: the host runs")).to_string();
        assert!(error.contains(&format!("connector `{mode}`")) && error.contains(words), "{mode}: {error}");
    };
    check("refuse as config", "option `mode` asks to be refused");
    check("refuse as deny", "nothing is granted to this mode");
    check("bug in open", "found itself broken");
    check("retry in open", "not yet");
    check("panic in open", "`open`");
    check("loop in open", "`open`");
    check("no such mode", "option `mode` is `no such mode`, which is none");
    assert_eq!(ingestion.druid.stats().requests, 0);
}

/// What the fixture leaves out of its tasks and the emulator needs.
fn mend(body: String) -> String {
    body.replace(r#""ioConfig":{"#, r#""ioConfig":{"inputFormat":{"type":"json"},"#)
}

#[test]
fn a_task_that_is_no_more_than_odd_is_handed_in() {
    for mode in ["good", "changing text"] {
        let ingestion = Ingestion::with_edits(0..150);
        ingestion.publish(ingestion.to_data_set());
        // Written anew when it is handed in again: the name says that it is the same.
        ingestion.druid.fault(OverlordFault::LoseAnswer(1));
        ingestion.druid.fault(OverlordFault::HideStatus(1));
        let url = mending_proxy(ingestion.druid.addr(), mend);
        let ingest = unruly(&ingestion, mode).unset("access.username").unset("access.password").set("druid.url", url);
        let running = start(&ingestion.data_dir(), &[ingestion.to_data_set(), ingest], None);
        let rows = rows_in(running.log()).0.len() as u64;
        running.wait(mode, "all rows", WITHIN, |status| status.counts.records == rows);
        assert_eq!((ingestion.druid.stats().rows["unruly"], ingestion.druid.stats().submitted), (rows, 1));
        assert_eq!(ingestion.druid.submissions().len(), 2, "once more after the answer was lost");
    }
}

#[test]
fn a_task_too_large_for_druid_is_told_and_marks_nothing() {
    let ingestion = Ingestion::with_edits(0..150);
    ingestion.publish(ingestion.to_data_set());
    let running = start(&ingestion.data_dir(), &[ingestion.to_data_set(), unruly(&ingestion, "huge text")], None);
    let status = running.wait("huge text", "the end", WITHIN, |status| status.state.is_over());
    assert_eq!(status.state.name(), "FAILED");
    let trace = status.state.trace().unwrap();
    assert!(trace.len() < 2000, "{} letters of it are told", trace.len());
    assert_eq!(ingestion.druid.stats().submitted, 0);
    let book = Book::read(running.log(), "huge text").unwrap();
    assert!(book.batches.values().all(|batch| batch.state != BatchState::Ingested));
}

fn engines() -> &'static Engines {
    static ENGINES: OnceLock<Engines> = OnceLock::new();
    ENGINES.get_or_init(Engines::new)
}

fn writer(ingestion: &Ingestion, mode: &str) -> SpecWriter {
    let name = mode.replace(' ', "-");
    let config = ingestion.config(&unruly(ingestion, mode).named(&name));
    let config = Config::check(&RawConfig::read(&[config]).unwrap()).unwrap();
    let ingest = config.connectors.iter().find_map(|connector| match &connector.kind {
        ConnectorKind::Ingest(ingest) => Some(ingest),
        _ => None,
    });
    app::spec_writer(ingest.unwrap(), &name, engines()).unwrap()
}

/// What a person asks for is looked at as closely.
#[test]
fn compactions_and_supervisors_are_held_to_what_was_asked_for() {
    let ingestion = Ingestion::default();
    let interval = Span { start: 0, end: 86_400_000 };
    let mut good = writer(&ingestion, "good");
    assert!(good.compaction("c1", interval).unwrap().contains("\"compact\""));
    assert!(good.supervisor("edits", "b:9092").unwrap().contains("\"kafka\""));
    let check = |mode: &str, words: &str, class: ErrorClass| {
        let mut writer = writer(&ingestion, mode);
        let made = match mode.ends_with("compaction") {
            true => writer.compaction("c1", interval),
            false => writer.supervisor("edits", "b:9092"),
        };
        let error = made.err().unwrap_or_else(|| panic!("{mode}: a text"));
        assert_eq!(error.class(), class, "{mode}: {error}");
        assert!(error.to_string().contains(words), "{mode}: `{words}` is not in: {error}");
    };
    check("no json in compaction", "that is no JSON", ErrorClass::Bug);
    check("another id in compaction", "with identifier `another`, expected `c1`", ErrorClass::Bug);
    check("another data source in compaction", "for another data source than `unruly`", ErrorClass::Bug);
    check("another interval in compaction", "of another interval", ErrorClass::Bug);
    check("config in compaction", "this task has no words", ErrorClass::Config);
    check("panic in compaction", "`write-compaction`", ErrorClass::Bug);
    check("no json in supervisor", "that is no JSON", ErrorClass::Bug);
    check("another data source in supervisor", "for another data source than `unruly`", ErrorClass::Bug);
    check("another topic in supervisor", "for another topic than `edits`", ErrorClass::Bug);
    check("other brokers in supervisor", "for another list of brokers than", ErrorClass::Bug);
    check("config in supervisor", "this topic has no words", ErrorClass::Config);
    check("panic in supervisor", "`write-supervisor`", ErrorClass::Bug);
}
