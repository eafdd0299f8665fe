//! Who the cluster must prove to be. A pinned certificate is compared as a whole and its names are
//! not looked at; the proof that the other side has its key is checked in every mode.

use crate::error::{Error, OrError, Result};
use crate::ports::qumulo::{Tls, colons};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, OtherError, RootCertStore,
    SignatureScheme,
};

/// The TLS settings of a client.
///
/// # Errors
/// Class Config: a file of authorities that cannot be read or holds none.
pub(super) fn client_config(tls: &Tls) -> Result<ClientConfig> {
    // Named here and not taken from the process, so that the room works in any program.
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .or_bug("choosing the versions of TLS")?;
    let verifier = |expected| Arc::new(OneCertificate { expected, provider: Arc::clone(&provider) });
    let config = match tls {
        Tls::System => builder.with_root_certificates(system_roots()),
        Tls::Ca(path) => {
            let attempt = format!("certificate file `{}`", path.display());
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).or_config(&attempt)? {
                roots.add(certificate.or_config(&attempt)?).or_config(&attempt)?;
            }
            if roots.is_empty() {
                return Err(Error::config(format!("{attempt}: holds no certificate, expected PEM")));
            }
            builder.with_root_certificates(roots)
        }
        Tls::Pinned(fingerprint) => builder.dangerous().with_custom_certificate_verifier(verifier(Some(*fingerprint))),
        Tls::AcceptAny => builder.dangerous().with_custom_certificate_verifier(verifier(None)),
        Tls::None => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(config.with_no_client_auth())
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // Odd certificates in the system's store are the system's business.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Accepts the certificate with one fingerprint, or any when there is none.
#[derive(Debug)]
struct OneCertificate {
    expected: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OneCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(expected) = self.expected else { return Ok(ServerCertVerified::assertion()) };
        let found = Sha256::digest(certificate);
        if found.as_slice() == expected {
            return Ok(ServerCertVerified::assertion());
        }
        let (found, expected) = (colons(&found), colons(&expected));
        let wrong = format!("certificate has the SHA-256 fingerprint `{found}`, expected `{expected}`");
        Err(TlsError::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Error::config(wrong))))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
