//! The generator: which wiki, what kind, who, by how much, with what comment.
//!
//! Shares are per mille of what they are drawn from and are written beside the draw. The tests at
//! the end hold them to the mix that `edits.rs` promises.

use std::fmt::Write;

use super::{Edit, Kind, Length, Log, MAX_COMMENT, Revision};
use crate::dice::Dice;
use crate::words::{
    BOTS, FILLER, IPV4_RANGES, ITEM_BOTS, Language, MARKS, Patrol, Space, Subject, TRICKY, USER_FIRST, USER_SECOND,
    WIKIS, Wiki,
};

/// An endless run of edits over all [`WIKIS`], decided by its seed.
#[derive(Debug, Clone)]
pub struct Generator {
    dice: Dice,
    seed: u64,
    sequence: u64,
    counters: Vec<Counters>,
}

/// The last ids a wiki gave away.
#[derive(Debug, Clone)]
struct Counters {
    wiki: &'static Wiki,
    revision: u64,
    rcid: u64,
    log: u64,
}

impl Generator {
    /// The edits of `seed`, from the first.
    pub fn new(seed: u64) -> Self {
        let counters = WIKIS.iter().map(|wiki| Counters {
            wiki,
            revision: wiki.first_revision,
            rcid: wiki.first_rcid,
            log: wiki.first_rcid / 20,
        });
        Self { dice: Dice::new(seed), seed, sequence: 0, counters: counters.collect() }
    }

    /// `None` would need weights that do not add up to 100, which a test in `words.rs` excludes.
    fn edit(&mut self) -> Option<Edit> {
        let dice = &mut self.dice;
        let mut left = dice.below(100);
        let counters = self.counters.iter_mut().find(|counters| {
            let is_here = left < counters.wiki.weight;
            left = left.saturating_sub(counters.wiki.weight);
            is_here
        })?;
        let wiki = counters.wiki;
        let draw = dice.below(1000);
        // Items are in no category. Category entries come on top, so the shares of IRC are those of
        // the rest.
        let is_category = draw < 60 && wiki.subject != Subject::Items;
        let kind = match dice.below(1000) {
            _ if is_category => Draw::Categorize,
            0..=69 => Draw::Log,
            70..=139 => Draw::New,
            _ => Draw::Edit,
        };
        let (user, bot) = user(dice, wiki, matches!(kind, Draw::Log));
        let mut edit = Edit {
            wiki,
            kind: Kind::Edit,
            title: String::new(),
            namespace: 0,
            user,
            bot,
            minor: false,
            patrolled: None,
            length: None,
            revision: Revision { old: 0, new: 0 },
            rcid: 0,
            comment: String::new(),
            sequence: self.sequence,
            seed: self.seed,
        };
        (edit.namespace, edit.title) = page(dice, wiki);
        counters.rcid += u64::from(dice.between(1, 5));
        edit.rcid = counters.rcid;
        match kind {
            Draw::Log => {
                counters.log += u64::from(dice.between(1, 3));
                log(dice, &mut edit, counters.log);
            }
            Draw::Categorize => {
                counters.revision += 1;
                edit.kind = Kind::Categorize;
                edit.revision = Revision { old: older(dice, counters.revision), new: counters.revision };
                edit.patrolled = (wiki.patrol == Patrol::All).then_some(true);
                edit.comment = format!("[[:{}]] {}", edit.title, wiki.language.logs.categorized);
                edit.namespace = 14;
                let name = title(dice, wiki.language);
                edit.title = prefixed(dice, wiki.language, 14, name);
            }
            Draw::Edit | Draw::New => {
                counters.revision += u64::from(dice.between(1, 4));
                revise(dice, &mut edit, counters.revision, matches!(kind, Draw::New));
            }
        }
        Some(edit)
    }
}

impl Iterator for Generator {
    type Item = Edit;

    fn next(&mut self) -> Option<Edit> {
        let edit = self.edit()?;
        self.sequence += 1;
        Some(edit)
    }
}

enum Draw {
    Edit,
    New,
    Log,
    Categorize,
}

fn older(dice: &mut Dice, revision: u64) -> u64 {
    revision - u64::from(dice.between(1, 9_000_000))
}

/// Fills in what an edit or a new page has.
fn revise(dice: &mut Dice, edit: &mut Edit, revision: u64, is_new: bool) {
    edit.revision.new = revision;
    let patrols = match edit.wiki.patrol {
        Patrol::All => true,
        Patrol::NewPages => is_new,
        Patrol::Never => false,
    };
    // Most users with an account are trusted to need no second look; the others never are.
    let is_registered = !edit.user.starts_with('~') && !is_address(&edit.user);
    edit.patrolled = patrols.then(|| edit.bot || (is_registered && dice.chance(850)));
    if is_new {
        edit.kind = Kind::New;
        edit.minor = dice.chance(20);
        edit.length = Some(Length { old: None, new: dice.skewed(200, 7) });
    } else {
        edit.revision.old = older(dice, revision);
        edit.minor = dice.chance(if edit.bot { 400 } else { 220 });
        edit.length = Some(change(dice));
    }
    if dice.chance(2) {
        edit.length = None;
    }
    // 16.1 % of edits: with the log entries, which say something, 15 % of the lines.
    if !dice.chance(161) {
        edit.comment = comment(dice, edit, is_new);
    }
}

