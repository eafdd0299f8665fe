//! The vendor's own Python client against the Qumulo emulator, through its API (`qumulo/api.py`) and
//! through its command line `qq` (`qumulo/cli.py`): logging in, directories, whole and partial
//! writes, appends with a condition, pages while files are deleted, renames over directories,
//! notification, deletes, snapshots.
//!
//! Here it is the client that is real. It needs Python 3 and, the first time, a way to its package;
//! without them each test prints one line, `skipped: …`, and passes (`tests/systems/README.md`).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use host_emulators::qumulo::{Options, QumuloHandle, start};
use systems::or_skip;
use systems::venv::Venv;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const REQUIREMENTS: &str = include_str!("../../qumulo/requirements.txt");
/// Not 127.0.0.1: there the client, run as root, takes one of some 124 privileged ports for each
/// connection and resets it when done.
const HOST: &str = "127.0.0.2";

/// A running emulator with a folder of its own.
struct Emulator {
    handle: QumuloHandle,
    _folder: TempDir,
    // Last: it runs what the handle ends.
    _runtime: Runtime,
}

impl Emulator {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let handle = runtime.block_on(async {
            let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
            start(listener, Options::new(folder.path())).await.unwrap()
        });
        Self { handle, _folder: folder, _runtime: runtime }
    }

    /// Where it is and who may enter, as the scripts take it.
    fn words(&self) -> [String; 4] {
        let port = self.handle.addr().port().to_string();
        [HOST.to_owned(), port, self.handle.user().to_owned(), self.handle.password().to_owned()]
    }
}

/// The client; fetched once for all tests.
fn client() -> Option<&'static Venv> {
    static CLIENT: OnceLock<Result<Venv, String>> = OnceLock::new();
    or_skip(CLIENT.get_or_init(|| Venv::fetch(REQUIREMENTS)).as_ref().map_err(Clone::clone))
}

fn script(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("qumulo").join(name).display().to_string()
}

#[track_caller]
fn check(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{error}", output.status);
    out.into_owned()
}

#[test]
fn the_vendors_python_api_works_against_the_emulator() {
    let Some(client) = client() else { return };
    let emulator = Emulator::start();
    let done = check(client.python().arg(script("api.py")).args(emulator.words()));
    assert_eq!(done.lines().filter(|line| line.ends_with(": ok")).count(), 10, "{done}");
    let stats = emulator.handle.stats();
    assert!(stats.logins > 0 && stats.bytes_read > 0 && stats.bytes_written > 0, "{stats:?}");
}

#[test]
fn the_vendors_command_line_works_against_the_emulator() {
    let Some(client) = client() else { return };
    let emulator = Emulator::start();
    let done = check(client.python().arg(script("cli.py")).arg(client.script("qq")).args(emulator.words()));
    assert_eq!(done.lines().filter(|line| line.ends_with(": ok")).count(), 5, "{done}");
}
