//! The text of an IRC message: MediaWiki's `IRCColourfulRCFeedFormatter`, code for code.
//!
//! Invariant: the layout is that of `wikipedia-feeds.md` section 1.5, every blank included, and
//! holds no line break.

use std::fmt::Write;

use super::{Edit, Kind};

/// Removals over this many bytes are shown bold.
const BOLD_OVER: i64 = 500;

impl Edit {
    /// The text of the IRC message, with its colour codes. `None` for category entries, which IRC
    /// never has.
    ///
    /// Up to about 1,300 characters: the server that sends it cuts the line.
    pub fn irc_text(&self) -> Option<String> {
        let mut text = String::with_capacity(256);
        self.write_irc_text(&mut text).then_some(text)
    }

    /// Appends the text of the IRC message to `out`. False, and nothing appended, for category
    /// entries.
    pub fn write_irc_text(&self, out: &mut String) -> bool {
        if !self.is_on_irc() {
            return false;
        }
        out.push_str("\x0314[[\x0307");
        match &self.kind {
            // The name of the log is never localised, only the namespace.
            Kind::Log(log) => {
                out.push_str(self.wiki.language.special);
                out.push_str(":Log/");
                out.push_str(log.kind);
            }
            _ => out.push_str(&self.title),
        }
        out.push_str("\x0314]]\x034 ");
        self.push_flags(out);
        out.push_str("\x0310 \x0302");
        self.push_url(out);
        out.push_str("\x03 \x035*\x03 \x0303");
        out.push_str(&self.user);
        out.push_str("\x03 \x035*\x03 ");
        // Writing to a string cannot fail.
        let _ = match self.delta() {
            None => Ok(()),
            Some(delta) if delta < -BOLD_OVER => write!(out, "(\x02{delta}\x02)"),
            Some(delta) => write!(out, "({delta:+})"),
        };
        out.push_str(" \x0310");
        match &self.kind {
            Kind::Log(log) => {
                out.push_str(&log.before);
                if !log.target.is_empty() {
                    out.push_str("[[\x0302");
                    out.push_str(&log.target);
                    out.push_str("\x0310]]");
                }
                out.push_str(&log.after);
            }
            _ => out.push_str(&self.comment),
        }
        out.push('\x03');
        true
    }

