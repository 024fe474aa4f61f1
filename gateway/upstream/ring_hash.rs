//! A hash ring (Envoy: `RingHashLoadBalancer`): every endpoint has places on it by its weight, and a
//! hash goes to the next place. An endpoint that leaves changes nobody's endpoint but its own.

use std::fmt::Write as _;

use crate::upstream::hash_table::{Member, hash};

/// Envoy's bound of a ring.
const LARGEST: f64 = 8_388_608.0;

/// The ring: places in ascending order.
#[derive(Debug)]
pub struct Ring {
    hashes: Box<[u64]>,
    /// Whose place it is.
    members: Box<[u32]>,
}

impl Ring {
    /// A ring of at least `minimum` places. The endpoint of the least weight gets a whole number.
    pub fn new(members: &[Member], minimum: u32) -> Self {
        let sum: f64 = members.iter().map(|member| member.weight).sum();
        let least = members
            .iter()
            .map(|member| member.weight / sum)
            .fold(1.0, f64::min);
        let scale = ((least * f64::from(minimum)).ceil() / least).min(LARGEST);
        let mut places: Vec<(u64, u32)> = Vec::with_capacity(scale.ceil() as usize);
        // Shares need not be whole: running sums keep the error from growing.
        let (mut placed, mut target) = (0.0, 0.0);
        let mut key = String::new();
        for (index, member) in (0_u32..).zip(members) {
            target += scale * (member.weight / sum);
            key.clear();
            key.push_str(&member.key);
            key.push('_');
            let length = key.len();
            let mut number = 0_u32;
            while placed < target {
                key.truncate(length);
                write!(key, "{number}").expect("a string can grow");
                places.push((hash(key.as_bytes()), index));
                number += 1;
                placed += 1.0;
            }
        }
        places.sort_unstable();
        let (hashes, members): (Vec<_>, Vec<_>) = places.into_iter().unzip();
        Self {
            hashes: hashes.into(),
            members: members.into(),
        }
    }

    /// Whose each place is, in the ring's order.
    pub fn members(&self) -> &[u32] {
        &self.members
    }

    /// The place of a hash: the first that is not below it; behind the last comes the first.
    pub fn first(&self, hash: u64) -> usize {
        let place = self.hashes.partition_point(|place| *place < hash);
        if place == self.hashes.len() { 0 } else { place }
    }
}
