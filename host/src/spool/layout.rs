//! A layout held to its word: directories that are apart and stay inside, names that parse back to
//! what they stand for. Nothing else in this room makes or reads a name of a spool file.

use crate::connector::{Identity, Layout, Place, Plan, Rotation, Settings, Tree};
use crate::error::{Error, Result};
use crate::ports::files::FilePath;
use std::time::Duration;

/// Longest name a layout may make, bytes: the host puts a claim's number before it (`claim.rs`), and
/// 255 is what filers take.
const MAX_NAME_BYTES: usize = 200;
/// Names given to the plugin at once.
const PARSE_NAMES: usize = 1000;

/// The directories of a spool, checked.
#[derive(Debug, Clone)]
pub(super) struct Directories {
    pub(super) staging: FilePath,
    pub(super) inbox: FilePath,
    pub(super) tmp: FilePath,
    pub(super) outbox: FilePath,
    pub(super) wash: FilePath,
    pub(super) washd: FilePath,
    pub(super) quarantine: FilePath,
    pub(super) target: FilePath,
}

impl Directories {
    fn try_new(tree: &Tree) -> Result<Self> {
        let check = |name: &str, text: &str| {
            let path = FilePath::new(text).map_err(|error| Error::bug(format!("directory `{name}`: {error}")))?;
            match path.as_str() == text {
                true => Ok(path),
                false => Err(Error::bug(format!(
                    "directory `{name}` is `{}`, expected a path without a slash at either end",
                    text.escape_debug()
                ))),
            }
        };
        let directories = Directories {
            staging: check("staging", &tree.staging)?,
            inbox: check("inbox", &tree.inbox)?,
            tmp: check("tmp", &tree.tmp)?,
            outbox: check("outbox", &tree.outbox)?,
            wash: check("wash", &tree.wash)?,
            washd: check("washd", &tree.washd)?,
            quarantine: check("quarantine", &tree.quarantine)?,
            target: check("target", &tree.target)?,
        };
        let all = directories.all();
        for (index, (name, path)) in all.iter().enumerate() {
            let is_target = *name == "target";
            if path.is_root() && !is_target {
                return Err(Error::bug(format!("directory `{name}` is the spool's own, expected one below it")));
            }
            for (other, inner) in all.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, entry)| entry) {
                let above = format!("{}/", path.as_str());
                if path == inner || (!is_target && inner.as_str().starts_with(&above)) {
                    return Err(Error::bug(format!(
                        "directory `{name}` is `{path}`, `{other}` is `{inner}`: expected directories apart"
                    )));
                }
            }
        }
        Ok(directories)
    }

    /// All of them with their names in the contract; the target last.
    pub(super) fn all(&self) -> [(&'static str, &FilePath); 8] {
        [
            ("staging", &self.staging),
            ("inbox", &self.inbox),
            ("tmp", &self.tmp),
            ("outbox", &self.outbox),
            ("wash", &self.wash),
            ("washd", &self.washd),
            ("quarantine", &self.quarantine),
            ("target", &self.target),
        ]
    }
}

/// An opened layout.
pub(super) struct CheckedLayout {
    layout: Box<dyn Layout>,
    pub(super) directories: Directories,
    pub(super) rotation: Rotation,
    pub(super) trash_retention: Duration,
}

impl CheckedLayout {
    /// Opens a layout and checks its plan.
    ///
    /// # Errors
    /// What the layout gives; class Bug for a plan that cannot be.
    pub(super) fn open(mut layout: Box<dyn Layout>, connector: &str, settings: &Settings) -> Result<Self> {
        let Plan { tree, rotation, trash_retention } = layout.open(connector, settings)?;
        let directories = Directories::try_new(&tree).map_err(|error| error.context("the layout's plan"))?;
        if rotation == Rotation::default() {
            return Err(Error::bug("the layout's plan has no limit after which a file is closed"));
        }
        Ok(CheckedLayout { layout, directories, rotation, trash_retention })
    }

    /// The name of a file; it parses back to this identity.
    ///
    /// # Errors
    /// What the layout gives; class Bug for a name that cannot be used.
    pub(super) fn name(&mut self, identity: &Identity, place: Place) -> Result<FilePath> {
        let text = self.layout.name(identity, place)?;
        let wrong = |what: &str| {
            let shown: String = text.escape_debug().take(300).collect();
            Error::bug(format!("the layout names a file `{shown}`, {what}"))
        };
        if text.len() > MAX_NAME_BYTES {
            return Err(wrong(&format!("expected at most {MAX_NAME_BYTES} bytes")));
        }
        let path = FilePath::new(&text).map_err(|_| wrong("expected a path inside its directory"))?;
        if path.is_root() || path.as_str() != text {
            return Err(wrong("expected a path inside its directory"));
        }
        if place == Place::Inbox && path.names().count() > 1 {
            return Err(wrong("expected a name without directories for the inbox"));
        }
        // Names with a dot in front are the spool's own directories.
        if path.names().any(|name| name.starts_with('.')) {
            return Err(wrong("expected no name that begins with a dot"));
        }
        if place == Place::Target {
            let full = self.directories.target.join(path.as_str())?;
            let inside = |own: &FilePath| full == *own || full.as_str().starts_with(&format!("{}/", own.as_str()));
            let own = self.directories.all().into_iter().filter(|(name, _)| *name != "target");
            if let Some((name, _)) = own.into_iter().find(|(_, own)| inside(own)) {
                return Err(wrong(&format!("which is in the spool's own directory `{name}`")));
            }
        }
        match self.layout.parse(std::slice::from_ref(&text))?.pop() {
            Some(Some(parsed)) if parsed == *identity => Ok(path),
            Some(Some(parsed)) => Err(wrong(&format!("which parses back to {parsed:?}, expected {identity:?}"))),
            _ => Err(wrong("which does not parse back")),
        }
    }

