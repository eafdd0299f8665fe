//! The wikis of the generator and what is common to their languages: patrol rules, weights, user
//! names.
//!
//! Invariant: every name here is invented or an everyday word, and every address comes from the
//! ranges kept free for documentation (RFC 5737, RFC 3849). Nothing is taken from recorded edits.
//! The tables of each language are in `words/languages.rs`.

mod languages;

use languages::{ARABIC, COMMONS, ENGLISH, FRENCH, GERMAN, JAPANESE, RUSSIAN, SPANISH, VIETNAMESE, WIKIDATA};

/// One wiki of the generator.
#[derive(Debug)]
pub struct Wiki {
    /// The database name, `enwiki`.
    pub name: &'static str,
    /// The IRC channel with its `#`; Wikidata's is `#wikidata.wikipedia`.
    pub channel: &'static str,
    /// The host name, `en.wikipedia.org`.
    pub server_name: &'static str,
    /// Which changes get a patrol mark.
    pub patrol: Patrol,
    /// Share of the edits, in percent; the weights of all wikis add up to 100.
    pub(crate) weight: u32,
    /// Share of bots among the users, per mille.
    pub(crate) bots: u32,
    /// Where revision numbers start.
    pub(crate) first_revision: u64,
    /// Where recent-changes ids start.
    pub(crate) first_rcid: u64,
    pub(crate) subject: Subject,
    pub(crate) language: &'static Language,
}

/// Which changes of a wiki are patrolled, hence carry `!`, `&rcid=` and `patrolled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patrol {
    /// Every change.
    All,
    /// Only new pages.
    NewPages,
    /// None.
    Never,
}

/// What the pages of a wiki are about, which decides titles and comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Articles,
    Items,
    Files,
}

/// The words of one wiki's language.
#[derive(Debug)]
pub(crate) struct Language {
    /// The word for the `Special` namespace.
    pub(crate) special: &'static str,
    pub(crate) spaces: &'static [Space],
    /// A title is one of these, the joiner, and one of `second`.
    pub(crate) first: &'static [&'static str],
    pub(crate) joiner: &'static str,
    pub(crate) second: &'static [&'static str],
    pub(crate) users: &'static [&'static str],
    pub(crate) sections: &'static [&'static str],
    pub(crate) comments: &'static [&'static str],
    pub(crate) logs: Logs,
}

/// A namespace: its number, its share among the namespaces, and its words (more than one where they
/// have a gender).
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) number: i32,
    pub(crate) weight: u32,
    pub(crate) words: &'static [&'static str],
}

/// The words of log messages. The target stands after each word, in brackets.
#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) created: &'static str,
    pub(crate) deleted: &'static str,
    pub(crate) moved: &'static str,
    pub(crate) to: &'static str,
    pub(crate) blocked: &'static str,
    pub(crate) uploaded: &'static str,
    pub(crate) categorized: &'static str,
}

/// Every wiki the generator knows, in a fixed order.
pub static WIKIS: &[Wiki] = &[
    wiki("enwiki", "#en.wikipedia", "en.wikipedia.org", 28, 90, &ENGLISH).numbers(1_400_000_000, 1_900_000_000),
    wiki("wikidatawiki", "#wikidata.wikipedia", "www.wikidata.org", 26, 470, &WIKIDATA)
        .about(Subject::Items)
        .patrols(Patrol::All)
        .numbers(2_400_000_000, 2_500_000_000),
    wiki("commonswiki", "#commons.wikimedia", "commons.wikimedia.org", 16, 190, &COMMONS)
        .about(Subject::Files)
        .patrols(Patrol::All)
        .numbers(1_000_000_000, 3_200_000_000),
    wiki("dewiki", "#de.wikipedia", "de.wikipedia.org", 8, 60, &GERMAN)
        .patrols(Patrol::All)
        .numbers(250_000_000, 390_000_000),
    wiki("frwiki", "#fr.wikipedia", "fr.wikipedia.org", 6, 70, &FRENCH).numbers(220_000_000, 560_000_000),
    wiki("eswiki", "#es.wikipedia", "es.wikipedia.org", 5, 60, &SPANISH).numbers(160_000_000, 290_000_000),
    wiki("ruwiki", "#ru.wikipedia", "ru.wikipedia.org", 4, 60, &RUSSIAN)
        .patrols(Patrol::Never)
        .numbers(140_000_000, 320_000_000),
    wiki("jawiki", "#ja.wikipedia", "ja.wikipedia.org", 3, 60, &JAPANESE)
        .patrols(Patrol::Never)
        .numbers(100_000_000, 210_000_000),
    wiki("arwiki", "#ar.wikipedia", "ar.wikipedia.org", 2, 200, &ARABIC).numbers(70_000_000, 190_000_000),
    wiki("viwiki", "#vi.wikipedia", "vi.wikipedia.org", 2, 150, &VIETNAMESE)
        .patrols(Patrol::All)
        .numbers(70_000_000, 80_000_000),
];

