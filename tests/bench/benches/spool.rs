//! What a spool costs: the sink and the source against a bare HTTP client that moves the same bytes to
//! and from the same emulated filer; memory while files grow; an idle watch of a full directory.
//!
//! Run with `cargo bench -p bench --bench spool`, with `-- --largest-mb N` for another largest file (4096).
//! Filer, client and spool share the process and the machine's cores; the filer speaks plain HTTP, so that
//! what is compared is not TLS. The sink seals what it is given, the bare client sends what came of it;
//! no log is in the way. Ratio: bare client's wall time / ours, 1.00 = as fast as the bare client.

use bytes::Bytes;
use cpu_time::ProcessTime;
use host::connector::{Layout, Limits, Place, PollLimits, Settings, Sink, Source, TopicPartition};
use host::crypto::{Key, KeyKind};
use host::io::qumulo::QumuloFiles;
use host::plugin::Package;
use host::ports::files::{FileKind, FilePath, Files, Seen};
use host::ports::log::{PositionEntry, StoredRecord};
use host::ports::qumulo::{Credentials, QumuloSettings, Tls};
use host::secret::Secret;
use host::spool::{Content, SpoolSink, SpoolSinkSettings, SpoolSource, SpoolSourceSettings};
use host::wasm::{Engines, Lent, LoadedPlugin, Trust};
use host_emulators::qumulo::{self, Options, QumuloHandle};
use reqwest::Client;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const MB: usize = 1_000_000;
const RECORD_BYTES: usize = 1500;
const TOPIC: &str = "bench";
const INBOX: &str = "/spool/var/spool/.inbox";

struct Bench {
    runtime: Runtime,
    filer: QumuloHandle,
    dir: tempfile::TempDir,
    plugin: LoadedPlugin,
    key: Key,
    records: Vec<StoredRecord>,
}

impl Bench {
    fn new() -> Self {
        let runtime = Runtime::new().expect("runtime");
        let dir = tempfile::tempdir().expect("folder");
        let options = Options { tls: false, ..Options::new(dir.path().join("files")) };
        let filer = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
            qumulo::start(listener, options).await.expect("filer")
        });
        let package = Package::read(&bench::component("spool_layout")).expect("layout");
        let plugin = LoadedPlugin::load(&Engines::new(), &package, Trust::Limited, Limits::default(), &[]);
        let value: Vec<u8> = (0..RECORD_BYTES).map(|at| b'a' + (at % 23) as u8).collect();
        let record = |offset| StoredRecord {
            partition: 0,
            offset,
            timestamp: 1_795_574_000_000 + offset,
            key: None,
            value: Some(value.clone()),
            headers: Vec::new(),
        };
        Bench {
            runtime,
            filer,
            dir,
            plugin: plugin.expect("layout"),
            key: Key::generate(KeyKind::Private).expect("key"),
            records: (0..1000).map(record).collect(),
        }
    }

    fn files(&self) -> Arc<QumuloFiles> {
        let path = self.dir.path().join("password");
        std::fs::write(&path, self.filer.password()).expect("password");
        let password = Secret::resolve("bench", &format!("file:{}", path.display())).expect("password");
        let credentials = Credentials::Password { user: self.filer.user().to_owned(), password };
        let settings = QumuloSettings {
            port: self.filer.addr().port(),
            tls: Tls::None,
            ..QumuloSettings::new("127.0.0.1", credentials, "/spool")
        };
        Arc::new(QumuloFiles::new(settings, self.runtime.handle().clone()).expect("files"))
    }

    fn layout(&self, file_bytes: usize) -> (Box<dyn Layout>, Settings) {
        let layout = self.plugin.layout(Lent::default()).expect("layout");
        let options = [
            ("rotation.max.bytes", file_bytes.to_string()),
            ("rotation.max.records", "0".to_owned()),
            ("rotation.max.age.ms", "0".to_owned()),
            ("trash.retention.ms", "3600000".to_owned()),
            ("staging.directory", "var/staging".to_owned()),
            ("target.directory", String::new()),
            ("target.directories", "flat".to_owned()),
        ];
        (Box::new(layout), options.map(|(key, value)| (key.to_owned(), value)).to_vec())
    }

    /// Puts about `bytes` into files of about `file_bytes`; the time it took and the files published.
    fn sink(&self, bytes: usize, file_bytes: usize) -> (Duration, usize) {
        let files = self.files();
        let (layout, options) = self.layout(file_bytes);
        let recipient = self.key.public().expect("public half").recipient().expect("recipient");
        let settings = SpoolSinkSettings {
            connector: "bench".to_owned(),
            task: 0,
            layout: options,
            place: Place::Inbox,
            content: Content::Records { recipients: vec![recipient], member_bytes: 900_000 },
            lease: Duration::from_secs(600),
        };
        let before = list(files.as_ref(), "var/spool/.inbox");
        let mut sink = SpoolSink::open(files.clone(), layout, settings).expect("sink");
        let at = TopicPartition { topic: TOPIC.to_owned(), partition: 0 };
        let began = Instant::now();
        let start = match sink.assign(&[(at.clone(), None)]).expect("partition").remove(0) {
            host::connector::Assigned::From(start) => start.unwrap_or(0),
            held => panic!("{held:?}"),
        };
        // Batches no larger than a file, so that files are as large as asked.
        let batch = (file_bytes / RECORD_BYTES).clamp(1, self.records.len());
        let mut records = self.records[..batch].to_vec();
        let mut next = start;
        while usize::try_from(next - start).expect("count") * RECORD_BYTES < bytes {
            for record in &mut records {
                record.offset = next;
                next += 1;
            }
            sink.put(&at, &records).expect("put");
        }
        sink.flush(true).expect("flush");
        let took = began.elapsed();
        sink.close();
        (took, list(files.as_ref(), "var/spool/.inbox").len() - before.len())
    }

    /// Takes everything in the inbox; the time it took, files and bytes.
    fn source(&self) -> (Duration, usize) {
        let files = self.files();
        let (layout, options) = self.layout(1);
        let settings = SpoolSourceSettings {
            connector: "bench".to_owned(),
            task: 0,
            num_tasks: 1,
            log_id: "bench".to_owned(),
            layout: options,
            chunk_bytes: 950_000,
            lease: Duration::from_secs(600),
            snapshot_keep: None,
        };
        let fence = Box::new(|_: &str, _: u32| Ok(Vec::<PositionEntry>::new()));
        let mut source = SpoolSource::new(files, layout, settings, fence).expect("source");
        let limits = PollLimits { max_records: 1024, max_bytes: 4 << 20, wait: Duration::from_millis(200) };
        let began = Instant::now();
        source.open(&Settings::new(), &[]).expect("open");
        let mut bytes = 0;
        let mut ended = began;
        loop {
            let polled = source.poll(limits).expect("poll");
            if polled.positions.is_empty() && bytes > 0 && source.backlog() == Some(0) {
                break;
            }
            bytes += polled.records.num_bytes();
            if !polled.positions.is_empty() {
                source.committed().expect("settled");
                ended = Instant::now();
            }
        }
        source.close();
        (ended - began, bytes)
    }
}

