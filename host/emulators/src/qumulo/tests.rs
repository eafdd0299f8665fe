//! The Qumulo emulator as a client sees it: HTTP/1.1 by hand, so that cuts, lost answers and the
//! borders of writes are visible.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod data;
mod faults;
mod files;
mod large;
mod listing;
mod notify;
mod session;
mod snapshots;

use std::path::Path;

use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{Options, QumuloHandle};
use client::Client;

/// An emulator over a folder of its own, and a client who has logged in.
struct Setup {
    emulator: QumuloHandle,
    client: Client,
    folder: TempDir,
}

async fn setup() -> Setup {
    setup_with(|_| {}).await
}

async fn setup_with(change: impl FnOnce(&mut Options)) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let emulator = start(folder.path(), change).await;
    let client = Client::logged_in(&emulator).await;
    Setup { emulator, client, folder }
}

async fn start(folder: &Path, change: impl FnOnce(&mut Options)) -> QumuloHandle {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = Options { tls: false, ..Options::new(folder) };
    change(&mut options);
    super::start(listener, options).await.unwrap()
}

impl Setup {
    /// Ends the emulator and starts another one over the same folder.
    async fn restart(self) -> Setup {
        self.emulator.stop().await;
        let emulator = start(self.folder.path(), |_| {}).await;
        let client = Client::logged_in(&emulator).await;
        Setup { emulator, client, folder: self.folder }
    }
}
