//! What the room promises as a whole: any bytes come back, and no flip, cut, swap or other name passes.

use super::blocks::BlockCipher;
use super::open::MemberScanner;
use super::records::split_record;
use super::seal::seal_in_blocks;
use super::*;
use crate::error::ErrorClass;
use crate::record::encode_headers;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

struct Keys {
    recipients: Vec<Recipient>,
    ring: Arc<KeyRing>,
}

fn keys(kinds: &[KeyKind]) -> Keys {
    let made: Vec<Key> = kinds.iter().map(|kind| Key::generate(*kind).unwrap()).collect();
    let recipient = |key: &Key| key.public().unwrap_or_else(|_| key.clone()).recipient().unwrap();
    let recipients = made.iter().map(recipient).collect();
    Keys { recipients, ring: Arc::new(KeyRing::try_new(made).unwrap()) }
}

fn member(first: i64, next: i64) -> NewMember {
    let identity = Identity { topic: "wikipedia".to_owned(), partition: 3, first, next };
    NewMember { identity, first_ms: 1_790_000_000_000, last_ms: 1_790_000_000_009, records: (next - first) as u64 }
}

fn plain(first: i64, next: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for offset in first..next {
        let value = format!("{{\"edit\":{offset}}}").into_bytes();
        let headers = encode_headers(&[("h", None), ("source", Some(b"irc"))]);
        let (key, value) = ((offset % 2 == 0).then_some(&b"key"[..]), (offset % 5 != 0).then_some(value.as_slice()));
        let record = Record { offset, timestamp: 1_790_000_000_000 + offset, key, value, headers: &headers };
        encode_record(&mut out, &record).unwrap();
    }
    out
}

/// The records of a member's whole plaintext; ends after the first error.
fn records(plaintext: &[u8]) -> impl Iterator<Item = Result<Record<'_>>> {
    let mut rest = plaintext;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = plaintext.len() - rest.len();
        let cut = || reject(format!("records are cut in the one at byte {at} of {}", plaintext.len()));
        let next = split_record(rest).and_then(|next| next.ok_or_else(cut));
        rest = next.as_ref().map_or(&[], |(_, tail)| tail);
        Some(next.map(|(record, _)| record))
    })
}

/// A file of the intervals between `bounds`, one member each.
fn spool_file(bounds: &[i64], recipients: &[Recipient], block_bytes: u32) -> (Vec<u8>, Identity) {
    let mut file = Vec::new();
    let mut infos = Vec::new();
    for pair in bounds.windows(2) {
        let sealed = seal_in_blocks(&member(pair[0], pair[1]), &plain(pair[0], pair[1]), recipients, block_bytes);
        let sealed = sealed.unwrap();
        infos.push(scan(&sealed).unwrap().unwrap().head.info().clone());
        file.extend_from_slice(&sealed);
    }
    let identity = member(bounds[0], *bounds.last().unwrap()).identity;
    let (first_ms, last_ms, members) = (infos[0].first_ms, infos[0].last_ms, infos.len() as u64);
    let bytes = file.len() as u64;
    let footer = Footer { identity: identity.clone(), first_ms, last_ms, sequence: 1, members, bytes };
    file.extend_from_slice(&footer.encode().unwrap());
    (file, identity)
}

/// Reads a file in pieces: the offsets of its records, and its footer.
fn read(file: &[u8], identity: &Identity, ring: &Arc<KeyRing>, piece: usize) -> Result<(Vec<i64>, Footer)> {
    let mut reader = SpoolReader::new(Arc::clone(ring), identity.clone(), Some(identity.topic.clone()));
    let mut decoder = None;
    let mut offsets = Vec::new();
    for chunk in file.chunks(piece) {
        reader.push(chunk, &mut |event| {
            match event {
                Event::Member(info) => decoder = Some(RecordDecoder::try_new(info)?),
                Event::Plain(plain) => {
                    let decoder = decoder.as_mut().unwrap();
                    decoder.push(plain);
                    while let Some(record) = decoder.next_record()? {
                        offsets.push(record.offset);
                    }
                }
                Event::MemberEnd(_) => decoder.as_ref().unwrap().finish()?,
            }
            Ok(())
        })?;
    }
    Ok((offsets, reader.finish()?))
}

