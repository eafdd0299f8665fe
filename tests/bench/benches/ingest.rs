//! What an ingestion costs: the endpoint against nginx with the same plain bytes on disk, the time to a
//! first byte, memory while all of a data set is fetched, and how long an edit takes to be counted by SQL.
//!
//! Run with `cargo bench -p bench --bench ingest`; `-- --only endpoint`, `memory` or `latency` is one part of
//! it, `-- --large` fetches 8 GB too, which lie in the folder for temporary files meanwhile. Host, reference
//! and clients share the machine's cores; all of it is plain HTTP over loopback and lies in the page cache.
//! Batches are edits of the emulated feed as `plugins/wiki_source` makes them, sealed by the spool sink.
//! Ratio: nginx's wall time / ours for the same rows, 1.00 = as fast as nginx; the median of pairs in turn.

use host::app::{self, Ends, Started};
use host::config::{Config, RawConfig};
use host::connector::{Assigned, Layout, Limits, Place, Settings, Sink, TopicPartition};
use host::crypto::{Key, KeyKind, Recipient, create_key_file};
use host::io::embedded::EmbeddedLog;
use host::io::local::LocalFiles;
use host::plugin::Package;
use host::ports::log::{Log, ReadLimits, StoredRecord};
use host::spool::{Content, SpoolSink, SpoolSinkSettings};
use host::wasm::{Engines, Lent, LoadedPlugin, Trust};
use host_emulators::qumulo::{self, QumuloHandle};
use host_emulators::{irc, overlord};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Runtime;

const MB: u64 = 1_000_000;
const TOPIC: &str = "wikipedia";
/// Different edits in a data set; they come again after some 15 MB, far beyond what gzip looks back.
const EDITS: usize = 20_000;
const FILE_BYTES: u64 = 64 * MB;
const PAIRS: usize = 9;
const FIRST_BYTES: usize = 300;
/// For a part that waits in vain.
const WITHIN: Duration = Duration::from_secs(600);
const PIPELINE: &str = include_str!("../../../config/pipelines/wikipedia.toml");

struct Bench {
    runtime: Runtime,
    dir: tempfile::TempDir,
    plugin: LoadedPlugin,
    recipient: Recipient,
}

