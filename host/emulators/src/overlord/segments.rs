//! Segments: what is kept of rows, how a task's publication changes them, and which tasks exclude
//! each other.
//!
//! Invariants: what is kept of a segment does not grow with its rows; a publication happens whole or
//! not at all; a version is newer than every earlier one of its data source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::{Column, Kind, MAX_COLUMNS};
use super::time::{Granularity, Interval};
use crate::clock::iso_ms;

/// What is known of a column of some rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sum {
    pub(super) kind: Kind,
    /// Rows that have a value.
    pub(super) present: u64,
    pub(super) long: i64,
    pub(super) double: f64,
}

/// A number of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Long(i64),
    Double(f64),
}

impl Sum {
    fn new(kind: Kind) -> Self {
        Self { kind, present: 0, long: 0, double: 0.0 }
    }

    pub(super) fn add(&mut self, number: Number) {
        self.present += 1;
        match number {
            // Java's longs wrap around.
            Number::Long(number) => self.long = self.long.wrapping_add(number),
            Number::Double(number) => self.add_double(number),
        }
    }

    fn add_double(&mut self, number: f64) {
        // JSON, in which this is kept, has no infinity.
        self.double = (self.double + number).clamp(f64::MIN, f64::MAX);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.kind != other.kind {
            // A column that is whole in one place and broken in another is broken; text takes all.
            let is_text = self.kind == Kind::Text || other.kind == Kind::Text;
            self.kind = if is_text { Kind::Text } else { Kind::Double };
        }
        self.present += other.present;
        self.long = self.long.wrapping_add(other.long);
        self.add_double(other.double);
    }

    /// The sum in JSON; null where no row has a value.
    pub(super) fn value(&self) -> Value {
        match self.kind {
            _ if self.present == 0 => Value::Null,
            Kind::Long => self.long.into(),
            Kind::Double | Kind::Text => (self.double + self.long as f64).into(),
        }
    }
}

/// What is kept of some rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rows {
    pub(super) num: u64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) columns: BTreeMap<String, Sum>,
}

impl Rows {
    pub(super) fn new(columns: &[Column]) -> Self {
        let columns = columns.iter().map(|column| (column.name.clone(), Sum::new(column.kind))).collect();
        Self { num: 0, first: i64::MAX, last: i64::MIN, columns }
    }

    /// One more row; its values follow with [`Rows::add`].
    pub(super) fn row(&mut self, at: i64) {
        self.num += 1;
        self.first = self.first.min(at);
        self.last = self.last.max(at);
    }

    pub(super) fn add(&mut self, column: &str, number: Number) {
        if let Some(sum) = self.columns.get_mut(column) {
            if matches!(number, Number::Double(_)) && sum.kind == Kind::Long {
                sum.kind = Kind::Double;
            }
            sum.add(number);
        } else if self.columns.len() < MAX_COLUMNS {
            let kind = if matches!(number, Number::Long(_)) { Kind::Long } else { Kind::Double };
            let mut sum = Sum::new(kind);
            sum.add(number);
            self.columns.insert(column.to_owned(), sum);
        }
    }

    /// A column that has text, and so no sum.
    pub(super) fn add_text(&mut self, column: &str) {
        if let Some(sum) = self.columns.get_mut(column) {
            sum.kind = Kind::Text;
        } else if self.columns.len() < MAX_COLUMNS {
            self.columns.insert(column.to_owned(), Sum::new(Kind::Text));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.num += other.num;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for (name, sum) in &other.columns {
            self.columns.entry(name.clone()).or_insert_with(|| Sum::new(sum.kind)).merge(sum);
        }
    }
}

/// A segment that queries see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) interval: Interval,
    pub(super) version: String,
    pub(super) partition: u32,
    /// Which publication of the emulator made it.
    pub(super) published: u64,
    pub(super) rows: Rows,
}

/// The new segments of a task, by chunk.
pub(super) type Chunks = BTreeMap<Interval, Vec<Rows>>;