fn message<T>(result: Result<T>) -> String {
    let error = result.err().unwrap();
    assert_eq!(error.class(), ErrorClass::Reject, "{error}");
    error.to_string()
}

#[test]
fn a_file_comes_back_in_pieces_of_any_size() {
    let keys = keys(&[KeyKind::Private, KeyKind::Symmetric, KeyKind::Private]);
    let (file, identity) = spool_file(&[10, 40, 41, 90], &keys.recipients, 256);
    for piece in [1, 3, 16, 255, 256, 257, 4096, file.len()] {
        let (offsets, footer) = read(&file, &identity, &keys.ring, piece).unwrap();
        assert_eq!(offsets, (10..90).collect::<Vec<_>>());
        assert_eq!((footer.members, footer.identity), (3, identity.clone()));
    }
    for at in 0..file.len() {
        message(read(&file[..at], &identity, &keys.ring, 999));
    }
    let longer = [&file[..], b"x"].concat();
    assert_eq!(message(read(&longer, &identity, &keys.ring, 999)), "1 bytes after the footer");
}

#[test]
fn records_come_back_as_encoded() {
    let plain = plain(4, 8);
    let seen: Vec<Record<'_>> = records(&plain).collect::<Result<_>>().unwrap();
    assert_eq!(
        seen.iter().map(|r| (r.offset, r.key, r.value.is_some())).collect::<Vec<_>>(),
        [(4, Some(&b"key"[..]), true), (5, None, false), (6, Some(&b"key"[..]), true), (7, None, true),]
    );
    assert_eq!(seen[0].headers().unwrap(), [("h", None), ("source", Some(&b"irc"[..]))]);
    let ends: Vec<usize> = (0..plain.len()).filter(|at| records(&plain[..*at]).all(|r| r.is_ok())).collect();
    assert_eq!(ends.len(), 4, "only a cut between records leaves whole ones: {ends:?}");
    assert!(message(records(&[0xff; 40]).next().unwrap()).contains("has no length of its headers"));
    let huge = [&[0; 16][..], &[0xfe; 4]].concat();
    assert!(message(records(&huge).next().unwrap()).contains("expected at most"));
}

#[test]
fn records_that_the_head_does_not_promise_are_told() {
    let keys = keys(&[KeyKind::Symmetric]);
    let info = |records| {
        let sealed = seal(&NewMember { records, ..member(4, 8) }, b"", &keys.recipients).unwrap();
        scan(&sealed).unwrap().unwrap().head.info().clone()
    };
    let decode = |records: u64, plain: &[u8]| {
        let mut decoder = RecordDecoder::try_new(&info(records))?;
        for byte in plain {
            decoder.push(&[*byte]);
            while decoder.next_record()?.is_some() {}
        }
        decoder.finish()
    };
    decode(4, &plain(4, 8)).unwrap();
    let twice = [plain(4, 6), plain(5, 8)].concat();
    assert!(message(decode(4, &twice)).ends_with("record at offset 5, expected 6 to 8"));
    assert!(message(decode(4, &plain(4, 9))).ends_with("record at offset 8, expected 8 to 8"));
    assert!(message(decode(4, &plain(3, 8))).ends_with("record at offset 3, expected 4 to 8"));
    assert!(message(decode(3, &plain(4, 8))).ends_with("4 records and 0 bytes, expected 3 records"));
    let cut = plain(4, 8);
    assert!(message(decode(3, &cut[..cut.len() - 1])).contains("3 records and "));
    let other = MemberInfo { content: "records-2".to_owned(), ..info(4) };
    assert!(message(RecordDecoder::try_new(&other)).contains("`records-1`"));
}

