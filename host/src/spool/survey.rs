//! A look at a whole spool, for people: what is where, how old, and whether it is what it says.

use super::claim::ClaimName;
use super::contents::{self, Content};
use super::frames::Frames;
use super::layout::CheckedLayout;
use super::{names, quarantine, read_footer, rewrap};
use crate::connector::{Identity, Layout, Settings};
use crate::crypto::{self, Footer, Head, KeyRing, Recipient, Record};
use crate::error::{Error, ErrorClass, Result};
use crate::ports::files::{FileInfo, FilePath, Files};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A stage of a spool: one of the layout's directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name in the layout: `inbox`, `target` …
    pub name: &'static str,
    /// Its directory.
    pub directory: FilePath,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Change time of the oldest, milliseconds since 1970 UTC.
    pub oldest_ms: Option<i64>,
    /// Change time of the newest.
    pub newest_ms: Option<i64>,
}

/// A file of a spool.
#[derive(Debug, Clone)]
pub struct SpoolFile {
    /// The stage it is in.
    pub stage: &'static str,
    /// Its own name, with dated directories, without what a claim puts before it.
    pub name: String,
    /// What its name stands for; none: no name of this layout.
    pub identity: Option<Identity>,
    /// Where it is.
    pub info: FileInfo,
}

/// What a file turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileReport {
    /// Members that were opened.
    pub members: u64,
    /// Blocks of them, none of which failed.
    pub blocks: u64,
    /// Records in them.
    pub records: u64,
    /// Plain bytes of them.
    pub plain_bytes: u64,
    /// What is wrong, and where; none: nothing.
    pub problem: Option<String>,
}

/// A spool that is looked at.
pub struct Survey {
    files: Arc<dyn Files>,
    layout: CheckedLayout,
    /// Offsets seen so far, by source topic and partition: the start and end of each member, and its file.
    seen: BTreeMap<(String, i32), BTreeMap<i64, (i64, String)>>,
}

impl Survey {
    /// Opens the layout; touches no file yet.
    ///
    /// # Errors
    /// What the layout gives.
    pub fn new(files: Arc<dyn Files>, layout: Box<dyn Layout>, connector: &str, settings: &Settings) -> Result<Self> {
        let layout = CheckedLayout::open(layout, connector, settings)?;
        Ok(Survey { files, layout, seen: BTreeMap::new() })
    }

    /// Every file, stage by stage, by name in each. Reasons in the quarantine are left out.
    ///
    /// # Errors
    /// What files and layout give.
    pub fn list(&mut self) -> Result<Vec<SpoolFile>> {
        let mut found: Vec<SpoolFile> = Vec::new();
        let directories = self.layout.directories.clone();
        for (stage, directory) in directories.all() {
            let mut add = |name: &str, info: FileInfo| {
                let last = name.rsplit('/').next().unwrap_or_default();
                let name = match stage {
                    "tmp" => ClaimName::parse(last).map_or(last, |claim| claim.file),
                    "target" | "inbox" => name,
                    _ => last,
                };
                if stage != "quarantine" || !quarantine::is_reason(name) {
                    found.push(SpoolFile { stage, name: name.to_owned(), identity: None, info });
                }
                Ok(())
            };
            match stage {
                "target" => names::target(self.files.as_ref(), &self.layout, &mut add)?,
                "staging" | "tmp" | "washd" => names::walk(self.files.as_ref(), directory, 2, &mut add).map(drop)?,
                _ => names::walk(self.files.as_ref(), directory, 0, &mut add).map(drop)?,
            }
        }
        let names: Vec<String> = found.iter().map(|file| file.name.clone()).collect();
        for (file, identity) in found.iter_mut().zip(self.layout.parse(&names)?) {
            file.identity = identity;
        }
        let order = |stage: &str| directories.all().iter().position(|(name, _)| *name == stage);
        found.sort_by(|a, b| (order(a.stage), &a.name).cmp(&(order(b.stage), &b.name)));
        Ok(found)
    }

