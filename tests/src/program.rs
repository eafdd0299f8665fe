//! The host as a program: arguments in, exit code, standard output and standard error out.
//!
//! The program is this package's example `host`, whose `main` is that of the real binary: cargo
//! builds it together with the tests, which it does not do with another package's binary, and a
//! second binary of that name would make `cargo run` ambiguous.

use crate::{plugins, wait_for, wait_until};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest life of a program that a test waits for; far above what any needs.
pub const WITHIN: Duration = Duration::from_secs(90);

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Standard output as one JSON value.
    ///
    /// # Panics
    /// When it is not exactly one.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Standard output as one JSON value a line.
    ///
    /// # Panics
    /// When a line is none.
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks the exit code.
    ///
    /// # Panics
    /// When it is another.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

/// A running program. Dropping it kills it.
pub struct Program {
    child: Child,
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

/// Runs the host in folder `dir` to its end.
///
/// # Panics
/// When it does not end within [`WITHIN`].
pub fn host<A: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = A>) -> Finished {
    spawn(dir, arguments).finish()
}

/// Starts the host in folder `dir`.
///
/// # Panics
/// When it cannot be started.
pub fn spawn<A: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = A>) -> Program {
    let mut command = command(dir);
    command.args(arguments);
    Program::start(command)
}

/// The host as a command in folder `dir`, without arguments yet.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(executable());
    command.current_dir(dir).env_remove("HOST_LOG").stdin(Stdio::null());
    command
}

impl Program {
    /// Starts a command and collects what it writes.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&out)),
            collect(child.stderr.take().unwrap(), Arc::clone(&err)),
        ];
        Program { child, out, err, readers }
    }

    /// Waits until standard error holds `text`; returns all of it.
    ///
    /// # Panics
    /// When the program ends without it, or [`WITHIN`] is over.
    pub fn wait_stderr(&mut self, text: &str) -> String {
        wait_for(&format!("`{text}` on standard error"), WITHIN, || {
            let is_over = self.child.try_wait().unwrap().is_some();
            let said = self.stderr();
            assert!(!is_over || said.contains(text), "ended without saying `{text}`: {said}");
            said.contains(text).then_some(said)
        })
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.out.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.err.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Its number in the system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    ///
    /// # Panics
    /// When the system cannot say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by name: `INT`, `TERM`, `KILL`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "cannot send SIG{name}");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not come within [`WITHIN`], with what was said.
    pub fn finish(mut self) -> Finished {
        let deadline = Instant::now() + WITHIN;
        while self.is_running() {
            let (out, err) = (self.stdout(), self.stderr());
            assert!(Instant::now() < deadline, "the host did not end within {WITHIN:?}: {out}\n{err}");
            std::thread::sleep(Duration::from_millis(10));
        }
        // The pipes end with the program, which has no children that could hold them open.
        std::mem::take(&mut self.readers).into_iter().for_each(|reader| reader.join().unwrap());
        Finished { code: self.child.wait().unwrap().code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut pipe: impl Read + Send + 'static, all: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut some = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut some) {
            all.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&some[..count]);
        }
    })
}

/// The program, built anew when a source of it is newer (`cargo test --test all` builds no example).
fn executable() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let this = std::env::current_exe().unwrap();
        // target/PROFILE/deps/all-HASH, target/PROFILE/campaign
        let folder = this.parent().unwrap();
        let profile = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
        let path = profile.join("examples").join("host");
        if !is_fresh(&path) {
            let mut cargo = Command::new("cargo");
            // What the outer cargo told this test about itself would make it build much anew.
            for (name, _) in std::env::vars_os() {
                let name = name.to_string_lossy().into_owned();
                let inner = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CFG_", "CARGO_BIN_"];
                if inner.iter().any(|prefix| name.starts_with(prefix)) {
                    cargo.env_remove(name);
                }
            }
            ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "LD_LIBRARY_PATH"].iter().for_each(|name| {
                cargo.env_remove(name);
            });
            cargo.current_dir(plugins::root()).args(["build", "-p", "tests", "--example", "host", "--target-dir"]);
            cargo.arg(profile.parent().unwrap());
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            eprintln!("building the program that tests run");
            assert!(cargo.status().unwrap().success(), "the host does not build");
        }
        wait_until("the program to be there", Duration::from_secs(1), || path.is_file());
        path
    })
}

/// Whether a program is newer than every source that cargo's note beside it names.
fn is_fresh(path: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let Some(built) = modified(path) else { return false };
    let Ok(note) = std::fs::read_to_string(path.with_extension("d")) else { return false };
    let sources = note.split_once(": ").map_or("", |(_, sources)| sources);
    sources.split_whitespace().all(|source| modified(Path::new(source)).is_some_and(|changed| changed <= built))
}
