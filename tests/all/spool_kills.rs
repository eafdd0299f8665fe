//! `kill -9` of a host with a whole pipeline, at moments that a seed draws, while the filers live on: in
//! the end the data set is what the first topic is, and nothing was published twice on the way.

use host::io::embedded::EmbeddedLog;
use host::ports::log::Log;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tests::dice::Dice;
use tests::program::{self, Program};
use tests::spool::{FROM_SPOOL, Pipeline, RECORDS, SEALED, WITHIN, names, read_all, stage, write_records};
use tests::worker::{Connector, start, wait_unlocked};
use tests::{wait_for, wait_until};

fn spawn(pipeline: &Pipeline, connectors: &[Connector]) -> Program {
    let config = pipeline.config("host.toml", connectors);
    wait_unlocked(&pipeline.data_dir());
    program::spawn(pipeline.dir.path(), [Path::new("run"), &config])
}

/// Fills the first topic before any host runs.
fn fill(pipeline: &Pipeline, partitions: i32, records: u64) {
    let log = EmbeddedLog::open(&pipeline.data_dir(), None).unwrap();
    write_records(&log, RECORDS, partitions, 0..records);
}

/// The log beside a host that writes to it.
fn log(pipeline: &Pipeline) -> EmbeddedLog {
    EmbeddedLog::open_read_only(&pipeline.data_dir()).unwrap()
}

/// Ends a host.
fn kill(program: Program) {
    program.signal("KILL");
    assert_eq!(program.finish().code, None);
}

/// Runs the connectors and kills them so many times, each after something was done and a moment that the
/// seed draws, then lets them finish.
fn check_kills(pipeline: &Pipeline, connectors: &[Connector], kills: usize, seed: u64) {
    let mut dice = Dice::new(seed);
    let log = log(pipeline);
    let mut data_set = pipeline.data_set();
    let sent = read_all(&log, RECORDS);
    let mut in_the_middle = 0;
    for _ in 0..kills {
        // What counts as something done is another thing each time: a file, a member, a file of members.
        let done = |what: u64| match what {
            0 => ["inbox", "outbox", "wash"].iter().map(|name| names(&pipeline.stage(name)).len()).sum(),
            1 => log.topic(SEALED).unwrap().map_or(0, |topic| {
                usize::try_from(topic.partitions.iter().map(|marks| marks.high).sum::<i64>()).unwrap()
            }),
            _ => names(&pipeline.second.folder()).len(),
        };
        let what = dice.below(3);
        let before = done(what);
        let mut program = spawn(pipeline, connectors);
        wait_until("something new, or all of it", WITHIN, || {
            assert!(program.is_running(), "{}", program.stderr());
            done(what) > before || data_set.look() == sent.len()
        });
        std::thread::sleep(Duration::from_micros(dice.below(1000) * 400));
        kill(program);
        in_the_middle += usize::from(data_set.look() < sent.len());
    }
    assert!(in_the_middle * 2 > kills, "only {in_the_middle} kills were in the middle: more records, please");
    let mut program = spawn(pipeline, connectors);
    // Before that it does not listen to signals, and everything may be there already.
    program.wait_stderr("connector `");
    data_set.wait(sent.len());
    program.signal("INT");
    program.finish().expect(0);
    data_set.assert_holds(&sent);
    pipeline.assert_sealed(&log);
    assert_eq!(names(&pipeline.stage("quarantine")), [""; 0]);
}

#[test]
fn kills_of_a_pipeline_on_filers_lose_and_repeat_nothing() {
    let pipeline = Pipeline::on_filers();
    fill(&pipeline, 2, 3000);
    let connectors = pipeline.connectors().map(|connector| connector.set("rotation.max.records", 10));
    check_kills(&pipeline, &connectors, 8, 20_261_125);
}

#[test]
fn kills_of_a_pipeline_in_folders_with_several_tasks_lose_and_repeat_nothing() {
    let pipeline = Pipeline::on_folders();
    fill(&pipeline, 3, 6000);
    let connectors =
        pipeline.connectors().map(|connector| connector.set("rotation.max.records", 4).set("tasks.max", 2));
    let [to_spool, from_spool, to_data_set] = connectors;
    let from_spool = from_spool.set("chunk.max.bytes", 4096).set("topic.creation.default.partitions", 2);
    check_kills(&pipeline, &[to_spool, from_spool, to_data_set], 8, 7);
}

