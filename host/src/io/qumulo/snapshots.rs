//! Snapshots, version 3 of the calls.

use super::client::Request;
use super::cluster::Cluster;
use super::failure::Failure;
use super::wire;
use crate::error::{Error, Result};
use crate::ports::files::{FilePath, Snapshot, Snapshots};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;

#[derive(Serialize)]
struct NewSnapshot<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name_suffix: &'a str,
    /// Empty: it stays until it is deleted.
    expiration: String,
    source_file_id: &'a str,
}

#[derive(Deserialize)]
struct Found {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct All {
    entries: Vec<Found>,
}

impl From<Found> for Snapshot {
    fn from(found: Found) -> Self {
        Snapshot { id: found.id, name: found.name }
    }
}

/// The snapshots of a cluster.
pub(super) struct QumuloSnapshots {
    pub(super) cluster: Arc<Cluster>,
    pub(super) runtime: Handle,
}

impl QumuloSnapshots {
    fn run<T>(&self, call: impl Future<Output = Result<T>>, attempt: impl Display) -> Result<T> {
        self.runtime.block_on(call).map_err(|error| self.cluster.explain(error, attempt))
    }
}

impl Snapshots for QumuloSnapshots {
    fn create(&self, directory: &FilePath, name: &str, keep: Option<Duration>) -> Result<Snapshot> {
        let attempt = format_args!("making a snapshot of `{directory}`");
        self.run(self.cluster.create_snapshot(directory, name, keep), attempt)
    }

    fn list(&self) -> Result<Vec<Snapshot>> {
        self.run(self.cluster.snapshots(), "listing snapshots")
    }

    fn delete(&self, id: u64) -> Result<bool> {
        self.run(self.cluster.delete_snapshot(id), format_args!("deleting snapshot `{id}`"))
    }
}

impl Cluster {
    async fn create_snapshot(&self, directory: &FilePath, name: &str, keep: Option<Duration>) -> Result<Snapshot> {
        let Some(source) = self.stat(directory).await? else {
            return Err(Error::retry("the directory is not there"));
        };
        let expiration = match keep {
            // The host's clock; clusters are on network time as well.
            Some(keep) => SystemTime::now()
                .checked_add(keep)
                .map(|end| humantime::format_rfc3339_seconds(end).to_string())
                .ok_or_else(|| Error::config("kept for longer than there are years"))?,
            None => String::new(),
        };
        let body = NewSnapshot { name_suffix: name, expiration, source_file_id: &source.id };
        let request = Request::post("/v3/snapshots/".to_owned(), &body)?;
        let mut tries = self.client.tries();
        loop {
            match self.client.call(&request).await {
                Ok(answer) => return Ok(wire::parse::<Found>(&answer.body)?.into()),
                // Not repeated when it may have been made: it would be made twice.
                Err(failure) if failure.is_transient() && !failure.may_have_been_done() => {
                    self.client.pause(&mut tries, &request, failure).await.map_err(Failure::into_error)?;
                }
                Err(failure) => return Err(failure.into_error()),
            }
        }
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let request = Request::get("/v3/snapshots/?filter=exclude_in_delete".to_owned());
        let answer = self.client.repeat(&request).await.map_err(Failure::into_error)?;
        Ok(wire::parse::<All>(&answer.body)?.entries.into_iter().map(Snapshot::from).collect())
    }

    async fn delete_snapshot(&self, id: u64) -> Result<bool> {
        let request = Request::new(Method::DELETE, format!("/v3/snapshots/{id}"));
        match self.client.repeat(&request).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_missing() => Ok(false),
            Err(failure) => Err(failure.into_error()),
        }
    }
}
