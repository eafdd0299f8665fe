//! What the host lends, faked for native unit tests. Each thread has its own.

use crate::Error;
use crate::files::{Entry, Kind};
use crate::geoip::Place;
use crate::http::{Request, Response};
use crate::log::Level;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Answers requests.
pub type Server = dyn FnMut(&Request) -> Result<Response, Error>;

thread_local! {
    static PLACES: RefCell<Option<BTreeMap<String, Place>>> = const { RefCell::new(None) };
    static STATE: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    static FILES: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    static SERVER: RefCell<Option<Box<Server>>> = const { RefCell::new(None) };
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Configures a GeoIP database with these places; `None` takes it away.
pub fn set_geoip(places: Option<BTreeMap<String, Place>>) {
    PLACES.set(places);
}

/// Keeps this state, in the place of what was kept.
pub fn set_state(values: BTreeMap<String, Vec<u8>>) {
    STATE.set(values);
}

/// Lends these files by their paths, in the place of those before.
pub fn set_files(files: BTreeMap<String, Vec<u8>>) {
    FILES.set(files);
}

/// The files now.
pub fn files() -> BTreeMap<String, Vec<u8>> {
    FILES.with_borrow(Clone::clone)
}

/// Has requests answered by `server`; without one each is refused.
pub fn set_server(server: impl FnMut(&Request) -> Result<Response, Error> + 'static) {
    SERVER.set(Some(Box::new(server)));
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

#[allow(dead_code)]
pub(crate) fn state_get(key: &str) -> Option<Vec<u8>> {
    STATE.with_borrow(|state| state.get(key).cloned())
}

#[allow(dead_code)]
pub(crate) fn state_keys() -> Vec<String> {
    STATE.with_borrow(|state| state.keys().cloned().collect())
}

#[allow(dead_code)]
pub(crate) fn state_set(key: &str, value: &[u8]) {
    STATE.with_borrow_mut(|state| state.insert(key.to_owned(), value.to_owned()));
}

#[allow(dead_code)]
pub(crate) fn state_remove(key: &str) -> bool {
    STATE.with_borrow_mut(|state| state.remove(key).is_some())
}

#[allow(dead_code)]
pub(crate) fn http_send(request: &Request) -> Result<Response, Error> {
    SERVER.with_borrow_mut(|server| match server {
        Some(server) => server(request),
        None => Err(Error::Deny("no server is faked: see `fake::set_server`".to_owned())),
    })
}

#[allow(dead_code)]
pub(crate) fn files_list(path: &str, after: Option<&str>, max: u32) -> Vec<Entry> {
    let prefix = if path.is_empty() { String::new() } else { format!("{}/", path.trim_matches('/')) };
    FILES.with_borrow(|files| {
        let mut names: BTreeMap<&str, (Kind, u64)> = BTreeMap::new();
        for (path, data) in files {
            let Some(rest) = path.strip_prefix(&prefix) else { continue };
            match rest.split_once('/') {
                Some((directory, _)) => names.insert(directory, (Kind::Directory, 0)),
                None => names.insert(rest, (Kind::File, data.len() as u64)),
            };
        }
        let wanted = names.into_iter().filter(|(name, _)| after.is_none_or(|after| *name > after));
        let entry = |(name, (kind, size)): (&str, _)| Entry { name: name.to_owned(), kind, size, modified_ms: 0 };
        wanted.take(max as usize).map(entry).collect()
    })
}

#[allow(dead_code)]
pub(crate) fn files_read(path: &str, offset: u64, max: u32) -> Option<Vec<u8>> {
    FILES.with_borrow(|files| {
        let data = files.get(path)?;
        let rest = data.get(usize::try_from(offset).ok()?..).unwrap_or_default();
        Some(rest.iter().take(max as usize).copied().collect())
    })
}

#[allow(dead_code)]
pub(crate) fn files_write(path: &str, data: &[u8]) {
    FILES.with_borrow_mut(|files| files.insert(path.to_owned(), data.to_owned()));
}

#[allow(dead_code)]
pub(crate) fn files_remove(path: &str) -> bool {
    FILES.with_borrow_mut(|files| files.remove(path).is_some())
}
