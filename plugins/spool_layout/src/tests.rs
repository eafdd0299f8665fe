//! Options, names and what is no name, case by case.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;

/// Option names and defaults as they stand in `plugin.toml`.
fn defaults() -> Vec<(String, String)> {
    let value = |option: &str, key: &str| {
        let line = option.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ")).unwrap();
        line.trim_matches('"').to_owned()
    };
    let options = include_str!("../plugin.toml").split("[[options]]").skip(1);
    options.map(|option| (value(option, "name"), value(option, "default"))).collect()
}

/// Opens as connector `sink` with the defaults, which the host fills in, and these on top.
fn open(options: &[(&str, &str)]) -> Result<(SpoolLayout, Plan), Error> {
    open_as("sink", options)
}

fn open_as(connector: &str, options: &[(&str, &str)]) -> Result<(SpoolLayout, Plan), Error> {
    let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    SpoolLayout::open(connector, &defaults().into_iter().chain(options).collect())
}

fn layout(directories: &str) -> SpoolLayout {
    open(&[("target.directories", directories)]).unwrap().0
}

fn identity() -> Identity {
    Identity {
        topic: "wikipedia".to_owned(),
        partition: 3,
        first: 123,
        next: 4567,
        first_ms: 1_795_574_096_789,
        last_ms: 1_795_574_106_790,
        sequence: 7,
    }
}

const NAME: &str =
    "wikipedia+00003+000000000007+000000000123-000000004567+20261125T023456789Z-20261125T023506790Z.spool";

fn config(text: &str) -> Option<Error> {
    Some(Error::Config(text.to_owned()))
}

#[test]
fn the_default_plan_is_the_demonstrations() {
    let (_, plan) = open(&[]).unwrap();
    let tree = &plan.tree;
    let spool = [&tree.inbox, &tree.tmp, &tree.outbox, &tree.wash, &tree.washd, &tree.quarantine];
    let expected = [".inbox", ".tmp", ".outbox", ".wash", ".washd", ".quarantine"];
    assert_eq!(spool.map(String::as_str), expected.map(|name| format!("var/spool/{name}")));
    assert_eq!((tree.staging.as_str(), tree.target.as_str()), ("var/staging", ""));
    let rotation = &plan.rotation;
    assert_eq!((rotation.max_bytes, rotation.max_records, rotation.max_age_ms), (67_108_864, 100_000, 10_000));
    assert_eq!(plan.trash_retention_ms, 3_600_000);
}

#[test]
fn options_change_the_plan() {
    let (_, plan) = open(&[
        ("rotation.max.bytes", "0"),
        ("rotation.max.records", "9223372036854775807"),
        ("rotation.max.age.ms", "0"),
        ("trash.retention.ms", "0"),
        ("staging.directory", "writing/{connector}/{connector}.d"),
        ("target.directory", "data/wikipedia"),
    ])
    .unwrap();
    let rotation = &plan.rotation;
    assert_eq!((rotation.max_bytes, rotation.max_records, rotation.max_age_ms), (0, i64::MAX as u64, 0));
    assert_eq!(plan.trash_retention_ms, 0);
    assert_eq!(plan.tree.staging, "writing/sink/sink.d");
    assert_eq!(plan.tree.target, "data/wikipedia");
    let named = [("staging.directory", "var/{connector}")];
    let staging = |connector| open_as(connector, &named).unwrap().1.tree.staging;
    assert_eq!(staging("a{connector}"), "var/a{connector}", "a name is put in once");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let check = |options: &[(&str, &str)], expected: &str| {
        assert_eq!(open(options).err(), config(expected), "{options:?}");
    };
    for key in ["rotation.max.bytes", "rotation.max.records", "rotation.max.age.ms", "trash.retention.ms"] {
        for found in ["-1", "", "ten", "1.5", "9223372036854775808", "１"] {
            let expected = "expected a whole number from 0 to 9223372036854775807";
            check(&[(key, found)], &format!("option `{key}` is `{found}`, {expected}"));
        }
    }
    check(
        &[("rotation.max.bytes", "0"), ("rotation.max.records", "0"), ("rotation.max.age.ms", "0")],
        "options `rotation.max.bytes`, `rotation.max.records` and `rotation.max.age.ms` are all `0`, expected at \
         least one above 0: files would never be closed",
    );
    check(&[("target.directories", "week")], "option `target.directories` is `week`, expected `flat`, `day` or `hour`");
    let long = "x".repeat(256);
    for found in ["/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\nb", "a\0", "{topic}", "a}", &long] {
        let expected = "expected names joined by `/`, each of 1 to 255 bytes without control characters, none `.` or \
                        `..`";
        let text = found.escape_debug();
        let braces = "braces only as `{connector}`";
        check(
            &[("staging.directory", found)],
            &format!("option `staging.directory` is `{text}`, {expected}, {braces}"),
        );
        check(&[("target.directory", found)], &format!("option `target.directory` is `{text}`, {expected}, no braces"));
    }
    let missing = SpoolLayout::open("sink", &Settings::default());
    assert_eq!(missing.err(), config("option `rotation.max.bytes` is not set"));
}

