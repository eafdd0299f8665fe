//! A reader that knows nothing but `host/SPOOL_FORMAT.md` (`tests/readers/open_spool.py`, in another
//! language and with another library) opens what the host sealed, and nothing that was changed since.
//!
//! It needs Python 3 and, the first time, a way to its package; without them each test prints one
//! line, `skipped: …`, and passes (`tests/systems/README.md`).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use host::crypto::{Footer, Identity, Key, KeyKind, NewMember, Record, create_key_file, encode_record, scan, seal};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use systems::or_skip;
use systems::venv::Venv;

const REQUIREMENTS: &str = include_str!("../../../readers/requirements.txt");
/// Offsets of the members in the file; each has more than one block.
const MEMBERS: [(i64, i64); 3] = [(100, 1500), (1500, 1501), (1501, 3000)];

fn python() -> Option<&'static Venv> {
    static PYTHON: OnceLock<Result<Venv, String>> = OnceLock::new();
    or_skip(PYTHON.get_or_init(|| Venv::fetch(REQUIREMENTS)).as_ref().map_err(Clone::clone))
}

/// A sealed file, where its members begin, and the key that opens it.
struct Sealed {
    file: Vec<u8>,
    starts: Vec<usize>,
    /// Bytes of the first member's head.
    head: usize,
    key: PathBuf,
}

fn value(offset: i64) -> String {
    format!("{{\"n\":{offset},\"ä\":\"{}\"}}", "x".repeat(usize::try_from(offset % 97).unwrap()))
}

fn seal_file(dir: &Path, kind: KeyKind) -> Sealed {
    let key = Key::generate(kind).unwrap();
    let path = dir.join("k.key");
    create_key_file(&path, &key).unwrap();
    let other = Key::generate(KeyKind::Private).unwrap().public().unwrap().recipient().unwrap();
    let own = if kind == KeyKind::Symmetric { key } else { key.public().unwrap() }.recipient().unwrap();
    let (mut file, mut starts, mut heads) = (Vec::new(), Vec::new(), Vec::new());
    for (first, next) in MEMBERS {
        let mut plain = Vec::new();
        for offset in first..next {
            let value = value(offset);
            let value = (offset % 10 != 0).then_some(value.as_bytes());
            let record = Record { offset, timestamp: offset, key: Some(b"k"), value, headers: b"" };
            encode_record(&mut plain, &record).unwrap();
        }
        let identity = Identity { topic: "wikipedia".to_owned(), partition: 2, first, next };
        let records = u64::try_from(next - first).unwrap();
        let member = NewMember { identity, first_ms: first, last_ms: next - 1, records };
        let sealed = seal(&member, &plain, &[other.clone(), own.clone()]).unwrap();
        starts.push(file.len());
        heads.push(scan(&sealed).unwrap().unwrap().head);
        file.extend(sealed);
    }
    starts.push(file.len());
    let identity = Identity { topic: "wikipedia".to_owned(), partition: 2, first: 100, next: 3000 };
    let (members, bytes) = (heads.len() as u64, file.len() as u64);
    let footer = Footer { identity, first_ms: 100, last_ms: 2999, sequence: 9, members, bytes };
    file.extend(footer.encode().unwrap());
    Sealed { file, starts, head: heads[0].num_bytes(), key: path }
}

fn open(venv: &Venv, key: &Path, file: &[u8]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.spool");
    std::fs::write(&path, file).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../readers/open_spool.py");
    venv.python().arg(script).arg(key).arg(path).output().unwrap()
}

#[test]
fn what_the_host_sealed_is_opened_record_for_record() {
    let Some(venv) = python() else { return };
    for kind in [KeyKind::Private, KeyKind::Symmetric] {
        let dir = tempfile::tempdir().unwrap();
        let sealed = seal_file(dir.path(), kind);
        let output = open(venv, &sealed.key, &sealed.file);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rows: Vec<Value> = output
            .stdout
            .split(|c| *c == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(rows.len(), 2900);
        for (offset, row) in (100..).zip(&rows) {
            let expected = if offset % 10 == 0 { Value::Null } else { Value::String(value(offset)) };
            assert_eq!((&row["offset"], &row["timestamp"], &row["value"]), (&offset.into(), &offset.into(), &expected));
        }
    }
}

#[test]
fn what_was_changed_since_is_not_opened() {
    let Some(venv) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let Sealed { file, starts, head, key } = seal_file(dir.path(), KeyKind::Private);
    let part = |number: usize| &file[starts[number]..starts[number + 1]];
    let footer = &file[starts[3]..];
    let block = head..head + 4 + 65536 + 16;
    let second = block.end..block.end + block.len();
    let flipped = |at: usize| {
        let mut file = file.clone();
        file[at] ^= 1;
        file
    };
    let swapped = [&file[..block.start], &file[second.clone()], &file[block.clone()], &file[second.end..]].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a byte of `fixed`", flipped(starts[0] + 20)),
        ("a byte of a block", flipped(block.start + 1000)),
        ("a block's length", flipped(block.start)),
        ("a byte of the footer", flipped(starts[3] + 20)),
        ("the last byte cut", file[..file.len() - 1].to_vec()),
        ("cut in a block", file[..block.end - 7].to_vec()),
        ("cut between members", file[..starts[1]].to_vec()),
        ("blocks swapped", swapped),
        ("a block left out", [&file[..block.start], &file[block.end..]].concat()),
        ("members swapped", [part(1), part(0), part(2), footer].concat()),
        ("a member left out", [part(0), part(2), footer].concat()),
        ("a member twice", [part(0), part(0), part(1), part(2), footer].concat()),
        ("bytes after the end", [&file[..], b"x"].concat()),
    ];
    for (what, changed) in cases {
        assert!(!open(venv, &key, &changed).status.success(), "{what}");
    }
    let other = tempfile::tempdir().unwrap();
    let stranger = seal_file(other.path(), KeyKind::Private);
    assert!(!open(venv, &stranger.key, &file).status.success(), "another key");
}
