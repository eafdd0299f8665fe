//! Emulated feeds on ports of their own, driven from tests that are not async.

use host_emulators::{Handle, Lines, Stats, eventstreams, irc};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The runtime of feeds and emulators, one for all tests of a process.
///
/// # Panics
/// When the system gives no threads.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        // As the binary does; already installed is as good.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

/// An emulator of Wikimedia's IRC server on a free port.
///
/// # Panics
/// When it does not start.
pub fn irc(options: irc::Options) -> Handle {
    runtime().block_on(async { irc::start(listener().await, options).await }).unwrap()
}

/// An emulator of EventStreams on a free port.
///
/// # Panics
/// When it does not start.
pub fn eventstreams(options: eventstreams::Options) -> Handle {
    runtime().block_on(async { eventstreams::start(listener().await, options).await }).unwrap()
}

/// The URL of an EventStreams emulator's stream.
pub fn stream_url(emulator: &Handle) -> String {
    format!("http://{}/v2/stream/recentchange", emulator.addr())
}

/// Waits until an emulator's counters are as `condition` asks.
///
/// # Panics
/// When they do not get there `within` the time, with the counters.
pub fn wait_for_stats(emulator: &Handle, what: &str, within: Duration, condition: impl Fn(&Stats) -> bool) {
    let reached = runtime().block_on(emulator.wait_for(condition, within));
    assert!(reached, "waited {within:?} in vain: {what}: {:?}", emulator.stats());
}

/// Texts as recorded lines, `#channel<TAB>text` each, written to a file in `dir`.
///
/// # Panics
/// When the file cannot be written or read.
pub fn lines(dir: &Path, texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Lines {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend_from_slice(text.as_ref());
        bytes.push(b'\n');
    }
    let path = dir.join("lines.txt");
    std::fs::write(&path, bytes).unwrap();
    Lines::read(path).unwrap()
}

/// A port on which nobody listens.
///
/// # Panics
/// When the system has none.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}