fn list(files: &dyn Files, directory: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let path = FilePath::new(directory).expect("path");
    let listed = files.list(&path, &mut |file| {
        if file.kind == FileKind::File {
            found.push((file.id, file.bytes));
        }
        Ok(())
    });
    listed.expect("listing");
    found
}

/// The bare client: the same calls and bytes, nothing else.
struct Bare {
    client: Client,
    base: String,
    token: String,
}

impl Bare {
    async fn log_in(bench: &Bench) -> Self {
        let client = Client::builder().no_proxy().build().expect("client");
        let base = format!("http://{}", bench.filer.addr());
        let login = json!({ "username": bench.filer.user(), "password": bench.filer.password() });
        let answer = client.post(format!("{base}/v1/session/login")).body(login.to_string());
        let answer: Value = json_of(answer.header("content-type", "application/json")).await;
        Bare { client, base, token: answer["bearer_token"].as_str().expect("token").to_owned() }
    }

    async fn entry(&self, directory: &str, body: Value) -> String {
        let directory = directory.replace('/', "%2F");
        let call = self.client.post(format!("{}/v1/files/{directory}/entries/", self.base)).body(body.to_string());
        let answer = json_of(call.bearer_auth(&self.token).header("content-type", "application/json")).await;
        answer["id"].as_str().expect("id").to_owned()
    }

    /// A file made aside, written in pieces as large as the sink's, and renamed.
    async fn put(&self, name: &str, bytes: u64, piece: &Bytes) -> String {
        let id = self.entry("/bare", json!({ "action": "CREATE_FILE", "name": name })).await;
        let mut at = 0;
        while at < bytes {
            let part = piece.slice(..usize::try_from(bytes - at).unwrap_or(usize::MAX).min(piece.len()));
            let url = format!("{}/v1/files/{id}/data?offset={at}", self.base);
            at += part.len() as u64;
            let call = self.client.patch(url).bearer_auth(&self.token).body(part);
            json_of(call.header("content-type", "application/octet-stream")).await;
        }
        let rename = json!({ "action": "RENAME", "name": name, "old_path": format!("/bare/{name}"), "clobber": false });
        self.entry("/bare/done", rename).await
    }

    /// A file claimed by rename, read whole, and renamed again.
    async fn get(&self, name: &str, id: &str) {
        let rename = |from: &str| json!({ "action": "RENAME", "name": name, "old_path": format!("{from}/{name}"), "clobber": false });
        self.entry("/bare", rename("/bare/done")).await;
        let call = self.client.get(format!("{}/v1/files/{id}/data", self.base)).bearer_auth(&self.token);
        let mut answer = call.send().await.expect("answer").error_for_status().expect("data");
        while let Some(chunk) = answer.chunk().await.expect("data") {
            std::hint::black_box(chunk);
        }
        self.entry("/bare/read", rename("/bare")).await;
    }
}

