//! Files that are not what they should be: a source puts them aside with the reason and goes on, and
//! `host spool verify` finds whatever was done to a data set, file by file.

use host::crypto::{Footer, Located, scan};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tests::program::{self, Finished};
use tests::spool::{
    Pipeline, RECORDS, TO_DATA_SET, TO_SPOOL, WITHIN, make_keys, names, private_key, read_all, read_name, stage,
    write_records,
};
use tests::wait_until;
use tests::worker::{Running, start};

/// Fills the inbox with files of 50 records each, and lets nobody take them; their paths in order.
fn fill_inbox(pipeline: &Pipeline, files: u64) -> Vec<PathBuf> {
    let running = start(&pipeline.data_dir(), &[pipeline.to_spool()], None);
    write_records(running.log(), RECORDS, 1, 0..files * 50);
    let inbox = pipeline.stage("inbox");
    wait_until("the files", WITHIN, || {
        names(&inbox).iter().filter_map(|name| read_name(name)).map(|name| name.next - name.first).sum::<i64>()
            == i64::try_from(files * 50).unwrap()
    });
    running.end();
    let paths: Vec<PathBuf> = names(&inbox).iter().map(|name| inbox.join(name)).collect();
    assert_eq!(paths.len() as u64, files);
    paths
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn swap(one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    std::fs::rename(one, &aside).unwrap();
    std::fs::rename(other, one).unwrap();
    std::fs::rename(aside, other).unwrap();
}

/// Where `text` is in a file that holds it.
fn find(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|part| part == text.as_bytes()).unwrap()
}

/// Offsets of a file of [`fill_inbox`].
fn offsets(path: &Path) -> std::ops::Range<i64> {
    let name = read_name(path.file_name().unwrap().to_str().unwrap()).unwrap();
    name.first..name.next
}

fn check_inbox(pipeline: &Pipeline) {
    let files = fill_inbox(pipeline, 10);
    let inbox = pipeline.stage("inbox");
    change(&files[1], |bytes| bytes.truncate(bytes.len() / 2));
    change(&files[3], |bytes| {
        let at = bytes.len() - 30;
        bytes[at] ^= 1;
    });
    swap(&files[5], &files[6]);
    change(&files[8], |bytes| {
        let at = find(bytes, "\"v\":1");
        bytes[at + 4] = b'7';
    });
    std::fs::write(&files[9], "").unwrap();
    std::fs::write(inbox.join("notes.txt"), "not a spool file").unwrap();
    std::fs::write(inbox.join("näme with spaces.spool"), "neither").unwrap();
    std::fs::create_dir(inbox.join("a directory")).unwrap();
    std::fs::write(inbox.join("a directory").join(files[0].file_name().unwrap()), "hidden").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", inbox.join("wikipedia+link.spool")).unwrap();

    let running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    let quarantine = pipeline.stage("quarantine");
    // A reason is written beside its file a moment later.
    let is_told = |name: &String| std::fs::metadata(quarantine.join(name)).is_ok_and(|reason| reason.len() > 0);
    wait_until("eight files with their reasons in the quarantine", WITHIN, || {
        let found = names(&quarantine);
        found.len() == 16 && found.iter().filter(|name| name.ends_with(".reason.txt")).all(is_told)
    });
    let reasons: Vec<(String, String)> = names(&quarantine)
        .into_iter()
        .filter(|name| name.ends_with(".reason.txt"))
        .map(|name| (name.clone(), std::fs::read_to_string(quarantine.join(name)).unwrap()))
        .collect();
    let check = |name: &Path, expected: &[&str]| {
        let name = name.file_name().unwrap().to_str().unwrap();
        let found = reasons.iter().filter(|(file, _)| file.starts_with(name)).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{name}: {reasons:?}");
        expected.iter().for_each(|words| assert!(found[0].1.contains(words), "{name}: `{words}`: {}", found[0].1));
    };
    check(&files[1], &["footer"]);
    check(&files[3], &["footer"]);
    check(&files[5], &["by its footer", "offsets [300,350)", "offsets [250,300)"]);
    check(&files[6], &["by its footer", "offsets [250,300)", "offsets [300,350)"]);
    check(&files[8], &["format version 7, this host reads 1"]);
    check(&files[9], &["0 bytes"]);
    check(Path::new("notes.txt"), &["`notes.txt` in the inbox is no name of a spool file"]);
    check(Path::new("näme with spaces.spool"), &["is no name of a spool file"]);

    // The rest goes on, and what is no file is left alone.
    let bad = [1, 3, 5, 6, 8, 9].map(|index: usize| offsets(&files[index]));
    let is_good = |offset: i64| !bad.iter().any(|bad| bad.contains(&offset));
    let sent = |running: &Running| -> Vec<_> {
        let all = read_all(running.log(), RECORDS).into_iter();
        all.filter(|record| record.offset >= 500 || is_good(record.offset)).collect()
    };
    let mut data_set = pipeline.data_set();
    data_set.wait(sent(&running).len());
    data_set.assert_holds(&sent(&running));
    assert_eq!(names(&inbox), ["a directory", "wikipedia+link.spool"]);
    assert_eq!(
        std::fs::read_to_string(inbox.join("a directory").join(files[0].file_name().unwrap())).unwrap(),
        "hidden"
    );
    write_records(running.log(), RECORDS, 1, 500..600);
    data_set.wait(sent(&running).len());
    data_set.assert_holds(&sent(&running));
    let statuses = running.end();
    assert!(statuses.iter().all(|status| status.restarts == 0), "{statuses:?}");
    // A sink that starts again goes on after the last record, whatever the names in the quarantine say.
    let running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    write_records(running.log(), RECORDS, 1, 600..700);
    data_set.wait(sent(&running).len());
    data_set.assert_holds(&sent(&running));
    running.end();
}

