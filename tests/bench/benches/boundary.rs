//! What the sandbox costs: `wiki_source` as a component against the same code compiled natively.
//!
//! Run with `cargo bench -p bench --bench boundary`. Work: 16,384 generated IRC messages, decoded to
//! JSON records, leaving in the column shape of the WIT contract; both sides are built with the
//! plugins' release profile. Figures are the minimum over the rounds of the thread's CPU time, so that
//! a busy machine spoils rounds and not ratios. Ratio: native time / variant time, 1.00 = native.
//! The native side has its messages at hand; the component's include the feed's copy and both crossings.

use cpu_time::ThreadTime;
use host::connector::{Limits, PollLimits, Source};
use host::plugin::Package;
use host::ports::feed::{Feed, FeedState, FeedStatus, Frames};
use host::wasm::{Engines, Lent, LoadedPlugin, Trust, WasmSource};
use host_emulators::edits::Generator;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MESSAGES: usize = 16 * 1024;
const ROUNDS: usize = 40;

/// A feed whose batches lie ready.
struct Ready {
    batches: Vec<Frames>,
    next: AtomicUsize,
    idle: Mutex<bool>,
}

impl Ready {
    fn new(messages: &[(String, String)], batch: usize) -> Self {
        let frames = |messages: &[(String, String)]| {
            let mut frames = Frames { origin_names: vec![], ..Frames::default() };
            for (channel, text) in messages {
                let known = frames.origin_names.iter().position(|name| name == channel);
                let origin = known.unwrap_or_else(|| {
                    frames.origin_names.push(channel.clone());
                    frames.origin_names.len() - 1
                });
                frames.data.extend_from_slice(text.as_bytes());
                frames.lens.push(text.len() as u32);
                frames.received_ms.push(1_790_000_000_000);
                frames.origins.push(origin as u32);
            }
            frames
        };
        Ready {
            batches: messages.chunks(batch).map(frames).collect(),
            next: AtomicUsize::new(0),
            idle: Mutex::new(false),
        }
    }
}

impl Feed for Ready {
    fn protocol(&self) -> &'static str {
        "irc"
    }

    fn start(&self, _resume: Option<&str>) -> host::error::Result<()> {
        Ok(())
    }

    fn read(&self, _frames: usize, _bytes: usize, _wait: Duration) -> host::error::Result<Option<Frames>> {
        if *self.idle.lock().unwrap() {
            return Ok(Some(Frames::default()));
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.batches.len();
        Ok(Some(self.batches[next].clone()))
    }

    fn commit(&self) {}

    fn rewind(&self) -> usize {
        0
    }

    fn status(&self) -> FeedStatus {
        FeedStatus {
            state: FeedState::Connected,
            note: None,
            endpoint: String::new(),
            received: 0,
            overflowed: 0,
            buffered: 0,
            reconnects: 0,
        }
    }

    fn close(&self) {}
}

fn settings() -> Vec<(String, String)> {
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    vec![
        text("rules", "dataset"),
        text("extra.columns", "false"),
        text("anonymous.temporary", "false"),
        text("wikis", ""),
    ]
}

fn instance(trust: Trust, package: &Package, engines: &Engines, feed: &Arc<Ready>) -> WasmSource {
    let grants = vec!["feed".to_owned()];
    let plugin = LoadedPlugin::load(engines, package, trust, Limits::default(), &grants).expect("plugin loads");
    let lent = Lent { feed: Some(Arc::clone(feed) as Arc<dyn Feed>), connector: "bench".to_owned(), ..Lent::default() };
    let mut source = plugin.source(lent).expect("plugin instantiates");
    source.open(&settings(), &[]).expect("plugin opens");
    source
}

fn poll_all(source: &mut WasmSource, batch: usize) -> usize {
    let limits = PollLimits { max_records: batch as u32, max_bytes: 64 << 20, wait: Duration::ZERO };
    (0..MESSAGES / batch).map(|_| black_box(source.poll(limits).expect("poll")).records.len()).sum()
}

/// The same decoder compiled natively, in a process of its own: nanoseconds a message, records.
fn native(messages: &Path, batch: usize) -> (f64, usize) {
    let wiki_source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/wiki_source");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(wiki_source).args(["run", "--quiet", "--release", "--example", "native", "--"]);
    cargo.env_remove("CARGO_TARGET_DIR").arg(messages).args([batch.to_string(), ROUNDS.to_string()]);
    let output = cargo.output().expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    assert!(numbers.len() == 3, "native reference failed: {}", String::from_utf8_lossy(&output.stderr));
    (numbers[2], numbers[1] as usize)
}

fn main() {
    let wasm = bench::wiki_source();
    let package = Package::read(&wasm).expect("the plugin was built");
    let messages: Vec<(String, String)> = Generator::new(1)
        .filter_map(|edit| Some((edit.wiki.channel.to_owned(), edit.irc_text()?)))
        .take(MESSAGES)
        .collect();
    let bytes: usize = messages.iter().map(|(_, text)| text.len()).sum();
    println!(
        "{MESSAGES} IRC messages of {} bytes on average, {ROUNDS} rounds, minimum of thread CPU time",
        bytes / MESSAGES
    );
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("messages");
    let lines: String = messages.iter().map(|(channel, text)| format!("{channel}\t{text}\n")).collect();
    std::fs::write(&file, lines).expect("messages are written");
    let engines = Engines::new();
    println!("\n{:<10} {:<24} {:>12} {:>8}", "batch", "variant", "ns/message", "ratio");
    for batch in [16, 128, 1024] {
        let feed = Arc::new(Ready::new(&messages, batch));
        let mut limited = instance(Trust::Limited, &package, &engines, &feed);
        let mut trusted = instance(Trust::Trusted, &package, &engines, &feed);
        let mut best = [Duration::MAX; 2];
        let mut counts = [0; 2];
        for _ in 0..ROUNDS {
            for (index, source) in [&mut limited, &mut trusted].into_iter().enumerate() {
                let before = ThreadTime::now();
                counts[index] = poll_all(source, batch);
                best[index] = best[index].min(before.elapsed());
            }
        }
        let (reference, records) = native(&file, batch);
        assert!(counts.iter().all(|count| *count == records), "{counts:?} records, natively {records}");
        println!("{batch:<10} {:<24} {reference:>12.0} {:>8.2}", "native", 1.0);
        for (name, time) in ["component, limited", "component, trusted"].iter().zip(best) {
            let nanos = time.as_nanos() as f64 / MESSAGES as f64;
            println!("{batch:<10} {name:<24} {nanos:>12.0} {:>8.2}", reference / nanos);
        }
    }
    let feed = Arc::new(Ready::new(&messages, 1024));
    *feed.idle.lock().unwrap() = true;
    for (name, trust) in [("limited", Trust::Limited), ("trusted", Trust::Trusted)] {
        let mut source = instance(trust, &package, &engines, &feed);
        let limits = PollLimits { max_records: 1, max_bytes: 1024, wait: Duration::ZERO };
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            let before = ThreadTime::now();
            (0..10_000).for_each(|_| drop(black_box(source.poll(limits).expect("poll"))));
            best = best.min(before.elapsed());
        }
        println!("one poll that finds nothing, {name}: {} ns (two crossings)", best.as_nanos() / 10_000);
    }
}
