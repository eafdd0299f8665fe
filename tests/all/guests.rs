//! Plugins that misbehave, each beside a healthy connector in the same worker: the breach ends that
//! plugin's instance and is told in words, the healthy connector gets every record, and an input that
//! no plugin survives costs that input alone.

use host::ports::log::StoredRecord;
use host::worker::{TaskState, TaskStatus};
use host_emulators::edits::{Edit, Generator, Kind};
use host_emulators::{Handle, irc};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use tempfile::tempdir;
use tests::plugins::Plugin;
use tests::program::{self, Finished, Program};
use tests::records::{assert_dense, header, read_topic, text};
use tests::worker::{Connector, Running, start};
use tests::{feeds, wait_for};

const WITHIN: Duration = Duration::from_secs(30);
const MESSAGES: usize = 600;
/// Lines of the unruly connector's feed that are poison.
const POISON: [usize; 4] = [10, 11, 25, 39];

/// A connector that gives edits, its feed, and how many records it has to give.
fn healthy() -> (Handle, Connector, u64) {
    let options = irc::Options { rate: 0.0, seed: 2, limit: Some(MESSAGES as u64), ..irc::Options::default() };
    let emulator = feeds::irc(options);
    let connector = Connector::new("healthy", Plugin::WikiSource).irc(&emulator);
    let channels = ["#en.wikipedia", "#de.wikipedia", "#fr.wikipedia"];
    let edits = Generator::new(2).filter(Edit::is_on_irc).take(MESSAGES);
    let edits = edits.filter(|edit| channels.contains(&edit.wiki.channel) && !matches!(edit.kind, Kind::Log(_)));
    (emulator, connector, edits.count() as u64)
}

fn assert_healthy(running: &Running, records: u64) {
    let status = running.wait("healthy", "all its records", WITHIN, |status| status.counts.records == records);
    assert_eq!((status.state, status.restarts, status.counts.rejected), (TaskState::Running, 0, 0));
    let found = read_topic(running.log(), "wikipedia");
    assert_dense(&found);
    assert_eq!(found.len() as u64, records);
}

fn frames() -> Vec<String> {
    (0..40).map(|n| format!("{} {n}", if POISON.contains(&n) { "poison" } else { "frame" })).collect()
}

fn sound_frames() -> Vec<String> {
    frames().into_iter().filter(|frame| !frame.starts_with("poison")).collect()
}

fn poisoned_frames() -> Vec<String> {
    frames().into_iter().filter(|frame| frame.starts_with("poison")).collect()
}

/// A connector named `unruly` that misbehaves in a mode, restarted quickly and once.
fn unruly(dir: &Path, mode: &str) -> (Handle, Connector) {
    let lines = feeds::lines(dir, frames().iter().map(|frame| format!("#en.wikipedia\t{frame}")));
    let emulator = feeds::irc(irc::Options { rate: 0.0, lines: Some(lines), ..irc::Options::default() });
    let connector = Connector::new("unruly", Plugin::UnrulySource).irc(&emulator).set("mode", mode);
    let connector = connector.set("restart.max", 1).set("errors.retry.delay.max.ms", 20);
    (emulator, connector.set("task.shutdown.graceful.timeout.ms", 200))
}

/// Runs an unruly connector beside a healthy one until `condition` holds for it.
fn run_beside_healthy(
    dir: &Path,
    connector: Connector,
    what: &str,
    condition: impl Fn(&TaskStatus) -> bool,
) -> (Running, TaskStatus) {
    let (_feed, healthy, records) = healthy();
    let mut running = start(dir, &[connector, healthy], None);
    let status = running.wait("unruly", what, WITHIN, condition);
    assert_healthy(&running, records);
    running.stop();
    (running, status)
}