const fn wiki(
    name: &'static str,
    channel: &'static str,
    server_name: &'static str,
    weight: u32,
    bots: u32,
    language: &'static Language,
) -> Wiki {
    Wiki {
        name,
        channel,
        server_name,
        patrol: Patrol::NewPages,
        weight,
        bots,
        first_revision: 0,
        first_rcid: 0,
        subject: Subject::Articles,
        language,
    }
}

impl Wiki {
    const fn about(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    const fn patrols(mut self, patrol: Patrol) -> Self {
        self.patrol = patrol;
        self
    }

    const fn numbers(mut self, first_revision: u64, first_rcid: u64) -> Self {
        self.first_revision = first_revision;
        self.first_rcid = first_rcid;
        self
    }
}

/// First and second halves of the names that may turn up on every wiki.
pub(crate) const USER_FIRST: &[&str] = &[
    "Marsh", "Quiet", "Harbour", "Amber", "Fresh", "Northern", "Slate", "Willow", "Copper", "Distant", "Early",
    "Paper", "Salt", "Velvet", "Winter", "Granite",
];
pub(crate) const USER_SECOND: &[&str] = &[
    "Wren",
    "Heron",
    "Reed",
    "Lantern",
    "Otter",
    "Sparrow",
    "Compass",
    "Anchor",
    "Elm",
    "Finch",
    "Meadow",
    "Quill",
    "Ferry",
    "Thistle",
    "Badger",
    "Cartographer",
];
/// Bots, by what they would do.
pub(crate) const BOTS: &[&str] = &[
    "LanternBot",
    "KelpBot",
    "TidyQuillBot",
    "HarbourBot",
    "RedirectOwlBot",
    "Date Fixer Bot",
    "ArchiveMothBot",
    "LinkSparrowBot",
];
pub(crate) const ITEM_BOTS: &[&str] = &["ItemBot", "ClaimOtterBot", "LabelFinchBot", "QuickMarshBot", "SitelinkElmBot"];

/// Ranges kept free for documentation, RFC 5737.
pub(crate) const IPV4_RANGES: &[&str] = &["192.0.2.", "198.51.100.", "203.0.113."];

/// Comments that read like the feed's own syntax, which a parser by visible text gets wrong.
pub(crate) const TRICKY: &[&str] = &[
    "see [[Harbour bell]] * Quiet Heron * (+99) as before",
    "restore [[Slate roof]] M https://example.org/w/index.php?diff=1&oldid=2 * Marsh Wren * (-12) cut",
    "list: * one * two (+99) * three",
    "]] [[ unbalanced ]] * (\u{2212}4)",
    "quote \"[[Old name]]\" \\ backslash & ampersand <ref name=a/>",
    "tab\tinside, and (+5) (-5) (+0)",
];

/// Characters beyond the basic plane, joined sequences, and marks that combine with no precomposed
/// letter.
pub(crate) const MARKS: &[&str] = &[
    "\u{1f600}",
    "\u{1f469}\u{200d}\u{1f680} launch",
    "q\u{303}x\u{301} accents",
    "\u{1d11e} clef",
    "\u{1f1e6}\u{1f1f6} flag",
    "\u{20bb7} variant",
    "e\u{301}te\u{301}",
    "\u{200f}\u{5e9}\u{5dc}\u{5d5}\u{5dd}\u{200e} ok",
    "\u{1f44d}\u{1f3fd} thanks",
];

/// What nobody wrote: text of pages that a wiki puts into the comment of a new page.
pub(crate) const FILLER: &[&str] = &[
    "moved the paragraph on the ferry timetable below the history section",
    "the source from the county archive gives another year",
    "see the talk page for the wording agreed on",
    "removed the second image, it shows another bridge",
    "kept the table, but sorted by height",
    "citations formatted as in the rest of the article",
    "the claim about the lighthouse keeper stays out until someone finds a source",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_100() {
        assert_eq!(WIKIS.iter().map(|wiki| wiki.weight).sum::<u32>(), 100);
    }

    #[test]
    fn no_title_word_holds_what_a_title_cannot() {
        for wiki in WIKIS {
            let language = wiki.language;
            let spaces = language.spaces.iter().flat_map(|space| space.words);
            for word in language.first.iter().chain(language.second).chain(language.users).chain(spaces) {
                assert!(!word.contains(['[', ']', '{', '}', '|', '#', '<', '>', '_', '\n', '\u{3}']), "{word}");
                assert_eq!(word.trim(), *word);
            }
        }
    }
}
