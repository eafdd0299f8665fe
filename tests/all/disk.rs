//! Disks that fail under the embedded log: a write that was cut at any byte, a disk that is full and gets room
//! again, one that can only be read. The latter two on a real file system of their own, where this user may
//! mount one.

use host::io::embedded::EmbeddedLog;
use host::ports::log::{Commit, Log, LogWriter, PositionEntry, TopicSpec, WriterId};
use host::record::BatchBuilder;
use host_emulators::irc;
use std::process::{Command, Output, Stdio};
use tempfile::{TempDir, tempdir};
use tests::feeds;
use tests::plugins::Plugin;
use tests::program::{self, Finished, Program};
use tests::records::{assert_dense, read_topic};
use tests::wait_for;

const TOPIC: &str = "disk";
/// A number without factors in common with pages and frames: cuts fall everywhere in them.
const STEP: usize = 211;
/// Around each frame's edges every byte is cut at.
const EDGE: usize = 26;
/// A page with the head that the write-ahead log gives it.
const FRAME: usize = 8192 + 24;
const WAL_HEAD: usize = 32;

fn commit(writer: &mut dyn LogWriter, numbers: std::ops::Range<u64>) {
    let mut batch = BatchBuilder::default();
    let last = numbers.end;
    numbers.for_each(|number| batch.push(None, Some(format!("{number} {}", "x".repeat(900)).as_bytes()), &[], 1));
    let position = PositionEntry { partition: b"p".to_vec(), position: last.to_string().into_bytes() };
    let commit =
        Commit { appends: vec![(TOPIC.to_owned(), batch.build())], positions: vec![position], ..Commit::default() };
    writer.commit(&commit).unwrap();
}

fn id() -> WriterId {
    WriterId { connector: "writer".to_owned(), task: 0 }
}

/// Records, and what the position says they are.
fn look(log: &dyn Log) -> (usize, u64) {
    let records = read_topic(log, TOPIC);
    assert_dense(&records);
    let positions = log.positions("writer").unwrap();
    (records.len(), String::from_utf8_lossy(&positions[0].position).parse().unwrap())
}

/// Opens what a crash left, checks it, and writes on.
fn check_left(files: &[(&str, &[u8])], is_whole: bool, what: &str) {
    let dir = tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(dir.path().join(name), bytes).unwrap());
    let log = EmbeddedLog::open(dir.path(), None).unwrap();
    let (records, position) = look(&log);
    assert_eq!(records as u64, position, "{what}: records and positions are of one commit");
    assert!(records == 40 || records == 60, "{what}: {records} records");
    assert_eq!(records == 60, is_whole, "{what}: {records} records");
    commit(log.writer(&id()).unwrap().as_mut(), position..position + 5);
    assert_eq!(look(&log), (records + 5, position + 5), "{what}");
}

/// A log of 40 records, and the files after a further commit of 20: database, write-ahead log, and how long that
/// was before.
fn written() -> (Vec<u8>, Vec<u8>, usize) {
    let dir = tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), None).unwrap();
    log.create_topic(TOPIC, TopicSpec::default()).unwrap();
    let mut writer = log.writer(&id()).unwrap();
    commit(writer.as_mut(), 0..20);
    commit(writer.as_mut(), 20..40);
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let before = read("log.db-wal").len();
    commit(writer.as_mut(), 40..60);
    (read("log.db"), read("log.db-wal"), before)
}

#[test]
fn a_log_that_was_cut_at_any_byte_of_its_last_write_is_whole() {
    let (database, wal, before) = written();
    assert!(wal.len() >= before + 3 * FRAME, "the last write has {} bytes", wal.len() - before);
    let is_cut = |at: &usize| {
        let within = (at - WAL_HEAD) % FRAME;
        within.is_multiple_of(STEP) || within <= EDGE || within >= FRAME - EDGE
    };
    for at in (before..wal.len()).filter(is_cut) {
        let check = |left: &[u8], what: &str| {
            check_left(&[("log.db", &database), ("log.db-wal", left)], false, &format!("{what} at {at}"));
        };
        check(&wal[..at], "cut");
        if at.is_multiple_of(STEP) {
            // A disk that had made the file longer, and not yet written what is in it.
            let mut unwritten = wal.clone();
            unwritten[at..].fill(0);
            check(&unwritten, "zeros");
        }
    }
    check_left(&[("log.db", &database), ("log.db-wal", &wal)], true, "all of it");
}

