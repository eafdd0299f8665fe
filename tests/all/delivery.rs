//! The main job, end to end in this process: an emulated feed, the wiki_source component in its
//! sandbox, the embedded log. What comes out is compared with what the emulator was going to send,
//! edit by edit: nothing is missing, twice, or out of order.

use host::ports::log::{PositionEntry, StoredRecord};
use host::worker::{TaskState, TaskStatus};
use host_emulators::edits::{Edit, Generator, Kind};
use host_emulators::{Fault, Handle, Lines, eventstreams, irc};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tempfile::tempdir;
use tests::mmdb::{self, Network};
use tests::plugins::{Plugin, root};
use tests::records::{assert_dense, header, json, payload, read_topic, text};
use tests::worker::{Connector, Running, start};
use tests::{feeds, wait_until};

const WITHIN: Duration = Duration::from_secs(60);
const TOPIC: &str = "wikipedia";
/// The channels that wiki_source joins unless told otherwise.
const CHANNELS: [&str; 3] = ["#en.wikipedia", "#fr.wikipedia", "#de.wikipedia"];

fn wikipedia(emulator: &Handle) -> Connector {
    Connector::new("wikipedia", Plugin::WikiSource).irc(emulator)
}

/// What an IRC emulator sends to [`CHANNELS`] when it stops after `limit` messages.
fn irc_edits(seed: u64, limit: usize) -> Vec<Edit> {
    let on_irc = Generator::new(seed).filter(Edit::is_on_irc).take(limit);
    on_irc.filter(|edit| CHANNELS.contains(&edit.wiki.channel)).collect()
}

fn is_record(edit: &&Edit) -> bool {
    matches!(edit.kind, Kind::Edit | Kind::New)
}

fn pages<'a>(edits: impl IntoIterator<Item = &'a Edit>) -> Vec<String> {
    edits.into_iter().filter(is_record).map(|edit| format!("{} {}", edit.wiki.channel, edit.title)).collect()
}

fn pages_of(records: &[StoredRecord]) -> Vec<String> {
    let page = |record| {
        let row = payload(record);
        format!("{} {}", row["channel"].as_str().unwrap(), row["page"].as_str().unwrap())
    };
    records.iter().map(page).collect()
}

/// Everything a feed gave ended somewhere.
fn assert_accounted(status: &TaskStatus) {
    let feed = status.feed.as_ref().unwrap();
    let counts = &status.counts;
    let accounted = counts.records + counts.rejected + counts.skips.values().sum::<u64>();
    assert_eq!((feed.received, feed.overflowed), (accounted, 0), "{status:#?}");
}

fn wait_for_inputs(running: &Running, inputs: usize) -> TaskStatus {
    running.wait("wikipedia", &format!("{inputs} inputs to be accounted for"), WITHIN, |status| {
        let counts = &status.counts;
        counts.records + counts.rejected + counts.skips.values().sum::<u64>() >= inputs as u64
    })
}

#[test]
fn every_edit_of_the_irc_feed_becomes_one_record() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 0.0, seed: 7, limit: Some(4000), ..irc::Options::default() });
    let edits = irc_edits(7, 4000);
    // A buffer far smaller than the feed: what is committed must make room.
    let connector = wikipedia(&emulator).set("feed.buffer.bytes", 65536);
    let mut running = start(dir.path(), &[connector], None);
    let status = wait_for_inputs(&running, edits.len());
    let statuses = running.stop();
    assert_eq!(statuses[0].state, TaskState::Stopped);
    assert_accounted(&status);
    assert_eq!(emulator.stats().frames_sent, status.feed.unwrap().received);

    let records = read_topic(running.log(), TOPIC);
    assert_dense(&records);
    assert_eq!(pages_of(&records), pages(&edits));
    assert_eq!(status.counts.records, records.len() as u64);
    assert_eq!(status.counts.rejected, 0);
    let bytes = |r: &StoredRecord| r.key.as_ref().map_or(0, Vec::len) + r.value.as_ref().map_or(0, Vec::len);
    assert_eq!(status.counts.bytes, records.iter().map(bytes).sum::<usize>() as u64);
    let logs = edits.iter().filter(|edit| !is_record(edit)).count() as u64;
    assert_eq!(status.counts.skips.get("log entry"), Some(&logs));

    // Connect's envelope, for key and value.
    let value = json(&records[0]);
    assert_eq!(value["schema"]["name"], "WikipediaMessage");
    let key: serde_json::Value = serde_json::from_slice(records[0].key.as_deref().unwrap()).unwrap();
    assert_eq!(key["schema"], json!({ "type": "int64", "optional": false }));
    assert_eq!(key["payload"].as_i64(), Some(records[0].timestamp), "the key is the time of receipt");

    let positions = running.log().positions("wikipedia").unwrap();
    for channel in CHANNELS {
        let partition = json!({ "channel": channel }).to_string().into_bytes();
        let position = positions.iter().find(|entry| entry.partition == partition).expect(channel);
        let position: serde_json::Value = serde_json::from_slice(&position.position).unwrap();
        assert!(position["timestamp"].is_i64(), "{channel}: {position}");
    }
}