/// What a task wants to publish.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) chunks: Chunks,
    pub(super) appends: bool,
    /// Also drop what is wholly in these.
    pub(super) drops: Vec<Interval>,
    /// Leave what was published after this, by appending tasks that ran beside this one.
    pub(super) replaces_until: u64,
}

/// Changes the segments of a data source, as the `number`th publication. Returns why not, with the
/// segments half changed: the caller throws them away.
pub(super) fn publish(
    segments: &mut Vec<Segment>,
    publication: Publication,
    number: u64,
    now_ms: i64,
) -> Result<(), String> {
    let newest = segments.iter().map(|segment| segment.version.clone()).max().unwrap_or_default();
    let mut version = iso_ms(now_ms);
    // Two publications within a millisecond, or a clock that went back.
    if version <= newest {
        version = crate::clock::parse(&newest).map_or(version, |at| iso_ms(at + 1));
    }
    let is_old = |segment: &Segment| segment.published <= publication.replaces_until;
    if !publication.appends {
        segments.retain(|segment| {
            !(is_old(segment) && publication.drops.iter().any(|drop| drop.contains(&segment.interval)))
        });
    }
    for (chunk, parts) in publication.chunks {
        if publication.appends {
            append(segments, chunk, parts, &version, number);
            continue;
        }
        segments.retain(|segment| !(is_old(segment) && chunk.contains(&segment.interval)));
        if let Some(torn) = segments.iter().find(|segment| is_old(segment) && segment.interval.overlaps(&chunk)) {
            // A real Druid shows the rest of the old segment; here its rows are not known one by one.
            return Err(format!("the emulator cannot replace a part, [{chunk}], of a segment of [{}]", torn.interval));
        }
        // What was appended meanwhile survives under the new version.
        let survivors = segments.iter_mut().filter(|segment| segment.interval == chunk);
        for (partition, segment) in (u32::try_from(parts.len()).unwrap_or(u32::MAX)..).zip(survivors) {
            (segment.version, segment.partition) = (version.clone(), partition);
        }
        add(segments, chunk, parts, &version, 0, number);
    }
    segments.sort_by(|a, b| (a.interval, &a.version, a.partition).cmp(&(b.interval, &b.version, b.partition)));
    Ok(())
}

fn append(segments: &mut Vec<Segment>, chunk: Interval, parts: Vec<Rows>, version: &str, number: u64) {
    // A coarser chunk that is there already takes the rows, with its version.
    let there =
        segments.iter().filter(|segment| segment.interval.contains(&chunk)).max_by_key(|segment| segment.partition);
    let (interval, version, next) = match there {
        Some(segment) => (segment.interval, segment.version.clone(), segment.partition + 1),
        None => (chunk, version.to_owned(), 0),
    };
    add(segments, interval, parts, &version, next, number);
}

fn add(segments: &mut Vec<Segment>, interval: Interval, parts: Vec<Rows>, version: &str, next: u32, published: u64) {
    for (partition, rows) in (next..).zip(parts) {
        segments.push(Segment { interval, version: version.to_owned(), partition, published, rows });
    }
}

/// What of a data source a task locks, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lock {
    /// Empty: all times.
    pub(super) intervals: Vec<Interval>,
    pub(super) appends: bool,
    /// Whether appending and replacing may go on together (`useConcurrentLocks`), or appenders among
    /// themselves.
    sharing: Sharing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    None,
    Appenders,
    Concurrent,
}

impl Lock {
    pub(super) fn read(context: &Value, appends: bool, intervals: &[Interval], segment: Granularity) -> Self {
        let flag = |key: &str| context.get(key).and_then(Value::as_bool) == Some(true);
        let kind = context.get("taskLockType").and_then(Value::as_str).unwrap_or_default();
        let sharing = if flag("useConcurrentLocks") || kind == if appends { "APPEND" } else { "REPLACE" } {
            Sharing::Concurrent
        } else if appends && flag("useSharedLock") {
            Sharing::Appenders
        } else {
            Sharing::None
        };
        // Locks are on whole chunks.
        let whole = |interval: &Interval| Interval {
            start: segment.chunk(interval.start).start,
            end: segment.chunk(interval.end - 1).end,
        };
        Self { intervals: intervals.iter().map(whole).collect(), appends, sharing }
    }

