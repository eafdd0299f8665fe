//! The grammar of lines, case by case and for any bytes.

#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

const LINE: &str = "\x0314[[\x0307Tea bowl\x0314]]\x034 M\x0310 \x0302https://a.org/?diff=2&oldid=1\x03 \
    \x035*\x03 \x0303Jay\x03 \x035*\x03 (+15) \x0310a * b\x03";

fn edit(text: &str) -> Edit<'_> {
    match parse(text.as_bytes()) {
        Ok(Line::Edit(edit)) => edit,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn broken(text: &str) -> String {
    parse(text.as_bytes()).err().map(|broken| broken.to_string()).unwrap_or_default()
}

#[test]
fn fields_end_at_the_codes() {
    let edit = edit(LINE);
    assert_eq!(
        (edit.page, edit.flags, edit.user, edit.comment),
        (&b"Tea bowl"[..], &b"M"[..], &b"Jay"[..], &b"a * b"[..])
    );
    assert_eq!((edit.size, edit.is_truncated), (Some(15), false));
    assert_eq!(edit.num_codes, LINE.bytes().filter(|byte| *byte < 0x20).count());
}

#[test]
fn the_interwiki_form_and_bold_sizes_count_their_codes() {
    let line = LINE.replace("[[\x0307", "[[\x0303w:\x0307").replace("(+15)", "(\x02-501\x02)");
    let edit = edit(&line);
    assert_eq!((edit.interwiki, edit.size), (Some(&b"w"[..]), Some(-501)));
    assert_eq!(edit.num_codes, line.bytes().filter(|byte| *byte < 0x20).count());
}

#[test]
fn sizes_are_numbers_of_32_bits_or_nothing() {
    for (size, expected) in [
        ("", None),
        ("(+0)", Some(0)),
        ("(-0)", Some(0)),
        ("(\x02+5\x02)", Some(5)),
        ("(+2147483647)", Some(i32::MAX)),
        ("(-2147483647)", Some(-i32::MAX)),
    ] {
        assert_eq!(edit(&LINE.replace("(+15)", size)).size, expected, "{size}");
    }
    for size in ["(+2147483648)", "(-2147483648)", "(+99999999999999999999999999)"] {
        let reason = broken(&LINE.replace("(+15)", size));
        assert!(reason.ends_with("expected a size of at most 2147483647 bytes"), "{size}: {reason}");
    }
    for size in ["(15)", "+15", "(+)", "(+1x)", "(\x02+15)", " ", "(+15)x"] {
        assert!(broken(&LINE.replace("(+15)", size)).ends_with("expected a size such as `(+5)`"), "{size}");
    }
}

#[test]
fn a_broken_line_says_where_and_what_was_expected() {
    for (line, expected) in [
        ("", "byte 0, where it begins: found the end of the line, expected `\\x0314[[` or `[[`"),
        ("hello", "byte 0, where it begins: found other text, expected `\\x0314[[` or `[[`"),
        ("\x0314[[\x0307Broken", "byte 14, after the title: found the end of the line, expected `\\x0314]]\\x034 `"),
        (
            "\x0314[[\x0307Bro\x02ken\x03",
            "byte 15, after the title: found the end of the line, expected `\\x0314]]\\x034 `",
        ),
        ("\x0314[[\x0307Broken\x0310", "byte 14, after the title: found other text, expected `\\x0314]]\\x034 `"),
        (
            "\x0314[[\x0307A\x0314]]\x034 \x0310 \x0302\x03 \x035*\x03 \x0303B\x03 \x035*\x03  \x0310c\x03",
            "byte 24, after the flags of a line that is no log entry: found other text, expected a url",
        ),
    ] {
        let reason = broken(line);
        assert_eq!(reason.strip_prefix("irc line stops making sense at "), Some(expected), "{line:?}");
    }
}

#[test]
fn a_log_entry_needs_no_more_than_its_title_and_the_empty_url() {
    let line = "\x0314[[\x0307Spezial:Log/block\x0314]]\x034 block\x0310 \x0302\x03 \x035*";
    let Ok(Line::Log(log)) = parse(line.as_bytes()) else { panic!() };
    assert_eq!((log.page, log.action, log.details()), (&b"Spezial:Log/block"[..], &b"block"[..], None));
}

#[test]
fn lines_without_codes_are_read_by_their_text() {
    for (line, user, size, comment) in [
        ("[[A]]  http://a/?diff=1 * B * (+42) c * d * (+1) e", "B", Some(42), "c * d * (+1) e"),
        ("[[A]] !NMB https://a/?diff=1 * B * (-501) ", "B", Some(-501), ""),
        ("[[A]] M https://a/?diff=1 * B * (+0)", "B", Some(0), ""),
        ("[[A]] M https://a/?diff=1 * B *  no size * (+1) x", "B", None, "no size * (+1) x"),
        ("[[A]] M https://a/?diff=1 * B * C * (+x) D * (+1) x", "B * C * (+x) D", Some(1), "x"),
        ("[[A]] M https://a/?diff=1 * B * (\x02-600\x02) x", "B", Some(-600), "x"),
    ] {
        let edit = edit(line);
        assert_eq!((edit.user, edit.size, edit.comment), (user.as_bytes(), size, comment.as_bytes()), "{line}");
        assert_eq!((edit.page, edit.is_truncated), (&b"A"[..], false));
    }
    let Ok(Line::Log(log)) = parse(b"[[Special:Log/move]] move_redir  * B *  moved") else { panic!() };
    assert_eq!((log.page, log.action), (&b"Special:Log/move"[..], &b"move_redir"[..]));
}

#[test]
fn lines_without_codes_that_make_no_sense_are_broken() {
    for (line, expected) in [
        ("[[A", "at byte 3, after the title: found the end of the line, expected `]] `"),
        ("[[A]x", "at byte 3, after the title: found other text, expected `]] `"),
        ("[[A]] create  * B *  c", "at byte 13, after the title: found other text, expected flags, a blank and a url"),
        ("[[A]] M https://a", "at byte 17, after the url: found the end of the line, expected ` * `"),
        (
            "[[A]] M https://a * B",
            "in the user or the size: found the end of the line, expected ` * `, a size and a comment",
        ),
        ("[[A]] M https://a * B * (+99999999999) c", "expected a size of at most 2147483647 bytes"),
    ] {
        let reason = broken(line);
        assert!(reason.ends_with(expected), "{line}: {reason}");
    }
}
