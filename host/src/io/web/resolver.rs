//! Names to addresses, those left out that may not be reached: what was checked is what is dialled, whatever the name's
//! owner answers the next time.

use crate::ports::http::{Network, refused_range};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Resolves names by the system, within some networks.
pub(super) struct Resolver {
    pub(super) networks: Arc<[Network]>,
}

/// Every address of a name is in a range that is not granted.
#[derive(Debug, Clone)]
pub(super) struct Forbidden {
    pub(super) range: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address is {}", self.range)
    }
}

impl std::error::Error for Forbidden {}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = Arc::clone(&self.networks);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let refused = found.iter().find_map(|address| refused_range(address.ip(), &networks));
            let reachable: Vec<SocketAddr> =
                found.into_iter().filter(|address| refused_range(address.ip(), &networks).is_none()).collect();
            match (reachable.is_empty(), refused) {
                (true, Some(range)) => Err(Forbidden { range }.into()),
                _ => Ok(Box::new(reachable.into_iter()) as Addrs),
            }
        })
    }
}
