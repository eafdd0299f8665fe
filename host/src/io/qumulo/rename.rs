//! Renames: the step on which everything rests, and the one whose answer must not be lost.
//!
//! The source is named by its path below the root, never by where its id is now: whoever renamed the
//! directory above meanwhile has ended this rename too.
//!
//! An answer that does not come leaves open whether the rename took place. The request is repeated:
//! when the source is gone then and the same id is at the target, it had. A call that gives up
//! without knowing leaves a note, so that the task's own repeat, which is another call, finds it
//! out all the same. What cannot be told apart is two hosts that rename the same file to the very
//! same name while an answer is lost: who claims something claims it to a name of its own.

use super::client::Request;
use super::cluster::{Cluster, attributes};
use super::failure::Failure;
use super::wire::Entry;
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FilePath, Moved};
use std::sync::PoisonError;

/// Notes of unknown outcomes; hosts have a few renames under way at a time.
const MAX_NOTES: usize = 1024;

impl Cluster {
    /// Moves to a new name, over what is there only with `clobber`.
    pub(super) async fn rename(&self, from: &FileInfo, to: &FilePath, clobber: bool) -> Result<Moved> {
        if from.path.is_root() || to.is_root() {
            return Err(Error::bug("the root cannot be moved or replaced"));
        }
        let note = (from.id.clone(), to.clone());
        let mut unclear = self.notes().remove(&note);
        let outcome = self.rename_once(from, to, clobber, &mut unclear).await;
        if outcome.is_err() && unclear {
            let mut notes = self.notes();
            if notes.len() >= MAX_NOTES {
                notes.clear();
            }
            notes.insert(note);
        }
        outcome
    }

    async fn rename_once(&self, from: &FileInfo, to: &FilePath, clobber: bool, unclear: &mut bool) -> Result<Moved> {
        let old_path = self.absolute(&from.path);
        let entry = Entry::Rename { name: to.name(), old_path: &old_path, clobber };
        let request = Request::post(self.of_path(&to.parent(), "/entries/"), &entry)?;
        let mut tries = self.client.tries();
        loop {
            let failure = match self.client.call(&request).await {
                Ok(answer) => return Ok(Moved::Done(attributes(&answer)?.0.at(to)?)),
                Err(failure) => failure,
            };
            if failure.is_transient() {
                *unclear |= failure.may_have_been_done();
                self.client.pause(&mut tries, &request, failure).await.map_err(Failure::into_error)?;
            } else if failure.is_missing() || failure.is_taken() {
                return self.who_was_it(from, to, *unclear, failure.is_taken()).await;
            } else {
                return Err(failure.into_error());
            }
        }
    }

    /// Nothing is at the source, or something is at the target: what that means.
    async fn who_was_it(&self, from: &FileInfo, to: &FilePath, unclear: bool, taken: bool) -> Result<Moved> {
        if unclear
            && let Some(there) = self.stat(to).await?
            && there.id == from.id
        {
            return Ok(Moved::Done(there));
        }
        if taken {
            return Ok(Moved::Taken);
        }
        // A target directory that is missing is answered in the same way as a missing source.
        match self.stat(&from.path).await? {
            None => Ok(Moved::Gone),
            Some(_) => Err(Error::retry(format!("directory `{}` is not there", to.parent()))),
        }
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<(String, FilePath)>> {
        self.unclear.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