/// Checks that a mode fails its own task, with these words and after so many restarts.
fn check_failure(mode: &str, keys: &[(&str, &str)], restarts: u64, expected: &str) {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), mode);
    let connector = keys.iter().fold(connector, |connector, (key, value)| connector.set(key, value));
    let (_, status) = run_beside_healthy(dir.path(), connector, &format!("`{mode}` to fail"), |status| {
        matches!(status.state, TaskState::Failed(_))
    });
    let trace = status.state.trace().unwrap();
    assert!(trace.contains(expected), "{mode}: {trace}");
    assert!(trace.contains("plugin"), "{mode}: whose fault it is: {trace}");
    assert_eq!((status.restarts, status.counts.records), (restarts, 0), "{mode}: {status:?}");
}

/// Runs a plugin that gives each frame as a record, beside a healthy connector, and expects all of them.
pub(crate) fn check_delivers(plugin: Plugin) {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "none");
    let connector = connector.plugin_file(plugin.path()).unset("mode").set("topic", "unruly");
    check_delivery(connector, dir.path(), &frames(), &[]);
}

#[test]
fn a_plugin_that_traps_fails_alone() {
    check_failure("panic", &[], 1, "plugin `unruly_source@0.1.0`: `poll` panicked");
    check_failure("panic in open", &[], 1, "`open` panicked");
    check_failure("recurse", &[], 1, "`poll` trapped: ");
    check_failure("exit", &[], 1, "`poll` failed: ");
}

#[test]
fn a_plugin_that_panics_in_the_middle_of_a_host_call_fails_alone() {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "panic in a host callback");
    let failed = |status: &TaskStatus| matches!(status.state, TaskState::Failed(_));
    let (_, status) = run_beside_healthy(dir.path(), connector, "the connector to fail", failed);
    assert!(status.state.trace().unwrap().contains("plugin `unruly_source@0.1.0`: `poll` trapped: "), "{status:?}");
    assert_eq!(status.counts.records, 0);
}

#[test]
fn a_plugin_that_says_it_is_broken_fails_alone() {
    check_failure("bug", &[], 1, "plugin `unruly_source@0.1.0`: found itself broken");
}

#[test]
fn a_plugin_that_never_ends_a_call_fails_alone() {
    check_failure("loop", &[("cpu.max.ms", "100")], 1, "`poll` ran for more than 100 ms of CPU");
}

#[test]
fn a_plugin_that_sleeps_through_a_call_fails_alone() {
    check_failure("sleep", &[("call.timeout.ms", "2000")], 1, "`poll` took longer than 2000 ms");
}

#[test]
fn a_plugin_that_takes_all_memory_fails_alone() {
    check_failure("memory", &[("memory.max.bytes", "33554432")], 1, "wanted more than 33554432 bytes of memory");
}

#[test]
fn a_plugin_with_too_many_functions_fails_alone() {
    let expected = "`instantiate` wanted more than 3 function table entries";
    check_failure("none", &[("table.max.elements", "3")], 1, expected);
}

#[test]
fn a_plugin_that_calls_the_host_without_an_end_fails_alone() {
    let keys = [("host.calls.max.per.second", "500")];
    check_failure("call the host", &keys, 1, "`poll` called the host more than 500 times a second");
}

#[test]
fn a_plugin_that_returns_too_much_fails_alone() {
    check_failure("too many", &[("batch.max.records", "16")], 1, "returned 17 records, was asked for at most 16");
    let room = ("memory.max.bytes", "4294967296");
    check_failure("huge beyond measure", &[room], 1, "`poll` handed over more than its limit of 67108864 bytes");
    check_failure(
        "huge",
        &[("output.max.bytes", "1048576")],
        1,
        "`poll` handed over more than its limit of 1048576 bytes",
    );
    check_failure("huge", &[], 1, "returned 68157440 bytes in one call, its limit is 67108864");
    check_failure("huge reject", &[], 1, "bytes in one call, its limit is 67108864");
    check_failure("huge position", &[], 1, "returned a position of 1 and 66560 bytes, expected at most 1024 and 65536");
}

