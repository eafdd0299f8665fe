//! Holds the generator to the mix that `edits.rs` promises.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashSet};

use super::*;

const MANY: usize = 200_000;

#[test]
fn the_same_seed_gives_the_same_edits() {
    let texts = |seed| -> Vec<_> {
        Generator::new(seed).take(3000).map(|edit| (edit.irc_text(), edit.recentchange(0, &edit.uuid(), 0))).collect()
    };
    assert_eq!(texts(5), texts(5));
    assert_ne!(texts(5), texts(6));
}

/// The sequence of a seed is a promise to whoever recorded a run. A change here is a change of the
/// generator: say so in the changelog and write the new number.
#[test]
fn the_sequence_of_a_seed_does_not_change() {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for edit in Generator::new(1).take(20_000) {
        for byte in edit.recentchange(0, &edit.uuid(), edit.sequence).bytes() {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    assert_eq!(sum, SEQUENCE_OF_SEED_1, "{sum:#x}");
}
const SEQUENCE_OF_SEED_1: u64 = 0x0fea_f438_4141_5586;

#[test]
fn the_mix_is_that_of_the_recorded_samples() {
    let mut num = BTreeMap::<&str, usize>::new();
    let mut on_irc = 0_usize;
    for edit in Generator::new(2).take(MANY) {
        let mut count = |name, holds: bool| *num.entry(name).or_default() += usize::from(holds);
        count("bot", edit.bot);
        count(edit.wiki.name, true);
        count("wikidata bot", edit.bot && edit.wiki.name == "wikidatawiki");
        count("temporary", edit.user.starts_with("~2026-"));
        count("ip4", edit.user.parse::<std::net::Ipv4Addr>().is_ok());
        count("ip6", edit.user.parse::<std::net::Ipv6Addr>().is_ok());
        count("categorize", edit.kind == Kind::Categorize);
        if !edit.is_on_irc() {
            continue;
        }
        on_irc += 1;
        let text = edit.irc_text().unwrap();
        count("log", matches!(edit.kind, Kind::Log(_)));
        count("new", edit.kind == Kind::New);
        count("empty", text.ends_with("\u{3}10\u{3}"));
        count("bold", text.contains("(\u{2}-"));
        count("no size", edit.length.is_none() && !matches!(edit.kind, Kind::Log(_)));
        count("cut", text.chars().count() > 450);
        count("beyond the plane", text.chars().any(|character| u32::from(character) > 0xffff));
        count("combining", text.contains('\u{303}') || text.contains('\u{323}'));
        count("right to left", text.chars().any(|character| ('\u{590}'..'\u{700}').contains(&character)));
        count("tricky", edit.comment.contains(" * ") && edit.comment.contains("]]"));
        count("minor", edit.minor);
        count("unpatrolled", edit.patrolled == Some(false));
    }
    let check = |name: &str, of: usize, low: f64, high: f64| {
        let share = num.get(name).copied().unwrap_or(0) as f64 * 100.0 / of as f64;
        assert!((low..=high).contains(&share), "{name}: {share:.2} %, expected {low} to {high}");
    };
    check("log", on_irc, 6.6, 7.4);
    check("empty", on_irc, 14.3, 15.7);
    check("bold", on_irc, 1.35, 1.65);
    check("new", on_irc, 6.0, 8.0);
    check("no size", on_irc, 0.1, 0.4);
    check("cut", on_irc, 0.5, 3.0);
    check("beyond the plane", on_irc, 0.5, 3.0);
    check("combining", on_irc, 0.1, 1.5);
    check("right to left", on_irc, 1.5, 3.0);
    check("tricky", on_irc, 0.3, 1.0);
    check("minor", on_irc, 10.0, 35.0);
    check("unpatrolled", on_irc, 2.0, 15.0);
    check("bot", MANY, 18.0, 22.0);
    check("categorize", MANY, 3.0, 6.0);
    check("temporary", MANY, 4.0, 7.5);
    check("ip4", MANY, 0.7, 1.5);
    check("ip6", MANY, 0.4, 1.2);
    for wiki in WIKIS {
        check(wiki.name, MANY, f64::from(wiki.weight) * 0.9, f64::from(wiki.weight) * 1.1);
    }
    assert!(num["wikidata bot"] * 2 > num["bot"], "bots are mostly on wikidata: {num:?}");
}

#[test]
fn ids_rise_and_identifiers_are_unique() {
    let mut last = BTreeMap::<&str, (u64, u64)>::new();
    let mut seen = HashSet::new();
    for (at, edit) in Generator::new(9).take(50_000).enumerate() {
        assert_eq!(edit.sequence, at as u64);
        let (rcid, revision) = last.entry(edit.wiki.name).or_default();
        assert!(edit.rcid > *rcid);
        *rcid = edit.rcid;
        if edit.revision.new != 0 {
            assert!(edit.revision.new > *revision && edit.revision.old < edit.revision.new);
            *revision = edit.revision.new;
        }
        assert!(seen.insert(edit.uuid()));
    }
}

#[test]
fn names_and_comments_keep_to_their_forms() {
    let ranges = ["192.0.2.", "198.51.100.", "203.0.113."];
    for edit in Generator::new(4).take(MANY) {
        assert!(edit.comment.chars().count() <= MAX_COMMENT);
        assert!(!edit.comment.contains(['\n', '\r', '\u{3}']));
        assert!(!edit.title.is_empty() && !edit.title.contains(['[', ']', '|', '#', '_']), "{}", edit.title);
        if edit.user.parse::<std::net::Ipv6Addr>().is_ok() {
            assert!(edit.user.starts_with("2001:DB8:") && !edit.user.contains("::"), "{}", edit.user);
            assert_eq!(edit.user, edit.user.to_uppercase());
        } else if is_address(&edit.user) {
            assert!(ranges.iter().any(|range| edit.user.starts_with(range)), "{}", edit.user);
        } else if let Some(number) = edit.user.strip_prefix("~2026-") {
            assert!(number.split('-').all(|group| (1..=5).contains(&group.len())), "{}", edit.user);
        }
        if let Kind::Log(log) = &edit.kind {
            assert!(serde_json::from_str::<serde_json::Value>(&log.params).is_ok(), "{}", log.params);
        }
    }
}

#[test]
fn namespaces_are_words_of_the_wiki() {
    let mut seen = HashSet::new();
    for edit in Generator::new(8).take(50_000).filter(|edit| edit.namespace != 0) {
        let spaces = edit.wiki.language.spaces;
        let Some(space) = spaces.iter().find(|space| space.number == edit.namespace) else {
            // Blocks name a user page on every wiki.
            assert_eq!((edit.namespace, matches!(edit.kind, Kind::Log(_))), (2, true), "{}", edit.title);
            continue;
        };
        let (word, _) = edit.title.split_once(':').unwrap();
        assert!(space.words.contains(&word), "{}", edit.title);
        seen.insert(word.to_owned());
    }
    for word in ["Benutzerin Diskussion", "Utilisatrice", "Обсуждение участника", "ファイル", "نقاش المستخدم", "Draft"]
    {
        assert!(seen.contains(word), "{word}");
    }
}