    fn push_flags(&self, out: &mut String) {
        if let Kind::Log(log) = &self.kind {
            out.push_str(log.action);
            return;
        }
        let flags =
            [(self.patrolled == Some(false), '!'), (self.kind == Kind::New, 'N'), (self.minor, 'M'), (self.bot, 'B')];
        out.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| letter));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

    use super::super::Generator;
    use super::*;
    use crate::edits::{Length, Log, Revision, WIKIS};

    /// Reads a text by the grammar of section 1.5, written from that page and not from the code
    /// above: title, flags, url, user, size, comment.
    fn read(text: &str) -> Option<[String; 6]> {
        fn upto<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
            text.find(mark).map(|at| (&text[..at], &text[at + mark.len()..]))
        }
        let rest = text.strip_prefix("\u{3}14[[\u{3}07")?;
        let (title, rest) = upto(rest, "\u{3}14]]\u{3}4 ")?;
        let (flags, rest) = upto(rest, "\u{3}10 \u{3}02")?;
        let (url, rest) = upto(rest, "\u{3} \u{3}5*\u{3} \u{3}03")?;
        let (user, rest) = upto(rest, "\u{3} \u{3}5*\u{3} ")?;
        let (size, rest) = upto(rest, " \u{3}10")?;
        let comment = rest.strip_suffix('\u{3}')?;
        Some([title, flags, url, user, size, comment].map(str::to_owned))
    }

    fn is_size(size: &str) -> bool {
        let Some(inner) = size.strip_prefix('(').and_then(|size| size.strip_suffix(')')) else {
            return size.is_empty();
        };
        let is_bold = inner.contains('\u{2}');
        let bare = inner.trim_matches('\u{2}');
        let value: i64 = bare.parse().expect("a size is a number");
        let sign = if value < 0 { "-" } else { "+" };
        bare.starts_with(sign) && is_bold == (value < -500) && (!is_bold || inner == format!("\u{2}{bare}\u{2}"))
    }

    fn is_url(url: &str, host: &str) -> bool {
        let Some(query) = url.strip_prefix(&format!("https://{host}/w/index.php?")) else {
            return false;
        };
        let keys: Vec<&str> = query
            .split('&')
            .map(|pair| {
                let (key, value) = pair.split_once('=').expect("a pair");
                assert!(!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()), "{url}");
                key
            })
            .collect();
        matches!(keys.as_slice(), ["diff", "oldid"] | ["oldid"] | ["diff", "oldid", "rcid"] | ["oldid", "rcid"])
    }

    #[test]
    fn every_text_follows_the_grammar() {
        let mut num_logs = 0;
        for edit in Generator::new(11).take(60_000) {
            let Some(text) = edit.irc_text() else {
                assert_eq!(edit.kind, Kind::Categorize);
                continue;
            };
            let [title, flags, url, user, size, comment] = read(&text).unwrap_or_else(|| panic!("{text:?}"));
            assert!(!text.contains(['\n', '\r', '\0']), "{text:?}");
            assert!(!title.contains(char::is_control) && !title.is_empty(), "{text:?}");
            assert!(!user.contains(char::is_control) && !user.is_empty(), "{text:?}");
            assert!(is_size(&size), "{text:?}");
            assert_eq!(user, edit.user);
            if let Kind::Log(log) = &edit.kind {
                num_logs += 1;
                assert_eq!(title, format!("{}:Log/{}", edit.wiki.language.special, log.kind));
                assert_eq!((flags.as_str(), url.as_str(), size.as_str()), (log.action, "", ""));
                assert_eq!(comment.replace("\u{3}02", "").replace("\u{3}10", ""), log.message());
            } else {
                assert_eq!(title, edit.title);
                assert_eq!(comment, edit.comment);
                assert!(is_url(&url, edit.wiki.server_name), "{text:?}");
                assert_eq!(url.contains("diff="), edit.kind == Kind::Edit, "{text:?}");
                let order: String = "!NMB".chars().filter(|letter| flags.contains(*letter)).collect();
                assert_eq!(flags, order, "{text:?}");
                assert_eq!(flags.contains('N'), edit.kind == Kind::New);
                assert_eq!(size.is_empty(), edit.length.is_none());
            }
        }
        assert!(num_logs > 3000);
    }

    #[test]
    fn known_messages_come_out_to_the_letter() {
        let mut edit = plain();
        let head = "\u{3}14[[\u{3}07Copper lantern\u{3}14]]\u{3}4";
        let user = "\u{3}02https://en.wikipedia.org/w/index.php?diff=1400000002&oldid=1400000001\u{3} \u{3}5*\u{3} \u{3}03Marsh Wren\u{3} \u{3}5*\u{3}";
        let check = |edit: &Edit, text: String| assert_eq!(edit.irc_text().unwrap(), text);
        check(&edit, format!("{head} \u{3}10 {user} (+42) \u{3}10added a source\u{3}"));
        edit.length = Some(Length { old: Some(1001), new: 500 });
        check(&edit, format!("{head} \u{3}10 {user} (\u{2}-501\u{2}) \u{3}10added a source\u{3}"));
        edit.length = Some(Length { old: Some(1000), new: 500 });
        check(&edit, format!("{head} \u{3}10 {user} (-500) \u{3}10added a source\u{3}"));
        edit.length = None;
        edit.comment.clear();
        (edit.minor, edit.bot) = (true, true);
        check(&edit, format!("{head} MB\u{3}10 {user}  \u{3}10\u{3}"));
        edit.kind = Kind::Log(Log {
            kind: "delete",
            action: "delete",
            id: 5,
            before: "deleted \"".into(),
            target: "Bad page".into(),
            after: "\": advert".into(),
            params: "[]".into(),
        });
        check(
            &edit,
            "\u{3}14[[\u{3}07Special:Log/delete\u{3}14]]\u{3}4 delete\u{3}10 \u{3}02\u{3} \u{3}5*\u{3} \u{3}03Marsh Wren\u{3} \u{3}5*\u{3}  \u{3}10deleted \"[[\u{3}02Bad page\u{3}10]]\": advert\u{3}".into(),
        );
        edit.kind = Kind::New;
        edit.patrolled = Some(false);
        edit.revision.old = 0;
        edit.length = Some(Length { old: None, new: 7 });
        check(
            &edit,
            format!(
                "{head} !NMB\u{3}10 \u{3}02https://en.wikipedia.org/w/index.php?oldid=1400000002&rcid=9\u{3} \u{3}5*\u{3} \u{3}03Marsh Wren\u{3} \u{3}5*\u{3} (+7) \u{3}10\u{3}"
            ),
        );
    }

    fn plain() -> Edit {
        Edit {
            wiki: &WIKIS[0],
            kind: Kind::Edit,
            title: "Copper lantern".into(),
            namespace: 0,
            user: "Marsh Wren".into(),
            bot: false,
            minor: false,
            patrolled: None,
            length: Some(Length { old: Some(1000), new: 1042 }),
            revision: Revision { old: 1_400_000_001, new: 1_400_000_002 },
            rcid: 9,
            comment: "added a source".into(),
            sequence: 0,
            seed: 0,
        }
    }
}
