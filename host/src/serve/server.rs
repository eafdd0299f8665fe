//! Connections: a bounded number, each with time-outs, plain or by TLS.

use crate::error::{Error, OrError, Result};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, Socket};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

/// After a failed accept, mostly for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Bounds of a server.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// Time for TLS, and for the head of a request, idle time before it included.
    pub head: Duration,
    /// Time in which a client must take something of an answer.
    pub stall: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        // An indexer reads as fast as it indexes, and stops for a while when it writes to disk.
        ServerLimits { connections: 1024, head: Duration::from_secs(30), stall: Duration::from_secs(300) }
    }
}

/// Files of a certificate chain and its key, PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Where and how a server listens.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Takes a free port where this one is taken.
    pub any_port: bool,
    /// None: without TLS.
    pub tls: Option<TlsFiles>,
    /// Bounds.
    pub limits: ServerLimits,
}

impl ServerSettings {
    /// Without TLS, with the usual bounds.
    pub fn plain(listen: SocketAddr) -> Self {
        ServerSettings { listen, any_port: false, tls: None, limits: ServerLimits::default() }
    }
}

/// A running server; dropping it ends it with all its connections.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    is_tls: bool,
    stop: CancellationToken,
}

impl Server {
    /// Listens and answers with `router`.
    ///
    /// # Errors
    /// Class Config: an address that cannot be had, a certificate that cannot be used.
    pub fn start(runtime: &Handle, settings: &ServerSettings, router: Router) -> Result<Self> {
        let listen = settings.listen;
        let tls = settings.tls.as_ref().map(acceptor).transpose()?;
        let bound = match runtime.block_on(TcpListener::bind(listen)) {
            Err(error) if settings.any_port && error.kind() == std::io::ErrorKind::AddrInUse => {
                runtime.block_on(TcpListener::bind((listen.ip(), 0)))
            }
            bound => bound,
        };
        let listener = bound.or_config(format!("listening on `{listen}`"))?;
        let addr = listener.local_addr().or_config(format!("listening on `{listen}`"))?;
        let stop = CancellationToken::new();
        let is_tls = tls.is_some();
        let connections = Connections { router, tls, limits: settings.limits, stop: stop.clone() };
        runtime.spawn(connections.accept(listener));
        Ok(Server { addr, is_tls, stop })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its own address as a URL.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Connections {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: ServerLimits,
    stop: CancellationToken,
}

impl Connections {
    async fn accept(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(self.limits.connections));
        let shared = Arc::new(self);
        loop {
            let accepted = async {
                // Who is not accepted waits in the system's queue.
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = shared.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let _permit = permit;
                        tokio::select! {
                            () = shared.serve(stream, peer) => {}
                            () = shared.stop.cancelled() => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        // Small answers go at once.
        let _ = stream.set_nodelay(true);
        let Ok(socket) = SockRef::from(&stream).try_clone() else { return };
        match &self.tls {
            None => self.talk(stream, &socket, peer).await,
            Some(acceptor) => match tokio::time::timeout(self.limits.head, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => self.talk(stream, &socket, peer).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS connection was made"),
                Err(_) => tracing::debug!(%peer, "no TLS connection was made in time"),
            },
        }
    }

    async fn talk(&self, stream: impl AsyncRead + AsyncWrite, socket: &Socket, peer: SocketAddr) {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.stall));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .serve_connection(Box::pin(TokioIo::new(stream)), TowerToHyperService::new(self.router.clone()));
        let mut served = std::pin::pin!(served);
        if let Err(error) = served.as_mut().await {
            tracing::debug!(%peer, %error, "connection ended");
            // A reset and no end: Java takes a body that ends before its `Content-Length` for whole.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let attempt = format!("certificate file `{}`", files.certificate.display());
    let chain: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&files.certificate).or_config(&attempt)?.collect();
    let chain = chain.or_config(&attempt)?;
    if chain.is_empty() {
        return Err(Error::config(format!("{attempt}: holds no certificate, expected PEM")));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).or_config(format!("key file `{}`", files.key.display()))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).or_config(&attempt)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
