//! Where an address is.

/// A place; a part that is not known is none. Names are English.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country_iso_code: Option<String>,
    /// Country name.
    pub country_name: Option<String>,
    /// ISO 3166-2 part after the hyphen.
    pub region_iso_code: Option<String>,
    /// First subdivision's name.
    pub region_name: Option<String>,
    /// City name.
    pub city_name: Option<String>,
}

/// A GeoIP database.
pub trait GeoIp: Send + Sync {
    /// The place of an IPv4 or IPv6 address in text form; none for anything else.
    fn lookup(&self, address: &str) -> Option<Place>;
}
