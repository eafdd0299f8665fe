//! Where the host's own log goes: standard error, past the progress line.

use std::io::{self, IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// Environment variable that sets what is logged, in `tracing` directives.
const VARIABLE: &str = "HOST_LOG";
/// librdkafka's own lines repeat what our errors say.
const USUAL: &str = "info,rdkafka=error,librdkafka=off";

struct PastProgress;

impl Write for PastProgress {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crate::cli::progress::suspended(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

pub(super) fn set_up() {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(USUAL));
    let set = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| PastProgress)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    // Set up before, in a test: that one stays.
    let _ = set;
}