fn main() {
    // One TLS provider for every client; installing it twice is no failure.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().collect();
    let only = arguments.iter().position(|argument| argument == "--only").and_then(|at| arguments.get(at + 1));
    let is_wanted = |part: &str| only.is_none_or(|only| only == part);
    let bench = Bench::new();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average at the beginning: {}", load.trim());
    if is_wanted("endpoint") || is_wanted("memory") {
        let mut edits = bench.edits();
        if is_wanted("endpoint") {
            endpoint(&bench, &mut edits);
        }
        if is_wanted("memory") {
            println!("\nmemory of the host, most of it");
            for megabytes in [1, 1024, 8192] {
                if megabytes <= 1024 || arguments.iter().any(|argument| argument == "--large") {
                    memory(&bench, &mut edits, megabytes);
                }
            }
        }
    }
    if is_wanted("latency") {
        println!("\nfrom an edit's receipt to its being counted by SQL, demo's pipeline, emulated filers and Druid");
        bench.latency("the demo's settings", 60, [1000, 5000], 2000, [1000, 1000]);
        bench.latency("quick settings", 30, [100, 100], 100, [100, 20]);
    }
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let key = Key::generate(KeyKind::Private).expect("key");
        let public = key.public().expect("public half");
        create_key_file(&dir.path().join("bench.key"), &key).expect("key file");
        create_key_file(&dir.path().join("bench.pub"), &public).expect("key file");
        let package = Package::read(&bench::component("spool_layout")).expect("layout");
        let plugin = LoadedPlugin::load(&Engines::new(), &package, Trust::Limited, Limits::default(), &[]);
        Bench {
            runtime: Runtime::new().expect("runtime"),
            dir,
            plugin: plugin.expect("layout"),
            recipient: public.recipient().expect("recipient"),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("file:{}", self.dir.path().join(name).display())
    }

    fn feed(&self, rate: f64) -> host_emulators::Handle {
        self.runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
            irc::start(listener, irc::Options { rate, ..irc::Options::default() }).await.expect("feed")
        })
    }

    /// Records as the host has them in its first topic.
    fn edits(&self) -> Vec<StoredRecord> {
        let feed = self.feed(0.0);
        let data = self.dir.path().join("edits");
        let mut host = Command::new(bench::host());
        host.arg("run").arg("--plugin").arg(bench::wiki_source()).arg("--data-dir").arg(&data);
        host.args(["--set", "irc.host=127.0.0.1", "--set", &format!("irc.port={}", feed.addr().port())]);
        host.args(["--set", "feed.overflow=block", "--max-records", &EDITS.to_string()]);
        let ended = host.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("host runs");
        assert!(ended.success(), "host failed: {ended}");
        self.runtime.block_on(feed.stop());
        let log = EmbeddedLog::open_read_only(&data).expect("log");
        read_all(&log, EDITS)
    }

    /// A data set with about so many bytes of sealed files.
    fn fill(&self, name: &str, edits: &mut [StoredRecord], bytes: u64) -> DataSet {
        let folder = self.dir.path().join(name);
        let files = Arc::new(LocalFiles::open(&folder, true).expect("folder"));
        let layout: Box<dyn Layout> = Box::new(self.plugin.layout(Lent::default()).expect("layout"));
        let options = [
            ("rotation.max.bytes", FILE_BYTES.to_string()),
            ("rotation.max.records", "0".to_owned()),
            ("rotation.max.age.ms", "0".to_owned()),
            ("trash.retention.ms", "3600000".to_owned()),
            ("staging.directory", "var/staging".to_owned()),
            ("target.directory", String::new()),
            ("target.directories", "flat".to_owned()),
        ];
        let settings = SpoolSinkSettings {
            connector: "bench".to_owned(),
            task: 0,
            layout: Settings::from(options.map(|(key, value)| (key.to_owned(), value))),
            place: Place::Target,
            content: Content::Records { recipients: vec![self.recipient.clone()], member_bytes: 900_000 },
            lease: Duration::from_secs(600),
        };
        let mut sink = SpoolSink::open(files, layout, settings).expect("sink");
        let at = TopicPartition { topic: TOPIC.to_owned(), partition: 0 };
        match sink.assign(&[(at.clone(), None)]).expect("partition").remove(0) {
            Assigned::From(_) => {}
            held => panic!("{held:?}"),
        }
        let (mut offset, mut left) = (0, i64::try_from(bytes).expect("size"));
        'all: loop {
            for chunk in edits.chunks_mut(500) {
                if left <= 0 {
                    break 'all;
                }
                for record in chunk.iter_mut() {
                    record.offset = offset;
                    offset += 1;
                    left -= record.value.as_ref().map_or(0, |value| value.len() as i64);
                }
                sink.put(&at, chunk).expect("put");
            }
        }
        sink.flush(true).expect("flush");
        sink.close();
        let bytes = u64::try_from(i64::try_from(bytes).expect("size") - left).expect("size");
        DataSet { folder, records: offset as u64, bytes }
    }

    fn serve(&self, set: &DataSet) -> Host {
        let port = free_port();
        let dir = self.dir.path();
        let layout = bench::component("spool_layout");
        let config = dir.join("serve.toml");
        let data = tempfile::tempdir_in(dir).expect("folder").keep();
        let text = format!(
            "[worker]\ndata.dir = '''{}'''\n[ingest]\nlayout.plugin = '''{}'''\nopen.keys = '''{}'''\n\
             files = \"local\"\ndir = '''{}'''\nlisten = \"127.0.0.1:{port}\"\ndata.source = \"{TOPIC}\"\n\
             columns = [\"channel\", \"page\", \"user\", \"added:long\"]\nscan.interval.ms = 200\n",
            data.display(),
            layout.display(),
            self.key("bench.key"),
            set.folder.display()
        );
        std::fs::write(&config, text).expect("configuration");
        let errors = std::fs::File::create(dir.join("serve.log")).expect("file");
        let mut command = Command::new(bench::host());
        command.arg("run").arg(&config).stdout(Stdio::null()).stderr(errors);
        let mut host = Host { child: command.spawn().expect("host starts"), port, batches: Vec::new() };
        let deadline = Instant::now() + WITHIN;
        while host.batches.iter().map(|batch| batch.records).sum::<u64>() < set.records {
            let said = || std::fs::read_to_string(dir.join("serve.log")).unwrap_or_default();
            assert!(host.child.try_wait().expect("host").is_none() && Instant::now() < deadline, "{}", said());
            std::thread::sleep(Duration::from_millis(50));
            host.batches = host.listed().unwrap_or_default();
        }
        host
    }

    fn filer(&self, name: &str) -> (QumuloHandle, Vec<(String, String)>) {
        let options = qumulo::Options::new(self.dir.path().join(name));
        let handle = self.runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
            qumulo::start(listener, options).await.expect("filer")
        });
        let (certificate, password) = (self.dir.path().join(format!("{name}.pem")), format!("{name}.password"));
        std::fs::write(&certificate, handle.certificate_pem().unwrap_or_default()).expect("certificate");
        std::fs::write(self.dir.path().join(&password), handle.password()).expect("password");
        let keys = [
            ("qq.hostname", handle.addr().ip().to_string()),
            ("qq.port", handle.addr().port().to_string()),
            ("qq.username", handle.user().to_owned()),
            ("qq.password", self.key(&password)),
            ("qq.tls.ca.file", certificate.display().to_string()),
        ];
        let keys = keys.map(|(key, value)| (key.to_owned(), value)).to_vec();
        (handle, keys)
    }

    /// Runs the pipeline for so many seconds; times in milliseconds: ages of files of the spool and the data
    /// set, the schedule, and how often the data set and a task are looked at.
    fn latency(&self, what: &str, seconds: u64, ages: [u64; 2], schedule: u64, looks: [u64; 2]) {
        const RATE: f64 = 100.0;
        let dir = tempfile::tempdir_in(self.dir.path()).expect("folder");
        let name =
            |part: &str| format!("{}/{part}", dir.path().file_name().and_then(|name| name.to_str()).expect("name"));
        let (feed, (first, first_keys), (second, second_keys)) =
            (self.feed(RATE), self.filer(&name("filer1")), self.filer(&name("filer2")));
        let druid = self.runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
            overlord::start(listener, overlord::Options::default()).await.expect("Druid")
        });
        let mut raw = RawConfig::default();
        raw.add(Path::new("wikipedia.toml"), PIPELINE).expect("pipeline");
        raw.worker.insert("data.dir".to_owned(), dir.path().join("data").display().to_string());
        let mut set = |connector: &str, keys: &[(String, String)]| {
            raw.connectors.get_mut(connector).expect("connector").keys.extend(keys.iter().cloned());
        };
        let key = |key: &str, value: String| (key.to_owned(), value);
        let component = |name: &str| key("plugin", bench::component(name).display().to_string());
        let (host, port) = (key("irc.host", "127.0.0.1".to_owned()), key("irc.port", feed.addr().port().to_string()));
        set("local-irc-source", &[component("wiki_source"), host, port]);
        for (connector, filer, age) in [
            ("wikipedia-consumer", &first_keys, ages[0]),
            ("local-qf2-source", &first_keys, ages[0]),
            ("local-qf2-sink", &second_keys, ages[1]),
        ] {
            set(connector, filer);
            set(connector, &[component("spool_layout"), key("rotation.max.age.ms", age.to_string())]);
        }
        set("wikipedia-consumer", &[key("seal.recipients", self.key("bench.pub"))]);
        let ingest = [
            component("druid_spec"),
            key("open.keys", self.key("bench.key")),
            key("listen", "127.0.0.1:0".to_owned()),
            key("druid.url", druid.url()),
            key("schedule", format!("{schedule}ms")),
            key("scan.interval.ms", looks[0].to_string()),
            key("task.poll.interval.ms", looks[1].to_string()),
        ];
        set("ingest", &ingest);
        let keys = &mut raw.connectors.get_mut("ingest").expect("ingestion").keys;
        keys.retain(|key, _| !["advertised.url", "access.username", "access.password"].contains(&key.as_str()));
        let config = Config::check(&raw).expect("configuration");
        let log = app::open_log(&config.log).expect("log");
        let handle = self.runtime.handle();
        let started = app::start(&config, &log, &Engines::new(), handle, Ends::default()).expect("pipeline");
        let Started { mut worker, served, .. } = started;

        let query = json!({ "query": format!("SELECT COUNT(*) AS \"rows\" FROM \"{TOPIC}\"") }).to_string();
        let client = reqwest::Client::builder().no_proxy().build().expect("client");
        let count = async || {
            let call = client.post(format!("{}/druid/v2/sql", druid.url())).header("content-type", "application/json");
            let answer = call.body(query.clone()).send().await.expect("answer").bytes().await.expect("answer");
            // Until something is stored, the data source is unknown.
            let rows: Value = serde_json::from_slice(&answer).unwrap_or_default();
            rows[0]["rows"].as_u64().unwrap_or(0)
        };
        let began = Instant::now();
        let mut counted: Vec<(i64, u64)> = Vec::new();
        let mut is_stopping = false;
        let received = loop {
            let (asked, rows) = (now_ms(), self.runtime.block_on(count()));
            if counted.last().is_none_or(|(_, before)| rows > *before) {
                counted.push((asked, rows));
            }
            if !is_stopping && began.elapsed() > Duration::from_secs(seconds) {
                worker.ask_to_stop("local-irc-source");
                is_stopping = true;
            }
            if is_stopping && worker.statuses().iter().any(|status| status.state.name() == "STOPPED") {
                let topic = log.topic(TOPIC).expect("topic").expect("topic");
                let [marks] = &topic.partitions[..] else { panic!("expected one partition: {topic:?}") };
                if marks.high == i64::try_from(rows).expect("count") {
                    break read_all(log.as_ref(), usize::try_from(rows).expect("count"));
                }
            }
            assert!(began.elapsed() < WITHIN, "{rows} rows: {:#?}", worker.statuses());
            std::thread::sleep(Duration::from_millis(20));
        };
        worker.stop();
        drop(served);
        self.runtime.block_on(async {
            feed.stop().await;
            druid.stop().await;
            first.stop().await;
            second.stop().await;
        });
        // Offsets are loaded in order, so the first to be received are the first to be counted. The first file
        // and the last wait for nothing, or for the start.
        let mut took = Vec::new();
        let mut steps = counted.iter();
        let mut step = steps.next().expect("a count");
        for (number, record) in received.iter().enumerate() {
            while step.1 <= number as u64 {
                step = steps.next().expect("all were counted");
            }
            took.push((step.0 - record.timestamp) as f64);
        }
        let steady = &mut took[received.len() / 10..received.len() * 9 / 10];
        let mut asked_for = waits([ages[0], ages[1], schedule]);
        println!(
            "{what}: files of {} and {} ms, schedule {schedule} ms: {} edits at {:.0}/s: median {:.0} ms, 99 % within {:.0} ms; \
             the three waits alone {:.0} and {:.0} ms",
            ages[0],
            ages[1],
            steady.len(),
            received.len() as f64 / seconds as f64,
            quantile(steady, 0.5),
            quantile(steady, 0.99),
            quantile(&mut asked_for, 0.5),
            quantile(&mut asked_for, 0.99),
        );
    }
}

