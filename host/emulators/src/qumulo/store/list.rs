//! Pages of a directory, in the order of their positions.
//!
//! The first page takes up what others put into the directory; the later ones only read on, so that
//! paging through n entries costs n and not its square.

use serde_json::Value;

use super::attributes::Kind;
use super::find::look;
use super::{Id, Ref, Store};
use crate::qumulo::answer::{Class, Refusal};

/// What of a directory is wanted.
#[derive(Debug, Clone)]
pub(in super::super) struct Wanted {
    /// The position after which the page begins; 0 for the first page.
    pub(in super::super) after: i64,
    /// At most so many entries.
    pub(in super::super) limit: usize,
    /// An SMB wildcard pattern that names must match.
    pub(in super::super) pattern: Option<String>,
    pub(in super::super) snapshot: Option<i64>,
}

/// Some entries of a directory.
#[derive(Debug)]
pub(in super::super) struct Page {
    /// With slashes at both ends.
    pub(in super::super) path: String,
    pub(in super::super) id: Id,
    pub(in super::super) child_count: i64,
    pub(in super::super) files: Vec<Value>,
    /// The position after which the next page begins; `None` on the last page.
    pub(in super::super) next: Option<i64>,
}

impl Store {
    /// One page of a directory.
    ///
    /// # Errors
    /// Classes `NoSuchEntry` and `NotADirectory`.
    pub(in super::super) fn list(&self, what: &Ref, wanted: &Wanted) -> Result<Page, Refusal> {
        if let Some(snapshot) = wanted.snapshot {
            return self.list_snapshot(snapshot, what, wanted);
        }
        let index = &*self.index();
        let dir = self.find_dir(index, what)?;
        if wanted.after == 0 {
            self.scan(index, &dir)?;
        }
        let handle = self.open_dir(&dir.path)?;
        let batch = i64::try_from(wanted.limit).unwrap_or(i64::MAX).saturating_add(1);
        let (mut files, mut after, mut is_more) = (Vec::new(), wanted.after, false);
        'pages: loop {
            let rows = index.rows_after(dir.id(), after, batch)?;
            let is_last = rows.len() <= wanted.limit;
            for row in rows {
                if files.len() == wanted.limit {
                    is_more = true;
                    break 'pages;
                }
                after = row.position;
                let name = row.name.clone();
                if !matches(wanted.pattern.as_deref(), &name) {
                    continue;
                }
                let Some(meta) = look(&handle, &name)? else {
                    index.forget(dir.id(), &name)?;
                    continue;
                };
                let row = self.known(index, dir.id(), &name, &meta, Some(row))?;
                let found = dir.below(&name, meta, row.node);
                files.push(self.describe(index, &found)?);
            }
            if is_last {
                break;
            }
        }
        Ok(Page {
            path: slashed(&dir.path),
            id: dir.id(),
            child_count: index.count(dir.id())?,
            files,
            next: is_more.then_some(after),
        })
    }

    fn list_snapshot(&self, snapshot: i64, what: &Ref, wanted: &Wanted) -> Result<Page, Refusal> {
        let index = self.index();
        let dir = self.find_in_snapshot(&index, snapshot, what)?;
        if dir.attributes.get("type").and_then(Value::as_str) != Some(Kind::Directory.name()) {
            return Err(Refusal::new(Class::NotADirectory, format!("{what} is not a directory")));
        }
        let (mut files, mut after, mut is_more) = (Vec::new(), wanted.after, false);
        // One row at a time keeps memory flat whatever the pattern leaves out.
        let sql = "SELECT position, name, attributes FROM snapshot_entries \
                   WHERE snapshot = ?1 AND parent = ?2 AND position > ?3 ORDER BY position";
        let mut query = index.db().prepare_cached(sql)?;
        let mut rows = query.query([snapshot, dir.id, wanted.after])?;
        while let Some(row) = rows.next()? {
            if files.len() == wanted.limit {
                is_more = true;
                break;
            }
            after = row.get(0)?;
            if matches(wanted.pattern.as_deref(), &row.get::<_, String>(1)?) {
                files.push(serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_default());
            }
        }
        let child_count = dir.attributes.get("child_count").and_then(Value::as_i64).unwrap_or(0);
        Ok(Page { path: slashed(&dir.path), id: dir.id, child_count, files, next: is_more.then_some(after) })
    }
}

fn slashed(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { format!("/{path}/") }
}

/// Whether a name matches a pattern of `*` and `?`, letter case aside as in SMB.
fn matches(pattern: Option<&str>, name: &str) -> bool {
    let Some(pattern) = pattern else { return true };
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let (mut at, mut read) = (0, 0);
    // Where the last `*` stood, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match (pattern.get(at), name.get(read)) {
            (Some('*'), _) => {
                star = Some((at, read));
                at += 1;
            }
            (Some(wanted), Some(found)) if *wanted == '?' || wanted == found => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((stood, taken)) = star else { return false };
                star = Some((stood, taken + 1));
                at = stood + 1;
                read = taken + 1;
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_smb() {
        for (pattern, name, is_match) in [
            ("*", "anything", true),
            ("*.TXT", "a.txt", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "aXXbYYbc", true),
            ("a*b*c", "aXXbYY", false),
            ("", "", true),
            ("", "x", false),
            ("é*", "Éa", true),
        ] {
            assert_eq!(matches(Some(pattern), name), is_match, "{pattern} {name}");
        }
        assert!(matches(None, "x"));
    }
}
