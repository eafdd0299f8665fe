//! The decoder compiled natively, with the release profile that components are built with: the
//! reference of `tests/bench/benches/boundary.rs`.
//!
//! Usage: `native FILE BATCH ROUNDS`; the file has one message a line, channel, tab, text. Prints the
//! messages, the records and, as the minimum over the rounds, nanoseconds of CPU time a message.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use connector_sdk::{BatchBuilder, Decoder, Frame, Outcome, Settings};
use cpu_time::ThreadTime;
use std::hint::black_box;
use std::time::Duration;
use wiki_source::WikiSource;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (batch, rounds): (usize, usize) = (arguments[2].parse().unwrap(), arguments[3].parse().unwrap());
    let text = std::fs::read(&arguments[1]).unwrap();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let split = |line: &[u8]| {
        let tab = line.iter().position(|byte| *byte == b'\t').unwrap();
        (String::from_utf8(line[..tab].to_vec()).unwrap(), line[tab + 1..].to_vec())
    };
    let messages: Vec<(String, Vec<u8>)> = lines.map(split).collect();
    let options = [("rules", "dataset"), ("extra.columns", "false"), ("anonymous.temporary", "false"), ("wikis", "")];
    let mut decoder = WikiSource::open(&Settings::from_iter(options), "irc", &[]).unwrap();
    let (mut best, mut records) = (Duration::MAX, 0);
    for _ in 0..rounds {
        let began = ThreadTime::now();
        records = messages.chunks(batch).map(|messages| decode(&mut decoder, messages)).sum();
        best = best.min(began.elapsed());
    }
    println!("{} {records} {:.1}", messages.len(), best.as_nanos() as f64 / messages.len() as f64);
}

fn decode(decoder: &mut WikiSource, messages: &[(String, Vec<u8>)]) -> usize {
    let bytes: usize = messages.iter().map(|(_, text)| text.len()).sum();
    let mut out = BatchBuilder::with_capacity(messages.len(), bytes * 5 / 2);
    for (origin, data) in messages {
        let frame = Frame { data, origin, received_ms: 1_790_000_000_000 };
        black_box(decoder.decode(&frame, &mut out) == Outcome::Record);
    }
    black_box(decoder.positions(None));
    out.len()
}
