//! Appending to a file that others append to as well: look at size and state, write behind the end
//! for that state, look again when it had changed.
//!
//! After a lost answer the bytes behind the old end tell: if they are ours, it took place. Should
//! only the beginning of them be there, the rest is written over it. Somebody who appended the very
//! same bytes at the very same place is taken for us: what is appended should say who did.

use super::backoff::Backoff;
use super::client::{Payload, Request};
use super::cluster::{Cluster, Etag, attributes};
use super::failure::Failure;
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath};
use bytes::Bytes;
use reqwest::Method;
use std::time::Duration;

/// Times that others may come first. Each time one of them has gone on.
const MAX_CONFLICTS: u32 = 64;
const CONFLICT_FIRST: Duration = Duration::from_millis(2);
const CONFLICT_LONGEST: Duration = Duration::from_millis(200);

/// The file as an append found it.
struct Found {
    info: FileInfo,
    etag: Etag,
}

/// What is behind the old end after a lost answer.
enum Behind {
    Ours,
    /// Nothing, or the beginning of ours: write there.
    Unfinished,
    Others,
}

impl Cluster {
    pub(super) async fn append(&self, path: &FilePath, bytes: Bytes) -> Result<FileInfo> {
        let mut found = self.found(path).await?;
        if bytes.is_empty() {
            return Ok(found.info);
        }
        let mut tries = self.client.tries();
        let mut conflicts = Backoff::new(CONFLICT_FIRST, CONFLICT_LONGEST);
        // The old end of a write whose answer was lost.
        let mut lost: Option<u64> = None;
        for _ in 0..MAX_CONFLICTS {
            let offset = lost.unwrap_or(found.info.bytes);
            // By path: by id it would go into a file that another has taken over.
            let mut request = Request::new(Method::PATCH, self.of_path(path, &format!("/data?offset={offset}")));
            request.payload = Payload::Data(bytes.clone());
            request.if_match = found.etag.take();
            let failure = match self.client.call(&request).await {
                Ok(answer) => return attributes(&answer)?.0.at(path),
                Err(failure) => failure,
            };
            if failure.status() == 412 {
                tokio::time::sleep(conflicts.next_wait()).await;
            } else if failure.is_transient() {
                if failure.may_have_been_done() {
                    lost = Some(offset);
                }
                self.client.pause(&mut tries, &request, failure).await.map_err(Failure::into_error)?;
            } else if failure.is_missing() {
                return Err(Error::retry("the file is gone"));
            } else {
                return Err(failure.into_error());
            }
            found = self.found(path).await?;
            if let Some(end) = lost {
                match self.behind(&found.info, end, &bytes).await? {
                    Behind::Ours => return Ok(found.info),
                    Behind::Unfinished => {}
                    Behind::Others => lost = None,
                }
            }
        }
        Err(Error::retry(format!("others appended {MAX_CONFLICTS} times in between")))
    }

    async fn found(&self, path: &FilePath) -> Result<Found> {
        let Some((attributes, etag)) = self.look(path).await? else {
            return Err(Error::retry("the file is gone"));
        };
        let info = attributes.at(path)?;
        match info.kind {
            FileKind::File => Ok(Found { info, etag }),
            _ => Err(Error::config("it is no file")),
        }
    }

    async fn behind(&self, info: &FileInfo, end: u64, bytes: &Bytes) -> Result<Behind> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(info.bytes.saturating_sub(end));
        if length == 0 {
            return Ok(Behind::Unfinished);
        }
        let target = self.of_path(&info.path, &format!("/data?offset={end}&length={length}"));
        let there = self.client.repeat(&Request::get(target)).await.map_err(Failure::into_error)?.body;
        // Only what is the file's end can be a write that broke off.
        let at_end = info.bytes == end + length;
        Ok(match bytes.strip_prefix(&*there) {
            Some([]) => Behind::Ours,
            Some(_) if at_end => Behind::Unfinished,
            _ => Behind::Others,
        })
    }
}
