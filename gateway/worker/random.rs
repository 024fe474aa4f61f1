//! A worker's source of chance: fast, seeded from the system, not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// An xorshift64* generator.
#[derive(Debug)]
pub struct Random {
    state: Cell<u64>,
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

impl Random {
    /// A generator with a seed of its own.
    pub fn new() -> Self {
        Self::from_seed(RandomState::new().hash_one(std::thread::current().id()))
    }

    /// A generator with a given seed, for tests that repeat.
    pub fn from_seed(seed: u64) -> Self {
        Self {
            state: Cell::new(seed | 1),
        }
    }

    /// The next 64 bits.
    pub fn next(&self) -> u64 {
        let mut x = self.state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.state.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 to `bound` - 1; 0 for a bound of 0.
    pub fn below(&self, bound: u32) -> u32 {
        // Lemire's reduction; its bias is below 2^-32 here.
        ((u64::from(bound) * (self.next() >> 32)) >> 32) as u32
    }

    /// A version 4 UUID (RFC 9562 §5.4) in its text form.
    pub fn uuid(&self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bits = (u128::from(self.next()) << 64 | u128::from(self.next()))
            & !(0xf000_u128 << 64)
            & !(0xc000_u128 << 48)
            | (0x4000_u128 << 64)
            | (0x8000_u128 << 48);
        /// Where each byte is written.
        const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
        let mut text = [b'-'; 36];
        for (byte, place) in bits.to_be_bytes().into_iter().zip(PLACES) {
            text[place] = HEX[usize::from(byte >> 4)];
            text[place + 1] = HEX[usize::from(byte & 15)];
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_version_4_and_the_rfc_variant() {
        let random = Random::from_seed(7);
        for _ in 0..1000 {
            let text = String::from_utf8(random.uuid().to_vec()).unwrap();
            assert_eq!(text.as_bytes()[14], b'4', "{text}");
            assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
            assert_eq!(text.matches('-').count(), 4, "{text}");
        }
    }

    #[test]
    fn below_stays_below() {
        let random = Random::from_seed(1);
        assert!((0..10_000).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
    }
}
