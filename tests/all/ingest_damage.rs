//! Files of a data set that are damaged, gone, or others than they were: what is not authentic is never
//! served, an answer never ends as if it were whole, nothing of such a batch is marked as stored, and the
//! others are served and loaded.

use host::ingest::{BatchState, Book};
use host::io::embedded::EmbeddedLog;
use std::path::{Path, PathBuf};
use tests::ingest::{
    Answer, Client, Druid, End, INGEST, Ingestion, change_file, iso, rows_in, tasks, write_edits, write_values,
};
use tests::program;
use tests::spool::{TO_DATA_SET, WITHIN, make_keys, private_key, public_key};
use tests::worker::{Connector, Running};
use tests::{wait_for, wait_until};

fn book(running: &Running) -> Book {
    Book::read(running.log(), INGEST).unwrap()
}

/// Path of a file's batch.
fn path(file: &Path) -> String {
    format!("/batches/{}", file.file_name().unwrap().to_str().unwrap())
}

/// Rows that a packer makes little of, in some ten members of one file, behind a small file.
fn large(ingestion: &Ingestion) -> (PathBuf, PathBuf) {
    let log = EmbeddedLog::open(&ingestion.data_dir(), None).unwrap();
    write_edits(&log, 0..5);
    drop(log);
    ingestion.publish(ingestion.to_data_set());
    let log = EmbeddedLog::open(&ingestion.data_dir(), None).unwrap();
    let mut state = 5_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", state ^ (state >> 29))
    };
    let row = |number: u64| {
        let comment: String = (0..40).map(|_| noise()).collect();
        (
            format!("large {number}"),
            Some(format!(r#"{{"timestamp":"{}","comment":"{comment}","added":1}}"#, iso(tests::ingest::at(number)))),
        )
    };
    write_values(&log, &(0..1000).map(row).collect::<Vec<_>>());
    drop(log);
    ingestion.publish(sink(ingestion));
    let [first, second] = &ingestion.files()[..] else { panic!("expected two files: {:?}", ingestion.files()) };
    (first.clone(), second.clone())
}

fn sink(ingestion: &Ingestion) -> Connector {
    ingestion
        .to_data_set()
        .set("rotation.max.records", 1000)
        .set("member.max.bytes", 65_536)
        .set("batch.max.records", 1000)
}

/// Serves two files, and lets the larger be damaged once it is known.
fn damaged(damage: impl FnOnce(&mut Vec<u8>)) -> (Ingestion, Running, [PathBuf; 2]) {
    let ingestion = Ingestion::default();
    let (first, second) = large(&ingestion);
    let running = ingestion.start(ingestion.served());
    wait_until("both batches", WITHIN, || book(&running).batches.len() == 2);
    let client = Client::new(&running.endpoint());
    wait_until("them to be served", WITHIN, || client.get(&path(&second)).status == 200);
    change_file(&second, damage);
    (ingestion, running, [first, second])
}

fn flip(at: usize) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| bytes[at] ^= 0x40
}

fn assert_broken(answer: &Answer, whole: usize, what: &str) {
    assert_eq!((answer.status, answer.end), (200, End::Reset), "{what}: {} of {whole} bytes", answer.body.len());
    assert!(!answer.body.is_empty() && answer.body.len() < whole, "{what}: {} of {whole} bytes", answer.body.len());
}

#[test]
fn damage_before_the_first_byte_is_an_error_and_the_rest_is_served() {
    let (_ingestion, running, [first, second]) = damaged(flip(3000));
    let client = Client::new(&running.endpoint());
    for path in [path(&second), format!("{}.gz", path(&second))] {
        let answer = client.get(&path).expect(500);
        assert!(answer.text().contains("block 0"), "{}", answer.text());
        let part = client.range(&path, "0-").expect(500);
        assert_eq!(part.header("content-range"), None);
        // Not even what is after the damage: all of a batch is right, or none.
        client.range(&path, "500000-").expect(500);
    }
    client.get(&path(&first)).expect(200);
    client.get("/health").expect(200);
    assert_eq!(running.status(INGEST).state.name(), "RUNNING");
}

#[test]
fn damage_in_the_middle_breaks_the_connection() {
    let (_ingestion, running, [first, second]) = damaged(|bytes| {
        let at = bytes.len() - bytes.len() / 8;
        bytes[at] ^= 0x40;
    });
    let whole =
        usize::try_from(book(&running).batches[second.file_name().unwrap().to_str().unwrap()].facts.bytes).unwrap();
    let client = Client::new(&running.endpoint());
    let (plain, packed) = (path(&second), format!("{}.gz", path(&second)));
    for _ in 0..5 {
        assert_broken(&client.get(&plain), whole, "plain");
        assert_broken(&client.get(&packed), whole, "compressed");
        assert_broken(&client.get("/"), whole + 10_000, "all rows");
    }
    // What arrived is what was authentic.
    let some = client.get(&plain).body;
    assert!(some.starts_with(b"{\"timestamp\""));
    for (path, offset) in [(&plain, "70000-"), (&packed, "0-")] {
        let part = client.range(path, offset);
        assert!(part.end == End::Reset || part.status == 500, "{path} {offset}: {part:?}");
    }
    client.get(&path(&first)).expect(200);
}