    /// What names stand for, one answer for each.
    ///
    /// # Errors
    /// What the layout gives.
    pub(super) fn parse(&mut self, names: &[String]) -> Result<Vec<Option<Identity>>> {
        let mut parsed = Vec::with_capacity(names.len());
        for names in names.chunks(PARSE_NAMES) {
            parsed.extend(self.layout.parse(names)?);
        }
        Ok(parsed)
    }

    /// What one name stands for.
    ///
    /// # Errors
    /// What the layout gives.
    pub(super) fn parse_one(&mut self, name: &str) -> Result<Option<Identity>> {
        Ok(self.layout.parse(&[name.to_owned()])?.pop().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let at = |name: &str| format!("var/spool/{name}");
        Tree {
            staging: "var/sink".to_owned(),
            inbox: at(".inbox"),
            tmp: at(".tmp"),
            outbox: at(".outbox"),
            wash: at(".wash"),
            washd: at(".washd"),
            quarantine: at(".quarantine"),
            target: String::new(),
        }
    }

    struct Fixed(Plan, String, Option<Identity>);

    impl Layout for Fixed {
        fn open(&mut self, _: &str, _: &Settings) -> Result<Plan> {
            Ok(self.0.clone())
        }
        fn name(&mut self, _: &Identity, _: Place) -> Result<String> {
            Ok(self.1.clone())
        }
        fn parse(&mut self, names: &[String]) -> Result<Vec<Option<Identity>>> {
            Ok(vec![self.2.clone(); names.len()])
        }
    }

    fn plan(tree: Tree) -> Plan {
        let rotation = Rotation { max_records: Some(1), ..Rotation::default() };
        Plan { tree, rotation, trash_retention: Duration::ZERO }
    }

    fn open(plan: Plan, name: &str, parsed: Option<Identity>) -> Result<CheckedLayout> {
        CheckedLayout::open(Box::new(Fixed(plan, name.to_owned(), parsed)), "c", &Settings::new())
    }

    #[test]
    fn directories_are_apart_and_inside() {
        assert!(open(plan(tree()), "", None).is_ok());
        let check = |change: fn(&mut Tree), says: &str| {
            let mut tree = tree();
            change(&mut tree);
            let error = open(plan(tree), "", None).err().unwrap();
            assert!(error.to_string().contains(says), "{error}");
        };
        check(|tree| tree.inbox = "../x".to_owned(), "directory `inbox`: path `../x`");
        check(|tree| tree.inbox = "/inbox".to_owned(), "without a slash at either end");
        check(|tree| tree.inbox = tree.outbox.clone(), "expected directories apart");
        check(|tree| tree.staging = "var/spool".to_owned(), "expected directories apart");
        check(|tree| tree.wash = String::new(), "expected one below it");
        let unlimited = Plan { rotation: Rotation::default(), ..plan(tree()) };
        assert!(open(unlimited, "", None).err().unwrap().to_string().contains("no limit"));
    }

    #[test]
    fn names_parse_back_or_are_refused() {
        let identity =
            Identity { topic: "t".to_owned(), partition: 0, first: 0, next: 1, first_ms: 0, last_ms: 0, sequence: 0 };
        let check = |name: &str, parsed: Option<&Identity>, place: Place, says: Option<&str>| {
            let named = open(plan(tree()), name, parsed.cloned()).unwrap().name(&identity, place);
            match says {
                None => assert_eq!(named.unwrap().as_str(), name),
                Some(says) => assert!(named.as_ref().unwrap_err().to_string().contains(says), "{name}: {named:?}"),
            }
        };
        let other = Identity { next: 2, ..identity.clone() };
        check("a", Some(&identity), Place::Inbox, None);
        check("2026/a", Some(&identity), Place::Target, None);
        check("2026/a", Some(&identity), Place::Inbox, Some("without directories"));
        check("a", None, Place::Inbox, Some("does not parse back"));
        check("a", Some(&other), Place::Inbox, Some("parses back to"));
        for bad in ["", "..", "/a", "a/../b", "a/", "a\n"] {
            check(bad, Some(&identity), Place::Target, Some("inside its directory"));
        }
        check(".a", Some(&identity), Place::Target, Some("begins with a dot"));
        check("var/sink/a", Some(&identity), Place::Target, Some("own directory `staging`"));
        check(&"x".repeat(201), Some(&identity), Place::Target, Some("at most 200 bytes"));
    }
}
