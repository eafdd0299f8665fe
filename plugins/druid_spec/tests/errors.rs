//! What is refused, and the words it is refused in.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use connector_sdk::ingest::{Access, ColumnType, DataSource, Dialect, Granularity, Mode, Secret, Span, Stream, Task};
use connector_sdk::{Error, Ingestion, Settings};
use druid_spec::DruidSpec;
use support::{DAY, DAY_MS, batch, columns, days, open, stream, task, wikipedia};

fn config(text: &str) -> Option<Error> {
    Some(Error::Config(text.to_owned()))
}

/// What a task is refused with.
fn refused(of: &Task) -> Option<Error> {
    open(&[]).unwrap().task(of).err()
}

fn append() -> Task {
    task(Mode::Append, Dialect::Current)
}

#[test]
fn options_out_of_bounds_are_refused() {
    let check = |key: &str, found: &str, expected: &str| {
        let error = open(&[(key, found)]).err();
        assert_eq!(error, config(&format!("option `{key}` is `{found}`, expected {expected}")), "{key} {found}");
    };
    for (key, least, most) in [
        ("task.priority", 0, i64::from(i32::MAX)),
        ("max.rows.per.segment", 1, i64::from(i32::MAX)),
        ("max.rows.in.memory", 1, i64::from(i32::MAX)),
        ("max.parse.exceptions", 0, i64::from(i32::MAX)),
        ("max.concurrent.subtasks", 1, 1000),
        ("fetch.timeout.ms", 1, i64::MAX),
        ("await.segment.availability.ms", 0, i64::MAX),
    ] {
        let expected = format!("a whole number from {least} to {most}");
        let above = (i128::from(most) + 1).to_string();
        for found in [&(least - 1).to_string(), above.as_str(), "", "ten", "1.5", "１"] {
            check(key, found, &expected);
        }
        for found in [least, most] {
            assert!(open(&[(key, &found.to_string())]).is_ok(), "{key} {found}");
        }
    }
    for key in ["concurrent.locks", "report.parse.exceptions", "rollup"] {
        check(key, "yes", "`true` or `false`");
    }
    let names = "one of `none`, `second`, `minute`, `fifteen_minute`, `thirty_minute`, `hour`, `day`";
    check("query.granularity", "week", names);
    let both = open(&[("report.parse.exceptions", "true"), ("max.parse.exceptions", "5")]).err();
    let expected = "option `report.parse.exceptions` is `true` and `max.parse.exceptions` is `5`, expected `0`: the \
                    first unreadable row fails the task";
    assert_eq!(both, config(expected));
    let missing = DruidSpec::open(&Settings::default()).err();
    assert_eq!(missing, config("option `query.granularity` is not set"));
}

#[test]
fn names_that_druid_refuses_are_refused() {
    let long = "x".repeat(201);
    for found in ["", ".a", "a/b", "a b", "ä", "a\n", "{id}", &long] {
        let expected = "expected 1 to 200 letters, digits, `_`, `.` or `-`, the first not `.`";
        let text = format!("task is called `{}`, {expected}", found.escape_debug());
        assert_eq!(refused(&Task { id: found.to_owned(), ..append() }), config(&text));
        let spec = open(&[]).unwrap();
        assert_eq!(spec.compaction(found, &wikipedia(), days(0, 1)).err(), config(&text));
    }
    assert_eq!(refused(&Task { id: "x".repeat(200), ..append() }), None);
    for found in ["", " ", ".a", "a/b", "a\tb", "a\n"] {
        let into = DataSource { name: found.to_owned(), ..wikipedia() };
        let expected = "expected a name without `/`, line breaks and tabs, the first character not `.`";
        let text = format!("data source is called `{}`, {expected}", found.escape_debug());
        assert_eq!(refused(&Task { into, ..append() }), config(&text));
    }
}

#[test]
fn columns_that_cannot_be_are_refused_everywhere() {
    let spec = open(&[]).unwrap();
    let check = |of: DataSource, text: &str| {
        assert_eq!(spec.compaction("c", &of, days(0, 1)).err(), config(text));
        assert_eq!(spec.supervisor(&of, &stream()).err(), config(text));
        for dialect in [Dialect::Current, Dialect::Legacy] {
            let of = Task { into: of.clone(), ..task(Mode::Append, dialect) };
            assert_eq!(spec.task(&of).err(), config(text));
        }
    };
    let with = |names: &[&str]| {
        let typed: Vec<_> = names.iter().map(|name| (*name, ColumnType::Text)).collect();
        DataSource { columns: columns(&typed), ..wikipedia() }
    };
    check(with(&[]), "data source `wikipedia` has no columns, expected at least one beside the time");
    check(with(&["a", ""]), "data source `wikipedia` has a column without a name, expected a name");
    check(with(&["a", "b", "a"]), "column `a` is twice in data source `wikipedia`, expected it once");
    check(
        with(&["a", "timestamp"]),
        "column `timestamp` of data source `wikipedia` is its time column, expected another",
    );
    check(
        with(&["__time"]),
        "data source `wikipedia` has a column `__time`, expected another name: rows are stored with their time under \
         this one",
    );
    let untimed = DataSource { time_column: String::new(), ..wikipedia() };
    check(untimed, "data source `wikipedia` has an empty time column, expected a name");
    let unformed = DataSource { time_format: String::new(), ..wikipedia() };
    check(
        unformed,
        "data source `wikipedia` has an empty time format, expected `iso`, `millis`, `posix`, `auto` or a pattern",
    );
}