    /// The stages with counts, ages and bytes.
    pub fn stages(&self, files: &[SpoolFile]) -> Vec<Stage> {
        let stage = |(name, directory): (&'static str, &FilePath)| {
            let inside = || files.iter().filter(|file| file.stage == name).map(|file| &file.info);
            Stage {
                name,
                directory: directory.clone(),
                files: inside().count() as u64,
                bytes: inside().map(|info| info.bytes).sum(),
                oldest_ms: inside().map(|info| info.modified_ms).min(),
                newest_ms: inside().map(|info| info.modified_ms).max(),
            }
        };
        self.layout.directories.all().into_iter().map(stage).collect()
    }

    /// Bytes that are free where the spool is; none: the file system does not tell.
    ///
    /// # Errors
    /// What the files give.
    pub fn free_bytes(&self) -> Result<Option<u64>> {
        self.files.free_bytes()
    }

    /// Opens a file block by block and gives its records. What is wrong is in the report; what was
    /// given before it is authentic.
    ///
    /// # Errors
    /// What the files give, and what `each` gives; not what is wrong with the file.
    pub fn open(
        &mut self,
        file: &SpoolFile,
        ring: &Arc<KeyRing>,
        each: &mut dyn FnMut(&Record<'_>) -> Result<()>,
    ) -> Result<FileReport> {
        let mut report = FileReport::default();
        let Some(identity) = &file.identity else {
            report.problem = Some("its name is no name of this layout".to_owned());
            return Ok(report);
        };
        let mut given = Ok(());
        let mut members = Vec::new();
        let opened = contents::open(self.files.as_ref(), &file.info, identity, ring, &mut |content| {
            match content {
                Content::Member(info) => members.push(info.clone()),
                Content::Block(bytes) => {
                    report.blocks += 1;
                    report.plain_bytes += bytes;
                }
                Content::Record(record) => {
                    report.records += 1;
                    if given.is_ok() {
                        given = each(record);
                    }
                }
                Content::MemberEnd => report.members += 1,
            }
            Ok(())
        });
        given?;
        match opened {
            Err(error) if error.class() == ErrorClass::Retry => return Err(error),
            Err(error) => report.problem = Some(error.to_string()),
            Ok(()) => {}
        }
        for member in members {
            if let Err(error) = self.note(&member.identity, &file.name) {
                report.problem.get_or_insert(error.to_string());
            }
        }
        Ok(report)
    }

    /// What a file says of itself without a key: its footer, and each member's head. Nothing is proved.
    ///
    /// # Errors
    /// Class Reject: it is no whole spool file. What the files give.
    pub fn describe(&self, file: &SpoolFile) -> Result<(Footer, Vec<Head>)> {
        let footer = read_footer(self.files.as_ref(), &file.info, None)?;
        let reader = self.files.read(&file.info, 0, Some(footer.bytes))?;
        let mut frames = Frames::new(reader, 0, footer.bytes);
        let mut heads = Vec::new();
        while let Some(frame) = frames.next()? {
            heads.push(frame.head);
        }
        Ok((footer, heads))
    }

    /// Seals a file for other recipients, its blocks untouched. Returns how many members it has.
    ///
    /// # Errors
    /// As for [`crypto::rewrap`]; the file is then as it was.
    pub fn rewrap(&self, file: &SpoolFile, ring: &KeyRing, recipients: &[Recipient]) -> Result<u64> {
        rewrap::rewrap(self.files.as_ref(), &self.layout.directories.staging, &file.info, ring, recipients)
    }

    /// The reason why a file is in the quarantine, where one was written down.
    ///
    /// # Errors
    /// What the files give.
    pub fn reason(&self, file: &SpoolFile) -> Result<Option<String>> {
        quarantine::reason(self.files.as_ref(), &file.info.path)
    }

    /// Notes what a member holds, and finds it a second time under another name. A stage that is on its
    /// way and the data set hold the same members only in different spools.
    fn note(&mut self, member: &crypto::Identity, file: &str) -> Result<()> {
        let seen = self.seen.entry((member.topic.clone(), member.partition)).or_default();
        let before = seen.range(..member.next).next_back().filter(|(_, (next, _))| *next > member.first);
        if let Some((first, (next, other))) = before {
            let (topic, partition) = (&member.topic, member.partition);
            return Err(Error::config(format!(
                "offsets [{},{}) of topic `{topic}` partition {partition} are also in `{other}`, as [{first},{next})",
                member.first, member.next
            )));
        }
        seen.insert(member.first, (member.next, file.to_owned()));
        Ok(())
    }
}
