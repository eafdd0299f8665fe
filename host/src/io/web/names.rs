//! Names to addresses, those left out that may not be reached: what was checked is what is dialled, whatever the name's
//! owner answers the next time. The client library does not ask about addresses, so those are checked with the rules.

use crate::ports::http::{Network, Refused, refused};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

pub(super) type LookUp = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// Who knows the addresses of names.
pub(super) trait Names: Send + Sync {
    fn look_up(&self, name: String) -> LookUp;
}

/// The system.
pub(super) struct SystemNames;

impl Names for SystemNames {
    fn look_up(&self, name: String) -> LookUp {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) })
    }
}

/// Resolves names within some networks.
pub(super) struct Resolver {
    pub(super) names: Arc<dyn Names>,
    pub(super) networks: Arc<[Network]>,
}

/// None of a name's addresses may be reached.
#[derive(Debug)]
pub(super) struct Forbidden(pub(super) Refused);

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address is {}", self.0.class)
    }
}

impl std::error::Error for Forbidden {}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (look_up, networks) = (self.names.look_up(name.as_str().to_owned()), Arc::clone(&self.networks));
        Box::pin(async move {
            let found = look_up.await?;
            let is_reached = |address: &IpAddr| refused(*address, &networks).is_none();
            // The port is the URL's where this says none.
            let reached: Vec<SocketAddr> =
                found.iter().copied().filter(is_reached).map(|address| (address, 0).into()).collect();
            match found.iter().find_map(|address| refused(*address, &networks)) {
                Some(refused) if reached.is_empty() => Err(Forbidden(refused).into()),
                _ => Ok(Box::new(reached.into_iter()) as Addrs),
            }
        })
    }
}
