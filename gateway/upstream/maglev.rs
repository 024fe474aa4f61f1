//! A Maglev table (Envoy: `MaglevTable`): every slot belongs to an endpoint, by weight; looking one
//! up is one division.

use crate::upstream::hash_table::{Member, hash, hash_seeded};

/// The table.
#[derive(Debug)]
pub struct Maglev {
    /// Whose each slot is.
    slots: Box<[u32]>,
}

/// Nobody's slot.
const FREE: u32 = u32::MAX;

/// How an endpoint takes its slots.
struct Taker {
    index: u32,
    offset: u64,
    skip: u64,
    next: u64,
    weight: f64,
    target: f64,
}

impl Maglev {
    /// A table of `size` slots, a prime above 1.
    pub fn new(members: &[Member], size: u32) -> Self {
        let length = u64::from(size.max(2));
        let mut slots = vec![FREE; length as usize];
        let heaviest = members.iter().map(|m| m.weight).fold(0.0, f64::max);
        let taker = |(index, member): (u32, &Member)| Taker {
            index,
            offset: hash(member.key.as_bytes()) % length,
            skip: hash_seeded(1, member.key.as_bytes()) % (length - 1) + 1,
            next: 0,
            weight: member.weight,
            target: 0.0,
        };
        let mut takers: Vec<Taker> = (0_u32..).zip(members).map(taker).collect();
        let mut taken = 0;
        // The heaviest takes a slot in each round, one of a third of its weight in every third.
        for round in 1_u64.. {
            for taker in &mut takers {
                if taken == slots.len() {
                    break;
                }
                if round as f64 * taker.weight < taker.target {
                    continue;
                }
                taker.target += heaviest;
                loop {
                    let slot = (taker.offset + taker.skip.wrapping_mul(taker.next)) % length;
                    taker.next += 1;
                    let slot = &mut slots[slot as usize];
                    if *slot == FREE {
                        *slot = taker.index;
                        break;
                    }
                }
                taken += 1;
            }
            if taken == slots.len() {
                break;
            }
        }
        Self {
            slots: slots.into(),
        }
    }

    /// Whose each slot is.
    pub fn members(&self) -> &[u32] {
        &self.slots
    }

    /// The slot of a hash.
    pub fn first(&self, hash: u64) -> usize {
        (hash % self.slots.len() as u64) as usize
    }
}