#[test]
fn a_run_with_a_number_of_records_ends_with_exactly_that_many_and_the_next_goes_on() {
    let dir = tempdir().unwrap();
    let mut total = 0;
    for wanted in [1, 100, 1024, 2500] {
        let emulator = feeds::irc(irc::Options { rate: 0.0, seed: wanted, ..irc::Options::default() });
        let mut running = start(dir.path(), &[wikipedia(&emulator)], Some(wanted));
        let statuses = running.finish(WITHIN);
        assert_eq!((statuses[0].counts.records, &statuses[0].state), (wanted, &TaskState::Stopped));
        let records = read_topic(running.log(), TOPIC);
        assert_dense(&records);
        assert_eq!(records.len() as u64, total + wanted);
        let new = pages_of(&records[usize::try_from(total).unwrap()..]);
        assert_eq!(new, pages(&irc_edits(wanted, 20_000))[..new.len()], "each run has its own edits, in order");
        total += wanted;
    }
}

#[test]
fn without_schemas_keys_and_values_are_bare_json() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 0.0, ..irc::Options::default() });
    let connector = wikipedia(&emulator)
        .set("key.converter.schemas.enable", false)
        .set("value.converter.schemas.enable", false)
        .set("topic", "bare");
    let mut running = start(dir.path(), &[connector], Some(50));
    running.finish(WITHIN);
    let records = read_topic(running.log(), "bare");
    assert_eq!(records.len(), 50);
    for record in &records {
        assert_eq!(record.key.as_deref(), Some(record.timestamp.to_string().as_bytes()));
        assert!(text(record).starts_with(r##"{"isRobot":"##), "{}", text(record));
        assert!(json(record)["page"].is_string());
    }
}

#[test]
fn transforms_drop_what_they_are_told_to() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 0.0, seed: 3, limit: Some(2000), ..irc::Options::default() });
    let edits = irc_edits(3, 2000);
    let connector = wikipedia(&emulator)
        .transform(Plugin::SelectEdits, &[("robots", "drop")])
        .transform(Plugin::SelectEdits, &[("min.delta", "50")]);
    let mut running = start(dir.path(), &[connector], None);
    let status = wait_for_inputs(&running, edits.len());
    running.stop();
    assert_accounted(&status);
    let by_people = || edits.iter().filter(is_record).filter(|edit| !edit.bot);
    let is_large = |edit: &&Edit| edit.delta().unwrap_or(0).unsigned_abs() >= 50;
    let records = read_topic(running.log(), TOPIC);
    assert_eq!(pages_of(&records), pages(by_people().filter(is_large)));
    let skips = &status.counts.skips;
    assert_eq!(skips["robot"], (edits.iter().filter(is_record).count() - by_people().count()) as u64);
    assert_eq!(skips["small change"], (by_people().count() - records.len()) as u64);
    assert!(skips["robot"] > 50 && skips["small change"] > 50, "the sample says something: {skips:?}");
}

