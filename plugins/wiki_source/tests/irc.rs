//! The IRC feed: every expectation of the example lines, under both rules, and what goes with
//! them: schemas, keys, places, positions.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use connector_sdk::fake::set_geoip;
use connector_sdk::geoip::Place;
use connector_sdk::{Decoder, Error, Position, Settings};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{Decoded, Line, RECEIVED, RECEIVED_MS, decode, open};
use wiki_source::{WikiSource, irc};

const EXAMPLES: &str = include_str!("fixtures/irc.jsonl");

struct Example {
    why: String,
    channel: String,
    text: Vec<u8>,
    expect: Value,
}

fn examples() -> Vec<Example> {
    let examples = EXAMPLES.lines().map(|line| {
        let case: Value = serde_json::from_str(line).unwrap();
        let hex = |digits: &str| u8::from_str_radix(digits, 16).unwrap();
        let text = match (case["text"].as_str(), case["textHex"].as_str()) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(text)) => (0..text.len()).step_by(2).map(|at| hex(&text[at..at + 2])).collect(),
            other => panic!("{other:?}"),
        };
        let text_of = |key: &str| case[key].as_str().unwrap().to_owned();
        Example { why: text_of("why"), channel: text_of("channel"), text, expect: case["expect"].clone() }
    });
    examples.collect()
}

/// What the examples expect of a row, as the columns of the rules and options given.
fn expected_row(expect: &Value, is_demo: bool) -> Value {
    let mut row = expect.as_object().unwrap().clone();
    for not_a_column in ["kind", "interwiki"] {
        row.remove(not_a_column);
    }
    let seed = row.remove("deltaBucketSeed").unwrap();
    row.insert("timestamp".to_owned(), json!(RECEIVED));
    if is_demo {
        row.insert("deltaBucket".to_owned(), seed);
        row.insert("isAnonymous".to_owned(), json!(false));
        row.insert("namespace".to_owned(), json!("main"));
    }
    row.into()
}