#[test]
fn each_recipient_opens_alone_and_nobody_else() {
    let all = keys(&[KeyKind::Private, KeyKind::Symmetric]);
    let sealed = seal(&member(0, 5), b"plain", &all.recipients).unwrap();
    for kid in all.ring.kids() {
        let one = KeyRing::try_new([all.ring.get(kid).unwrap().clone()]).unwrap();
        assert_eq!(open(&sealed, &one).unwrap().plaintext, b"plain");
    }
    let (wanted, stranger) = (all.recipients.iter().map(Recipient::kid).collect::<Vec<_>>(), keys(&[KeyKind::Private]));
    let error = open(&sealed, &stranger.ring).err().unwrap();
    assert_eq!(error.class(), ErrorClass::Config);
    let held = stranger.ring.kids().next().unwrap();
    let expected = format!("no key opens it: sealed for `{}`, held `{held}`", wanted.join("`, `"));
    assert!(error.to_string().ends_with(&expected), "{error}");
    assert!(open(&sealed, &KeyRing::default()).err().unwrap().to_string().ends_with("held none"));
    for recipients in [vec![], vec![all.recipients[0].clone(); 2], vec![all.recipients[0].clone(); 65]] {
        assert_eq!(seal(&member(0, 5), b"", &recipients).unwrap_err().class(), ErrorClass::Config);
    }
}

/// Every bit of a member, sealed for one: either it does not open, or (never, so far) opens the same.
#[test]
fn every_flip_in_a_member_is_told() {
    for kind in [KeyKind::Private, KeyKind::Symmetric] {
        let keys = keys(&[kind]);
        let sealed = seal_in_blocks(&member(0, 9), &[7; 70], &keys.recipients, 32).unwrap();
        let info = open(&sealed, &keys.ring).unwrap().info;
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1 << bit;
                let Ok(opened) = open(&flipped, &keys.ring) else { continue };
                panic!("bit {bit} of byte {at} passes: {:?}, was {info:?}", opened.info);
            }
        }
    }
}

#[test]
fn every_cut_of_a_member_is_told() {
    let keys = keys(&[KeyKind::Symmetric]);
    let sealed = seal_in_blocks(&member(0, 9), &[7; 70], &keys.recipients, 32).unwrap();
    let head = Head::parse(&sealed).unwrap().unwrap();
    for at in 0..sealed.len() {
        message(open(&sealed[..at], &keys.ring));
        assert!(scan(&sealed[..at]).unwrap().is_none());
        let mut scanner = MemberScanner::default();
        scanner.push(&sealed[..at]).unwrap();
        message(scanner.finish());
    }
    let id = &head.info().id;
    let blocks = head.num_bytes();
    let check = |len: usize, expected: &str| {
        assert_eq!(message(open(&sealed[..len], &keys.ring)), format!("member `{id}`: {expected}"));
    };
    check(blocks, "block 0 is cut: 0 of 4 bytes");
    check(blocks + 52 + 4 + 10, "block 1 is cut: 10 of 48 bytes");
    let longer = [&sealed[..], b"xy"].concat();
    assert_eq!(message(open(&longer, &keys.ring)), format!("member `{id}`: 2 bytes after its last block"));
    assert_eq!(scan(&longer).unwrap().unwrap().num_bytes, sealed.len() as u64);
}

#[test]
fn blocks_open_only_in_their_place() {
    let keys = keys(&[KeyKind::Symmetric]);
    let sealed = seal_in_blocks(&member(0, 9), &[7; 128], &keys.recipients, 32).unwrap();
    let other = seal_in_blocks(&member(0, 9), &[7; 128], &keys.recipients, 32).unwrap();
    let (start, len) = (Head::parse(&sealed).unwrap().unwrap().num_bytes(), 4 + 32 + 16);
    let (head, blocks) = sealed.split_at(start);
    let parts: Vec<&[u8]> = blocks.chunks(len).collect();
    let check = |parts: &[&[u8]], expected: &str| {
        let text = message(open(&[head, &parts.concat()].concat(), &keys.ring));
        assert!(text.ends_with(expected), "{text}");
    };
    check(&[parts[0], parts[2], parts[1], parts[3]], "block 1 fails authentication");
    check(&[parts[0], parts[1], parts[3]], "block 2 fails authentication");
    check(&[parts[0], parts[1], parts[2], parts[2], parts[3]], "block 3 fails authentication");
    check(&[parts[0], parts[1], parts[2]], "block 3 is cut: 0 of 4 bytes");
    // The end brought forward: the word says last, the nonce of the block does not.
    let mut last = parts[1].to_vec();
    last[3] ^= 0x80;
    check(&[parts[0], &last], "block 1 fails authentication");
    let foreign = &other[Head::parse(&other).unwrap().unwrap().num_bytes()..][..len];
    check(&[foreign, parts[1], parts[2], parts[3]], "block 0 fails authentication");
    check(&[&[0xff, 0xff, 0xff, 0x7f]], "block 0: block of 2147483647 bytes, expected 48");
}