#[test]
fn directories_that_overlap_are_refused() {
    let apart = |staging: &str, target: &str| {
        open(&[("staging.directory", staging), ("target.directory", target)]).err().map(|error| error.to_string())
    };
    for (staging, target) in [
        ("var/sink", "var"),
        ("var/sink", "var/spool"),
        ("var/sink", "var/sink2"),
        ("var/spool/.inbox2", ""),
        ("var/spool/.staging", "var/spool/data"),
        ("var/spool2", "data"),
        ("data/.staging", "data"),
    ] {
        assert_eq!(apart(staging, target), None, "{staging} {target}");
    }
    for (staging, at) in [
        ("var", "var/spool/.inbox"),
        ("var/spool", "var/spool/.inbox"),
        ("var/spool/.inbox", "var/spool/.inbox"),
        ("var/spool/.tmp/sink", "var/spool/.tmp"),
        ("var/spool/.washd", "var/spool/.washd"),
        ("var/spool/.quarantine/a/b", "var/spool/.quarantine"),
    ] {
        let found = format!("option `staging.directory` means `{staging}`");
        let expected = format!("{found}, expected one that is neither above, in nor at `{at}`");
        assert_eq!(apart(staging, ""), Some(expected));
    }
    for (target, at) in [("var/spool/.outbox", "var/spool/.outbox"), ("var/spool/.wash/x", "var/spool/.wash")] {
        let expected =
            format!("option `target.directory` is `{target}`, expected one that is neither in nor at `{at}`");
        assert_eq!(apart("var/sink", target), Some(expected));
    }
    for target in ["var/sink", "var/sink/data"] {
        assert!(apart("var/sink", target).is_some_and(|text| text.contains(&format!("`{target}`"))), "{target}");
    }
}

#[test]
fn a_connector_whose_name_is_no_directorys_is_refused() {
    for name in ["", ".", "..", "a/b", "a\u{7}"] {
        let expected = format!(
            "connector is called `{}`, and option `staging.directory` is `{{connector}}`: expected a name that a \
             directory can have",
            name.escape_debug()
        );
        let options = [("staging.directory", "{connector}")];
        assert_eq!(open_as(name, &options).err(), config(&expected));
        assert!(open_as(name, &[("staging.directory", "staging")]).is_ok(), "a name that is not used is not judged");
    }
    // The name alone decides whether this one overlaps.
    let error = open_as("spool", &[("staging.directory", "var/{connector}")]).err().unwrap().to_string();
    assert!(error.starts_with("option `staging.directory` means `var/spool`, "), "{error}");
}

#[test]
fn names_say_everything_and_are_read_back() {
    for (directories, target) in [("flat", ""), ("day", "2026/11/25/"), ("hour", "2026/11/25/02/")] {
        let layout = layout(directories);
        let target = format!("{target}{NAME}");
        assert_eq!(layout.name(&identity(), Place::Inbox).unwrap(), NAME);
        assert_eq!(layout.name(&identity(), Place::Target).unwrap(), target);
        assert_eq!(layout.parse(NAME), Some(identity()));
        assert_eq!(layout.parse(&target), Some(identity()));
    }
}

#[test]
fn extreme_identities_have_names() {
    let layout = layout("hour");
    for (identity, expected) in [
        (
            Identity {
                topic: "-".to_owned(),
                partition: 0,
                first: 0,
                next: 1,
                first_ms: time::FIRST_MS,
                last_ms: time::FIRST_MS,
                sequence: 0,
            },
            "0001/01/01/00/-+00000+000000000000+000000000000-000000000001+00010101T000000000Z-00010101T000000000Z.spool",
        ),
        (
            Identity {
                topic: "A.b_C-9".to_owned(),
                partition: u32::MAX,
                first: u64::MAX - 1,
                next: u64::MAX,
                first_ms: -1,
                last_ms: time::LAST_MS,
                sequence: u64::MAX,
            },
            "1969/12/31/23/A.b_C-9+4294967295+18446744073709551615+18446744073709551614-18446744073709551615\
             +19691231T235959999Z-99991231T235959999Z.spool",
        ),
    ] {
        assert_eq!(layout.name(&identity, Place::Target).unwrap(), expected);
        assert_eq!(layout.parse(expected), Some(identity));
    }
}

