//! Rows: the columns of one edit as a JSON object, and the schema that describes them.
//!
//! Invariants: columns stand in the order of the schema; every row parses as JSON given UTF-8;
//! numbers fit the types that the schema says. The bytes are written straight into the batch.

use crate::channel::Channel;
use crate::json::{Text, put_escaped, put_int, put_text};
use crate::options::{Options, Rules};
use crate::time::Clock;
use crate::user::UserKind;
use connector_sdk::geoip::{self, Place};
use connector_sdk::{BatchBuilder, Schemas};
use std::str::from_utf8;

/// One edit, before rules are applied.
pub(crate) struct Row<'a> {
    pub(crate) channel: &'a Channel,
    /// The edit's time in milliseconds since 1970 UTC.
    pub(crate) time_ms: i64,
    /// When it was received, likewise.
    pub(crate) received_ms: i64,
    pub(crate) marks: Marks,
    pub(crate) flags: Text<'a>,
    pub(crate) page: Text<'a>,
    pub(crate) url: Text<'a>,
    pub(crate) delta: i32,
    pub(crate) comment: Text<'a>,
    /// In UTF-16 code units.
    pub(crate) comment_len: usize,
    pub(crate) user: Text<'a>,
    pub(crate) namespace: Text<'a>,
    pub(crate) is_truncated: bool,
    pub(crate) event: Option<EventColumns<'a>>,
}

/// The four flags of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    pub(crate) is_unpatrolled: bool,
    pub(crate) is_new: bool,
    pub(crate) is_minor: bool,
    pub(crate) is_robot: bool,
}

/// What only EventStreams tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventColumns<'a> {
    pub(crate) id: Option<Text<'a>>,
    pub(crate) wiki: Option<Text<'a>>,
    pub(crate) revision: Option<i64>,
}

/// Writes rows under the operator's options.
#[derive(Debug)]
pub(crate) struct Rows {
    rules: Rules,
    has_extra_columns: bool,
    counts_temporary: bool,
    has_places: bool,
    clock: Clock,
}

impl Rows {
    pub(crate) fn new(options: &Options) -> Self {
        Rows {
            rules: options.rules,
            has_extra_columns: options.has_extra_columns,
            counts_temporary: options.counts_temporary,
            has_places: geoip::available(),
            clock: Clock::new(),
        }
    }

