//! The one feed of an emulator: edits from a source, at a pace, to whoever listens.
//!
//! As with the real feeds there is one broadcast, not one a client. Edits start to flow when the
//! first client listens, so a client that starts together with the emulator loses none; from then
//! on they flow whether someone listens or not. Only without a rate they stop while nobody listens:
//! nobody decides the pace then.

use std::future::Future;

use crate::pace::Pace;

/// Where a feed goes: the queues of the IRC clients, or the history of a stream.
pub(crate) trait Outlet<T>: Send + Sync {
    /// Completes when a client listens.
    fn opened(&self) -> impl Future<Output = ()> + Send;

    /// Completes when a client listens and every one has room for a batch.
    fn room(&self) -> impl Future<Output = ()> + Send;

    /// Takes a batch and leaves it empty. Never waits.
    fn push(&self, batch: &mut Vec<T>);
}

/// Produces until the source ends, which is forever for invented edits without a limit.
/// Cancellation-safe between batches.
pub(crate) async fn drive<T: Send>(mut source: Source<T>, mut pace: Pace, outlet: &impl Outlet<T>) {
    outlet.opened().await;
    pace.restart();
    let mut batch = Vec::new();
    loop {
        let num = pace.due().await;
        if pace.is_free() {
            outlet.room().await;
        }
        batch.extend(source.by_ref().take(num));
        if batch.is_empty() {
            return;
        }
        outlet.push(&mut batch);
        // Rendering does not wait for anything; let the clients run.
        tokio::task::yield_now().await;
    }
}

/// What a feed sends, in order. It may compute, but not wait.
pub(crate) type Source<T> = Box<dyn Iterator<Item = T> + Send>;
