//! Edits as rows: values that are hard to read, what each is as a row, and why some are none. The rows are
//! made here beside the values, not by the host.

use crate::spool::{RECORDS, read_all};
use host::ports::log::{Commit, Log, TopicSpec, WriterId};
use host::record::BatchBuilder;
use std::collections::BTreeMap;
use std::ops::Range;

/// 2026-02-01, milliseconds since 1970 UTC.
const FIRST_DAY: i64 = 1_769_904_000_000;
/// A day in milliseconds.
pub const DAY: i64 = 86_400_000;
/// Edits of one day; those of a batch of as many lie in two.
const OF_A_DAY: u64 = 50;
const ENVELOPE: &str = r#"{"schema":{"type":"struct","fields":[]},"payload":"#;

/// An edit as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// One JSON object on one line, without its break.
    pub text: String,
    /// Milliseconds since 1970 UTC.
    pub at: i64,
    /// None: it says nothing of it.
    pub added: Option<i64>,
}

/// When an edit was: every day's first and last moment are among them.
pub fn at(number: u64) -> i64 {
    let shifted = number + OF_A_DAY / 2;
    let (day, of_day) = (shifted / OF_A_DAY % 26, shifted % OF_A_DAY);
    let within = match of_day {
        49 => DAY - 1,
        few => i64::try_from(few).unwrap() * 1_700_000 + i64::from(few % 2 == 1),
    };
    FIRST_DAY + i64::try_from(day).unwrap() * DAY + within
}

/// ISO 8601 to the millisecond, UTC; of February 2026.
///
/// # Panics
/// For another month.
pub fn iso(at: i64) -> String {
    format!("{}Z", local(at))
}

fn local(at: i64) -> String {
    let (day, of_day) = ((at - FIRST_DAY).div_euclid(DAY), (at - FIRST_DAY).rem_euclid(DAY));
    assert!((0..28).contains(&day), "{at} is not of February 2026");
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!("2026-02-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}", day + 1, of_day % 1000)
}

/// In one of the forms of ISO 8601.
fn written(number: u64) -> String {
    let at = at(number);
    match number % 4 {
        0 => iso(at),
        1 => format!("{}+02:00", local(at + 7_200_000)),
        2 if at % 1000 == 0 => iso(at).replace(".000Z", "Z"),
        2 => iso(at),
        _ => format!("{}+00:00", local(at)),
    }
}

fn added(number: u64) -> Option<i64> {
    (number % 11 > 1).then(|| i64::try_from(number).unwrap() * 3 - 40)
}

fn object(number: u64) -> String {
    let (time, at) = (written(number), at(number));
    let added = match (added(number), number % 11) {
        (Some(added), _) => format!(r#""added":{added},"#),
        (None, 0) => String::new(),
        (None, _) => r#""added":null,"#.to_owned(),
    };
    // A line break between members, where JSON allows it, and one in a text, where it is escaped.
    let between = match number % 30 {
        7 => "\r\n\t",
        17 => "\n",
        27 => "\r",
        _ => "",
    };
    format!(
        r#"{{"channel":"de.wikipedia","page":"Zürich – 東京 🗼 \u00e9 {number}",{between}"user":"a\"b\\","timestamp":"{time}","comment":"first\nsecond {{}} [","at":{at},{added}"deleted":{},"isRobot":{},"deltaBucket":{}.5,"metroCode":null}}"#,
        number % 5,
        number.is_multiple_of(2),
        number % 100,
    )
}

/// The value of a record; none: a tombstone.
pub fn value(number: u64) -> Option<String> {
    let good = || object(number);
    Some(match number % 40 {
        5 => return None,
        11 => "{ no JSON".to_owned(),
        17 => good().replace("\"timestamp\"", "\"time\""),
        23 => format!("[{}]", good()),
        29 => good().replace(&written(number), "yesterday"),
        35 => format!("{ENVELOPE}null}}"),
        _ if number % 3 == 1 => format!("{ENVELOPE}{}}}", good()),
        _ => good(),
    })
}

/// The row of an edit.
///
/// # Errors
/// Why it is none, in the host's words.
pub fn row(number: u64) -> Result<Row, &'static str> {
    match number % 40 {
        5 => Err("no value"),
        11 => Err("not JSON"),
        17 => Err("no time"),
        23 | 35 => Err("not a JSON object"),
        29 => Err("a time that cannot be read"),
        _ => Ok(Row { text: object(number).replace(['\r', '\n'], " "), at: at(number), added: added(number) }),
    }
}

/// Appends edits to topic [`RECORDS`], in commits of 100.
///
/// # Panics
/// When the log does not take them.
pub fn write_edits(log: &dyn Log, numbers: Range<u64>) {
    let edits: Vec<_> = numbers.map(|number| (number.to_string(), value(number))).collect();
    write_values(log, &edits);
}

/// Appends any records.
///
/// # Panics
/// When the log does not take them.
pub fn write_values(log: &dyn Log, records: &[(String, Option<String>)]) {
    log.create_topic(RECORDS, TopicSpec::default()).unwrap();
    let mut writer = log.writer(&WriterId { connector: "producer".to_owned(), task: 0 }).unwrap();
    for some in records.chunks(100) {
        let mut batch = BatchBuilder::default();
        some.iter().for_each(|(key, value)| {
            batch.push(Some(key.as_bytes()), value.as_deref().map(str::as_bytes), &[], FIRST_DAY);
        });
        writer.commit(&Commit { appends: vec![(RECORDS.to_owned(), batch.build())], ..Commit::default() }).unwrap();
    }
}

/// What is in the topic, as rows in order; and how many records are none, by reason.
///
/// # Panics
/// When it holds something else than edits.
pub fn rows_in(log: &dyn Log) -> (Vec<Row>, BTreeMap<&'static str, u64>) {
    let (mut rows, mut skipped) = (Vec::new(), BTreeMap::new());
    for record in read_all(log, RECORDS) {
        let key = String::from_utf8(record.key.unwrap()).unwrap();
        let number = key.parse().unwrap_or_else(|_| panic!("record `{key}` is no edit"));
        assert_eq!(record.value.map(|value| String::from_utf8(value).unwrap()), value(number), "edit {number}");
        match row(number) {
            Ok(row) => rows.push(row),
            Err(reason) => *skipped.entry(reason).or_default() += 1,
        }
    }
    (rows, skipped)
}

/// Count, and the sum of what was added.
pub fn totals<'a>(rows: impl IntoIterator<Item = &'a Row>) -> (u64, i64) {
    rows.into_iter().fold((0, 0), |(count, sum), row| (count + 1, sum + row.added.unwrap_or(0)))
}
