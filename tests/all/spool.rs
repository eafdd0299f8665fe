//! The whole spool in this process: topic, sealed files, topic of members, data set. What comes out is
//! compared with what was written to the first topic, record by record and byte for byte.

use host::io::embedded::EmbeddedLog;
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::path::Path;
use tests::plugins::Plugin;
use tests::spool::{
    DataSet, FROM_SPOOL, Pipeline, RECORDS, SEALED, Store, TO_DATA_SET, TO_SPOOL, WITHIN, names, read_all, read_name,
    write_records,
};
use tests::wait_until;
use tests::worker::{Connector, Running, start};

/// Waits until a sink has made so many records safe since its worker's start.
fn wait_for_sink(running: &Running, name: &str, records: u64) {
    running.wait(name, &format!("{records} records"), WITHIN, |status| status.counts.records >= records);
}

fn check_pipeline(pipeline: &Pipeline) {
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    write_records(running.log(), RECORDS, 1, 0..700);
    pipeline.check(running.log());
    write_records(running.log(), RECORDS, 1, 700..1000);
    pipeline.check(running.log());
    for status in running.stop() {
        let stopped = (status.state.name(), status.restarts, status.counts.rejected);
        assert_eq!(stopped, ("STOPPED", 0, 0), "{}: {status:?}", status.name);
    }
    pipeline.check(running.log());
    assert_eq!(read_all(running.log(), RECORDS).len(), 1000);
    for empty in ["inbox", "quarantine", "washd"] {
        assert_eq!(names(&pipeline.stage(empty)), [""; 0], "{empty}");
    }
}

#[test]
fn every_record_arrives_once_on_filers() {
    check_pipeline(&Pipeline::on_filers());
}

#[test]
fn every_record_arrives_once_in_folders() {
    check_pipeline(&Pipeline::on_folders());
}

#[test]
fn a_pipeline_that_is_stopped_in_the_middle_goes_on() {
    let pipeline = Pipeline::on_filers();
    for life in 0..4 {
        let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
        write_records(running.log(), RECORDS, 1, life * 400..(life + 1) * 400);
        // Each life ends somewhere else: at the first, at the second, at the third connector.
        let at = [TO_SPOOL, FROM_SPOOL, TO_DATA_SET][usize::try_from(life % 3).unwrap()];
        running.wait(at, "something to do", WITHIN, |status| status.counts.records > 0);
        assert!(running.stop().iter().all(|status| status.state.name() == "STOPPED"));
    }
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
}

/// Takes the sinks' memory of offsets away.
fn forget_offsets(data_dir: &Path) {
    let log = Connection::open(data_dir.join("log.db")).unwrap();
    assert!(log.execute("DELETE FROM group_offsets", []).unwrap() > 0, "nothing to forget");
}

#[test]
fn names_alone_say_where_a_sink_goes_on() {
    let pipeline = Pipeline::on_folders();
    let source_off = [pipeline.to_spool(), pipeline.to_data_set()];
    let all = pipeline.connectors();
    // With the newest file in the inbox, then in the outbox or the wash.
    for (life, connectors) in (0..).zip([&source_off[..], &all[..], &source_off[..], &all[..]]) {
        let mut running = start(&pipeline.data_dir(), connectors, None);
        write_records(running.log(), RECORDS, 1, life * 150..(life + 1) * 150);
        wait_for_sink(&running, TO_SPOOL, 150);
        if connectors.len() == 3 {
            pipeline.check(running.log());
            wait_until("an empty inbox", WITHIN, || names(&pipeline.stage("inbox")).is_empty());
        }
        running.stop();
        forget_offsets(&pipeline.data_dir());
    }
    let mut running = start(&pipeline.data_dir(), &all, None);
    write_records(running.log(), RECORDS, 1, 600..700);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
}

