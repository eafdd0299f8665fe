//! Which call a request path names.
//!
//! Invariant: the raw path is split on `/` before anything is decoded, so that `%2F` stays within
//! its segment; nothing is normalised. Collections end in `/` and are not found without it.

use super::answer::{Class, Refusal};
use super::query::{decode, number};
use super::store::{Id, Ref};

/// The longest path, in characters, `qumulo-api.md` section 16.
const MAX_PATH_CHARS: usize = 32_760;

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Version,
    NodeState,
    Login,
    WhoAmI,
    Roles,
    Tokens,
    Token(String),
    File(Ref, Part),
    Resolve,
    FileSystem,
    AtimeSettings,
    NotifySettings,
    /// The API version matters: two of them are in use with different answers.
    Snapshots(u8),
    Snapshot(u8, i64),
    SnapshotStatuses,
    SnapshotStatus(i64),
    SnapshotDiff {
        newer: i64,
        older: i64,
    },
    Jobs,
    Job(Id),
    JobRestart(Id),
}

/// What of a file is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Attributes,
    Entries,
    Entry(String),
    Data,
    CopyChunk,
    PunchHole,
    Notify,
    Aggregates,
    RecursiveAggregates,
    DeleteTree,
}

impl Route {
    /// # Errors
    /// Class `NotFound` for a path that is no call, `FilePath` or `PathSize` for a file reference
    /// that cannot be read.
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let unknown = || Refusal::new(Class::NotFound, "there is no such call");
        let id = |text: &str| number(text).ok_or_else(unknown);
        Ok(match segments.as_slice() {
            ["v1", "version"] => Self::Version,
            ["v1", "node", "state"] => Self::NodeState,
            ["v1", "session", "login"] => Self::Login,
            ["v1", "session", "who-am-i"] => Self::WhoAmI,
            ["v1", "session", "roles"] => Self::Roles,
            ["v1", "auth", "access-tokens", ""] => Self::Tokens,
            ["v1", "auth", "access-tokens", id] => Self::Token(decode(id).ok_or_else(unknown)?),
            ["v1", "files", "resolve"] => Self::Resolve,
            ["v1", "files", file, rest @ ..] => {
                let part = Part::parse(rest)?.ok_or_else(unknown)?;
                Self::File(parse_ref(file)?, part)
            }
            ["v1", "file-system"] => Self::FileSystem,
            ["v1", "file-system", "settings", "atime"] => Self::AtimeSettings,
            ["v1", "file-system", "settings", "notify"] => Self::NotifySettings,
            ["v2", "snapshots", ""] => Self::Snapshots(2),
            ["v3", "snapshots", ""] => Self::Snapshots(3),
            ["v4", "snapshots", "status", ""] => Self::SnapshotStatuses,
            ["v3", "snapshots", "status", snapshot] => Self::SnapshotStatus(id(snapshot)?),
            ["v2", "snapshots", newer, "changes-since", older] => {
                Self::SnapshotDiff { newer: id(newer)?, older: id(older)? }
            }
            ["v2", "snapshots", snapshot] => Self::Snapshot(2, id(snapshot)?),
            ["v3", "snapshots", snapshot] => Self::Snapshot(3, id(snapshot)?),
            ["v1", "tree-delete", "jobs", ""] => Self::Jobs,
            ["v1", "tree-delete", "jobs", "restart", job] => Self::JobRestart(id(job)?),
            ["v1", "tree-delete", "jobs", job] => Self::Job(id(job)?),
            _ => return Err(unknown()),
        })
    }

    /// Whether the call needs no token.
    pub(super) fn is_public(&self) -> bool {
        matches!(self, Self::Version | Self::Login)
    }
}

