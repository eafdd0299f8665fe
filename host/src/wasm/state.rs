//! What a store holds: what is lent, what is limited, and how far the running call is.

use super::limits::Limits;
use crate::error::{Error, ErrorClass, OrError, Result};
use crate::ports::feed::Feed;
use crate::ports::geoip::GeoIp;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, StoreLimits, Trap, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// What is lent to an instance: exactly what is granted.
#[derive(Clone, Default)]
pub struct Lent {
    /// The connector's feed.
    pub feed: Option<Arc<dyn Feed>>,
    /// The GeoIP database.
    pub geoip: Option<Arc<dyn GeoIp>>,
    /// The connector's name, for the log.
    pub connector: String,
}

/// The data of a store.
pub(super) struct State {
    pub(super) lent: Lent,
    pub(super) limits: Limits,
    pub(super) label: String,
    pub(super) log_budget: LogBudget,
    store_limits: StoreLimits,
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

/// Log lines left in this second.
#[derive(Debug)]
pub(super) struct LogBudget {
    pub(super) second: Instant,
    pub(super) left: u32,
    pub(super) dropped: u64,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl State {
    /// A store for one instance: no environment, no files, no network, no output streams.
    pub(super) fn store(engine: &Engine, lent: Lent, limits: Limits, label: &str) -> Store<State> {
        let state = State {
            lent,
            limits,
            label: label.to_owned(),
            log_budget: LogBudget { second: Instant::now(), left: limits.log_lines_per_second, dropped: 0 },
            store_limits: limits.store(),
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
            ticks: 0,
            deadline: Instant::now(),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.store_limits);
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
    }

    /// What is left of the running call's wall time.
    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Says what ended the instance, in the host's words.
    pub(super) fn explain(&self, function: &str, error: &wasmtime::Error) -> Error {
        let found = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) if self.ticks > self.cpu_ticks() => {
                format!("ran for more than {} ms of CPU", self.limits.cpu.as_millis())
            }
            Some(Trap::Interrupt) => format!("took longer than {} ms", self.limits.wall.as_millis()),
            Some(Trap::UnreachableCodeReached) => "panicked".to_owned(),
            Some(trap) => format!("trapped: {trap}"),
            None => {
                let cause = error.root_cause().to_string();
                match cause.starts_with("forcing trap when growing memory") {
                    true => format!("wanted more than {} bytes of memory", self.limits.memory_bytes),
                    false => format!("failed: {cause}"),
                }
            }
        };
        tracing::debug!(plugin = self.label, function, backtrace = format!("{error:?}"), "instance ended");
        Error::new(ErrorClass::Bug, format!("plugin `{}`: `{function}` {found}", self.label))
    }
}
