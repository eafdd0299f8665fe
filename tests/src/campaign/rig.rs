//! The pipeline of one run: feed, filers, Druid, log, and the host as a program that is started again and again.

use super::totals::{Found, Totals};
use super::{Broker, Options};
use crate::dice::Dice;
use crate::feeds;
use crate::ingest::{self, Druid};
use crate::plugins::{self, Plugin};
use crate::program::{self, Program};
use crate::records::payload;
use crate::spool::{Pipeline, RECORDS, Store, read_all};
use crate::worker::Connector;
use host::crash::{self, CrashPoint};
use host::io::embedded::EmbeddedLog;
use host::io::kafka::KafkaLog;
use host::ports::log::{KafkaSettings, Log, StoredRecord};
use host_emulators::edits::{Edit, Generator, Kind};
use host_emulators::{Handle, eventstreams};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time that the last life of a run may take to get everything through.
const FINISH_WITHIN: Duration = Duration::from_secs(180);
/// Longest time that a host takes to be ready, on a machine that does much else.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longest wait for a swap: its task may be waiting for what is hurt just now.
const SWAP_WITHIN: Duration = Duration::from_secs(2);
/// Name of the connector that reads the feed.
const SOURCE: &str = "feed-source";
/// What a life takes on the average, which decides how fast the feed is.
const LIFE: Duration = Duration::from_millis(1500);
/// The end of what a host said, for a report.
const SAID: usize = 1500;

/// One run's pipeline.
pub(super) struct Rig {
    pipeline: Pipeline,
    druid: Druid,
    feed: Handle,
    broker: Option<Box<dyn Broker>>,
    /// Opened when it is first there.
    log: Option<Box<dyn Log>>,
    ingest: Connector,
    /// Where the host takes swaps, and the versions it is given.
    listen: u16,
    versions: [PathBuf; 2],
    host: Option<(Program, Instant)>,
    /// Identifiers that the topic is to hold.
    expected: Vec<String>,
    /// Where the topic ended when the host was last started.
    end: Option<i64>,
}

impl Rig {
    pub(super) fn new(seed: u64, options: &Options, broker: Option<Box<dyn Broker>>) -> Self {
        let pipeline = Pipeline::on_filers();
        let druid = Druid::start(|_| {});
        let changes = options.changes;
        #[allow(clippy::cast_precision_loss)] // A rate.
        let rate = changes as f64 / (LIFE.as_secs_f64() * (options.kills + 1) as f64);
        let feed =
            feeds::eventstreams(eventstreams::Options { rate, seed, limit: Some(changes), ..Default::default() });
        let is_record = |edit: &Edit| matches!(edit.kind, Kind::Edit | Kind::New);
        let all = Generator::new(seed).take(usize::try_from(changes).unwrap_or(usize::MAX));
        let expected = all.filter(is_record).map(|edit| edit.uuid()).collect();
        let ingest = ingest::serving(pipeline.dir.path())
            .set("druid.url", druid.url())
            .set("task.poll.interval.ms", 20)
            .set("task.max.attempts", 100)
            .set("schedule", "200ms")
            .set("listen", format!("127.0.0.1:{}", feeds::free_port()));
        let versions = ["0.2.0", "0.3.0"].map(|number| plugins::wiki_source(pipeline.dir.path(), number));
        let listen = feeds::free_port();
        Rig { listen, versions, pipeline, druid, feed, broker, log: None, ingest, host: None, expected, end: None }
    }

    pub(super) fn filers(&self) -> [&Store; 2] {
        [&self.pipeline.first, &self.pipeline.second]
    }

    pub(super) fn feed(&self) -> &Handle {
        &self.feed
    }

    pub(super) fn druid(&self) -> &Druid {
        &self.druid
    }

    pub(super) fn broker(&mut self) -> Option<&mut Box<dyn Broker>> {
        self.broker.as_mut()
    }

