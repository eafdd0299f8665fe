//! Ingestions for tests: a data set that a spool sink fills from a topic of edits, an endpoint that serves
//! it, and an emulated Druid that loads it. What ought to be there is worked out from the topic.

mod client;
mod druid;
mod edits;
mod proxy;

pub use client::{Answer, Client, Connection, End, Exchange};
pub use druid::{DATA_SOURCE, Druid, follower};
pub use edits::{DAY, Row, at, iso, row, rows_in, totals, value, write_edits, write_values};
pub use proxy::{Call, Moment, mending_proxy, proxy};

use crate::plugins::Plugin;
use crate::spool::{RECORDS, TO_DATA_SET, WITHIN, files_below, make_keys, private_key, public_key};
use crate::wait_for;
use crate::worker::{Connector, Running, start};
use host::ingest::{BatchState, Book, TaskEntry, TaskStage};
use host::io::embedded::EmbeddedLog;
use host::ports::log::Log;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Name of the ingestion.
pub const INGEST: &str = "ingest";
/// Columns of an edit, as an ingestion names them.
pub const COLUMNS: &str = "channel,page,user,comment,isRobot,added:long,deleted:long,deltaBucket:double,metroCode:long";

/// A data set, who loads it, and where to.
pub struct Ingestion {
    /// Holds keys, log and data set.
    pub dir: TempDir,
    /// Where rows go.
    pub druid: Druid,
}

impl Default for Ingestion {
    fn default() -> Self {
        Self::into(Druid::start(|_| {}))
    }
}

impl Ingestion {
    /// Into an emulator that was started.
    ///
    /// # Panics
    /// When keys cannot be made.
    pub fn into(druid: Druid) -> Self {
        let dir = tempfile::tempdir().unwrap();
        make_keys(dir.path(), "demo");
        Ingestion { dir, druid }
    }

    /// With these edits in the topic, before any host runs.
    pub fn with_edits(numbers: Range<u64>) -> Self {
        let this = Self::default();
        this.fill(numbers);
        this
    }

    /// Folder of the log.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Folder of the data set.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("set")
    }

    /// Paths of the data set's files, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        let own = self.folder().join("var");
        let mut files: Vec<_> =
            files_below(&self.folder()).into_iter().filter(|path| !path.starts_with(&own)).collect();
        files.sort();
        files
    }

    /// Appends edits to the topic while no host runs.
    ///
    /// # Panics
    /// When a host runs.
    pub fn fill(&self, numbers: Range<u64>) {
        write_edits(&EmbeddedLog::open(&self.data_dir(), None).unwrap(), numbers);
    }

    /// Edits to sealed files of 50 in the data set.
    pub fn to_data_set(&self) -> Connector {
        Connector::spool(TO_DATA_SET, "spool-sink", Plugin::SpoolLayout)
            .set("topics", RECORDS)
            .set("spool.place", "target")
            .set("seal.recipients", public_key(self.dir.path(), "demo"))
            .set("files", "local")
            .set("dir", self.folder().display())
            .set("rotation.max.records", 50)
            .set("rotation.max.age.ms", 200)
            .set("errors.retry.delay.max.ms", 300)
    }

    /// The data set to whoever fetches it.
    pub fn served(&self) -> Connector {
        serving(self.dir.path())
    }

    /// The data set to Druid.
    pub fn ingest(&self) -> Connector {
        self.served().set("druid.url", self.druid.url()).set("task.poll.interval.ms", 20).set("schedule", "100ms")
    }

    /// Runs the sink and an ingestion.
    ///
    /// # Panics
    /// When the host refuses.
    pub fn start(&self, ingest: Connector) -> Running {
        start(&self.data_dir(), &[self.to_data_set(), ingest], None)
    }

    /// Runs the sink alone until all of the topic is in the data set.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn publish(&self, sink: Connector) {
        let running = start(&self.data_dir(), &[sink], None);
        running.wait(TO_DATA_SET, "all of the topic published", WITHIN, |status| status.counts.backlog == Some(0));
        running.end();
    }

    /// Writes a configuration of the sink and an ingestion for the program.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn config(&self, ingest: &Connector) -> PathBuf {
        let head = format!("[worker]\ndata.dir = '''{}'''\n", self.data_dir().display());
        let path = self.dir.path().join("host.toml");
        std::fs::write(&path, [head, self.to_data_set().to_toml(), ingest.to_toml()].concat()).unwrap();
        path
    }

    /// The log beside a host that writes to it.
    ///
    /// # Panics
    /// When there is none.
    pub fn log(&self) -> EmbeddedLog {
        EmbeddedLog::open_read_only(&self.data_dir()).unwrap()
    }

    /// Checks that Druid has each row of the topic once, waits until the ledger says so, and checks that it
    /// says nothing else. Returns the ledger.
    ///
    /// # Panics
    /// When it is otherwise, or `WITHIN` is over.
    pub fn check_loaded(&self, log: &dyn Log) -> Book {
        let rows = rows_in(log).0;
        self.check_holds(log, &rows)
    }

    /// As [`Ingestion::check_loaded`], for these rows.
    ///
    /// # Panics
    /// As [`Ingestion::check_loaded`].
    pub fn check_holds(&self, log: &dyn Log, rows: &[Row]) -> Book {
        let expected = totals(rows);
        let mut last = None;
        let looked = catch_unwind(AssertUnwindSafe(|| {
            // Druid is asked at the end alone: faults are meant for the host's calls.
            wait_for("all rows in the ledger", WITHIN, || {
                let book = Book::read(log, INGEST).unwrap();
                let found = (ingested(&book), book.open_task().map(|(id, _)| id.clone()));
                let is_reached = found == (expected.0, None);
                last = Some(found);
                is_reached.then_some(book)
            })
        }));
        let book =
            looked.unwrap_or_else(|_| panic!("waited {WITHIN:?} in vain: {expected:?}, the ledger has {last:?}"));
        assert_eq!(self.druid.totals(), expected, "what Druid has: {:#?}", book.tasks);
        assert_sound(&book);
        book
    }
}