#[test]
fn a_plugin_that_returns_what_makes_no_sense_fails_alone() {
    check_failure("unsound columns", &[], 1, "batch of 1 records: column `key-lens` has 3 entries, expected 1");
    check_failure("unsound headers", &[], 1, "headers of record 0: header bytes break off at byte 0");
    check_failure("unsound rejects", &[], 1, "rejects of 1 inputs have columns of [0, 0, 0] entries and 0 bytes");
    check_failure("schema that is no json", &[], 1, "the plugin's schema is not JSON");
}

#[test]
fn a_plugin_that_refuses_its_options_fails_at_once() {
    check_failure("refuse as config", &[], 0, "plugin `unruly_source@0.1.0`: option `mode` asks to be refused");
    check_failure("refuse as deny", &[], 0, "nothing is granted to this mode");
}

#[test]
fn what_a_plugin_gave_before_it_refused_is_kept() {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "config later");
    let failed = |status: &TaskStatus| matches!(status.state, TaskState::Failed(_));
    let (running, status) = run_beside_healthy(dir.path(), connector, "a late refusal", failed);
    assert_eq!((status.restarts, status.state.trace().unwrap().contains("went stale")), (0, true), "{status:?}");
    let records = read_topic(running.log(), "unruly");
    assert_eq!(records.len() as u64, status.counts.records);
    assert!(frames().starts_with(&texts(&records)), "{records:?}");
}

fn texts(records: &[StoredRecord]) -> Vec<String> {
    records.iter().map(|record| text(record).to_owned()).collect()
}

/// Waits until an unruly connector has settled every frame, and checks what became of each.
fn check_delivery(connector: Connector, dir: &Path, records: &[String], letters: &[String]) -> (Running, TaskStatus) {
    let settled = |status: &TaskStatus| {
        let settled = status.counts.records + status.counts.rejected == (records.len() + letters.len()) as u64;
        (settled && status.state == TaskState::Running) || status.state.is_over()
    };
    let (running, status) = run_beside_healthy(dir, connector, "every frame to be settled", settled);
    assert_eq!(status.state, TaskState::Running, "{status:#?}");
    let found = read_topic(running.log(), "unruly");
    assert_dense(&found);
    assert_eq!(texts(&found), records);
    assert_eq!(texts(&read_topic(running.log(), "unruly-dlq")), letters);
    (running, status)
}

#[test]
fn an_input_that_kills_the_plugin_becomes_a_dead_letter_and_the_others_arrive_once() {
    let check = |mode: &str, keys: &[(&str, &str)], expected: &str| {
        let dir = tempdir().unwrap();
        let (_feed, connector) = unruly(dir.path(), mode);
        let connector = connector.set("restart.max", 10);
        let connector = keys.iter().fold(connector, |connector, (key, value)| connector.set(key, value));
        let (running, status) = check_delivery(connector, dir.path(), &sound_frames(), &poisoned_frames());
        assert!(status.restarts >= POISON.len() as u64, "{status:?}");
        for letter in read_topic(running.log(), "unruly-dlq") {
            let reason = header(&letter, "__connect.errors.exception.message").unwrap();
            assert!(reason.contains(expected), "{reason}");
            assert_eq!(header(&letter, "__connect.errors.stage"), Some("TASK_POLL"));
            assert_eq!(header(&letter, "host.origin"), Some("#en.wikipedia"));
        }
        let positions = running.log().positions("unruly").unwrap();
        assert_eq!(positions.len(), 1, "{positions:?}");
    };
    check("panic on poison", &[], "`poll` panicked");
    check("panic on poison", &[("batch.max.records", "1")], "`poll` panicked");
    check("loop on poison", &[("cpu.max.ms", "50")], "`poll` ran for more than 50 ms of CPU");
}