#[test]
fn what_does_not_belong_into_the_inbox_of_a_filer_is_put_aside_and_the_rest_goes_on() {
    check_inbox(&Pipeline::on_filers());
}

#[test]
fn what_does_not_belong_into_the_inbox_of_a_folder_is_put_aside_and_the_rest_goes_on() {
    check_inbox(&Pipeline::on_folders());
}

#[test]
fn a_file_under_a_name_of_later_offsets_costs_no_record() {
    let pipeline = Pipeline::on_folders();
    let files = fill_inbox(&pipeline, 2);
    let last = files[1].file_name().unwrap().to_str().unwrap();
    let later = last.replace("+000000000001+000000000050-000000000100+", "+000000000002+000000000100-000000000150+");
    assert_ne!(later, last);
    std::fs::copy(&files[0], files[1].with_file_name(&later)).unwrap();
    let source = start(&pipeline.data_dir(), &[pipeline.from_spool()], None);
    wait_until("the quarantine", WITHIN, || names(&pipeline.stage("quarantine")).len() == 2);
    source.end();
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    write_records(running.log(), RECORDS, 1, 100..300);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
}

#[test]
fn a_block_that_was_changed_passes_closed_and_is_found_where_it_is_opened() {
    let pipeline = Pipeline::on_folders();
    let files = fill_inbox(&pipeline, 3);
    change(&files[1], |bytes| {
        let member = scan(bytes).unwrap().unwrap();
        bytes[member.head.num_bytes() + 100] ^= 0x40;
    });
    let running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    running.wait(TO_DATA_SET, "three members", WITHIN, |status| status.counts.records == 3);
    running.end();
    let found = verify(&pipeline, &pipeline.config("host.toml", &[pipeline.to_data_set()]), 1);
    let problems = problems(&found);
    assert_eq!(problems.len(), 1, "{found:?}");
    let problem = problems.values().next().unwrap();
    assert!(problem.contains("offsets [50,100)") || problem.contains("block 0"), "{problem}");
}

/// Runs `host spool verify`.
fn verify(pipeline: &Pipeline, config: &Path, code: i32) -> Finished {
    let key = private_key(pipeline.dir.path(), "demo");
    let config = config.to_str().unwrap();
    let arguments = ["spool", "verify", "--config", config, "--key", &key, "--output", "json"];
    program::host(pipeline.dir.path(), arguments).expect(code)
}

/// What is wrong with which file.
fn problems(verified: &Finished) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let json = verified.json();
    let problems = json["problems"].as_array().unwrap().iter();
    problems.map(|problem| (text(&problem["file"]), text(&problem["problem"]))).collect()
}