#[test]
fn batches_are_what_the_mode_needs() {
    for dialect in [Dialect::Current, Dialect::Legacy] {
        for mode in [Mode::Append, Mode::Replace] {
            let none = Task { batches: Vec::new(), ..task(mode, dialect) };
            let text = "task `wikipedia_0001` has no batches, expected at least one to load";
            assert_eq!(refused(&none), config(text));
        }
        let some = Task { batches: vec![batch("http://h/1")], ..task(Mode::Reindex, dialect) };
        assert_eq!(refused(&some), config("task `wikipedia_0001` re-indexes and has 1 batches, expected none"));
    }
    let many = |count: usize| (0..count).map(|at| batch(&format!("http://h/{at}"))).collect();
    assert_eq!(refused(&Task { batches: many(1000), ..append() }), None);
    let text = "task `wikipedia_0001` has 1001 batches, expected at most 1000";
    assert_eq!(refused(&Task { batches: many(1001), ..append() }), config(text));
    let twice = vec![batch("http://h/1"), batch("http://h/2"), batch("http://h/1")];
    let text = "task `wikipedia_0001` has the batch `http://h/1` twice, expected it once";
    assert_eq!(refused(&Task { batches: twice, ..append() }), config(text));
    for found in [
        "",
        "h/1",
        "file:///etc/passwd",
        "http://",
        "http:///1",
        "http://h/1 2",
        "http://h/\n",
        "http://h/ä",
        "http://h/{a}",
    ] {
        let shown = found.escape_debug();
        let text = format!("task `wikipedia_0001` has a batch at `{shown}`, expected an address of http or https");
        assert_eq!(refused(&Task { batches: vec![batch(found)], ..append() }), config(&text));
    }
}

#[test]
fn intervals_are_in_order_and_there_where_they_are_needed() {
    let check = |mode, dialect, intervals: Vec<Span>, text: Option<&str>| {
        let of = Task { intervals, ..task(mode, dialect) };
        assert_eq!(refused(&of), text.and_then(config), "{mode:?} {dialect:?} {:?}", of.intervals);
    };
    let all = [Mode::Append, Mode::Replace, Mode::Reindex];
    for (mode, dialect) in all.into_iter().flat_map(|mode| [(mode, Dialect::Current), (mode, Dialect::Legacy)]) {
        let text = match (mode, dialect) {
            (Mode::Append, _) | (Mode::Replace, Dialect::Legacy) => None,
            (Mode::Replace, Dialect::Current) => {
                Some("task `wikipedia_0001` replaces no interval, expected at least one")
            }
            (Mode::Reindex, _) => Some("task `wikipedia_0001` re-indexes no interval, expected at least one"),
        };
        check(mode, dialect, Vec::new(), text);
        check(mode, dialect, vec![days(0, 1), days(1, 2), days(5, 9)], None);
        let text = format!("interval from {DAY} to {DAY} ms since 1970, expected an end above the start");
        check(mode, dialect, vec![days(0, 0)], Some(&text));
        let end = DAY - DAY_MS;
        let text = format!("interval from {DAY} to {end} ms since 1970, expected an end above the start");
        check(mode, dialect, vec![days(0, -1)], Some(&text));
        let before = DAY + 2 * DAY_MS;
        for start in [days(-3, -2), days(1, 3), days(0, 2)] {
            let text = format!(
                "interval from {} ms since 1970 comes after one to {before}, expected intervals in order and apart \
                 from each other",
                start.start
            );
            check(mode, dialect, vec![days(0, 2), start], Some(&text));
        }
        let far = Span { start: i64::MIN, end: i64::MAX };
        let (start, end) = (i64::MIN, i64::MAX);
        let text = format!("interval from {start} to {end} ms since 1970, expected one of the years 1 to 9999");
        check(mode, dialect, vec![far], Some(&text));
    }
    let spec = open(&[]).unwrap();
    let text = format!("interval from {DAY} to {DAY} ms since 1970, expected an end above the start");
    assert_eq!(spec.compaction("c", &wikipedia(), days(0, 0)).err(), config(&text));
}

