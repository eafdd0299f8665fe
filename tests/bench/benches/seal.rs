//! What sealing costs: `host::crypto` against OpenSSL's AES-256-GCM on the same blocks.
//!
//! Run with `cargo bench -p bench --bench seal`. Work: members of 1 MiB and 64 MiB of plaintext in
//! blocks of 64 KiB, for one X25519 recipient. Figures are the minimum over the rounds of the thread's
//! CPU time; `openssl speed -evp aes-256-gcm` on 64 KiB goes by its process' CPU time, and is run before
//! and after, the faster counts. It does neither key wrapping nor framing nor tags, and copies nothing.
//! Ratio: OpenSSL's time / ours, 1.00 = as fast as OpenSSL.

use cpu_time::ThreadTime;
use host::crypto::{Head, Identity, Key, KeyKind, KeyRing, NewMember, Opener, open, scan, seal};
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

const BLOCK_BYTES: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;

/// Least time of `rounds`.
fn best(rounds: usize, mut work: impl FnMut()) -> Duration {
    let round = |_| {
        let before = ThreadTime::now();
        work();
        before.elapsed()
    };
    (0..rounds).map(round).min().expect("rounds")
}

/// Bytes a second of CPU time; none without an `openssl`.
fn openssl() -> Option<f64> {
    let mut command = Command::new("openssl");
    command.args(["speed", "-mr", "-seconds", "2", "-bytes", &BLOCK_BYTES.to_string(), "-evp", "aes-256-gcm"]);
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `+F:number:name:bytes a second`
    text.lines().find(|line| line.starts_with("+F:"))?.rsplit(':').next()?.trim().parse().ok()
}

fn main() {
    let key = Key::generate(KeyKind::Private).expect("key");
    let recipients = [key.public().expect("public half").recipient().expect("recipient")];
    let ring = KeyRing::try_new([key]).expect("ring");
    let before = openssl();
    let mut figures = Vec::new();
    for (mib, rounds) in [(1, 400), (64, 20)] {
        let plain: Vec<u8> = (0..mib * MIB).map(|at| ((at * 31) >> 3) as u8).collect();
        let identity = Identity { topic: "bench".to_owned(), partition: 0, first: 0, next: 1 };
        let member = NewMember { identity, first_ms: 0, last_ms: 0, records: 1 };
        let sealed = seal(&member, &plain, &recipients).expect("seal");
        assert!(open(&sealed, &ring).expect("open").plaintext == plain, "not what was sealed");
        let head = Head::parse(&sealed).expect("head").expect("whole");
        let time = best(rounds, || drop(black_box(seal(&member, &plain, &recipients).expect("seal"))));
        figures.push((mib, "seal", time));
        let time = best(rounds, || drop(black_box(open(&sealed, &ring).expect("open"))));
        figures.push((mib, "open", time));
        let time = best(rounds, || {
            let mut opener = Opener::try_new(&head, &ring).expect("key");
            let mut give = |plain: &[u8]| {
                black_box(plain);
                Ok(())
            };
            for piece in sealed[head.num_bytes()..].chunks(16 * 1024) {
                opener.push(piece, &mut give).expect("open");
            }
            opener.finish().expect("whole");
        });
        figures.push((mib, "open, pieces of 16 KiB", time));
        let time = best(rounds, || drop(black_box(scan(&sealed).expect("scan"))));
        figures.push((mib, "frame without a key", time));
    }
    let reference = before.into_iter().chain(openssl()).reduce(f64::max);
    println!("blocks of 64 KiB, one X25519 recipient, minimum of thread CPU time\n");
    println!("{:<10} {:<24} {:>10} {:>8} {:>8}", "member", "work", "µs", "GB/s", "ratio");
    if let Some(speed) = reference {
        println!("{:<10} {:<24} {:>10} {:>8.2} {:>8.2}", "", "openssl speed", "", speed / 1e9, 1.0);
    }
    for (mib, work, time) in figures {
        let speed = (mib * MIB) as f64 / time.as_secs_f64();
        let ratio = reference.map_or("-".to_owned(), |reference| format!("{:.2}", speed / reference));
        let micros = time.as_secs_f64() * 1e6;
        println!("{:<10} {work:<24} {micros:>10.1} {:>8.2} {ratio:>8}", format!("{mib} MiB"), speed / 1e9);
    }
}