#[test]
fn members_open_only_in_their_file() {
    let keys = keys(&[KeyKind::Private]);
    let (file, identity) = spool_file(&[0, 3, 6, 9], &keys.recipients, 64);
    let (mut parts, mut footer) = (Vec::new(), &file[..]);
    while footer.starts_with(b"HSM1") {
        let (part, tail) = footer.split_at(scan(footer).unwrap().unwrap().num_bytes as usize);
        parts.push(part);
        footer = tail;
    }
    let check = |parts: &[&[u8]], identity: &Identity, expected: &str| {
        let text = message(read(&[&parts.concat(), footer].concat(), identity, &keys.ring, 500));
        assert!(text.contains(expected), "{text}");
    };
    check(&[parts[1], parts[0], parts[2]], &identity, "expected it to begin at 0 in");
    check(&[parts[0], parts[2]], &identity, "expected it to begin at 3 in");
    check(&[parts[0], parts[0], parts[1], parts[2]], &identity, "expected it to begin at 3 in");
    check(&[parts[0], parts[1]], &identity, "has members up to 6 only");
    let other = Identity { first: 9, next: 18, ..identity.clone() };
    check(&parts, &other, "expected it to begin at 9 in");
    let longer = Identity { next: 12, ..identity.clone() };
    check(&parts, &longer, "published under another name");
    let info = open(parts[0], &keys.ring).unwrap().info;
    let told = message(info.identity.check(&identity, format!("member `{}`", info.id)));
    assert!(told.contains("offsets [0,3), expected `wikipedia` partition 3 offsets [0,9)"), "{told}");
}

#[test]
fn members_that_travelled_keep_their_identity_in_another_file() {
    let keys = keys(&[KeyKind::Private]);
    let (file, _) = spool_file(&[0, 3, 6], &keys.recipients, 64);
    let Located::Found(footer) = Footer::locate(&file, file.len() as u64).unwrap() else { panic!("cut") };
    let identity = Identity { topic: "second".to_owned(), partition: 0, first: 70, next: 72 };
    let footer = Footer { identity: identity.clone(), ..footer };
    let file = [&file[..footer.bytes as usize], &footer.encode().unwrap()].concat();
    let read = |source: &str| {
        let mut reader = SpoolReader::new(Arc::clone(&keys.ring), identity.clone(), Some(source.to_owned()));
        let mut ids = Vec::new();
        reader.push(&file, &mut |event| {
            if let Event::MemberEnd(info) = event {
                ids.push((info.identity.topic.clone(), info.identity.next));
            }
            Ok(())
        })?;
        reader.finish().map(|found| (ids, found))
    };
    let (ids, found) = read("wikipedia").unwrap();
    assert_eq!((ids, found), (vec![("wikipedia".to_owned(), 3), ("wikipedia".to_owned(), 6)], footer.clone()));
    assert!(message(read("second")).contains("expected topic `second`"));
}

