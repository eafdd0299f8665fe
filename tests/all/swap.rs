//! Plugins that are swapped while records flow: nothing is lost or doubled, the feed stays connected, and a version
//! that does not fit, or does worse, leaves the one that ran.

use crate::cli::offsets;
use host::connector::Limits;
use host::error::ErrorClass;
use host::plugin::Package;
use host::wasm::{Engines, LoadedPlugin, Trust};
use host_emulators::edits::{Edit, Generator, Kind};
use host_emulators::{eventstreams, irc};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tempfile::tempdir;
use tests::feeds::{self, free_port, lines};
use tests::plugins::{Plugin, version, wiki_source};
use tests::program;
use tests::records::{assert_dense, payload, read_topic, text};
use tests::worker::{Connector, Running, start};
use tests::{wait_for, wait_until};

const WITHIN: std::time::Duration = tests::spool::WITHIN;

/// A version of the source that misbehaves in this way.
fn unruly(dir: &Path, number: &str, mode: &str) -> PathBuf {
    let change = |manifest: String| {
        let manifest = manifest.replace("version = \"0.1.0\"", &format!("version = \"{number}\""));
        manifest.replace("default = \"none\"", &format!("default = \"{mode}\""))
    };
    version(Plugin::UnrulySource, dir, &format!("unruly_source-{number}"), change)
}

#[test]
fn a_hundred_swaps_under_full_load_lose_and_double_nothing() {
    let dir = tempdir().unwrap();
    let limit = 30_000;
    let options = eventstreams::Options { rate: 3000.0, seed: 5, limit: Some(limit), ..Default::default() };
    // One each: it begins when it is first read, and who comes later misses what was before.
    let [emulator, second] = [feeds::eventstreams(options.clone()), feeds::eventstreams(options)];
    let is_record = |edit: &Edit| matches!(edit.kind, Kind::Edit | Kind::New);
    let all = Generator::new(5).take(usize::try_from(limit).unwrap());
    let expected: BTreeSet<String> = all.filter(is_record).map(|edit| edit.uuid()).collect();
    let versions = [wiki_source(dir.path(), "0.2.0"), wiki_source(dir.path(), "0.3.0")];
    let source = Connector::new("wiki", Plugin::WikiSource).eventstreams(&emulator).set("topic", "wikipedia");
    let source = source.set("extra.columns", true).set("transaction.boundary.interval.ms", 5);
    let other = Connector::new("other", Plugin::WikiSource).eventstreams(&second).set("topic", "others");
    let running = start(&dir.path().join("data"), &[source, other.set("extra.columns", true)], None);
    running.wait("wiki", "records", WITHIN, |status| status.counts.records > 0);
    let mut from = "wiki_source@0.1.0".to_owned();
    for swap in 0..100 {
        let before = running.status("wiki").counts.records;
        let swapped = running.swap("wiki", &versions[swap % 2]).unwrap();
        assert_eq!((&swapped.from, &swapped.to), (&from, &format!("wiki_source@0.{}.0", swap % 2 + 2)));
        from = swapped.to;
        // The new one gives records too, until there are none left.
        running.wait("wiki", "more records", WITHIN, |status| {
            status.counts.records > before || status.counts.records == expected.len() as u64
        });
    }
    let middle = running.status("wiki").counts.records;
    let done = |status: &host::worker::TaskStatus| status.counts.records >= expected.len() as u64;
    for name in ["wiki", "other"] {
        let status = running.wait(name, "everything", WITHIN, done);
        assert_eq!((status.restarts, status.feed.unwrap().reconnects), (0, 0));
    }
    assert_eq!((running.status("wiki").plugin, running.status("other").plugin), (from, "wiki_source@0.1.0".to_owned()));
    for topic in ["wikipedia", "others"] {
        let records = read_topic(running.log(), topic);
        assert_dense(&records);
        let found: BTreeSet<_> = records.iter().map(|r| payload(r)["eventId"].as_str().unwrap().to_owned()).collect();
        assert!(records.len() == expected.len() && found == expected, "{topic}: {} of {}", found.len(), expected.len());
    }
    assert!(middle < expected.len() as u64, "the last swaps met no records: a longer feed, please");
}

/// A worker with a plain source, and a feed of so many lines, the later of them poison.
fn with_poison(dir: &Path, poison: std::ops::Range<usize>) -> (Running, host_emulators::Handle) {
    let line =
        |number| format!("#en.wikipedia\t{} {number}", if poison.contains(&number) { "poison" } else { "frame" });
    let options = irc::Options { rate: 100.0, lines: Some(lines(dir, (0..400).map(line))), ..Default::default() };
    let emulator = feeds::irc(options);
    let source = Connector::new("wiki", Plugin::UnrulySource).irc(&emulator).set("topic", "t");
    let source = source.set("transaction.boundary.interval.ms", 10).set("irc.channels", "#en.wikipedia");
    let source = source
        .set("plugin.trial.batches", 10_000)
        .set("plugin.trial.reject.increase", 0)
        .set("value.converter.schemas.enable", false);
    let running = start(&dir.join("data"), &[source], None);
    running.wait("wiki", "records", WITHIN, |status| status.counts.records > 20);
    (running, emulator)
}

