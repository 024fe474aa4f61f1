//! What became of heartbeats, counted.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::members::{Malformed, Refusal};

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) unsent: AtomicU64,
    pub(super) received: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

/// Why a datagram does not count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reason {
    Foreign,
    Key,
    Reflected,
    SameName,
    Replayed,
    TooMany,
}

impl From<Malformed> for Reason {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Foreign => Self::Foreign,
            Malformed::Key => Self::Key,
        }
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Reflected => Self::Reflected,
            Refusal::SameName => Self::SameName,
            Refusal::Replayed => Self::Replayed,
            Refusal::TooMany => Self::TooMany,
        }
    }
}

impl Reason {
    const ALL: [Self; 6] = [
        Self::Foreign,
        Self::Key,
        Self::Reflected,
        Self::SameName,
        Self::Replayed,
        Self::TooMany,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Key => "key",
            Self::Reflected => "reflected",
            Self::SameName => "same_name",
            Self::Replayed => "replayed",
            Self::TooMany => "too_many",
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Foreign => "it has another format",
            Self::Key => "it is under another key",
            Self::Reflected => "it is our own; is this node among its own peers?",
            Self::SameName => "another node has our name; give each its own with --node",
            Self::Replayed => "it was heard before",
            Self::TooMany => "there are more nodes than are kept",
        }
    }
}

impl Counters {
    /// Counts; returns how many there were before.
    pub(super) fn refuse(&self, reason: Reason) -> u64 {
        let counter = self.refused.get(reason as usize);
        counter.map_or(0, |counter| counter.fetch_add(1, Relaxed))
    }

    pub(super) fn write_prometheus(&self, out: &mut String) {
        for (name, help, counter) in [
            ("sent", "Heartbeats to other nodes", &self.sent),
            (
                "unsent",
                "Heartbeats that the kernel did not take",
                &self.unsent,
            ),
            ("received", "Heartbeats of other nodes", &self.received),
        ] {
            let _ = writeln!(
                out,
                "# HELP gatehouse_heartbeats_{name}_total {help}.\n\
                 # TYPE gatehouse_heartbeats_{name}_total counter\n\
                 gatehouse_heartbeats_{name}_total {}",
                counter.load(Relaxed)
            );
        }
        let _ = writeln!(
            out,
            "# HELP gatehouse_heartbeats_refused_total Datagrams that do not count.\n\
             # TYPE gatehouse_heartbeats_refused_total counter"
        );
        for (reason, counter) in Reason::ALL.into_iter().zip(&self.refused) {
            let _ = writeln!(
                out,
                "gatehouse_heartbeats_refused_total{{reason=\"{}\"}} {}",
                reason.label(),
                counter.load(Relaxed)
            );
        }
    }
}
