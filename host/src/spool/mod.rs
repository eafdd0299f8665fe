//! The spool: a directory on a filer through which sealed files go from one place to another, and at
//! whose end they stay as a data set.
//!
//! ```text
//!  topic -> SpoolSink -> staging/PARTITION -> inbox -> tmp/TASK -> outbox -> wash -> washd -> gone
//!                        (written)   \     (published)  (claimed)  (in the log)  (trash)
//!                                     \                     `-> SpoolSource -> topic
//!                                      `-> target (the data set, where nobody consumes)
//! ```
//!
//! Every arrow is one rename. Invariants:
//! - A file appears in `inbox` or `target` whole, under a name that says which offsets it holds. On start
//!   a sink reads the names and goes on after the highest: neither a crash nor a second host makes a file
//!   twice or leaves one out.
//! - A partition's files are written, and a task's claims kept, in a directory of its own that changes
//!   its name with its owner (`owner.rs`). What an owner that was taken over still does fails.
//! - A claim's name holds its number and how much of the file is in the log already. The position that is
//!   committed with the records names the last claim: after a crash, claims before it are settled, the
//!   others are taken up where they were (`claim.rs`).
//! - The newest file of each partition stays in the trash: its name is a sink's memory.
//! - A file that is not what its name says goes to `quarantine` with the reason beside it, and the rest
//!   goes on. Nothing is deleted but from the trash.
//! - Sealed stays sealed: a sink seals with public keys, a source and a sink of members hold none.

mod claim;
mod contents;
mod data_set;
mod file;
mod frames;
mod inbox;
mod layout;
mod members;
mod names;
mod owner;
mod quarantine;
mod rewrap;
mod sink;
mod source;
mod survey;
mod trash;

pub use contents::Content as FileContent;
pub use data_set::{DataFile, DataList, DataListing, DataSet};
pub use sink::{Content, SpoolSink, SpoolSinkSettings};
pub use source::{Fence, SpoolSource, SpoolSourceSettings};
pub use survey::{FileReport, SpoolFile, Stage, Survey};

use crate::crypto::{FOOTER_TAIL, Footer, Located};
use crate::error::{Error, ErrorClass, Result};
use crate::ports::files::{FileInfo, FileReader, Files};

/// The footer of a file, from its last bytes; `tail` where some of them are at hand.
///
/// # Errors
/// Class Reject: the file has none, or is of another length. What the files give.
fn read_footer(files: &dyn Files, file: &FileInfo, tail: Option<&[u8]>) -> Result<Footer> {
    let read = |bytes: u64| read_all(files.read(file, file.bytes.saturating_sub(bytes), None)?.as_mut());
    let located = match tail {
        Some(tail) => Footer::locate(tail, file.bytes)?,
        None => Footer::locate(&read(FOOTER_TAIL as u64)?, file.bytes)?,
    };
    let located = match located {
        Located::Needs(bytes) => Footer::locate(&read(bytes as u64)?, file.bytes)?,
        found => found,
    };
    match located {
        Located::Found(footer) => Ok(footer),
        Located::Needs(_) => Err(Error::new(ErrorClass::Reject, "the file's footer is cut")),
    }
}

fn read_all(reader: &mut dyn FileReader) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(bytes) = reader.next()? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}
