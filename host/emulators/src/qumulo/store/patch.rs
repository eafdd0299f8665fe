//! Changes attributes: size, mode and times in the folder, the rest beside it.

use std::fs::FileTimes;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_std::fs::{Permissions, PermissionsExt};
use serde_json::{Map, Value};

use super::attributes::{Kind, etag_matches};
use super::change::Tagged;
use super::find::Found;
use super::{Ref, Store};
use crate::clock;
use crate::qumulo::answer::{Class, Refusal};
use crate::qumulo::watchers::Event;

/// The attributes to change; `None` leaves one as it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Patch {
    mode: Option<u32>,
    size: Option<u64>,
    accessed: Option<i64>,
    modified: Option<i64>,
    /// What only this emulator keeps.
    fields: Map<String, Value>,
}

impl Patch {
    /// Reads a request's body.
    ///
    /// # Errors
    /// Class `Decode` for a value of the wrong form, `InvalidSize` for a size that no file has.
    pub(in super::super) fn parse(body: &Map<String, Value>) -> Result<Self, Refusal> {
        let mut patch = Self::default();
        for (key, value) in body.iter().filter(|(_, value)| !value.is_null()) {
            let bad = || Refusal::new(Class::Decode, format!("field `{key}` has a value of the wrong form"));
            let text = value.as_str();
            match key.as_str() {
                "mode" => {
                    let mode = text.and_then(|text| u32::from_str_radix(text, 8).ok());
                    patch.mode = Some(mode.filter(|mode| *mode <= 0o7777).ok_or_else(bad)?);
                }
                "size" => {
                    let size = text.ok_or_else(bad)?.parse().map_err(|_| bad())?;
                    if i64::try_from(size).is_err() {
                        return Err(Refusal::new(Class::InvalidSize, format!("`{size}` is no size of a file")));
                    }
                    patch.size = Some(size);
                }
                "access_time" => patch.accessed = Some(text.and_then(parse_ns).ok_or_else(bad)?),
                "modification_time" => patch.modified = Some(text.and_then(parse_ns).ok_or_else(bad)?),
                "creation_time" | "change_time" => {
                    text.and_then(parse_ns).ok_or_else(bad)?;
                    patch.fields.insert(key.clone(), value.clone());
                }
                "owner" | "group" => {
                    text.ok_or_else(bad)?;
                    patch.fields.insert(key.clone(), value.clone());
                }
                "owner_details" | "group_details" | "extended_attributes" => {
                    value.as_object().ok_or_else(bad)?;
                    patch.fields.insert(key.clone(), value.clone());
                }
                _ => {}
            }
        }
        Ok(patch)
    }
}