/// Lengths of a page before and after an edit.
fn change(dice: &mut Dice) -> Length {
    let (removed, added) = match dice.below(1000) {
        // 1.74 % of edits, hence 1.5 % of the lines of IRC.
        0..=16 => (500 + dice.skewed(40, 10), 0),
        17 if dice.chance(400) => (501, 0),
        // The edge: not bold.
        17..=18 => (500, 0),
        19..=90 => (0, 0),
        91..=330 => (dice.skewed(8, 6), 0),
        _ => (0, dice.skewed(8, 8)),
    };
    let kept = dice.between(40, 60_000);
    Length { old: Some(kept + removed), new: kept + added }
}

/// A user and whether it is a bot. Of the people, 1.5 % have an IPv4 and 1 % an IPv6 address, 7 % a
/// temporary account.
fn user(dice: &mut Dice, wiki: &'static Wiki, is_log: bool) -> (String, bool) {
    // Bots edit; what they do is rarely logged.
    if dice.chance(if is_log { 40 } else { wiki.bots }) {
        let names = if wiki.subject == Subject::Items { ITEM_BOTS } else { BOTS };
        return (dice.pick(names).to_owned(), true);
    }
    let mut name = String::with_capacity(32);
    // Writing to a string cannot fail.
    let _ = match dice.below(1000) {
        0..=14 => write!(name, "{}{}", dice.pick(IPV4_RANGES), dice.between(1, 254)),
        15..=24 => {
            name.push_str("2001:DB8");
            // MediaWiki writes IPv6 in upper case, without leading zeros, and never compresses.
            (0..6).try_for_each(|_| {
                let group = if dice.chance(400) { 0 } else { dice.below(0x1_0000) };
                write!(name, ":{group:X}")
            })
        }
        25..=29 => write!(name, "~2026-{}", dice.between(1, 99)),
        30..=94 => write!(name, "~2026-{:05}-{:02}", dice.below(100_000), dice.below(100)),
        95..=400 => name.write_str(dice.pick(wiki.language.users)),
        _ => {
            let (first, second) = (dice.pick(USER_FIRST), dice.pick(USER_SECOND));
            match dice.below(3) {
                0 => write!(name, "{first} {second}"),
                1 => write!(name, "{first}{second}"),
                _ => write!(name, "{first}{second}{}", dice.below(1000)),
            }
        }
    };
    (name, false)
}

pub(super) fn is_address(user: &str) -> bool {
    user.parse::<std::net::IpAddr>().is_ok()
}

/// A namespace number and a title with the namespace's word.
fn page(dice: &mut Dice, wiki: &'static Wiki) -> (i32, String) {
    let spaces = wiki.language.spaces;
    let mut left = dice.below(spaces.iter().map(|space| space.weight).sum());
    let mut number = 0;
    for Space { number: candidate, weight, .. } in spaces {
        if left < *weight {
            number = *candidate;
            break;
        }
        left -= weight;
    }
    let mut name = String::with_capacity(40);
    let _ = match (wiki.subject, number) {
        (Subject::Items, 0) => write!(name, "Q{}", dice.between(990_000_000, 999_999_999)),
        (Subject::Items, 120) => write!(name, "P{}", dice.between(90_000, 99_999)),
        (_, 6) => write!(name, "{} {}.jpg", title(dice, wiki.language), dice.below(1000)),
        (_, 2) => write!(name, "{}/{}", dice.pick(wiki.language.users), dice.pick(wiki.language.second)),
        (_, 3) if dice.chance(300) => {
            write!(name, "{} {}", dice.pick(USER_FIRST), dice.pick(USER_SECOND))
        }
        (_, 3) => name.write_str(dice.pick(wiki.language.users)),
        _ => name.write_str(&title(dice, wiki.language)),
    };
    (number, prefixed(dice, wiki.language, number, name))
}

fn title(dice: &mut Dice, language: &Language) -> String {
    let mut title = String::with_capacity(40);
    title.push_str(dice.pick(language.first));
    title.push_str(language.joiner);
    title.push_str(dice.pick(language.second));
    let _ = match dice.below(1000) {
        0..=119 => write!(title, " ({})", dice.between(1850, 2026)),
        120..=149 => write!(title, " {}", dice.between(2, 40)),
        150..=152 => title.write_str(" \u{1f6a2}"),
        _ => Ok(()),
    };
    title
}

