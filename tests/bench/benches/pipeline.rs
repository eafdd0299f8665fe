//! The whole way: feed emulator -> plugin -> log, with the real binary, against a bare writer of the
//! same bytes to the same log.
//!
//! Run with `cargo bench -p bench --bench pipeline`, with `-- --records N` for another size. The emulator
//! runs in this process, as fast as it is read; host, emulator and broker share the machine's cores.
//! Ratio: bare writer's time / host's time, 1.00 = as fast as writing alone.

use host::io::embedded::EmbeddedLog;
use host::ports::log::{Commit, Log, ReadLimits, StoredRecord, TopicSpec, WriterId};
use host::record::BatchBuilder;
use host_emulators::irc;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const TOPIC: &str = "wikipedia";
const STARTS: usize = 9;
/// Pairs of runs that are compared.
const ROUNDS: usize = 5;

/// A host with an emulator of its own to read from.
struct Pipeline {
    runtime: Runtime,
    emulator: Option<host_emulators::Handle>,
    plugin: std::path::PathBuf,
}

impl Pipeline {
    fn new(rate: f64) -> Self {
        let runtime = Runtime::new().expect("runtime");
        let emulator = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
            irc::start(listener, irc::Options { rate, ..irc::Options::default() }).await.expect("emulator")
        });
        Pipeline { runtime, emulator: Some(emulator), plugin: bench::wiki_source() }
    }

    fn emulator(&self) -> &host_emulators::Handle {
        self.emulator.as_ref().expect("emulator runs")
    }

    fn spawn(&self, data: &Path, more: &[&str]) -> Child {
        let address = self.emulator().addr();
        let mut command = Command::new(bench::host());
        command.arg("run").arg("--plugin").arg(&self.plugin).arg("--data-dir").arg(data);
        command.args(["--set", "irc.host=127.0.0.1", "--set", &format!("irc.port={}", address.port())]);
        command.args(["--set", "feed.overflow=block", "--output", "json"]).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("host starts")
    }

    /// Runs to the end; the summary of the one connector and the wall time.
    fn run(&self, data: &Path, more: &[&str]) -> (Value, Duration) {
        let began = Instant::now();
        let output = self.spawn(data, more).wait_with_output().expect("host ends");
        let took = began.elapsed();
        assert!(output.status.success(), "host failed: {}", output.status);
        let summary: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        (summary["connectors"][0].clone(), took)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Some(emulator) = self.emulator.take() {
            self.runtime.block_on(emulator.stop());
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let records = arguments.iter().position(|a| a == "--records").and_then(|at| arguments.get(at + 1)?.parse().ok());
    let records: u64 = records.unwrap_or(300_000);
    let data = tempfile::tempdir().expect("folder");
    bench::host();
    start_and_rest(data.path());
    embedded(data.path(), records);
    match systems::kafka::Kafka::start() {
        Ok(kafka) => {
            against_kafka(data.path(), kafka.bootstrap(), records);
            cost_of_exactly_once(data.path(), kafka.bootstrap(), records);
        }
        Err(reason) => println!("\nKafka: skipped: {reason}"),
    }
}

fn start_and_rest(data: &Path) {
    let pipeline = Pipeline::new(1000.0);
    let mut times: Vec<Duration> =
        (0..=STARTS).map(|run| pipeline.run(&data.join(format!("start-{run}")), &["--max-records", "1"]).1).collect();
    // The first fills the cache of compiled components.
    let cold = times.remove(0);
    times.sort();
    let (least, median) = (times[0], times[STARTS / 2]);
    println!(
        "process start to first record committed and process end, {STARTS} runs: median {median:.0?}, least {least:.0?}"
    );
    println!("the first of them, which compiles the component unless an earlier run did: {cold:.0?}");

    let pipeline = Pipeline::new(1.0);
    let mut child = pipeline.spawn(&data.join("rest"), &[]);
    let settled = pipeline.emulator().wait_for(|stats| stats.frames_sent >= 2, Duration::from_secs(30));
    assert!(pipeline.runtime.block_on(settled), "no frames within 30 s");
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("process status");
    let line = |name: &str| status.lines().find(|l| l.starts_with(name)).unwrap_or_default().replace('\t', " ");
    println!("at rest with one connector: {}, {}", line("VmRSS:"), line("Threads:"));
    child.kill().expect("host is killed");
    child.wait().expect("host ends");
}

fn embedded(data: &Path, records: u64) {
    let pipeline = Pipeline::new(0.0);
    let folder = data.join("embedded");
    let (summary, took) = pipeline.run(&folder, &["--max-records", &records.to_string()]);
    assert_eq!(summary["records"].as_u64(), Some(records));
    let log = EmbeddedLog::open_read_only(&folder).expect("log");
    let stored = read_all(&log, records);
    let bare = {
        let log = EmbeddedLog::open(&data.join("embedded-bare"), None).expect("log");
        log.create_topic(TOPIC, TopicSpec::default()).expect("topic");
        let mut writer = log.writer(&WriterId { connector: "bare".to_owned(), task: 0 }).expect("writer");
        let began = Instant::now();
        for chunk in stored.chunks(8192) {
            let mut batch = BatchBuilder::default();
            for record in chunk {
                batch.push(record.key.as_deref(), record.value.as_deref(), &[], record.timestamp);
            }
            let appends = vec![(TOPIC.to_owned(), batch.build())];
            writer.commit(&Commit { appends, ..Commit::default() }).expect("commit");
        }
        began.elapsed()
    };
    report("embedded log", "a bare writer, 8,192 records a commit", records, &stored, took, bare);
}

fn against_kafka(data: &Path, bootstrap: &str, records: u64) {
    let pipeline = Pipeline::new(0.0);
    let servers = format!("bootstrap.servers={bootstrap}");
    let arguments = ["--set", &servers, "--max-records", &records.to_string()];
    let (summary, took) = pipeline.run(&data.join("kafka"), &arguments);
    assert_eq!(summary["records"].as_u64(), Some(records));
    let settings = host::ports::log::KafkaSettings::new(bootstrap);
    let log = host::io::kafka::KafkaLog::connect(settings).expect("Kafka");
    let stored = read_all(&log, records);
    log.create_topic("bare", TopicSpec::default()).expect("topic");
    for compression in ["none", "lz4"] {
        let bare = produce(bootstrap, compression, &stored);
        let reference = format!("a bare rdkafka producer, compression {compression}, no transactions");
        report("Kafka (compression lz4)", &reference, records, &stored, took, bare);
    }
}

/// The same records with and without transactions, in turn, on one broker.
fn cost_of_exactly_once(data: &Path, bootstrap: &str, records: u64) {
    let servers = format!("bootstrap.servers={bootstrap}");
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (times, setting) in times.iter_mut().zip(["required", "off"]) {
            let pipeline = Pipeline::new(0.0);
            let topic = format!("{setting}-{round}");
            let once = format!("exactly.once={setting}");
            let arguments =
                ["--set", &servers, "--set", &once, "--topic", &topic, "--max-records", &records.to_string()];
            let (summary, took) = pipeline.run(&data.join("once"), &arguments);
            assert_eq!(summary["records"].as_u64(), Some(records));
            times.push(took);
        }
    }
    let [required, off] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    });
    println!(
        "exactly.once on Kafka, {records} records, median of {ROUNDS}: required {required:.2} s, off {off:.2} s, \
         cost {:.2} (off's time / required's time, 1.00 = nothing)",
        off / required
    );
}

