//! Invented edits, in a realistic mix, decided by a seed.
//!
//! The same seed gives the same edits on every machine and over both protocols: an [`Edit`] renders
//! itself as the text of an IRC message (`edits/irc_text.rs`) and as an EventStreams event
//! (`edits/recentchange.rs`). The mix follows the recorded samples: of the changes that IRC has,
//! 7 % are log entries, 15 % have an empty comment and 1.5 % remove more than 500 bytes. About one
//! change in five is made by a bot, few by unregistered users.
//!
//! Invariants: revision, recent-changes and log ids rise within a wiki; a comment has at most 500
//! characters and no line break; titles and users hold no control character.

mod generate;
mod irc_text;
mod recentchange;

use crate::dice::uuid;
pub use crate::words::{Patrol, WIKIS, Wiki};
pub use generate::Generator;
pub(crate) use recentchange::{OFFSET_BASE, TOPIC, canary};

/// The longest comment, in characters, since MediaWiki stores them in a table of their own.
pub const MAX_COMMENT: usize = 500;

/// One change of one wiki.
#[derive(Debug, Clone)]
pub struct Edit {
    /// Where it happened.
    pub wiki: &'static Wiki,
    /// What was done.
    pub kind: Kind,
    /// The page with its namespace word and with spaces, `User talk:Marsh Wren`; for a log entry
    /// its target.
    pub title: String,
    /// The number of the page's namespace.
    pub namespace: i32,
    /// A name, an address (IPv6 upper case and uncompressed) or a temporary account
    /// `~2026-12345-67`.
    pub user: String,
    /// Whether the user is a bot.
    pub bot: bool,
    /// Whether the edit is marked minor.
    pub minor: bool,
    /// Whether it is patrolled; `None` where the wiki does not patrol such a change.
    pub patrolled: Option<bool>,
    /// Bytes of the page; `None` for log and category entries, and now and then where the wiki does
    /// not know.
    pub length: Option<Length>,
    /// Ids of the revisions.
    pub revision: Revision,
    /// The id in the wiki's list of recent changes.
    pub rcid: u64,
    /// What the user said, at most [`MAX_COMMENT`] characters, often empty.
    pub comment: String,
    /// Place in the generator's sequence, from 0, over all wikis.
    pub sequence: u64,
    seed: u64,
}

/// What an [`Edit`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A new revision of a page.
    Edit,
    /// The first revision of a page.
    New,
    /// A log entry.
    Log(Log),
    /// A page entered a category. IRC never has these.
    Categorize,
}

/// What only log entries have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The type, `delete`.
    pub kind: &'static str,
    /// The action within the type, `move_redir`.
    pub action: &'static str,
    /// The entry's id; 0 for abuse-filter hits, which are in no list of recent changes.
    pub id: u64,
    /// The message up to the target.
    pub(crate) before: String,
    /// The target, shown in brackets and on IRC coloured; empty when the message has none.
    pub(crate) target: String,
    /// The message after the target.
    pub(crate) after: String,
    /// `log_params` of the event, as JSON.
    pub(crate) params: String,
}

/// Bytes of a page before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Before; `None` for a new page.
    pub old: Option<u32>,
    /// After.
    pub new: u32,
}

/// Ids of the revision before and the revision made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// Before; 0 for a new page and for log entries.
    pub old: u64,
    /// After; 0 for log entries.
    pub new: u64,
}

impl Edit {
    /// By how many bytes the page grew; negative for a removal. `None` when no length is known.
    pub fn delta(&self) -> Option<i64> {
        self.length.map(|length| i64::from(length.new) - i64::from(length.old.unwrap_or(0)))
    }

    /// The event's identifier (`meta.id`): a UUID decided by the generator's seed and the place in
    /// its sequence.
    pub fn uuid(&self) -> String {
        uuid(self.seed, self.sequence)
    }

    /// Whether this change goes to IRC.
    pub fn is_on_irc(&self) -> bool {
        !matches!(self.kind, Kind::Categorize)
    }

    /// The link that IRC and `notify_url` show. Empty for log entries.
    pub(crate) fn push_url(&self, out: &mut String) {
        use std::fmt::Write;
        if matches!(self.kind, Kind::Log(_)) {
            return;
        }
        out.push_str("https://");
        out.push_str(self.wiki.server_name);
        out.push_str("/w/index.php?");
        // Writing to a string cannot fail.
        let _ = match self.revision.old {
            0 => write!(out, "oldid={}", self.revision.new),
            old => write!(out, "diff={}&oldid={old}", self.revision.new),
        };
        if self.patrolled.is_some() {
            let _ = write!(out, "&rcid={}", self.rcid);
        }
    }
}

impl Log {
    /// The message as `log_action_comment` has it, without colours.
    pub fn message(&self) -> String {
        match self.target.is_empty() {
            true => format!("{}{}", self.before, self.after),
            false => format!("{}[[{}]]{}", self.before, self.target, self.after),
        }
    }
}