/// How long it takes where nothing takes time but to wait for three clocks, none of which knows the others.
fn waits(periods: [u64; 3]) -> Vec<f64> {
    let points = |period: u64| (0..60).map(move |at| (f64::from(at) + 0.5) / 60.0 * period as f64);
    let sums = points(periods[0]).flat_map(|one| points(periods[1]).map(move |two| one + two));
    sums.flat_map(|sum| points(periods[2]).map(move |three| sum + three)).collect()
}

struct DataSet {
    folder: PathBuf,
    records: u64,
    /// Of their values, before they were sealed.
    bytes: u64,
}

impl DataSet {
    fn remove(self) {
        std::fs::remove_dir_all(self.folder).expect("folder");
    }
}

#[derive(Debug, Clone)]
struct Batch {
    path: String,
    records: u64,
    bytes: u64,
}

/// The host as a program, serving a data set.
struct Host {
    child: Child,
    port: u16,
    batches: Vec<Batch>,
}

impl Host {
    /// What there is; none: it does not answer yet.
    fn listed(&self) -> Option<Vec<Batch>> {
        TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let mut body = Vec::new();
        let answer = fetch(self.port, "/batches", u64::MAX, &mut |bytes| body.extend_from_slice(bytes));
        let listed: Value = answer.is_ok.then(|| serde_json::from_slice(&body).ok()).flatten()?;
        let batch = |batch: &Value| {
            // A `+` of a name is one in a path too.
            let path = format!("/batches/{}", batch["name"].as_str()?);
            Some(Batch { path, records: batch["records"].as_u64()?, bytes: batch["bytes"].as_u64()? })
        };
        listed["batches"].as_array()?.iter().map(batch).collect()
    }

