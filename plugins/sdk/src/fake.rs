//! What the host lends, faked for native unit tests. Each thread has its own.

use crate::geoip::Place;
use crate::log::Level;
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static PLACES: RefCell<Option<BTreeMap<String, Place>>> = const { RefCell::new(None) };
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Configures a GeoIP database with these places; `None` takes it away.
pub fn set_geoip(places: Option<BTreeMap<String, Place>>) {
    PLACES.set(places);
}

/// Lines logged on this thread, as `level: message`, and forgets them.
pub fn take_log() -> Vec<String> {
    LINES.take()
}

#[allow(dead_code)] // Only the native build answers from here.
pub(crate) fn geoip_available() -> bool {
    PLACES.with_borrow(Option::is_some)
}

#[allow(dead_code)]
pub(crate) fn geoip_lookup(address: &str) -> Option<Place> {
    PLACES.with_borrow(|places| places.as_ref()?.get(address).cloned())
}

#[allow(dead_code)]
pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    LINES.with_borrow_mut(|lines| lines.push(format!("{level}: {message}")));
}
