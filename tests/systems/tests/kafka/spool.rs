//! A spool between two topics of a real Kafka: what was in the first topic is in the data set once,
//! whatever became of the host in between.

use crate::support::{WITHIN, connect, id, kafka, num_members};
use host::app;
use host::config::{Config, ConnectorKind, RawConfig};
use host::crypto::{Key, KeyKind, KeyRing, create_key_file};
use host::ports::log::{Commit, Log, LogWriter, TopicSpec};
use host::record::BatchBuilder;
use host::wasm::Engines;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tests::plugins::Plugin;
use tests::{program, wait_until};

const PARTITIONS: i32 = 3;
const RECORDS: usize = 3000;
const KILLS: u64 = 6;

/// The value of a record, unlike any other.
fn value(number: usize) -> String {
    format!("record {number} {}", "x".repeat(number % 700))
}

/// Appends records to a topic in one commit.
fn write(writer: &mut dyn LogWriter, topic: &str, numbers: Range<usize>) {
    let mut batch = BatchBuilder::default();
    for number in numbers {
        let key = number.to_string();
        batch.push(Some(key.as_bytes()), Some(value(number).as_bytes()), &[], 1_795_574_000_000);
    }
    let commit = Commit { appends: vec![(topic.to_owned(), batch.build())], ..Commit::default() };
    crate::support::commit_until_made(writer, &commit);
}