#[test]
fn an_input_that_kills_a_transform_becomes_a_dead_letter_and_the_others_arrive_once() {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "none");
    let connector = connector.set("restart.max", 10).transform(Plugin::UnrulyTransform, &[("mode", "panic on poison")]);
    check_delivery(connector, dir.path(), &sound_frames(), &poisoned_frames());
}

#[test]
fn a_value_that_is_not_the_json_its_schema_says_becomes_a_dead_letter() {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "not json");
    let connector = connector.set("value.converter.schemas.enable", false);
    let quoted: Vec<String> = sound_frames().iter().map(|frame| format!("{frame:?}")).collect();
    let (running, status) = check_delivery(connector, dir.path(), &quoted, &poisoned_frames());
    assert_eq!(status.restarts, 0, "a bad value is no defect that ends the instance");
    for letter in read_topic(running.log(), "unruly-dlq") {
        assert_eq!(header(&letter, "__connect.errors.stage"), Some("VALUE_CONVERTER"));
        let reason = header(&letter, "__connect.errors.exception.message").unwrap();
        assert!(reason.starts_with("the value is not one JSON text: "), "{reason}");
    }
}

#[test]
fn a_plugin_that_asks_for_another_try_gets_it() {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "retry twice");
    let (_, status) = check_delivery(connector, dir.path(), &frames(), &[]);
    assert_eq!((status.counts.retries, status.restarts), (2, 0));
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "none");
    let connector = connector.transform(Plugin::UnrulyTransform, &[("mode", "retry twice")]);
    let (_, status) = check_delivery(connector, dir.path(), &frames(), &[]);
    assert_eq!((status.counts.retries, status.restarts), (2, 0));
}

#[test]
fn a_plugin_that_panics_when_it_is_closed_has_delivered_all_the_same() {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "panic in close");
    let (mut running, _) = check_delivery(connector, dir.path(), &frames(), &[]);
    assert!(running.stop().iter().all(|status| status.state == TaskState::Stopped));
}

#[test]
fn a_transform_that_misbehaves_fails_its_own_connector() {
    let check = |mode: &str, expected: &str| {
        let dir = tempdir().unwrap();
        let (_feed, connector) = unruly(dir.path(), "none");
        let connector = connector.transform(Plugin::UnrulyTransform, &[("mode", mode)]);
        let failed = |status: &TaskStatus| matches!(status.state, TaskState::Failed(_));
        let (running, status) = run_beside_healthy(dir.path(), connector, "the connector to fail", failed);
        let trace = status.state.trace().unwrap();
        assert!(trace.contains(expected) && trace.contains("unruly_transform@0.1.0"), "{mode}: {trace}");
        assert!(read_topic(running.log(), "unruly").is_empty());
    };
    check("reject beyond the end", "1 reject indexes and 1 reasons for ");
    check("reject without a reason", "1 reject indexes and 0 reasons for ");
    check("unsound columns", "its lengths add up to");
}

#[test]
fn a_transform_that_makes_too_many_records_is_ended_and_its_connector_goes_on() {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "none");
    let connector = connector.transform(Plugin::UnrulyTransform, &[("mode", "none")]).set("output.max.records", 3);
    // What is in question is given one at a time after a defect, which is within the limit: it arrives.
    let (_, status) = check_delivery(connector.set("restart.max", 20), dir.path(), &frames(), &[]);
    assert!(status.restarts > 0, "{status:?}");
}

