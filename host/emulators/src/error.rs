//! The ways an emulator can refuse to start. After it has started it refuses nothing: what clients
//! do wrong is answered in their protocol, and what the system does wrong is logged and survived.

use std::path::PathBuf;

/// Why an emulator did not start, or a file of recorded lines was not read.
///
/// All of these are for the operator to mend (another file, another number), but for
/// [`Error::Listener`], which may pass.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or read.
    #[error("failed to read recorded lines from `{}`", path.display())]
    Read {
        /// The file as it was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of the file is not what its form asks for.
    #[error("failed to read recorded lines from `{}`: line {line} holds {found}, expected {expected}", path.display())]
    Line {
        /// The file as it was given.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// The file has nothing to send.
    #[error("failed to read recorded lines from `{}`: found no lines, expected at least one", path.display())]
    Empty {
        /// The file as it was given.
        path: PathBuf,
    },
    /// The rate is not a number an emulator can keep.
    #[error("failed to set the rate: found {found} edits a second, expected 0 to {most}")]
    Rate {
        /// The rate as it was given.
        found: f64,
        /// The highest rate there is.
        most: f64,
    },
    /// A channel has a name that no client could join.
    #[error("failed to set up channel `{found}`: expected `#`, then letters, digits, `_`, `.` or `-`, at most 50")]
    Channel {
        /// The name as it was given.
        found: String,
    },
    /// The folder to serve could not be made or opened.
    #[error("failed to serve folder `{}`", path.display())]
    Folder {
        /// The folder as it was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bookkeeping in the folder could not be opened; most often another emulator serves it.
    #[error("failed to open bookkeeping `{}`", path.display())]
    Bookkeeping {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// What an emulator kept in a folder could not be read or made; where another emulator has the
    /// folder, that is the reason.
    #[error("failed to open state `{}`: {reason}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No certificate could be made.
    #[error("failed to make a certificate: {reason}")]
    Certificate {
        /// What the maker said.
        reason: String,
    },
    /// The listener does not know its own address.
    #[error("failed to read the address of the listener")]
    Listener {
        /// What the system said.
        source: std::io::Error,
    },
}