#[test]
fn with_no_retention_all_but_the_newest_file_of_each_partition_is_deleted() {
    let pipeline = Pipeline::on_filers();
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let from_spool = from_spool.set("trash.retention.ms", 0).set("trash.snapshot.keep.ms", 60_000);
    let connectors = [to_spool, from_spool, to_data_set];
    let running = start(&pipeline.data_dir(), &connectors, None);
    write_records(running.log(), RECORDS, 3, 0..600);
    pipeline.check(running.log());
    let left = || -> Vec<_> { names(&pipeline.stage("wash")).iter().filter_map(|name| read_name(name)).collect() };
    let gone = ["inbox", "outbox", "washd"].map(|stage| pipeline.stage(stage));
    wait_until("all but three files to be deleted", WITHIN, || {
        left().len() == 3 && gone.iter().all(|stage| names(stage).is_empty())
    });
    let topic = running.log().topic(RECORDS).unwrap().unwrap();
    let ends: BTreeSet<_> = (0..).zip(&topic.partitions).map(|(partition, marks)| (partition, marks.high)).collect();
    assert_eq!(left().iter().map(|name| (name.partition, name.next)).collect::<BTreeSet<_>>(), ends);
    running.end();
    forget_offsets(&pipeline.data_dir());
    // With nothing else as memory, the next life goes on after them.
    let mut running = start(&pipeline.data_dir(), &connectors, None);
    write_records(running.log(), RECORDS, 3, 600..800);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
}

#[test]
fn partitions_are_dealt_out_to_the_tasks_of_each_connector() {
    let pipeline = Pipeline::on_filers();
    let connectors = pipeline.connectors().map(|connector| connector.set("tasks.max", 2));
    let [to_spool, from_spool, to_data_set] = connectors;
    let connectors = [to_spool, from_spool.set("topic.creation.default.partitions", 3), to_data_set];
    let mut running = start(&pipeline.data_dir(), &connectors, None);
    write_records(running.log(), RECORDS, 3, 0..1500);
    pipeline.check(running.log());
    let statuses = running.stop();
    pipeline.check(running.log());
    assert_eq!(statuses.len(), 6);
    let worked = |name: &str| {
        statuses.iter().filter(|status| status.name == name).all(|status| {
            assert_eq!((status.state.name(), status.restarts), ("STOPPED", 0), "{status:?}");
            status.counts.records > 0
        })
    };
    assert!(worked(TO_SPOOL) && worked(TO_DATA_SET), "each task has partitions of its own: {statuses:?}");
    let sealed = read_all(running.log(), SEALED);
    let partitions: BTreeSet<i32> = sealed.iter().map(|record| record.partition).collect();
    assert_eq!(partitions, BTreeSet::from([0, 1, 2]));
}

#[test]
fn two_sources_of_different_names_share_the_files_of_one_spool() {
    let pipeline = Pipeline::on_filers();
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    // One file is one commit of one record, so that neither can take all at once.
    let to_spool = to_spool.set("rotation.max.records", 4);
    let from_spool = from_spool.set("batch.max.records", 1).set("transaction.boundary.interval.ms", 0);
    let second = from_spool.clone().named("second-source");
    let mut running = start(&pipeline.data_dir(), &[to_spool, from_spool, second, to_data_set], None);
    write_records(running.log(), RECORDS, 1, 0..800);
    pipeline.check(running.log());
    let statuses = running.stop();
    pipeline.check(running.log());
    let shares = [FROM_SPOOL, "second-source"].map(|name| {
        let status = statuses.iter().find(|status| status.name == name).unwrap();
        status.counts.records
    });
    assert_eq!(shares.iter().sum::<u64>(), read_all(running.log(), SEALED).len() as u64);
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
}

#[test]
fn members_larger_than_a_record_travel_in_pieces() {
    let pipeline = Pipeline::on_folders();
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    // Some ten pieces a member, from two tasks into one partition.
    let to_spool = to_spool.set("member.max.bytes", 20_000).set("rotation.max.records", 400);
    let from_spool = from_spool.set("chunk.max.bytes", 2048).set("tasks.max", 2).set("batch.max.bytes", 5000);
    let to_data_set = to_data_set.set("batch.max.records", 7).set("rotation.max.records", 20);
    let connectors = [to_spool, from_spool, to_data_set];
    let running = start(&pipeline.data_dir(), &connectors, None);
    write_records(running.log(), RECORDS, 2, 0..1200);
    running.wait(TO_DATA_SET, "something in the data set", WITHIN, |status| status.counts.records > 0);
    running.end();
    let mut running = start(&pipeline.data_dir(), &connectors, None);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
    let sealed = read_all(running.log(), SEALED);
    assert!(sealed.iter().all(|record| record.value.as_ref().unwrap().len() <= 2048));
    let chunks = sealed.iter().filter(|record| tests::records::header(record, "host.chunk") == Some("1")).count();
    assert!(chunks > 10, "{chunks} members in pieces of {} records", sealed.len());
}

