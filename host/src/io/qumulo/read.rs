//! Reading a file: one streaming request, taken up where it broke.
//!
//! A read to the end expects the size that is known of the file; a read of a length gives no more
//! than that size has. Fewer bytes, more bytes or another state after a break mean that the file
//! changed: what was read is worth nothing then, and is an error. The official client notices none
//! of these.

use super::backoff::Tries;
use super::client::{Request, etag};
use super::cluster::{Cluster, Etag, of_ref};
use super::failure::Failure;
use crate::error::{Error, Result, innermost};
use crate::ports::files::{FileInfo, FileReader};
use bytes::Bytes;
use reqwest::Response;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Breaks of one read, even if each comes after some bytes.
const MAX_BREAKS: u32 = 64;

/// A file that is being read.
pub(super) struct QumuloReader {
    cluster: Arc<Cluster>,
    runtime: Handle,
    file: FileInfo,
    /// The next byte to come, and the one after the last.
    offset: u64,
    end: u64,
    to_end: bool,
    /// The file's state when the read began.
    etag: Etag,
    open: Option<Response>,
    tries: Tries,
    breaks: u32,
}

impl QumuloReader {
    pub(super) fn open(
        cluster: Arc<Cluster>,
        runtime: Handle,
        file: &FileInfo,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Self> {
        let end = length.map_or(file.bytes, |length| offset.saturating_add(length).min(file.bytes));
        let (tries, file, to_end) = (cluster.client.tries(), file.clone(), length.is_none());
        let end = end.max(offset);
        let mut reader =
            QumuloReader { cluster, runtime, file, offset, end, to_end, etag: None, open: None, tries, breaks: 0 };
        // At once, so that a file that is gone is known before the first byte is asked for.
        if reader.to_end || reader.left() > 0 {
            let runtime = reader.runtime.clone();
            runtime.block_on(reader.request()).map_err(|error| reader.explain(error))?;
        }
        Ok(reader)
    }

    fn left(&self) -> u64 {
        self.end - self.offset
    }

    /// Opens the stream of what is still to come.
    async fn request(&mut self) -> Result<()> {
        let rest = match (self.offset, self.to_end) {
            (0, true) => "/data".to_owned(),
            (offset, true) => format!("/data?offset={offset}"),
            (offset, false) => format!("/data?offset={offset}&length={}", self.left()),
        };
        let request = Request::get(of_ref(&self.file.id, &rest));
        let response = loop {
            match self.cluster.client.open_in_time(&request).await {
                Ok(response) => break response,
                Err(failure) if failure.is_transient() => {
                    let paused = self.cluster.client.pause(&mut self.tries, &request, failure).await;
                    paused.map_err(Failure::into_error)?;
                }
                Err(failure) if failure.is_missing() => return Err(Error::retry("the file is gone")),
                Err(failure) => return Err(failure.into_error()),
            }
        };
        let found = etag(&response);
        if self.etag.is_some() && found.is_some() && self.etag != found {
            return Err(Error::retry(format!("the file changed after {} bytes were read", self.offset)));
        }
        self.etag = found.or(self.etag.take());
        if let Some(length) = response.content_length().filter(|length| *length != self.left()) {
            let left = self.left();
            return Err(Error::retry(format!(
                "the file changed: {length} bytes from {} on, expected {left}",
                self.offset
            )));
        }
        self.open = Some(response);
        Ok(())
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            let idle = self.cluster.settings.read_idle;
            if self.left() == 0 {
                // Reading to the very end gives the connection back, and notices what is too much.
                if let Some(mut response) = self.open.take()
                    && let Ok(Ok(Some(more))) = timeout(idle, response.chunk()).await
                    && !more.is_empty()
                {
                    return Err(Error::retry(format!("the file changed: expected {} bytes, more came", self.end)));
                }
                return Ok(None);
            }
            let Some(response) = self.open.as_mut() else {
                self.request().await?;
                continue;
            };
            let broke = match timeout(idle, response.chunk()).await {
                Ok(Ok(Some(chunk))) if chunk.is_empty() => continue,
                Ok(Ok(Some(chunk))) => {
                    let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                    if length > self.left() {
                        return Err(Error::retry(format!("the file changed: expected {} bytes, more came", self.end)));
                    }
                    self.offset += length;
                    self.tries.progress(self.cluster.settings.retry_for);
                    return Ok(Some(chunk));
                }
                Ok(Ok(None)) => "the answer ended".to_owned(),
                Ok(Err(error)) => innermost(&error, error.is_timeout()),
                Err(_) => format!("nothing came for {} ms", idle.as_millis()),
            };
            self.open = None;
            self.breaks += 1;
            let broke = format!("{broke} at byte {} of {}", self.offset, self.end);
            let wait = self.tries.next_wait(None).filter(|_| self.breaks <= MAX_BREAKS);
            let Some(wait) = wait else { return Err(Error::retry(broke)) };
            tracing::debug!(path = %self.file.path, error = broke, "reading goes on after a break");
            tokio::time::sleep(wait).await;
        }
    }

    fn explain(&self, error: Error) -> Error {
        self.cluster.explain(error, format!("reading `{}`", self.file.path))
    }
}

impl FileReader for QumuloReader {
    fn next(&mut self) -> Result<Option<Bytes>> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.next_chunk()).map_err(|error| self.explain(error))
    }
}
