//! Frames of the connector's feed.

use super::super::bindings::source::connector::host::feed;
use super::super::state::State;
use std::time::Duration;

/// A read is cut to this, so that stopping a task never waits longer for its guest.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// What one read may carry, whatever the guest asks for.
const MAX_READ_BYTES: usize = 16 << 20;

impl feed::Host for State {
    fn protocol(&mut self) -> wasmtime::Result<String> {
        self.host_call()?;
        Ok(self.lent.feed.as_ref().map_or("none", |feed| feed.protocol()).to_owned())
    }

    fn start(&mut self, resume: Option<String>) -> wasmtime::Result<Result<(), feed::FeedError>> {
        self.host_call()?;
        let Some(feed) = &self.lent.feed else { return Ok(Err(not_lent())) };
        // One feed a connector; a second start is no second feed.
        self.meter.open_feeds.set(1);
        Ok(feed.start(resume.as_deref()).map_err(|error| feed::FeedError::Invalid(error.to_string())))
    }

    fn read(
        &mut self,
        max_frames: u32,
        max_bytes: u32,
        wait_ms: u32,
    ) -> wasmtime::Result<Result<feed::Frames, feed::FeedError>> {
        self.host_call()?;
        let Some(feed) = &self.lent.feed else { return Ok(Err(not_lent())) };
        let wait = Duration::from_millis(wait_ms.into()).min(MAX_WAIT).min(self.time_left());
        let max_bytes = (max_bytes as usize).min(MAX_READ_BYTES);
        let frames = match feed.read(max_frames as usize, max_bytes, wait) {
            Ok(Some(frames)) => frames,
            Ok(None) => return Ok(Err(feed::FeedError::Closed("the feed is closed".to_owned()))),
            Err(error) => return Ok(Err(feed::FeedError::Invalid(error.to_string()))),
        };
        Ok(Ok(feed::Frames {
            data: frames.data,
            lens: frames.lens,
            received_ms: frames.received_ms,
            origin_names: frames.origin_names,
            origins: frames.origins,
            resume: frames.resume,
        }))
    }
}

fn not_lent() -> feed::FeedError {
    feed::FeedError::Invalid("no feed is lent to this connector".to_owned())
}
