//! Where the pipeline is shown: the worker's keys.

use super::keys::WORKER_KEYS;
use super::lookup::Lookup;
use crate::dotted::Keys;
use crate::error::{Error, Result};
use crate::ports::log::check_topic_name;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The address, and the topic whose edits are counted.
pub(super) fn check_listener(worker: &Keys) -> Result<(Option<SocketAddr>, Option<String>)> {
    let keys = Lookup { keys: worker, defaults: None, known: &[WORKER_KEYS] };
    let topic = keys.text("dashboard.edits.topic").map(str::to_owned);
    topic.iter().try_for_each(|topic| check_topic_name(topic))?;
    let Some(listener) = keys.text("listeners") else { return Ok((None, topic)) };
    let address = listener.strip_prefix("http://").map(|address| address.trim_end_matches('/'));
    let address = address.and_then(resolve).ok_or_else(|| {
        Error::config(format!("option `listeners` is `{listener}`, expected for instance `http://127.0.0.1:8083`"))
    })?;
    match address.ip().is_loopback() {
        true => Ok((Some(address), topic)),
        // Who sees the page sees topics and page titles, and it asks nobody for a password.
        false => {
            Err(Error::config(format!("option `listeners` is `{listener}`, expected an address of this machine alone"))
                .with_hint("to see it from elsewhere, forward the port: `ssh -L 8083:127.0.0.1:8083 MACHINE`"))
        }
    }
}

/// An address with a port; of names only `localhost` is one that needs nobody's answer.
pub(super) fn resolve(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (name, _) = text.rsplit_once(':')?;
    let is_local = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    is_local.then(|| text.to_socket_addrs().ok()?.next()).flatten()
}
