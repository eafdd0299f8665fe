//! Who works on what in a spool: partitions and claims that change their owner while work goes on, and
//! the moments in which a directory or a file is somewhere else by the time it is looked for.

use host_emulators::qumulo::QumuloFault;
use std::path::PathBuf;
use std::time::Duration;
use tests::spool::{FROM_SPOOL, Pipeline, RECORDS, TO_SPOOL, WITHIN, names, write_records};
use tests::worker::{Running, start};
use tests::{wait_for, wait_until};

/// Where sinks write.
const STAGING: &str = "var/staging";

/// The directory in which a partition's file is being written.
fn owner_directory(pipeline: &Pipeline) -> PathBuf {
    let staging = pipeline.first.folder().join(STAGING);
    wait_for("an open file", WITHIN, || {
        let name = names(&staging).into_iter().find(|name| name.starts_with("wikipedia+0+"))?;
        let path = staging.join(name);
        names(&path).iter().any(|name| name.ends_with(".open")).then_some(path)
    })
}

/// The end of a lease some time from now, as it stands in a directory's name.
fn soon(milliseconds: i64) -> i64 {
    host::record::now_ms() + milliseconds
}

/// Offsets that were published, wherever their files are by now.
fn published(pipeline: &Pipeline) -> Vec<(i64, i64)> {
    let files = tests::spool::files_below(&pipeline.first.folder().join("var/spool"));
    let name = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        // A claim has three words before the name.
        tests::spool::read_name(name).or_else(|| tests::spool::read_name(name.splitn(4, '+').nth(3)?))
    };
    let mut found: Vec<_> = files.iter().filter_map(name).map(|name| (name.first, name.next)).collect();
    found.sort();
    found
}

fn check_taken_away(pipeline: &Pipeline) {
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let to_spool = to_spool.set("rotation.max.records", 100).set("rotation.max.age.ms", 600_000);
    let mut running = start(&pipeline.data_dir(), &[to_spool, from_spool, to_data_set], None);
    write_records(running.log(), RECORDS, 1, 0..150);
    // Somebody else takes the partition in the middle of the second file, for two seconds.
    wait_until("the first file", WITHIN, || published(pipeline) == [(0, 100)]);
    let taken = owner_directory(pipeline);
    let staging = taken.parent().unwrap();
    let until = soon(2000);
    std::fs::rename(&taken, staging.join(format!("wikipedia+0+99+{until}+somebody~0~00000000000000ff"))).unwrap();
    write_records(running.log(), RECORDS, 1, 150..260);
    running.wait(TO_SPOOL, "the loss", WITHIN, |status| status.counts.retries > 0);
    wait_until("the second file", WITHIN, || published(pipeline) == [(0, 100), (100, 200)]);
    assert!(host::record::now_ms() > until, "published before the other's lease was over");
    // And once more, without a trace of it.
    let taken = owner_directory(pipeline);
    std::fs::remove_dir_all(taken.parent().unwrap()).unwrap();
    write_records(running.log(), RECORDS, 1, 260..330);
    wait_until("the third file", WITHIN, || published(pipeline) == [(0, 100), (100, 200), (200, 300)]);
    running.stop();
    drop(running);
    let mut running = start(&pipeline.data_dir(), &pipeline.connectors(), None);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
}

#[test]
fn a_sink_whose_partition_is_taken_away_in_the_middle_of_a_file_publishes_nothing_and_comes_back_on_a_filer() {
    check_taken_away(&Pipeline::on_filers());
}

#[test]
fn a_sink_whose_partition_is_taken_away_in_the_middle_of_a_file_publishes_nothing_and_comes_back_in_a_folder() {
    check_taken_away(&Pipeline::on_folders());
}

#[test]
fn of_two_sinks_on_one_partition_the_second_waits_and_takes_over() {
    let pipeline = Pipeline::on_filers();
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let (first, second) = (to_spool.clone(), to_spool.named("second-consumer"));
    let mut running = start(&pipeline.data_dir(), &[first, second, from_spool, to_data_set], None);
    write_records(running.log(), RECORDS, 1, 0..300);
    pipeline.check(running.log());
    let of_two = |running: &Running| [TO_SPOOL, "second-consumer"].map(|name| running.status(name).counts.records);
    let [one, other] = of_two(&running);
    assert_eq!((one.min(other), one.max(other)), (0, 300), "one of them alone");
    let (working, waiting) = if one > 0 { (TO_SPOOL, "second-consumer") } else { ("second-consumer", TO_SPOOL) };
    running.ask_to_stop(working);
    running.wait(working, "its end", WITHIN, |status| status.state.is_over());
    write_records(running.log(), RECORDS, 1, 300..500);
    running.wait(waiting, "the rest", WITHIN, |status| status.counts.records == 200);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
}