    /// Appends a row as one record: its key the time of receipt, its timestamp the edit's time.
    pub(crate) fn put(&mut self, row: &Row<'_>, records: &mut BatchBuilder) {
        let mut key = itoa::Buffer::new();
        let mut record = records.begin(row.time_ms, Some(key.format(row.received_ms).as_bytes()));
        let out = record.value();
        let kind = UserKind::of(row.user.bytes);
        let is_anonymous = self.rules == Rules::Dataset
            && (kind.is_address() || (self.counts_temporary && kind == UserKind::Temporary));

        out.extend_from_slice(row.channel.beginning(row.marks.is_robot));
        self.clock.put(row.time_ms, out);
        out.extend_from_slice(br#"","flags":""#);
        put_text(out, row.flags);
        out.extend_from_slice(if row.marks.is_unpatrolled {
            br#"","isUnpatrolled":true,"page":""#.as_slice()
        } else {
            br#"","isUnpatrolled":false,"page":""#
        });
        put_text(out, row.page);
        out.extend_from_slice(br#"","diffUrl":""#);
        put_text(out, row.url);
        out.extend_from_slice(br#"","added":"#);
        put_int(out, row.delta.max(0));
        out.extend_from_slice(br#","comment":""#);
        put_text(out, row.comment);
        out.extend_from_slice(br#"","commentLength":"#);
        put_int(out, i32::try_from(row.comment_len).unwrap_or(i32::MAX));
        out.extend_from_slice(match (row.marks.is_new, row.marks.is_minor) {
            (false, false) => br#","isNew":false,"isMinor":false,"delta":"#.as_slice(),
            (false, true) => br#","isNew":false,"isMinor":true,"delta":"#,
            (true, false) => br#","isNew":true,"isMinor":false,"delta":"#,
            (true, true) => br#","isNew":true,"isMinor":true,"delta":"#,
        });
        put_int(out, row.delta);
        out.extend_from_slice(if is_anonymous {
            br#","isAnonymous":true,"user":""#.as_slice()
        } else {
            br#","isAnonymous":false,"user":""#
        });
        put_text(out, row.user);
        out.extend_from_slice(br#"","deltaBucket":"#);
        put_int(out, delta_bucket(self.rules, row.delta));
        out.extend_from_slice(br#".0,"deleted":"#);
        put_int(out, i64::from(row.delta.min(0)).abs());
        out.extend_from_slice(br#","namespace":""#);
        match self.rules {
            Rules::Dataset => put_text(out, row.namespace),
            Rules::Demo => out.extend_from_slice(b"main"),
        }
        out.push(b'"');
        if self.has_places && kind.is_address() {
            put_place(out, from_utf8(row.user.bytes).ok().and_then(geoip::lookup));
        }
        if self.has_extra_columns {
            put_extra(out, row, kind);
        }
        out.push(b'}');
        record.finish();
    }

    /// The schemas of keys and values; `has_events` where the feed gives [`EventColumns`].
    pub(crate) fn schemas(&self, has_events: bool) -> Schemas {
        let bucket = if self.rules == Rules::Dataset { "double" } else { "float" };
        let always = COLUMNS.iter().map(|(name, kind)| (*name, kind.unwrap_or(bucket), false));
        let places = PLACE_COLUMNS.iter().filter(|_| self.has_places).map(|name| (*name, "string", true));
        let extra = EXTRA_COLUMNS.iter().filter(|_| self.has_extra_columns);
        let event = EVENT_COLUMNS.iter().filter(|_| self.has_extra_columns && has_events);
        let extra = extra.chain(event).map(|(name, kind)| (*name, *kind, true));
        let fields: Vec<_> = always
            .chain(places)
            .chain(extra)
            .map(|(name, kind, is_optional)| {
                format!(r#"{{"type":"{kind}","optional":{is_optional},"field":"{name}"}}"#)
            })
            .collect();
        let fields = fields.join(",");
        let value = format!(
            r#"{{"type":"struct","fields":[{fields}],"optional":false,"name":"WikipediaMessage","version":1}}"#
        );
        Schemas { key: Some(r#"{"type":"int64","optional":false}"#.to_owned()), value: Some(value) }
    }
}

/// Names and Connect types; none for the type that depends on the rules.
const COLUMNS: &[(&str, Option<&str>)] = &[
    ("isRobot", Some("boolean")),
    ("channel", Some("string")),
    ("timestamp", Some("string")),
    ("flags", Some("string")),
    ("isUnpatrolled", Some("boolean")),
    ("page", Some("string")),
    ("diffUrl", Some("string")),
    ("added", Some("int32")),
    ("comment", Some("string")),
    ("commentLength", Some("int32")),
    ("isNew", Some("boolean")),
    ("isMinor", Some("boolean")),
    ("delta", Some("int32")),
    ("isAnonymous", Some("boolean")),
    ("user", Some("string")),
    ("deltaBucket", None),
    ("deleted", Some("int32")),
    ("namespace", Some("string")),
];
const PLACE_COLUMNS: &[&str] = &["countryIsoCode", "countryName", "regionIsoCode", "regionName", "cityName"];
const EXTRA_COLUMNS: &[(&str, &str)] = &[("userKind", "string"), ("truncated", "boolean")];
const EVENT_COLUMNS: &[(&str, &str)] = &[("eventId", "string"), ("wiki", "string"), ("revision", "int64")];

/// The hundred that a change of size belongs to. In the data set the one below, so that -1 is in
/// -100; in the demonstration the one above, and at least 100.
fn delta_bucket(rules: Rules, delta: i32) -> i64 {
    let delta = i64::from(delta);
    match rules {
        Rules::Dataset => delta.div_euclid(100) * 100,
        Rules::Demo if delta <= 100 => 100,
        Rules::Demo => (delta + 99) / 100 * 100,
    }
}

fn put_place(out: &mut Vec<u8>, place: Option<Place>) {
    let Some(place) = place else { return };
    let parts = [place.country_iso_code, place.country_name, place.region_iso_code, place.region_name, place.city_name];
    for (name, part) in PLACE_COLUMNS.iter().zip(parts) {
        if let Some(part) = part {
            put_member(out, name, Text::unread(part.as_bytes()));
        }
    }
}

fn put_extra(out: &mut Vec<u8>, row: &Row<'_>, kind: UserKind) {
    put_member(out, "userKind", Text::clean(kind.word().as_bytes()));
    out.extend_from_slice(if row.is_truncated { br#","truncated":true"#.as_slice() } else { br#","truncated":false"# });
    let Some(event) = row.event else { return };
    if let Some(id) = event.id {
        put_member(out, "eventId", id);
    }
    if let Some(wiki) = event.wiki {
        put_member(out, "wiki", wiki);
    }
    if let Some(revision) = event.revision {
        out.extend_from_slice(br#","revision":"#);
        put_int(out, revision);
    }
}

fn put_member(out: &mut Vec<u8>, name: &str, value: Text<'_>) {
    out.extend_from_slice(b",\"");
    put_escaped(out, name.as_bytes());
    out.extend_from_slice(b"\":\"");
    put_text(out, value);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_the_rules() {
        for (delta, dataset, demo) in [
            (0, 0, 100),
            (42, 0, 100),
            (99, 0, 100),
            (100, 100, 100),
            (101, 100, 200),
            (199, 100, 200),
            (200, 200, 200),
            (-1, -100, 100),
            (-100, -100, 100),
            (-101, -200, 100),
            (i32::MAX, 2_147_483_600, 2_147_483_700),
            (-i32::MAX, -2_147_483_700, 100),
        ] {
            assert_eq!(delta_bucket(Rules::Dataset, delta), dataset, "{delta}");
            assert_eq!(delta_bucket(Rules::Demo, delta), demo, "{delta}");
        }
    }
}
