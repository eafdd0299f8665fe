//! The program's face: help, what it prints for people and for programs, signals, pipes.

use host::io::embedded::EmbeddedLog;
use host::ports::log::{Commit, Log, TopicSpec, WriterId};
use host::record::BatchBuilder;
use host_emulators::edits::Generator;
use host_emulators::{Handle, irc};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use tempfile::{TempDir, tempdir};
use tests::plugins::Plugin;
use tests::program::{self, Finished, Program, WITHIN};
use tests::{feeds, wait_for, wait_until};

fn host(dir: &Path, line: &str) -> Finished {
    program::host(dir, line.split(' '))
}

/// `host run` of wiki_source on an emulator, data in `host-data`.
pub(crate) fn run(emulator: &Handle, more: &[&str]) -> Vec<String> {
    let plugin = Plugin::WikiSource.path().to_str().unwrap();
    let port = format!("irc.port={}", emulator.addr().port());
    let all = ["run", "--plugin", plugin, "--set", "irc.host=127.0.0.1", "--set", &port];
    all.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
}

pub(crate) fn emulated(rate: f64) -> Handle {
    feeds::irc(irc::Options { rate, ..irc::Options::default() })
}

/// A folder whose log has so many records.
fn filled(records: u64) -> TempDir {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 0.0, ..irc::Options::default() });
    let records = records.to_string();
    program::host(dir.path(), run(&emulator, &["--max-records", &records])).expect(0);
    dir
}

/// Offsets of the topic's records as `host log cat` prints them, checked to be dense.
pub(crate) fn offsets(dir: &Path) -> u64 {
    let cat = host(dir, "log cat wikipedia --output json").expect(0);
    let lines = cat.json_lines();
    for (expected, line) in (0_u64..).zip(&lines) {
        assert_eq!(line["offset"], expected);
    }
    lines.len() as u64
}

#[test]
fn help_is_written_for_someone_who_is_new_here() {
    let dir = tempdir().unwrap();
    let top = host(dir.path(), "--help").expect(0);
    for words in
        ["Begin with `host demo`", "Exit codes: 0 clean, 1 failed while running, 2 refused to start", "HOST_LOG"]
    {
        assert!(top.stdout.contains(words), "{}", top.stdout);
    }
    assert_eq!(top.stderr, "");
    let commands = [
        "run",
        "demo",
        "plugin build",
        "plugin inspect",
        "emulate irc",
        "emulate eventstreams",
        "emulate overlord",
        "emulate qumulo",
        "ingest plan",
        "ingest run",
        "ingest settle",
        "ingest spec",
        "ingest status",
        "ingest submit",
        "log cat",
        "log export",
        "log ls",
        "log tail",
    ];
    let mut without = Vec::new();
    for command in commands {
        let help = host(dir.path(), &format!("{command} --help")).expect(0).stdout;
        if !help.contains("Example") || !help.contains(&format!("  host {command}")) {
            without.push(command);
        }
    }
    assert!(without.is_empty(), "no example in the help of {without:?}");
    assert!(host(dir.path(), "--version").expect(0).stdout.starts_with("host 0."));
}

#[test]
fn a_plugin_is_inspected_for_people_and_for_programs() {
    let dir = tempdir().unwrap();
    let plugin = Plugin::WikiSource.path().to_str().unwrap();
    let json = host(dir.path(), &format!("plugin inspect {plugin} --output json")).expect(0).json();
    assert_eq!(
        (&json["name"], &json["version"], &json["world"]),
        (&"wiki_source".into(), &"0.1.0".into(), &"source".into())
    );
    assert_eq!(json["exports"], serde_json::json!(["connector:plugin/source-task@0.1.1"]));
    let imports: Vec<&str> =
        json["imports"].as_array().unwrap().iter().map(|import| import.as_str().unwrap()).collect();
    for import in ["connector:host/feed@0.1.1", "connector:host/geoip@0.1.1"] {
        assert!(imports.contains(&import), "{imports:?}");
    }
    assert_eq!(json["wants"][0]["capability"], "feed");
    assert_eq!(json["wants"][1]["optional"], true);
    assert_eq!(json["defaults"]["irc.port"], "6667");
    let names: Vec<&str> = json["options"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["rules", "extra.columns", "anonymous.temporary", "wikis"]);
    assert_eq!(json["bytes"].as_u64(), Some(Plugin::WikiSource.path().metadata().unwrap().len()));
    let digest = json["sha256"].as_str().unwrap();
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    let text = host(dir.path(), &format!("plugin inspect {plugin}")).expect(0);
    for words in ["wiki_source", "0.1.0", "source", "extra.columns", "feed", "optional", "irc.wikimedia.org", "dataset"]
    {
        assert!(text.stdout.contains(words), "{words}: {}", text.stdout);
    }
    assert_eq!(text.stderr, "");
}

