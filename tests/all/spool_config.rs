//! What is wrong with a spool's configuration is refused before anything runs, in words that say what to
//! write instead; what only the log or the files can tell ends the task with such words.

use crate::bad_input::refused;
use host::worker::TaskState;
use std::os::unix::fs::PermissionsExt;
use tests::plugins::Plugin;
use tests::program;
use tests::spool::{
    FROM_SPOOL, Pipeline, RECORDS, Store, TO_DATA_SET, TO_SPOOL, WITHIN, files_below, private_key, public_key,
    write_records,
};
use tests::wait_until;
use tests::worker::{Connector, start, try_start};

/// Checks that the program refuses to start with this connector, in all these words.
fn check(pipeline: &Pipeline, connector: &Connector, expected: &[&str]) {
    let config = pipeline.config("refused.toml", std::slice::from_ref(connector));
    refused(pipeline.dir.path(), &["run", config.to_str().unwrap()], expected);
}

#[test]
fn keys_that_are_missing_or_misplaced_are_told() {
    let pipeline = Pipeline::on_folders();
    let dir = pipeline.dir.path();
    let sink = || pipeline.to_spool();
    let option = "option `seal.recipients`";
    check(
        &pipeline,
        &sink().unset("seal.recipients"),
        &[&format!("{option} is missing"), "hint: make a key pair with `host keys generate NAME`"],
    );
    let private = private_key(dir, "demo");
    check(
        &pipeline,
        &sink().set("seal.recipients", &private),
        &["is private, sealing takes the public half", "hint: leave the private key where data is read"],
    );
    check(&pipeline, &sink().set("seal.recipients", "file:nowhere.pub"), &[option, "nowhere.pub`: cannot be opened"]);
    let text = std::fs::read_to_string(dir.join("demo.key")).unwrap();
    let secret = text.split_whitespace().last().unwrap();
    let run = {
        let config = pipeline.config("refused.toml", &[sink().set("seal.recipients", text.trim())]);
        refused(dir, &["run", config.to_str().unwrap()], &[option, "holds a value, expected the name of a key"])
    };
    assert!(!run.stderr.contains(secret), "{}", run.stderr);
    std::fs::write(dir.join("odd.pub"), "ssh-ed25519 AAAA").unwrap();
    check(&pipeline, &sink().set("seal.recipients", public_key(dir, "odd")), &["not a key", "host-key-1 KIND BASE64"]);
    program::host(dir, ["keys", "generate", "both", "--symmetric"]).expect(0);
    std::fs::set_permissions(dir.join("both.key"), PermissionsExt::from_mode(0o644)).unwrap();
    check(
        &pipeline,
        &sink().set("seal.recipients", private_key(dir, "both")),
        &["has mode 0644, expected 0600: run `chmod 600", "hint: others may have read it"],
    );
    std::fs::set_permissions(dir.join("both.key"), PermissionsExt::from_mode(0o600)).unwrap();
    let twice = format!("{0},{0}", public_key(dir, "demo"));
    let running = try_start(&pipeline.data_dir(), &[sink().set("seal.recipients", twice)], None);
    drop(running);
    check(
        &pipeline,
        &pipeline.to_data_set().set("seal.recipients", public_key(dir, "demo")),
        &["`seal.recipients` is set, and with `spool.content` = `members` nothing is sealed here"],
    );
}

#[test]
fn keys_that_nobody_knows_are_refused_with_the_near_one() {
    let pipeline = Pipeline::on_folders();
    let near = |connector: Connector, wrong: &str, near: &str| {
        let unknown = format!("unknown key `{wrong}`");
        check(&pipeline, &connector.set(wrong, 1), &[&unknown, &format!("hint: did you mean `{near}`?")]);
    };
    near(pipeline.to_spool(), "seal.recipient", "seal.recipients");
    near(pipeline.to_spool(), "spool.lease", "spool.lease.ms");
    near(pipeline.to_spool(), "rotation.max.byte", "rotation.max.bytes");
    near(pipeline.from_spool(), "chunk.bytes.max", "chunk.max.bytes");
    near(pipeline.from_spool(), "qq.page.size", "qq.pagesize");
    // A key of the other side is none of this one.
    check(&pipeline, &pipeline.from_spool().set("seal.recipients", "x"), &["unknown key `seal.recipients`"]);
    check(&pipeline, &pipeline.to_spool().set("topic", "x"), &["unknown key `topic`", "did you mean `topics`?"]);
}

