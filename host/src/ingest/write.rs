//! The rows of a batch as bytes, plain or compressed, all of them or a part.

use super::batch::BatchFacts;
use super::rows::RowFormat;
use crate::error::{Error, ErrorClass, Result};
use crate::spool::{DataFile, DataSet, FileContent};
use bytes::Bytes;
use flate2::{Compression, GzBuilder, write::GzEncoder};
use std::io::Write;

/// The first piece has about so many bytes, so that something comes early; each has twice as many as the one
/// before.
const FIRST_PIECE_BYTES: usize = 4 << 10;
/// The largest.
const PIECE_BYTES: usize = 64 << 10;
/// Compresses some 300 MB/s to a fifth; the next levels take twice the time for a tenth less.
const GZIP_LEVEL: u32 = 1;

/// What of a batch is written.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Compressed by gzip: the same bytes each time.
    pub gzip: bool,
    /// Bytes left out at the beginning.
    pub skip: u64,
    /// Bytes given at most.
    pub limit: u64,
    /// It ends before the batch does, so the rest need not be read.
    pub is_inner: bool,
}

impl Piece {
    /// All of it.
    pub fn whole(gzip: bool) -> Self {
        Piece { gzip, skip: 0, limit: u64::MAX, is_inner: false }
    }
}

/// Who takes the bytes of a batch.
pub trait Taker {
    /// Takes more of them.
    ///
    /// # Errors
    /// When nobody wants them any more.
    fn take(&mut self, bytes: Bytes) -> Result<()>;

    /// Whether nobody wants them any more.
    fn is_gone(&self) -> bool;
}

/// Gives the rows of a batch in pieces, and returns how many bytes the whole of it is; none: it was not read to
/// its end. Nothing is given that was not authentic, and the last piece only when the file was found whole.
///
/// # Errors
/// What [`DataSet::open`] and the taker give; class Reject: the file is not what it was when it was
/// examined.
pub fn write_rows(
    set: &DataSet,
    file: &DataFile,
    facts: &BatchFacts,
    format: &RowFormat,
    piece: Piece,
    taker: &mut dyn Taker,
) -> Result<Option<u64>> {
    let window = Window {
        skip: piece.skip,
        left: piece.limit,
        total: 0,
        piece_bytes: FIRST_PIECE_BYTES,
        buffer: Vec::new(),
        ready: None,
        taker,
    };
    let mut out = match piece.gzip {
        // No time of making and no name: the same rows are the same bytes.
        true => Out::Gzip(GzBuilder::new().mtime(0).write(window, Compression::new(GZIP_LEVEL))),
        false => Out::Plain(window),
    };
    let (mut records, mut bytes) = (0, 0);
    let mut reader = format.reader_again(facts.num_skipped());
    let read = set.open(file, &mut |content| {
        match content {
            FileContent::Record(record) => {
                if let Some(row) = reader.row_again(record.value) {
                    out.write(&row)?;
                    out.write(b"\n")?;
                    records += 1;
                    bytes += row.len() as u64 + 1;
                }
            }
            FileContent::Block(_) if out.window().taker.is_gone() => return Err(Error::retry("the client has left")),
            FileContent::Block(_) | FileContent::Member(_) | FileContent::MemberEnd => {}
        }
        match piece.is_inner && out.window().left == 0 {
            // Ends the reading; nothing is wrong.
            true => Err(Error::retry("enough")),
            false => Ok(()),
        }
    });
    if piece.is_inner && out.window().left == 0 {
        out.window().give_all()?;
        return Ok(None);
    }
    read?;
    if (records, bytes) != (facts.records, facts.bytes) {
        return Err(Error::new(
            ErrorClass::Reject,
            format!(
                "file `{}` holds {records} rows of {bytes} bytes, and held {} of {} when it was examined",
                file.name, facts.records, facts.bytes
            ),
        ));
    }
    out.finish().map(Some)
}

enum Out<'a> {
    Plain(Window<'a>),
    Gzip(GzEncoder<Window<'a>>),
}

impl<'a> Out<'a> {
    fn window(&mut self) -> &mut Window<'a> {
        match self {
            Out::Plain(window) => window,
            Out::Gzip(encoder) => encoder.get_mut(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Out::Plain(window) => window.put(bytes),
            Out::Gzip(encoder) => encoder.write_all(bytes).map_err(from_io),
        }
    }

    fn finish(self) -> Result<u64> {
        let mut window = match self {
            Out::Plain(window) => window,
            Out::Gzip(encoder) => encoder.finish().map_err(from_io)?,
        };
        window.give_all()?;
        Ok(window.total)
    }
}

/// What an encoder made of an error of ours is taken apart again.
fn from_io(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(other) => Error::bug(format!("gzip: {other}")),
    }
}

/// The part of a stream that is wanted, in pieces. The last one is held back: with it an answer would be
/// whole, before it is known that the file is.
struct Window<'a> {
    skip: u64,
    left: u64,
    total: u64,
    piece_bytes: usize,
    buffer: Vec<u8>,
    ready: Option<Bytes>,
    taker: &'a mut dyn Taker,
}

impl Window<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.total += bytes.len() as u64;
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        let rest = bytes.get(skipped..).unwrap_or_default();
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
        self.left -= taken as u64;
        self.buffer.extend_from_slice(rest.get(..taken).unwrap_or_default());
        if self.buffer.len() < self.piece_bytes {
            return Ok(());
        }
        self.piece_bytes = (self.piece_bytes * 2).min(PIECE_BYTES);
        let piece = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE_BYTES * 2)));
        match self.ready.replace(piece) {
            Some(before) => self.taker.take(before),
            None => Ok(()),
        }
    }

    fn give_all(&mut self) -> Result<()> {
        let rest = Bytes::from(std::mem::take(&mut self.buffer));
        for piece in self.ready.take().into_iter().chain([rest]).filter(|piece| !piece.is_empty()) {
            self.taker.take(piece)?;
        }
        Ok(())
    }
}

impl Write for Window<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.put(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
