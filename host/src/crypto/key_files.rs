//! Where keys come from: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`; and making key files.
//!
//! A private or symmetric key file is created for its owner alone and refused when anyone else may
//! read it. Nothing is ever written over. A command is run without a shell, with nothing on its
//! standard input; what it prints on standard error is thrown away, because nobody knows what it is.

use super::{Key, KeyInfo};
use crate::error::{Error, OrError, Result};
use crate::secret::Secret;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A key's text has some 70 bytes.
const MAX_TEXT_BYTES: u64 = 4096;
/// Enough for a key store across a network; a start that hangs is worse than one that fails.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
const COMMAND_POLL: Duration = Duration::from_millis(5);

/// Reads the key that `name` points to, for `option`.
///
/// The words of `command:` are split at blanks; there is no quoting. It blocks for as long as the
/// command takes, 10 seconds at most.
///
/// # Errors
/// Class Config: not such a name, nothing there, not a key, or a file that others may read. A `name`
/// that is none of the three is never repeated: it may be the key itself.
pub fn load_key(option: &str, name: &str) -> Result<Key> {
    let (key, origin) = if let Some(path) = name.strip_prefix("file:") {
        (read_key_file(Path::new(path)), format!("key file `{path}`"))
    } else if let Some(variable) = name.strip_prefix("env:") {
        // Its own error names option and variable already.
        let secret = Secret::resolve(option, name)?;
        (Key::parse(secret.expose()), format!("environment variable `{variable}`"))
    } else if let Some(line) = name.strip_prefix("command:") {
        // Arguments may hold what nobody should read; the program is enough to find it.
        let program = line.split_ascii_whitespace().next().unwrap_or_default();
        let key = run(line, COMMAND_TIMEOUT).and_then(|text| parse(&text));
        (key, format!("command `{program}`"))
    } else {
        let error = Error::config(format!("option `{option}` holds a value, expected the name of a key"));
        let hint = format!("write `{option} = \"file:PATH\"`, `\"env:NAME\"` or `\"command:PROGRAM ARGS\"`");
        return Err(error.with_hint(hint));
    };
    let mut key = key.map_err(|error| error.context(format!("option `{option}`: {origin}")))?;
    key.origin = Some(origin);
    Ok(key)
}

/// What may be told of the key in a file.
///
/// # Errors
/// As [`load_key`] for `file:PATH`.
pub fn describe_key_file(path: &Path) -> Result<KeyInfo> {
    let origin = format!("key file `{}`", path.display());
    let key = read_key_file(path).map_err(|error| error.context(&origin))?;
    Ok(KeyInfo { origin: Some(origin), ..key.info() })
}

/// Writes `key` to a new file: for its owner alone (0600) if it opens anything, else 0644. When this
/// returns it is on the disk.
///
/// # Errors
/// Class Config: the file exists, which is left as it is, or cannot be written.
pub fn create_key_file(path: &Path, key: &Key) -> Result<()> {
    let attempt = format!("key file `{}`", path.display());
    let mode = if key.info().kind.is_secret() { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).or_config(&attempt)?;
    let written = file.write_all(key.to_text().as_bytes()).and_then(|()| file.sync_all());
    // A key whose name a crash takes away is a key lost, and with it all that is sealed for it.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = written.and_then(|()| File::open(folder)?.sync_all());
    written.or_config(&attempt).inspect_err(|_| {
        // Half a key is of no use, and would be in the way of the next try.
        let _ = std::fs::remove_file(path);
    })
}

fn read_key_file(path: &Path) -> Result<Key> {
    let file = File::open(path).or_config("cannot be opened")?;
    let found = file.metadata().or_config("cannot be looked at")?;
    if !found.is_file() {
        return Err(Error::config("is not a regular file"));
    }
    let key = parse(&read_text(file)?)?;
    let mode = found.permissions().mode() & 0o777;
    if key.info().kind.is_secret() && mode & 0o077 != 0 {
        let kind = key.info().kind.name();
        let message =
            format!("holds an `{kind}` key and has mode {mode:04o}, expected 0600: run `chmod 600 {}`", path.display());
        let error = Error::config(message);
        return Err(error.with_hint("others may have read it: consider making a new key"));
    }
    Ok(key)
}

fn parse(text: &[u8]) -> Result<Key> {
    Key::parse(std::str::from_utf8(text).map_err(|_| Error::config("not a key: not text"))?)
}

fn read_text(from: impl Read) -> Result<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_TEXT_BYTES as usize + 64));
    from.take(MAX_TEXT_BYTES + 1).read_to_end(&mut text).or_config("cannot be read")?;
    match text.len() as u64 <= MAX_TEXT_BYTES {
        true => Ok(text),
        false => Err(Error::config(format!("not a key: more than {MAX_TEXT_BYTES} bytes"))),
    }
}

