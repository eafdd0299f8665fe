//! What a store holds: what is lent, what is limited, and how far the running call is.

use super::kept::Kept;
use super::meter::{Breach, Limit, Meter, PerSecond};
use super::sandbox::wasi;
use crate::connector::Limits;
use crate::error::{Error, OrError, Result};
use crate::ports::feed::Feed;
use crate::ports::files::Files;
use crate::ports::geoip::GeoIp;
use crate::ports::http::Http;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Bytes that any call may hand to the host, however little it may return.
const SMALL_CALL: usize = 4 << 20;

/// What is lent to an instance: exactly what is granted.
#[derive(Clone, Default)]
pub struct Lent {
    /// The connector's feed.
    pub feed: Option<Arc<dyn Feed>>,
    /// The GeoIP database.
    pub geoip: Option<Arc<dyn GeoIp>>,
    /// Requests that may be made.
    pub http: Option<Arc<dyn Http>>,
    /// A directory.
    pub files: Option<LentFiles>,
    /// Whether it may keep state.
    pub state: bool,
    /// The connector's name, for the log.
    pub connector: String,
}

/// A directory that is lent.
#[derive(Clone)]
pub struct LentFiles {
    /// The directory.
    pub store: Arc<dyn Files>,
    /// Whether the guest may write to it.
    pub can_write: bool,
}

/// The data of a store.
pub(super) struct State {
    pub(super) lent: Lent,
    pub(super) limits: Limits,
    pub(super) label: String,
    pub(super) meter: Meter,
    pub(super) kept: Kept,
    pub(super) log_lines: PerSecond,
    pub(super) log_dropped: u64,
    pub(super) http_requests: PerSecond,
    host_calls: PerSecond,
    wasi: WasiCtx,
    table: ResourceTable,
    ticks: u32,
    deadline: Instant,
}

/// Ends calls that wait too long inside the guest, where no interruption point is passed: a guest
/// that sleeps. Calls stay on the task's own thread; the runtime is only their timer.
pub(super) struct CallClock(Runtime);

impl CallClock {
    pub(super) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(CallClock).or_retry("making a timer for calls")
    }

    /// Runs one call to its end, or interrupts it after `wall`.
    pub(super) fn drive<T>(
        &self,
        wall: Duration,
        call: impl Future<Output = wasmtime::Result<T>>,
    ) -> wasmtime::Result<T> {
        self.0.block_on(async {
            let in_time = tokio::time::timeout(wall, call).await;
            in_time.unwrap_or_else(|_| Err(Trap::Interrupt.into()))
        })
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl State {
    /// A store for one instance.
    pub(super) fn store(engine: &Engine, lent: Lent, limits: Limits, label: &str, grants: &[String]) -> Store<State> {
        let state = State {
            meter: Meter::new(limits, &lent.connector, label),
            lent,
            limits,
            label: label.to_owned(),
            kept: Kept::default(),
            log_lines: PerSecond::new(limits.log_lines_per_second),
            log_dropped: 0,
            http_requests: PerSecond::new(limits.http_requests_per_second),
            host_calls: PerSecond::new(limits.host_calls_per_second),
            wasi: wasi(grants),
            table: ResourceTable::new(),
            ticks: 0,
            deadline: Instant::now(),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.meter);
        // What a guest hands over is copied before anyone can look at it. Columns and texts are not counted as output.
        store.set_hostcall_fuel(limits.output_bytes.saturating_mul(2).saturating_add(SMALL_CALL));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            let state = store.data_mut();
            state.ticks += 1;
            let over = state.ticks > state.cpu_ticks() || Instant::now() > state.deadline;
            Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
        store
    }

    fn cpu_ticks(&self) -> u32 {
        u32::try_from(self.limits.cpu.as_millis() / Limits::TICK.as_millis()).unwrap_or(u32::MAX)
    }

    /// To be called before each call into the guest.
    pub(super) fn begin_call(&mut self) {
        self.ticks = 0;
        self.deadline = Instant::now() + self.limits.wall;
        self.meter.begin_call();
    }

    /// To be called by each host function: ends an instance that calls them too often.
    pub(super) fn host_call(&mut self) -> wasmtime::Result<()> {
        self.meter.host_calls.increment(1);
        self.host_calls.take().map_err(|_| Breach(Limit::HostCalls).into())
    }

    /// What is left of the running call's wall time.
    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Says what ended the instance, in the host's words.
    pub(super) fn explain(&self, function: &str, error: &wasmtime::Error) -> Error {
        tracing::debug!(plugin = self.label, function, backtrace = format!("{error:?}"), "instance ended");
        let Limits { memory_bytes, table_elements, output_bytes, host_calls_per_second, cpu, wall, .. } = self.limits;
        let cause = error.root_cause().to_string();
        let reached = match (error.downcast_ref::<Trap>(), error.downcast_ref::<Breach>()) {
            (Some(Trap::Interrupt), _) if self.ticks > self.cpu_ticks() => Some(Limit::Cpu),
            (Some(Trap::Interrupt), _) => Some(Limit::Wall),
            (_, Some(Breach(limit))) => Some(*limit),
            _ if cause.contains("fuel allocated for hostcalls") => Some(Limit::OutputBytes),
            _ => None,
        };
        let what = match reached {
            Some(Limit::Cpu) => format!("ran for more than {} ms of CPU", cpu.as_millis()),
            Some(Limit::Wall) => format!("took longer than {} ms", wall.as_millis()),
            Some(Limit::Memory) => format!("wanted more than {memory_bytes} bytes of memory"),
            Some(Limit::Table) => format!("wanted more than {table_elements} function table entries"),
            Some(Limit::HostCalls) => format!("called the host more than {host_calls_per_second} times a second"),
            Some(Limit::OutputBytes) => format!("handed over more than its limit of {output_bytes} bytes"),
            Some(limit) => Breach(limit).to_string(),
            None => match error.downcast_ref::<Trap>() {
                Some(Trap::UnreachableCodeReached) => "panicked".to_owned(),
                Some(trap) => format!("trapped: {trap}"),
                None => format!("failed: {cause}"),
            },
        };
        let what = format!("`{function}` {what}");
        match reached {
            Some(limit) => self.meter.breach(limit, what),
            None => Error::bug(format!("plugin `{}`: {what}", self.label)),
        }
    }
}
