//! Draws that a seed decides, the same on every machine.

/// A generator of draws (Knuth's MMIX multiplier; the upper bits are good enough to choose by).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The draws of a seed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds begin far apart.
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// One of these.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    /// Whether it happens, in `percent` of all draws.
    pub fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