/// What a program prints, within `timeout` in all.
fn run(line: &str, timeout: Duration) -> Result<Zeroizing<Vec<u8>>> {
    let mut words = line.split_ascii_whitespace();
    let program = words.next().ok_or_else(|| Error::config("no program is named"))?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let deadline = Instant::now() + timeout;
    let mut child = command.spawn().or_config("cannot be started")?;
    let stdout = child.stdout.take();
    let (sender, receiver) = mpsc::sync_channel(1);
    // A thread, because a child of the child may hold the pipe open for ever.
    std::thread::spawn(move || {
        let text = stdout.ok_or_else(|| Error::bug("a child without standard output")).and_then(read_text);
        // Nobody waits any more when time is up.
        let _ = sender.send(text);
    });
    let late = || Error::config(format!("did not end within {} ms", timeout.as_millis()));
    let text = receiver.recv_timeout(timeout).map_err(|_| late()).and_then(|text| text);
    let status = match &text {
        Ok(_) => wait(&mut child, deadline),
        Err(_) => None,
    };
    let Some(status) = status else {
        // It may have ended by itself since; either way it is waited for.
        let _ = child.kill();
        let _ = child.wait();
        return Err(text.err().unwrap_or_else(late));
    };
    match status.success() {
        true => text,
        false => {
            let error = Error::config(format!("failed: {status}"));
            Err(error.with_hint("run it by hand to see what it says"))
        }
    }
}

fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(COMMAND_POLL),
            Ok(None) | Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyKind;
    use crate::error::ErrorClass;

    fn error_of(name: &str) -> String {
        let error = load_key("keys", name).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Config);
        error.to_string()
    }

    #[test]
    fn a_key_file_is_for_its_owner_and_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.key");
        let key = Key::generate(KeyKind::Private).unwrap();
        create_key_file(&path, &key).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let name = format!("file:{}", path.display());
        let loaded = load_key("keys", &name).unwrap().info();
        assert_eq!(loaded, describe_key_file(&path).unwrap());
        assert_eq!((loaded.kid, loaded.kind), (key.info().kid, KeyKind::Private));

        let other = Key::generate(KeyKind::Private).unwrap();
        assert!(create_key_file(&path, &other).unwrap_err().to_string().contains("host.key"));
        assert_eq!(describe_key_file(&path).unwrap().kid, key.info().kid);

        for mode in [0o640, 0o604, 0o660, 0o644] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let message = error_of(&name);
            let expected = format!("mode {mode:04o}, expected 0600: run `chmod 600 {}`", path.display());
            assert!(message.contains(&expected), "{message}");
        }
        let public = dir.path().join("host.pub");
        create_key_file(&public, &key.public().unwrap()).unwrap();
        assert_eq!(describe_key_file(&public).unwrap().kind, KeyKind::Public);
    }

    #[test]
    fn a_key_comes_from_a_program_within_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let key = Key::generate(KeyKind::Symmetric).unwrap();
        create_key_file(&path, &key).unwrap();
        let found = load_key("keys", &format!("command:cat {}", path.display())).unwrap();
        assert_eq!(found.info().kid, key.info().kid);
        assert_eq!(found.info().origin.unwrap(), "command `cat`");
        let check = |name: &str, expected: &str| {
            let message = error_of(name);
            assert_eq!(message, format!("option `keys`: command `{expected}"));
        };
        check("command:false", "false`: failed: exit status: 1");
        check("command:yes", "yes`: not a key: more than 4096 bytes");
        check("command:true", "true`: not a key: expected one line `host-key-1 KIND BASE64`");
        check("command:", "`: no program is named");
        assert!(error_of("command:/nowhere/at/all x").contains("cannot be started"));
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        // The second ends at once, but something it started holds its output open.
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, "sleep 30 &\n").unwrap();
        for line in ["sleep 30".to_owned(), format!("sh {}", script.display())] {
            let error = run(&line, Duration::from_millis(100)).unwrap_err();
            assert_eq!(error.to_string(), "did not end within 100 ms", "{line}");
        }
    }

    #[test]
    fn what_is_no_name_is_not_repeated() {
        let text = Key::generate(KeyKind::Symmetric).unwrap().to_text();
        let message = error_of(&text);
        assert_eq!(message, "option `keys` holds a value, expected the name of a key");
        assert!(error_of("file:/nowhere").contains("key file `/nowhere`: cannot be opened"));
        assert_eq!(error_of("env:HOST_NO_SUCH_KEY").matches("`HOST_NO_SUCH_KEY`").count(), 1);
        assert!(error_of("env:PATH").contains("environment variable `PATH`: not a key"));
    }
}