#[test]
fn a_rewrapped_file_has_other_readers_and_the_same_blocks() {
    let (old, new) = (keys(&[KeyKind::Private]), keys(&[KeyKind::Private, KeyKind::Symmetric]));
    let (file, identity) = spool_file(&[0, 20, 30], &old.recipients, 64);
    let rewrapped = rewrap_file(&file, &old.ring, &new.recipients).unwrap();
    let blocks = |file: &[u8]| {
        let (mut rest, mut blocks, mut infos) = (file, Vec::new(), Vec::new());
        while rest.starts_with(b"HSM1") {
            let member = scan(rest).unwrap().unwrap();
            let (sealed, tail) = rest.split_at(member.num_bytes as usize);
            blocks.push(sealed[member.head.num_bytes()..].to_vec());
            infos.push(member.head.info().clone());
            rest = tail;
        }
        (blocks, infos)
    };
    assert_eq!(blocks(&rewrapped), blocks(&file));
    assert_eq!(read(&rewrapped, &identity, &new.ring, 100).unwrap().0, (0..30).collect::<Vec<_>>());
    assert_eq!(read(&rewrapped, &identity, &old.ring, 100).unwrap_err().class(), ErrorClass::Config);
    assert_eq!(rewrap_file(&file, &new.ring, &old.recipients).unwrap_err().class(), ErrorClass::Config);
}

#[test]
fn what_is_no_member_is_told_from_what_is_newer() {
    let keys = keys(&[KeyKind::Symmetric]);
    let sealed = seal(&member(0, 1), b"", &keys.recipients).unwrap();
    assert_eq!(message(scan(b"PK\x03\x04")), "not a member: the bytes do not begin with `HSM1`");
    assert_eq!(message(scan(b"x")), "not a member: the bytes do not begin with `HSM1`");
    assert!(scan(b"").unwrap().is_none() && scan(b"HSM").unwrap().is_none());
    let newer = |from: &str, to: &str| {
        let at = sealed.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = sealed.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        let error = open(&bytes, &keys.ring).err().unwrap();
        assert_eq!(error.class(), ErrorClass::Config);
        assert_eq!(error.to_string(), "member of format version 3, this host reads 1");
    };
    newer("HSM1", "HSM3");
    newer("\"v\":1", "\"v\":3");
    let huge = [&b"HSM1"[..], &[0xff; 8]].concat();
    assert!(message(scan(&huge)).contains("expected at most 65536 in all"));
}

/// The key of this file was forgotten when it was made (2026-11-25): it shows that what the first host
/// of format 1 wrote is still framed as it was.
#[test]
fn a_file_of_the_first_host_is_still_framed() {
    let file = include_bytes!("../../../tests/fixtures/golden/spool-1.sealed");
    let Located::Found(footer) = Footer::locate(file, file.len() as u64).unwrap() else { panic!("cut") };
    assert_eq!(footer.identity, Identity { next: 12, ..member(7, 10).identity });
    let told = (footer.first_ms, footer.last_ms, footer.sequence, footer.members, footer.bytes);
    assert_eq!(told, (1_790_000_000_007, 1_790_000_000_011, 1, 2, 1322));
    let first = scan(file).unwrap().unwrap();
    let second = scan(&file[first.num_bytes as usize..]).unwrap().unwrap();
    assert_eq!(first.num_bytes + second.num_bytes, footer.bytes);
    assert_eq!(first.head.kids().collect::<Vec<_>>(), ["8a8674005ba1d70d", "10403d21d095a4c1"]);
    let info = second.head.info();
    assert_eq!((info.id.as_str(), &info.identity), ("8996a1d28740da615114d7b3f9bddfdd", &member(10, 12).identity));
    assert_eq!((info.records, info.block_bytes, info.content.as_str()), (2, 65_536, "records-1"));
}