/// Every line once and in order, and nothing rejected.
fn assert_whole(running: &Running) {
    running.wait("wiki", "all lines", WITHIN, |status| status.counts.records >= 400);
    let records = read_topic(running.log(), "t");
    assert_dense(&records);
    for (number, record) in records.iter().enumerate() {
        let text = text(record);
        assert!(text.trim_matches('"').ends_with(&format!(" {number}")), "{text} at {number}");
    }
    assert_eq!((records.len(), read_topic(running.log(), "t-dlq").len()), (400, 0));
}

/// Swaps to a version that fails at the poison, and expects the first one to take over again.
fn check_taken_back(mode: &str, poison: std::ops::Range<usize>, words: &str) {
    let dir = tempdir().unwrap();
    let new = unruly(dir.path(), "0.2.0", mode);
    // Compiled before the feed runs, or the poison is over before the version is there on a busy machine.
    let package = Package::read(&new).unwrap();
    LoadedPlugin::load(&Engines::new(), &package, Trust::Limited, Limits::default(), &["feed".to_owned()]).unwrap();
    let (running, _emulator) = with_poison(dir.path(), poison);
    let swapped = running.swap("wiki", &new).unwrap();
    assert_eq!(swapped.to, "unruly_source@0.2.0");
    assert_whole(&running);
    let status = running.status("wiki");
    assert_eq!((status.plugin.as_str(), status.restarts), ("unruly_source@0.1.0", 0));
    let said: Vec<&str> = status.counts.swaps.iter().map(|(_, what)| what.as_str()).collect();
    assert!(said[0] == "unruly_source@0.1.0 to unruly_source@0.2.0" && said.len() == 2, "{said:?}");
    assert!(said[1].starts_with("unruly_source@0.2.0 taken back to unruly_source@0.1.0: "), "{said:?}");
    assert!(said[1].contains(words), "{said:?}");
}

#[test]
fn a_swap_to_a_version_that_traps_in_its_trial_is_taken_back_and_its_batch_goes_through() {
    check_taken_back("panic on poison", 250..251, "`poll` panicked");
}

#[test]
fn a_swap_to_a_version_that_rejects_more_in_its_trial_is_taken_back_and_its_batch_goes_through() {
    check_taken_back("not json", 150..350, "the version before rejected a share of 0.000");
}

#[test]
fn a_swap_to_a_version_that_cannot_be_is_refused_and_the_old_one_goes_on() {
    let dir = tempdir().unwrap();
    let (running, _emulator) = with_poison(dir.path(), 0..0);
    let refused = |plugin: &Path, class: ErrorClass, words: &str| {
        let error = running.swap("wiki", plugin).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.class(), class, "{error}");
    };
    let wants_more = version(Plugin::UnrulySource, dir.path(), "more", |manifest| {
        manifest + "\n[[wants]]\ncapability = \"geoip\"\nwhy = \"to look around\"\n"
    });
    let garbage = dir.path().join("garbage.wasm");
    std::fs::write(&garbage, b"no component").unwrap();
    refused(&wants_more, ErrorClass::Deny, "wants `geoip` (to look around)");
    refused(
        Plugin::UnrulyTransform.path(),
        ErrorClass::Config,
        "is the transform `unruly_transform`, which the connector",
    );
    refused(Plugin::SpoolLayout.path(), ErrorClass::Config, "is of world `layout`, expected `source`");
    refused(Plugin::WikiSource.path(), ErrorClass::Config, "tried on the latest inputs it rejects ");
    refused(&garbage, ErrorClass::Config, "no WebAssembly");
    refused(&dir.path().join("none.wasm"), ErrorClass::Config, "none.wasm");
    refused(&unruly(dir.path(), "0.2.0", "panic in open"), ErrorClass::Bug, "plugin `unruly_source@0.2.0` is refused");
    refused(&unruly(dir.path(), "0.3.0", "refuse as config"), ErrorClass::Config, "asks to be refused");
    let error = running.swap("nobody", Plugin::UnrulySource.path()).unwrap_err();
    assert!(error.to_string().contains("no connector `nobody`") && error.hint().unwrap().contains("`wiki`"), "{error}");
    assert_whole(&running);
    let status = running.status("wiki");
    assert_eq!((status.plugin.as_str(), status.restarts, status.counts.swaps.len()), ("unruly_source@0.1.0", 0, 0));
}

#[test]
fn a_swap_to_a_version_that_cannot_take_the_latest_inputs_is_refused_before_it_takes_over() {
    let dir = tempdir().unwrap();
    let (running, _emulator) = with_poison(dir.path(), 0..400);
    let refused = |mode: &str, class: ErrorClass, words: &str| {
        let error = running.swap("wiki", &unruly(dir.path(), "0.2.0", mode)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.class(), class, "{error}");
    };
    refused(
        "panic on poison",
        ErrorClass::Bug,
        "tried on the latest inputs: plugin `unruly_source@0.2.0`: `poll` panicked",
    );
    refused("loop on poison", ErrorClass::Bug, "tried on the latest inputs: ");
    assert_whole(&running);
    assert_eq!(running.status("wiki").counts.swaps, []);
}

