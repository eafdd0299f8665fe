//! What plugins cost that do nothing yet: compiling a component against loading it from the cache, and the memory of
//! connectors at rest.
//!
//! Run with `cargo bench -p bench --bench instances`, with `-- --connectors N` for one number alone. Connectors are of
//! wiki_source, each with its own IRC connection to an emulator that says nothing; all of it is in one process. Memory is
//! the growth of VmRSS, divided by their number; the emulator's side of the connections is part of it.

use host::app::{self, Ends};
use host::config::{Config, RawConfig};
use host::connector::Limits;
use host::plugin::Package;
use host::ports::feed::FeedState;
use host::wasm::{Engines, LoadedPlugin, Trust};
use host_emulators::irc;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const TIMES: usize = 5;
const WITHIN: Duration = Duration::from_secs(120);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let one = arguments.iter().position(|argument| argument == "--connectors").and_then(|at| arguments.get(at + 1));
    let one: Option<usize> = one.and_then(|one| one.parse().ok());
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    if let Some(connectors) = one {
        println!("{connectors} connectors at rest: {} KiB each", at_rest(connectors));
        return;
    }
    loading();
    // Each in a process of its own: what a process has once had it keeps.
    for connectors in ["10", "100", "1000"] {
        let this = std::env::current_exe().expect("this program");
        let status = std::process::Command::new(this).args(["--connectors", connectors]).status().expect("runs");
        assert!(status.success());
    }
}

fn loading() {
    let package = Package::read(&bench::wiki_source()).expect("plugin");
    let load = |engines: &Engines| {
        let began = Instant::now();
        let grants = ["feed".to_owned()];
        LoadedPlugin::load(engines, &package, Trust::Limited, Limits::default(), &grants).expect("loads");
        began.elapsed()
    };
    // Now it is in the cache, unless it was.
    load(&Engines::new());
    let times = |engines: fn() -> Engines| {
        let mut times: Vec<Duration> = (0..TIMES).map(|_| load(&engines())).collect();
        times.sort();
        times[TIMES / 2]
    };
    let (compiled, cached) = (times(Engines::without_cache), times(Engines::new));
    println!(
        "wiki_source ({} KB): compiled in {:.0} ms, loaded from the cache in {:.2} ms, median of {TIMES}; ratio {:.4}",
        package.bytes.len() / 1000,
        compiled.as_secs_f64() * 1e3,
        cached.as_secs_f64() * 1e3,
        cached.as_secs_f64() / compiled.as_secs_f64()
    );
}

/// KiB of each.
fn at_rest(connectors: usize) -> u64 {
    let runtime = Runtime::new().expect("runtime");
    let dir = tempfile::tempdir().expect("folder");
    let emulator = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        // The first edit comes long after the end.
        irc::start(listener, irc::Options { rate: 0.000_1, ..irc::Options::default() }).await.expect("emulator")
    });
    let mut text = format!("[worker]\ndata.dir = '{}'\n", dir.path().join("data").display());
    for number in 0..connectors {
        let (plugin, at) = (bench::wiki_source(), emulator.addr());
        text += &format!(
            "[connectors.idle{number}]\nplugin = '{}'\ngrants = [\"feed\"]\ntopic = \"idle{number}\"\nirc.host = \"{}\"\nirc.port = {}\n",
            plugin.display(),
            at.ip(),
            at.port()
        );
    }
    let path = dir.path().join("host.toml");
    std::fs::write(&path, text).expect("configuration");
    let config = Config::check(&RawConfig::read(&[path]).expect("configuration")).expect("configuration");
    let log = app::open_log(&config.log).expect("log");
    let engines = Engines::new();
    let before = resident();
    let began = Instant::now();
    let started = app::start(&config, &log, &engines, runtime.handle(), Ends::default()).expect("host");
    loop {
        let statuses = started.worker.statuses();
        let connected = statuses
            .iter()
            .filter(|status| status.feed.as_ref().is_some_and(|feed| feed.state == FeedState::Connected));
        if connected.count() == connectors {
            break;
        }
        assert!(began.elapsed() < WITHIN, "not all feeds are connected within {WITHIN:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    (resident() - before) / connectors as u64
}

/// KiB in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).expect("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}