#[test]
fn the_summary_is_a_table_for_people_and_one_object_for_programs() {
    let dir = tempdir().unwrap();
    let emulator = emulated(0.0);
    let finished = program::host(dir.path(), run(&emulator, &["--max-records", "200", "--output", "json"])).expect(0);
    let json = finished.json();
    let connector = &json["connectors"][0];
    assert_eq!(json["connectors"].as_array().unwrap().len(), 1);
    for (key, value) in [
        ("name", Value::from("wiki_source")),
        ("plugin", "wiki_source@0.1.0".into()),
        ("topic", "wikipedia".into()),
        ("state", "STOPPED".into()),
        ("trace", Value::Null),
        ("records", 200.into()),
        ("rejected", 0.into()),
        ("restarts", 0.into()),
        ("not_written", 0.into()),
    ] {
        assert_eq!(connector[key], value, "{key}");
    }
    for key in ["records_per_second", "bytes", "commits", "first_commit_ms"] {
        assert!(connector[key].is_u64(), "{key}: {connector}");
    }
    assert!(connector["feed"]["frames"].as_u64().unwrap() >= 200, "{connector}");
    assert!(json["duration_ms"].is_u64() && json["log"].is_string());
    assert!(
        finished.stderr.contains("connector `wiki_source`: plugin wiki_source@0.1.0, lent: feed; topic `wikipedia`")
    );

    let text = program::host(dir.path(), run(&emulator, &["--max-records", "1234"])).expect(0);
    for words in ["wiki_source", "STOPPED", "1,234", "0 dropped", "ran ", "host-data/log.db"] {
        assert!(text.stdout.contains(words), "{words}: {}", text.stdout);
    }
    assert_eq!(offsets(dir.path()), 1434);
}

#[test]
fn a_log_is_listed_and_printed_for_people_and_for_programs() {
    let dir = filled(120);
    let ls = host(dir.path(), "log ls").expect(0);
    assert!(ls.stdout.contains("wikipedia") && ls.stdout.contains("120"), "{}", ls.stdout);
    let ls = host(dir.path(), "log ls --output json").expect(0).json();
    let partitions = serde_json::json!([{ "partition": 0, "low": 0, "high": 120 }]);
    assert_eq!((&ls["topic"], &ls["partitions"]), (&"wikipedia".into(), &partitions));

    let cat = host(dir.path(), "log cat wikipedia --output json --from 100 --max 5").expect(0);
    let lines = cat.json_lines();
    assert_eq!(
        lines.iter().map(|line| line["offset"].as_i64().unwrap()).collect::<Vec<_>>(),
        [100, 101, 102, 103, 104]
    );
    for line in &lines {
        assert_eq!((&line["topic"], &line["partition"]), (&"wikipedia".into(), &0.into()));
        assert!(line["timestamp"].is_i64() && line["headers"] == serde_json::json!([]), "{line}");
        let value: Value = serde_json::from_str(line["value"].as_str().unwrap()).unwrap();
        assert!(value["payload"]["page"].is_string() && line["key"].is_string());
    }
    let cat = host(dir.path(), "log cat wikipedia").expect(0);
    assert_eq!(cat.stdout.lines().count(), 120);
    assert!(cat.stdout.starts_with("0:0  20"), "partition, offset, time: {}", &cat.stdout[..80]);
    assert!(!cat.stdout.chars().any(|c| c.is_control() && c != '\n'), "a record could drive the terminal");
    assert_eq!(host(dir.path(), "log cat wikipedia --max 0").expect(0).stdout, "");

    let tail = host(dir.path(), "log tail wikipedia -n 3 --max 3 --output json").expect(0);
    let lines = tail.json_lines();
    assert_eq!(lines.iter().map(|line| line["offset"].as_i64().unwrap()).collect::<Vec<_>>(), [117, 118, 119]);
}

