//! Connections under HTTP that can be ended from outside (by the server's end, a cut, or the end of
//! a stream's time) and silenced.
//!
//! HTTP ends a connection only between two answers, and an answer here has no end. So the socket
//! itself fails: reading and writing return an error from then on, which is what a client of a
//! front end that cuts sees. Silenced, it neither reads nor writes, as if the process stood still.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::later;
use crate::handle::{Control, Shared};

/// How long streams have to hand over half an event before a cut ends the connection.
const TEAR_WITHIN: Duration = Duration::from_millis(50);
/// The wait after a failed accept, which is a shortage of file descriptors more often than not.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A listener whose connections can be refused and ended.
pub(super) struct Doors {
    listener: TcpListener,
    shared: Arc<Shared>,
    cut_after: Duration,
    /// Held by every connection, so that they can be counted.
    open: Arc<()>,
}

/// Says when one connection ends. Requests get it as connection info.
#[derive(Debug, Clone)]
pub(super) struct Line(Arc<watch::Sender<Instant>>);

/// One connection.
pub(super) struct Socket {
    stream: TcpStream,
    line: Line,
    control: watch::Receiver<Control>,
    /// Wakes the task at every change of `control`, and completes when the connection is to end.
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    has_ended: bool,
    _open: Arc<()>,
}

impl Doors {
    /// Connections end `cut_after` they were accepted, unless a request asks for another time.
    pub(super) fn new(listener: TcpListener, shared: Arc<Shared>, cut_after: Duration) -> Self {
        Self { listener, shared, cut_after, open: Arc::default() }
    }

    fn admit(&self, stream: TcpStream) -> Socket {
        let (sender, line) = watch::channel(later(Instant::now(), self.cut_after));
        Socket {
            stream,
            line: Line(Arc::new(sender)),
            control: self.shared.watch(),
            end: Box::pin(end(self.shared.watch(), line)),
            has_ended: false,
            _open: self.open.clone(),
        }
    }
}

impl Listener for Doors {
    type Io = Socket;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Socket, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, addr)) => {
                    if self.shared.refuses(Arc::strong_count(&self.open) - 1) {
                        continue;
                    }
                    // A slow stream's events should not wait for each other.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "failed to set nodelay");
                    }
                    return (self.admit(stream), addr);
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Doors>> for Line {
    fn connect_info(stream: IncomingStream<'_, Doors>) -> Self {
        stream.io().line.clone()
    }
}

impl Line {
    /// Ends the connection at `end`, whatever it does then.
    pub(super) fn end_at(&self, end: Instant) {
        self.0.send_replace(end);
    }
}

impl Socket {
    /// Fails once the connection has ended and is pending while it is silenced; the task is woken
    /// when that changes.
    fn check(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_ended {
            // Polled before the look at `control`, so that no change between the two is missed.
            self.has_ended = self.end.as_mut().poll(cx).is_ready();
        }
        if self.has_ended {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "the emulator ended the connection");
            return Poll::Ready(Err(error));
        }
        match self.control.borrow().is_silent {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }
}

/// Completes when the connection is to end.
async fn end(mut control: watch::Receiver<Control>, mut line: watch::Receiver<Instant>) {
    let cuts = control.borrow().cuts;
    loop {
        let now = *control.borrow_and_update();
        if now.is_stopping {
            return;
        }
        if now.cuts != cuts {
            return sleep(TEAR_WITHIN).await;
        }
        let end = *line.borrow_and_update();
        tokio::select! {
            changed = control.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            // Fails when the connection is gone, and then nobody polls this any more.
            Ok(()) = line.changed() => {}
            () = sleep_until(end) => return,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.check(cx))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.check(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