    fn num_bytes(&self) -> u64 {
        self.batches.iter().map(|batch| batch.bytes).sum()
    }

    /// Seconds of processor time so far.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("process status");
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks"));
        ticks.sum::<f64>() / 100.0
    }

    /// Most memory since it was asked last, MB.
    fn peak_mb(&self) -> u64 {
        let process = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{process}/status")).expect("status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
        std::fs::write(format!("{process}/clear_refs"), "5").expect("clear");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kB") / 1000
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a program in order, so that it ends its own children.
fn end(child: &mut Child) {
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    let _ = child.wait();
}

/// The reference: a folder of files as nginx serves it.
struct Nginx {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// With the rows of each batch in a file; none: it is not installed.
    fn start(host: &Host) -> Option<Self> {
        Command::new("nginx").arg("-v").stderr(Stdio::null()).status().ok()?;
        let (dir, port) = (tempfile::tempdir().expect("folder"), free_port());
        let root = dir.path().join("batches");
        std::fs::create_dir(&root).expect("folder");
        for batch in &host.batches {
            let name = batch.path.trim_start_matches("/batches/");
            let mut file = std::fs::File::create(root.join(name)).expect("file");
            let mut keep = |bytes: &[u8]| file.write_all(bytes).expect("file");
            assert_eq!(fetch(host.port, &batch.path, u64::MAX, &mut keep).bytes, batch.bytes);
        }
        let path = dir.path().display();
        let mut text = format!(
            "user root; daemon off; worker_processes auto; pid {path}/pid; error_log {path}/error.log;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; default_type application/x-ndjson;\n\
             gzip_types application/x-ndjson; gzip_comp_level 1;\n"
        );
        for temporary in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = writeln!(text, "{temporary}_temp_path {path}/{temporary};");
        }
        let _ = writeln!(
            text,
            "server {{ listen 127.0.0.1:{port}; root {path}; location /gzip/ {{ gzip on; alias {path}/; }} }} }}"
        );
        let config = dir.path().join("nginx.conf");
        std::fs::write(&config, text).expect("configuration");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir.path()).arg("-c").arg(&config).stderr(Stdio::null());
        let mut child = command.spawn().expect("nginx starts");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(child.try_wait().expect("nginx").is_none(), "nginx refused its configuration");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Nginx { child, port, _dir: dir })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

