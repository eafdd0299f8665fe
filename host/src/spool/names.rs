//! Where a sink goes on: what the names of all files say that it has published.

use super::claim::ClaimName;
use super::layout::CheckedLayout;
use crate::connector::{Identity, TopicPartition};
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath, Files};
use std::collections::BTreeMap;

/// Deepest nesting of dated directories that is looked into.
const MAX_DEPTH: usize = 8;

/// How far a partition is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// The offset after the last record.
    pub(super) next: i64,
    /// The number of the next file.
    pub(super) sequence: u64,
}

/// Reads the names of every place a published file can be in.
///
/// # Errors
/// What files and layout give.
pub(super) fn published(files: &dyn Files, layout: &mut CheckedLayout) -> Result<BTreeMap<TopicPartition, Published>> {
    let directories = layout.directories.clone();
    let mut names = Vec::new();
    let flat = [&directories.inbox, &directories.outbox, &directories.wash, &directories.quarantine];
    for directory in flat {
        walk(files, directory, 0, &mut |name, _| Ok(names.push(name.to_owned())))?;
    }
    // Trash that is being deleted, and claims of tasks, are one directory deeper.
    for directory in [&directories.tmp, &directories.washd] {
        walk(files, directory, 2, &mut |name, _| {
            let name = name.rsplit('/').next().unwrap_or_default();
            names.push(ClaimName::parse(name).map_or(name, |claim| claim.file).to_owned());
            Ok(())
        })?;
    }
    target(files, layout, &mut |name, _| Ok(names.push(name.to_owned())))?;
    let mut found: BTreeMap<TopicPartition, Published> = BTreeMap::new();
    for Identity { topic, partition, next, sequence, .. } in layout.parse(&names)?.into_iter().flatten() {
        let at = found.entry(TopicPartition { topic, partition }).or_default();
        at.next = at.next.max(next);
        at.sequence = at.sequence.max(sequence.saturating_add(1));
    }
    Ok(found)
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
    walk_but(files, &target, &target, MAX_DEPTH, &is_own, each)
}

/// Gives the files below a directory, each with its path relative to it.
pub(super) fn walk(
    files: &dyn Files,
    directory: &FilePath,
    depth: usize,
    each: &mut dyn FnMut(&str, FileInfo) -> Result<()>,
) -> Result<()> {
    walk_but(files, directory, directory, depth, &|_| false, each)
}

fn walk_but(
    files: &dyn Files,
    root: &FilePath,
    directory: &FilePath,
    depth: usize,
    leave_out: &dyn Fn(&FilePath) -> bool,
    each: &mut dyn FnMut(&str, FileInfo) -> Result<()>,
) -> Result<()> {
    let mut below = Vec::new();
    files.list(directory, &mut |file| {
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
    for path in below {
        match depth {
            0 => {}
            depth if path.names().count() > 64 => {
                return Err(Error::config(format!("directory `{path}` is {depth} levels below what a spool makes")));
            }
            depth => walk_but(files, root, &path, depth - 1, leave_out, each)?,
        }
    }
    Ok(())
}