fn prefixed(dice: &mut Dice, language: &Language, number: i32, name: String) -> String {
    match language.spaces.iter().find(|space| space.number == number) {
        Some(space) if !space.words.is_empty() => format!("{}:{name}", dice.pick(space.words)),
        _ => name,
    }
}

/// A comment of at most [`MAX_COMMENT`] characters, never empty.
fn comment(dice: &mut Dice, edit: &Edit, is_new: bool) -> String {
    let language = edit.wiki.language;
    let mut text = String::with_capacity(64);
    match dice.below(1000) {
        0..=14 => text.push_str(dice.pick(TRICKY)),
        15..=29 => {
            text.push_str(dice.pick(language.comments));
            text.push(' ');
            text.push_str(dice.pick(MARKS));
        }
        // Long enough that most of these are cut on IRC: about 316 characters fit there.
        30..=49 => {
            let wanted = dice.between(300, 500) as usize;
            let mut num_chars = 0;
            while num_chars < wanted {
                let words = if dice.chance(500) { dice.pick(FILLER) } else { dice.pick(language.comments) };
                num_chars += words.chars().count() + 2;
                text.push_str(words);
                text.push_str("; ");
            }
            if let Some((end, _)) = text.char_indices().nth(MAX_COMMENT) {
                text.truncate(end);
            }
            // MediaWiki keeps no blanks at the end.
            text.truncate(text.trim_end().len());
        }
        50..=89 if is_new => {
            let _ = write!(text, "Created page with '{}'", dice.pick(FILLER));
        }
        // On Wikidata nearly every comment starts with what the software did.
        _ if edit.wiki.subject == Subject::Items || dice.chance(300) => {
            text.push_str("/* ");
            text.push_str(dice.pick(language.sections));
            text.push_str(" */ ");
            text.push_str(dice.pick(language.comments));
        }
        _ => text.push_str(dice.pick(language.comments)),
    }
    text
}

/// Makes `edit` a log entry with the next id of the log.
fn log(dice: &mut Dice, edit: &mut Edit, id: u64) {
    let language = edit.wiki.language;
    let words = &language.logs;
    let reason = if dice.chance(800) { dice.pick(language.comments) } else { "" };
    let colon = if reason.is_empty() { "" } else { ": " };
    let (mut target, mut params) = (edit.title.clone(), "[]".to_owned());
    let (kind, action, before, after, id) = match dice.below(100) {
        0..=29 => {
            edit.title = prefixed(dice, language, 2, edit.user.clone());
            edit.namespace = 2;
            target = String::new();
            ("newusers", "create", words.created.to_owned(), String::new(), id)
        }
        30..=49 => ("delete", "delete", format!("{} \"", words.deleted), format!("\"{colon}{reason}"), id),
        50..=69 => {
            let action = if dice.chance(200) { "move_redir" } else { "move" };
            let to = title(dice, language);
            params = format!(r#"{{"target":"{}","noredir":"0"}}"#, json_escaped(&to));
            ("move", action, format!("{} ", words.moved), format!(" {} [[{to}]]{colon}{reason}", words.to), id)
        }
        70..=79 => {
            let (blocked, _) = user(dice, edit.wiki, true);
            edit.title = prefixed(dice, language, 2, blocked);
            edit.namespace = 2;
            target.clone_from(&edit.title);
            params = r#"{"duration":"3 days","flags":"nocreate","sitewide":true}"#.to_owned();
            ("block", "block", format!("{} ", words.blocked), format!(" 3d{colon}{reason}"), id)
        }
        80..=89 if edit.wiki.subject != Subject::Items => {
            let name = format!("{} {}.jpg", title(dice, language), dice.below(1000));
            edit.title = prefixed(dice, language, 6, name);
            edit.namespace = 6;
            target.clone_from(&edit.title);
            ("upload", "upload", format!("{} \"", words.uploaded), format!("\"{colon}{reason}"), id)
        }
        _ => {
            let (filter, hit) = (dice.between(1, 99), dice.between(1, 99_999));
            params = format!(r#"{{"action":"edit","filter":{filter},"actions":"tag","log":{hit}}}"#);
            let before = format!(
                "{} triggered [[Special:AbuseFilter/{filter}|filter {filter}]], performing the action \"edit\" on ",
                edit.user
            );
            ("abusefilter", "hit", before, format!(". Actions taken: Tag ([[Special:AbuseLog/{hit}|details]])"), 0)
        }
    };
    edit.comment = if kind == "abusefilter" { String::new() } else { reason.to_owned() };
    edit.kind = Kind::Log(Log { kind, action, id, before, target, after, params });
}

fn json_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    crate::json::escape(&mut out, text);
    out
}

#[cfg(test)]
mod tests;