#[test]
fn a_file_that_was_cut_is_never_served_as_whole() {
    let (_ingestion, running, [first, second]) = damaged(|bytes| bytes.truncate(bytes.len() / 2));
    let client = Client::new(&running.endpoint());
    for _ in 0..3 {
        for path in [path(&second), format!("{}.gz", path(&second)), "/".to_owned()] {
            let answer = client.get(&path);
            assert!(
                answer.end == End::Reset || matches!(answer.status, 500 | 503),
                "{path}: {} {:?}",
                answer.status,
                answer.end
            );
        }
    }
    client.get(&path(&first)).expect(200);
}

#[test]
fn a_file_of_other_rows_is_never_served_under_the_name() {
    let ingestion = Ingestion::with_edits(0..100);
    ingestion.publish(ingestion.to_data_set());
    let running = ingestion.start(ingestion.served());
    wait_until("both batches", WITHIN, || book(&running).batches.len() == 2);
    let client = Client::new(&running.endpoint());
    wait_until("all of the data set to be read", WITHIN, || client.get("/health").status == 200);
    let files = ingestion.files();
    let other = std::fs::read(&files[0]).unwrap();
    change_file(&files[1], |bytes| *bytes = other);
    let wrong = |status| matches!(status, 500 | 503);
    wait_until("it to be refused", WITHIN, || wrong(client.get(&path(&files[1])).status));
    client.get(&path(&files[0])).expect(200);
}

