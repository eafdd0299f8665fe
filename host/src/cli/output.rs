//! Writing to the terminal: results to standard output, everything else to standard error.

use crate::cli::Failure;
use crate::error::Error;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use std::io::Write;
use std::time::Duration;

/// Long texts in tables are wrapped to this many columns.
const TABLE_WIDTH: u16 = 140;

/// Writes one line of a result; true if there is still someone reading.
///
/// # Errors
/// When standard output cannot be written, for any reason but a reader that left.
pub(super) fn line(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")) {
        Ok(()) => Ok(true),
        // `host log cat | head` is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Failed(Error::retry(format!("writing to standard output: {error}")))),
    }
}

/// Writes one line to standard error, past the progress line if there is one.
pub(super) fn error_line(text: &str) {
    crate::cli::progress::suspended(|| {
        // With standard error gone there is nowhere left to say so.
        let _ = writeln!(std::io::stderr(), "{text}");
    });
}

/// Bytes for people: `1.5 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

/// A number for people: `12,345`.
pub(super) fn number(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// A table as wide as a terminal mostly is; columns `right` are numbers.
pub(super) fn table(header: &[&str], right: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.to_vec());
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
    for index in right {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A time for people: `5m 3s`.
pub(super) fn ago(millis: i64) -> String {
    let seconds = Duration::from_secs(u64::try_from(millis / 1000).unwrap_or(0));
    humantime::format_duration(seconds).to_string()
}
