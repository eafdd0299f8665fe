//! Decompression by the extension of the path, as Druid chooses it.
//!
//! Invariant: the bytes unpacked at a time are bounded, whatever is packed.

use std::io::Write;

use flate2::write::MultiGzDecoder;

use super::rows::Reader;

/// How many packed bytes are unpacked at a time: some 4 MB at the most, as deflate packs 1 to 1032.
const PACKED_BYTES: usize = 4096;
/// Extensions of packings that Druid knows and the emulator does not.
const UNKNOWN: [&str; 5] = [".bz2", ".xz", ".zip", ".sz", ".zst"];

/// The way from a file's bytes to its reader.
pub(super) struct Unpacker<'a, 'b> {
    reader: &'a mut Reader<'b>,
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
}

impl<'a, 'b> Unpacker<'a, 'b> {
    /// # Errors
    /// For a packing that the emulator does not know.
    pub(super) fn new(path: &str, reader: &'a mut Reader<'b>) -> Result<Self, String> {
        if let Some(extension) = UNKNOWN.into_iter().find(|extension| path.ends_with(extension)) {
            return Err(format!("the emulator does not unpack files that end in [{extension}]"));
        }
        let gzip = path.ends_with(".gz").then(|| MultiGzDecoder::new(Vec::new()));
        Ok(Self { reader, gzip })
    }

    /// # Errors
    /// Why the task fails: not gzip, or what the reader says.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(gzip) = &mut self.gzip else { return self.reader.feed(bytes) };
        for piece in bytes.chunks(PACKED_BYTES) {
            gzip.write_all(piece).map_err(|error| format!("failed to unpack gzip: {error}"))?;
            self.reader.feed(gzip.get_ref())?;
            gzip.get_mut().clear();
        }
        Ok(())
    }

    /// The end of the file.
    ///
    /// # Errors
    /// When gzip has no end yet, and as [`Unpacker::feed`].
    pub(super) fn finish(mut self) -> Result<(), String> {
        if let Some(gzip) = &mut self.gzip {
            gzip.try_finish().map_err(|error| format!("Unexpected end of ZLIB input stream: {error}"))?;
            self.reader.feed(gzip.get_ref())?;
        }
        self.reader.finish()
    }
}
