//! Gets one URI as Druid's HTTP input source does, section 6: always with a range, again at the byte
//! reached when something breaks, and no more than so many times.

use std::time::Duration;

use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use axum::http::{HeaderMap, Uri};
use tokio::time::sleep;

use super::api::Server;
use super::client::{self, Broken};
use super::faults::TaskPlan;
use super::unpack::Unpacker;

/// The longest wait between two tries.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Why a try ended.
enum Trouble {
    /// Worth another try.
    Io(String),
    /// The rows are bad, or cannot be reached.
    Fatal(String),
}

/// What is the same for all files of a task.
pub(super) struct Fetcher<'a> {
    pub(super) server: &'a Server,
    pub(super) task: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) plan: &'a TaskPlan,
}

impl Fetcher<'_> {
    /// Reads a file whole.
    ///
    /// # Errors
    /// Why the task fails.
    pub(super) async fn fetch(&self, uri: &Uri, mut to: Unpacker<'_, '_>) -> Result<(), String> {
        let options = &self.server.options;
        let mut offset = 0;
        let mut num_tries = 0;
        let mut wait = options.retry_base.min(MAX_WAIT);
        loop {
            num_tries += 1;
            match self.read_from(uri, &mut offset, &mut to).await {
                Ok(()) => return to.finish(),
                Err(Trouble::Io(_)) if num_tries < options.max_tries.max(1) => {
                    tracing::debug!(task = self.task, offset, num_tries, "a fetch broke off and is tried again");
                }
                Err(Trouble::Io(error) | Trouble::Fatal(error)) => return Err(error),
            }
            sleep(wait).await;
            wait = wait.saturating_mul(2).min(MAX_WAIT);
        }
    }

    async fn read_from(&self, uri: &Uri, offset: &mut u64, to: &mut Unpacker<'_, '_>) -> Result<(), Trouble> {
        let options = &self.server.options;
        let log = &self.server.log;
        let seen = log.fetches(self.task, uri, *offset);
        let asked = client::get(uri, self.headers, *offset, options.fetch_timeout).await;
        let mut answer = asked.map_err(Trouble::Io)?;
        let status = answer.response.status();
        log.fetched(seen, status.as_u16());
        // To Java all below 400 is an answer, and its body the rows: so is that of a redirect out of http.
        if status.as_u16() >= 400 {
            // In Java's words; 404 and 410 have an exception of their own.
            return Err(Trouble::Io(match status.as_u16() {
                404 | 410 => format!("java.io.FileNotFoundException: {uri}"),
                status => format!("Server returned HTTP response code: {status} for URL: {uri}"),
            }));
        }
        let headers = answer.response.headers();
        let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let is_range = range.is_some_and(|range| range.starts_with("bytes "));
        let has_length = headers.contains_key(CONTENT_LENGTH);
        let wanted = if is_range { 0 } else { *offset };
        let mut skip = wanted;
        loop {
            let mut bytes = match answer.piece(options.fetch_timeout).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                // What a closed connection is to Java when the body had a length: its end.
                Err(Broken::Short(_)) if has_length && options.trust_short_bodies => break,
                Err(Broken::Short(error) | Broken::Other(error)) => return Err(Trouble::Io(error)),
            };
            log.got(seen, bytes.len() as u64);
            self.pace(bytes.len()).await;
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip -= skipped as u64;
            let bytes = bytes.split_off(skipped);
            // What was given on is not given on again, whatever comes of it.
            *offset += bytes.len() as u64;
            to.feed(&bytes).map_err(Trouble::Fatal)?;
            self.stall().await;
        }
        if skip > 0 {
            let done = wanted - skip;
            let text = format!("Requested to skip [{wanted}] bytes, but actual number of bytes skipped is [{done}]");
            return Err(Trouble::Fatal(text));
        }
        Ok(())
    }

    /// Makes the reading as slow as a fault asks.
    async fn pace(&self, num: usize) {
        if let Some(rate) = self.plan.bytes_per_second {
            sleep(Duration::from_secs_f64(num as f64 / rate.max(1) as f64)).await;
        }
    }

    /// Stops reading where a fault asks for it, until it is released.
    async fn stall(&self) {
        if self.plan.stalls {
            self.server.faults.released(self.plan).await;
        }
    }
}
