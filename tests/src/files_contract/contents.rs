//! What is in files: written, read, appended.

use super::{Trial, drain, pattern, refused};
use host::error::ErrorClass;
use host::ports::files::{FileKind, MAX_NAME_BYTES};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn files_of_any_size_come_back(t: &Trial<'_>) {
    assert_eq!(MAX_NAME_BYTES, 255);
    let before = now_ms();
    for length in [0, 1, 4096, 100_000, (8 << 20) - 1, 8 << 20, (20 << 20) + 7] {
        let expected = pattern(length);
        // In uneven bits, and in one.
        for bit in [(1 << 20) + 3, length.max(1)] {
            let name = format!("{length}-{bit}");
            let mut writer = t.files.create(&t.path(&name)).unwrap().unwrap();
            for bytes in expected.chunks(bit) {
                writer.write(bytes.to_vec().into()).unwrap();
            }
            let info = writer.finish().unwrap();
            let (kind, bytes) = (FileKind::File, u64::try_from(length).unwrap());
            assert_eq!((&info.path, info.kind, info.bytes), (&t.path(&name), kind, bytes));
            assert_eq!(t.info(&name), Some(info.clone()));
            assert!(t.read(&info) == expected, "`{name}` came back as something else");
            // Clocks of a store and ours may be some minutes apart.
            let (from, to) = (before - 600_000, now_ms() + 600_000);
            assert!((from..to).contains(&info.modified_ms), "{} is not between {from} and {to}", info.modified_ms);
            assert!(t.files.delete(&info).unwrap());
        }
    }
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub(super) fn any_range_of_a_file_can_be_read(t: &Trial<'_>) {
    let all = pattern(3 << 20);
    let info = t.write("f", &all);
    let check = |offset: usize, length: Option<usize>, expected: &[u8]| {
        let wanted = length.map(|length| u64::try_from(length).unwrap());
        let found = drain(t.files.read(&info, u64::try_from(offset).unwrap(), wanted).unwrap());
        assert!(found == expected, "from {offset} {length:?}: {} bytes", found.len());
    };
    check(0, None, &all);
    check(5, None, &all[5..]);
    check(5, Some(0), b"");
    check(0, Some(1), &all[..1]);
    check(1 << 20, Some(1 << 20), &all[1 << 20..2 << 20]);
    check(all.len() - 3, Some(100), &all[all.len() - 3..]);
    check(all.len(), None, b"");
    check(all.len(), Some(5), b"");
    check(all.len() + 5, Some(5), b"");
    let empty = t.write("empty", b"");
    assert_eq!(t.read(&empty), b"");
}

pub(super) fn a_file_that_was_not_finished_stays_for_others_to_delete(t: &Trial<'_>) {
    let mut writer = t.files.create(&t.path("f")).unwrap().unwrap();
    writer.write("half".into()).unwrap();
    drop(writer);
    assert!(t.files.create(&t.path("f")).unwrap().is_none());
    let left = t.info("f").unwrap();
    assert!(t.files.delete(&left).unwrap());
    // Large enough that some of it is under way when it is dropped.
    let mut writer = t.files.create(&t.path("f")).unwrap().unwrap();
    writer.write(pattern(20 << 20).into()).unwrap();
    drop(writer);
    let left = t.info("f").unwrap();
    assert!(t.files.delete(&left).unwrap());
    assert_eq!(t.names(""), [""; 0]);
}

pub(super) fn a_file_that_is_gone_or_changed_is_not_read_to_its_end(t: &Trial<'_>) {
    let info = t.write("f", "abc");
    t.files.append(&t.path("f"), "def".into()).unwrap();
    let outcome = t.files.read(&info, 0, None).and_then(|mut reader| {
        while reader.next()?.is_some() {}
        Ok(())
    });
    refused(outcome, ErrorClass::Retry);
    // What is there stays there, whatever is appended.
    assert_eq!(drain(t.files.read(&info, 1, Some(2)).unwrap()), b"bc");
    let now = t.info("f").unwrap();
    assert!(t.files.delete(&now).unwrap());
    refused(t.files.read(&now, 0, None).map(|_| ()), ErrorClass::Retry);
}

pub(super) fn appenders_of_several_threads_lose_nothing(t: &Trial<'_>) {
    const THREADS: usize = 4;
    const LINES: usize = 12;
    t.write("log", "");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for line in 0..LINES {
                    let text = format!("{thread} {line} {}\n", "x".repeat(line * 37));
                    let length = u64::try_from(text.len()).unwrap();
                    let info = t.files.append(&t.path("log"), text.into()).unwrap();
                    assert!(info.bytes >= length);
                }
            });
        }
    });
    let text = t.text("log");
    for thread in 0..THREADS {
        let own: Vec<&str> = text.lines().filter(|line| line.starts_with(&format!("{thread} "))).collect();
        let expected: Vec<String> =
            (0..LINES).map(|line| format!("{thread} {line} {}", "x".repeat(line * 37))).collect();
        assert_eq!(own, expected, "lines of thread {thread}");
    }
    assert_eq!(text.lines().count(), THREADS * LINES);
    let info = t.files.append(&t.path("log"), "".into()).unwrap();
    assert_eq!(info.bytes, u64::try_from(text.len()).unwrap());
}

pub(super) fn only_files_that_are_there_are_appended_to(t: &Trial<'_>) {
    refused(t.files.append(&t.path("nothing"), "x".into()), ErrorClass::Retry);
    refused(t.files.append(&t.path("nothing/f"), "x".into()), ErrorClass::Retry);
    t.directory("d");
    refused(t.files.append(&t.path("d"), "x".into()), ErrorClass::Config);
    assert_eq!(t.names(""), ["d"]);
}