#[test]
fn a_log_that_was_cut_while_its_pages_were_moved_is_whole() {
    let (database, wal, _) = written();
    // What the database is after all of it was moved.
    let dir = tempdir().unwrap();
    std::fs::write(dir.path().join("log.db"), &database).unwrap();
    std::fs::write(dir.path().join("log.db-wal"), &wal).unwrap();
    let other = rusqlite::Connection::open(dir.path().join("log.db")).unwrap();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let moved = std::fs::read(dir.path().join("log.db")).unwrap();
    assert!(moved.len() > database.len());
    for at in (0..=moved.len()).step_by(STEP * 7) {
        // The first bytes are already new, the others still old, or not there.
        let mut left = moved[..at].to_vec();
        left.extend(database.iter().skip(at));
        check_left(&[("log.db", &left), ("log.db-wal", &wal)], true, &format!("moved up to {at}"));
    }
}

/// A file system in memory that only the programs of one name space see.
struct Disk {
    /// Holds the place where it is mounted.
    dir: TempDir,
}

impl Disk {
    /// None: this user may mount nothing, which is told.
    fn new() -> Option<Self> {
        let mounts = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        match mounts {
            Ok(output) if output.status.success() => Some(Disk { dir: tempdir().unwrap() }),
            other => {
                eprintln!("skipped: a file system cannot be mounted here: {other:?}");
                None
            }
        }
    }

    fn shown(&self) -> String {
        self.dir.path().display().to_string()
    }

    /// Runs a script of a shell in a name space where it is mounted, with the host as `"$HOST"`.
    fn command(&self, size: &str, script: &str) -> Command {
        let mut command = Command::new("unshare");
        let all = format!("mount -t tmpfs -o size={size} tmpfs '{0}' && cd '{0}' && {script}", self.shown());
        command.args(["-rm", "sh", "-ec", &all]).env_remove("HOST_LOG").stdin(Stdio::null());
        command.env("HOST", program::command(self.dir.path()).get_program());
        command
    }

    /// A command beside a program in there.
    fn beside(program: &Program, words: &[&str]) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["-t", &program.id().to_string(), "-U", "-m", "-w", "--preserve-credentials"]).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    }

    /// Records in the log that a program in there writes.
    fn stored(&self, program: &Program) -> usize {
        let host = program::command(self.dir.path()).get_program().to_str().unwrap().to_owned();
        let output = Self::beside(program, &[&host, "log", "cat", "wikipedia", "--data-dir", "data"]);
        output.stdout.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Mounts it anew, with other options, under a program that runs.
    fn remount(&self, program: &Program, options: &str) {
        Self::beside(program, &["mount", "-o", &format!("remount,{options}"), &self.shown()]);
    }
}

/// `host run` on an IRC emulator, as words of a shell.
fn run_words(emulator: &host_emulators::Handle) -> String {
    let (plugin, at) = (Plugin::WikiSource.path().display(), emulator.addr());
    format!(
        "run --plugin '{plugin}' --set irc.host={} --set irc.port={} --data-dir data \
         --set errors.retry.delay.max.ms=100 --output json",
        at.ip(),
        at.port()
    )
}

fn records(run: &Finished) -> u64 {
    run.json()["connectors"][0]["records"].as_u64().unwrap()
}

#[test]
fn a_full_disk_is_told_and_gone_on_from_when_it_has_room() {
    let Some(disk) = Disk::new() else { return };
    let emulator = feeds::irc(irc::Options { rate: 500.0, ..irc::Options::default() });
    let mut program = Program::start(disk.command("2m", &format!("exec \"$HOST\" {}", run_words(&emulator))));
    let said = program.wait_stderr("trying again");
    assert!(said.contains("the disk is full"), "{said}");
    program.wait_stderr(", RUNNING: log `data/log.db`: ");
    let full = disk.stored(&program);
    assert!(full > 0);
    disk.remount(&program, "size=64m");
    program.wait_stderr("works again");
    let more = wait_for("more records", program::WITHIN, || {
        let now = disk.stored(&program);
        (now > full).then_some(now)
    });
    program.signal("INT");
    let run = program.finish().expect(0);
    assert!(records(&run) >= more as u64);
}

#[test]
fn a_log_on_a_disk_that_can_only_be_read_is_read_and_not_written() {
    let Some(disk) = Disk::new() else { return };
    let emulator = feeds::irc(irc::Options::default());
    let run = run_words(&emulator);
    let script = format!(
        "\"$HOST\" {run} --max-records 30 >/dev/null 2>&1; mount -o remount,ro '{}'; \
         \"$HOST\" log cat wikipedia --data-dir data --output json; exec \"$HOST\" {run}",
        disk.shown()
    );
    let finished = Program::start(disk.command("64m", &script)).finish().expect(2);
    assert_eq!(finished.stdout.lines().count(), 30, "{finished:?}");
    assert!(finished.stderr.contains("error: data folder `data`: Read-only file system"), "{finished:?}");
}