/// A data set, opened with the key in `keys`, to whoever fetches it.
pub fn serving(keys: &Path) -> Connector {
    Connector::spool(INGEST, "ingest", Plugin::DruidSpec)
        .set("data.set", TO_DATA_SET)
        .set("open.keys", private_key(keys, "demo"))
        .set("listen", "127.0.0.1:0")
        .set("data.source", DATA_SOURCE)
        .set("columns", COLUMNS)
        .set("scan.interval.ms", 100)
        .set("errors.retry.delay.max.ms", 300)
}

/// Rows that the ledger says are stored.
pub fn ingested(book: &Book) -> u64 {
    let stored = |state| matches!(state, BatchState::Ingested | BatchState::Retired);
    book.batches.values().filter(|batch| stored(batch.state)).map(|batch| batch.facts.records).sum()
}

/// Checks that a stored batch with rows is of one task that succeeded, and one that is not stored of none.
///
/// # Panics
/// Naming a batch of which that is not so.
pub fn assert_sound(book: &Book) {
    for (name, batch) in &book.batches {
        let loads = |task: &&TaskEntry| {
            task.stage == TaskStage::Success && task.mode == "append" && task.batches.contains(name)
        };
        let times = book.tasks.values().filter(loads).count();
        let has_replaced = book.tasks.values().any(|task| task.mode == "replace");
        let expected = usize::from(
            batch.state != BatchState::Waiting && batch.state != BatchState::Taken && batch.facts.records > 0,
        );
        assert!(has_replaced || times == expected, "batch `{name}` is {:?}, loaded {times} times", batch.state);
    }
}

/// Tasks of a ledger in the order in which they were handed in.
pub fn tasks(book: &Book) -> Vec<(String, TaskEntry)> {
    let mut tasks: Vec<_> = book.tasks.iter().map(|(id, task)| (id.clone(), task.clone())).collect();
    tasks.sort_by(|(one, task), (other, after)| (task.recorded_ms, one).cmp(&(after.recorded_ms, other)));
    tasks
}

/// Changes bytes of a file.
///
/// # Panics
/// When it cannot be read or written.
pub fn change_file(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}
