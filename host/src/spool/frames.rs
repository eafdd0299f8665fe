//! Members of a file one after another, without a key.

use super::members::MAX_MEMBER_BYTES;
use crate::crypto::{self, Head};
use crate::error::{Error, ErrorClass, Result};
use crate::ports::files::FileReader;
use bytes::{Buf, Bytes, BytesMut};

/// A member as it stands in a file.
pub(super) struct Frame {
    /// Its head; nothing in it is proved.
    pub(super) head: Head,
    /// All of its bytes, head included.
    pub(super) bytes: Bytes,
}

/// Reads members up to the footer. Holds one member.
pub(super) struct Frames {
    /// None: the buffer holds all of it.
    reader: Option<Box<dyn FileReader>>,
    buffer: BytesMut,
    at: u64,
    end: u64,
}

impl Frames {
    /// From byte `at`, where a member begins, to `end`, where the footer does.
    pub(super) fn new(reader: Box<dyn FileReader>, at: u64, end: u64) -> Self {
        Frames { reader: Some(reader), buffer: BytesMut::new(), at, end }
    }

    /// As [`Frames::new`], of a file that was read whole.
    pub(super) fn of_bytes(file: Vec<u8>, at: u64, end: u64) -> Self {
        let mut buffer = BytesMut::from(Bytes::from(file));
        buffer.truncate(usize::try_from(end).unwrap_or(usize::MAX));
        buffer.advance(usize::try_from(at).unwrap_or(usize::MAX).min(buffer.len()));
        Frames { reader: None, buffer, at, end }
    }

    /// Bytes of members that are still to come.
    pub(super) fn left(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// Where the next member begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next whole member; none at the end.
    ///
    /// # Errors
    /// Class Reject: something else, cut, or too large. What the reader gives.
    pub(super) fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(scanned) = crypto::scan(&self.buffer)? {
                let len = usize::try_from(scanned.num_bytes).unwrap_or(usize::MAX).min(self.buffer.len());
                self.at += len as u64;
                return Ok(Some(Frame { head: scanned.head, bytes: self.buffer.split_to(len).freeze() }));
            }
            let reject = |found: String| Error::new(ErrorClass::Reject, found);
            if self.buffer.len() > MAX_MEMBER_BYTES {
                let at = self.at;
                return Err(reject(format!("file at byte {at}: a member of more than {MAX_MEMBER_BYTES} bytes")));
            }
            let next = self.reader.as_mut().map(|reader| reader.next()).transpose()?.flatten();
            match next {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None if self.buffer.is_empty() && self.at == self.end => return Ok(None),
                None => {
                    let (at, end) = (self.at, self.end);
                    return Err(reject(format!(
                        "file holds a part of a member from byte {at} to {end}, where its footer is"
                    )));
                }
            }
        }
    }
}