struct Fetched {
    is_ok: bool,
    /// Of the body as it was sent.
    bytes: u64,
    /// From before the connection was made to the first byte of the body.
    first: Duration,
}

/// Fetches with a connection of its own, `enough` bytes at most.
fn fetch(port: u16, path: &str, enough: u64, keep: &mut dyn FnMut(&[u8])) -> Fetched {
    let began = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connection");
    let encoding = if path.starts_with("/gzip/") { "Accept-Encoding: gzip\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{encoding}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("request");
    let mut buffer = vec![0; 256 << 10];
    let mut head = Vec::new();
    let mut fetched = Fetched { is_ok: false, bytes: 0, first: Duration::ZERO };
    while fetched.bytes < enough {
        let count = match stream.read(&mut buffer).expect("answer") {
            0 => break,
            count => count,
        };
        let mut some = &buffer[..count];
        if fetched.first.is_zero() {
            head.extend_from_slice(some);
            let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            fetched.is_ok = head.starts_with(b"HTTP/1.1 200");
            some = &head[end + 4..];
            if some.is_empty() {
                head.truncate(end + 4);
                continue;
            }
            fetched.first = began.elapsed();
        }
        fetched.bytes += some.len() as u64;
        keep(some);
    }
    fetched
}

/// Fetches paths, shared out among so many clients; the time and the bytes.
fn fetch_all(port: u16, paths: &[String], clients: usize) -> (Duration, u64) {
    let began = Instant::now();
    let client = |own: Vec<String>| {
        move || {
            let one = |path: &String| {
                let fetched = fetch(port, path, u64::MAX, &mut |bytes| {
                    std::hint::black_box(bytes);
                });
                assert!(fetched.is_ok, "{path}");
                fetched.bytes
            };
            own.iter().map(one).sum::<u64>()
        }
    };
    let shares = (0..clients).map(|number| paths.iter().skip(number).step_by(clients).cloned().collect());
    let threads: Vec<_> = shares.map(|own| std::thread::spawn(client(own))).collect();
    let bytes = threads.into_iter().map(|thread| thread.join().expect("client")).sum();
    (began.elapsed(), bytes)
}

fn endpoint(bench: &Bench, edits: &mut [StoredRecord]) {
    let began = Instant::now();
    let set = bench.fill("endpoint", edits, 400 * MB);
    let filled = began.elapsed();
    let began = Instant::now();
    let host = bench.serve(&set);
    let (batches, rows) = (host.batches.len(), host.num_bytes());
    println!(
        "\nendpoint: {batches} batches, {} rows of {} bytes, {} MB, out of records of {} bytes, {} MB; sealed in {filled:.1?}, \
         all served {:.1?} after the start",
        set.records,
        rows / set.records,
        rows / MB,
        set.bytes / set.records,
        set.bytes / MB,
        began.elapsed()
    );
    let Some(nginx) = Nginx::start(&host) else {
        println!("endpoint: without a ratio: `nginx` is not installed");
        return endpoint_alone(&host, rows);
    };
    let paths = |prefix: &str, suffix: &str| -> Vec<String> {
        host.batches.iter().map(|batch| format!("{prefix}{}{suffix}", batch.path)).collect()
    };
    for (what, clients, ours, theirs) in [
        ("plain, one client", 1, paths("", ""), paths("", "")),
        ("plain, 4 clients at once", 4, paths("", ""), paths("", "")),
        (".gz, one client, nginx with `gzip_comp_level 1`", 1, paths("", ".gz"), paths("/gzip", "")),
        (".gz, 4 clients at once", 4, paths("", ".gz"), paths("/gzip", "")),
    ] {
        // What was compressed once is sent with its length.
        fetch_all(host.port, &ours, clients);
        fetch_all(nginx.port, &theirs, clients);
        let (mut speeds, mut references, mut ratios, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
        let (mut sent, mut reference_sent) = (0, 0);
        for _ in 0..PAIRS {
            let before = host.cpu();
            let (our_time, bytes) = fetch_all(host.port, &ours, clients);
            cpu += host.cpu() - before;
            let (their_time, their_bytes) = fetch_all(nginx.port, &theirs, clients);
            (sent, reference_sent) = (bytes, their_bytes);
            speeds.push(rows as f64 / 1e6 / our_time.as_secs_f64());
            references.push(rows as f64 / 1e6 / their_time.as_secs_f64());
            ratios.push(their_time.as_secs_f64() / our_time.as_secs_f64());
        }
        println!(
            "  {what}: {:.0} MB/s of rows, {:.0} MB/s of records; nginx {:.0} MB/s of rows; ratio {:.2} ({:.2} to {:.2}); \
             {} MB sent, nginx {} MB; {:.0} MB of rows a second of the host's CPU",
            quantile(&mut speeds, 0.5),
            quantile(&mut speeds, 0.5) * set.bytes as f64 / rows as f64,
            quantile(&mut references, 0.5),
            quantile(&mut ratios, 0.5),
            quantile(&mut ratios, 0.0),
            quantile(&mut ratios, 1.0),
            sent / MB,
            reference_sent / MB,
            (rows * PAIRS as u64) as f64 / 1e6 / cpu,
        );
    }
    let largest = host.batches.iter().max_by_key(|batch| batch.bytes).expect("a batch");
    let first_byte = |port: u16, path: &str| fetch(port, path, 1, &mut |_| ()).first.as_secs_f64() * 1e6;
    println!("  first byte of a batch of {} MB, connection included, {FIRST_BYTES} times:", largest.bytes / MB);
    for (what, ours, theirs) in [
        ("plain", largest.path.clone(), largest.path.clone()),
        (".gz", format!("{}.gz", largest.path), format!("/gzip{}", largest.path)),
    ] {
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for _ in 0..FIRST_BYTES {
            our_times.push(first_byte(host.port, &ours));
            their_times.push(first_byte(nginx.port, &theirs));
        }
        println!(
            "  {what}: median {:.0} µs, 99 % within {:.0} µs; nginx {:.0} and {:.0} µs",
            quantile(&mut our_times, 0.5),
            quantile(&mut our_times, 0.99),
            quantile(&mut their_times, 0.5),
            quantile(&mut their_times, 0.99),
        );
    }
    drop((nginx, host));
    set.remove();
}

fn endpoint_alone(host: &Host, rows: u64) {
    for (what, suffix, clients) in [("plain", "", 1), ("plain", "", 4), (".gz", ".gz", 1), (".gz", ".gz", 4)] {
        let paths: Vec<String> = host.batches.iter().map(|batch| format!("{}{suffix}", batch.path)).collect();
        let round = |_| rows as f64 / 1e6 / fetch_all(host.port, &paths, clients).0.as_secs_f64();
        let mut speeds: Vec<f64> = (0..PAIRS).map(round).collect();
        println!("  {what}, {clients} clients: {:.0} MB/s of rows", quantile(&mut speeds, 0.5));
    }
}

fn memory(bench: &Bench, edits: &mut [StoredRecord], megabytes: u64) {
    let set = bench.fill("memory", edits, megabytes * MB);
    let host = bench.serve(&set);
    let examined = host.peak_mb();
    let (took, bytes) = fetch_all(host.port, &["/".to_owned()], 1);
    assert_eq!(bytes, host.num_bytes());
    let one = host.peak_mb();
    let four = {
        fetch_all(host.port, &vec!["/".to_owned(); 4], 4);
        host.peak_mb()
    };
    println!(
        "data set of {megabytes} MB ({} batches, {} MB of rows): {examined} MB until all was examined, \
         {one} MB while all of it was fetched ({took:.1?}), {four} MB while 4 clients did",
        host.batches.len(),
        bytes / MB
    );
    drop(host);
    set.remove();
}

fn read_all(log: &dyn Log, records: usize) -> Vec<StoredRecord> {
    let mut reader = log.reader(TOPIC, 0, 0).expect("reader");
    let limits = ReadLimits { max_records: 10_000, max_bytes: 64 << 20, wait: Duration::from_secs(10) };
    let mut stored = Vec::new();
    while stored.len() < records {
        let more = reader.next(limits).expect("records");
        assert!(!more.is_empty(), "only {} of {records} records are there", stored.len());
        stored.extend(more);
    }
    stored.truncate(records);
    stored
}

fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * at).round() as usize]
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292 million")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    listener.local_addr().expect("port").port()
}
