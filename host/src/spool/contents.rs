//! What is in a file, opened block by block: the one way to plaintext in this room.

use crate::connector::Identity;
use crate::crypto::{self, Event, KeyRing, MemberInfo, Record, RecordDecoder, SpoolReader};
use crate::error::Result;
use crate::ports::files::{FileInfo, Files};
use std::sync::Arc;

/// What [`open`] gives, in the order of the file; all of it is authentic.
#[derive(Debug)]
pub enum Content<'a> {
    /// A member begins.
    Member(&'a MemberInfo),
    /// A block of it was opened: plain bytes.
    Block(u64),
    /// A record of it.
    Record(&'a Record<'a>),
    /// All of the member was given.
    MemberEnd,
}

/// Opens the file that is named `identity` and gives what is in it. What was given before an error is
/// authentic; that it was all is known at the end alone.
///
/// # Errors
/// Class Reject: it is not what its name says, and where. Class Config: no key for it. What the files
/// and `give` give.
pub(super) fn open(
    files: &dyn Files,
    file: &FileInfo,
    identity: &Identity,
    ring: &Arc<KeyRing>,
    give: &mut dyn FnMut(Content<'_>) -> Result<()>,
) -> Result<()> {
    let Identity { topic, partition, first, next, .. } = identity.clone();
    let mut spool = SpoolReader::new(Arc::clone(ring), crypto::Identity { topic, partition, first, next }, None);
    let mut reader = files.read(file, 0, None)?;
    let mut decoder: Option<RecordDecoder> = None;
    let mut take = |event: Event<'_>| -> Result<()> {
        match event {
            Event::Member(info) => {
                decoder = Some(RecordDecoder::try_new(info)?);
                give(Content::Member(info))
            }
            Event::Plain(plain) => {
                give(Content::Block(plain.len() as u64))?;
                let Some(decoder) = &mut decoder else { return Ok(()) };
                decoder.push(plain);
                while let Some(record) = decoder.next_record()? {
                    give(Content::Record(&record))?;
                }
                Ok(())
            }
            Event::MemberEnd(_) => {
                if let Some(decoder) = decoder.take() {
                    decoder.finish()?;
                }
                give(Content::MemberEnd)
            }
        }
    };
    while let Some(bytes) = reader.next()? {
        spool.push(&bytes, &mut take)?;
    }
    spool.finish().map(drop)
}