#[test]
fn what_plugins_use_and_which_limits_they_reach_are_metrics() {
    let dir = tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}", feeds::free_port());
    let (_feed, unruly) = unruly(dir.path(), "call the host");
    let (_other, healthy, _) = healthy();
    let text = format!(
        "[worker]\ndata.dir = 'host-data'\nlisteners = '{url}'\n{}{}",
        unruly.set("host.calls.max.per.second", 500).to_toml(),
        healthy.to_toml()
    );
    std::fs::write(dir.path().join("host.toml"), text).unwrap();
    let mut host = program::spawn(dir.path(), ["run", "host.toml"]);
    host.wait_stderr("look at the pipeline: ");
    let value = |metrics: &str, name: &str, labels: &str| {
        let line = metrics.lines().find(|line| line.starts_with(name) && line.contains(labels))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    let metrics = wait_for("metrics", WITHIN, || {
        let metrics = get(&url, "/metrics")?;
        let breaches = "connector_host_plugin_limit_breaches_total";
        (value(&metrics, breaches, "limit=\"host_calls\"")? >= 2.0).then_some(metrics)
    });
    let of = |name: &str| value(&metrics, &format!("connector_host_plugin_{name}"), "connector=\"healthy\"");
    for counted in [
        "host_calls_total",
        "calls_total",
        "output_bytes_total",
        "output_records_total",
        "memory_bytes",
        "table_elements",
        "cpu_microseconds_total",
        "call_microseconds_total",
        "open_feeds",
    ] {
        assert!(of(counted).is_some_and(|value| value > 0.0), "{counted}: {metrics}");
    }
    for named in
        ["state_bytes", "http_requests_total", "http_waits_total", "log_lines_total", "log_lines_dropped_total"]
    {
        assert!(of(named).is_some(), "{named}: {metrics}");
    }
    let limits = [
        "memory_bytes",
        "table_elements",
        "cpu_milliseconds",
        "wall_milliseconds",
        "output_bytes",
        "output_records",
        "host_calls_per_second",
        "http_requests_per_second",
        "open_feeds",
        "state_bytes",
        "log_lines_per_second",
    ];
    for limit in limits {
        let found = value(&metrics, "connector_host_plugin_limit{", &format!("limit=\"{limit}\""));
        assert!(found.is_some_and(|value| value > 0.0), "{limit}: {metrics}");
    }
    host.signal("INT");
    host.finish().expect(1);
}

/// What is at a path of a host's `listeners`.
pub(crate) fn get(url: &str, path: &str) -> Option<String> {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(answer)
}

#[test]
fn records_that_a_transform_drops_are_taken_for_done() {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "none");
    let connector = connector.transform(Plugin::UnrulyTransform, &[("mode", "drop all")]);
    let committed = |status: &TaskStatus| status.counts.commits > 0;
    let (running, _) = run_beside_healthy(dir.path(), connector, "a commit", committed);
    assert!(read_topic(running.log(), "unruly").is_empty());
    assert_eq!(running.log().positions("unruly").unwrap().len(), 1);
}

#[test]
fn a_plugin_that_invents_reasons_to_skip_does_not_fill_the_host() {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "invent reasons");
    let over = |status: &TaskStatus| status.counts.records == frames().len() as u64 || status.state.is_over();
    let (_, status) = run_beside_healthy(dir.path(), connector, "its records, or its end", over);
    let (reasons, skips) = (status.counts.skips.len(), status.counts.skips.values().sum::<u64>());
    assert!(reasons <= 10_000, "{reasons} reasons are kept for ever");
    assert!(skips == 100_000 || status.state.is_over(), "{skips} of 100000 are counted");
}

/// What a plugin finds that looks around, with these grants: the report up to the time, the time, and what was drawn.
fn looked_around(grants: &str) -> (String, u128, String) {
    let dir = tempdir().unwrap();
    let (_feed, connector) = unruly(dir.path(), "look around");
    let seen = |status: &TaskStatus| status.counts.records > 0;
    let (running, _) = run_beside_healthy(dir.path(), connector.set("grants", grants), "its report", seen);
    let report = text(&read_topic(running.log(), "unruly")[0]).to_owned();
    let (before, rest) = report.split_once(", time ").unwrap();
    let (time, drawn) = rest.split_once(", drawn ").unwrap();
    (before.to_owned(), time.parse().unwrap(), drawn.to_owned())
}