#[test]
fn what_no_name_can_hold_is_refused() {
    let check = |change: &dyn Fn(&mut Identity), expected: Error| {
        let mut identity = identity();
        change(&mut identity);
        for place in [Place::Inbox, Place::Target] {
            assert_eq!(layout("day").name(&identity, place).err(), Some(expected.clone()));
        }
    };
    for topic in ["", "a/b", "a+b", "a b", "é", "a\n", &"x".repeat(250)] {
        let expected = "expected 1 to 249 letters, digits, `.`, `_` and `-`";
        let text = format!("topic of a file is `{}`, {expected}", topic.escape_debug());
        check(&|identity| topic.clone_into(&mut identity.topic), Error::Config(text));
    }
    let text = "first offset of a file is 4567, expected one below the next, 4567";
    check(&|identity| identity.first = 4567, Error::Bug(text.to_owned()));
    let text =
        "earliest record time of a file is 1795574106791 ms, expected one not above the latest, 1795574106790 ms";
    check(&|identity| identity.first_ms = 1_795_574_106_791, Error::Bug(text.to_owned()));
    let text = "record time of a file is -62135596800001 ms, expected one in the years 1 to 9999";
    check(&|identity| identity.first_ms = -62_135_596_800_001, Error::Config(text.to_owned()));
    let text = "record time of a file is 253402300800000 ms, expected one in the years 1 to 9999";
    check(&|identity| identity.last_ms = 253_402_300_800_000, Error::Config(text.to_owned()));
}

/// The README's table of limits.
#[test]
fn the_longest_topics_are_those_of_the_readme() {
    let with_topic = |identity: &Identity, len: usize| Identity { topic: "t".repeat(len), ..identity.clone() };
    let large =
        Identity { partition: u32::MAX, first: 10_u64.pow(19), next: u64::MAX, sequence: u64::MAX, ..identity() };
    for (directories, place, usual, always) in [
        ("hour", Place::Inbox, 109, 80),
        ("flat", Place::Target, 109, 80),
        ("day", Place::Target, 98, 69),
        ("hour", Place::Target, 95, 66),
    ] {
        let layout = layout(directories);
        for (identity, most) in [(identity(), usual), (large.clone(), always)] {
            let name = layout.name(&with_topic(&identity, most), place).unwrap();
            assert_eq!(name.len(), 200, "{name}");
            assert_eq!(layout.parse(&name), Some(with_topic(&identity, most)));
            let topic = "t".repeat(most + 1);
            let expected = format!(
                "topic `{topic}` has {} bytes, which makes a file name of 201; expected a topic of at most {most} \
                 bytes, for names of at most 200",
                most + 1
            );
            assert_eq!(layout.name(&with_topic(&identity, most + 1), place).err(), config(&expected));
            assert_eq!(layout.parse(&name.replacen('t', "tt", 1)), None, "a name too long is no name");
        }
    }
    assert!(layout("flat").name(&with_topic(&identity(), 249), Place::Inbox).is_err());
}

#[test]
fn names_sort_by_topic_partition_and_sequence() {
    let layout = layout("flat");
    let mut identities = Vec::new();
    let mut topics = ["a", "a-", "a-b", "a.b", "a0", "aZ", "a_", "aa", "Z", "z"];
    topics.sort_unstable();
    for topic in topics {
        for partition in [0, 9, 10, 99_999] {
            for sequence in [0, 9, 10, 999_999_999_999] {
                for first in [0, 10, 999_999_999_998] {
                    let next = first + 1;
                    identities.push(Identity {
                        topic: topic.to_owned(),
                        partition,
                        sequence,
                        first,
                        next,
                        ..identity()
                    });
                }
            }
        }
    }
    let names: Vec<String> = identities.iter().map(|i| layout.name(i, Place::Inbox).unwrap()).collect();
    assert!(names.is_sorted());
    let beyond = Identity { sequence: 1_000_000_000_000, ..identities[0].clone() };
    let name = layout.name(&beyond, Place::Inbox).unwrap();
    assert!(name < names[9], "beyond its padding a number works and does not sort: {name}");
    assert_eq!(layout.parse(&name), Some(beyond));
}

