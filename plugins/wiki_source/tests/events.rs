//! EventStreams: every kind of event, repeated events, positions.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use connector_sdk::{Decoder, Position, Settings};
use serde_json::Value;
use support::{Decoded, RECEIVED_MS, decode, open};
use wiki_source::WikiSource;

const EXAMPLES: &str = include_str!("fixtures/eventstreams.ndjson");
const TOKEN: &str = r#"[{"topic":"eqiad.mediawiki.recentchange","partition":0,"timestamp":1790000000001},\u00e9]"#;

fn event(id: u32) -> Vec<u8> {
    let example = EXAMPLES.lines().next().unwrap();
    let mut event = serde_json::from_str::<Value>(example).unwrap()["event"].take();
    event["meta"]["id"] = format!("00000000-0000-4000-8000-{id:012x}").into();
    event.to_string().into_bytes()
}

#[test]
fn every_kind_of_event_has_its_outcome() {
    for line in EXAMPLES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let why = case["why"].as_str().unwrap();
        let data = case["data"].as_str().map_or_else(|| case["event"].to_string(), str::to_owned);
        let options = case["options"].as_object().into_iter().flatten();
        let options: Vec<_> = options.map(|(key, value)| (key.as_str(), value.as_str().unwrap())).collect();
        let mut source = open("sse", &options);
        let decoded = decode(&mut source, case["origin"].as_str().unwrap_or("message"), data.as_bytes());
        let expect = &case["expect"];
        match decoded {
            Decoded::Row { key, timestamp, value } => {
                assert_eq!((&value, key), (&expect["row"], RECEIVED_MS), "{why}");
                let time = expect["row"]["timestamp"].as_str().unwrap();
                assert_eq!(timestamp.rem_euclid(1000), time[20..23].parse::<i64>().unwrap(), "{why}");
            }
            Decoded::Skip(reason) => assert_eq!(expect["skip"], reason, "{why}"),
            Decoded::Reject(reason) => {
                let expected = expect["reject"].as_str().unwrap_or_else(|| panic!("{why}: {reason}"));
                assert!(reason.starts_with(expected), "{why}: {reason}");
            }
        }
    }
}

#[test]
fn a_record_has_the_time_of_its_event() {
    let Decoded::Row { key, timestamp, .. } = decode(&mut open("sse", &[]), "message", &event(1)) else { panic!() };
    assert_eq!((key, timestamp), (RECEIVED_MS, 1_770_091_506_789));
}

#[test]
fn a_repeated_event_is_a_duplicate_also_after_a_restart() {
    let mut source = open("sse", &[]);
    assert_eq!(source.resume(), None);
    assert!(source.positions(None).is_empty());
    for id in 0..200 {
        decode(&mut source, "message", &event(id)).value();
        assert_eq!(decode(&mut source, "message", &event(id)), Decoded::Skip("duplicate"));
    }
    let positions = source.positions(Some(TOKEN));
    let [Position { partition, position }] = positions.as_slice() else { panic!("{positions:?}") };
    assert_eq!(partition, br#"{"stream":"recentchange"}"#);
    let stored: Value = serde_json::from_slice(position).unwrap();
    assert_eq!((&stored["id"], stored["seen"].as_array().unwrap().len()), (&TOKEN.into(), 128));

    let mut source = WikiSource::open(&Settings::default(), "sse", &positions).unwrap();
    assert_eq!(source.resume().as_deref(), Some(TOKEN));
    for id in (72..200).rev() {
        assert_eq!(decode(&mut source, "message", &event(id)), Decoded::Skip("duplicate"), "{id}");
    }
    decode(&mut source, "message", &event(200)).value();
}

#[test]
fn the_window_of_duplicates_has_an_end() {
    let mut source = open("sse", &[]);
    for id in 0..5000 {
        decode(&mut source, "message", &event(id)).value();
    }
    assert_eq!(decode(&mut source, "message", &event(1000)), Decoded::Skip("duplicate"));
    decode(&mut source, "message", &event(0)).value();
}

#[test]
fn a_token_with_control_characters_moves_no_position_and_is_reported() {
    let mut source = open("sse", &[]);
    connector_sdk::fake::take_log();
    assert!(source.positions(Some("a\r\nb")).is_empty());
    let log = connector_sdk::fake::take_log();
    assert_eq!(
        log,
        ["error: the feed's resume token holds control characters: the stream's position stays where it was"]
    );
    let stored =
        Position { partition: br#"{"stream":"recentchange"}"#.to_vec(), position: br#"{"id":"a\n"}"#.to_vec() };
    assert!(WikiSource::open(&Settings::default(), "sse", &[stored]).is_err());
}