#[test]
fn lines_that_cannot_be_decoded_are_kept_as_dead_letters_with_their_bytes() {
    let dir = tempdir().unwrap();
    let path = root().join("tests/fixtures/wire/irc/lines.txt");
    let bytes = std::fs::read(&path).unwrap();
    let lines: Vec<(&[u8], &[u8])> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| Some(line.split_at(line.iter().position(|byte| *byte == b'\t')?)))
        .map(|(channel, text)| (channel, &text[1..]))
        .collect();
    let recorded = Some(Lines::read(&path).unwrap());
    let emulator = feeds::irc(irc::Options { rate: 0.0, lines: recorded, ..irc::Options::default() });
    let connector = wikipedia(&emulator).set("irc.channels", "#en.wikipedia,#de.wikipedia");
    let mut running = start(dir.path(), &[connector], None);
    let status = wait_for_inputs(&running, lines.len());
    running.stop();
    assert_accounted(&status);
    let records = read_topic(running.log(), TOPIC);
    let rows: Vec<_> = records.iter().map(payload).collect();
    let page = |index: usize| rows[index]["page"].as_str().unwrap();
    assert_eq!(
        (0..rows.len()).map(page).collect::<Vec<_>>(),
        ["Paper lantern", "Diskussion:Papierlaterne", "Talk:Kite", "Torn bytes", "日本語 \"quoted\" \\ back"]
    );
    assert_eq!((&rows[1]["delta"], &rows[1]["isRobot"]), (&json!(-1204), &json!(true)));
    assert_eq!((&rows[2]["user"], &rows[2]["isAnonymous"]), (&json!("192.0.2.7"), &json!(true)));
    assert_eq!(rows[3]["user"], "Bell\u{fffd}ringer");
    assert_eq!(status.counts.skips["log entry"], 1);

    let letters = read_topic(running.log(), "wikipedia-dlq");
    assert_dense(&letters);
    let raw: Vec<&[u8]> = letters.iter().map(|letter| letter.value.as_deref().unwrap()).collect();
    assert_eq!(raw, [2, 5, 7, 8].map(|line| lines[line].1), "the bytes as they came");
    for letter in &letters {
        let get = |name: &str| header(letter, &format!("__connect.errors.{name}")).unwrap();
        assert_eq!(get("topic"), TOPIC);
        assert_eq!(get("connector.name"), "wikipedia");
        assert_eq!(get("task.id"), "0");
        assert_eq!(get("stage"), "TASK_POLL");
        assert_eq!(get("class.name"), "wiki_source@0.1.0");
        assert!(get("exception.message").starts_with("irc line stops making sense at byte "), "{letter:?}");
        assert_eq!(header(letter, "host.origin"), Some("#en.wikipedia"));
    }
}

/// The event ids of a topic, checked to be there once each.
fn event_ids(records: &[StoredRecord]) -> BTreeSet<String> {
    assert_dense(records);
    let ids: Vec<String> = records.iter().map(|r| payload(r)["eventId"].as_str().unwrap().to_owned()).collect();
    let distinct: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(ids.len(), distinct.len(), "an event came twice");
    distinct
}

fn stream_ids(seed: u64, limit: usize) -> BTreeSet<String> {
    Generator::new(seed).take(limit).filter(|edit| is_record(&edit)).map(|edit| edit.uuid()).collect()
}

fn stream(emulator: &Handle) -> Connector {
    Connector::new("wikipedia", Plugin::WikiSource).eventstreams(emulator).set("extra.columns", true)
}

fn wait_for_records(running: &Running, records: usize) -> TaskStatus {
    let what = format!("{records} records");
    running.wait("wikipedia", &what, WITHIN, |status| status.counts.records >= records as u64)
}

#[test]
fn a_stream_that_is_cut_again_and_again_gives_every_event_exactly_once() {
    let dir = tempdir().unwrap();
    let limit = 3000;
    let options = eventstreams::Options { rate: 1000.0, seed: 5, limit: Some(limit), ..Default::default() };
    let emulator = feeds::eventstreams(options);
    let expected = stream_ids(5, usize::try_from(limit).unwrap());
    let mut running = start(dir.path(), &[stream(&emulator)], None);
    for part in 1..=3 {
        wait_for_records(&running, part * 300);
        let clients = emulator.stats().clients_ever;
        emulator.fault(Fault::CutAll);
        feeds::wait_for_stats(&emulator, "the host to come back", WITHIN, |stats| stats.clients_ever > clients);
    }
    let status = wait_for_records(&running, expected.len());
    running.stop();
    assert_eq!(event_ids(&read_topic(running.log(), TOPIC)), expected);
    assert_eq!(status.feed.unwrap().reconnects, 3);
    assert_eq!(status.counts.rejected, 0);
    assert!(emulator.stats().last_event_id.is_some());
    assert!(status.counts.skips["canary"] >= limit / 500, "{:?}", status.counts.skips);
}

#[test]
fn a_stream_goes_on_after_a_restart_where_the_last_commit_was() {
    let dir = tempdir().unwrap();
    let limit = 3000;
    let options = eventstreams::Options { rate: 1000.0, seed: 6, limit: Some(limit), ..Default::default() };
    let emulator = feeds::eventstreams(options);
    let expected = stream_ids(6, usize::try_from(limit).unwrap());
    let mut before: Vec<PositionEntry> = Vec::new();
    let mut total = 0;
    for part in 1..=3 {
        let mut running = start(dir.path(), &[stream(&emulator)], None);
        wait_for_records(&running, 300);
        total += usize::try_from(running.stop()[0].counts.records).unwrap();
        let positions = running.log().positions("wikipedia").unwrap();
        assert_eq!(positions.len(), 1, "{positions:?}");
        assert_ne!(positions, before, "the position moves on");
        before = positions;
        assert_eq!(read_topic(running.log(), TOPIC).len(), total, "life {part}");
    }
    let mut running = start(dir.path(), &[stream(&emulator)], None);
    wait_for_records(&running, expected.len() - total);
    running.stop();
    assert_eq!(event_ids(&read_topic(running.log(), TOPIC)), expected);
}