async fn json_of(call: reqwest::RequestBuilder) -> Value {
    let answer = call.send().await.expect("answer").error_for_status().expect("success");
    serde_json::from_slice(&answer.bytes().await.expect("body")).expect("JSON")
}

/// Most memory since it was asked last, MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    std::fs::write("/proc/self/clear_refs", "5").expect("clear");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kB") / 1000
}

fn main() {
    // One TLS provider for every client; installing it twice is no failure.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().collect();
    let largest = arguments.iter().position(|a| a == "--largest-mb").and_then(|at| arguments.get(at + 1)?.parse().ok());
    let largest: usize = largest.unwrap_or(4096);
    let bench = Bench::new();
    println!("sink and source against a bare client, plain HTTP over loopback, filer in the same process");
    for (bytes, file_bytes) in [(400 * MB, 64 * MB), (400 * MB, 8 * MB), (20 * MB, 20_000)] {
        against_bare(&bench, bytes, file_bytes);
    }
    println!("\nmemory of the whole process (spool, filer, bench), most of it while one file is written, then read");
    for megabytes in [1, 64, 1024, largest] {
        peak_mb();
        let (wrote, _) = bench.sink(megabytes * MB, usize::MAX >> 1);
        let writing = peak_mb();
        let (read, _) = bench.source();
        let reading = peak_mb();
        println!(
            "file of {megabytes} MB: {writing} MB while written ({wrote:.1?}), {reading} MB while read ({read:.1?})"
        );
    }
    idle_watch(&bench);
}

fn against_bare(bench: &Bench, bytes: usize, file_bytes: usize) {
    let (sink_took, count) = bench.sink(bytes, file_bytes);
    let files = bench.files();
    let written = list(files.as_ref(), "var/spool/.inbox");
    let total: u64 = written.iter().map(|(_, bytes)| bytes).sum();
    let (source_took, moved) = bench.source();
    // Members without footers, and each record's key and headers.
    assert!(moved as u64 > total / 100 * 95, "{moved} of {total} bytes");
    let piece = Bytes::from(vec![7; 8 << 20]);
    let (put_took, get_took) = bench.runtime.block_on(async {
        let bare = Bare::log_in(bench).await;
        for (parent, name) in [("/", "bare"), ("/bare", "done"), ("/bare", "read")] {
            let directory = json!({ "action": "CREATE_DIRECTORY", "name": format!("{name}") });
            let url = format!("{}/v1/files/{}/entries/", bare.base, parent.replace('/', "%2F"));
            let call = bare.client.post(url).bearer_auth(&bare.token).body(directory.to_string());
            // There from the round before.
            call.header("content-type", "application/json").send().await.expect("answer");
        }
        let began = Instant::now();
        let mut ids = Vec::new();
        for (index, (_, bytes)) in written.iter().enumerate() {
            ids.push(bare.put(&format!("{file_bytes}-{index}"), *bytes, &piece).await);
        }
        let put_took = began.elapsed();
        let began = Instant::now();
        for (index, id) in ids.iter().enumerate() {
            bare.get(&format!("{file_bytes}-{index}"), id).await;
        }
        (put_took, began.elapsed())
    });
    let per_second = |took: Duration| {
        let seconds = took.as_secs_f64();
        format!("{:.0} MB/s, {:.0} files/s", total as f64 / 1e6 / seconds, count as f64 / seconds)
    };
    let line = |what: &str, ours: Duration, bare: Duration| {
        let ratio = bare.as_secs_f64() / ours.as_secs_f64();
        println!("  {what}: {}; bare client {}; ratio {ratio:.2}", per_second(ours), per_second(bare));
    };
    println!("{count} files of {} KB:", total / 1000 / count as u64);
    line("sink  ", sink_took, put_took);
    line("source", source_took, get_took);
}

fn idle_watch(bench: &Bench) {
    const NAMES: usize = 100_000;
    let folder = bench.dir.path().join("files").join(INBOX.trim_start_matches('/'));
    (0..NAMES).for_each(|number| std::fs::write(folder.join(format!("f{number}")), b"").expect("file"));
    let files = bench.files();
    let inbox = FilePath::new("var/spool/.inbox").expect("path");
    let began = Instant::now();
    let found = list(files.as_ref(), "var/spool/.inbox").len();
    let listed = began.elapsed();
    let mut watch = files.watch(&inbox).expect("watch");
    while watch.next(Duration::from_secs(5)).expect("watch") != Seen::List {}
    let requests = bench.filer.stats().requests;
    let before = ProcessTime::now();
    let quiet = Duration::from_secs(20);
    assert_eq!(watch.next(quiet).expect("watch"), Seen::Nothing);
    let cpu = before.elapsed();
    let asked = bench.filer.stats().requests - requests;
    println!(
        "\nidle watch of a directory with {found} files: {:.2} ms of CPU a second, filer included, {asked} requests in {quiet:?}; \
         listed once in {listed:.1?}",
        cpu.as_secs_f64() * 1000.0 / quiet.as_secs_f64()
    );
}
