//! Counts bytes and objects: the aggregates of `qumulo-api.md` section 12, and how full the file
//! system is.
//!
//! Bytes in use are counted over once, when somebody asks or a capacity is set, and kept from then
//! on; what others write to the folder later is not in them.

use super::attributes::Kind;
use super::find::can_exist;
use super::{Id, ROOT, Ref, Store};
use crate::lock;
use crate::qumulo::answer::Refusal;

/// What is told where no capacity is set: 1 TiB.
const NOMINAL_BYTES: u64 = 1 << 40;

/// Sums over a subtree, the object at its top left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Totals {
    pub(in super::super) files: u64,
    pub(in super::super) directories: u64,
    pub(in super::super) symlinks: u64,
    pub(in super::super) others: u64,
    /// Bytes in whole blocks of 4 KiB.
    pub(in super::super) data: u64,
    /// One block for each object.
    pub(in super::super) meta: u64,
    bytes: u64,
}

impl Totals {
    fn add(&mut self, kind: Kind, size: u64) {
        self.meta += 4096;
        match kind {
            Kind::Directory => self.directories += 1,
            Kind::Symlink => self.symlinks += 1,
            Kind::File => {
                self.files += 1;
                self.bytes += size;
                self.data += size.div_ceil(4096) * 4096;
            }
            _ => self.others += 1,
        }
    }

    fn sum(&mut self, other: &Self) {
        self.files += other.files;
        self.directories += other.directories;
        self.symlinks += other.symlinks;
        self.others += other.others;
        self.data += other.data;
        self.meta += other.meta;
        self.bytes += other.bytes;
    }
}

/// One entry of a directory with the sums below it.
#[derive(Debug)]
pub(in super::super) struct Part {
    pub(in super::super) id: Id,
    pub(in super::super) name: String,
    pub(in super::super) kind: &'static str,
    pub(in super::super) totals: Totals,
}

impl Store {
    /// The sums of a directory and of each of its entries.
    ///
    /// # Errors
    /// Classes `NoSuchEntry` and `NotADirectory`.
    pub(in super::super) fn aggregates(&self, what: &Ref) -> Result<(Id, String, Totals, Vec<Part>), Refusal> {
        let (dir, rows) = {
            let index = self.index();
            let dir = self.find_dir(&index, what)?;
            self.scan(&index, &dir)?;
            (dir.clone(), index.rows_after(dir.id(), 0, i64::MAX)?)
        };
        // From here on without the lock: a large tree must not stop everybody else.
        let (mut total, mut parts) = (Totals::default(), Vec::new());
        for row in rows {
            let path = dir.path_of(&row.name);
            let Some(meta) = self.peek(&path)? else { continue };
            let mut totals = if meta.is_dir() { self.totals(&path)? } else { Totals::default() };
            totals.add(meta.kind, meta.size);
            total.sum(&totals);
            parts.push(Part { id: row.node.id, name: row.name, kind: meta.kind.name(), totals });
        }
        Ok((dir.id(), dir.path, total, parts))
    }

    /// All bytes there are, and those that are free.
    ///
    /// # Errors
    /// What the system says of the folder.
    pub(in super::super) fn space(&self) -> Result<(u64, u64), Refusal> {
        let used = self.used()?;
        let total = self.max_bytes.unwrap_or_else(|| NOMINAL_BYTES.max(used.saturating_mul(2)));
        let is_full = self.is_full.load(std::sync::atomic::Ordering::Relaxed);
        Ok((total, if is_full { 0 } else { total.saturating_sub(used) }))
    }

    /// Whether anything at all may be added.
    ///
    /// # Errors
    /// Class `NoSpace`.
    pub(super) fn check_space(&self) -> Result<(), Refusal> {
        let is_full = self.is_full.load(std::sync::atomic::Ordering::Relaxed);
        match is_full || (self.max_bytes.is_some() && self.space()?.1 == 0) {
            true => Err(Refusal::no_space()),
            false => Ok(()),
        }
    }

    /// Takes bytes that a file is about to grow by.
    ///
    /// # Errors
    /// Class `NoSpace`, and then none are taken.
    pub(super) fn reserve(&self, growth: u64) -> Result<(), Refusal> {
        if growth == 0 {
            return Ok(());
        }
        if self.is_full.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Refusal::no_space());
        }
        if self.max_bytes.is_some() {
            self.used()?;
        }
        let mut used = lock(&self.used);
        if let Some(bytes) = used.as_mut() {
            let then = bytes.saturating_add(growth);
            if self.max_bytes.is_some_and(|most| then > most) {
                return Err(Refusal::no_space());
            }
            *bytes = then;
        }
        Ok(())
    }

    /// Gives bytes back.
    pub(super) fn release(&self, bytes: u64) {
        if let Some(used) = lock(&self.used).as_mut() {
            *used = used.saturating_sub(bytes);
        }
    }

    fn used(&self) -> Result<u64, Refusal> {
        if let Some(used) = *lock(&self.used) {
            return Ok(used);
        }
        let counted = self.totals("")?.bytes;
        Ok(*lock(&self.used).get_or_insert(counted))
    }

    fn totals(&self, path: &str) -> Result<Totals, Refusal> {
        let mut totals = Totals::default();
        let mut stack = vec![path.to_owned()];
        while let Some(path) = stack.pop() {
            // Gone since it was seen, which sums over a living tree must bear.
            let Ok(dir) = self.open_dir(&path) else { continue };
            let is_root = path.is_empty();
            for entry in dir.entries()? {
                let name = entry?.file_name();
                let Some(name) = name.to_str() else { continue };
                if is_root && !can_exist(ROOT, name) {
                    continue;
                }
                let Some(meta) = super::find::look(&dir, name)? else { continue };
                totals.add(meta.kind, meta.size);
                if meta.is_dir() {
                    stack.push(if is_root { name.to_owned() } else { format!("{path}/{name}") });
                }
            }
        }
        Ok(totals)
    }
}
