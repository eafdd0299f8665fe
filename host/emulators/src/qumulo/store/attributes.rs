//! What an object looks like: the attributes object of `qumulo-api.md` section 5, and the tag.
//!
//! Invariant: the tag changes with every change of data or attributes that came through the API (a
//! revision counts them), and with changes of size or time that others made.

use cap_std::fs::{FileTypeExt, Metadata, MetadataExt};
use serde_json::{Map, Value, json};

use super::find::Found;
use crate::clock::iso_ms;

/// What the file system says of an object. Times in nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    pub(super) kind: Kind,
    pub(super) ino: i64,
    /// 0 where the file system keeps no time of birth.
    pub(super) born: i64,
    pub(super) num_links: u64,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) accessed: i64,
    pub(super) modified: i64,
    pub(super) changed: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    Pipe,
    CharacterDevice,
    BlockDevice,
    Socket,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::File => "FS_FILE_TYPE_FILE",
            Self::Directory => "FS_FILE_TYPE_DIRECTORY",
            Self::Symlink => "FS_FILE_TYPE_SYMLINK",
            Self::Pipe => "FS_FILE_TYPE_UNIX_PIPE",
            Self::CharacterDevice => "FS_FILE_TYPE_UNIX_CHARACTER_DEVICE",
            Self::BlockDevice => "FS_FILE_TYPE_UNIX_BLOCK_DEVICE",
            Self::Socket => "FS_FILE_TYPE_UNIX_SOCKET",
        }
    }
}

impl Meta {
    pub(super) fn new(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        let kind = match () {
            () if kind.is_file() => Kind::File,
            () if kind.is_dir() => Kind::Directory,
            () if kind.is_symlink() => Kind::Symlink,
            () if kind.is_fifo() => Kind::Pipe,
            () if kind.is_char_device() => Kind::CharacterDevice,
            () if kind.is_block_device() => Kind::BlockDevice,
            () => Kind::Socket,
        };
        let born = metadata.created().ok().and_then(|time| {
            let since = time.into_std().duration_since(std::time::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_nanos()).ok()
        });
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Self {
            kind,
            // Only compared, so the bits are what matters.
            ino: metadata.ino().cast_signed(),
            born: born.unwrap_or(0),
            num_links: metadata.nlink(),
            mode: metadata.mode() & 0o7777,
            size: metadata.len(),
            accessed: nanos(metadata.atime(), metadata.atime_nsec()),
            modified: nanos(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }
}

impl Found {
    /// The tag of the object as it is now, with its quotes.
    pub(in super::super) fn etag(&self) -> String {
        let Meta { modified, size, .. } = self.meta;
        format!("\"{:x}-{modified:x}-{size:x}\"", self.node.revision)
    }

    /// The attributes; `child_count` is that of a directory.
    pub(super) fn attributes(&self, child_count: i64) -> Value {
        let meta = &self.meta;
        let is_dir = meta.is_dir();
        // Directories have no data of their own here, and one block of bookkeeping each.
        let (size, datablocks) = if is_dir { (0, 0) } else { (meta.size, meta.size.div_ceil(4096)) };
        let path = if is_dir && !self.path.is_empty() { format!("/{}/", self.path) } else { format!("/{}", self.path) };
        let id = self.node.id.to_string();
        let value = json!({
            "path": path,
            "name": self.name(),
            "num_links": if is_dir { 2 } else { meta.num_links },
            "type": meta.kind.name(),
            "major_minor_numbers": { "major": 0, "minor": 0 },
            "symlink_target_type": "FS_FILE_TYPE_UNKNOWN",
            "file_number": id,
            "id": id,
            "mode": format!("{:04o}", meta.mode),
            "owner": "500",
            "owner_details": { "id_type": "LOCAL_USER", "id_value": "admin" },
            "group": "513",
            "group_details": { "id_type": "LOCAL_GROUP", "id_value": "Users" },
            "blocks": (datablocks + 1).to_string(),
            "datablocks": datablocks.to_string(),
            "metablocks": "1",
            "size": size.to_string(),
            "access_time": rfc3339(meta.accessed),
            "modification_time": rfc3339(meta.modified),
            "change_time": rfc3339(meta.changed),
            "creation_time": rfc3339(if meta.born == 0 { meta.changed } else { meta.born }),
            "child_count": if is_dir { child_count } else { 0 },
            "extended_attributes": {
                "read_only": false, "hidden": false, "system": false, "archive": false, "temporary": false,
                "compressed": false, "not_content_indexed": false, "sparse_file": false, "offline": false,
            },
            "directory_entry_hash_policy": is_dir.then_some("FS_DIRECTORY_HASH_VERSION_FOLDED"),
            "data_revision": (!is_dir).then(|| self.node.revision.to_string()),
            "user_metadata_revision": "0",
        });
        let Value::Object(mut object) = value else { return value };
        object.extend(self.kept_fields());
        Value::Object(object)
    }

    /// The attributes that were set through the API and that the folder cannot keep.
    pub(super) fn kept_fields(&self) -> Map<String, Value> {
        let kept = self.node.fields.as_deref().and_then(|text| serde_json::from_str(text).ok());
        kept.unwrap_or_default()
    }
}

/// Whether `If-Match` lets a request through: byte for byte, quotes included; absent always does.
pub(super) fn etag_matches(if_match: Option<&str>, etag: &str) -> bool {
    if_match.is_none_or(|wanted| wanted == etag)
}

/// `2024-05-17T13:23:40.283585722Z`.
pub(in super::super) fn rfc3339(at_ns: i64) -> String {
    let ms = iso_ms(at_ns.div_euclid(1_000_000));
    format!("{}{:06}Z", ms.trim_end_matches('Z'), at_ns.rem_euclid(1_000_000))
}

/// The same of milliseconds, whose range has no end that matters.
pub(in super::super) fn rfc3339_ms(at_ms: i64) -> String {
    format!("{}000000Z", iso_ms(at_ms).trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nanoseconds() {
        assert_eq!(rfc3339(1_715_952_220_283_585_722), "2024-05-17T13:23:40.283585722Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn tags_are_compared_byte_for_byte() {
        assert!(etag_matches(None, "\"1\""));
        assert!(etag_matches(Some("\"1\""), "\"1\""));
        assert!(!etag_matches(Some("1"), "\"1\""));
        assert!(!etag_matches(Some("*"), "\"1\""));
    }
}
