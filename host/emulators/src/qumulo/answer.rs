//! What the emulator says no with, and the forms of its answers.
//!
//! Owns the table of error classes and their HTTP statuses (`qumulo-api.md` section 15), in one
//! place because several of them were never published. Invariant: every answer with a body, but for
//! file data and event streams, is JSON; an error's body is an object; a 401 has none.

use std::io;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Decode,
    Query,
    MediaType,
    TooLarge,
    InvalidName,
    NameSize,
    PathSize,
    FilePath,
    InvalidOffset,
    InvalidSize,
    NotADirectory,
    NotAFile,
    FileType,
    NotSignedIn,
    Privilege,
    AccessDenied,
    ReadOnly,
    NoSuchEntry,
    NotFound,
    Method,
    Exists,
    NotEmpty,
    Cycle,
    SameInode,
    AlreadyStarted,
    TokenLimit,
    Revision,
    NoSpace,
    FileSize,
    TooMany,
    Unavailable,
    Internal,
}

impl Class {
    /// The class as clients know it, and the status it comes with. Statuses of the `fs_` classes
    /// other than 404 and `fs_entry_exists_error` are assumptions, as are the classes of 401, 405,
    /// 412, 413 and 415 and the status of a full file system.
    fn parts(self) -> (u16, &'static str) {
        match self {
            Self::Decode => (400, "decode_error"),
            Self::Query => (400, "http_bad_request_error"),
            Self::MediaType => (415, "http_unsupported_media_type_error"),
            Self::TooLarge => (413, "http_request_too_large_error"),
            Self::InvalidName => (400, "fs_invalid_name_error"),
            Self::NameSize => (400, "fs_name_size_error"),
            Self::PathSize => (400, "fs_path_size_error"),
            Self::FilePath => (400, "fs_file_path_invalid_error"),
            Self::InvalidOffset => (400, "fs_invalid_offset_error"),
            Self::InvalidSize => (400, "fs_invalid_size_error"),
            Self::NotADirectory => (400, "fs_not_a_directory_error"),
            Self::NotAFile => (400, "fs_not_a_file_error"),
            Self::FileType => (400, "fs_invalid_file_type_error"),
            Self::NotSignedIn => (401, "http_unauthenticated_error"),
            Self::Privilege => (403, "http_unauthorized_error"),
            Self::AccessDenied => (403, "fs_access_denied_error"),
            Self::ReadOnly => (403, "fs_read_only_error"),
            Self::NoSuchEntry => (404, "fs_no_such_entry_error"),
            Self::NotFound => (404, "http_not_found_error"),
            Self::Method => (405, "http_method_not_allowed_error"),
            Self::Exists => (409, "fs_entry_exists_error"),
            Self::NotEmpty => (409, "fs_directory_not_empty_error"),
            Self::Cycle => (409, "fs_directory_cycle_error"),
            Self::SameInode => (409, "fs_same_inode_error"),
            Self::AlreadyStarted => (409, "tree_delete_already_started_error"),
            Self::TokenLimit => (409, "auth_access_token_limit_error"),
            Self::Revision => (412, "fs_revision_mismatch_error"),
            Self::NoSpace => (507, "fs_no_space_error"),
            Self::FileSize => (400, "fs_file_size_error"),
            Self::TooMany => (429, "http_too_many_requests_error"),
            Self::Unavailable => (503, "http_service_unavailable_error"),
            Self::Internal => (500, "internal_error"),
        }
    }
}

/// A request that was not carried out.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) class: Class,
    description: String,
    status: Option<u16>,
    retry_after: Option<u32>,
}

impl Refusal {
    pub(super) fn new(class: Class, description: impl Into<String>) -> Self {
        Self { class, description: description.into(), status: None, retry_after: None }
    }

    /// An answer that a fault asks for. A status that is none counts as 500.
    pub(super) fn injected(status: u16, retry_after: Option<u32>) -> Self {
        let class = match status {
            401 => Class::NotSignedIn,
            403 => Class::Privilege,
            404 => Class::NotFound,
            429 => Class::TooMany,
            503 => Class::Unavailable,
            _ => Class::Internal,
        };
        Self { status: Some(status), retry_after, ..Self::new(class, "the emulator was told to fail") }
    }

    pub(super) fn no_entry(what: impl std::fmt::Display) -> Self {
        Self::new(Class::NoSuchEntry, format!("no such entry: {what}"))
    }

    pub(super) fn no_space() -> Self {
        Self::new(Class::NoSpace, "the file system is full")
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let (status, class) = self.class.parts();
        let status = StatusCode::from_u16(self.status.unwrap_or(status)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = if status == StatusCode::UNAUTHORIZED {
            empty(status)
        } else {
            let body = json!({
                "description": self.description, "module": "emulator", "error_class": class,
                "user_visible": true, "stack": [],
            });
            json_with(status, &body)
        };
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.class.parts().1, self.description)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let class = match error.kind() {
            Kind::NotFound => Class::NoSuchEntry,
            Kind::AlreadyExists => Class::Exists,
            Kind::DirectoryNotEmpty => Class::NotEmpty,
            Kind::NotADirectory => Class::NotADirectory,
            Kind::IsADirectory => Class::NotAFile,
            Kind::PermissionDenied => Class::AccessDenied,
            Kind::ReadOnlyFilesystem => Class::ReadOnly,
            Kind::StorageFull | Kind::QuotaExceeded => Class::NoSpace,
            Kind::FileTooLarge => Class::FileSize,
            // What the system says of an offset that its files cannot have.
            Kind::InvalidInput => Class::InvalidOffset,
            Kind::InvalidFilename => Class::NameSize,
            _ => {
                tracing::warn!(%error, "qumulo emulator met an error of the system");
                Class::Internal
            }
        };
        Self::new(class, error.to_string())
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        tracing::warn!(%error, "qumulo emulator failed to use its bookkeeping");
        Self::new(Class::Internal, "the bookkeeping failed")
    }
}

/// 200 and this JSON.
pub(super) fn json_ok(value: &Value) -> Response<Body> {
    json_with(StatusCode::OK, value)
}

/// 200, this JSON, and the tag of the object it tells of.
pub(super) fn json_tagged(value: &Value, etag: &str) -> Response<Body> {
    with_etag(json_ok(value), etag)
}

pub(super) fn with_etag(mut response: Response<Body>, etag: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// An answer without a body; says so with `Content-Length: 0`.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

fn json_with(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