#[test]
fn whatever_is_done_to_a_data_set_is_found() {
    let pipeline = Pipeline::on_folders();
    let sink = pipeline.to_spool().set("spool.place", "target").set("member.max.bytes", 2048);
    let running = start(&pipeline.data_dir(), std::slice::from_ref(&sink), None);
    write_records(running.log(), RECORDS, 1, 0..900);
    let folder = pipeline.first.folder();
    let list = || names(&folder).into_iter().filter(|name| name.ends_with(".spool")).collect::<Vec<_>>();
    running.wait(TO_SPOOL, "all files", WITHIN, |status| status.counts.records == 900);
    running.end();
    let config = pipeline.config("host.toml", &[sink]);
    let clean = verify(&pipeline, &config, 0).json();
    assert_eq!((&clean["files"], &clean["records"]), (&18.into(), &900.into()));
    assert_eq!(clean["problems"], serde_json::json!([]));
    assert!(clean["members"].as_u64().unwrap() >= 36, "{clean}");

    let files: Vec<PathBuf> = list().iter().map(|name| folder.join(name)).collect();
    let mut expected: BTreeMap<usize, &[&str]> = BTreeMap::new();
    let mut damage = |index: usize, says: &'static [&'static str], how: &dyn Fn(&mut Vec<u8>)| {
        change(&files[index], how);
        expected.insert(index, says);
    };
    let first_block = |bytes: &[u8]| scan(bytes).unwrap().unwrap().head.num_bytes();
    damage(0, &["block 0"], &|bytes| {
        let at = first_block(bytes) + 50;
        bytes[at] ^= 1;
    });
    damage(1, &["head was altered"], &|bytes| {
        let at = find(bytes, "\"id\":\"") + 6;
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    });
    damage(2, &["head was altered"], &|bytes| {
        let at = find(bytes, "\"key\":\"") + 10;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    });
    damage(3, &["cut"], &|bytes| bytes.truncate(bytes.len() / 2));
    damage(4, &["cut before its footer"], &|bytes| {
        let at = find(bytes, "HSF1");
        bytes.truncate(at);
    });
    damage(7, &["footer"], &|bytes| {
        let at = bytes.len() - 40;
        bytes[at] ^= 2;
    });
    damage(8, &["after the footer"], &|bytes| bytes.extend_from_slice(b"more"));
    let other = std::fs::read(&files[10]).unwrap();
    damage(9, &["offsets [500,"], &|bytes| other.clone_into(bytes));
    damage(11, &["offsets [550,"], &|bytes| {
        let first = usize::try_from(scan(bytes).unwrap().unwrap().num_bytes).unwrap();
        let second = usize::try_from(scan(&bytes[first..]).unwrap().unwrap().num_bytes).unwrap();
        bytes[..first + second].rotate_left(first);
    });
    damage(12, &["offsets [600,"], &|bytes| {
        let first = usize::try_from(scan(bytes).unwrap().unwrap().num_bytes).unwrap();
        bytes.drain(..first);
    });
    damage(13, &["cut before its footer, after 0 members"], &|bytes| bytes.clear());
    damage(14, &["offsets [700,"], &|bytes| {
        let first = usize::try_from(scan(bytes).unwrap().unwrap().num_bytes).unwrap();
        let again = bytes[..first].to_vec();
        bytes.splice(first..first, again);
    });
    damage(15, &["block 0"], &|bytes| {
        // The word of the first block: it claims to be longer than it is.
        let at = first_block(bytes);
        bytes[at + 1] ^= 1;
    });
    swap(&files[5], &files[6]);
    expected.insert(5, &["offsets [300,", "offsets [250,"]);
    expected.insert(6, &["offsets [250,", "offsets [300,"]);
    std::fs::write(folder.join("notes.txt"), "a stranger").unwrap();

    let verified = verify(&pipeline, &config, 1);
    let mut found = problems(&verified);
    assert_eq!(found.remove("notes.txt").as_deref(), Some("its name is no name of this layout"));
    for (index, says) in &expected {
        let name = files[*index].file_name().unwrap().to_str().unwrap();
        let problem = found.remove(name).unwrap_or_else(|| panic!("file {index} passes: {}", verified.stdout));
        says.iter().for_each(|words| assert!(problem.contains(words), "file {index}: `{words}`: {problem}"));
    }
    assert_eq!(found, BTreeMap::new(), "files that nothing was done to");
    // The others are still served: records of 10, 16 and 17, and what is authentic of the damaged ones.
    assert!(verified.json()["records"].as_u64().unwrap() >= 150);
    let (text, key) = (config.to_str().unwrap(), private_key(pipeline.dir.path(), "demo"));
    let table = program::host(pipeline.dir.path(), ["spool", "verify", "--config", text, "--key", &key]).expect(1);
    assert!(table.stdout.contains("19 files") && table.stdout.contains("16 wrong"), "{}", table.stdout);
}

