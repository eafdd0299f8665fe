//! Finding new batches: files that appeared in the data set, opened once, refused where they are no batch.
//! A file that holds what another holds too is none: its rows would be loaded twice.

use super::batch::{BatchFacts, examine};
use super::ledger::{BatchEntry, BatchState, Book};
use super::rows::RowFormat;
use crate::connector::Granularity;
use crate::error::{Error, ErrorClass, Result};
use crate::ports::files::FileInfo;
use crate::record::now_ms;
use crate::spool::{DataFile, DataList, DataSet};
use std::collections::BTreeMap;

/// What is in the data set, as far as it was looked at.
pub(super) struct Discovery {
    set: DataSet,
    list: DataList,
    format: RowFormat,
    granularity: Granularity,
    held: Held,
    next_number: u64,
    /// Files by name.
    pub(super) files: BTreeMap<String, DataFile>,
    /// Files that are no batches, what they were, and why; looked at again when they are others, and after a
    /// restart.
    refused: BTreeMap<String, (FileInfo, String)>,
    /// Names that are none of the layout's.
    strangers: Vec<String>,
}

impl Discovery {
    pub(super) fn new(set: DataSet, list: DataList, format: RowFormat, granularity: Granularity, book: &Book) -> Self {
        let mut held = Held::default();
        book.batches.iter().for_each(|(name, batch)| held.add(name, &batch.facts));
        let next_number = book.batches.values().map(|batch| batch.facts.number + 1).max().unwrap_or(0);
        let (files, refused) = (BTreeMap::new(), BTreeMap::new());
        Discovery { set, list, format, granularity, held, next_number, files, refused, strangers: Vec::new() }
    }

    /// Lists the data set; gives the files that nothing is known of, by name, and whether any came or went.
    ///
    /// # Errors
    /// What files and layout give.
    pub(super) fn look(&mut self, book: &Book) -> Result<(Vec<DataFile>, bool)> {
        let listing = self.list.list()?;
        let files: BTreeMap<_, _> = listing.files.into_iter().map(|file| (file.name.clone(), file)).collect();
        // A file may be put in the place of another of its name: the same rows sealed for another key.
        let infos =
            |files: &BTreeMap<String, DataFile>| files.values().map(|file| file.info.clone()).collect::<Vec<_>>();
        let has_changed = infos(&files) != infos(&self.files) || listing.strangers != self.strangers;
        (self.files, self.strangers) = (files, listing.strangers);
        let files = &self.files;
        self.refused.retain(|name, (info, _)| files.get(name).is_some_and(|file| file.info == *info));
        let is_new = |name: &String| !book.batches.contains_key(name) && !self.refused.contains_key(name);
        let new = files.iter().filter(|(name, _)| is_new(name)).map(|(_, file)| file.clone());
        Ok((new.collect(), has_changed))
    }

    /// Files that are no batches, and why.
    pub(super) fn refused(&self) -> BTreeMap<String, String> {
        let refused = self.refused.iter().map(|(name, (_, reason))| (name.clone(), reason.clone()));
        let strangers = self.strangers.iter().map(|name| (name.clone(), "its name is none of the layout's".to_owned()));
        strangers.chain(refused).collect()
    }

    /// One that should have been a batch, and how many there are.
    pub(super) fn first_refused(&self) -> Option<(&str, &str, usize)> {
        let (name, (_, reason)) = self.refused.first_key_value()?;
        Some((name, reason, self.refused.len()))
    }

    /// Opens a new file, and gives up where `is_wanted` says so; none: it is no batch, and
    /// [`Discovery::refused`] says why.
    ///
    /// # Errors
    /// Class Retry: it cannot be read now, or is not wanted any more.
    pub(super) fn examine(&mut self, file: &DataFile, is_wanted: &dyn Fn() -> bool) -> Result<Option<BatchEntry>> {
        match self.judge(file, is_wanted) {
            Ok(batch) => {
                self.next_number += 1;
                self.held.add(&file.name, &batch.facts);
                Ok(Some(batch))
            }
            Err(error) if matches!(error.class(), ErrorClass::Reject | ErrorClass::Config) => {
                let (name, at) = (&file.name, self.set.describe());
                tracing::error!(file = name, at, %error, hint = error.hint(), "file is no batch; its rows are not loaded");
                self.refused.insert(name.clone(), (file.info.clone(), error.to_string()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn judge(&self, file: &DataFile, is_wanted: &dyn Fn() -> bool) -> Result<BatchEntry> {
        let facts = examine(&self.set, file, &self.format, self.granularity, self.next_number, is_wanted)?;
        if let Some(other) = self.held.holder(&file.name, &facts) {
            let found = format!("it holds records that batch `{other}` holds too");
            return Err(Error::new(ErrorClass::Reject, found));
        }
        for (reason, count) in &facts.skipped {
            tracing::warn!(file = file.name, reason, count, "records that are no rows are not loaded");
        }
        // Nothing of a batch without rows can be loaded, so nothing of it waits.
        let state = if facts.records == 0 { BatchState::Ingested } else { BatchState::Waiting };
        Ok(BatchEntry { state, task: None, since_ms: now_ms(), facts })
    }
}

/// Which batch holds which records.
#[derive(Default)]
struct Held(BTreeMap<(String, i32), BTreeMap<i64, (i64, String)>>);

impl Held {
    fn add(&mut self, name: &str, facts: &BatchFacts) {
        for (topic, partition, first, next) in &facts.members {
            let spans = self.0.entry((topic.clone(), *partition)).or_default();
            spans.insert(*first, (*next, name.to_owned()));
        }
    }

    /// Another batch with some of these records, if there is one.
    fn holder(&self, name: &str, facts: &BatchFacts) -> Option<&str> {
        facts.members.iter().find_map(|(topic, partition, first, next)| {
            let spans = self.0.get(&(topic.clone(), *partition))?;
            let (_, (end, other)) = spans.range(..*next).next_back()?;
            (end > first && other != name).then_some(other.as_str())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(members: &[(&str, i32, i64, i64)]) -> BatchFacts {
        let owned =
            |(topic, partition, first, next): &(&str, i32, i64, i64)| ((*topic).to_owned(), *partition, *first, *next);
        BatchFacts {
            number: 0,
            records: 1,
            bytes: 1,
            sha256: String::new(),
            times: None,
            chunks: Vec::new(),
            skipped: BTreeMap::new(),
            members: members.iter().map(owned).collect(),
        }
    }

    #[test]
    fn records_are_of_one_batch() {
        let mut held = Held::default();
        held.add("a", &facts(&[("t", 0, 10, 20), ("t", 0, 30, 40)]));
        held.add("b", &facts(&[("t", 0, 20, 30)]));
        let check = |first, next, expected: Option<&str>| {
            assert_eq!(held.holder("new", &facts(&[("t", 0, first, next)])), expected, "{first} to {next}");
        };
        check(0, 10, None);
        check(0, 11, Some("a"));
        check(29, 30, Some("b"));
        check(29, 31, Some("a"));
        check(40, 50, None);
        check(0, 100, Some("a"));
        assert_eq!(held.holder("new", &facts(&[("t", 1, 10, 20), ("u", 0, 10, 20)])), None);
        assert_eq!(held.holder("new", &facts(&[("t", 1, 10, 20), ("t", 0, 15, 16)])), Some("a"));
    }
}