/// Expected: the same by Python's `cryptography` from the text of `host/SPOOL_FORMAT.md`.
#[test]
fn blocks_are_sealed_as_the_format_says() {
    let fixed = br#"{"v":1,"id":"000102030405060708090a0b0c0d0e0f","topic":"t","partition":0,"first":0,"next":9,"first_ms":0,"last_ms":0,"records":9,"block":32,"nonce":"01020304050607","content":"records-1"}"#;
    let data_key = zeroize::Zeroizing::new(Sha256::digest(b"golden blocks").into());
    let mut cipher = BlockCipher::try_new(&Head::new(fixed.to_vec(), Vec::new()).unwrap(), &data_key).unwrap();
    let mut sealed = Vec::new();
    for (piece, last) in [(32, false), (32, false), (6, true)] {
        cipher.seal(&vec![b'x'; piece], last, &mut sealed).unwrap();
    }
    assert_eq!(hex(&Sha256::digest(&sealed)[..16]), "41a1431996b960eea33da66a0017ecfb");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_come_back(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        block_bytes in 1u32..700,
        piece in 1usize..900,
    ) {
        let keys = keys(&[KeyKind::Symmetric]);
        let sealed = seal_in_blocks(&member(0, 9), &bytes, &keys.recipients, block_bytes).unwrap();
        let opened = open(&sealed, &keys.ring).unwrap();
        prop_assert_eq!(&opened.plaintext, &bytes);

        let scanned = scan(&sealed).unwrap().unwrap();
        prop_assert_eq!(scanned.num_bytes, sealed.len() as u64);
        let mut scanner = MemberScanner::default();
        let mut taken = 0;
        for chunk in [&sealed[..], &[1, 2, 3]].concat().chunks(piece) {
            taken += scanner.push(chunk).unwrap();
        }
        prop_assert_eq!(taken, sealed.len());

        let mut opener = Opener::try_new(&scanned.head, &keys.ring).unwrap();
        let mut plain = Vec::new();
        for chunk in sealed[scanned.head.num_bytes()..].chunks(piece) {
            opener.push(chunk, &mut |block| { plain.extend_from_slice(block); Ok(()) }).unwrap();
        }
        prop_assert_eq!(opener.finish().unwrap(), opened.info);
        prop_assert_eq!(&plain, &bytes);
    }

    #[test]
    fn any_flip_in_a_file_is_told(at in any::<prop::sample::Index>(), bit in 0u8..8, piece in 1usize..900) {
        let keys = keys(&[KeyKind::Private]);
        let (mut file, identity) = spool_file(&[0, 7, 8], &keys.recipients, 64);
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert!(read(&file, &identity, &keys.ring, piece).is_err(), "bit {} of byte {}", bit, at);
    }

    #[test]
    fn any_bytes_are_told_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in 0usize..4) {
        let keys = keys(&[KeyKind::Symmetric]);
        let start: &[&[u8]] = &[b"", b"HSM1\x10\0\0\0", b"HSF1\x10\0\0\0", b"HSM1"];
        let bytes = [start[magic], &bytes].concat();
        prop_assert!(open(&bytes, &keys.ring).is_err());
        prop_assert!(Footer::parse(&bytes).is_err());
        let _ = scan(&bytes);
        let _ = Footer::locate(&bytes, bytes.len() as u64);
        records(&bytes).for_each(drop);
        prop_assert!(rewrap_file(&bytes, &keys.ring, &keys.recipients).is_err());
    }
}

/// A whole spool file with other recipients: new heads, the same blocks, a footer of the new length.
fn rewrap_file(file: &[u8], ring: &KeyRing, recipients: &[Recipient]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(file.len());
    let mut rest = file;
    while !rest.starts_with(super::footer::FOOTER_MAGIC) {
        let at = file.len() - rest.len();
        let member = scan(rest)?.ok_or_else(|| reject(format!("file is cut in the member at byte {at}")))?;
        let num_bytes = usize::try_from(member.num_bytes).or_bug("length of a member")?;
        let (sealed, tail) = rest.split_at_checked(num_bytes).unwrap_or((rest, &[]));
        out.extend_from_slice(&rewrap(&member.head, ring, recipients)?);
        out.extend_from_slice(sealed.get(member.head.num_bytes()..).unwrap_or_default());
        rest = tail;
    }
    let mut footer = Footer::parse(rest)?;
    footer.bytes = out.len() as u64;
    out.extend_from_slice(&footer.encode()?);
    Ok(out)
}
