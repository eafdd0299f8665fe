//! Programs that do not outlive this process, however it ends.
//!
//! A shell stands between: it starts the program, and takes orders from a pipe that only this
//! process can write to. The kernel closes the pipe when this process is gone, killed or not, and the
//! end of the pipe makes the shell kill the program and remove its folder. So a program kept in a
//! `static` is ended too, and no process number is used after its process may have gone.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// `$1` is the folder, `$2` the log file, the rest the program. A program that does not end within
/// 30 s of a signal is killed.
const SCRIPT: &str = r#"
folder=$1; log=$2; shift 2; pid=
end() {
    [ -n "$pid" ] || return 0
    kill "-$1" "$pid" 2>/dev/null
    tenths=0
    while kill -0 "$pid" 2>/dev/null; do
        [ "$tenths" -lt 300 ] || kill -KILL "$pid"
        tenths=$((tenths + 1)); sleep 0.1
    done
    wait "$pid"; pid=
}
while read -r order; do
    case $order in
        start) "$@" >>"$log" 2>&1 </dev/null & pid=$! ;;
        *) end "$order" ;;
    esac
    echo done
done
end KILL
rm -rf "$folder"
"#;

/// A program with a folder of its own.
pub struct Watched {
    shell: Child,
    // None once the shell was told to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Watched {
    /// Prepares a program; `folder` is its own from now on: it runs there, and the folder is removed
    /// in the end. What the program prints is appended to `log`.
    ///
    /// # Errors
    /// When there is no shell to run it.
    pub fn new(folder: &Path, log: &Path, program: &[impl AsRef<OsStr>]) -> Result<Self, String> {
        let mut shell = Command::new("sh");
        // A group of its own: Ctrl-C is for the tests, the end of the pipe for this.
        shell.args(["-c", SCRIPT, "watched"]).arg(folder).arg(log).args(program).current_dir(folder).process_group(0);
        let spawned = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut shell = spawned.map_err(|error| format!("starting `sh`: {error}"))?;
        let (Some(orders), Some(answers)) = (shell.stdin.take(), shell.stdout.take()) else {
            return Err("starting `sh`: no pipes".to_owned());
        };
        Ok(Watched { shell, orders: Some(orders), answers: BufReader::new(answers) })
    }

    /// Starts the program; it must not be running.
    ///
    /// # Errors
    /// When the shell is gone.
    pub fn start(&mut self) -> Result<(), String> {
        self.order("start")
    }

    /// Sends a signal, `KILL` or `TERM`, and waits until the program has ended.
    ///
    /// # Errors
    /// When the shell is gone.
    pub fn end(&mut self, signal: &str) -> Result<(), String> {
        self.order(signal)
    }

    fn order(&mut self, order: &str) -> Result<(), String> {
        let gone = |error: std::io::Error| format!("`{order}`: the watching shell is gone: {error}");
        if let Some(orders) = &mut self.orders {
            orders.write_all(format!("{order}\n").as_bytes()).map_err(gone)?;
        }
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(gone)?;
        if answer == "done\n" { Ok(()) } else { Err(format!("`{order}`: the watching shell is gone")) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.orders = None;
        // Its last act is to remove the folder; there is nobody to tell if it could not.
        let _ = self.shell.wait();
    }
}
