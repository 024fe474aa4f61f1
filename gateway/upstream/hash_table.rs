//! Tables that lead from a hash to an endpoint: one per cluster and priority, shared by all
//! workers and by later generations whose endpoints are the same.

use std::hash::Hasher as _;
use std::sync::Arc;

use gatehouse_config::model::Balancing;
use twox_hash::XxHash64;

use crate::upstream::maglev::Maglev;
use crate::upstream::ring_hash::Ring;

/// An endpoint as a table knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its place in the cluster.
    pub position: u32,
    /// What is hashed for it: the address as text, as Envoy does it.
    pub key: Arc<str>,
    /// Its share; above zero.
    pub weight: f64,
}

/// A ring or a Maglev table, and what it was made of.
#[derive(Debug)]
pub struct HashTable {
    kind: Balancing,
    members: Box<[Member]>,
    table: Table,
}

#[derive(Debug)]
enum Table {
    Ring(Ring),
    Maglev(Maglev),
}

impl HashTable {
    /// The table of these endpoints; none for an algorithm that has none, or without endpoints.
    pub fn new(kind: Balancing, members: Vec<Member>) -> Option<Self> {
        if members.is_empty() {
            return None;
        }
        let table = match kind {
            Balancing::RingHash { minimum_size } => Table::Ring(Ring::new(&members, minimum_size)),
            Balancing::Maglev { table_size } => Table::Maglev(Maglev::new(&members, table_size)),
            Balancing::LeastRequest | Balancing::RoundRobin | Balancing::Random => return None,
        };
        Some(Self {
            kind,
            members: members.into(),
            table,
        })
    }

    /// Whether it is the table that would be made of these.
    pub fn is_of(&self, kind: Balancing, members: &[Member]) -> bool {
        self.kind == kind && *self.members == *members
    }

    /// The endpoints' places for a hash, the best first; the same one may come again.
    pub fn walk(&self, hash: u64) -> impl Iterator<Item = u32> {
        let (slots, start) = match &self.table {
            Table::Ring(ring) => (ring.members(), ring.first(hash)),
            Table::Maglev(maglev) => (maglev.members(), maglev.first(hash)),
        };
        let (before, after) = slots.split_at(start.min(slots.len()));
        let members = after.iter().chain(before);
        members.filter_map(|member| Some(self.members.get(*member as usize)?.position))
    }
}

/// xxHash64 with the seed 0, as Envoy hashes everything.
pub fn hash(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// The hash of a text that is made while it is hashed, so that nothing is allocated for it.
pub fn hash_text(text: std::fmt::Arguments<'_>) -> u64 {
    struct Sink(XxHash64);

    impl std::fmt::Write for Sink {
        fn write_str(&mut self, piece: &str) -> std::fmt::Result {
            self.0.write(piece.as_bytes());
            Ok(())
        }
    }

    let mut sink = Sink(XxHash64::with_seed(0));
    std::fmt::Write::write_fmt(&mut sink, text).expect("addresses and texts can be written");
    sink.0.finish()
}

/// The same as [`hash`] with a seed.
pub fn hash_seeded(seed: u64, bytes: &[u8]) -> u64 {
    XxHash64::oneshot(seed, bytes)
}
