//! Swaps under full load: the pause between what the old version committed and when the new one can be asked, the
//! time from a file to the first record of its version, and what a swapped connector costs the one beside it.
//!
//! Run with `cargo bench -p bench --bench swap`, with `-- --swaps N` for another number. Two connectors read an
//! IRC emulator of their own as fast as they can, into the embedded log; one of them is swapped one time after the other,
//! in blocks, and left alone as long after each block. Host, emulators and log share the machine. Ratio: records a second
//! of the other connector while the first is swapped / while it is not, 1.00 = it notices nothing.

use host::app::{self, Ends};
use host::config::{Config, RawConfig};
use host::ports::log::{Log, ReadLimits, StoredRecord};
use host::wasm::Engines;
use host::worker::Worker;
use host_emulators::{Handle, irc};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const CONNECTORS: [&str; 2] = ["swapped", "beside"];
/// Swaps one after the other.
const BLOCK: usize = 25;
const WITHIN: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let swaps = arguments.iter().position(|argument| argument == "--swaps").and_then(|at| arguments.get(at + 1));
    let swaps: usize = swaps.and_then(|swaps| swaps.parse().ok()).unwrap_or(1000);
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let runtime = Runtime::new().expect("runtime");
    let dir = tempfile::tempdir().expect("folder");
    // Two files of one version: a swap does not look whether they differ.
    let plugins = ["one.wasm", "other.wasm"].map(|name| {
        let path = dir.path().join(name);
        std::fs::copy(bench::wiki_source(), &path).expect("plugin");
        path
    });
    let emulators = CONNECTORS.map(|_| emulator(&runtime));
    let config = configuration(dir.path(), &plugins[0], &emulators);
    let log = app::open_log(&config.log).expect("log");
    let mut started = app::start(&config, &log, &Engines::new(), runtime.handle(), Ends::default()).expect("host");
    let worker = &started.worker;
    wait("records", || records(worker, "beside") > 1000 && records(worker, "swapped") > 1000);

    let (mut pauses, mut waits) = (Vec::new(), Vec::new());
    let (mut busy, mut quiet) = (Beside::default(), Beside::default());
    let mut block = (Instant::now(), records(worker, "beside"));
    for number in 0..swaps {
        if number % BLOCK == 0 {
            block = (Instant::now(), records(worker, "beside"));
        }
        let asked = Instant::now();
        let swapped = started.swaps.swap("swapped", plugins[number % 2].to_str().expect("path")).expect("swap");
        let at = records(worker, "swapped");
        wait("a record of the new version", || records(worker, "swapped") > at);
        pauses.push(swapped.pause);
        waits.push(asked.elapsed());
        if (number + 1) % BLOCK == 0 {
            let took = block.0.elapsed();
            busy.add(records(worker, "beside") - block.1, took);
            let (began, before) = (Instant::now(), records(worker, "beside"));
            std::thread::sleep(took);
            quiet.add(records(worker, "beside") - before, began.elapsed());
        }
    }
    let (busy, quiet) = (busy.rate(), quiet.rate());
    let statuses = worker.statuses();
    let swapped = statuses.iter().find(|status| status.name == "swapped").expect("connector");
    assert_eq!(swapped.restarts, 0, "{swapped:?}");
    println!("swaps: {swaps}, each under full load, wiki_source, embedded log");
    println!("  pause of the connector, ms: {}", percentiles(&mut pauses));
    println!("  from a file to a committed record of its version, ms: {}", percentiles(&mut waits));
    println!("  the connector beside: {quiet:.0} records/s without swaps, {busy:.0} with, ratio {:.2}", busy / quiet);
    started.worker.stop();
    let compared = compare(log.as_ref());
    println!("  {compared} records of the swapped connector are those of the one beside, in order: 0 lost, 0 doubled");
}

/// Both read the same edits, so both topics hold the same records as far as the shorter one goes.
fn compare(log: &dyn Log) -> usize {
    let mut readers = CONNECTORS.map(|topic| log.reader(topic, 0, 0).expect("reader"));
    let limits = ReadLimits { max_records: 10_000, max_bytes: 64 << 20, wait: Duration::ZERO };
    let (mut compared, mut left) = (0, [VecDeque::new(), VecDeque::new()]);
    loop {
        for (reader, left) in readers.iter_mut().zip(&mut left) {
            if left.is_empty() {
                left.extend(reader.next(limits).expect("records"));
            }
        }
        let [swapped, beside] = &mut left;
        let both = swapped.len().min(beside.len());
        if both == 0 {
            return compared;
        }
        for (swapped, beside) in swapped.drain(..both).zip(beside.drain(..both)) {
            assert_eq!(content(&swapped), content(&beside), "record {compared}");
            compared += 1;
        }
    }
}

/// A record from the first column on that does not say when it was received.
fn content(record: &StoredRecord) -> &[u8] {
    const FIRST: &[u8] = br#"","flags":""#;
    let value = record.value.as_deref().unwrap_or_default();
    let at = value.windows(FIRST.len()).position(|part| part == FIRST).expect("an edit");
    &value[at..]
}

fn emulator(runtime: &Runtime) -> Handle {
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        irc::start(listener, irc::Options { rate: 0.0, ..irc::Options::default() }).await.expect("emulator")
    })
}

fn configuration(dir: &Path, plugin: &Path, emulators: &[Handle; 2]) -> Config {
    let mut text = format!("[worker]\ndata.dir = '{}'\n", dir.join("data").display());
    for (name, emulator) in CONNECTORS.iter().zip(emulators) {
        let (plugin, at) = (plugin.display(), emulator.addr());
        text += &format!(
            "[connectors.{name}]\nplugin = '{plugin}'\ngrants = [\"feed\"]\ntopic = \"{name}\"\n\"feed.overflow\" = \"block\"\n\
             irc.host = \"{}\"\nirc.port = {}\n",
            at.ip(),
            at.port()
        );
    }
    let path: PathBuf = dir.join("host.toml");
    std::fs::write(&path, text).expect("configuration");
    Config::check(&RawConfig::read(&[path]).expect("configuration")).expect("configuration")
}

fn records(worker: &Worker, name: &str) -> u64 {
    worker.statuses().into_iter().find(|status| status.name == name).expect("connector").counts.records
}

/// What the connector beside did in some of the time.
#[derive(Default)]
struct Beside {
    records: u64,
    time: Duration,
}

impl Beside {
    fn add(&mut self, records: u64, time: Duration) {
        self.records += records;
        self.time += time;
    }

    fn rate(&self) -> f64 {
        self.records as f64 / self.time.as_secs_f64()
    }
}

fn wait(what: &str, mut is_there: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_there() {
        assert!(began.elapsed() < WITHIN, "waited {WITHIN:?} in vain: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    format!("p50 {:.2}, p99 {:.2}, max {:.2}", at(0.5), at(0.99), at(1.0))
}
