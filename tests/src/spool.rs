//! Spools for tests: emulated filers, key pairs, records that are hard to carry, and a data set that is
//! read from the files themselves, by name and by format, not by the room that wrote them.

mod data_set;
pub mod meddled;
mod records;

pub use data_set::{DataSet, FileName, open_file, read_name};
pub use records::{read_all, write_records};

use crate::feeds::runtime;
use crate::plugins::Plugin;
use crate::worker::Connector;
use host::crypto::{self, Key, KeyKind};
use host::ports::log::Log;
use host_emulators::qumulo::{self, Options, QumuloFault, QumuloHandle};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for anything of a pipeline.
pub const WITHIN: Duration = Duration::from_secs(60);
/// Topic of the records in the clear.
pub const RECORDS: &str = "wikipedia";
/// Topic of sealed members.
pub const SEALED: &str = "qf2-connect-demo";
/// What the inside of every record holds and nothing else does.
pub const MARKER: &str = "clear-5e0a71";
/// Connectors of the pipeline.
pub const TO_SPOOL: &str = "wikipedia-consumer";
/// See [`TO_SPOOL`].
pub const FROM_SPOOL: &str = "local-qf2-source";
/// See [`TO_SPOOL`].
pub const TO_DATA_SET: &str = "local-qf2-sink";
/// Directory of a spool on a filer.
const DIR: &str = "/qf2/demo/spool";

/// A filer, or a folder.
pub enum Store {
    /// An emulator of Qumulo's API, with TLS and a password.
    Qumulo {
        /// The emulator.
        handle: QumuloHandle,
        /// What it serves.
        root: PathBuf,
        /// Its certificate as a file.
        certificate: PathBuf,
        /// A file with its password.
        password: PathBuf,
    },
    /// A folder of this machine.
    Local(PathBuf),
}

impl Store {
    /// Starts a filer over `dir/name`, its certificate and password beside it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn qumulo(dir: &Path, name: &str, change: impl FnOnce(&mut Options)) -> Self {
        let root = dir.join(name);
        let mut options = Options::new(&root);
        change(&mut options);
        let handle = runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            qumulo::start(listener, options).await.unwrap()
        });
        let (certificate, password) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.password")));
        std::fs::write(&certificate, handle.certificate_pem().unwrap()).unwrap();
        write_secret(&password, handle.password());
        Store::Qumulo { handle, root, certificate, password }
    }

    /// A folder `dir/name`.
    pub fn local(dir: &Path, name: &str) -> Self {
        Store::Local(dir.join(name))
    }

    /// Lets a connector reach the spool's directory here.
    pub fn reach(&self, connector: Connector) -> Connector {
        match self {
            Store::Local(folder) => connector.set("files", "local").set("dir", folder.display()),
            Store::Qumulo { handle, certificate, password, .. } => connector
                .set("dir", DIR)
                .set("qq.hostname", handle.addr().ip())
                .set("qq.port", handle.addr().port())
                .set("qq.username", handle.user())
                .set("qq.password", format!("file:{}", password.display()))
                .set("qq.tls.ca.file", certificate.display()),
        }
    }

    /// The spool's directory as a folder of this machine.
    pub fn folder(&self) -> PathBuf {
        match self {
            Store::Local(folder) => folder.clone(),
            Store::Qumulo { root, .. } => root.join(DIR.trim_start_matches('/')),
        }
    }

    /// Everything the store has, its own bookkeeping included.
    pub fn root(&self) -> &Path {
        match self {
            Store::Local(folder) => folder,
            Store::Qumulo { root, .. } => root,
        }
    }

    /// The emulator.
    ///
    /// # Panics
    /// When it is a folder.
    pub fn emulator(&self) -> &QumuloHandle {
        match self {
            Store::Qumulo { handle, .. } => handle,
            Store::Local(folder) => panic!("`{}` is a folder", folder.display()),
        }
    }

    /// Makes the filer fail.
    ///
    /// # Panics
    /// When it is a folder.
    pub fn fault(&self, fault: QumuloFault) {
        self.emulator().fault(fault);
    }
}

/// A pipeline of its own: two stores, a key pair, a folder for the log.
pub struct Pipeline {
    /// Holds all of it.
    pub dir: TempDir,
    /// Where the spool is.
    pub first: Store,
    /// Where the data set is.
    pub second: Store,
}

impl Pipeline {
    /// On two filers.
    ///
    /// # Panics
    /// When they do not start.
    pub fn on_filers() -> Self {
        Self::on_filers_with(|_| {})
    }

    /// On two filers with options.
    ///
    /// # Panics
    /// When they do not start.
    pub fn on_filers_with(change: impl Fn(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = ["qumulo1", "qumulo2"].map(|name| Store::qumulo(dir.path(), name, &change));
        Self::new(dir, first, second)
    }

    /// In two folders.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn on_folders() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = ["files1", "files2"].map(|name| Store::local(dir.path(), name));
        Self::new(dir, first, second)
    }

