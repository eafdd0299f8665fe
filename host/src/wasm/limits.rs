//! What one instance may use. A breach ends that instance and nothing else.

use std::time::Duration;
use wasmtime::{StoreLimits, StoreLimitsBuilder};

/// Limits of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, bytes, of all its memories together.
    pub memory_bytes: usize,
    /// CPU time of one call, measured in engine ticks of [`Limits::TICK`]. Not enforced for a
    /// trusted connector, whose code has no interruption points.
    pub cpu: Duration,
    /// Wall time of one call, waiting for input included.
    pub wall: Duration,
    /// Bytes one call may return.
    pub output_bytes: usize,
    /// Log lines a second; the rest is dropped and counted.
    pub log_lines_per_second: u32,
}

impl Limits {
    /// How often running guests look whether their time is over: 10 ms costs nothing measurable
    /// and bounds a runaway to the same.
    pub const TICK: Duration = Duration::from_millis(10);
    /// A log line is cut here, bytes.
    pub const LOG_LINE_BYTES: usize = 8 * 1024;
    /// Function table entries; a Python component has some 10,000.
    const TABLE_ELEMENTS: usize = 200_000;

    pub(super) fn store(&self) -> StoreLimits {
        StoreLimitsBuilder::new()
            .memory_size(self.memory_bytes)
            .table_elements(Self::TABLE_ELEMENTS)
            // Otherwise the guest's allocator aborts, and the trap looks like a panic.
            .trap_on_grow_failure(true)
            .build()
    }
}

impl Default for Limits {
    /// 256 MiB (a Python component with its interpreter needs 60), 5 s of CPU (a batch of 1,024
    /// takes a Rust guest 2 ms and a JavaScript one 150), 60 s of wall time, 64 MiB of output,
    /// 100 log lines a second.
    fn default() -> Self {
        Limits {
            memory_bytes: 256 << 20,
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(60),
            output_bytes: 64 << 20,
            log_lines_per_second: 100,
        }
    }
}
