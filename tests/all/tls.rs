//! TLS in front of an emulator: certificates made here and now, and a proxy that unwraps.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tests::feeds::runtime;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority, and a server whose certificate for `localhost` and 127.0.0.1 it has signed.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    /// The authority's certificate as a PEM file.
    pub(crate) pem: PathBuf,
}

impl Authority {
    /// Makes both; the authority's certificate goes to `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let pem = dir.join("ca.pem");
        std::fs::write(&pem, issuer.pem()).unwrap();
        Authority { certificate: certificate.der().clone(), key: key.serialize_der(), pem }
    }

    /// Listens with TLS on a free port and passes everything on to `target`; lasts as long as the
    /// process.
    pub(crate) fn proxy(&self, target: SocketAddr) -> SocketAddr {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = {
            let _context = runtime().enter();
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![self.certificate.clone()], key).unwrap()
        };
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that refuses the certificate ends its connection, and nothing else.
                    let Ok(mut secured) = acceptor.accept(stream).await else { return };
                    let Ok(mut plain) = TcpStream::connect(target).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut secured, &mut plain).await;
                });
            }
        });
        address
    }
}