#[test]
fn examples_become_the_expected_rows_under_both_rules() {
    let examples = examples();
    assert_eq!(examples.len(), 42);
    for (rules, is_demo) in [("dataset", false), ("demo", true)] {
        let mut source = open("irc", &[("rules", rules), ("extra.columns", "true")]);
        for Example { why, channel, text, expect } in &examples {
            let decoded = decode(&mut source, channel, text);
            match expect["kind"].as_str().unwrap() {
                "edit" => {
                    let value = expected_row(expect, is_demo);
                    assert_eq!(decoded, Decoded::Row { key: RECEIVED_MS, timestamp: RECEIVED_MS, value }, "{why}");
                }
                "log" => assert_eq!(decoded, Decoded::Skip("log entry"), "{why}"),
                "unparsed" => assert!(matches!(decoded, Decoded::Reject(_)), "{why}: {decoded:?}"),
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn examples_are_parsed_into_the_expected_fields() {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for Example { why, text: line, expect, .. } in examples() {
        // One example is cut inside a character: its last two bytes are no text.
        let line = line.strip_suffix(b"\xe9\x95").unwrap_or(&line);
        let seen = match irc::parse(line) {
            Ok(irc::Line::Edit(edit)) => json!({
                "kind": "edit", "page": text(edit.page), "flags": text(edit.flags), "diffUrl": text(edit.url),
                "user": text(edit.user), "delta": edit.size.unwrap_or(0), "comment": text(edit.comment),
                "truncated": edit.is_truncated, "interwiki": edit.interwiki.map(text),
            }),
            Ok(irc::Line::Log(log)) => {
                let (user, comment) = log.details().unwrap();
                let page = text(log.page);
                let comment = text(comment).replace("\x0302", "").replace("\x0310", "");
                json!({
                    "kind": "log", "logType": page.split_once(":Log/").unwrap().1, "page": page,
                    "logAction": text(log.action), "user": text(user), "comment": comment, "interwiki": null,
                })
            }
            Err(_) => json!({"kind": "unparsed", "interwiki": null}),
        };
        for (key, found) in seen.as_object().unwrap() {
            assert_eq!(&expect[key], found, "{why}: {key}");
        }
    }
}

fn line() -> Line<'static> {
    Line { title: "A", flags: "", url: "https://a.org/?diff=2", user: "B", size: "(+1)", comment: "c" }
}

#[test]
fn what_is_wrong_with_a_line_is_in_the_reason() {
    let mut source = open("irc", &[]);
    let cut = line().coloured();
    let cut = &cut.as_bytes()[..cut.find("(+1)").unwrap()];
    let reason =
        "irc line stops making sense at byte 63, after the size: found the end of the line, expected ` \\x0310`";
    assert_eq!(decode(&mut source, "#a", cut), Decoded::Reject(reason.to_owned()));
}

#[test]
fn odd_characters_are_escaped_and_codes_in_comments_go() {
    let mut source = open("irc", &[("extra.columns", "true")]);
    let comment = "a\tb \"c\" \\ \x02bold\x02 \x0304,12red\x03 😀\u{7f}";
    let odd = Line { title: "\"A\" \\ B", comment, ..line() }.coloured();
    let decoded = decode(&mut source, "#x\"y", odd.as_bytes());
    let value = decoded.value();
    let kept = "a\tb \"c\" \\ bold red 😀\u{7f}";
    assert_eq!(value["comment"], kept);
    assert_eq!(value["commentLength"], kept.encode_utf16().count());
    assert_eq!((&value["page"], &value["channel"]), (&json!("\"A\" \\ B"), &json!("#x\"y")));
    assert_eq!(value["truncated"], false);
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let mut source = open("irc", &[]);
    let line = line().coloured();
    let (before, after) = line.split_at(line.len() - 2);
    let bytes = [before.as_bytes(), b"\xff\xe9\x95", after.as_bytes()].concat();
    let decoded = decode(&mut source, "#a", &bytes);
    assert_eq!(decoded.value()["comment"], "\u{fffd}\u{fffd}c");
    assert_eq!(decoded.value()["commentLength"], 3);
}

#[test]
fn columns_stand_in_the_order_of_the_schema_and_have_its_types() {
    let place = |country: Option<&str>| Place {
        country_iso_code: country.map(str::to_owned),
        country_name: Some("Argentina \"A\"".to_owned()),
        region_iso_code: None,
        region_name: Some("Buenos Aires".to_owned()),
        city_name: Some("B".to_owned()),
    };
    set_geoip(Some(BTreeMap::from([
        ("192.0.2.1".to_owned(), place(Some("AR"))),
        ("2001:DB8::1".to_owned(), place(None)),
    ])));
    let all = |protocol, options: &[(&str, &str)]| {
        let schemas = open(protocol, options).schemas();
        assert_eq!(schemas.key.as_deref(), Some(r#"{"type":"int64","optional":false}"#));
        let schema: Value = serde_json::from_str(&schemas.value.unwrap()).unwrap();
        let head = (&schema["type"], &schema["name"], &schema["version"], &schema["optional"]);
        assert_eq!(head, (&json!("struct"), &json!("WikipediaMessage"), &json!(1), &json!(false)));
        let field =
            |f: &Value| format!("{} {} {}", f["field"].as_str().unwrap(), f["type"].as_str().unwrap(), f["optional"]);
        schema["fields"].as_array().unwrap().iter().map(field).collect::<Vec<_>>()
    };
    let fields = all("sse", &[("extra.columns", "true")]);
    let expected = "isRobot boolean false,channel string false,timestamp string false,flags string false,\
        isUnpatrolled boolean false,page string false,diffUrl string false,added int32 false,comment string false,\
        commentLength int32 false,isNew boolean false,isMinor boolean false,delta int32 false,\
        isAnonymous boolean false,user string false,deltaBucket double false,deleted int32 false,\
        namespace string false,countryIsoCode string true,countryName string true,regionIsoCode string true,\
        regionName string true,cityName string true,userKind string true,truncated boolean true,\
        eventId string true,wiki string true,revision int64 true";
    assert_eq!(fields.join(","), expected);
    assert_eq!(all("irc", &[("extra.columns", "true")]).len(), 25);
    let demo = all("irc", &[("rules", "demo")]);
    assert_eq!((demo.len(), demo[15].as_str()), (23, "deltaBucket float false"));

    // As bytes: order, the form of the bucket, and keys left out where nothing is known.
    let mut source = open("irc", &[("extra.columns", "true")]);
    let mut records = connector_sdk::BatchBuilder::default();
    for user in ["192.0.2.1", "2001:DB8::1", "192.0.2.9", "Named"] {
        let line = Line { user, ..line() }.coloured();
        let frame = connector_sdk::Frame { data: line.as_bytes(), origin: "#a", received_ms: RECEIVED_MS };
        source.decode(&frame, &mut records);
    }
    set_geoip(None);
    let places = |tail: &str| format!(r#""deltaBucket":0.0,"deleted":0,"namespace":"Main"{tail}"#);
    let country = r#","countryName":"Argentina \"A\"","regionName":"Buenos Aires","cityName":"B""#;
    let tails = [
        places(&format!(r#","countryIsoCode":"AR"{country},"userKind":"ip4","truncated":false}}"#)),
        places(&format!(r#"{country},"userKind":"ip6","truncated":false}}"#)),
        places(r#","userKind":"ip4","truncated":false}"#),
        places(r#","userKind":"named","truncated":false}"#),
    ];
    for ((key, value, timestamp), tail) in records.into_records().into_iter().zip(tails) {
        let value = String::from_utf8(value.unwrap()).unwrap();
        let head =
            format!(r##"{{"isRobot":false,"channel":"#a","timestamp":"{RECEIVED}","flags":"","isUnpatrolled":false,"##);
        assert!(value.starts_with(&head) && value.ends_with(&tail), "{value}\n{tail}");
        assert_eq!((key.unwrap(), timestamp), (RECEIVED_MS.to_string().into_bytes(), RECEIVED_MS));
    }
    assert_eq!(all("irc", &[]).len(), 18);
}

#[test]
fn every_channel_heard_of_has_a_position() {
    let mut source = open("irc", &[]);
    assert_eq!(source.resume(), None);
    decode(&mut source, "#b", b"nonsense");
    decode(&mut source, "#a", line().coloured().as_bytes());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let found: Vec<_> = source.positions(None).into_iter().map(|p| (text(p.partition), text(p.position))).collect();
    let position = |channel| (format!(r#"{{"channel":"{channel}"}}"#), format!(r#"{{"timestamp":{RECEIVED_MS}}}"#));
    assert_eq!(found, [position("#b"), position("#a")]);
    assert!(source.positions(None).is_empty());
}

#[test]
fn what_cannot_be_opened_is_refused() {
    let refused = |protocol, positions: &[Position]| WikiSource::open(&Settings::default(), protocol, positions).err();
    let unknown = "feed has protocol `gopher`, this plugin reads `irc` and `sse`".to_owned();
    assert_eq!(refused("gopher", &[]), Some(Error::Config(unknown)));
    let bad = Position { partition: b"here".to_vec(), position: b"there".to_vec() };
    let error = refused("irc", &[bad]);
    assert!(
        matches!(&error, Some(Error::Bug(text)) if text.starts_with("stored position `there` of partition `here`")),
        "{error:?}"
    );
}