#[test]
fn kills_within_a_file_that_needs_many_commits_lose_and_repeat_nothing() {
    let pipeline = Pipeline::on_filers();
    fill(&pipeline, 1, 2000);
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let to_spool = to_spool.set("member.max.bytes", 1024).set("rotation.max.records", 2000);
    let from_spool = from_spool.set("batch.max.records", 2).set("transaction.boundary.interval.ms", 0);
    let mut running = start(&pipeline.data_dir(), std::slice::from_ref(&to_spool), None);
    wait_until("the whole file", WITHIN, || names(&pipeline.stage("inbox")).len() == 1);
    running.stop();
    drop(running);
    let count = || read_all(&log(&pipeline), SEALED).len();
    let mut stopped_at = Vec::new();
    for _ in 0..4 {
        let before = count();
        let program = spawn(&pipeline, std::slice::from_ref(&from_spool));
        wait_until("further commits", WITHIN, || count() > before + 10);
        kill(program);
        stopped_at.push(count());
    }
    let mut running = start(&pipeline.data_dir(), &[to_spool, from_spool, to_data_set], None);
    pipeline.check(running.log());
    running.stop();
    let members = read_all(running.log(), SEALED).len();
    assert!(stopped_at.iter().all(|at| *at < members), "{stopped_at:?} of {members}");
    let ids = read_all(running.log(), SEALED).into_iter().map(|record| record.key).collect::<BTreeSet<_>>();
    assert_eq!(ids.len(), members, "no member came twice");
}

/// The directory of a source's claims, and how many are in it.
fn claims(pipeline: &Pipeline, connector: &str) -> Option<(String, usize)> {
    let tmp = stage(&pipeline.first, "tmp");
    let lane = names(&tmp).into_iter().find(|name| name.starts_with(&format!("{connector}+0+")))?;
    let claims = names(&tmp.join(&lane)).len();
    Some((lane, claims))
}

#[test]
fn claims_of_a_source_that_was_killed_are_adopted_by_another() {
    let pipeline = Pipeline::on_filers();
    fill(&pipeline, 1, 1000);
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let to_spool = to_spool.set("rotation.max.records", 25).set("member.max.bytes", 1024);
    let slow = |source: Connector| {
        let source = source.set("batch.max.records", 1).set("transaction.boundary.interval.ms", 0);
        source.set("spool.lease.ms", 1500)
    };
    let from_spool = slow(from_spool);
    let mut running = start(&pipeline.data_dir(), std::slice::from_ref(&to_spool), None);
    wait_until("all files", WITHIN, || names(&pipeline.stage("inbox")).len() == 40);
    running.stop();
    drop(running);
    let log = log(&pipeline);
    let program = spawn(&pipeline, std::slice::from_ref(&from_spool));
    wait_until("members in the log", WITHIN, || read_all(&log, SEALED).len() > 30);
    kill(program);
    let (lane, left) = claims(&pipeline, FROM_SPOOL).unwrap();
    assert!(left > 0, "claims are left in `{lane}`");
    // It never comes back; another does its work, and may begin while the lease still runs.
    let second = slow(from_spool.named("second-source"));
    let until: i64 = lane.rsplit('+').nth(1).unwrap().parse().unwrap();
    wait_until("the lease to be over", WITHIN, || host::record::now_ms() > until);
    let mut running = start(&pipeline.data_dir(), &[to_spool, second, to_data_set], None);
    pipeline.check(running.log());
    wait_until("the dead one's directory to go", WITHIN, || claims(&pipeline, FROM_SPOOL).is_none());
    running.stop();
    pipeline.check(running.log());
}

#[test]
fn a_partition_of_a_sink_that_was_killed_is_taken_over_after_its_lease() {
    let pipeline = Pipeline::on_filers();
    fill(&pipeline, 1, 2000);
    let [to_spool, from_spool, to_data_set] = pipeline.connectors();
    let sink = to_spool.set("spool.lease.ms", 3000);
    let sink = sink.set("rotation.max.records", 10);
    let program = spawn(&pipeline, std::slice::from_ref(&sink));
    wait_until("files", WITHIN, || names(&pipeline.stage("inbox")).len() > 10);
    kill(program);
    let published = names(&pipeline.stage("inbox")).len();
    let second = sink.named("second-consumer");
    let mut running = start(&pipeline.data_dir(), &[second, from_spool, to_data_set], None);
    let held = wait_for("the lease", WITHIN, || {
        let name = names(&pipeline.first.folder().join("var/staging")).into_iter().next()?;
        name.contains("second-consumer").then_some(name)
    });
    assert!(held.starts_with("wikipedia+0+"), "{held}");
    pipeline.check(running.log());
    running.stop();
    pipeline.check(running.log());
    assert!(published < 200, "killed in the middle: {published}");
}
