//! Names and identities are each other's inverse, and nothing else is a name.
#![allow(clippy::unwrap_used, missing_docs)]

use connector_sdk::{Identity, Layout, Place, Settings};
use proptest::prelude::*;
use spool_layout::SpoolLayout;

/// First and last millisecond of the years 1 to 9999.
const FIRST_MS: i64 = -62_135_596_800_000;
const LAST_MS: i64 = 253_402_300_799_999;

fn open(directories: &str) -> SpoolLayout {
    let settings = Settings::from_iter([
        ("rotation.max.bytes", "1"),
        ("rotation.max.records", "0"),
        ("rotation.max.age.ms", "0"),
        ("trash.retention.ms", "0"),
        ("staging.directory", "staging"),
        ("target.directory", ""),
        ("target.directories", directories),
    ]);
    SpoolLayout::open("sink", &settings).unwrap().0
}

fn layout() -> impl Strategy<Value = SpoolLayout> {
    proptest::sample::select(vec!["flat", "day", "hour"]).prop_map(open)
}

fn place() -> impl Strategy<Value = Place> {
    proptest::sample::select(vec![Place::Inbox, Place::Target])
}

/// Numbers of all sizes, not only large ones.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift)
}

/// Identities that have a name wherever they are: 66 bytes of topic always fit.
fn identity() -> impl Strategy<Value = Identity> {
    let offsets = (number(), number()).prop_filter("not empty", |(a, b)| a != b);
    let times = (FIRST_MS..=LAST_MS, FIRST_MS..=LAST_MS);
    ("[a-zA-Z0-9._-]{1,66}", number(), offsets, times, number()).prop_map(
        |(topic, partition, offsets, times, sequence)| Identity {
            topic,
            partition: (partition >> 32) as u32 | partition as u32,
            first: offsets.0.min(offsets.1),
            next: offsets.0.max(offsets.1),
            first_ms: times.0.min(times.1),
            last_ms: times.0.max(times.1),
            sequence,
        },
    )
}

/// A name with some of its characters exchanged for others that look like part of one.
fn near_name() -> impl Strategy<Value = String> {
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), "[0-9a-zA-Z+/.TZ０٣ -]{0,2}"), 0..4);
    (layout(), identity(), place(), changes).prop_map(|(layout, identity, place, changes)| {
        let mut name: Vec<String> = layout.name(&identity, place).unwrap().chars().map(String::from).collect();
        for (at, text) in changes {
            *at.get_mut(&mut name) = text;
        }
        name.concat()
    })
}

fn check(layout: &SpoolLayout, text: &str) -> Result<(), TestCaseError> {
    if let Some(identity) = layout.parse(text) {
        // Whatever is chosen now, a name is one that some choice makes.
        let names = ["flat", "day", "hour"].map(|form| open(form).name(&identity, Place::Target).unwrap_or_default());
        prop_assert!(names.iter().any(|name| name == text), "{text} is accepted for {names:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_identity_comes_back(layout in layout(), identity in identity(), place in place()) {
        let name = layout.name(&identity, place).unwrap();
        prop_assert!(name.len() <= 200 && !name.starts_with('/'));
        prop_assert!(place == Place::Target || !name.contains('/'));
        prop_assert_eq!(layout.parse(&name), Some(identity));
    }

    /// Every single part of an identity makes a difference.
    #[test]
    fn distinct_identities_have_distinct_names(
        layout in layout(), one in identity(), other in identity(), taken in 0..8usize, place in place()
    ) {
        let mut mixed = one.clone();
        match taken {
            0 => mixed.topic = other.topic,
            1 => mixed.partition = other.partition,
            2 => mixed.first = other.first,
            3 => mixed.next = other.next,
            4 => mixed.first_ms = other.first_ms,
            5 => mixed.last_ms = other.last_ms,
            6 => mixed.sequence = other.sequence,
            _ => mixed = other,
        }
        prop_assume!(mixed != one && mixed.first < mixed.next && mixed.first_ms <= mixed.last_ms);
        prop_assert_ne!(layout.name(&one, place).unwrap(), layout.name(&mixed, place).unwrap());
    }

    #[test]
    fn what_fits_its_padding_sorts(
        topics in ("[ab.-]{1,3}", "[ab.-]{1,3}"), partitions in (0..100_000u32, 0..100_000u32),
        sequences in (0..1_000_000_000_000u64, 0..1_000_000_000_000u64), same in 0..3, identity in identity()
    ) {
        let layout = open("flat");
        let one = Identity { topic: topics.0, partition: partitions.0, sequence: sequences.0, ..identity.clone() };
        let mut other = Identity { topic: topics.1, partition: partitions.1, sequence: sequences.1, ..identity };
        if same > 0 {
            other.topic.clone_from(&one.topic);
        }
        if same > 1 {
            other.partition = one.partition;
        }
        let key = |i: &Identity| (i.topic.clone(), i.partition, i.sequence);
        let names = [&one, &other].map(|identity| layout.name(identity, Place::Inbox).unwrap());
        prop_assert_eq!(key(&one).cmp(&key(&other)), names[0].cmp(&names[1]), "{:?}", names);
    }

    #[test]
    fn any_text_is_none_or_a_name(layout in layout(), any in any::<String>(), like in "[0-9TZ+./a-]{0,120}(\\.spool)?") {
        check(&layout, &any)?;
        check(&layout, &like)?;
    }

    #[test]
    fn what_is_close_to_a_name_is_none_or_another(layout in layout(), text in near_name()) {
        check(&layout, &text)?;
    }

    #[test]
    fn any_identity_has_a_name_that_comes_back_or_none(
        layout in layout(), place in place(), topic in "\\PC{0,3}|[a-z]{60,260}", partition in any::<u32>(),
        offsets in any::<(u64, u64)>(), times in any::<(i64, i64)>(), sequence in any::<u64>()
    ) {
        let (first, next) = offsets;
        let (first_ms, last_ms) = times;
        for shift in [0, 16] {
            let (first_ms, last_ms) = (first_ms >> shift, last_ms >> shift);
            let identity = Identity { topic: topic.clone(), partition, first, next, first_ms, last_ms, sequence };
            if let Ok(name) = layout.name(&identity, place) {
                prop_assert!(name.len() <= 200);
                prop_assert_eq!(layout.parse(&name), Some(identity));
            }
        }
    }
}
