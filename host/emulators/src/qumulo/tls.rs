//! The certificate of an emulator: made at the start, signed by itself, for this machine's names,
//! and gone with the emulator. No key is ever on disk.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::Error;

/// What the certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Makes a certificate. Returns what accepts TLS 1.2 and 1.3 with it, and its text as PEM.
///
/// # Errors
/// [`Error::Certificate`].
pub(super) fn make() -> Result<(TlsAcceptor, String), Error> {
    let failed = |reason: String| Error::Certificate { reason };
    let names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| failed(error.to_string()))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
        .map_err(|error| failed(error.to_string()))?;
    Ok((TlsAcceptor::from(Arc::new(config)), made.cert.pem()))
}