#[test]
fn a_member_that_travelled_twice_is_found() {
    let pipeline = Pipeline::on_folders();
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    write_records(running.log(), RECORDS, 1, 0..200);
    pipeline.check(running.log());
    running.stop();
    let config = pipeline.config("host.toml", &[pipeline.to_data_set()]);
    verify(&pipeline, &config, 0);
    // The same members in another file, whose footer and name fit each other.
    let mut data_set = pipeline.data_set();
    data_set.look();
    let path = data_set.paths().next().unwrap().to_owned();
    let mut bytes = std::fs::read(&path).unwrap();
    let Located::Found(mut footer) = Footer::locate(&bytes, bytes.len() as u64).unwrap() else { panic!("no footer") };
    bytes.truncate(usize::try_from(footer.bytes).unwrap());
    let name = path.file_name().unwrap().to_str().unwrap();
    let old = format!("{:012}-{:012}", footer.identity.first, footer.identity.next);
    footer.identity.first += 1000;
    footer.identity.next += 1000;
    let new = format!("{:012}-{:012}", footer.identity.first, footer.identity.next);
    bytes.extend_from_slice(&footer.encode().unwrap());
    let copy = path.with_file_name(name.replace(&old, &new));
    std::fs::write(&copy, bytes).unwrap();
    let found = problems(&verify(&pipeline, &config, 1));
    let problem = found.get(copy.file_name().unwrap().to_str().unwrap()).unwrap();
    assert!(problem.contains("offsets [0,") && problem.contains(&format!("are also in `{name}`")), "{problem}");
}

#[test]
fn a_key_that_is_missing_or_another_is_told_with_its_name() {
    let pipeline = Pipeline::on_folders();
    make_keys(pipeline.dir.path(), "other");
    fill_inbox(&pipeline, 1);
    let config = pipeline.config("host.toml", &[pipeline.to_spool()]);
    let config = config.to_str().unwrap();
    let kid = |name: &str| {
        let path = pipeline.dir.path().join(format!("{name}.pub"));
        let shown = program::host(pipeline.dir.path(), ["keys", "show", path.to_str().unwrap(), "--output", "json"]);
        shown.expect(0).json()["key"].as_str().unwrap().to_owned()
    };
    let (own, other) = (kid("demo"), kid("other"));
    assert!(own.len() == 16 && own != other);
    let none = program::host(pipeline.dir.path(), ["spool", "verify", "--config", config]).expect(2);
    assert!(none.stderr.contains("no key is given, expected `--key file:PATH`"), "{}", none.stderr);
    let key = private_key(pipeline.dir.path(), "other");
    for command in ["verify", "cat"] {
        let wrong = program::host(pipeline.dir.path(), ["spool", command, "--config", config, "--key", &key]).expect(1);
        let said = format!("{}{}", wrong.stdout, wrong.stderr);
        // The table breaks lines.
        let said: String = said.chars().filter(|c| c.is_ascii_hexdigit()).collect();
        assert!(said.contains(&own) && said.contains(&other), "{command}: {}{}", wrong.stdout, wrong.stderr);
    }
    let public = format!("file:{}", pipeline.dir.path().join("demo.pub").display());
    let refused = program::host(pipeline.dir.path(), ["spool", "cat", "--config", config, "--key", &public]);
    assert!(refused.code != Some(0) && refused.stderr.contains("is public"), "{refused:?}");
    assert_eq!(names(&stage(&pipeline.first, "inbox")).len(), 1);
}
