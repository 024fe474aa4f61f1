//! The table that a request's counters are found in: open addressing over a packed key, bounded.

use gatehouse_config::model::TransportProtocol;

use crate::exchange::{Exchange, ResponseFlags};
use crate::observe::labels::UNKNOWN_DESTINATION;
use crate::snapshot::LabelsId;

/// What tells one series from another; the destination's labels by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    /// The destination.
    pub labels: LabelsId,
    /// `response_flags`.
    pub flags: ResponseFlags,
    /// `response_code`; 0 for TCP and UDP, and for requests that died before an answer.
    pub status: u16,
    /// `request_protocol`.
    pub protocol: RequestProtocol,
    /// `grpc_response_status`.
    pub grpc_status: Option<u8>,
}

/// `request_protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestProtocol {
    /// Any HTTP that is not gRPC.
    Http,
    /// gRPC.
    Grpc,
    /// Carried TCP.
    Tcp,
    /// Carried UDP.
    Udp,
}

impl RequestProtocol {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl From<TransportProtocol> for RequestProtocol {
    fn from(transport: TransportProtocol) -> Self {
        match transport {
            TransportProtocol::Tcp => Self::Tcp,
            TransportProtocol::Udp => Self::Udp,
        }
    }
}

impl SeriesKey {
    #[inline]
    pub(super) fn of_exchange(labels: LabelsId, exchange: &Exchange) -> Self {
        let (protocol, grpc_status) = match &exchange.grpc {
            None => (RequestProtocol::Http, None),
            Some(call) => (RequestProtocol::Grpc, call.status),
        };
        Self {
            labels,
            flags: exchange.flags,
            status: exchange.status,
            protocol,
            grpc_status,
        }
    }

    pub(super) fn of_transport(
        labels: LabelsId,
        transport: TransportProtocol,
        flags: ResponseFlags,
    ) -> Self {
        Self {
            labels,
            flags,
            status: 0,
            protocol: transport.into(),
            grpc_status: None,
        }
    }

    /// The series that stands in where there is no room for another.
    pub(super) fn without_destination(self) -> Self {
        Self {
            labels: UNKNOWN_DESTINATION,
            flags: ResponseFlags::default(),
            grpc_status: None,
            ..self
        }
    }

    /// The order in which series are exposed.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let Self {
            labels,
            flags,
            status,
            protocol,
            grpc_status,
        } = *self;
        (labels, protocol, status, flags.bits(), grpc_status)
    }

    /// Fibonacci hashing of the packed key; the caller takes the high bits.
    #[inline]
    fn hash(&self) -> u64 {
        const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
        let low = u64::from(self.labels.0) | u64::from(self.flags.bits()) << 32;
        let grpc = self.grpc_status.map_or(0, |status| u64::from(status) + 1);
        let high = u64::from(self.status) | (self.protocol as u64) << 16 | grpc << 24;
        (low.wrapping_mul(MULTIPLIER).rotate_left(26) ^ high).wrapping_mul(MULTIPLIER)
    }
}

/// Values by key. Nothing is ever removed; the caller bounds what goes in.
#[derive(Clone, Debug)]
pub(super) struct SeriesTable<V> {
    /// Index into `entries` plus one, 0 for free; a power of two, at most half full.
    slots: Vec<u32>,
    entries: Vec<(SeriesKey, V)>,
    /// The entry of the last look-up: most requests come in runs of one kind.
    last: usize,
}

impl<V: Default> SeriesTable<V> {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![0; 64],
            entries: Vec::new(),
            last: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entries(&self) -> &[(SeriesKey, V)] {
        &self.entries
    }

    /// Where a key's value is, made if there is room below `limit`.
    #[inline]
    pub(super) fn index(&mut self, key: SeriesKey, limit: usize) -> Option<usize> {
        match self.entries.get(self.last) {
            Some((last, _)) if *last == key => Some(self.last),
            _ => {
                let index = self.find_or_insert(key, limit)?;
                self.last = index;
                Some(index)
            }
        }
    }

    /// The value at an index that [`index`](Self::index) gave.
    #[inline]
    pub(super) fn value(&mut self, index: usize) -> &mut V {
        &mut self.entries[index].1
    }

    fn find_or_insert(&mut self, key: SeriesKey, limit: usize) -> Option<usize> {
        let slot = match self.probe(&key) {
            Ok(index) => return Some(index),
            Err(slot) => slot,
        };
        if self.entries.len() >= limit {
            return None;
        }
        self.entries.push((key, V::default()));
        let number = u32::try_from(self.entries.len()).ok()?;
        self.slots[slot] = number;
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
        Some(self.entries.len() - 1)
    }

    /// The entry of a key, or the free slot where it belongs.
    #[inline]
    fn probe(&self, key: &SeriesKey) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = (key.hash() >> (64 - self.slots.len().trailing_zeros())) as usize;
        loop {
            match self.slots[slot] {
                0 => return Err(slot),
                number => {
                    let index = number as usize - 1;
                    if self.entries[index].0 == *key {
                        return Ok(index);
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for index in 0..self.entries.len() {
            let key = self.entries[index].0;
            if let Err(slot) = self.probe(&key) {
                self.slots[slot] = index as u32 + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(labels: u32, status: u16) -> SeriesKey {
        SeriesKey {
            labels: LabelsId(labels),
            flags: ResponseFlags::default(),
            status,
            protocol: RequestProtocol::Http,
            grpc_status: None,
        }
    }

    #[test]
    fn finds_what_was_put_in_through_growth() {
        let mut table = SeriesTable::<u64>::new();
        for round in 0..3 {
            for labels in 0..500 {
                for status in [200, 404, 503] {
                    let index = table.index(key(labels, status), 10_000).unwrap();
                    *table.value(index) += 1 + round;
                }
            }
        }
        assert_eq!(table.len(), 1500);
        assert!(table.entries().iter().all(|(_, value)| *value == 6));
    }

    #[test]
    fn the_limit_refuses_new_keys_only() {
        let mut table = SeriesTable::<u64>::new();
        for labels in 0..10 {
            assert!(table.index(key(labels, 200), 10).is_some());
        }
        assert!(table.index(key(10, 200), 10).is_none());
        assert!(table.index(key(3, 200), 10).is_some());
        assert_eq!(table.len(), 10);
    }

    #[test]
    fn grpc_status_none_and_zero_differ() {
        let mut table = SeriesTable::<u64>::new();
        let ok = SeriesKey {
            protocol: RequestProtocol::Grpc,
            grpc_status: Some(0),
            ..key(1, 200)
        };
        let none = SeriesKey {
            grpc_status: None,
            ..ok
        };
        assert_ne!(table.index(ok, 10), table.index(none, 10));
    }
}
