//! What an instance uses: held to its limits where the engine asks, counted as metrics.
//!
//! Metrics are `connector_host_plugin_…` with labels `connector` and `plugin`; without a recorder they cost nothing.

use crate::connector::Limits;
use crate::error::{Error, ErrorClass};
use cpu_time::ThreadTime;
use metrics::{Counter, Gauge, counter, gauge};
use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, Instant};
use wasmtime::ResourceLimiter;

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Memory,
    Table,
    Cpu,
    Wall,
    OutputBytes,
    OutputRecords,
    HostCalls,
    State,
}

impl Limit {
    /// Its name in metrics.
    fn name(self) -> &'static str {
        match self {
            Limit::Memory => "memory_bytes",
            Limit::Table => "table_elements",
            Limit::Cpu => "cpu",
            Limit::Wall => "wall",
            Limit::OutputBytes => "output_bytes",
            Limit::OutputRecords => "output_records",
            Limit::HostCalls => "host_calls",
            Limit::State => "state_bytes",
        }
    }
}

/// Ends an instance from inside a host function or a growth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Breach(pub(super) Limit);

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit `{}` was reached", self.0.name())
    }
}

impl std::error::Error for Breach {}

/// Counts down within a second. Looking at the clock only when the count is used up is what makes it cheap.
#[derive(Debug)]
pub(super) struct PerSecond {
    since: Instant,
    left: u32,
    most: u32,
}

impl PerSecond {
    pub(super) fn new(most: u32) -> Self {
        PerSecond { since: Instant::now(), left: most, most }
    }

    /// Takes one; else how long it is until there are more.
    pub(super) fn take(&mut self) -> Result<(), Duration> {
        if self.left == 0 {
            let passed = self.since.elapsed();
            if passed < Duration::from_secs(1) {
                return Err(Duration::from_secs(1).saturating_sub(passed));
            }
            (self.since, self.left) = (Instant::now(), self.most);
        }
        self.left = self.left.saturating_sub(1);
        Ok(())
    }
}

