//! MetalLB's layer 2 counters, and ours for what was dropped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::announce::responder::DropReason;
use crate::link::socket::Protocol;

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// One entry for each address that was ever announced.
    addresses: Mutex<BTreeMap<IpAddr, PerAddress>>,
    arp_dropped: [AtomicU64; DropReason::ALL.len()],
    ndp_dropped: [AtomicU64; DropReason::ALL.len()],
    unsent: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerAddress {
    pub(super) requests_received: u64,
    pub(super) responses_sent: u64,
    pub(super) gratuitous_sent: u64,
}

impl Counters {
    pub(super) fn count(&self, address: IpAddr, edit: impl FnOnce(&mut PerAddress)) {
        edit(self.addresses().entry(address).or_default());
    }

    pub(super) fn dropped(&self, protocol: Protocol, reason: DropReason) {
        let counters = match protocol {
            Protocol::Arp => &self.arp_dropped,
            Protocol::Ndp => &self.ndp_dropped,
        };
        if let Some(counter) = counters.get(reason as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn unsent(&self) {
        self.unsent.fetch_add(1, Relaxed);
    }

    fn addresses(&self) -> MutexGuard<'_, BTreeMap<IpAddr, PerAddress>> {
        // Counts are whole at any time, so a panic elsewhere does not spoil them.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write_prometheus(&self, out: &mut String) {
        type Column = (&'static str, &'static str, fn(&PerAddress) -> u64);
        const COLUMNS: [Column; 3] = [
            (
                "requests_received",
                "Requests for an announced address",
                |a| a.requests_received,
            ),
            ("responses_sent", "Answers to them", |a| a.responses_sent),
            (
                "gratuitous_sent",
                "Announcements sent without being asked",
                |a| a.gratuitous_sent,
            ),
        ];
        let addresses = self.addresses().clone();
        for (name, help, value) in COLUMNS {
            let _ = writeln!(out, "# HELP metallb_layer2_{name} {help}.");
            let _ = writeln!(out, "# TYPE metallb_layer2_{name} counter");
            for (address, counts) in &addresses {
                let _ = writeln!(
                    out,
                    "metallb_layer2_{name}{{ip=\"{address}\"}} {}",
                    value(counts)
                );
            }
        }
        for (name, counters) in [("arp", &self.arp_dropped), ("ndp", &self.ndp_dropped)] {
            let _ = writeln!(
                out,
                "# HELP gatehouse_{name}_dropped_total Frames that were not answered.\n\
                 # TYPE gatehouse_{name}_dropped_total counter"
            );
            for (reason, counter) in DropReason::ALL.iter().zip(counters) {
                let _ = writeln!(
                    out,
                    "gatehouse_{name}_dropped_total{{reason=\"{}\"}} {}",
                    reason.label(),
                    counter.load(Relaxed)
                );
            }
        }
        let _ = writeln!(
            out,
            "# HELP gatehouse_layer2_unsent_total Frames that the kernel did not take.\n\
             # TYPE gatehouse_layer2_unsent_total counter\n\
             gatehouse_layer2_unsent_total {}",
            self.unsent.load(Relaxed)
        );
    }
}