/// Both sides of a spool and the data set behind it, two tasks each, with small files.
fn config(dir: &Path, bootstrap: &str, prefix: &str) -> PathBuf {
    let layout = Plugin::SpoolLayout.path().display();
    let spool = |name: &str, class: &str, folder: &str, more: &str| {
        let folder = dir.join(folder).display().to_string();
        format!(
            "\n[connectors.{prefix}-{name}]\nconnector.class = \"{class}\"\nplugin = \"{layout}\"\nfiles = \"local\"\n\
             dir = \"{folder}\"\nrotation.max.records = 40\nrotation.max.age.ms = 200\ntasks.max = 2\n\
             staging.directory = \"var/sink\"\nspool.lease.ms = 1000\nerrors.retry.delay.max.ms = 500\n{more}"
        )
    };
    let text = format!("[worker]\nbootstrap.servers = \"{bootstrap}\"\n")
        + &spool(
            "in",
            "spool-sink",
            "one",
            &format!(
                "topics = \"{prefix}\"\nspool.place = \"inbox\"\nseal.recipients = \"file:{}\"\n",
                dir.join("k.pub").display()
            ),
        )
        + &spool(
            "between",
            "spool-source",
            "one",
            &format!("topic = \"{prefix}-sealed\"\n\"topic.creation.default.partitions\" = 2\n"),
        )
        + &spool("out", "spool-sink", "two", &format!("topics = \"{prefix}-sealed\"\nspool.content = \"members\"\n"));
    let path = dir.join("spool.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// What the data set holds: how often each value is there, by partition and offset of its topic.
fn data_set(config: &Path, connector: &str, key: &Key) -> BTreeMap<String, usize> {
    let config = Config::check(&RawConfig::read(&[config.to_owned()]).unwrap()).unwrap();
    let found = config.connectors.iter().find(|found| found.name == connector).unwrap();
    let ConnectorKind::SpoolSink(sink) = &found.kind else { panic!("`{connector}` is no sink") };
    let mut survey = app::survey(connector, &sink.spool, &Engines::new(), tests::feeds::runtime().handle()).unwrap();
    let ring = Arc::new(KeyRing::try_new([key.clone()]).unwrap());
    let mut values = BTreeMap::new();
    for file in survey.list().unwrap().into_iter().filter(|file| file.stage == "target") {
        let report = survey.open(&file, &ring, &mut |record| {
            *values.entry(String::from_utf8_lossy(record.value.unwrap()).into_owned()).or_default() += 1;
            Ok(())
        });
        assert_eq!(report.unwrap().problem, None, "{}", file.name);
    }
    values
}

/// What every record is to be in the data set.
fn once_each(records: usize) -> BTreeMap<String, usize> {
    (0..records).map(|number| (value(number), 1)).collect()
}

#[test]
fn a_newer_host_takes_over_the_sides_of_a_spool_and_the_older_one_ends() {
    let Some(kafka) = kafka() else { return };
    let bootstrap = kafka.bootstrap();
    let dir = tempfile::tempdir().unwrap();
    let key = Key::generate(KeyKind::Private).unwrap();
    create_key_file(&dir.path().join("k.pub"), &key.public().unwrap()).unwrap();
    let config = config(dir.path(), bootstrap, "handed");
    let log = connect(bootstrap);
    log.create_topic("handed", TopicSpec { partitions: PARTITIONS, ..TopicSpec::default() }).unwrap();
    let mut writer = log.writer(&id("handed-writer")).unwrap();
    let mut write = |numbers| write(writer.as_mut(), "handed", numbers);
    write(0..RECORDS / 3);
    let mut older = program::spawn(dir.path(), [Path::new("run"), &config]);
    // There is no data set to read before the sink has made its folder.
    wait_until("some of it", WITHIN, || {
        dir.path().join("two").is_dir() && !data_set(&config, "handed-out", &key).is_empty()
    });
    // Newer is who opened its writer last, task by task.
    wait_until("all tasks of the older host", WITHIN, || {
        ["connect-handed-in", "connect-handed-out"].iter().all(|group| num_members(bootstrap, group) == 2)
    });
    let mut newer = program::spawn(dir.path(), [Path::new("run"), &config]);
    newer.wait_stderr("connector `");
    write(RECORDS / 3..RECORDS);
    wait_until("the older host to end", WITHIN, || !older.is_running());
    let older = older.finish().expect(1);
    assert!(older.stderr.contains("a newer writer has taken over"), "{}", older.stderr);
    wait_until("every record in the data set", WITHIN, || data_set(&config, "handed-out", &key).len() == RECORDS);
    assert!(newer.is_running(), "{}", newer.stderr());
    newer.signal("INT");
    newer.finish().expect(0);
    assert!(data_set(&config, "handed-out", &key) == once_each(RECORDS));
}

#[test]
fn kills_between_two_topics_and_two_filers_lose_and_repeat_nothing() {
    let Some(kafka) = kafka() else { return };
    let bootstrap = kafka.bootstrap();
    let dir = tempfile::tempdir().unwrap();
    let key = Key::generate(KeyKind::Private).unwrap();
    create_key_file(&dir.path().join("k.pub"), &key.public().unwrap()).unwrap();
    let config = config(dir.path(), bootstrap, "spooled");
    let log = connect(bootstrap);
    log.create_topic("spooled", TopicSpec { partitions: PARTITIONS, ..TopicSpec::default() }).unwrap();
    let mut writer = log.writer(&id("spooled-writer")).unwrap();
    let mut write = |numbers| write(writer.as_mut(), "spooled", numbers);
    let share = RECORDS / usize::try_from(KILLS + 1).unwrap();
    for round in 0..KILLS {
        let at = usize::try_from(round).unwrap() * share;
        write(at..at + share);
        let host = program::spawn(dir.path(), [Path::new("run"), &config]);
        // Not a wait for something: the moment of each kill is to be another.
        std::thread::sleep(Duration::from_millis(700 + 331 * round));
        host.signal("KILL");
        host.finish();
    }
    write(usize::try_from(KILLS).unwrap() * share..RECORDS);
    let mut host = program::spawn(dir.path(), [Path::new("run"), &config]);
    // Before that it does not listen to signals, and everything may be there already.
    host.wait_stderr("connector `");
    wait_until("every record in the data set", WITHIN, || data_set(&config, "spooled-out", &key).len() == RECORDS);
    host.signal("INT");
    host.finish().expect(0);
    let found = data_set(&config, "spooled-out", &key);
    let doubled: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    assert!(found == once_each(RECORDS), "{} of {RECORDS} records", found.len());
}

#[test]
fn two_hosts_share_a_sink_hand_partitions_over_and_one_goes_on_alone() {
    let Some(kafka) = kafka() else { return };
    let bootstrap = kafka.bootstrap();
    let dir = tempfile::tempdir().unwrap();
    let key = Key::generate(KeyKind::Private).unwrap();
    create_key_file(&dir.path().join("k.pub"), &key.public().unwrap()).unwrap();
    let layout = Plugin::SpoolLayout.path().display();
    let [one, two] = ["one", "two"].map(|worker| {
        let text = format!(
            "[worker]\nbootstrap.servers = \"{bootstrap}\"\nworker.id = \"{worker}\"\n\n[connectors.shared-out]\n\
             connector.class = \"spool-sink\"\nplugin = \"{layout}\"\nfiles = \"local\"\ndir = \"{}\"\n\
             rotation.max.records = 40\nrotation.max.age.ms = 200\nstaging.directory = \"var/sink\"\n\
             spool.lease.ms = 1000\nerrors.retry.delay.max.ms = 500\ntopics = \"shared\"\nspool.place = \"target\"\n\
             seal.recipients = \"file:{}\"\n",
            dir.path().join("out").display(),
            dir.path().join("k.pub").display()
        );
        let path = dir.path().join(format!("{worker}.toml"));
        std::fs::write(&path, text).unwrap();
        path
    });
    let log = connect(bootstrap);
    log.create_topic("shared", TopicSpec { partitions: PARTITIONS, ..TopicSpec::default() }).unwrap();
    let mut writer = log.writer(&id("shared-writer")).unwrap();
    let mut write = |numbers| write(writer.as_mut(), "shared", numbers);
    let arrived = |count: usize| {
        wait_until("records in the data set", WITHIN, || {
            dir.path().join("out").is_dir() && data_set(&one, "shared-out", &key).len() == count
        });
    };
    write(0..RECORDS / 3);
    let mut first = program::spawn(dir.path(), [Path::new("run"), &one]);
    arrived(RECORDS / 3);
    let mut second = program::spawn(dir.path(), [Path::new("run"), &two]);
    write(RECORDS / 3..RECORDS / 2);
    first.wait_stderr("partitions given up");
    arrived(RECORDS / 2);
    write(RECORDS / 2..RECORDS * 2 / 3);
    arrived(RECORDS * 2 / 3);
    assert!(first.is_running() && second.is_running(), "{}\n{}", first.stderr(), second.stderr());
    first.signal("KILL");
    first.finish();
    write(RECORDS * 2 / 3..RECORDS);
    arrived(RECORDS);
    second.signal("INT");
    second.finish().expect(0);
    assert!(data_set(&one, "shared-out", &key) == once_each(RECORDS));
}