fn produce(bootstrap: &str, compression: &str, stored: &[StoredRecord]) -> Duration {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("acks", "all").set("linger.ms", "5");
    config.set("compression.type", compression);
    config.set("batch.size", "1000000").set("queue.buffering.max.messages", "200000");
    let producer: BaseProducer = config.create().expect("producer");
    let began = Instant::now();
    for record in stored {
        let (key, value) = (record.key.as_deref().unwrap_or_default(), record.value.as_deref().unwrap_or_default());
        let mut next = BaseRecord::to("bare").key(key).payload(value).timestamp(record.timestamp);
        while let Err((error, back)) = producer.send(next) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            producer.poll(Duration::from_millis(10));
            next = back;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(120)).expect("flush");
    began.elapsed()
}

fn read_all(log: &dyn Log, records: u64) -> Vec<StoredRecord> {
    let mut reader = log.reader(TOPIC, 0, 0).expect("reader");
    let limits = ReadLimits { max_records: 10_000, max_bytes: 64 << 20, wait: Duration::from_secs(10) };
    let mut stored = Vec::new();
    while stored.len() < records as usize {
        let more = reader.next(limits).expect("records");
        assert!(!more.is_empty(), "only {} of {records} records are there", stored.len());
        stored.extend(more);
    }
    stored
}

fn report(log: &str, reference: &str, records: u64, stored: &[StoredRecord], took: Duration, bare: Duration) {
    let bytes: usize =
        stored.iter().map(|r| r.key.as_ref().map_or(0, Vec::len) + r.value.as_ref().map_or(0, Vec::len)).sum();
    let rate = |took: Duration| records as f64 / took.as_secs_f64();
    println!(
        "\n{log}: {records} records of {} bytes: host {:.0} records/s ({took:.1?}, start included), {reference} {:.0} records/s; ratio {:.2}",
        bytes / records as usize,
        rate(took),
        rate(bare),
        bare.as_secs_f64() / took.as_secs_f64()
    );
}
