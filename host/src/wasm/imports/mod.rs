//! Host functions: what a guest can call. Each counts itself and checks that the thing was lent; a guest's bad
//! argument is the guest's error, and only a broken promise of the host, or a limit, is a trap.

mod feed;
mod files;
mod http;
mod state;

use super::bindings::source::connector::host::{geoip, log};
use super::bindings::source::connector::plugin::types;
use super::state::State;
use crate::connector::Limits;

impl types::Host for State {}

impl geoip::Host for State {
    fn available(&mut self) -> wasmtime::Result<bool> {
        self.host_call()?;
        Ok(self.lent.geoip.is_some())
    }

    fn lookup(&mut self, address: String) -> wasmtime::Result<Option<geoip::Place>> {
        self.host_call()?;
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
        self.host_call()?;
        if self.log_lines.take().is_err() {
            self.meter.log_lines_dropped.increment(1);
            self.log_dropped += 1;
            return Ok(());
        }
        let dropped = std::mem::take(&mut self.log_dropped);
        if dropped > 0 {
            let (plugin, limit) = (&self.label, self.limits.log_lines_per_second);
            tracing::warn!(plugin, dropped, limit, "plugin logs more lines a second than its limit");
        }
        self.meter.log_lines.increment(1);
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