#[test]
fn two_sinks_that_make_files_of_different_sizes_repeat_nothing() {
    let pipeline = Pipeline::on_folders();
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    // Files of another size have other names, so that the names alone do not keep them apart.
    let second = to_spool.clone().named("second-consumer").set("rotation.max.records", 70);
    let mut running = start(&pipeline.data_dir(), &[to_spool, second, from_spool, to_data_set], None);
    write_records(running.log(), RECORDS, 1, 0..300);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
}

#[test]
fn claims_that_are_taken_away_from_a_living_source_come_once() {
    let pipeline = Pipeline::on_filers();
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let to_spool = to_spool.set("rotation.max.records", 10).set("member.max.bytes", 1024);
    let slow = from_spool.set("batch.max.records", 1).set("transaction.boundary.interval.ms", 0);
    let slow = slow.set("spool.lease.ms", 1500);
    let connectors = [to_spool, slow, to_data_set];
    let mut running = start(&pipeline.data_dir(), &connectors, None);
    write_records(running.log(), RECORDS, 1, 0..600);
    running.wait(FROM_SPOOL, "some members", WITHIN, |status| status.counts.records > 20);
    let tmp = pipeline.stage("tmp");
    let lane = names(&tmp).into_iter().find(|name| name.starts_with(FROM_SPOOL)).unwrap();
    let label: Vec<&str> = lane.splitn(4, '+').collect();
    let until = soon(1000);
    let other = format!("{}+{}+{}+99+{until}+somebody~0~00000000000000ff", label[0], label[1], label[2]);
    // A lease that is renewed at this moment has another name by now.
    wait_until("the claims to be somebody's", WITHIN, || {
        let lane = names(&tmp).into_iter().find(|name| name.starts_with(FROM_SPOOL)).unwrap();
        std::fs::rename(tmp.join(lane), tmp.join(&other)).is_ok()
    });
    running.wait(FROM_SPOOL, "a restart", WITHIN, |status| status.restarts > 0);
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
}

#[test]
fn tasks_of_a_source_outlive_an_outage_that_is_longer_than_their_lease() {
    let pipeline = Pipeline::on_filers();
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let from_spool = from_spool.set("tasks.max", 3).set("spool.lease.ms", 1000);
    let second = from_spool.clone().named("second-source");
    let mut running = start(&pipeline.data_dir(), &[to_spool, from_spool, second, to_data_set], None);
    write_records(running.log(), RECORDS, 1, 0..200);
    pipeline.check(running.log());
    pipeline.first.fault(QumuloFault::AnswerNext { status: 503, retry_after: None, times: u64::MAX });
    pipeline.first.fault(QumuloFault::DropWatchers);
    // Longer than the lease, and than anything that is still under way.
    std::thread::sleep(Duration::from_millis(2500));
    pipeline.first.fault(QumuloFault::AnswerNext { status: 503, retry_after: None, times: 0 });
    let over = host::record::now_ms();
    write_records(running.log(), RECORDS, 1, 200..600);
    pipeline.check(running.log());
    let is_renewed = |name: &String| name.rsplit('+').nth(1).unwrap().parse::<i64>().unwrap() > over + 1000;
    wait_until("every task to be back", WITHIN, || {
        names(&pipeline.stage("tmp")).iter().filter(|n| is_renewed(n)).count() == 6
    });
    for status in running.stop() {
        // On a busy machine a lease of a second can also run out just before the stop.
        let well = status.state.name() == "STOPPED"
            || status.state.trace().is_some_and(|trace| trace.contains("was taken over by another"));
        assert!(well, "{} {}: {} {:?}", status.name, status.task, status.state.name(), status.state.trace());
    }
    pipeline.check(running.log());
}
