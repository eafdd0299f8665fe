//! The store's directory on the cluster: where paths lead, and the small calls below it.
//!
//! Every call names what it is about by its path, looked up by the cluster in the same step, and not
//! by an id from an earlier look: an id goes on working after somebody has renamed the directory
//! above, and then this host would write into what another has taken over. Ids are used where a
//! thing is ours alone or must stay the same thing: the file being written, the file being read, the
//! further pages of a listing, the job of a deletion.

use super::client::{Answer, Client, Request};
use super::failure::Failure;
use super::wire::{self, Attributes, Entry, encode};
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath};
use crate::ports::qumulo::QumuloSettings;
use reqwest::Method;
use serde::Deserialize;
use std::collections::HashSet;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// First and longest wait between two looks at a deletion.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_LONGEST: Duration = Duration::from_secs(1);

/// A directory of a cluster.
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) settings: QumuloSettings,
    /// The root's absolute path, without a slash at its end: empty for the cluster's root.
    directory: String,
    /// Renames whose outcome was still unknown when their call gave up.
    pub(super) unclear: Mutex<HashSet<(String, FilePath)>>,
}

/// The state of a file by which a later call knows it unchanged.
pub(super) type Etag = Option<String>;

#[derive(Deserialize)]
struct FileSystem {
    free_size_bytes: wire::Digits,
}

#[derive(Deserialize, Default)]
struct Job {
    #[serde(default)]
    last_error_message: Option<String>,
}

impl Cluster {
    pub(super) fn new(settings: QumuloSettings) -> Result<Self> {
        let wrong = |found: &str| {
            Error::config(format!("Qumulo directory `{found}`: expected an absolute path"))
                .with_hint("the path on the cluster, as in `/spool`")
        };
        if !settings.directory.starts_with('/') {
            return Err(wrong(&settings.directory));
        }
        let below_root = FilePath::new(&settings.directory)?;
        let directory = if below_root.is_root() { String::new() } else { format!("/{below_root}") };
        let client = Client::new(&settings)?;
        Ok(Cluster { client, settings, directory, unclear: Mutex::default() })
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        let QumuloSettings { host, port, .. } = &self.settings;
        format!("Qumulo `{host}:{port}` directory `{}/`", self.directory)
    }

    /// Puts what was attempted before an error.
    pub(super) fn explain(&self, error: Error, attempt: impl fmt::Display) -> Error {
        let QumuloSettings { host, port, .. } = &self.settings;
        error.context(attempt).context(format!("Qumulo `{host}:{port}`"))
    }

    /// The absolute path of a place below the root.
    pub(super) fn absolute(&self, path: &FilePath) -> String {
        match (self.directory.is_empty(), path.is_root()) {
            (true, true) => "/".to_owned(),
            (false, true) => self.directory.clone(),
            _ => format!("{}/{}", self.directory, path.as_str()),
        }
    }

    /// The address of something below a path.
    pub(super) fn of_path(&self, path: &FilePath, rest: &str) -> String {
        of_ref(&self.absolute(path), rest)
    }

    /// Attributes and state of what is at a path.
    pub(super) async fn look(&self, path: &FilePath) -> Result<Option<(Attributes, Etag)>> {
        self.look_at(&self.absolute(path)).await
    }