impl Store {
    /// Changes attributes of an object, if its tag is the one expected.
    ///
    /// # Errors
    /// Classes `NoSuchEntry`, `Revision`, `NotAFile` for the size of something else, `NoSpace`,
    /// `ReadOnly`.
    pub(in super::super) fn patch(&self, what: &Ref, if_match: Option<&str>, patch: &Patch) -> Result<Tagged, Refusal> {
        let index = &*self.index();
        self.check_writable()?;
        let found = self.find(index, what)?;
        self.check_tag(&found, if_match)?;
        let mut kinds = Vec::new();
        if let Some(size) = patch.size {
            self.resize(&found, size)?;
            kinds.push("child_size_changed");
        }
        let mut fields = found.kept_fields();
        if let Some(mode) = patch.mode {
            self.set_mode(&found, mode, &mut fields)?;
            kinds.push("child_acl_changed");
        }
        self.set_times(&found, patch)?;
        for (key, value) in &patch.fields {
            match (fields.get_mut(key), value) {
                (Some(Value::Object(kept)), Value::Object(given)) => kept.extend(given.clone()),
                _ => drop(fields.insert(key.clone(), whole(key, value))),
            }
        }
        index.keep_fields(found.id(), &Value::Object(fields).to_string())?;
        index.bump(found.id())?;
        for (key, kind) in [
            ("owner", "child_owner_changed"),
            ("owner_details", "child_owner_changed"),
            ("group", "child_group_changed"),
            ("group_details", "child_group_changed"),
            ("creation_time", "child_btime_changed"),
            ("extended_attributes", "child_extra_attrs_changed"),
        ] {
            if patch.fields.contains_key(key) && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds.extend(patch.modified.map(|_| "child_mtime_changed"));
        kinds.extend(patch.accessed.map(|_| "child_atime_changed"));
        let found = self.find(index, &Ref::Id(found.id()))?;
        let events: Vec<_> = kinds.into_iter().map(|kind| Event::of(kind, &found)).collect();
        self.watchers.emit(&events);
        Ok((self.describe(index, &found)?, found.etag()))
    }

    /// # Errors
    /// Class `Revision` when the tag is another one, or is about to be: a file being written has
    /// no state that a condition could hold for.
    pub(super) fn check_tag(&self, found: &Found, if_match: Option<&str>) -> Result<(), Refusal> {
        let is_written = crate::lock(&self.writing).contains_key(&found.id());
        match etag_matches(if_match, &found.etag()) && !(if_match.is_some() && is_written) {
            true => Ok(()),
            false => Err(Refusal::new(Class::Revision, format!("`/{}` has another revision", found.path))),
        }
    }

    fn resize(&self, found: &Found, size: u64) -> Result<(), Refusal> {
        let file = self.open_to_write(found)?;
        match size.checked_sub(found.meta.size) {
            Some(growth) => self.reserve(growth)?,
            None => self.release(found.meta.size - size),
        }
        file.set_len(size)?;
        if self.durable {
            file.sync_all()?;
        }
        Ok(())
    }

    /// Sets the mode, but for the owner's rights to read and write, which the emulator needs itself.
    fn set_mode(&self, found: &Found, mode: u32, fields: &mut Map<String, Value>) -> Result<(), Refusal> {
        let least = if found.is_dir() { 0o700 } else { 0o600 };
        if matches!(found.meta.kind, Kind::File | Kind::Directory) && !found.path.is_empty() {
            self.dir.set_permissions(&found.path, Permissions::from_mode(mode | least))?;
        }
        fields.insert("mode".to_owned(), format!("{mode:04o}").into());
        Ok(())
    }

    fn set_times(&self, found: &Found, patch: &Patch) -> Result<(), Refusal> {
        if patch.accessed.is_none() && patch.modified.is_none() {
            return Ok(());
        }
        let file = match found.meta.kind {
            Kind::Directory => self.open_dir_file(&found.path)?,
            Kind::File => self.dir.open(&found.path)?.into_std(),
            _ => return Err(Refusal::new(Class::FileType, "expected a file or a directory")),
        };
        let mut times = FileTimes::new();
        if let Some(at) = patch.accessed.and_then(system_time) {
            times = times.set_accessed(at);
        }
        if let Some(at) = patch.modified.and_then(system_time) {
            times = times.set_modified(at);
        }
        Ok(file.set_times(times)?)
    }
}

/// A part of the extended attributes over what they are at first.
fn whole(key: &str, value: &Value) -> Value {
    let (true, Value::Object(given)) = (key == "extended_attributes", value) else { return value.clone() };
    let names = ["read_only", "hidden", "system", "archive", "temporary", "compressed"];
    let more = ["not_content_indexed", "sparse_file", "offline"];
    let all = names.iter().chain(&more).map(|name| ((*name).to_owned(), Value::Bool(false)));
    let mut object: Map<String, Value> = all.collect();
    object.extend(given.clone());
    Value::Object(object)
}

/// Nanoseconds since 1970 of an RFC 3339 time.
fn parse_ns(text: &str) -> Option<i64> {
    let ms = clock::parse(text).filter(|_| text.contains(['T', 't']))?;
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    let digits = fraction.chars().take_while(char::is_ascii_digit).chain(std::iter::repeat('0'));
    let finer: String = digits.skip(3).take(6).collect();
    ms.checked_mul(1_000_000)?.checked_add(finer.parse().ok()?)
}

fn system_time(at_ns: i64) -> Option<SystemTime> {
    let distance = Duration::from_nanos(at_ns.unsigned_abs());
    if at_ns < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        assert_eq!(parse_ns("2024-05-17T13:23:40.283585722Z"), Some(1_715_952_220_283_585_722));
        assert_eq!(parse_ns("2024-05-17T15:23:40.5+02:00"), Some(1_715_952_220_500_000_000));
        assert_eq!(parse_ns("2024-05-17"), None);
        assert_eq!(parse_ns("1715952220"), None);
    }

    #[test]
    fn values_of_the_wrong_form_are_refused() {
        let parse = |text: &str| {
            let Ok(Value::Object(body)) = serde_json::from_str(text) else { panic!("{text}") };
            Patch::parse(&body).map_err(|refusal| refusal.class)
        };
        assert_eq!(parse(r#"{"mode": null, "unknown": 1}"#), Ok(Patch::default()));
        assert_eq!(parse(r#"{"mode": "0640"}"#), Ok(Patch { mode: Some(0o640), ..Patch::default() }));
        for bad in [
            r#"{"mode": 420}"#,
            r#"{"mode": "99"}"#,
            r#"{"mode": "17777"}"#,
            r#"{"size": 0}"#,
            r#"{"size": "-1"}"#,
            r#"{"access_time": "now"}"#,
            r#"{"owner": 1}"#,
            r#"{"extended_attributes": []}"#,
        ] {
            assert_eq!(parse(bad), Err(Class::Decode), "{bad}");
        }
        assert_eq!(parse(r#"{"size": "18446744073709551615"}"#), Err(Class::InvalidSize));
    }
}
