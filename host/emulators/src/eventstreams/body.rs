//! One stream of one client: `:ok`, then events, and comments when there are none.
//!
//! Invariant: what is handed to HTTP are whole events, but for the half event before a cut. The
//! body is pulled, so a client that does not read holds nothing but its place in the history.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::history::Reader;
use super::request::Form;
use crate::handle::{Control, Shared};
use crate::stats::{Counters, Present};

/// Answers with the stream of `reader`.
pub(super) fn respond(reader: Reader, form: Form, keep_alive: Duration, shared: &Arc<Shared>) -> Response {
    let control = shared.watch();
    let cuts = control.borrow().cuts;
    let stream = Stream {
        state: State::Opening,
        reader,
        form,
        // Without a pause the comments would be all there is.
        keep_alive: keep_alive.max(Duration::from_millis(1)),
        cuts,
        control,
        shared: shared.clone(),
        _present: Counters::arrive(shared),
    };
    let body = unfold(stream, |mut stream| async move { stream.next().await.map(|part| (part, stream)) });
    let kind = match form {
        Form::Events => "text/event-stream; charset=utf-8",
        Form::Lines => "application/x-ndjson; charset=utf-8",
    };
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "private, no-cache, no-store, must-revalidate")];
    (headers, Body::from_stream(body)).into_response()
}

struct Stream {
    state: State,
    reader: Reader,
    form: Form,
    keep_alive: Duration,
    /// The cuts there had been when the stream began.
    cuts: u64,
    control: watch::Receiver<Control>,
    shared: Arc<Shared>,
    _present: Present,
}

enum State {
    Opening,
    Flowing,
    /// Half an event has been handed over.
    Torn,
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        match self.state {
            State::Opening => {
                self.state = State::Flowing;
                if self.form == Form::Events {
                    return Some(Ok(Bytes::from_static(b":ok\n\n")));
                }
            }
            State::Flowing => {}
            State::Torn => {
                // HTTP flushes when the body has nothing, so the half event is out before the end.
                tokio::task::yield_now().await;
                return Some(Err(io::Error::other("the emulator was told to cut")));
            }
        }
        loop {
            let control = *self.control.borrow_and_update();
            if control.is_stopping {
                return None;
            }
            if control.cuts != self.cuts {
                self.state = State::Torn;
                return Some(Ok(torn(self.form)));
            }
            if let Some((bytes, num)) = self.reader.next(self.form) {
                Counters::add(&self.shared.counters.frames_sent, num);
                return Some(Ok(bytes));
            }
            tokio::select! {
                _ = self.control.changed() => {}
                () = self.reader.grown() => {}
                () = tokio::time::sleep(self.keep_alive), if self.form == Form::Events => {
                    return Some(Ok(Bytes::from_static(b": \n\n")));
                }
            }
        }
    }
}

/// The first half of an event, cut within a character.
fn torn(form: Form) -> Bytes {
    let data: &[u8] = b"{\"$schema\":\"/mediawiki/recentchange/1.0.0\",\"meta\":{\"uri\":\"torn \xe9\x95";
    match form {
        Form::Events => [b"event: message\ndata: ", data].concat().into(),
        Form::Lines => data.into(),
    }
}
