//! Where an address is, from the GeoIP database that the operator configured.

pub use crate::bindings::source::connector::host::geoip::Place;

/// Whether a database is configured; constant for the life of an instance.
pub fn available() -> bool {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::source::connector::host::geoip::available();
    #[cfg(not(target_arch = "wasm32"))]
    crate::fake::geoip_available()
}

/// The place of an IPv4 or IPv6 address; none for anything else or when nothing is known.
pub fn lookup(address: &str) -> Option<Place> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::source::connector::host::geoip::lookup(address);
    #[cfg(not(target_arch = "wasm32"))]
    crate::fake::geoip_lookup(address)
}
