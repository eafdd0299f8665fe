//! What one instance of a plugin may use. A breach ends that instance and nothing else.

use std::time::Duration;

/// Limits of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, bytes, of all its memories together.
    pub memory_bytes: usize,
    /// Entries of all its function tables together.
    pub table_elements: usize,
    /// CPU time of one call, measured in ticks of [`Limits::TICK`]. Not enforced for a trusted
    /// connector, whose code has no interruption points.
    pub cpu: Duration,
    /// Wall time of one call, waiting for input included.
    pub wall: Duration,
    /// Bytes one call may return or hand to the host.
    pub output_bytes: usize,
    /// Records one call may return, rejected ones included.
    pub output_records: usize,
    /// Calls of what the host lends, a second.
    pub host_calls_per_second: u32,
    /// HTTP requests a second; more wait for the next.
    pub http_requests_per_second: u32,
    /// Names and values of its kept state, bytes.
    pub state_bytes: usize,
    /// Log lines a second; the rest is dropped and counted.
    pub log_lines_per_second: u32,
}

impl Limits {
    /// How often running guests look whether their time is over: 10 ms costs nothing measurable
    /// and bounds a runaway to the same.
    pub const TICK: Duration = Duration::from_millis(10);
    /// A log line is cut here, bytes.
    pub const LOG_LINE_BYTES: usize = 8 * 1024;
}

impl Default for Limits {
    /// 256 MiB (a Python component with its interpreter needs 60), 200,000 table entries (it has some 10,000), 5 s of
    /// CPU (a batch of 1,024 takes a Rust guest 2 ms and a JavaScript one 150), 60 s of wall time, 64 MiB and 1,000,000
    /// records of output, 1,000,000 host calls, 10 requests and 100 log lines a second, 256 KiB of state (which is
    /// written whole with each commit that changes it).
    fn default() -> Self {
        Limits {
            memory_bytes: 256 << 20,
            table_elements: 200_000,
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(60),
            output_bytes: 64 << 20,
            output_records: 1_000_000,
            host_calls_per_second: 1_000_000,
            http_requests_per_second: 10,
            state_bytes: 256 << 10,
            log_lines_per_second: 100,
        }
    }
}
