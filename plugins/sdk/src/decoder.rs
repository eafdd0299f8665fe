//! Sources that only decode frames: a pure function, and the glue that reads the feed for it.

use crate::bindings::source::connector::host::feed::{self, FeedError, Frames};
use crate::{BatchBuilder, Error, Limits, Polled, Position, Schemas, Settings, Source};

/// One frame of the feed.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The bytes as received; not necessarily UTF-8.
    pub data: &'a [u8],
    /// Where it came from: an IRC channel, an SSE event type.
    pub origin: &'a str,
    /// When it was received, milliseconds since 1970 UTC.
    pub received_ms: i64,
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// One record was finished in the batch.
    Record,
    /// Understood and not wanted; counted under this constant.
    Skip(&'static str),
    /// Can never become a record; counted and kept as a dead letter, with this reason.
    Reject(String),
}

/// Turns frames into records.
pub trait Decoder: Sized {
    /// Prepares a decoder for the feed's protocol (`irc`, `sse`) that resumes after `positions`.
    ///
    /// # Errors
    /// [`Error::Config`] for options that do not fit; [`Error::Bug`] for a protocol or position
    /// that it does not know.
    fn open(settings: &Settings, protocol: &str, positions: &[Position]) -> Result<Self, Error>;

    /// What the records will be.
    fn schemas(&self) -> Schemas;

    /// The feed's resume token of the positions given to `open`.
    fn resume(&self) -> Option<String>;

    /// Decodes one frame, finishing at most one record in `records`.
    fn decode(&mut self, frame: &Frame<'_>, records: &mut BatchBuilder) -> Outcome;

    /// Positions after all frames decoded since the last call; `resume` is the feed's token
    /// after the last of them.
    fn positions(&mut self, resume: Option<&str>) -> Vec<Position>;
}

/// A [`Decoder`] as a [`Source`].
#[derive(Debug)]
pub struct DecodedSource<D>(D);

impl<D: Decoder> Source for DecodedSource<D> {
    fn open(settings: &Settings, positions: &[Position]) -> Result<(Self, Schemas), Error> {
        let decoder = D::open(settings, &feed::protocol(), positions)?;
        feed::start(decoder.resume().as_deref()).map_err(feed_error)?;
        let schemas = decoder.schemas();
        Ok((DecodedSource(decoder), schemas))
    }

    fn poll(&mut self, limits: Limits, out: &mut Polled) -> Result<(), Error> {
        let wait_ms = u32::try_from(limits.wait.as_millis()).unwrap_or(u32::MAX);
        let frames = match feed::read(limits.max_records, limits.max_bytes, wait_ms) {
            Ok(frames) => frames,
            Err(FeedError::Closed(_)) => return Ok(()),
            Err(error) => return Err(feed_error(error)),
        };
        decode_all(&mut self.0, &frames, out);
        Ok(())
    }
}

fn decode_all<D: Decoder>(decoder: &mut D, frames: &Frames, out: &mut Polled) {
    // A record is about as large as twice its frame; growing the buffer costs more than the guess.
    out.records = BatchBuilder::with_capacity(frames.lens.len(), frames.data.len() * 5 / 2);
    let mut rest = frames.data.as_slice();
    for (index, len) in frames.lens.iter().enumerate() {
        let (data, tail) = rest.split_at_checked(*len as usize).unwrap_or((rest, &[]));
        rest = tail;
        let origin = frames.origins.get(index).and_then(|origin| frames.origin_names.get(*origin as usize));
        let frame = Frame {
            data,
            origin: origin.map_or("", String::as_str),
            received_ms: frames.received_ms.get(index).copied().unwrap_or(0),
        };
        match decoder.decode(&frame, &mut out.records) {
            Outcome::Record => {}
            Outcome::Skip(reason) => out.skip(reason),
            Outcome::Reject(reason) => out.reject(frame.data, frame.origin, reason, frame.received_ms),
        }
    }
    if !frames.lens.is_empty() {
        out.positions = decoder.positions(frames.resume.as_deref());
    }
}

fn feed_error(error: FeedError) -> Error {
    match error {
        FeedError::Closed(m) | FeedError::Other(m) => Error::Retry(m),
        FeedError::Invalid(m) => Error::Bug(m),
    }
}

/// Exports a type that implements [`Decoder`] as this component's source.
#[macro_export]
macro_rules! export_decoder {
    ($decoder:ty) => {
        $crate::export_source!($crate::DecodedSource<$decoder>);
    };
}
