//! Connections: accepted, taken through TLS, served with HTTP/1.1 until the client has had enough.
//!
//! Invariants: there are at most [`MAX_CONNECTIONS`]; a slow handshake holds up nobody else; a
//! connection stays open between requests for as long as the client likes; resets are no news.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::api::{Server, answer};
use super::call::Cut;
use crate::MAX_CONNECTIONS;

/// How long a client may take for its handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The wait after a failed accept, which is a shortage of file descriptors more often than not.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How long requests have to end when the emulator ends.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// Serves until the emulator is to end, and then until the connections are gone.
pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = server.stopped() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // Closed at once: a node has no more either.
            Ok(_) if connections.len() >= MAX_CONNECTIONS => {}
            Ok((stream, _)) => {
                connections.spawn(connection(stream, tls.clone(), server.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
    drop(listener);
    // What is left then is ended by force, when the set is dropped.
    let _ = timeout(FINISH_WITHIN, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, server: Arc<Server>) {
    // Lines of an event stream should not wait for each other.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set nodelay");
    }
    let present = Present::new(server.clone());
    match tls {
        None => serve(stream, &server).await,
        Some(tls) => match timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => serve(stream, &server).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client did not finish its handshake"),
            Err(_) => tracing::debug!("a client did not finish its handshake in time"),
        },
    }
    drop(present);
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, server: &Arc<Server>) {
    let service = service_fn(|request: Request<Incoming>| {
        let server = server.clone();
        async move { answer(server, request).await as Result<Response<Body>, Cut> }
    });
    // No timer: a connection may be idle for as long as it likes.
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = server.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A connection that is there; dropping it says that it is gone, however it went.
struct Present(Arc<Server>);

impl Present {
    fn new(server: Arc<Server>) -> Self {
        server.log.connected();
        Self(server)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.log.disconnected();
    }
}