    fn new(dir: TempDir, first: Store, second: Store) -> Self {
        make_keys(dir.path(), "demo");
        Pipeline { dir, first, second }
    }

    /// Folder of the log.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Records to sealed files in the inbox.
    pub fn to_spool(&self) -> Connector {
        let connector = Connector::spool(TO_SPOOL, "spool-sink", Plugin::SpoolLayout)
            .set("topics", RECORDS)
            .set("spool.place", "inbox")
            .set("seal.recipients", public_key(self.dir.path(), "demo"));
        small(self.first.reach(connector))
    }

    /// Files to the topic of sealed members.
    pub fn from_spool(&self) -> Connector {
        let connector = Connector::spool(FROM_SPOOL, "spool-source", Plugin::SpoolLayout)
            .set("topic", SEALED)
            .set("transaction.boundary.interval.ms", 20);
        quick(self.first.reach(connector))
    }

    /// Sealed members to the data set.
    pub fn to_data_set(&self) -> Connector {
        let connector = Connector::spool(TO_DATA_SET, "spool-sink", Plugin::SpoolLayout)
            .set("topics", SEALED)
            .set("spool.content", "members");
        small(self.second.reach(connector))
    }

    /// All three.
    pub fn connectors(&self) -> [Connector; 3] {
        [self.to_spool(), self.from_spool(), self.to_data_set()]
    }

    /// The data set, nothing of it read yet.
    pub fn data_set(&self) -> DataSet {
        DataSet::new(&self.second.folder(), self.dir.path(), "demo")
    }

    /// A folder of the spool on the first store: `inbox`, `outbox` …
    pub fn stage(&self, name: &str) -> PathBuf {
        stage(&self.first, name)
    }

    /// Waits until the data set holds every record of the topic, and checks that it holds each once as it
    /// is there, and that what is between holds nothing in the clear.
    ///
    /// # Panics
    /// When it does not, or `WITHIN` is over.
    pub fn check(&self, log: &dyn Log) {
        let sent = read_all(log, RECORDS);
        let mut data_set = self.data_set();
        data_set.wait(sent.len());
        data_set.assert_holds(&sent);
        self.assert_sealed(log);
    }

    /// Checks that no file of either store and no record of the second topic holds what is in a record.
    ///
    /// # Panics
    /// When one does.
    pub fn assert_sealed(&self, log: &dyn Log) {
        for root in [self.first.root(), self.second.root()] {
            for path in files_below(root) {
                // Gone since: it was read where it was before, or is where it went.
                let Ok(bytes) = std::fs::read(&path) else { continue };
                assert!(!holds(&bytes, MARKER), "`{}` holds records in the clear", path.display());
            }
        }
        for record in read_all(log, SEALED) {
            let headers = record.headers.iter().flat_map(|(name, value)| [Some(name.as_bytes()), value.as_deref()]);
            let parts = [record.key.as_deref(), record.value.as_deref()].into_iter().chain(headers);
            assert!(!parts.flatten().any(|part| holds(part, MARKER)), "offset {} is in the clear", record.offset);
        }
    }

    /// Writes a configuration file for the program.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn config(&self, name: &str, connectors: &[Connector]) -> PathBuf {
        let mut text = format!("[worker]\ndata.dir = '''{}'''\n", self.data_dir().display());
        connectors.iter().for_each(|connector| text.push_str(&connector.to_toml()));
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A folder of a spool: `inbox`, `outbox` …
pub fn stage(store: &Store, name: &str) -> PathBuf {
    store.folder().join("var/spool").join(format!(".{name}"))
}

/// Small files and short waits.
fn small(connector: Connector) -> Connector {
    quick(connector).set("rotation.max.records", 50).set("rotation.max.age.ms", 200)
}

fn quick(connector: Connector) -> Connector {
    connector.set("errors.retry.delay.max.ms", 300)
}

/// Makes a key pair in `dir`.
///
/// # Panics
/// When it cannot be written.
pub fn make_keys(dir: &Path, name: &str) {
    let key = Key::generate(KeyKind::Private).unwrap();
    crypto::create_key_file(&dir.join(format!("{name}.key")), &key).unwrap();
    crypto::create_key_file(&dir.join(format!("{name}.pub")), &key.public().unwrap()).unwrap();
}

/// The name of a public key that [`make_keys`] made.
pub fn public_key(dir: &Path, name: &str) -> String {
    format!("file:{}", dir.join(format!("{name}.pub")).display())
}

/// The name of a private key that [`make_keys`] made.
pub fn private_key(dir: &Path, name: &str) -> String {
    format!("file:{}", dir.join(format!("{name}.key")).display())
}

/// Writes a file for its owner alone.
///
/// # Panics
/// When it cannot be written.
pub fn write_secret(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Names in a folder, sorted; none when there is no such folder.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every regular file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}
