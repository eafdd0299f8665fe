//! The client library, set up to do nothing on its own: no redirects, no proxy, no cookies, no decompression.

use super::hop::{MAX_HEADER_BYTES, MAX_HEADERS};
use super::names::{Names, Resolver};
use crate::error::{Error, OrError, Result};
use crate::ports::http::HttpGrant;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A server on the other side of the world answers a dial within one second.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that are kept a guest pays with the host's memory.
const IDLE_CONNECTIONS: usize = 16;
const IDLE_CONNECTION: Duration = Duration::from_secs(60);

/// A client for what is granted.
///
/// # Errors
/// Class Config: certificates that cannot be used.
pub(super) fn build(grant: &HttpGrant, names: Arc<dyn Names>) -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls(grant.ca_file.as_deref())?)
        .connect_timeout(DIAL_TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Resolver { names, networks: grant.networks.clone().into() })
        // Another crate of the program may have switched these on.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .http1_max_headers(MAX_HEADERS)
        .http2_max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_CONNECTION)
        .user_agent(concat!("connector-host/", env!("CARGO_PKG_VERSION")))
        .build()
        .or_config("the client for requests of plugins")
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let attempt = format!("option `http.tls.ca.file`: `{}`", path.display());
            for certificate in CertificateDer::pem_file_iter(path).or_config(&attempt)? {
                roots.add(certificate.or_config(&attempt)?).or_config(&attempt)?;
            }
            if roots.is_empty() {
                return Err(Error::config(format!("{attempt}: holds no certificate, expected PEM")));
            }
        }
        // Odd certificates in the system's store are the system's business.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    // Named here and not taken from the process, so that the room works in any program.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().or_bug("choosing the versions of TLS")?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