/// One instance's use.
pub(super) struct Meter {
    limits: Limits,
    labels: [(&'static str, String); 2],
    memory_bytes: Held,
    table_elements: Held,
    pub(super) state_bytes: Held,
    pub(super) open_feeds: Held,
    pub(super) host_calls: Counter,
    pub(super) http_requests: Counter,
    pub(super) http_waits: Counter,
    pub(super) output_bytes: Counter,
    pub(super) output_records: Counter,
    pub(super) log_lines: Counter,
    pub(super) log_lines_dropped: Counter,
    // By function; finding a counter costs more than a call does.
    calls: RefCell<Vec<(&'static str, Counter)>>,
    cpu: Counter,
    wall: Counter,
    began: (Instant, Duration),
}

impl Meter {
    pub(super) fn new(limits: Limits, connector: &str, plugin: &str) -> Self {
        let labels = [("connector", connector.to_owned()), ("plugin", plugin.to_owned())];
        #[allow(clippy::cast_precision_loss)] // Bytes and counts, for people.
        let limit = |limit: &'static str, value: usize| {
            let [connector, plugin] = labels.clone();
            gauge!("connector_host_plugin_limit", &[connector, plugin, ("limit", limit.to_owned())]).set(value as f64);
        };
        limit("memory_bytes", limits.memory_bytes);
        limit("table_elements", limits.table_elements);
        limit("cpu_milliseconds", limits.cpu.as_millis() as usize);
        limit("wall_milliseconds", limits.wall.as_millis() as usize);
        limit("output_bytes", limits.output_bytes);
        limit("output_records", limits.output_records);
        limit("host_calls_per_second", limits.host_calls_per_second as usize);
        limit("http_requests_per_second", limits.http_requests_per_second as usize);
        limit("state_bytes", limits.state_bytes);
        limit("log_lines_per_second", limits.log_lines_per_second as usize);
        limit("open_feeds", 1);
        let held = |name: &'static str| Held::new(gauge!(name, &labels));
        Meter {
            memory_bytes: held("connector_host_plugin_memory_bytes"),
            table_elements: held("connector_host_plugin_table_elements"),
            state_bytes: held("connector_host_plugin_state_bytes"),
            open_feeds: held("connector_host_plugin_open_feeds"),
            host_calls: counter!("connector_host_plugin_host_calls_total", &labels),
            http_requests: counter!("connector_host_plugin_http_requests_total", &labels),
            http_waits: counter!("connector_host_plugin_http_waits_total", &labels),
            output_bytes: counter!("connector_host_plugin_output_bytes_total", &labels),
            output_records: counter!("connector_host_plugin_output_records_total", &labels),
            log_lines: counter!("connector_host_plugin_log_lines_total", &labels),
            log_lines_dropped: counter!("connector_host_plugin_log_lines_dropped_total", &labels),
            calls: RefCell::default(),
            cpu: counter!("connector_host_plugin_cpu_microseconds_total", &labels),
            wall: counter!("connector_host_plugin_call_microseconds_total", &labels),
            began: now(),
            limits,
            labels,
        }
    }

    pub(super) fn begin_call(&mut self) {
        self.began = now();
    }

    pub(super) fn end_call(&self, function: &'static str) {
        let ((wall, cpu), (then, cpu_then)) = (now(), self.began);
        self.wall.increment(wall.duration_since(then).as_micros() as u64);
        self.cpu.increment(cpu.saturating_sub(cpu_then).as_micros() as u64);
        let mut calls = self.calls.borrow_mut();
        if let Some((_, counted)) = calls.iter().find(|(known, _)| *known == function) {
            return counted.increment(1);
        }
        let [connector, plugin] = self.labels.clone();
        let labels = [connector, plugin, ("function", function.to_owned())];
        let counted = counter!("connector_host_plugin_calls_total", &labels);
        counted.increment(1);
        calls.push((function, counted));
    }

    /// Counts a limit that was reached, and says so in the host's words.
    pub(super) fn breach(&self, limit: Limit, what: impl fmt::Display) -> Error {
        let [connector, plugin] = self.labels.clone();
        let label = plugin.1.clone();
        let labels = [connector, plugin, ("limit", limit.name().to_owned())];
        counter!("connector_host_plugin_limit_breaches_total", &labels).increment(1);
        Error::new(ErrorClass::Bug, format!("plugin `{label}`: {what}"))
    }
}

/// The time, and this thread's CPU time so far.
fn now() -> (Instant, Duration) {
    (Instant::now(), ThreadTime::now().as_duration())
}

/// What an instance has of something. Its gauge is the sum over all instances of a plugin, since two run at a time while
/// one takes over from the other; what an instance has goes with it.
pub(super) struct Held {
    gauge: Gauge,
    now: usize,
}

impl Held {
    fn new(gauge: Gauge) -> Self {
        gauge.increment(0.0);
        Held { gauge, now: 0 }
    }

    #[allow(clippy::cast_precision_loss)] // Bytes and counts, for people.
    pub(super) fn set(&mut self, now: usize) {
        self.gauge.increment(now as f64 - self.now as f64);
        self.now = now;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let all = self.memory_bytes.now.saturating_sub(current).saturating_add(desired);
        if all > self.limits.memory_bytes {
            // Told to the guest, its allocator would abort, and the trap look like a panic.
            return Err(Breach(Limit::Memory).into());
        }
        self.memory_bytes.set(all);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let all = self.table_elements.now.saturating_sub(current).saturating_add(desired);
        if all > self.limits.table_elements {
            return Err(Breach(Limit::Table).into());
        }
        self.table_elements.set(all);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_and_no_more() {
        let mut calls = PerSecond::new(3);
        assert!((0..3).all(|_| calls.take().is_ok()));
        let wait = calls.take().unwrap_err();
        assert!(wait <= Duration::from_secs(1));
        calls.since -= Duration::from_secs(1);
        assert!((0..3).all(|_| calls.take().is_ok()) && calls.take().is_err());
    }

    #[test]
    fn memories_and_tables_are_counted_together() {
        let limits = Limits { memory_bytes: 100, table_elements: 10, ..Limits::default() };
        let mut meter = Meter::new(limits, "c", "p");
        assert!(meter.memory_growing(0, 60, None).unwrap() && meter.memory_growing(0, 30, None).unwrap());
        assert!(meter.memory_growing(30, 40, None).unwrap(), "as much as there may be");
        assert!(meter.memory_growing(60, 61, None).is_err());
        assert!(meter.table_growing(0, 10, None).unwrap());
        assert!(meter.table_growing(0, 1, None).is_err());
    }
}
