//! Writing a new file, and appending to one.
//!
//! A file that fits into one piece is one `PUT`. A larger one goes in pieces, `PATCH ?offset=`, each
//! for the state that the one before left (`If-Match`), one under way while the next is filled: two
//! pieces are in memory, however large the file.
//!
//! A piece whose answer was lost is found out by the file's size: nobody else writes to it. Should it
//! arrive after that look, its `If-Match` no longer holds, or ours no longer does and the next look
//! finds it done.

use super::client::{Payload, Request};
use super::cluster::{Cluster, Etag, attributes, of_ref};
use super::failure::Failure;
use super::wire::Attributes;
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FilePath, FileWriter};
use bytes::{Bytes, BytesMut};
use reqwest::Method;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A file that is being written.
pub(super) struct QumuloWriter {
    cluster: Arc<Cluster>,
    runtime: Handle,
    path: FilePath,
    id: String,
    /// What is not yet under way; never a whole piece.
    filling: BytesMut,
    /// Bytes that are under way or written.
    sent: u64,
    last: Last,
}

/// The piece before the next.
enum Last {
    /// It is written, and this is the file's state.
    Done(Attributes, Etag),
    Running(Running),
    /// It failed: the writer is over.
    Failed,
}

/// A piece under way; dropped, it ends.
struct Running(JoinHandle<Result<(Attributes, Etag)>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl QumuloWriter {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        runtime: Handle,
        path: FilePath,
        (created, etag): (Attributes, Etag),
    ) -> Self {
        let id = created.id.clone();
        let last = Last::Done(created, etag);
        QumuloWriter { cluster, runtime, path, id, filling: BytesMut::new(), sent: 0, last }
    }

    /// Waits until the piece under way is written.
    fn settle(&mut self) -> Result<(Attributes, Etag)> {
        match std::mem::replace(&mut self.last, Last::Failed) {
            Last::Done(attributes, etag) => Ok((attributes, etag)),
            Last::Failed => Err(Error::bug("the writer is over after an error")),
            Last::Running(mut running) => match self.runtime.block_on(&mut running.0) {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::retry("the host is ending")),
            },
        }
    }

    /// Starts a piece when the one before is written.
    fn start(&mut self, bytes: Bytes, whole: bool) -> Result<()> {
        let (_, etag) = self.settle()?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let piece = Piece { id: self.id.clone(), offset: self.sent, bytes, whole };
        self.sent += length;
        let cluster = Arc::clone(&self.cluster);
        self.last =
            Last::Running(Running(self.runtime.spawn(async move { write_piece(&cluster, &piece, etag).await })));
        Ok(())
    }

    fn take(&mut self, mut bytes: Bytes) -> Result<()> {
        let piece = self.cluster.settings.piece_bytes.max(1);
        while !bytes.is_empty() {
            if self.filling.is_empty() && bytes.len() >= piece {
                self.start(bytes.split_to(piece), false)?;
                continue;
            }
            if self.filling.capacity() == 0 && self.sent > 0 {
                // The file is large: the piece will be filled.
                self.filling.reserve(piece);
            }
            let room = piece - self.filling.len();
            self.filling.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.filling.len() == piece {
                let full = std::mem::take(&mut self.filling).freeze();
                self.start(full, false)?;
            }
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<FileInfo> {
        if !self.filling.is_empty() {
            let rest = std::mem::take(&mut self.filling).freeze();
            let whole = self.sent == 0;
            self.start(rest, whole)?;
        }
        let (attributes, _) = self.settle()?;
        if attributes.size.0 != self.sent {
            return Err(Error::retry(format!(
                "the file has {} bytes, expected the {} that were written",
                attributes.size.0, self.sent
            )));
        }
        attributes.at(&self.path)
    }

    fn explain(&self, error: Error) -> Error {
        self.cluster.explain(error, format!("writing `{}`", self.path))
    }
}

impl FileWriter for QumuloWriter {
    fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.take(bytes).map_err(|error| {
            self.last = Last::Failed;
            self.explain(error)
        })
    }

    fn finish(mut self: Box<Self>) -> Result<FileInfo> {
        self.complete().map_err(|error| self.explain(error))
    }
}

/// A part of a file that nobody else writes.
struct Piece {
    id: String,
    offset: u64,
    bytes: Bytes,
    /// It is the whole file.
    whole: bool,
}

async fn write_piece(cluster: &Cluster, piece: &Piece, mut etag: Etag) -> Result<(Attributes, Etag)> {
    let end = piece.offset + u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX);
    let mut request = if piece.whole {
        Request::new(Method::PUT, of_ref(&piece.id, "/data"))
    } else {
        Request::new(Method::PATCH, of_ref(&piece.id, &format!("/data?offset={}", piece.offset)))
    };
    request.payload = Payload::Data(piece.bytes.clone());
    let mut tries = cluster.client.tries();
    let mut unclear = false;
    loop {
        request.if_match = etag.take();
        let failure = match cluster.client.call(&request).await {
            Ok(answer) => {
                let (attributes, etag) = attributes(&answer)?;
                return match attributes.size.0 == end {
                    true => Ok((attributes, etag)),
                    false => Err(changed(attributes.size.0, end)),
                };
            }
            Err(failure) => failure,
        };
        unclear |= failure.may_have_been_done();
        let overtaken = unclear && failure.status() == 412;
        if !failure.is_transient() && !overtaken {
            return Err(match failure.status() {
                404 => Error::retry("the file is gone"),
                412 => Error::retry("somebody else changed the file"),
                _ => failure.into_error(),
            });
        }
        cluster.client.pause(&mut tries, &request, failure).await.map_err(Failure::into_error)?;
        if !unclear {
            etag = request.if_match.take();
            continue;
        }
        let Some((attributes, now)) = cluster.look_at(&piece.id).await? else {
            return Err(Error::retry("the file is gone"));
        };
        match attributes.size.0 {
            size if size == end => return Ok((attributes, now)),
            // A part of the piece may have been written; it is written again as a whole.
            size if size < piece.offset || size > end => return Err(changed(size, end)),
            _ => etag = now,
        }
    }
}

fn changed(found: u64, expected: u64) -> Error {
    Error::retry(format!("the file has {found} bytes, expected {expected}: somebody else changed it"))
}
