//! A broker that dies under a running host.

use crate::support::{
    WITHIN, assert_each_once, commit_of, commit_until_made, connect, edits, end, id, irc_config, read, read_now, values,
};
use host::ports::log::{Log, TopicSpec};
use host_emulators::edits::Edit;
use host_emulators::irc;
use systems::kafka::Kafka;
use systems::or_skip;
use tempfile::tempdir;
use tests::feeds::{self, wait_for_stats};
use tests::program::spawn;
use tests::wait_until;

const CHANNELS: [&str; 3] = ["#en.wikipedia", "#fr.wikipedia", "#de.wikipedia"];

#[test]
fn a_broker_that_dies_and_comes_back_loses_nothing_and_doubles_nothing() {
    let Some(mut kafka) = or_skip(Kafka::start()) else { return };
    let bootstrap = kafka.bootstrap().to_owned();
    let dir = tempdir().unwrap();
    let limit = 8000;
    let options = irc::Options { rate: 250.0, seed: 31, limit: Some(limit), ..irc::Options::default() };
    let emulator = feeds::irc(options);
    let on_irc = edits(31, usize::try_from(limit).unwrap(), Edit::is_on_irc);
    let expected: Vec<&Edit> = on_irc.iter().filter(|edit| CHANNELS.contains(&edit.wiki.channel)).collect();
    let config = irc_config(dir.path(), &bootstrap, "outage", &emulator);
    let mut running = spawn(dir.path(), ["run", config.to_str().unwrap(), "--duration", "5m", "--output", "json"]);
    wait_until("records to flow", WITHIN, || end(&bootstrap, "outage") > 100);
    kafka.kill().unwrap();
    running.wait_stderr("trying again");
    kafka.restart().unwrap();
    // Not a number of further records: on a busy machine all of them may be there by now.
    running.wait_stderr("works again");
    wait_for_stats(&emulator, "all to be sent", WITHIN, |stats| stats.produced == limit);
    wait_until("all to be in the topic", WITHIN, || read_now(&bootstrap, "outage").len() >= expected.len());
    running.signal("INT");
    let finished = running.finish().expect(0);
    let summary = finished.json();
    let connector = &summary["connectors"][0];
    assert_eq!(connector["feed"]["dropped"], 0, "{summary}");
    assert_eq!(connector["records"], expected.len(), "{summary}");
    assert_eq!(emulator.stats().dropped, 0, "the emulator dropped frames: {summary}");
    let records = read(&bootstrap, "outage");
    let found: Vec<String> = records.iter().map(|r| r.json()["page"].as_str().unwrap().to_owned()).collect();
    let pages: Vec<String> = expected.iter().map(|edit| edit.title.clone()).collect();
    assert!(found == pages, "{} records for {} edits, or not in their order", found.len(), pages.len());
    let urls = records.iter().map(|r| r.json()["diffUrl"].as_str().unwrap().to_owned());
    assert_each_once(&records, "diffUrl", std::collections::BTreeSet::from_iter(urls));
}

#[test]
fn a_writer_goes_on_after_its_broker_was_restarted() {
    let Some(mut kafka) = or_skip(Kafka::start()) else { return };
    let log = connect(kafka.bootstrap());
    log.create_topic("restarted", TopicSpec::default()).unwrap();
    let mut writer = log.writer(&id("restarted")).unwrap();
    writer.commit(&commit_of("restarted", &["a"])).unwrap();
    kafka.stop().unwrap();
    kafka.restart().unwrap();
    commit_until_made(writer.as_mut(), &commit_of("restarted", &["b"]));
    kafka.kill().unwrap();
    kafka.restart().unwrap();
    commit_until_made(writer.as_mut(), &commit_of("restarted", &["c"]));
    assert_eq!(values(kafka.bootstrap(), "restarted"), ["a", "b", "c"]);
}
