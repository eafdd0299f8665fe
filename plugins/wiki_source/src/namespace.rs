//! The namespace of a page, from its title.
//!
//! The feed writes namespaces in the wiki's own words, and a main page may have a colon too
//! (`ISO 639:xyz`). So the words of the larger wikis are listed (`words`), gendered forms and old
//! names included, and only they count there. On other wikis the rule is that of the program that
//! made the data set: what stands before the first colon, if no white space follows it.

mod words;

use crate::json::Text;
use memchr::memchr;
use std::cmp::Ordering;

/// The namespace of articles.
pub(crate) const MAIN: &str = "Main";

/// How one wiki's titles are read.
#[derive(Debug)]
pub(crate) enum Namespaces {
    /// Its words, ordered by length and text.
    Listed(Vec<&'static [u8]>),
    /// No list is known.
    Unlisted,
}

impl Namespaces {
    /// Those of the wiki with this IRC channel.
    pub(crate) fn of_channel(channel: &str) -> Self {
        let Some((_, lists)) = words::WIKIS.iter().find(|(name, _)| *name == channel) else {
            return Namespaces::Unlisted;
        };
        let lists = [words::EVERYWHERE].into_iter().chain(lists.iter().copied());
        let mut words: Vec<_> = lists.flat_map(|list| list.split('|')).map(str::as_bytes).collect();
        words.sort_unstable_by(|a, b| order(a, b));
        Namespaces::Listed(words)
    }

    /// The namespace of a title: its beginning, or [`MAIN`].
    pub(crate) fn of_title<'a>(&self, title: Text<'a>) -> Text<'a> {
        let prefix = before_colon(title.bytes).filter(|(prefix, after)| match self {
            Namespaces::Listed(words) => words.binary_search_by(|word| order(word, prefix)).is_ok(),
            Namespaces::Unlisted => starts_visibly(after),
        });
        prefix.map_or(Text::clean(MAIN.as_bytes()), |(prefix, _)| Text { bytes: prefix, ..title })
    }
}

/// The namespace of a title whose namespace number is known not to be 0.
pub(crate) fn of_numbered_title(title: Text<'_>) -> Text<'_> {
    before_colon(title.bytes).map_or(Text::clean(MAIN.as_bytes()), |(prefix, _)| Text { bytes: prefix, ..title })
}

fn before_colon(title: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = title.split_at_checked(memchr(b':', title)?)?;
    (!prefix.is_empty()).then_some((prefix, rest.get(1..)?))
}

/// Whether a text begins with something other than white space.
fn starts_visibly(text: &[u8]) -> bool {
    // The longest UTF-8 white space has three bytes.
    let text = text.get(..4).unwrap_or(text);
    let first = text.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    !text.is_empty() && !first.is_some_and(char::is_whitespace)
}

/// Lengths first: most comparisons end there.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(channel: &str, cases: &[(&str, &str)]) {
        let namespaces = Namespaces::of_channel(channel);
        for (title, expected) in cases {
            let found = namespaces.of_title(Text::clean(title.as_bytes()));
            assert_eq!(String::from_utf8_lossy(found.bytes), *expected, "{channel} {title}");
        }
    }

    #[test]
    fn only_listed_words_count_where_there_is_a_list() {
        check("#en.wikipedia", &[("ISO 639:xyz", "Main"), ("Draft:A", "Draft"), ("User talk:A:B", "User talk")]);
        check("#en.wikipedia", &[("Voyage: A", "Main"), (":", "Main"), ("Talk", "Main"), ("", "Main")]);
        check("#de.wikipedia", &[("Benutzerin Diskussion:A", "Benutzerin Diskussion"), ("21:00", "Main")]);
        check("#es.wikipedia", &[("Usuaria Discusión:A", "Usuaria Discusión"), ("Anexo:A", "Anexo")]);
        check("#pl.wikipedia", &[("Dyskusja wikipedystki:A", "Dyskusja wikipedystki")]);
        check("#pt.wikipedia", &[("Usuário(a) Discussão:A", "Usuário(a) Discussão")]);
        check("#ja.wikipedia", &[("利用者‐会話:A", "利用者‐会話"), ("会話:A", "Main")]);
        check("#en.wiktionary", &[("Appendix:A", "Appendix"), ("Reconstruction:A", "Reconstruction")]);
        check("#en.wikisource", &[("Page:A.djvu/1", "Page"), ("Author:A", "Author")]);
        check("#wikidata.wikipedia", &[("Property:P31", "Property"), ("Q5", "Main")]);
        check("#commons.wikimedia", &[("File:A.jpg", "File"), ("Creator:A", "Creator")]);
    }

    #[test]
    fn without_a_list_the_colon_decides() {
        check("#tr.wikipedia", &[("Vikipedi:A", "Vikipedi"), ("A: B", "Main"), ("A:", "Main"), ("A", "Main")]);
        check("#tr.wikipedia", &[("A:\u{3000}B", "Main"), ("A:中", "A"), (":A", "Main")]);
    }

    #[test]
    fn a_number_other_than_0_needs_no_list() {
        let namespace = |title: &'static str| of_numbered_title(Text::clean(title.as_bytes())).bytes;
        assert_eq!(namespace("Anything: at all"), b"Anything");
        assert_eq!(namespace("No colon"), b"Main");
    }

    #[test]
    fn lists_hold_words_and_no_slips() {
        for (channel, lists) in words::WIKIS {
            assert!(channel.starts_with('#'), "{channel}");
            for word in lists.iter().flat_map(|list| list.split('|')) {
                assert!(!word.is_empty() && word.trim() == word && !word.contains(['_', ':']), "{channel} `{word}`");
            }
        }
    }
}
