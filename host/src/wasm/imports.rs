//! Host functions: what a guest can call. Each checks that the thing was lent; a guest's bad
//! argument is the guest's error, and only a broken promise of the host is a trap.

use super::bindings::source::connector::host::{feed, geoip, log};
use super::bindings::source::connector::plugin::types;
use super::limits::Limits;
use super::state::State;
use std::time::{Duration, Instant};

/// A read is cut to this, so that stopping a task never waits longer for its guest.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// What one read may carry, whatever the guest asks for.
const MAX_READ_BYTES: usize = 16 << 20;

impl types::Host for State {}

impl feed::Host for State {
    fn protocol(&mut self) -> wasmtime::Result<String> {
        Ok(self.lent.feed.as_ref().map_or("none", |feed| feed.protocol()).to_owned())
    }

    fn start(&mut self, resume: Option<String>) -> wasmtime::Result<Result<(), feed::FeedError>> {
        let Some(feed) = &self.lent.feed else { return Ok(Err(not_lent())) };
        Ok(feed.start(resume.as_deref()).map_err(|error| feed::FeedError::Invalid(error.to_string())))
    }

    fn read(
        &mut self,
        max_frames: u32,
        max_bytes: u32,
        wait_ms: u32,
    ) -> wasmtime::Result<Result<feed::Frames, feed::FeedError>> {
        let Some(feed) = &self.lent.feed else { return Ok(Err(not_lent())) };
        let wait = Duration::from_millis(wait_ms.into()).min(MAX_WAIT).min(self.time_left());
        let max_bytes = (max_bytes as usize).min(MAX_READ_BYTES);
        let frames = match feed.read(max_frames as usize, max_bytes, wait) {
            Ok(Some(frames)) => frames,
            Ok(None) => return Ok(Err(feed::FeedError::Closed("the feed is closed".to_owned()))),
            Err(error) => return Ok(Err(feed::FeedError::Invalid(error.to_string()))),
        };
        Ok(Ok(feed::Frames {
            data: frames.data,
            lens: frames.lens,
            received_ms: frames.received_ms,
            origin_names: frames.origin_names,
            origins: frames.origins,
            resume: frames.resume,
        }))
    }
}

fn not_lent() -> feed::FeedError {
    feed::FeedError::Invalid("no feed is lent to this connector".to_owned())
}

impl geoip::Host for State {
    fn available(&mut self) -> wasmtime::Result<bool> {
        Ok(self.lent.geoip.is_some())
    }

    fn lookup(&mut self, address: String) -> wasmtime::Result<Option<geoip::Place>> {
        let place = self.lent.geoip.as_ref().and_then(|geoip| geoip.lookup(&address));
        Ok(place.map(|place| geoip::Place {
            country_iso_code: place.country_iso_code,
            country_name: place.country_name,
            region_iso_code: place.region_iso_code,
            region_name: place.region_name,
            city_name: place.city_name,
        }))
    }
}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let limit = self.limits.log_lines_per_second;
        let budget = &mut self.log_budget;
        if budget.second.elapsed() >= Duration::from_secs(1) {
            if budget.dropped > 0 {
                let (plugin, dropped) = (&self.label, budget.dropped);
                tracing::warn!(plugin, dropped, limit, "plugin logs more lines a second than its limit");
            }
            budget.second = Instant::now();
            budget.left = limit;
            budget.dropped = 0;
        }
        if budget.left == 0 {
            budget.dropped += 1;
            return Ok(());
        }
        budget.left -= 1;
        let cut = message.floor_char_boundary(Limits::LOG_LINE_BYTES);
        // Control characters could forge lines or drive a terminal.
        let text = message.get(..cut).unwrap_or_default().escape_debug().to_string();
        let (connector, plugin) = (&self.lent.connector, &self.label);
        match level {
            log::Level::Error => tracing::error!(connector, plugin, "{text}"),
            log::Level::Warn => tracing::warn!(connector, plugin, "{text}"),
            log::Level::Info => tracing::info!(connector, plugin, "{text}"),
            log::Level::Debug => tracing::debug!(connector, plugin, "{text}"),
            log::Level::Trace => tracing::trace!(connector, plugin, "{text}"),
        }
        Ok(())
    }
}