#[test]
fn any_record_can_be_printed() {
    let dir = tempdir().unwrap();
    let log = EmbeddedLog::open(&dir.path().join("host-data"), None).unwrap();
    log.create_topic("odd", TopicSpec { retention: None, ..TopicSpec::default() }).unwrap();
    let mut batch = BatchBuilder::default();
    batch.push(None, None, &[], 0);
    batch.push(
        Some(b"\xff\x00"),
        Some(b"\x1b[31m\nred"),
        &[("h\x07", Some(b"\xfe")), ("none", None)],
        1_700_000_000_000,
    );
    // Microseconds where milliseconds are meant: the year 55,841.
    batch.push(None, Some(b"far"), &[], 1_700_000_000_000_000);
    batch.push(None, Some(b"past"), &[], -1);
    batch.push(None, Some(b"never"), &[], i64::MAX);
    batch.push(None, Some(b"last"), &[], i64::MIN);
    let commit = Commit { appends: vec![("odd".to_owned(), batch.build())], ..Commit::default() };
    log.writer(&WriterId { connector: "odd".to_owned(), task: 0 }).unwrap().commit(&commit).unwrap();
    drop(log);
    let lines = host(dir.path(), "log cat odd --output json").expect(0).json_lines();
    assert_eq!(lines.len(), 6);
    assert_eq!((&lines[0]["key"], &lines[0]["value"]), (&Value::Null, &Value::Null));
    assert_eq!((&lines[1]["key"]["hex"], &lines[1]["value"]), (&"ff00".into(), &"\u{1b}[31m\nred".into()));
    assert_eq!(lines[1]["headers"][0]["value"]["hex"], "fe");
    assert_eq!(lines[5]["timestamp"], i64::MIN);
    let text = host(dir.path(), "log cat odd").expect(0);
    assert_eq!((text.stdout.lines().count(), text.stderr.as_str()), (6, ""));
    assert!(!text.stdout.chars().any(|c| c.is_control() && c != '\n'), "a record could drive the terminal");
    assert!(text.stdout.contains("2023-11-14T22:13:20.000Z") && text.stdout.contains("(null)"), "{}", text.stdout);
}

#[test]
fn tail_prints_what_another_host_writes_meanwhile() {
    let dir = filled(10);
    let mut tail = program::spawn(dir.path(), ["log", "tail", "wikipedia", "-n", "2", "--output", "json"]);
    wait_until("the last two", WITHIN, || tail.stdout().lines().count() == 2);
    let emulator = emulated(0.0);
    program::host(dir.path(), run(&emulator, &["--max-records", "30"])).expect(0);
    wait_until("the new ones", WITHIN, || tail.stdout().lines().count() == 32);
    assert!(tail.is_running());
    tail.signal("INT");
    let tail = tail.finish().expect(0);
    let offsets: Vec<u64> = tail.json_lines().iter().map(|line| line["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (8..40).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let dir = filled(3000);
    for command in [["cat", "text"], ["cat", "json"], ["tail", "json"]] {
        let mut cat = program::command(dir.path());
        cat.args(["log", command[0], "wikipedia", "--output", command[1]]);
        if command[0] == "tail" {
            cat.args(["-n", "3000"]);
        }
        let mut cat = cat.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 100];
        cat.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let status = wait_for("the program to end", WITHIN, || cat.try_wait().unwrap());
        let mut said = String::new();
        cat.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{command:?}");
    }
}

#[test]
fn the_emulated_irc_feed_serves_any_client() {
    let dir = tempdir().unwrap();
    let mut emulator =
        program::spawn(dir.path(), ["emulate", "irc", "--listen", "127.0.0.1:0", "--rate", "500", "--seed", "7"]);
    let said = emulator.wait_stderr("; Ctrl-C stops it");
    let address = said.split("IRC feed on ").nth(1).unwrap().split(';').next().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(WITHIN)).unwrap();
    client.write_all(b"NICK someone\r\nUSER someone 0 * :someone\r\nJOIN #en.wikipedia\r\n").unwrap();
    let mut lines = BufReader::new(client).split(b'\n').map(|line| String::from_utf8(line.unwrap()).unwrap());
    let texts =
        lines.by_ref().filter_map(|line| Some(line.split_once(" PRIVMSG #en.wikipedia :")?.1.trim_end().to_owned()));
    let found: Vec<String> = texts.take(20).collect();
    let expected = Generator::new(7).filter(|edit| edit.wiki.channel == "#en.wikipedia").filter_map(|e| e.irc_text());
    for (found, expected) in found.iter().zip(expected) {
        assert!(expected.starts_with(found.as_str()), "{found}\n{expected}");
    }
    emulator.signal("INT");
    let finished = emulator.finish().expect(0);
    assert!(finished.stdout.is_empty() && finished.stderr.contains("frames sent"), "{finished:?}");
}