    /// As [`Cluster::look`], by path or id.
    pub(super) async fn look_at(&self, reference: &str) -> Result<Option<(Attributes, Etag)>> {
        match self.client.repeat(&Request::get(of_ref(reference, "/info/attributes"))).await {
            Ok(answer) => attributes(&answer).map(Some),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure.into_error()),
        }
    }

    pub(super) async fn stat(&self, path: &FilePath) -> Result<Option<FileInfo>> {
        self.look(path).await?.map(|(attributes, _)| attributes.at(path)).transpose()
    }

    /// Makes a directory and what is missing above it, up to the cluster's root.
    pub(super) async fn make_directories(&self, directory: &FilePath) -> Result<FileInfo> {
        let absolute = self.absolute(directory);
        if let Some((attributes, _)) = self.look_at(&absolute).await? {
            return is_directory(attributes, &absolute)?.at(directory);
        }
        let mut above = String::new();
        let mut made = None;
        for name in absolute.split('/').filter(|name| !name.is_empty()) {
            let place = format!("{above}/{name}");
            made = Some(self.make_directory(&above, name, &place).await?);
            above = place;
        }
        match made {
            Some(attributes) => attributes.at(directory),
            None => Err(Error::retry("the cluster says that it has no root directory")),
        }
    }

    async fn make_directory(&self, above: &str, name: &str, place: &str) -> Result<Attributes> {
        // Higher levels are there and often not ours to write in: look before making.
        if let Some((attributes, _)) = self.look_at(place).await? {
            return is_directory(attributes, place);
        }
        let above = if above.is_empty() { "/" } else { above };
        let request = Request::post(of_ref(above, "/entries/"), &Entry::CreateDirectory { name })?;
        match self.client.repeat(&request).await {
            Ok(answer) => Ok(attributes(&answer)?.0),
            // Somebody else made it, or we did and the answer was lost.
            Err(failure) if failure.is_taken() => match self.look_at(place).await? {
                Some((attributes, _)) => is_directory(attributes, place),
                None => Err(Error::retry(format!("directory `{place}` comes and goes"))),
            },
            Err(failure) => Err(failure.into_error().context(format!("making `{place}`"))),
        }
    }

    /// Makes an empty file; none: the name is taken. A file whose creation was answered by nobody
    /// and which is there afterwards counts as taken, because it may be another's.
    pub(super) async fn create(&self, path: &FilePath) -> Result<Option<(Attributes, Etag)>> {
        let entry = Entry::CreateFile { name: path.name() };
        let request = Request::post(self.of_path(&path.parent(), "/entries/"), &entry)?;
        match self.client.repeat(&request).await {
            Ok(answer) => attributes(&answer).map(Some),
            Err(failure) if failure.is_taken() => Ok(None),
            Err(failure) if failure.is_missing() => {
                Err(Error::retry(format!("directory `{}` is not there", path.parent())))
            }
            Err(failure) => Err(failure.into_error()),
        }
    }

    /// One page of a listing. None: there is no such directory.
    pub(super) async fn page(&self, reference: &str, after: Option<&str>) -> Result<Option<wire::Page>> {
        let mut target = of_ref(reference, &format!("/entries/?limit={}", self.settings.page_size));
        if let Some(after) = after {
            target.push_str("&after=");
            target.push_str(&encode(after));
        }
        match self.client.repeat(&Request::get(target)).await {
            Ok(answer) => wire::parse(&answer.body).map(Some),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure.into_error()),
        }
    }

    /// Whether a thing is still where it was.
    async fn is_there(&self, file: &FileInfo) -> Result<bool> {
        Ok(self.look(&file.path).await?.is_some_and(|(attributes, _)| attributes.id == file.id))
    }

    pub(super) async fn delete(&self, file: &FileInfo) -> Result<bool> {
        // By path after a look at the id: by id it would delete what another host has taken over
        // with the directory above, by path alone what somebody has put there since.
        if !self.is_there(file).await? {
            return Ok(false);
        }
        let request = Request::new(Method::DELETE, of_ref(&self.absolute(&file.path), ""));
        let mut tries = self.client.tries();
        let mut unclear = false;
        loop {
            match self.client.call(&request).await {
                Ok(_) => return Ok(true),
                Err(failure) if failure.is_missing() => return Ok(unclear),
                Err(failure) if failure.is_transient() => {
                    unclear |= failure.may_have_been_done();
                    self.client.pause(&mut tries, &request, failure).await.map_err(Failure::into_error)?;
                }
                Err(failure) => return Err(failure.into_error()),
            }
        }
    }

    pub(super) async fn delete_tree(&self, directory: &FileInfo) -> Result<bool> {
        if directory.kind != FileKind::Directory {
            return Err(Error::bug("it is a file, expected a directory"));
        }
        if !self.is_there(directory).await? {
            return Ok(false);
        }
        let request = Request::post("/v1/tree-delete/jobs/".to_owned(), &serde_json::json!({ "id": directory.id }))?;
        match self.client.repeat(&request).await {
            Ok(_) => {}
            Err(failure) if failure.is_missing() || failure.has_class("tree_delete_already_started_error") => {}
            Err(failure) if failure.status() == 403 => {
                let error = failure.into_error();
                return Err(error.with_hint("give the user the privilege `PRIVILEGE_FS_DELETE_TREE_WRITE`"));
            }
            Err(failure) => return Err(failure.into_error()),
        }
        self.until_deleted(&directory.id).await?;
        Ok(true)
    }

    /// Waits until the job is gone, and the directory with it.
    async fn until_deleted(&self, id: &str) -> Result<()> {
        let until = Instant::now() + self.settings.delete_tree_within;
        let request = Request::get(format!("/v1/tree-delete/jobs/{}", encode(id)));
        let (mut wait, mut trouble) = (LOOK_FIRST, None);
        loop {
            match self.client.repeat(&request).await {
                Ok(answer) => trouble = wire::parse::<Job>(&answer.body)?.last_error_message,
                Err(failure) if failure.is_missing() => {
                    let trouble = trouble.unwrap_or_default();
                    return match self.look_at(id).await? {
                        None => Ok(()),
                        Some(_) => Err(Error::retry(format!("the deletion ended and left it there {trouble}"))),
                    };
                }
                Err(failure) => return Err(failure.into_error()),
            }
            if Instant::now() + wait > until {
                let seconds = self.settings.delete_tree_within.as_secs();
                let trouble = trouble.map(|text| format!(": {}", text.escape_debug())).unwrap_or_default();
                return Err(Error::retry(format!("not done within {seconds} s, and goes on{trouble}")));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LOOK_LONGEST);
        }
    }

    /// Free bytes; none where the user may not ask.
    pub(super) async fn free_bytes(&self) -> Result<Option<u64>> {
        match self.client.repeat(&Request::get("/v1/file-system".to_owned())).await {
            Ok(answer) => Ok(Some(wire::parse::<FileSystem>(&answer.body)?.free_size_bytes.0)),
            Err(failure) if matches!(failure.status(), 403..=405) => Ok(None),
            Err(failure) => Err(failure.into_error()),
        }
    }
}

/// The address of something below a path or id.
pub(super) fn of_ref(reference: &str, rest: &str) -> String {
    format!("/v1/files/{}{rest}", encode(reference))
}

/// The attributes that an answer holds, and the state it is about.
pub(super) fn attributes(answer: &Answer) -> Result<(Attributes, Etag)> {
    Ok((wire::parse(&answer.body)?, answer.etag.clone()))
}

fn is_directory(attributes: Attributes, place: &str) -> Result<Attributes> {
    match attributes.at(&FilePath::root())?.kind {
        FileKind::Directory => Ok(attributes),
        _ => Err(Error::config(format!("`{place}` is no directory")).with_hint("a file is in the way: move it")),
    }
}
