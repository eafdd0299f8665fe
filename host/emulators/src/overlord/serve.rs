//! Connections: accepted, served with HTTP/1.1 until the client has had enough.
//!
//! Invariants: there are at most [`MAX_CONNECTIONS`]; a connection stays open between requests for as
//! long as the client likes; resets are no news.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::api::{Cut, Server, answer};
use crate::MAX_CONNECTIONS;

/// The wait after a failed accept, which is a shortage of file descriptors more often than not.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How long requests have to end when the emulator ends.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// Serves until the emulator is to end, and then until the connections are gone.
pub(super) async fn accept(listener: TcpListener, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = server.stopped() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(_) if connections.len() >= MAX_CONNECTIONS => {}
            Ok((stream, _)) => {
                connections.spawn(connection(stream, server.clone()));
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

async fn connection(stream: TcpStream, server: Arc<Server>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set nodelay");
    }
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
