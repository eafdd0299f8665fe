//! `host keys` and `host spool`, for people and for programs: on a configuration, and on what a demo left.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::tempdir;
use tests::program::{self, Finished};
use tests::spool::{
    MARKER, Pipeline, RECORDS, SEALED, TO_DATA_SET, make_keys, names, private_key, public_key, read_all, write_records,
};
use tests::worker::start;

fn host(dir: &Path, line: &str) -> Finished {
    program::host(dir, line.split(' '))
}

#[test]
fn keys_are_made_listed_and_shown() {
    let dir = tempdir().unwrap();
    let made = host(dir.path(), "keys generate wikipedia --dir keys").expect(0);
    assert_eq!(made.stdout, "keys/wikipedia.key\nkeys/wikipedia.pub\n");
    let symmetric = host(dir.path(), "keys generate shared --dir keys --symmetric").expect(0);
    assert_eq!(symmetric.stdout, "keys/shared.key\n");
    let mode = |name: &str| std::fs::metadata(dir.path().join("keys").join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("wikipedia.key"), mode("shared.key")), (0o600, 0o600));
    let text = std::fs::read_to_string(dir.path().join("keys/wikipedia.key")).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!((words.len(), words[0], words[1]), (3, "host-key-1", "x25519-private"));
    // Nothing is written over.
    let again = host(dir.path(), "keys generate wikipedia --dir keys").expect(2);
    assert!(again.stderr.contains("key file `keys/wikipedia.key`: File exists"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(dir.path().join("keys/wikipedia.key")).unwrap(), text);
    for name in ["../x", ".x", "a/b"] {
        assert!(
            host(dir.path(), &format!("keys generate {name}")).expect(2).stderr.contains("expected letters, digits")
        );
    }

    std::fs::write(dir.path().join("keys/broken.key"), "nothing").unwrap();
    std::fs::write(dir.path().join("keys/notes.txt"), "nothing").unwrap();
    let list = host(dir.path(), "keys list --dir keys --output json").expect(0);
    let found = list.json();
    let kinds: Vec<(&str, &str)> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["file"].as_str().unwrap(), key["kind"].as_str().unwrap()))
        .collect();
    let expected = [
        ("keys/shared.key", "aes-256"),
        ("keys/wikipedia.key", "x25519-private"),
        ("keys/wikipedia.pub", "x25519-public"),
    ];
    assert_eq!(kinds, expected);
    assert!(list.stderr.contains("left out: key file `keys/broken.key`: not a key"), "{}", list.stderr);
    assert_eq!(found[1]["key"], found[2]["key"], "the halves of a pair have one name");
    let table = host(dir.path(), "keys list --dir keys").expect(0).stdout;
    assert!(table.contains("x25519-public") && table.contains(found[0]["key"].as_str().unwrap()), "{table}");

    let show = host(dir.path(), "keys show keys/wikipedia.key --output json").expect(0).json();
    let public = std::fs::read_to_string(dir.path().join("keys/wikipedia.pub")).unwrap();
    assert_eq!((&show["key"], &show["public"]), (&found[1]["key"], &public.trim_end().into()));
    let shown = host(dir.path(), "keys show keys/wikipedia.key").expect(0).stdout;
    assert!(shown.contains(public.trim_end()), "{shown}");
    assert_eq!(host(dir.path(), "keys show keys/shared.key --output json").expect(0).json()["public"], Value::Null);
    for told in [&shown, &list.stdout, &list.stderr] {
        assert!(!told.contains(words[2]), "a private key is told");
    }
    std::fs::set_permissions(dir.path().join("keys/shared.key"), PermissionsExt::from_mode(0o640)).unwrap();
    let open = host(dir.path(), "keys show keys/shared.key").expect(2);
    assert!(open.stderr.contains("has mode 0640, expected 0600"), "{}", open.stderr);
}

/// A pipeline that carried so many records, stopped, and its configuration.
fn carried(pipeline: &Pipeline, records: u64) -> String {
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let connectors = [to_spool, from_spool, to_data_set.set("rotation.max.records", 2)];
    let mut running = start(&pipeline.data_dir(), &connectors, None);
    write_records(running.log(), RECORDS, 1, 0..records);
    pipeline.check(running.log());
    running.stop();
    pipeline.config("host.toml", &connectors).display().to_string()
}

