//! Requests of guests over the network, within what is granted to their connector. Every hop of a redirect is a request
//! of its own: rule, address and credential are looked at anew.

mod exchange;
mod resolver;

use crate::error::{OrError, Result};
use crate::ports::http::{Http, HttpFailure, HttpGrant, HttpRequest, HttpResponse};
use exchange::Exchange;
use resolver::Resolver;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tokio::runtime::Handle;

const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Beyond a request's own time, for the runtime to tell that it is over.
const GRACE: Duration = Duration::from_secs(2);

/// Makes a connector's requests. Clones share connections.
pub struct Web {
    exchange: Arc<Exchange>,
    runtime: Handle,
}

impl Web {
    /// For what is granted; asks nobody yet.
    ///
    /// # Errors
    /// Class Config: a certificate file that cannot be used.
    pub fn new(grant: HttpGrant, runtime: Handle) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(DIAL_TIMEOUT)
            // A proxy would resolve names itself, and see what the guest sends.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Resolver { networks: grant.networks.clone().into() })
            .user_agent(concat!("connector-host/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &grant.ca_file {
            let attempt = format!("option `http.tls.ca.file`: `{}`", path.display());
            let pem = std::fs::read(path).or_config(&attempt)?;
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).or_config(&attempt)?);
        }
        let client = builder.build().or_config("the client for requests of plugins")?;
        Ok(Web { exchange: Arc::new(Exchange { client, grant }), runtime })
    }
}

impl Http for Web {
    fn send(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpFailure> {
        let timeout = request.timeout.min(self.exchange.grant.max_timeout);
        let over = || HttpFailure::Timeout(format!("no answer within {} ms", timeout.as_millis()));
        let (tell, told) = sync_channel(1);
        let exchange = Arc::clone(&self.exchange);
        // The guest's thread drives a runtime of its own already, so it only waits for the other one.
        let task = self.runtime.spawn(async move {
            let answer = tokio::time::timeout(timeout, exchange.follow(request)).await;
            // Nobody waits any more only when the time is long over.
            let _ = tell.send(answer);
        });
        match told.recv_timeout(timeout + GRACE) {
            Ok(answer) => answer.unwrap_or_else(|_| Err(over())),
            Err(_) => {
                task.abort();
                Err(over())
            }
        }
    }
}
