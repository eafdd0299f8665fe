//! GeoIP lookups in a local MaxMind database file (`.mmdb`): City or Country, GeoLite2 or GeoIP2.

use crate::error::{Error, Result};
use crate::ports::geoip::{GeoIp, Place};
use maxminddb::{Reader, geoip2};
use std::net::IpAddr;
use std::path::Path;

/// A database, read into memory.
pub struct MaxMind(Reader<Vec<u8>>);

impl MaxMind {
    /// Reads a database.
    ///
    /// # Errors
    /// Class Config when the file is missing, is no database, or is of a kind without places.
    pub fn open(path: &Path) -> Result<Self> {
        let attempt = format!("GeoIP database `{}`", path.display());
        let reader = Reader::open_readfile(path).map_err(|error| Error::config(format!("{attempt}: {error}")))?;
        let kind = &reader.metadata().database_type;
        if !kind.contains("City") && !kind.contains("Country") && !kind.contains("Enterprise") {
            return Err(Error::config(format!("{attempt}: its type is `{kind}`, expected a City or Country database")));
        }
        Ok(MaxMind(reader))
    }
}

impl GeoIp for MaxMind {
    fn lookup(&self, address: &str) -> Option<Place> {
        let address: IpAddr = address.parse().ok()?;
        // A damaged record is no place; the database was checked as a whole when opened.
        let city: geoip2::City<'_> = self.0.lookup(address).ok()?.decode().ok()??;
        let text = |part: Option<&str>| part.map(str::to_owned);
        let region = city.subdivisions.first();
        Some(Place {
            country_iso_code: text(city.country.iso_code),
            country_name: text(city.country.names.english),
            region_iso_code: text(region.and_then(|region| region.iso_code)),
            region_name: text(region.and_then(|region| region.names.english)),
            city_name: text(city.city.names.english),
        })
    }
}