#[test]
fn a_file_of_many_members_is_given_in_many_commits() {
    let pipeline = Pipeline::on_filers();
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let to_spool = to_spool.set("member.max.bytes", 1024).set("rotation.max.records", 1000);
    let from_spool = from_spool.set("batch.max.records", 1).set("transaction.boundary.interval.ms", 0);
    let connectors = [to_spool, from_spool, to_data_set];
    write_records(&EmbeddedLog::open(&pipeline.data_dir(), None).unwrap(), RECORDS, 1, 0..1000);
    for _ in 0..2 {
        let mut running = start(&pipeline.data_dir(), &connectors, None);
        running.wait(FROM_SPOOL, "commits", WITHIN, |status| status.counts.commits > 10);
        running.stop();
    }
    let mut running = start(&pipeline.data_dir(), &connectors, None);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
    let files: BTreeSet<String> = ["outbox", "wash"].iter().flat_map(|stage| names(&pipeline.stage(stage))).collect();
    assert!(files.len() <= 3, "few files of many members: {files:?}");
}

#[test]
fn one_sink_keeps_two_topics_apart_in_dated_directories() {
    let pipeline = Pipeline::on_folders();
    let folder = pipeline.dir.path().join("set");
    let sink = pipeline.to_spool().set("spool.place", "target").set("topics", "wikipedia,other").set("tasks.max", 2);
    let sink = sink.set("files", "local").set("dir", folder.display()).set("target.directories", "day");
    let running = start(&pipeline.data_dir(), std::slice::from_ref(&sink), None);
    write_records(running.log(), RECORDS, 2, 0..300);
    write_records(running.log(), "other", 1, 300..500);
    wait_until("both topics", WITHIN, || {
        let done: u64 = ["wikipedia", "other"].map(|topic| published(&folder, topic)).iter().sum();
        done == 500
    });
    running.end();
    forget_offsets(&pipeline.data_dir());
    // In directories of another kind the names of the first are still found.
    let mut running = start(&pipeline.data_dir(), &[sink.set("target.directories", "hour")], None);
    write_records(running.log(), "other", 1, 500..600);
    wait_until("the rest", WITHIN, || published(&folder, "other") == 300);
    running.stop();
    assert_eq!((published(&folder, RECORDS), published(&folder, "other")), (300, 300));
    let mut data_set = DataSet::new(&folder, pipeline.dir.path(), "demo");
    assert_eq!(data_set.look(), 600);
    let depths = data_set.paths().map(|path| path.strip_prefix(&folder).unwrap().components().count());
    assert_eq!(depths.collect::<BTreeSet<_>>(), BTreeSet::from([4, 5]));
}

/// Offsets of a topic that published names stand for.
fn published(folder: &Path, topic: &str) -> u64 {
    let files = tests::spool::files_below(folder);
    let names = files.iter().filter_map(|path| read_name(path.file_name()?.to_str()?));
    names.filter(|name| name.topic == topic).map(|name| (name.next - name.first).unsigned_abs()).sum()
}

#[test]
fn a_spool_of_a_folder_is_the_same_on_a_filer() {
    // Written through one, read through the other: a filer's files are ordinary ones.
    let pipeline = Pipeline::on_filers();
    let running = start(&pipeline.data_dir(), &[pipeline.to_spool()], None);
    write_records(running.log(), RECORDS, 1, 0..200);
    wait_for_sink(&running, TO_SPOOL, 200);
    running.end();
    let local = Store::Local(pipeline.first.folder());
    let from_spool = Connector::spool(FROM_SPOOL, "spool-source", Plugin::SpoolLayout).set("topic", SEALED);
    let mut running = start(&pipeline.data_dir(), &[local.reach(from_spool), pipeline.to_data_set()], None);
    pipeline.check(running.log());
    running.stop();
}