#[test]
fn the_emulated_event_stream_serves_any_client() {
    let dir = tempdir().unwrap();
    let mut emulator =
        program::spawn(dir.path(), ["emulate", "eventstreams", "--listen", "127.0.0.1:0", "--rate", "500"]);
    let said = emulator.wait_stderr("; Ctrl-C stops it");
    let address = said.split("recentchange on ").nth(1).unwrap().split(';').next().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(WITHIN)).unwrap();
    let request =
        "GET /v2/stream/recentchange HTTP/1.1\r\nHost: x\r\nUser-Agent: tests\r\nAccept: text/event-stream\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let lines = BufReader::new(client).lines().map(Result::unwrap);
    let data: Vec<String> = lines.filter_map(|line| Some(line.strip_prefix("data: ")?.to_owned())).take(20).collect();
    for event in data {
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!(event["$schema"], "/mediawiki/recentchange/1.0.0");
    }
    emulator.signal("TERM");
    emulator.finish().expect(0);
}

/// Starts a run and waits until records are in the log.
pub(crate) fn started(dir: &Path, arguments: Vec<String>) -> Program {
    let mut program = program::spawn(dir, arguments);
    wait_until("the first records", WITHIN, || {
        assert!(program.is_running(), "{}", program.stderr());
        let cat = host(dir, "log cat wikipedia --max 50");
        cat.stdout.lines().count() == 50
    });
    program
}

#[test]
fn an_interrupt_commits_what_is_in_hand_and_prints_the_summary() {
    for signal in ["INT", "TERM"] {
        let dir = tempdir().unwrap();
        let emulator = emulated(500.0);
        let program = started(dir.path(), run(&emulator, &["--output", "json"]));
        program.signal(signal);
        let finished = program.finish().expect(0);
        assert!(finished.stderr.contains("stopping: what is in hand is committed first"), "{}", finished.stderr);
        let connector = &finished.json()["connectors"][0];
        assert_eq!((&connector["state"], &connector["not_written"]), (&"STOPPED".into(), &0.into()));
        assert_eq!(connector["records"], offsets(dir.path()));
    }
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let dir = tempdir().unwrap();
    let emulator = emulated(50.0);
    let plugin = Plugin::UnrulySource.path().to_str().unwrap();
    let port = format!("irc.port={}", emulator.addr().port());
    // A guest that spins for as long as this test may take, and a host that would wait for it.
    let settings = ["irc.host=127.0.0.1", &port, "mode=loop", "cpu.max.ms=80000000", "call.timeout.ms=80000000"];
    let mut arguments = vec!["run", "--plugin", plugin, "--set", "task.shutdown.graceful.timeout.ms=80000000"];
    settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
    let mut program = program::spawn(dir.path(), arguments);
    program.wait_stderr("IRC feed connected");
    program.signal("INT");
    program.wait_stderr("once more to stop at once");
    assert!(program.is_running());
    program.signal("INT");
    program.finish().expect(1);
}

#[test]
fn a_run_ends_after_its_duration() {
    let dir = tempdir().unwrap();
    let emulator = emulated(500.0);
    let finished = program::host(dir.path(), run(&emulator, &["--duration", "3s", "--output", "json"])).expect(0);
    assert_eq!(finished.json()["connectors"][0]["records"], offsets(dir.path()));
    let finished = program::host(dir.path(), run(&emulator, &["--max-records", "0", "--output", "json"])).expect(0);
    assert_eq!(finished.json()["connectors"][0]["records"], 0);
}

#[test]
fn the_demonstration_runs_and_ends_by_itself() {
    let dir = tempdir().unwrap();
    let finished = host(dir.path(), "demo --records 2000 --rate 0 --output json").expect(0);
    let connector = &finished.json()["connectors"][0];
    assert_eq!((&connector["records"], &connector["feed"]["dropped"]), (&2000.into(), &0.into()));
    assert!(finished.stderr.contains("look at the records: host log cat wikipedia"), "{}", finished.stderr);
    assert_eq!(offsets(dir.path()), 2000);
}