#[test]
fn what_is_not_exactly_a_name_is_none() {
    let check = |layout: &SpoolLayout, name: &str| assert_eq!(layout.parse(name), None, "{name:?}");
    let flat = layout("flat");
    for (from, to) in [
        // Numbers: padding, signs, look-alikes, range, size.
        ("+00003+", "+3+"),
        ("+00003+", "+000003+"),
        ("+00003+", "++0003+"),
        ("+00003+", "+-0003+"),
        ("+00003+", "+0000３+"),
        ("+00003+", "+0000٣+"),
        ("+00003+", "+0000a+"),
        ("+00003+", "+ 00003+"),
        ("+00003+", "+4294967296+"),
        ("+000000000007+", "+00000000007+"),
        ("+000000000007+", "+0000000000007+"),
        ("+000000000007+", "+18446744073709551616+"),
        ("+000000000007+", "++"),
        ("+000000000123-", "+123-"),
        ("+000000000123-", "+0x0000000123-"),
        ("-000000004567+", "-99999999999999999999999999999999999999999+"),
        ("-000000004567+", "--00000004567+"),
        // Ranges.
        ("000000000123-000000004567", "000000000123-000000000123"),
        ("000000000123-000000004567", "000000004567-000000000123"),
        ("Z-20261125T023506790Z", "Z-20261125T023456788Z"),
        // Times.
        ("20261125T023456789Z-", "00001125T023456789Z-"),
        ("20261125T023456789Z-", "020261125T023456789Z-"),
        ("20261125T023456789Z-", "20260230T023456789Z-"),
        ("20261125T023456789Z-", "20261125T023460789Z-"),
        ("20261125T023456789Z-", "20261125t023456789z-"),
        ("20261125T023456789Z-", "20261125T02345678Z-"),
        ("-20261125T023506790Z", "-100001125T023506790Z"),
        ("-20261125T023506790Z", "-20261125T240000000Z"),
        // Topics and structure.
        ("wikipedia+", "+"),
        ("wikipedia+", ""),
        ("wikipedia+", "wiki pedia+"),
        ("wikipedia+", "wikipédia+"),
        ("wikipedia+", "wiki+pedia+"),
        ("wikipedia+", "wiki\0pedia+"),
        ("wikipedia", "wikipedia\n"),
        ("+", "-"),
        ("+", "＋"),
        ("+000000000007", ""),
        (".spool", ".SPOOL"),
        (".spool", ".spoo"),
        (".spool", ".spool.spool"),
        (".spool", ".spool "),
        (".spool", ".spool.tmp"),
        (".spool", "+.spool"),
        (".spool", ""),
        ("wikipedia", "/wikipedia"),
        ("wikipedia", "./wikipedia"),
        ("wikipedia", "2026/11/24/wikipedia"),
    ] {
        let name = NAME.replacen(from, to, 1);
        assert_ne!(name, NAME, "{from}");
        check(&flat, &name);
    }
    for name in ["", "/", ".", "..", ".spool", "+++++.spool", "++++-+-.spool", "\u{0}", &"+".repeat(100_000)] {
        check(&flat, name);
    }
    let long_topic = "x".repeat(1_000_000);
    check(&flat, &NAME.replace("wikipedia", &long_topic));
}

#[test]
fn a_name_lies_in_a_directory_of_its_time_only() {
    for directories in ["flat", "day", "hour"] {
        let layout = layout(directories);
        for directory in [
            "",
            "/",
            "2026/",
            "2026/11/",
            "2026/11/25/",
            "2026/11/25/02/",
            "2026/11/25/02/34/",
            "2026/11/26/",
            "2026/11/25/03/",
            "2026/11/25/2/",
            "/2026/11/25/",
            "2026/11//25/",
            "2026//11/25/02/",
            "2026/11/25/./",
            "2026/11/25/02/../02/",
            "x/2026/11/25/",
            "２026/11/25/",
            "20261125/",
            "2026\\11\\25\\",
        ] {
            // Whatever is chosen now: files that were published before it was changed are still files.
            let expected = ["", "2026/11/25/", "2026/11/25/02/"].contains(&directory).then(identity);
            assert_eq!(layout.parse(&format!("{directory}{NAME}")), expected, "{directories} {directory}");
        }
    }
}