#[test]
fn a_damaged_file_is_no_batch_and_the_others_are_loaded() {
    let ingestion = Ingestion::with_edits(0..150);
    ingestion.publish(ingestion.to_data_set());
    let files = ingestion.files();
    change_file(&files[1], |bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    });
    std::fs::write(ingestion.folder().join("notes.txt"), "a stranger").unwrap();
    let running = ingestion.start(ingestion.ingest());
    let rows = rows_in(running.log()).0;
    let (name, edits) = (files[1].file_name().unwrap().to_str().unwrap(), 50..100);
    let lost: Vec<_> = edits.filter_map(|number| tests::ingest::row(number).ok()).collect();
    let kept: Vec<_> = rows.iter().filter(|row| !lost.contains(row)).cloned().collect();
    assert!(kept.len() < rows.len() && !lost.is_empty());
    let loaded = ingestion.check_holds(running.log(), &kept);
    assert_eq!(loaded.batches.len(), 2);
    let client = Client::new(&running.endpoint());
    let refused = client.get("/batches").expect(200).json()["refused"].clone();
    let reason = |name: &str| {
        let found = refused.as_array().unwrap().iter().find(|file| file["name"] == name);
        found.unwrap_or_else(|| panic!("`{name}` is not in {refused}"))["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason(name).contains("block 0"), "{}", reason(name));
    assert_eq!(reason("notes.txt"), "its name is none of the layout's");
    for path in [path(&files[1]), format!("{}.gz", path(&files[1]))] {
        let answer = client.get(&path).expect(500);
        assert!(answer.text().contains(&reason(name)), "{}", answer.text());
    }
    let all: String = kept.iter().map(|row| format!("{}\n", row.text)).collect();
    assert_eq!(client.get("/").expect(200).text(), all);
}

#[test]
fn a_key_that_is_missing_is_told_and_stores_nothing() {
    let ingestion = Ingestion::with_edits(0..60);
    ingestion.publish(ingestion.to_data_set());
    make_keys(ingestion.dir.path(), "other");
    let other = ingestion.ingest().set("open.keys", private_key(ingestion.dir.path(), "other"));
    let running = ingestion.start(other);
    let client = Client::new(&running.endpoint());
    let refused = wait_for("files that cannot be opened", WITHIN, || {
        let answer = client.get("/batches");
        let refused = (answer.status == 200).then(|| answer.json()["refused"].as_array().unwrap().clone())?;
        (refused.len() == 2).then_some(refused)
    });
    assert!(refused[0]["reason"].as_str().unwrap().contains("key"), "{refused:?}");
    assert_eq!(ingestion.druid.submissions(), []);
    running.end();
    let running = ingestion.start(ingestion.ingest());
    ingestion.check_loaded(running.log());
}

#[test]
fn a_batch_that_breaks_while_druid_reads_it_is_not_stored() {
    for trusts in [false, true] {
        let ingestion = Ingestion::into(Druid::start(|options| {
            options.max_tries = 2;
            options.trust_short_bodies = trusts;
        }));
        let (_, second) = large(&ingestion);
        let running = ingestion.start(ingestion.served());
        wait_until("both batches", WITHIN, || book(&running).batches.len() == 2);
        running.end();
        change_file(&second, |bytes| {
            let at = bytes.len() - bytes.len() / 8;
            bytes[at] ^= 0x40;
        });
        let running = ingestion.start(ingestion.ingest().set("task.max.attempts", 2).set("fetch.gzip", false));
        let status = running.wait(INGEST, "the end", WITHIN, |status| status.state.is_over());
        assert!(status.state.trace().unwrap().contains("failed, as 2 in a row did"), "{status:?}");
        assert_eq!(ingestion.druid.totals(), (0, 0));
        assert!(book(&running).batches.values().all(|batch| batch.state == BatchState::Waiting));
        let fetches = ingestion.druid.handle().fetches();
        assert!(
            fetches.iter().any(|fetch| fetch.range != "bytes=0-"),
            "Druid went on where it was broken off: {fetches:#?}"
        );
    }
}

#[test]
fn a_batch_that_is_gone_waits_and_the_others_are_loaded() {
    let ingestion = Ingestion::with_edits(0..150);
    ingestion.publish(ingestion.to_data_set());
    // Known, and not loaded yet.
    let never = "0 0 1 1 *";
    let running = ingestion.start(ingestion.ingest().set("schedule", never));
    wait_until("all batches", WITHIN, || book(&running).batches.len() == 3);
    let files = ingestion.files();
    let aside = ingestion.dir.path().join("aside");
    std::fs::rename(&files[1], &aside).unwrap();
    let client = Client::new(&running.endpoint());
    let (plain, packed) = (path(&files[1]), format!("{}.gz", path(&files[1])));
    wait_until("it to be known as gone", WITHIN, || client.get(&plain).status == 404);
    let gone = client.get(&packed).expect(404);
    assert!(gone.text().contains("is gone from the data set"), "{}", gone.text());
    client.get(&path(&files[0])).expect(200);
    let listed = client.get("/batches").expect(200).json();
    let of_it = listed["batches"].as_array().unwrap().iter().filter(|batch| batch["served"] == false).count();
    assert_eq!(of_it, 1, "{listed}");
    running.end();
    let running = ingestion.start(ingestion.ingest());
    let lost: Vec<_> = (50..100).filter_map(|number| tests::ingest::row(number).ok()).collect();
    let kept: Vec<_> = rows_in(running.log()).0.into_iter().filter(|row| !lost.contains(row)).collect();
    let loaded = ingestion.check_holds(running.log(), &kept);
    assert_eq!(loaded.batches[files[1].file_name().unwrap().to_str().unwrap()].state, BatchState::Waiting);
    // It comes back, as another file of the same bytes.
    std::fs::copy(&aside, &files[1]).unwrap();
    let after = ingestion.check_loaded(running.log());
    assert_eq!(tasks(&after).pop().unwrap().1.batches.len(), 1);
}

#[test]
fn a_batch_that_is_gone_between_two_looks_is_no_whole_answer() {
    let ingestion = Ingestion::with_edits(0..100);
    ingestion.publish(ingestion.to_data_set());
    // Looks so rarely that it knows nothing of the deletion.
    let running = ingestion.start(ingestion.served().set("scan.interval.ms", 3_600_000));
    wait_until("both batches", WITHIN, || book(&running).batches.len() == 2);
    let client = Client::new(&running.endpoint());
    let files = ingestion.files();
    wait_until("them to be served", WITHIN, || client.get(&path(&files[1])).status == 200);
    std::fs::remove_file(&files[1]).unwrap();
    for path in [path(&files[1]), format!("{}.gz", path(&files[1]))] {
        let answer = client.get(&path);
        assert!(matches!(answer.status, 404 | 503), "{path}: {}", answer.status);
    }
    client.get(&path(&files[0])).expect(200);
    let all = client.get("/");
    assert!(all.end != End::Whole || all.status == 503, "{all:?}");
}

#[test]
fn a_data_set_with_new_recipients_is_served_as_before() {
    let ingestion = Ingestion::with_edits(0..100);
    ingestion.publish(ingestion.to_data_set());
    let dir = ingestion.dir.path();
    make_keys(dir, "new");
    let keys = format!("{},{}", private_key(dir, "demo"), private_key(dir, "new"));
    let running = ingestion.start(ingestion.served().set("open.keys", keys));
    wait_until("both batches", WITHIN, || book(&running).batches.len() == 2);
    let client = Client::new(&running.endpoint());
    let files = ingestion.files();
    wait_until("them to be served", WITHIN, || client.get(&path(&files[1])).status == 200);
    let before = client.get("/").expect(200).body;
    let config = ingestion.config(&ingestion.served());
    let (key, recipient) = (private_key(dir, "demo"), public_key(dir, "new"));
    let arguments = ["keys", "rewrap", "--config", config.to_str().unwrap(), "--connector", TO_DATA_SET];
    program::host(dir, arguments.into_iter().chain(["--key", &key, "--recipient", &recipient])).expect(0);
    // Other files of the same names and rows.
    let same = || client.get(&path(&files[0])).status == 200 && client.get(&path(&files[1])).status == 200;
    wait_until("them to be served again", WITHIN, same);
    assert_eq!(client.get("/").expect(200).body, before);
    write_edits(running.log(), 100..130);
    wait_until("the next batch", WITHIN, || book(&running).batches.len() == 3);
}
