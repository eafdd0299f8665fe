//! From bytes to lines to rows to sums.
//!
//! Invariants: at most one line is held, and a line has a bound; a bad line costs itself only, until
//! the task's bound of bad lines is passed.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::report::Report;
use super::schema::Kind;
use super::segments::{Chunks, Number, Rows};
use super::spec::Job;
use super::time::Interval;

/// The longest line.
pub(super) const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
/// The most chunks that one task writes.
const MAX_CHUNKS: usize = 10_000;

/// One reading of a task's source.
pub(super) struct Reader<'a> {
    job: &'a Job,
    report: &'a mut Report,
    /// What the first reading found; rows outside are thrown away in the second.
    within: Option<&'a BTreeSet<Interval>>,
    line: Vec<u8>,
    pub(super) chunks: Chunks,
    /// Chunks of a first reading, which keeps no sums.
    pub(super) found: BTreeSet<Interval>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(job: &'a Job, report: &'a mut Report, within: Option<&'a BTreeSet<Interval>>) -> Self {
        Self { job, report, within, line: Vec::new(), chunks: Chunks::new(), found: BTreeSet::new() }
    }

    /// Reads the next bytes of a file.
    ///
    /// # Errors
    /// Why the task fails: too many bad rows, chunks, or bytes in a line.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.report.counts().processed_bytes += bytes.len() as u64;
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (begin, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.read(begin)?;
            } else {
                self.keep(begin)?;
                let line = std::mem::take(&mut self.line);
                self.read(&line)?;
                // The buffer is used again, unless a long line has made it large.
                self.line = if line.capacity() > 64 * 1024 { Vec::new() } else { line };
                self.line.clear();
            }
        }
        self.keep(rest)
    }

    /// The end of a file: what is left is a line too.
    ///
    /// # Errors
    /// As [`Reader::feed`].
    pub(super) fn finish(&mut self) -> Result<(), String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() { Ok(()) } else { self.read(&line) }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.line.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(format!("a line of the input has more than {MAX_LINE_BYTES} bytes"));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, line: &[u8]) -> Result<(), String> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // As Java decodes: what is no UTF-8 becomes a sign that says so.
        let line = String::from_utf8_lossy(line);
        let Ok(Value::Object(row)) = serde_json::from_str(&line) else {
            return self.bad(&line, "Unable to parse row as a JSON object");
        };
        let schema = &self.job.schema;
        let time = row.get(&schema.time_column).filter(|value| !value.is_null());
        let at = match time {
            Some(time) => schema.time_form.read(time),
            None => schema.missing_time,
        };
        let Some(at) = at else {
            return self.bad(&line, &format!("Timestamp[{}] is unparseable", time.unwrap_or(&Value::Null)));
        };
        let chunk = schema.segment.chunk(at);
        if !schema.has(at) || self.within.is_some_and(|within| !within.contains(&chunk)) {
            self.report.counts().thrown_away += 1;
            return Ok(());
        }
        if !self.report.builds {
            self.found.insert(chunk);
            self.report.counts().processed += 1;
            return if self.found.len() > MAX_CHUNKS { Err(too_many_chunks()) } else { Ok(()) };
        }
        if self.chunks.len() >= MAX_CHUNKS && !self.chunks.contains_key(&chunk) {
            return Err(too_many_chunks());
        }
        let parts = self.chunks.entry(chunk).or_default();
        if parts.last().is_none_or(|rows| rows.num >= self.job.max_rows_per_segment) {
            parts.push(Rows::new(&schema.columns));
        }
        let Some(rows) = parts.last_mut() else { return Ok(()) };
        rows.row(schema.query.chunk(at).start);
        match add(rows, &row, self.job) {
            None => self.report.counts().processed += 1,
            Some(column) => {
                self.report.counts().with_error += 1;
                let most = self.job.max_saved_parse_exceptions;
                self.report.save(most, &line, &format!("could not convert the value of [{column}] to a number"), true);
                return self.check();
            }
        }
        Ok(())
    }

    fn bad(&mut self, line: &str, what: &str) -> Result<(), String> {
        self.report.counts().unparseable += 1;
        self.report.save(self.job.max_saved_parse_exceptions, line, what, false);
        self.check()
    }

    fn check(&mut self) -> Result<(), String> {
        let most = self.job.max_parse_exceptions;
        let counts = self.report.counts();
        match counts.unparseable + counts.with_error > most {
            true => Err(format!("Max parse exceptions[{most}] exceeded")),
            false => Ok(()),
        }
    }
}

fn too_many_chunks() -> String {
    format!("the rows are in more than {MAX_CHUNKS} chunks, the most that the emulator writes in a task")
}

/// Adds a row's numbers. Returns the last column whose value is none.
fn add<'a>(rows: &mut Rows, row: &Map<String, Value>, job: &'a Job) -> Option<&'a str> {
    let schema = &job.schema;
    let mut bad = None;
    for column in &schema.columns {
        let Some(field) = &column.field else {
            rows.add(&column.name, Number::Long(1));
            continue;
        };
        let Some(value) = row.get(field).filter(|value| !value.is_null()) else { continue };
        match number(value, column.kind) {
            Ok(Some(number)) => rows.add(&column.name, number),
            Ok(None) => {}
            Err(()) => bad = Some(column.name.as_str()),
        }
    }
    if schema.discovers {
        let listed = |name: &str| schema.columns.iter().any(|column| column.name == name);
        for (name, value) in row.iter().filter(|(name, _)| **name != schema.time_column && !listed(name)) {
            match value {
                Value::Null => {}
                Value::Number(value) => match value.as_i64() {
                    Some(value) => rows.add(name, Number::Long(value)),
                    None => rows.add(name, Number::Double(value.as_f64().unwrap_or_default())),
                },
                _ => rows.add_text(name),
            }
        }
    }
    bad
}

/// What Druid makes of a value in a column: a number, nothing to add, or an error.
fn number(value: &Value, kind: Kind) -> Result<Option<Number>, ()> {
    let number = match (kind, value) {
        (Kind::Text, _) => return Ok(None),
        (Kind::Long, Value::Bool(flag)) => Some(Number::Long(i64::from(*flag))),
        (Kind::Double, Value::Bool(flag)) => Some(Number::Double(f64::from(u8::from(*flag)))),
        // Java's `longValue` drops the fraction, and stays within a long.
        (Kind::Long, Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)).map(Number::Long)
        }
        (Kind::Double, Value::Number(number)) => number.as_f64().map(Number::Double),
        (Kind::Long, Value::String(text)) => text.trim().parse().ok().or_else(|| whole(text)).map(Number::Long),
        (Kind::Double, Value::String(text)) => {
            text.trim().parse().ok().filter(|number: &f64| number.is_finite()).map(Number::Double)
        }
        _ => None,
    };
    number.map(Some).ok_or(())
}

/// A long that is written with a point or an exponent, such as `12.0`.
fn whole(text: &str) -> Option<i64> {
    let float: f64 = text.trim().parse().ok()?;
    (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
}
