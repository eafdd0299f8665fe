//! The host as a program: feed to Kafka, looking into it, exporting to it.

use crate::support::{assert_each_once, connect, edits, kafka, read};
use host::ports::log::Log;
use host_emulators::edits::Edit;
use host_emulators::irc;
use std::time::{Duration, Instant};
use tempfile::tempdir;
use tests::feeds::{self, free_port};
use tests::plugins::{Plugin, root};
use tests::program::host;

const CHANNELS: [&str; 3] = ["#en.wikipedia", "#fr.wikipedia", "#de.wikipedia"];

fn is_joined(edit: &Edit) -> bool {
    edit.is_on_irc() && CHANNELS.contains(&edit.wiki.channel)
}

#[test]
fn the_irc_feed_arrives_in_kafka_record_for_record() {
    let Some(kafka) = kafka() else { return };
    let dir = tempdir().unwrap();
    let plugin = dir.path().join("wiki_source.wasm");
    let sources = root().join(Plugin::WikiSource.folder());
    let built = ["plugin".as_ref(), "build".as_ref(), sources.as_os_str(), "-o".as_ref(), plugin.as_os_str()];
    host(dir.path(), built).expect(0);
    let emulator = feeds::irc(irc::Options { rate: 0.0, seed: 11, ..irc::Options::default() });
    let address = emulator.addr();
    let bootstrap = kafka.bootstrap();
    let run = format!(
        "run --plugin {} --set bootstrap.servers={bootstrap} --set irc.host=127.0.0.1 --set irc.port={} \
         --set feed.overflow=block --set value.converter.schemas.enable=false --max-records 5000 --output json",
        plugin.display(),
        address.port()
    );
    let summary = host(dir.path(), run.split(' ')).expect(0).json();
    assert_eq!(summary["connectors"][0]["records"], 5000, "{summary}");
    assert_eq!(summary["connectors"][0]["feed"]["dropped"], 0, "{summary}");
    let records = read(bootstrap, "wikipedia");
    assert_eq!(records.len(), 5000);
    let sent: Vec<Edit> = edits(11, 20_000, is_joined).into_iter().take(5000).collect();
    let titles = sent.iter().map(|edit| (edit.wiki.channel.to_owned(), edit.title.clone()));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let found = records.iter().map(|record| {
        let row = record.json();
        (text(&row["channel"]), text(&row["page"]))
    });
    assert!(found.eq(titles), "not the edits that the feed sent, in their order");

    let ls = host(dir.path(), ["log", "ls", "--bootstrap", bootstrap, "--output", "json"]).expect(0);
    let topic = ls.json_lines().into_iter().find(|line| line["topic"] == "wikipedia").unwrap();
    assert_eq!(topic["partitions"][0]["low"], 0, "{topic}");
    assert!(topic["partitions"][0]["high"].as_i64().unwrap() > 5000, "{topic}");
    let cat = host(dir.path(), ["log", "cat", "wikipedia", "--bootstrap", bootstrap, "--output", "json"]).expect(0);
    let lines = cat.json_lines();
    assert_eq!(lines.len(), 5000);
    assert!(lines.iter().zip(&records).all(|(line, record)| line["value"].as_str() == record.value.as_deref()));
    let few = ["log", "cat", "wikipedia", "--bootstrap", bootstrap, "--from", "100", "--max", "3"];
    assert_eq!(host(dir.path(), few).expect(0).stdout.lines().count(), 3);
    let wrong = host(dir.path(), ["log", "cat", "wikipedai", "--bootstrap", bootstrap]).expect(2);
    assert!(wrong.stderr.contains("has no topic `wikipedai`"), "{}", wrong.stderr);
}

#[test]
fn an_export_copies_all_and_the_next_one_only_what_is_new() {
    let Some(kafka) = kafka() else { return };
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 0.0, seed: 12, ..irc::Options::default() });
    let run = format!(
        "run --plugin {} --topic exported --data-dir data --set irc.host=127.0.0.1 --set irc.port={} \
         --set feed.overflow=block --output json",
        Plugin::WikiSource.path().display(),
        emulator.addr().port()
    );
    let fill = |count: &str| host(dir.path(), run.split(' ').chain(["--max-records", count])).expect(0);
    fill("3000");
    let export = || {
        let arguments = ["log", "export", "exported", "--data-dir", "data", "--bootstrap", kafka.bootstrap()];
        host(dir.path(), arguments).expect(0).stderr
    };
    let source = || {
        let cat = ["log", "cat", "exported", "--data-dir", "data", "--output", "json"];
        let lines = host(dir.path(), cat).expect(0).json_lines();
        lines.into_iter().map(|line| (line["key"].to_string(), line["value"].to_string())).collect::<Vec<_>>()
    };
    let target = || {
        let text = |text: Option<String>| serde_json::json!(text).to_string();
        let records = read(kafka.bootstrap(), "exported").into_iter();
        records.map(|record| (text(record.key), text(record.value))).collect::<Vec<_>>()
    };
    assert!(export().contains("3,000 records copied"));
    assert!(target() == source(), "not the records of the embedded log");
    assert!(export().contains("topic `exported`: 0 records copied"));
    fill("500");
    assert!(export().contains("500 records copied"));
    assert_eq!(target().len(), 3500);
    assert!(target() == source(), "not the records of the embedded log after going on");
}

#[test]
fn a_broker_that_is_down_at_the_start_is_a_refusal() {
    // No broker is needed for this.
    let dir = tempdir().unwrap();
    let (kafka, feed) = (free_port(), free_port());
    let run = format!(
        "run --plugin {} --set bootstrap.servers=127.0.0.1:{kafka} --set irc.host=127.0.0.1 --set irc.port={feed}",
        Plugin::WikiSource.path().display()
    );
    let began = Instant::now();
    let refused = host(dir.path(), run.split(' ')).expect(2);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(refused.stderr.contains(&format!("Kafka at `127.0.0.1:{kafka}` gave no metadata")), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: is the broker running"), "{}", refused.stderr);
}

#[test]
fn columns_of_records_come_back_through_the_hosts_own_reader() {
    let Some(kafka) = kafka() else { return };
    let dir = tempdir().unwrap();
    let emulator =
        feeds::eventstreams(host_emulators::eventstreams::Options { rate: 0.0, seed: 13, ..Default::default() });
    let config = crate::support::eventstreams_config(dir.path(), kafka.bootstrap(), "columns", &emulator);
    host(dir.path(), ["run", config.to_str().unwrap(), "--max-records", "1000"]).expect(0);
    let sent = edits(13, 10_000, |_| true);
    let records = read(kafka.bootstrap(), "columns");
    assert_each_once(&records, "eventId", sent.iter().take(1000).map(Edit::uuid));
    let log = connect(kafka.bootstrap());
    let stored = tests::records::read_topic(&log, "columns");
    assert!(stored.iter().zip(&records).all(|(ours, theirs)| ours.offset == theirs.offset
        && ours.value.as_deref() == theirs.value.as_deref().map(str::as_bytes)));
    assert_eq!(stored.len(), 1000);
    let positions = log.positions("columns").unwrap();
    assert_eq!(positions.len(), 1, "{positions:?}");
    assert_eq!(positions[0].partition, br#"{"stream":"recentchange"}"#);
}
