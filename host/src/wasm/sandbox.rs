//! What WASI gives to an instance. Rust's standard library imports it whatever the plugin does, so it is linked for all,
//! with nothing in it: no environment, files, network or output; clocks that stand still and random numbers that are
//! the same every time, unless `clock` and `random` are granted.

use std::time::Duration;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

/// What is drawn by who may not draw: these bytes, over and over.
const SAME_BYTES: &[u8] = &[0x9e, 0x37, 0x79, 0xb9, 0x7f, 0x4a, 0x7c, 0x15];
const SAME_SEED: u128 = 0x9e37_79b9_7f4a_7c15;

/// Clocks that stand at the beginning.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// For an instance with these grants.
pub(super) fn wasi(grants: &[String]) -> WasiCtx {
    let has = |capability: &str| grants.iter().any(|grant| grant == capability);
    let mut builder = WasiCtxBuilder::new();
    if !has("clock") {
        builder.wall_clock(Stopped).monotonic_clock(Stopped);
    }
    if !has("random") {
        let same = || Deterministic::new(SAME_BYTES.to_vec());
        builder.secure_random(same()).insecure_random(same()).insecure_random_seed(SAME_SEED);
    }
    builder.build()
}
