//! Requests of guests over the network, within what is granted to their connector.
//!
//! Every hop of a redirect is a request of its own: rule, address and credential are looked at anew. The address that
//! was checked is the one that is dialled ([`names`]), so that whoever owns a name cannot change it in between; a
//! connection that is kept and used again was checked when it was made. No proxy is used: it would resolve names itself.

mod client;
mod credentials;
mod exchange;
mod failure;
mod hop;
mod names;
#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::ports::http::{Http, HttpFailure, HttpGrant, HttpRequest, HttpResponse};
use credentials::Credentials;
use exchange::Exchange;
use names::{Names, SystemNames};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use tokio::runtime::Handle;

/// Beyond a request's own time, for the runtime to tell that it is over.
const GRACE: Duration = Duration::from_secs(2);

/// Makes a connector's requests, over connections that it keeps.
pub struct Web {
    exchange: Arc<Exchange>,
    runtime: Handle,
}

impl Web {
    /// For what is granted; asks nobody yet. The requests run on `runtime`, on whose own threads
    /// [`Http::send`] must not be called.
    ///
    /// # Errors
    /// Class Config: a certificate file that cannot be used, or a secret that cannot be a header.
    pub fn new(grant: HttpGrant, runtime: Handle) -> Result<Self> {
        Self::with_names(grant, runtime, Arc::new(SystemNames))
    }

    fn with_names(grant: HttpGrant, runtime: Handle, names: Arc<dyn Names>) -> Result<Self> {
        let client = client::build(&grant, names)?;
        let credentials = Credentials::new(&grant.credentials)?;
        Ok(Web { exchange: Arc::new(Exchange { client, grant, credentials }), runtime })
    }
}

impl Http for Web {
    fn send(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpFailure> {
        let timeout = request.timeout.min(self.exchange.grant.max_timeout);
        let over = || HttpFailure::Timeout(format!("no answer within {} ms", timeout.as_millis()));
        let (tell, told) = sync_channel(1);
        let exchange = Arc::clone(&self.exchange);
        // The guest's thread may drive a small runtime already, within which no other can be driven: it only waits.
        let task = self.runtime.spawn(async move {
            let answer = tokio::time::timeout(timeout, exchange.follow(request)).await;
            // Nobody waits any more only when the time is long over.
            let _ = tell.send(answer);
        });
        match told.recv_timeout(timeout.saturating_add(GRACE)) {
            Ok(answer) => answer.unwrap_or_else(|_| Err(over())),
            Err(RecvTimeoutError::Timeout) => {
                task.abort();
                Err(over())
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(HttpFailure::Other("the request was dropped: the host is ending, or failed".to_owned()))
            }
        }
    }
}