#[test]
fn two_connectors_of_one_worker_do_not_mix() {
    let dir = tempdir().unwrap();
    let emulators = [11, 12].map(|seed| feeds::irc(irc::Options { rate: 0.0, seed, ..irc::Options::default() }));
    let connector = |name: &str, emulator| Connector::new(name, Plugin::WikiSource).irc(emulator).set("topic", name);
    let connectors = [connector("one", &emulators[0]), connector("two", &emulators[1])];
    let mut running = start(dir.path(), &connectors, Some(500));
    running.finish(WITHIN);
    for (topic, seed) in [("one", 11), ("two", 12)] {
        let records = read_topic(running.log(), topic);
        assert_dense(&records);
        assert_eq!(pages_of(&records), pages(&irc_edits(seed, 10_000))[..500]);
    }
}

fn address_lines(dir: &Path) -> Lines {
    let line =
        |user: &str| format!("#en.wikipedia\t[[Kite]]  https://en.wikipedia.org/w/?diff=2&oldid=1 * {user} * (+5) x");
    feeds::lines(dir, ["192.0.2.77", "2001:DB8:0:0:0:0:0:9", "198.51.100.1", "Marsh Wren", "192.0.3.1"].map(line))
}

#[test]
fn a_database_of_places_is_lent_through_the_sandbox() {
    let dir = tempdir().unwrap();
    let database = dir.path().join("city.mmdb");
    mmdb::write(
        &database,
        &[
            Network {
                cidr: "192.0.2.0/24",
                country: ("NL", "Netherlands"),
                region: Some(("NH", "North Holland")),
                city: Some("Amsterdam"),
            },
            Network { cidr: "2001:db8::/32", country: ("JP", "Japan"), region: None, city: None },
        ],
    );
    let columns = ["countryIsoCode", "countryName", "regionIsoCode", "regionName", "cityName"];
    let run = |name: &str, lend: &dyn Fn(Connector) -> Connector| {
        let lines = Some(address_lines(dir.path()));
        let emulator = feeds::irc(irc::Options { rate: 0.0, lines, ..irc::Options::default() });
        let connector = wikipedia(&emulator).set("irc.channels", "#en.wikipedia");
        let mut running = start(&dir.path().join(name), &[lend(connector)], Some(5));
        running.finish(WITHIN);
        read_topic(running.log(), TOPIC)
    };
    let with =
        run("with", &|connector| connector.set("grants", "feed,geoip").set("geoip.database", database.display()));
    let places: Vec<Vec<serde_json::Value>> =
        with.iter().map(|record| columns.iter().map(|column| payload(record)[*column].clone()).collect()).collect();
    assert_eq!(json!(places[0]), json!(["NL", "Netherlands", "NH", "North Holland", "Amsterdam"]));
    assert_eq!(json!(places[1]), json!(["JP", "Japan", null, null, null]));
    for nowhere in &places[2..] {
        assert_eq!(json!(nowhere), json!([null, null, null, null, null]));
    }
    assert!(json(&with[0])["schema"].to_string().contains("countryIsoCode"));
    let without = run("without", &|connector| connector);
    assert!(!without.iter().any(|record| text(record).contains("countryIsoCode")));
}

#[test]
fn a_slow_log_reader_in_another_place_sees_only_whole_commits() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 2000.0, ..irc::Options::default() });
    let connector = wikipedia(&emulator).set("transaction.boundary.interval.ms", 20);
    let mut running = start(dir.path(), &[connector], Some(1000));
    let mut seen = 0;
    let reader = std::cell::OnceCell::new();
    wait_until("the reader to have seen all", WITHIN, || {
        if reader.get().is_none()
            && let Ok(log) = host::io::embedded::EmbeddedLog::open_read_only(dir.path())
        {
            let _ = reader.set(log);
        }
        let Some(log) = reader.get() else { return false };
        let records = read_topic(log, TOPIC);
        assert_dense(&records);
        assert!(records.len() >= seen, "records went away");
        seen = records.len();
        // Positions are committed with the records, so a reader never sees one without the other.
        assert_eq!(seen > 0, !host::ports::log::Log::positions(log, "wikipedia").unwrap().is_empty());
        seen == 1000
    });
    running.finish(WITHIN);
}
