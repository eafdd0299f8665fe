//! Bodies of batches: rows are opened on a thread of their own and handed over in pieces, as fast as the
//! client takes them and no faster. A failure in the middle breaks the connection: an answer never ends
//! as if it were whole.

use crate::error::{Error, Result};
use crate::ingest::{Batch, Catalog, Piece, RowFormat, Taker, write_rows};
use crate::spool::DataSet;
use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// Pieces on their way to a client, some 64 KiB each.
const PIECES: usize = 4;
/// Bodies that are given out at a time: each opens a file on a thread of its own.
const BODIES: usize = 64;
/// How long a request waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(60);
/// A client that takes nothing for so long gives its turn to those who wait; it can go on by a range.
const HOLDS_UP_FOR: Duration = Duration::from_secs(20);

/// Who may give out a body now.
pub(super) struct Turns {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// One of the bodies that are being given out.
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    turns: Arc<Turns>,
}

impl Turns {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Turns { free: Arc::new(Semaphore::new(BODIES)), waiting: AtomicUsize::new(0) })
    }

    /// The next turn.
    ///
    /// # Errors
    /// Class Retry: there was none in time.
    pub(super) async fn next(self: &Arc<Self>) -> Result<Turn> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(Turn { _permit: permit, turns: Arc::clone(self) });
        }
        let _waits = Waits::new(self);
        match timeout(TURN_WITHIN, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit, turns: Arc::clone(self) }),
            _ => Err(Error::retry("too many batches are being fetched")),
        }
    }
}

/// Counted as waiting until it is dropped, with the client that left too.
struct Waits<'a>(&'a Turns);

impl<'a> Waits<'a> {
    fn new(turns: &'a Turns) -> Self {
        turns.waiting.fetch_add(1, Relaxed);
        Waits(turns)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// What bodies are made from.
#[derive(Clone)]
pub(super) struct Rows {
    pub(super) set: DataSet,
    pub(super) format: RowFormat,
    pub(super) catalog: Arc<Catalog>,
}

impl Rows {
    /// Begins to give out a part of each batch, one after the other; holds `turn` until it is done. What is
    /// wrong before the first piece is an error here, later it breaks the body.
    pub(super) async fn body(&self, parts: Vec<(Arc<Batch>, Piece)>, turn: Turn) -> Result<Body> {
        let (sender, mut take) = mpsc::channel(PIECES);
        let is_whole = Arc::new(AtomicBool::new(false));
        let (rows, whole) = (self.clone(), Arc::clone(&is_whole));
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let mut give = Giver { sender, turn, runtime };
            for (batch, piece) in parts {
                if let Err(error) = rows.write(&batch, piece, &mut give) {
                    if !give.sender.is_closed() {
                        tracing::error!(batch = batch.name, %error, hint = error.hint(), "batch is not given out to its end");
                    }
                    // Where it does not fit any more, the end that is not whole says it too.
                    let _ = give.sender.try_send(Err(error));
                    return;
                }
            }
            whole.store(true, Release);
        });
        // The end counts only where the thread said so: it may have been given up, or have panicked.
        let next = async move |take: &mut mpsc::Receiver<Result<Bytes>>| match take.recv().await {
            None if !is_whole.load(Acquire) => Some(Err(Error::retry("a batch that was not given out to its end"))),
            piece => piece,
        };
        let Some(first) = next(&mut take).await.transpose()? else { return Ok(Body::empty()) };
        let rest = stream::unfold((take, next), async |(mut take, next)| {
            let piece = next(&mut take).await?;
            Some((piece, (take, next)))
        });
        Ok(Body::from_stream(stream::iter([Ok(first)]).chain(rest)))
    }

    fn write(&self, batch: &Batch, piece: Piece, give: &mut Giver) -> Result<()> {
        let Some(total) = self.read(batch, piece, give)? else { return Ok(()) };
        if piece.gzip {
            // The same for everyone, so the first value stands.
            let _ = batch.gzip_bytes.set(total);
        }
        if piece.skip == 0 && piece.limit >= total {
            self.catalog.add_served(batch.facts.records);
        }
        Ok(())
    }

    fn read(&self, batch: &Batch, piece: Piece, taker: &mut dyn Taker) -> Result<Option<u64>> {
        let gone = || Error::retry(format!("batch `{}` is gone from the data set", batch.name));
        let file = batch.file.as_ref().ok_or_else(gone)?;
        write_rows(&self.set, file, &batch.facts, &self.format, piece, taker)
    }

    /// Bytes of a batch compressed, counted where nobody has fetched all of it yet; gives `turn` back. Those who
    /// ask at the same time wait for one count.
    pub(super) async fn gzip_bytes(&self, batch: &Arc<Batch>, turn: Turn) -> Result<(u64, Turn)> {
        let mut turn = Some(turn);
        let count = async {
            let (rows, batch, held) = (self.clone(), Arc::clone(batch), turn.take());
            let counted = tokio::task::spawn_blocking(move || {
                let total = rows.read(&batch, Piece::whole(true), &mut Nobody);
                (total, held)
            });
            let (total, held) = counted.await.map_err(|error| Error::bug(format!("counting a batch: {error}")))?;
            turn = held;
            total?.ok_or_else(|| Error::bug("a batch that was read to its end has no length"))
        };
        let total = *batch.gzip_bytes.get_or_try_init(|| count).await?;
        let turn = turn.ok_or_else(|| Error::bug("a turn was lost"))?;
        Ok((total, turn))
    }
}

/// Takes bytes to count them.
struct Nobody;

impl Taker for Nobody {
    fn take(&mut self, _bytes: Bytes) -> Result<()> {
        Ok(())
    }

    fn is_gone(&self) -> bool {
        false
    }
}

/// The way of pieces from a thread to a client.
struct Giver {
    sender: mpsc::Sender<Result<Bytes>>,
    turn: Turn,
    runtime: Handle,
}

impl Taker for Giver {
    /// Waits until the client has room for one more piece.
    fn take(&mut self, bytes: Bytes) -> Result<()> {
        let left = || Error::retry("the client has left");
        loop {
            match self.runtime.block_on(timeout(HOLDS_UP_FOR, self.sender.reserve())) {
                Ok(room) => {
                    room.map_err(|_| left())?.send(Ok(bytes));
                    return Ok(());
                }
                Err(_) if self.turn.turns.waiting.load(Relaxed) > 0 => {
                    return Err(Error::retry(format!(
                        "the client took nothing for {} s and others wait",
                        HOLDS_UP_FOR.as_secs()
                    )));
                }
                // Nobody needs its turn; the connection's own limit ends it.
                Err(_) => {}
            }
        }
    }

    fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }
}
