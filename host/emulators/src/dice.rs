//! Chance that is the same everywhere: SplitMix64, written out.
//!
//! Invariant: the numbers for a seed never change, on no platform and with no upgrade of a library.
//! That is why this is not the `rand` crate, whose fast generators promise neither.

/// A stream of numbers decided by its seed. Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub(crate) fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number from 0 to `sides - 1`; 0 for no sides. The bias of the multiplication is below
    /// 2^-32.
    pub(crate) fn below(&mut self, sides: u32) -> u32 {
        let high = self.roll() >> 32;
        ((high * u64::from(sides)) >> 32) as u32
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// A number from 1 to `most << (doublings - 1)`, small ones far more often than large ones.
    pub(crate) fn skewed(&mut self, most: u32, doublings: u32) -> u32 {
        let scale = self.below(doublings);
        self.between(1, most << scale)
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille
    }

    /// One of the words; nothing when there are none.
    pub(crate) fn pick(&mut self, words: &[&'static str]) -> &'static str {
        let at = self.below(u32::try_from(words.len()).unwrap_or(u32::MAX));
        words.get(at as usize).copied().unwrap_or_default()
    }
}

/// An identifier in the form of a random (version 4) UUID, decided by `seed` and `number`. For one
/// seed, different numbers give different identifiers but for a chance of 2^-118.
pub(crate) fn uuid(seed: u64, number: u64) -> String {
    let high = mix(seed ^ mix(number.wrapping_add(GOLDEN)));
    let low = mix(high ^ number.rotate_left(32));
    // Version 4 and the variant bits, RFC 9562 section 5.4.
    let high = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
    let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        // Vigna's reference program, seed 1234567.
        let mut dice = Dice::new(1_234_567);
        assert_eq!(dice.roll(), 6_457_827_717_110_365_317);
        assert_eq!(dice.roll(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn uuids_have_the_form_of_version_4_and_differ() {
        let mut seen = std::collections::HashSet::new();
        for number in 0..10_000 {
            let id = uuid(7, number);
            assert_eq!(id.len(), 36);
            assert_eq!(id.as_bytes().get(14), Some(&b'4'), "{id}");
            assert!(matches!(id.as_bytes().get(19), Some(b'8' | b'9' | b'a' | b'b')), "{id}");
            assert!(seen.insert(id));
        }
        assert_ne!(uuid(7, 1), uuid(8, 1));
    }
}