    /// Starts the host with a transform in the chain of the feed that fails in this way; empty: without one.
    pub(super) fn start(&mut self, guest: &str, crash: Option<(CrashPoint, u64)>) {
        self.end = self.topic_end();
        let config = self.config(guest);
        if self.broker.is_none() {
            crate::worker::wait_unlocked(&self.pipeline.data_dir());
        }
        let mut command = program::command(self.pipeline.dir.path());
        command.args([Path::new("run"), &config]);
        if let Some((point, times)) = crash {
            command.env(crash::VARIABLE, format!("{}:{times}", point.name()));
        }
        self.host = Some((Program::start(command), Instant::now()));
    }

    /// A first life, until something is committed: before that a feed has no place to go on from, and begins where
    /// it is when somebody comes.
    pub(super) fn begin(&mut self) -> Result<(), String> {
        self.start("", None);
        self.wait_ready()?;
        let deadline = Instant::now() + READY_WITHIN;
        while self.topic_end().is_none_or(|end| end == 0) {
            if Instant::now() >= deadline {
                return Err(format!("nothing was committed within {READY_WITHIN:?}: {}", self.kill().2));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        Ok(())
    }

    fn config(&self, guest: &str) -> PathBuf {
        let source = Connector::new(SOURCE, Plugin::WikiSource)
            .eventstreams(&self.feed)
            .set("topic", RECORDS)
            .set("extra.columns", true)
            .set("call.timeout.ms", 2000)
            .set("transaction.boundary.interval.ms", 20)
            .set("errors.retry.delay.max.ms", 300);
        let source = match guest {
            "" => source,
            kind => source.transform(Plugin::UnrulyTransform, &[("mode", &format!("{kind} now and then"))]),
        };
        let [to_spool, from_spool, to_data_set] = self.pipeline.connectors();
        let small = |connector: Connector| connector.set("rotation.max.records", 40).set("rotation.max.age.ms", 100);
        let connectors = [source, small(to_spool), from_spool, small(to_data_set), self.ingest.clone()];
        let log = match &self.broker {
            None => format!("data.dir = '''{}'''", self.pipeline.data_dir().display()),
            Some(broker) => format!("\"bootstrap.servers\" = '{}'", broker.bootstrap()),
        };
        let mut text = format!("[worker]\n{log}\nlisteners = 'http://127.0.0.1:{}'\n", self.listen);
        connectors.iter().for_each(|connector| text.push_str(&connector.to_toml()));
        let path = self.pipeline.dir.path().join("host.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Lets another version of the source's plugin take over; false: the host is not there, or ends meanwhile.
    pub(super) fn swap(&self, dice: &mut Dice) -> bool {
        let body = format!(r#"{{"plugin": "{}"}}"#, dice.pick(&self.versions).display());
        let request = format!(
            "POST /v1/connectors/{SOURCE}/swap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], self.listen)), SWAP_WITHIN)?;
            stream.set_read_timeout(Some(SWAP_WITHIN))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Waits until the host works, or has ended.
    pub(super) fn wait_ready(&mut self) -> Result<(), String> {
        let Some((host, began)) = &mut self.host else { return Ok(()) };
        while host.is_running() && !host.stderr().contains("connector `") {
            if began.elapsed() > READY_WITHIN {
                return Err(format!("the host was not ready within {READY_WITHIN:?}: {}", last(&host.stderr())));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Lets the host work until it ends or the time is over, and notes when the first new record came.
    pub(super) fn watch(&mut self, deadline: Instant, totals: &mut Totals) {
        // Before the first record ever there is nothing to recover.
        let mut has_come = self.end.is_none();
        while Instant::now() < deadline {
            if !has_come && self.topic_end() > self.end {
                has_come = true;
                totals.recoveries.extend(self.host.as_ref().map(|(_, began)| began.elapsed()));
            }
            let Some((host, _)) = &mut self.host else { return };
            if !host.is_running() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the host with SIGKILL unless it has ended: its code, whether it had, and what it said last.
    pub(super) fn kill(&mut self) -> (Option<i32>, bool, String) {
        let Some((mut host, _)) = self.host.take() else { return (None, false, String::new()) };
        let had_ended = !host.is_running();
        if !had_ended {
            host.signal("KILL");
        }
        let finished = host.finish();
        (finished.code, had_ended, last(&finished.stderr))
    }

    /// The last life, which nothing disturbs: waits until everything is through.
    pub(super) fn finish(&mut self, totals: &mut Totals) -> Result<(), String> {
        use host_emulators::qumulo::QumuloFault::DiskFull;
        self.filers().into_iter().for_each(|store| store.fault(DiskFull(false)));
        self.start("", None);
        self.wait_ready()?;
        let deadline = Instant::now() + FINISH_WITHIN;
        let wanted = self.expected.len() as u64;
        // As cheap as it can be asked: how many there are, not which.
        self.watch(Instant::now() + LIFE, totals);
        let mut data_set = self.pipeline.data_set();
        loop {
            let found = (data_set.look() as u64, self.druid.totals().0);
            if found.0 >= wanted && found.1 >= wanted {
                break;
            }
            let Some((host, _)) = &mut self.host else { break };
            if !host.is_running() || Instant::now() >= deadline {
                let said = last(&host.stderr());
                return Err(format!("{found:?} of {wanted} in data set and Druid after {FINISH_WITHIN:?}: {said}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let Some((host, _)) = self.host.take() else { return Ok(()) };
        host.signal("INT");
        let finished = host.finish();
        match finished.code {
            Some(0) => Ok(()),
            code => Err(format!("the host ended with {code:?}: {}", last(&finished.stderr))),
        }
    }

    /// Compares the feed with the topic, and the topic with the data set and Druid.
    pub(super) fn count(&mut self) -> Found {
        let topic = self.log().map(|log| read_all(log, RECORDS)).unwrap_or_default();
        let id = |record: &StoredRecord| payload(record)["eventId"].as_str().unwrap_or_default().to_owned();
        let mut found = Found { records: self.expected.len() as u64, ..Found::default() };
        compare(self.expected.iter().cloned(), topic.iter().map(id), &mut found);
        let place = |record: &StoredRecord| (record.partition, record.offset);
        let mut data_set = self.pipeline.data_set();
        data_set.look();
        compare(topic.iter().map(place), data_set.records().map(place), &mut found);
        let added = |record: &StoredRecord| payload(record)["added"].as_i64().unwrap_or(0);
        let (rows, sum) = self.druid.totals();
        found.lost += (topic.len() as u64).saturating_sub(rows);
        found.doubled += rows.saturating_sub(topic.len() as u64);
        if rows == topic.len() as u64 && sum != topic.iter().map(added).sum::<i64>() {
            // As many rows, and not the same ones.
            (found.lost, found.doubled) = (found.lost + 1, found.doubled + 1);
        }
        found
    }

    fn log(&mut self) -> Option<&dyn Log> {
        if self.log.is_none() {
            self.log = match &self.broker {
                None => Some(Box::new(EmbeddedLog::open_read_only(&self.pipeline.data_dir()).ok()?)),
                Some(broker) => Some(Box::new(KafkaLog::connect(KafkaSettings::new(broker.bootstrap())).ok()?)),
            };
        }
        self.log.as_deref()
    }

    /// The end of the first topic; none: there is none yet, or it cannot be asked.
    fn topic_end(&mut self) -> Option<i64> {
        let topic = self.log()?.topic(RECORDS).ok()??;
        topic.partitions.first().map(|marks| marks.high)
    }
}

/// Counts what of `wanted` is not in `there`, and what is there more often than it is wanted.
fn compare<T: Ord>(wanted: impl Iterator<Item = T>, there: impl Iterator<Item = T>, found: &mut Found) {
    let mut left: BTreeMap<T, i64> = BTreeMap::new();
    wanted.for_each(|one| *left.entry(one).or_default() += 1);
    there.for_each(|one| *left.entry(one).or_default() -= 1);
    for count in left.values() {
        let times = count.unsigned_abs();
        if *count > 0 {
            found.lost += times;
        } else {
            found.doubled += times;
        }
    }
}

fn last(said: &str) -> String {
    said.chars().skip(said.chars().count().saturating_sub(SAID)).collect()
}