#[test]
fn what_cannot_be_is_refused_with_what_can() {
    let pipeline = Pipeline::on_filers();
    let sink = || pipeline.to_spool();
    check(&pipeline, &sink().unset("dir"), &["option `dir` is missing"]);
    check(&pipeline, &sink().set("dir", "qf2/demo"), &["option `dir` is `qf2/demo`", "from `/` on"]);
    check(&pipeline, &sink().set("dir", "/qf2/../x"), &["/qf2/../x"]);
    check(&pipeline, &sink().unset("topics"), &["option `topics` is missing"]);
    check(&pipeline, &sink().set("topics", "a b"), &["topic name `a b`"]);
    check(&pipeline, &sink().set("spool.place", "outbox"), &["expected one of `inbox`, `target`"]);
    check(&pipeline, &sink().set("spool.content", "files"), &["expected one of `records`, `members`"]);
    check(&pipeline, &sink().set("files", "s3"), &["option `files` is `s3`, expected one of `qumulo`, `local`"]);
    check(&pipeline, &sink().set("spool.lease.ms", 10), &["option `spool.lease.ms` is `10`, expected 1000 to"]);
    check(&pipeline, &sink().set("member.max.bytes", 1), &["option `member.max.bytes` is `1`, expected 1024 to"]);
    check(&pipeline, &sink().set("qq.password", "hunter2"), &["`qq.password` holds a value", "hint: write"]);
    check(&pipeline, &sink().unset("qq.hostname"), &["option `qq.hostname` is missing (the cluster)"]);
    check(&pipeline, &sink().set("qq.hostname", "a b"), &["option `qq.hostname` is `a b`, expected no blanks"]);
    check(&pipeline, &sink().set("qq.tls", "no"), &["option `qq.tls"]);
    let unpinned = sink().unset("qq.tls.ca.file");
    check(&pipeline, &unpinned.set("qq.tls", "sha256:00"), &["fingerprint `00`: expected 64 hexadecimal digits"]);
    check(&pipeline, &sink().set("qq.tls.ca.file", "nowhere.pem"), &["nowhere.pem"]);
    check(
        &pipeline,
        &sink().set("connector.class", "spool"),
        &["expected `plugin`, `spool-sink`, `spool-source` or `ingest`"],
    );
    let source = pipeline.from_spool();
    check(&pipeline, &source.clone().unset("topic"), &["option `topic` is missing"]);
    check(&pipeline, &source.set("chunk.max.bytes", 1), &["option `chunk.max.bytes` is `1`"]);
    let world = sink().set("plugin", Plugin::WikiSource.path().display());
    check(&pipeline, &world, &["is of world `source`, expected `layout`"]);
    let transformed = sink().transform(Plugin::SelectEdits, &[]);
    check(&pipeline, &transformed, &["`transforms` are set, and a spool's connector takes records as they are"]);
    let long = "x".repeat(61);
    for name in ["\"a b\"", "\"a+b\"", "\"a/b\"", "\"é\"", &long] {
        check(&pipeline, &sink().named(name), &["a spool's connector is named", "expected 1 to 60 letters, digits"]);
    }
    assert_eq!(files_below(&pipeline.first.folder()), Vec::<std::path::PathBuf>::new(), "nothing was begun");
}

#[test]
fn rejected_records_never_go_round_in_a_circle() {
    let pipeline = Pipeline::on_folders();
    let sink = pipeline.to_data_set();
    let own = sink.clone().set("errors.deadletterqueue.topic.name", "qf2-connect-demo");
    check(&pipeline, &own, &["`qf2-connect-demo`, where rejected records go, expected two topics"]);
    let default = sink.set("topics", "one,one-dlq");
    check(&pipeline, &default, &["`one-dlq`, where rejected records go, expected two topics"]);
}

#[test]
fn a_topic_that_was_made_anew_is_told() {
    let pipeline = Pipeline::on_folders();
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    write_records(running.log(), RECORDS, 1, 0..200);
    pipeline.check(running.log());
    running.stop();
    assert!(running.log().delete_topic(RECORDS).unwrap());
    write_records(running.log(), RECORDS, 1, 0..120);
    drop(running);
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    let failed = |status: &host::worker::TaskStatus| matches!(status.state, TaskState::Failed(_));
    let status = running.wait(TO_SPOOL, "its failure", WITHIN, failed);
    let trace = status.state.trace().unwrap();
    for words in ["topic `wikipedia` partition 0 ends at offset 120", "the sink has written up to offset 200"] {
        assert!(trace.contains(words), "{trace}");
    }
    for other in [FROM_SPOOL, TO_DATA_SET] {
        assert_eq!(running.status(other).state, TaskState::Running, "{other}");
    }
    running.stop();
}

#[test]
fn records_that_are_no_members_become_dead_letters_and_the_others_go_on() {
    let pipeline = Pipeline::on_folders();
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    write_records(running.log(), RECORDS, 1, 0..100);
    pipeline.check(running.log());
    write_records(running.log(), tests::spool::SEALED, 1, 0..20);
    write_records(running.log(), RECORDS, 1, 100..200);
    let mut data_set = pipeline.data_set();
    data_set.wait(200);
    data_set.assert_holds(&tests::spool::read_all(running.log(), RECORDS));
    wait_until("twenty dead letters", WITHIN, || {
        tests::spool::read_all(running.log(), "qf2-connect-demo-dlq").len() == 20
    });
    running.stop();
    assert_eq!(running.status(TO_DATA_SET).counts.rejected, 20);
}

#[test]
fn a_topic_whose_name_is_too_long_for_a_file_is_told() {
    let pipeline = Pipeline::on_folders();
    let topic = "t".repeat(150);
    let store = Store::local(pipeline.dir.path(), "long");
    let sink = store.reach(pipeline.to_spool().set("topics", &topic));
    let mut running = start(&pipeline.data_dir(), &[sink], None);
    write_records(running.log(), &topic, 1, 0..100);
    let failed = |status: &host::worker::TaskStatus| matches!(status.state, TaskState::Failed(_));
    let status = running.wait(TO_SPOOL, "its failure", WITHIN, failed);
    assert!(status.state.trace().unwrap().contains("expected a topic of at most"), "{status:?}");
    running.stop();
}