impl Part {
    fn parse(rest: &[&str]) -> Result<Option<Self>, Refusal> {
        Ok(Some(match rest {
            [] => Self::Whole,
            ["info", "attributes"] => Self::Attributes,
            ["entries", ""] => Self::Entries,
            ["entries", name] => {
                Self::Entry(decode(name).ok_or_else(|| Refusal::new(Class::InvalidName, "the name is not UTF-8"))?)
            }
            ["data"] => Self::Data,
            ["copy-chunk"] => Self::CopyChunk,
            ["punch-hole"] => Self::PunchHole,
            ["notify"] => Self::Notify,
            ["aggregates", ""] => Self::Aggregates,
            ["recursive-aggregates", ""] => Self::RecursiveAggregates,
            ["delete-tree"] => Self::DeleteTree,
            _ => return Ok(None),
        }))
    }
}

/// Reads a file reference that is one raw segment of a path: digits, or an absolute path.
///
/// # Errors
/// Class `FilePath` or `PathSize`.
fn parse_ref(segment: &str) -> Result<Ref, Refusal> {
    let text = decode(segment).ok_or_else(|| Refusal::new(Class::FilePath, "the path is not percent-encoded UTF-8"))?;
    read_ref(&text)
}

/// Reads a file reference that is plain text: digits, or an absolute path. A trailing slash is left
/// out; `.`, `..` and empty names stay and name nothing.
///
/// # Errors
/// Class `FilePath` or `PathSize`.
pub(super) fn read_ref(text: &str) -> Result<Ref, Refusal> {
    if let Some(id) = number(text) {
        return Ok(Ref::Id(id));
    }
    let Some(names) = text.strip_prefix('/') else {
        return Err(Refusal::new(Class::FilePath, "expected an id or an absolute path"));
    };
    if text.len() > MAX_PATH_CHARS && text.chars().count() > MAX_PATH_CHARS {
        return Err(Refusal::new(Class::PathSize, format!("expected at most {MAX_PATH_CHARS} characters in a path")));
    }
    let names = names.strip_suffix('/').unwrap_or(names);
    if names.is_empty() {
        return Ok(Ref::Path(Vec::new()));
    }
    Ok(Ref::Path(names.split('/').map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(names: &[&str]) -> Ref {
        Ref::Path(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_reference_is_one_raw_segment() {
        let file = |text: &str| Route::parse(text).map_err(|refusal| refusal.class);
        let whole = |names: &[&str]| Ok(Route::File(path(names), Part::Whole));
        assert_eq!(file("/v1/files/2"), Ok(Route::File(Ref::Id(2), Part::Whole)));
        assert_eq!(file("/v1/files/%2F"), whole(&[]));
        assert_eq!(file("/v1/files/%2fa%2Fb%2F"), whole(&["a", "b"]));
        assert_eq!(file("/v1/files/%2Fa%252Fb"), whole(&["a%2Fb"]));
        assert_eq!(file("/v1/files/%2Fa%2F%2Fb"), whole(&["a", "", "b"]));
        assert_eq!(file("/v1/files/%2F..%2Fx"), whole(&["..", "x"]));
        assert_eq!(file("/v1/files/a"), Err(Class::FilePath));
        assert_eq!(file("/v1/files/%ff"), Err(Class::FilePath));
        assert_eq!(file(&format!("/v1/files/%2F{}", "x".repeat(40_000))), Err(Class::PathSize));
        let entry = Route::File(Ref::Id(2), Part::Entry("a b".to_owned()));
        assert_eq!(file("/v1/files/2/entries/a%20b"), Ok(entry));
    }

    #[test]
    fn collections_want_their_slash() {
        for (with, without) in [
            ("/v1/files/2/entries/", "/v1/files/2/entries"),
            ("/v1/files/2/aggregates/", "/v1/files/2/aggregates"),
            ("/v3/snapshots/", "/v3/snapshots"),
            ("/v1/tree-delete/jobs/", "/v1/tree-delete/jobs"),
            ("/v1/auth/access-tokens/", "/v1/auth/access-tokens"),
        ] {
            assert!(Route::parse(with).is_ok(), "{with}");
            assert_eq!(Route::parse(without).unwrap_err().class, Class::NotFound, "{without}");
        }
        for unknown in ["/", "", "//", "/v1/files/2/data/", "/v1/files/2/nothing", "/v9/version", "/v3/snapshots/x"] {
            assert_eq!(Route::parse(unknown).unwrap_err().class, Class::NotFound, "{unknown}");
        }
    }
}