#[test]
fn a_plugin_sees_nothing_outside_of_its_sandbox() {
    let (report, time, drawn) = looked_around("feed");
    assert!(report.starts_with("env 0, files 0, file false, net Err("), "{report}");
    assert!(report.ends_with("name false"), "{report}");
    assert_eq!((time, &drawn), (0, &looked_around("feed").2), "neither time nor chance");
}

#[test]
fn a_plugin_has_time_and_chance_where_they_are_granted() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let (report, time, drawn) = looked_around("feed,clock,random");
    assert!(report.ends_with("name false") && time >= now, "{report}, {time}");
    assert_ne!(drawn, looked_around("feed,clock,random").2);
}

/// Starts the program with an unruly plugin, whose feed is the emulator.
fn start_program(dir: &Path, mode: &str, arguments: &[&str]) -> (Handle, Program) {
    let (emulator, _) = unruly(dir, mode);
    let port = format!("irc.port={}", emulator.addr().port());
    let (mode, plugin) = (format!("mode={mode}"), Plugin::UnrulySource.path().to_str().unwrap());
    let mut all = vec!["run", "--output", "json", "--plugin", plugin, "--set", "irc.host=127.0.0.1", "--set", &port];
    all.extend(["--set", &mode]);
    all.extend(arguments);
    (emulator, program::spawn(dir, all))
}

/// Runs the program until the unruly plugin has given all its records.
fn run_program(mode: &str) -> Finished {
    let dir = tempdir().unwrap();
    let (_emulator, program) = start_program(dir.path(), mode, &["--max-records", "40"]);
    let run = program.finish().expect(0);
    assert_eq!(run.json()["connectors"][0]["records"], 40);
    run
}

#[test]
fn a_plugin_that_floods_the_log_is_cut_short_and_delivers() {
    let run = run_program("flood the log");
    let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("flood ")).collect();
    // A hundred a second, in the second or two that this takes; the plugin wrote thousands.
    assert!(!lines.is_empty() && lines.len() <= 1000, "{} lines", lines.len());
    assert!(lines.iter().all(|line| line.len() < 9000), "a line is cut at 8 KiB");
}

#[test]
fn a_plugin_cannot_forge_the_log_nor_write_to_the_terminal() {
    let run = run_program("forge the log");
    assert!(run.stderr.contains(r"one\nline \u{1b}[31mand another"), "{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
    let run = run_program("print");
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("a guest's standard"), "{run:?}");
}

#[test]
fn a_plugin_that_never_returns_does_not_keep_the_host_from_stopping() {
    let check = |mode: &str, more: &[&str]| {
        let dir = tempdir().unwrap();
        let limit = ["--set", "task.shutdown.graceful.timeout.ms=300"];
        let (_emulator, mut program) = start_program(dir.path(), mode, &[&limit, more].concat());
        program.wait_stderr("IRC feed connected");
        program.signal("INT");
        let run = program.finish().expect(1);
        let connector = &run.json()["connectors"][0];
        assert_eq!((&connector["state"], &connector["records"]), (&"FAILED".into(), &0.into()));
        assert_eq!(connector["trace"], "did not stop within 300 ms");
        assert!(run.stderr.contains("error: connectors failed: `unruly_source`"), "{}", run.stderr);
    };
    check("sleep", &[]);
    check("loop", &["--set", "trusted=true"]);
}

#[test]
fn a_plugin_that_loops_when_it_is_closed_has_delivered_and_does_not_keep_the_host() {
    let dir = tempdir().unwrap();
    let limits = ["--set", "cpu.max.ms=100", "--max-records", "40"];
    let (_emulator, program) = start_program(dir.path(), "loop in close", &limits);
    let run = program.finish().expect(0);
    assert_eq!(
        (&run.json()["connectors"][0]["records"], &run.json()["connectors"][0]["state"]),
        (&40.into(), &"STOPPED".into())
    );
    assert!(run.stderr.contains("`close` ran for more than 100 ms of CPU"), "{}", run.stderr);
}
