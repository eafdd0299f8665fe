//! Where a sink goes on: what the names of all files say that it has published.

use super::claim::ClaimName;
use super::layout::CheckedLayout;
use crate::connector::{Identity, TopicPartition};
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath, Files};
use std::collections::{BTreeMap, BTreeSet};

/// Deepest nesting of dated directories that is looked into.
const MAX_DEPTH: usize = 8;
/// Listings of what is on its way before giving up for now.
const MAX_PASSES: usize = 20;

/// How far a partition is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// The offset after the last record.
    pub(super) next: i64,
    /// The number of the next file.
    pub(super) sequence: u64,
}

/// Reads the names of every place a published file can be in, while tasks move files along.
///
/// # Errors
/// What files and layout give; class Retry when files move about all the time.
pub(super) fn published(files: &dyn Files, layout: &mut CheckedLayout) -> Result<BTreeMap<TopicPartition, Published>> {
    let mut names = BTreeSet::new();
    // Nothing leaves the data set.
    target(files, layout, &mut |name, _| {
        names.insert(name.to_owned());
        Ok(())
    })?;
    let mut is_settled = false;
    for _ in 0..MAX_PASSES {
        let is_whole = on_the_way(files, layout, &mut names)?;
        // A file that was put back behind the listing is found by a second pass.
        if is_whole && is_settled {
            break;
        }
        is_settled = is_whole;
    }
    if !is_settled {
        return Err(Error::retry(format!("files of the spool in {} move about all the time", files.describe())));
    }
    let names: Vec<String> = names.into_iter().collect();
    let mut found: BTreeMap<TopicPartition, Published> = BTreeMap::new();
    for Identity { topic, partition, next, sequence, .. } in layout.parse(&names)?.into_iter().flatten() {
        let at = found.entry(TopicPartition { topic, partition }).or_default();
        at.next = at.next.max(next);
        at.sequence = at.sequence.max(sequence.saturating_add(1));
    }
    Ok(found)
}

/// Adds the names of files on their way, in the direction of their way, so that a file that moves on
/// meanwhile is met where it moves to. False: a directory moved away under the listing.
fn on_the_way(files: &dyn Files, layout: &CheckedLayout, names: &mut BTreeSet<String>) -> Result<bool> {
    let directories = &layout.directories;
    let mut is_whole = true;
    let way = [
        (&directories.inbox, 0),
        (&directories.tmp, 2),
        (&directories.outbox, 0),
        (&directories.wash, 0),
        (&directories.washd, 2),
        (&directories.quarantine, 0),
    ];
    for (directory, depth) in way {
        is_whole &= walk(files, directory, depth, &mut |name, _| {
            let name = name.rsplit('/').next().unwrap_or_default();
            names.insert(ClaimName::parse(name).map_or(name, |claim| claim.file).to_owned());
            Ok(())
        })?;
    }
    Ok(is_whole)
}

/// Gives the files of the data set, dated directories included, the spool's own left out.
pub(super) fn target(
    files: &dyn Files,
    layout: &CheckedLayout,
    each: &mut dyn FnMut(&str, FileInfo) -> Result<()>,
) -> Result<()> {
    let directories = &layout.directories;
    let target = directories.target.clone();
    let own: Vec<&FilePath> =
        directories.all().into_iter().filter(|(name, _)| *name != "target").map(|(_, path)| path).collect();
    let is_own = |path: &FilePath| {
        own.iter().any(|own| *own == path || own.as_str().starts_with(&format!("{}/", path.as_str())))
    };
    walk_but(files, &target, &target, MAX_DEPTH, &is_own, each).map(drop)
}

/// Gives the files below a directory, each with its path relative to it. False: a directory below it
/// was gone when it was to be listed.
pub(super) fn walk(
    files: &dyn Files,
    directory: &FilePath,
    depth: usize,
    each: &mut dyn FnMut(&str, FileInfo) -> Result<()>,
) -> Result<bool> {
    walk_but(files, directory, directory, depth, &|_| false, each)
}

fn walk_but(
    files: &dyn Files,
    root: &FilePath,
    directory: &FilePath,
    depth: usize,
    leave_out: &dyn Fn(&FilePath) -> bool,
    each: &mut dyn FnMut(&str, FileInfo) -> Result<()>,
) -> Result<bool> {
    let mut below = Vec::new();
    let is_there = files.list(directory, &mut |file| {
        match file.kind {
            FileKind::File => {
                let path = file.path.as_str();
                let relative = path.get(root.as_str().len()..).unwrap_or(path).trim_start_matches('/').to_owned();
                each(&relative, file)?;
            }
            FileKind::Directory if !leave_out(&file.path) => below.push(file.path),
            FileKind::Directory | FileKind::Other => {}
        }
        Ok(())
    })?;
    // A spool that was not used yet has no directories; one below it was there a moment ago.
    let mut is_whole = is_there || directory == root;
    if depth > 0 {
        for path in below {
            is_whole &= walk_but(files, root, &path, depth - 1, leave_out, each)?;
        }
    }
    Ok(is_whole)
}
