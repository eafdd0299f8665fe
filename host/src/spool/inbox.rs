//! What waits in the inbox: seen by a watch, listed now and then as a safety net.

use crate::error::Result;
use crate::ports::files::{FileInfo, FileKind, FilePath, Files, Seen, Watch};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often the inbox is listed although nothing was seen in it.
pub(super) const LIST_EVERY: Duration = Duration::from_secs(60);
/// Names held at once; a name is some 300 bytes.
const MAX_WAITING: usize = 100_000;

/// Files that are there and not claimed.
pub(super) struct Inbox {
    directory: FilePath,
    watch: Option<Box<dyn Watch>>,
    /// By name; none: seen, and not looked at.
    waiting: BTreeMap<String, Option<FileInfo>>,
    listed: Option<Instant>,
    /// Whether the last listing found more than is held.
    is_cut: bool,
}

impl Inbox {
    pub(super) fn new(directory: FilePath) -> Self {
        Inbox { directory, watch: None, waiting: BTreeMap::new(), listed: None, is_cut: false }
    }

    /// Files that are known of; none before the first listing.
    pub(super) fn len(&self) -> Option<usize> {
        self.listed.map(|_| self.waiting.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Learns what is there, waiting up to `wait` for something.
    ///
    /// # Errors
    /// What the files give.
    pub(super) fn look(&mut self, files: &dyn Files, wait: Duration) -> Result<()> {
        let watch = match &mut self.watch {
            Some(watch) => watch,
            none => none.insert(files.watch(&self.directory)?),
        };
        // What did not fit into the last listing is in the next.
        let is_next = self.is_cut && self.waiting.is_empty();
        let mut list = is_next || self.listed.is_none_or(|listed| listed.elapsed() >= LIST_EVERY);
        match watch.next(if list { Duration::ZERO } else { wait })? {
            Seen::Nothing => {}
            Seen::Appeared(names) => {
                let direct = names.into_iter().filter(|name| !name.contains('/'));
                self.waiting.extend(direct.map(|name| (name, None)));
            }
            Seen::List => list = true,
            Seen::Gone => {
                self.watch = None;
                files.make_directories(&self.directory)?;
            }
        }
        if list {
            let waiting = &mut self.waiting;
            files.list(&self.directory, &mut |file| {
                if file.kind == FileKind::File && waiting.len() < MAX_WAITING {
                    waiting.insert(file.path.name().to_owned(), Some(file));
                }
                Ok(())
            })?;
            self.is_cut = self.waiting.len() >= MAX_WAITING;
            self.listed = Some(Instant::now());
        }
        Ok(())
    }

    /// The first name in order, with what is there under it; none: nothing waits.
    ///
    /// # Errors
    /// What the files give; the name is found again by the next listing.
    pub(super) fn take(&mut self, files: &dyn Files) -> Result<Option<(String, FileInfo)>> {
        while let Some((name, known)) = self.waiting.pop_first() {
            let found = match (known, self.directory.join(&name)) {
                (Some(file), _) => Some(file),
                (None, Ok(path)) => files.stat(&path)?.filter(|file| file.kind == FileKind::File),
                (None, Err(_)) => None,
            };
            if let Some(file) = found {
                return Ok(Some((name, file)));
            }
        }
        Ok(None)
    }
}