    /// Whether a replacing task leaves what others append while it runs.
    pub(super) fn is_concurrent(&self) -> bool {
        self.sharing == Sharing::Concurrent
    }

    /// Whether the two cannot be held at the same time on one data source.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        let meets = |a: &Interval| other.intervals.is_empty() || other.intervals.iter().any(|b| a.overlaps(b));
        if !(self.intervals.is_empty() || self.intervals.iter().any(meets)) {
            return false;
        }
        match (self.appends, other.appends) {
            (true, true) => self.sharing == Sharing::None || self.sharing != other.sharing,
            (false, false) => true,
            _ => !(self.is_concurrent() && other.is_concurrent()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DAY: Interval = Interval { start: 0, end: 86_400_000 };

    fn replacement() -> Publication {
        let mut rows = Rows::new(&[]);
        rows.row(5);
        let (chunks, drops) = (Chunks::from([(DAY, vec![rows])]), Vec::new());
        Publication { chunks, appends: false, drops, replaces_until: u64::MAX }
    }

    #[test]
    fn a_version_is_newer_even_when_the_clock_stands_or_goes_back() {
        let mut segments = Vec::new();
        let mut last = String::new();
        for (number, now_ms) in [(1, 1000), (2, 1000), (3, 10)] {
            publish(&mut segments, replacement(), number, now_ms).unwrap();
            let version = segments.first().unwrap().version.clone();
            assert!(segments.len() == 1 && version > last, "{version}, after {last}");
            last = version;
        }
    }

    #[test]
    fn locks_exclude_what_overlaps_and_does_not_share() {
        let hour = |start: i64| Interval { start: start * 3_600_000, end: (start + 1) * 3_600_000 };
        let lock = |context: Value, appends, intervals: &[Interval]| {
            Lock::read(&context, appends, intervals, Granularity::Hour)
        };
        let none = || json!({});
        let concurrent = || json!({ "useConcurrentLocks": true });
        let shared = || json!({ "useSharedLock": true });
        let cases = [
            (lock(none(), false, &[hour(1)]), lock(none(), false, &[hour(2)]), false),
            (lock(none(), false, &[hour(1)]), lock(none(), false, &[hour(2), hour(1)]), true),
            (lock(none(), false, &[]), lock(none(), false, &[hour(2)]), true),
            (lock(none(), true, &[hour(1)]), lock(none(), true, &[hour(1)]), true),
            (lock(shared(), true, &[hour(1)]), lock(shared(), true, &[hour(1)]), false),
            (lock(shared(), true, &[hour(1)]), lock(none(), true, &[hour(1)]), true),
            (lock(shared(), true, &[hour(1)]), lock(concurrent(), false, &[hour(1)]), true),
            (lock(concurrent(), true, &[hour(1)]), lock(concurrent(), true, &[hour(1)]), false),
            (lock(concurrent(), true, &[hour(1)]), lock(concurrent(), false, &[hour(1)]), false),
            (lock(concurrent(), false, &[hour(1)]), lock(concurrent(), false, &[hour(1)]), true),
            (lock(json!({ "taskLockType": "APPEND" }), true, &[]), lock(concurrent(), false, &[]), false),
            (lock(json!({ "taskLockType": "APPEND" }), false, &[]), lock(concurrent(), true, &[]), true),
        ];
        for (number, (one, other, expected)) in cases.into_iter().enumerate() {
            assert_eq!(one.excludes(&other), expected, "case {number}");
            assert_eq!(other.excludes(&one), expected, "case {number} the other way");
        }
    }
}