#[test]
fn a_spool_is_looked_at_while_it_is_on_a_filer() {
    let pipeline = Pipeline::on_filers();
    let config = carried(&pipeline, 230);
    let key = private_key(pipeline.dir.path(), "demo");
    let dir = pipeline.dir.path();
    let spools = host(dir, &format!("spool ls --config {config} --files --output json")).expect(0).json();
    // Two connectors are on one spool, which is shown once.
    assert_eq!(spools.as_array().unwrap().len(), 2, "{spools}");
    let stages = |spool: &Value| -> BTreeMap<String, u64> {
        let stages = spool["stages"].as_array().unwrap().iter();
        stages.map(|s| (s["stage"].as_str().unwrap().to_owned(), s["files"].as_u64().unwrap())).collect()
    };
    let by_place = |wanted: &str| {
        let found = spools.as_array().unwrap().iter().find(|spool| spool["place"].as_str().unwrap().contains(wanted));
        found.unwrap().clone()
    };
    let port = |store: &tests::spool::Store| format!(":{}/qf2/demo/spool", store.emulator().addr().port());
    let (first, second) = (by_place(&port(&pipeline.first)), by_place(&port(&pipeline.second)));
    assert!(first["free_bytes"].as_u64().unwrap() > 0, "{first}");
    assert_eq!(stages(&first)["outbox"] + stages(&first)["wash"], names_of(&pipeline, &["outbox", "wash"]));
    assert_eq!((stages(&first)["inbox"], stages(&first)["target"], stages(&first)["tmp"]), (0, 0, 0));
    let mut data_set = pipeline.data_set();
    data_set.look();
    assert_eq!(stages(&second)["target"], data_set.num_files() as u64);
    assert_eq!(second["files"].as_array().unwrap().len(), data_set.num_files());
    let file = &second["files"][0];
    assert_eq!((&file["stage"], &file["identity"]["topic"]), (&"target".into(), &SEALED.into()));

    let one = format!("--config {config} --connector {TO_DATA_SET}");
    let text = host(dir, &format!("spool ls {one} --files")).expect(0).stdout;
    assert!(text.lines().next().unwrap().ends_with("B free)"), "{text}");
    assert!(text.contains("quarantine") && text.contains(file["file"].as_str().unwrap()), "{text}");
    let stat = host(dir, &format!("spool stat {one} --output json")).expect(0).json_lines();
    assert_eq!(stat.iter().map(|file| file["records"].as_u64().unwrap()).sum::<u64>(), 230);
    let kid = &host(dir, "keys show demo.pub --output json").expect(0).json()["key"];
    assert!(stat.iter().all(|file| file["sealed_for"] == json!([kid])), "{stat:?}");
    assert!(stat[0]["says"].as_str().unwrap().contains(&format!("`{SEALED}` partition 0 offsets [0,")), "{stat:?}");
    host(dir, &format!("spool stat {one}")).expect(0);

    let cat = host(dir, &format!("spool cat {one} --key {key} --output json")).expect(0).json_lines();
    let log = host::io::embedded::EmbeddedLog::open_read_only(&pipeline.data_dir()).unwrap();
    let sent = read_all(&log, RECORDS);
    assert_eq!(cat.len(), sent.len());
    let text = |bytes: &Option<Vec<u8>>| json!(bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    for (found, record) in cat.iter().zip(&sent) {
        assert_eq!(
            (found["offset"].as_i64(), found["timestamp"].as_i64()),
            (Some(record.offset), Some(record.timestamp))
        );
        assert_eq!((&found["key"], &found["value"]), (&text(&record.key), &text(&record.value)));
    }
    let some = host(dir, &format!("spool cat {one} --key {key} --max 4")).expect(0).stdout;
    assert_eq!(some.lines().count(), 4, "{some}");
    assert!(some.contains("(tombstone)") && some.contains(MARKER), "{some}");
    let named = file["file"].as_str().unwrap();
    let of_one = host(dir, &format!("spool cat {named} --config {config} --key {key} --output json")).expect(0);
    assert!(of_one.json_lines().iter().all(|record| record["file"] == named));
    let verified = host(dir, &format!("spool verify --config {config} --key {key} --output json")).expect(0).json();
    assert_eq!((&verified["records"], &verified["problems"]), (&460.into(), &json!([])));
    let nobody = host(dir, &format!("spool ls --config {config} --connector nobody")).expect(2);
    assert!(nobody.stderr.contains("no connector named `nobody` with a spool is configured"), "{}", nobody.stderr);
}

fn names_of(pipeline: &Pipeline, stages: &[&str]) -> u64 {
    stages.iter().map(|stage| names(&pipeline.stage(stage)).len() as u64).sum()
}

#[test]
fn rewrapping_changes_who_can_open_a_data_set_and_no_block_of_it() {
    let pipeline = Pipeline::on_filers();
    let config = carried(&pipeline, 150);
    let dir = pipeline.dir.path();
    make_keys(dir, "new");
    let blocks = || -> BTreeMap<String, Vec<Vec<u8>>> {
        let named = |path: std::path::PathBuf| {
            let bytes = std::fs::read(&path).unwrap();
            (path.file_name().unwrap().to_string_lossy().into_owned(), blocks_of(&bytes))
        };
        pipeline.data_set().folder_files().map(named).collect()
    };
    let before = blocks();
    assert!(before.len() > 1);
    let (old, new, recipient) = (private_key(dir, "demo"), private_key(dir, "new"), public_key(dir, "new"));
    let one = format!("--config {config} --connector {TO_DATA_SET}");
    let wrong = host(dir, &format!("keys rewrap {one} --key {new} --recipient {recipient}"));
    assert!(wrong.code != Some(0) && wrong.stderr.contains("new.key") || wrong.code == Some(1), "{wrong:?}");
    assert_eq!(blocks(), before);
    let private = host(dir, &format!("keys rewrap {one} --key {old} --recipient {new}")).expect(2);
    assert!(private.stderr.contains("is private, sealing takes the public half"), "{}", private.stderr);
    let done = host(dir, &format!("keys rewrap {one} --key {old} --recipient {recipient}")).expect(0);
    assert!(done.stderr.contains("have new recipients"), "{}", done.stderr);
    assert_eq!(blocks(), before, "blocks are as they were");
    host(dir, &format!("spool verify {one} --key {old}")).expect(1);
    let opened = host(dir, &format!("spool verify {one} --key {new} --output json")).expect(0).json();
    assert_eq!((&opened["records"], &opened["problems"]), (&150.into(), &json!([])));
    // The sink goes on beside them, and members for both lie in one data set.
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    write_records(running.log(), RECORDS, 1, 150..250);
    running.wait(TO_DATA_SET, "new members", tests::spool::WITHIN, |status| status.counts.records >= 2);
    running.stop();
    let both = host(dir, &format!("spool verify {one} --key {new} --key {old} --output json")).expect(0).json();
    assert_eq!(both["records"], 250);
}

/// The blocks of each member of a file, heads and footer left out.
fn blocks_of(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = file;
    let mut blocks = Vec::new();
    while !rest.starts_with(b"HSF1") {
        let member = host::crypto::scan(rest).unwrap().unwrap();
        let (bytes, more) = rest.split_at(usize::try_from(member.num_bytes).unwrap());
        blocks.push(bytes[member.head.num_bytes()..].to_vec());
        rest = more;
    }
    blocks
}

#[test]
fn the_demonstration_leaves_spools_to_look_at_and_goes_on() {
    let dir = tempdir().unwrap();
    let mut total = 0;
    for _ in 0..2 {
        let demo = host(dir.path(), "demo --records 500 --rate 0 --output json --data-dir d").expect(0).json();
        total += 500;
        assert_eq!(demo["equal"], true, "{demo}");
        let hops = demo["hops"].as_array().unwrap().iter();
        let hops: Vec<_> = hops.map(|hop| (hop["name"].as_str().unwrap(), hop["count"].as_u64().unwrap())).collect();
        let places = ["records in", "log", "sealed files", "batches served", "rows ingested"];
        assert_eq!(hops, places.map(|place| (place, total)), "{demo}");
        let states: Vec<&str> =
            demo["connectors"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["STOPPED"; 5], "{demo}");
    }
    let json = |line: &str| host(dir.path(), &format!("{line} --data-dir d --output json")).expect(0);
    let verified = json("spool verify").json();
    // What is left of the first spool counts too.
    assert!(verified["records"].as_u64().unwrap() >= total, "{verified}");
    assert_eq!(verified["problems"], json!([]));
    let spools = json("spool ls --files").json();
    let connectors: Vec<&str> =
        spools.as_array().unwrap().iter().map(|spool| spool["connector"].as_str().unwrap()).collect();
    assert_eq!(connectors, ["local-qf2-sink", "local-qf2-source"]);
    let cat = json("spool cat --connector local-qf2-sink").json_lines();
    let topic = json("log cat wikipedia").json_lines();
    assert_eq!(cat.len() as u64, total);
    for (found, record) in cat.iter().zip(&topic) {
        assert_eq!((&found["offset"], &found["value"]), (&record["offset"], &record["value"]));
    }
    let page = topic[0]["value"].as_str().unwrap().to_owned();
    for file in tests::spool::files_below(&dir.path().join("d")) {
        if file.extension().is_some_and(|extension| extension == "spool") {
            let bytes = std::fs::read(&file).unwrap();
            assert!(
                !bytes.windows(40).any(|part| part == &page.as_bytes()[..40]),
                "`{}` is in the clear",
                file.display()
            );
        }
    }
    assert!(json("spool stat").json_lines().iter().all(|file| file["identity"].is_object()));
    let none = host(dir.path(), "spool ls --data-dir nowhere").expect(2);
    assert!(none.stderr.contains("no demo was run with this data folder"), "{}", none.stderr);
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn looking_at_a_folder_that_is_not_there_makes_none() {
    let pipeline = Pipeline::on_folders();
    let config = pipeline.config("host.toml", &[pipeline.to_data_set()]);
    let looked = host(pipeline.dir.path(), &format!("spool ls --config {}", config.display()));
    assert!(!pipeline.second.folder().exists(), "{looked:?}");
}
