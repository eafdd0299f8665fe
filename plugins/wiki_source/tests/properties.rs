//! Whatever comes in, each frame has one outcome, and what a line says is what its row says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use proptest::prelude::*;
use support::{Decoded, Line, decode, open};

/// Text that the feed can carry in a field.
fn field() -> impl Strategy<Value = String> {
    "\\PC{0,80}".prop_filter("no control characters", |text| !text.contains(char::is_control))
}

fn size() -> impl Strategy<Value = (i32, String)> {
    (-i32::MAX..=i32::MAX).prop_map(|size| match size {
        ..-500 => (size, format!("(\x02{size}\x02)")),
        _ => (size, format!("({size:+})")),
    })
}

fn check(source: &mut wiki_source::WikiSource, text: &str, line: &Line<'_>, delta: i32) -> Result<(), TestCaseError> {
    let decoded = decode(source, "#en.wikipedia", text.as_bytes());
    let Decoded::Row { value, .. } = decoded else { return Err(TestCaseError::fail(format!("{decoded:?}"))) };
    prop_assert_eq!(&value["page"], line.title);
    prop_assert_eq!(&value["user"], line.user);
    prop_assert_eq!(&value["comment"], line.comment);
    prop_assert_eq!(&value["diffUrl"], line.url);
    prop_assert_eq!(&value["flags"], line.flags);
    prop_assert_eq!(&value["commentLength"], line.comment.encode_utf16().count());
    prop_assert_eq!(&value["delta"], delta);
    prop_assert_eq!(value["added"].as_i64().unwrap() - value["deleted"].as_i64().unwrap(), i64::from(delta));
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_have_one_outcome(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        for prefix in [&b""[..], b"\x0314[[\x0307", b"[[", b"{\"type\":\"edit\","] {
            let data = [prefix, &data].concat();
            decode(&mut open("irc", &[]), "#a", &data);
            decode(&mut open("sse", &[]), "message", &data);
        }
    }

    #[test]
    fn any_mixture_of_anchors_has_one_outcome(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "\x0314[[", "\x0307", "\x0303", "\x0314]]\x034 ", "\x0310 \x0302", "\x03 \x035*\x03 \x0303",
            "\x03 \x035*\x03 ", " \x0310", "\x03", "(+1)", "(\x02-501\x02)", "[[", "]] ", " * ", "https://a",
            "Special:Log/x", "A", "é", "\x02", "\"",
        ]), 0..16)
    ) {
        decode(&mut open("irc", &[]), "#a", pieces.concat().as_bytes());
    }

    #[test]
    fn any_fields_come_back(title in field(), user in field(), comment in field(), (delta, size) in size()) {
        let mut source = open("irc", &[]);
        let (title, user, comment) = (title.as_str(), user.as_str(), comment.as_str());
        let line = Line { title, flags: "!M", url: "https://a.org/?diff=1", user, size: &size, comment };
        check(&mut source, &line.coloured(), &line, delta)?;
        // Without codes, some text cannot be told from the line's own.
        if !title.contains(']') && !user.contains(" * ") && !user.ends_with(" *") {
            check(&mut source, &line.plain(), &line, delta)?;
        }
    }

    #[test]
    fn a_line_cut_anywhere_is_a_record_or_a_reject(
        title in field(), user in field(), comment in field(), at in any::<prop::sample::Index>()
    ) {
        let (title, user, comment) = (title.as_str(), user.as_str(), comment.as_str());
        let line = Line { title, flags: "N", url: "https://a.org/", user, size: "(+5)", comment };
        let whole = line.coloured();
        let at = at.index(whole.len() + 1);
        let mut source = open("irc", &[("extra.columns", "true")]);
        let decoded = decode(&mut source, "#a", &whole.as_bytes()[..at]);
        let comment_at = whole.len() - comment.len() - 1;
        if at < comment_at {
            prop_assert!(matches!(decoded, Decoded::Reject(_)), "{decoded:?}");
        } else {
            prop_assert_eq!(&decoded.value()["truncated"], at < whole.len());
            prop_assert!(comment.starts_with(decoded.value()["comment"].as_str().unwrap()));
        }
    }

    #[test]
    fn any_event_text_comes_back(title in any::<String>(), user in any::<String>(), comment in any::<String>()) {
        let event = serde_json::json!({"type": "edit", "title": title, "user": user, "comment": comment,
            "server_name": "en.wikipedia.org", "timestamp": 1, "namespace": 0});
        let decoded = decode(&mut open("sse", &[]), "message", event.to_string().as_bytes());
        let value = decoded.value();
        prop_assert_eq!(&value["page"], &title);
        prop_assert_eq!(&value["user"], &user);
        prop_assert_eq!(&value["comment"], &comment);
        prop_assert_eq!(&value["commentLength"], comment.encode_utf16().count());
    }
}