#[test]
fn the_legacy_dialect_refuses_what_came_after_it() {
    let typed = [("page", ColumnType::Text), ("geo", ColumnType::Json)];
    let into = DataSource { columns: columns(&typed), ..wikipedia() };
    for mode in [Mode::Append, Mode::Replace, Mode::Reindex] {
        let of = Task { into: into.clone(), ..task(mode, Dialect::Legacy) };
        let text = "column `geo` is of type `json`, expected `text`, `long`, `float` or `double` in the legacy dialect";
        assert_eq!(refused(&of), config(text));
        assert_eq!(refused(&Task { into: into.clone(), ..task(mode, Dialect::Current) }), None);
    }
    let headers = vec![("x-spool-token".to_owned(), Secret::Placeholder("{{1}}".to_owned()))];
    let of = Task { access: Access { basic: None, headers }, ..task(Mode::Append, Dialect::Legacy) };
    let text = "batches need header `x-spool-token`, expected basic access or none: the legacy dialect cannot send \
                headers";
    assert_eq!(refused(&of), config(text));
}

#[test]
fn secrets_without_a_form_are_refused() {
    let placeholder = || Secret::Placeholder("{{1}}".to_owned());
    let other = || Secret::Other("vault".to_owned());
    let check = |dialect, basic: Option<(&str, Secret)>, headers: Vec<(&str, Secret)>, text: &str| {
        let headers = headers.into_iter().map(|(name, secret)| (name.to_owned(), secret)).collect();
        let access = Access { basic: basic.map(|(user, secret)| (user.to_owned(), secret)), headers };
        assert_eq!(refused(&Task { access, ..task(Mode::Append, dialect) }), config(text));
    };
    let expected = "is kept in another way (`vault`), expected an environment variable or a placeholder";
    for dialect in [Dialect::Current, Dialect::Legacy] {
        check(dialect, Some(("druid", other())), Vec::new(), &format!("the password of basic access {expected}"));
        for user in ["", "a:b"] {
            let text = format!("user of basic access is `{user}`, expected a name without `:`");
            check(dialect, Some((user, placeholder())), Vec::new(), &text);
        }
    }
    let current = |basic, headers, text: &str| check(Dialect::Current, basic, headers, text);
    current(None, vec![("x-token", other())], &format!("header `x-token` {expected}"));
    current(
        None,
        vec![("x-token", Secret::Environment("TOKEN".to_owned()))],
        "header `x-token` is in environment variable `TOKEN`, expected a placeholder: Druid reads only passwords from \
         its environment",
    );
    for name in ["", "x token", "x:", "ä"] {
        let text = format!("header is called `{name}`, expected a name that HTTP allows");
        current(None, vec![(name, placeholder())], &text);
    }
    current(
        None,
        vec![("x-token", placeholder()), ("X-Token", placeholder())],
        "header `X-Token` is there twice, expected it once",
    );
    current(
        Some(("druid", placeholder())),
        vec![("authorization", placeholder())],
        "header `authorization` comes with basic access, expected one of the two",
    );
}

#[test]
fn a_topic_and_brokers_are_sound() {
    let spec = open(&[]).unwrap();
    let long = "x".repeat(250);
    for found in ["", "a b", "a/b", &long] {
        let text = format!("topic is `{found}`, expected 1 to 249 letters, digits, `_`, `.` or `-`");
        let of = Stream { topic: found.to_owned(), ..stream() };
        assert_eq!(spec.supervisor(&wikipedia(), &of).err(), config(&text));
    }
    for found in ["", "broker", "broker:", ":9092", "b:0", "b:65536", "b:9092,", "a b:9092"] {
        let text = format!("brokers are `{found}`, expected `host:port`, several joined by `,`");
        let of = Stream { bootstrap_servers: found.to_owned(), ..stream() };
        assert_eq!(spec.supervisor(&wikipedia(), &of).err(), config(&text));
    }
    let of = Stream { bootstrap_servers: "[::1]:9092, b:1".to_owned(), ..stream() };
    assert!(spec.supervisor(&wikipedia(), &of).is_ok());
}

#[test]
fn times_are_not_cut_down_to_more_than_a_segment_holds() {
    let spec = open(&[("query.granularity", "day")]).unwrap();
    let of = |segments| Task { into: DataSource { segments, ..wikipedia() }, ..append() };
    let text = "option `query.granularity` is `day` and segments of data source `wikipedia` are of an hour, expected \
                `hour` or less";
    assert_eq!(spec.task(&of(Granularity::Hour)).err(), config(text));
    assert_eq!(spec.supervisor(&of(Granularity::Hour).into, &stream()).err(), config(text));
    assert!(spec.task(&of(Granularity::Day)).is_ok());
    assert!(open(&[("query.granularity", "hour")]).unwrap().task(&of(Granularity::Hour)).is_ok());
}