#[test]
fn a_swap_is_made_when_a_watched_file_changes() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 200.0, ..Default::default() });
    let file = dir.path().join("watched.wasm");
    std::fs::copy(Plugin::WikiSource.path(), &file).unwrap();
    let source = Connector::new("wiki", Plugin::WikiSource).plugin_file(&file).irc(&emulator);
    let running = start(&dir.path().join("data"), &[source.set("plugin.watch", true)], None);
    running.wait("wiki", "records", WITHIN, |status| status.counts.records > 0);
    // A file that is no plugin changes nothing, and the next one is taken all the same.
    std::fs::write(&file, b"half of a ").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1200));
    assert_eq!(running.status("wiki").plugin, "wiki_source@0.1.0");
    std::fs::rename(wiki_source(dir.path(), "0.2.0"), &file).unwrap();
    let status = running.wait("wiki", "the new version", WITHIN, |status| status.plugin == "wiki_source@0.2.0");
    running.wait("wiki", "more records", WITHIN, |now| now.counts.records > status.counts.records);
    assert_eq!((status.restarts, status.feed.unwrap().reconnects), (0, 0));
}

#[test]
fn a_swap_is_asked_for_on_the_command_line() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 200.0, ..Default::default() });
    let url = format!("http://127.0.0.1:{}", free_port());
    let source = Connector::new("wiki", Plugin::WikiSource).irc(&emulator);
    let text = format!("[worker]\ndata.dir = 'host-data'\nlisteners = '{url}'\n{}", source.to_toml());
    std::fs::write(dir.path().join("host.toml"), text).unwrap();
    let new = wiki_source(dir.path(), "0.2.0");
    let swap = |more: &[&str]| {
        let arguments = [&["connector", "swap", "wiki", "--url", &url, "--plugin"], more].concat();
        program::host(dir.path(), arguments)
    };
    let nobody = swap(&[new.to_str().unwrap()]).expect(1);
    assert!(nobody.stderr.contains("hint: does it run, with `listeners` set to this address?"), "{nobody:?}");
    let mut host = program::spawn(dir.path(), ["run", "host.toml"]);
    host.wait_stderr("look at the pipeline: ");
    wait_until("records", WITHIN, || offsets(dir.path()) > 0);
    let swapped = swap(&["wiki_source-0.2.0.wasm", "--output", "json"]).expect(0).json();
    assert_eq!((&swapped["from"], &swapped["to"]), (&json!("wiki_source@0.1.0"), &json!("wiki_source@0.2.0")));
    assert!(swapped["pause_us"].as_u64().is_some(), "{swapped}");
    let back = swap(&[Plugin::WikiSource.path().to_str().unwrap()]).expect(0).stdout;
    assert!(back.contains("connector `wiki`: wiki_source@0.1.0 runs in place of wiki_source@0.2.0"), "{back}");
    let refused = swap(&[Plugin::UnrulyTransform.path().to_str().unwrap()]).expect(2).stderr;
    assert!(refused.contains("is the transform `unruly_transform`, which the connector does not have"), "{refused}");
    let before = offsets(dir.path());
    wait_for("more records", WITHIN, || (offsets(dir.path()) > before).then_some(()));
    host.signal("INT");
    host.finish().expect(0);
}

#[test]
fn a_transform_is_swapped_beside_the_source_that_runs() {
    let dir = tempdir().unwrap();
    let emulator = feeds::irc(irc::Options { rate: 300.0, ..Default::default() });
    let source = Connector::new("wiki", Plugin::WikiSource).irc(&emulator).set("topic", "t");
    let source =
        source.set("transaction.boundary.interval.ms", 5).transform(Plugin::UnrulyTransform, &[("mode", "none")]);
    let running = start(&dir.path().join("data"), &[source], None);
    let going_on = |plugin: &str| {
        let before = running.status("wiki").counts.records;
        let status = running.wait("wiki", "more records", WITHIN, |status| status.counts.records > before + 20);
        assert_eq!((status.plugin.as_str(), status.restarts), (plugin, 0));
    };
    going_on("wiki_source@0.1.0 + unruly_transform@0.1.0");
    running.swap("wiki", &wiki_source(dir.path(), "0.2.0")).unwrap();
    let transform =
        version(Plugin::UnrulyTransform, dir.path(), "other", |manifest| manifest.replace("0.1.0", "0.3.0"));
    let swapped = running.swap("wiki", &transform).unwrap();
    assert_eq!(swapped.from, "wiki_source@0.2.0 + unruly_transform@0.1.0");
    // The source is the one that ran, not the one it was started with.
    going_on("wiki_source@0.2.0 + unruly_transform@0.3.0");
    let error = running.swap("wiki", Plugin::SelectEdits.path()).unwrap_err();
    let text = format!("{error}; {}", error.hint().unwrap());
    assert!(
        text.contains("is the transform `select_edits`") && text.contains("its transforms: `unruly_transform`"),
        "{text}"
    );
    assert_dense(&read_topic(running.log(), "t"));
}
