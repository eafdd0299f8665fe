//! The end of files whose records are in the log: outbox to wash, and after the retention through washd
//! to nowhere. The newest file of each partition stays: a sink that lost everything else reads in its
//! name where to go on.

use super::layout::CheckedLayout;
use super::names;
use super::owner::token;
use crate::connector::TopicPartition;
use crate::error::Result;
use crate::ports::files::{FileInfo, FileKind, Files, Moved};
use crate::record::now_ms;
use std::collections::BTreeMap;
use std::time::Duration;

/// Moves what is done to the trash, and deletes what was there long enough. Several hosts may do it at
/// the same time. Returns how many files were deleted.
///
/// # Errors
/// What files and layout give; what was begun goes on with the next call.
pub(super) fn tidy(files: &dyn Files, layout: &mut CheckedLayout, snapshot_keep: Option<Duration>) -> Result<u64> {
    let directories = layout.directories.clone();
    let mut done = Vec::new();
    names::walk(files, &directories.outbox, 0, &mut |_, file| {
        done.push(file);
        Ok(())
    })?;
    for file in &done {
        let to = directories.wash.join(file.path.name())?;
        if files.rename(file, &to)? == Moved::Taken {
            files.rename(file, &directories.wash.join(&format!("{}.{}", to.name(), token()))?)?;
        }
    }
    // Deletions that a host did not live to finish.
    let mut unfinished = Vec::new();
    files.list(&directories.washd, &mut |file| {
        unfinished.push(file);
        Ok(())
    })?;
    for directory in unfinished.into_iter().filter(|file| file.kind == FileKind::Directory) {
        files.delete_tree(&directory)?;
    }
    let expired = expired(files, layout)?;
    if expired.is_empty() {
        return Ok(0);
    }
    if let (Some(keep), Some(snapshots)) = (snapshot_keep, files.snapshots()) {
        snapshots.create(&directories.wash, "spool-trash", Some(keep))?;
    }
    let going = files.make_directories(&directories.washd.join(&token())?)?;
    let mut deleted = 0;
    for file in expired {
        deleted += u64::from(matches!(files.rename(&file, &going.path.join(file.path.name())?)?, Moved::Done(_)));
    }
    files.delete_tree(&going)?;
    Ok(deleted)
}

/// Files in the trash that are over their retention and are not the newest of their partition.
fn expired(files: &dyn Files, layout: &mut CheckedLayout) -> Result<Vec<FileInfo>> {
    let (mut names, mut found) = (Vec::new(), Vec::new());
    names::walk(files, &layout.directories.wash.clone(), 0, &mut |name, file| {
        names.push(name.to_owned());
        found.push(file);
        Ok(())
    })?;
    let mut newest: BTreeMap<TopicPartition, (i64, usize)> = BTreeMap::new();
    for (index, identity) in layout.parse(&names)?.into_iter().enumerate() {
        let Some(identity) = identity else { continue };
        let at = TopicPartition { topic: identity.topic, partition: identity.partition };
        let kept = newest.entry(at).or_insert((identity.next, index));
        if identity.next > kept.0 {
            *kept = (identity.next, index);
        }
    }
    let retention = i64::try_from(layout.trash_retention.as_millis()).unwrap_or(i64::MAX);
    let before = now_ms().saturating_sub(retention);
    let is_newest = |index: usize| newest.values().any(|(_, newest)| *newest == index);
    let expired = found.into_iter().enumerate().filter(|(index, file)| file.modified_ms < before && !is_newest(*index));
    Ok(expired.map(|(_, file)| file).collect())
}
