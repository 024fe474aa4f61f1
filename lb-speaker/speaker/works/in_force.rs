//! What the host holds and answers for: its addresses first, then the table of the responders.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use tracing::warn;

use super::Running;
use crate::announce::custody::Standing;
use crate::announce::responder::Table;
use crate::link::interfaces::{Link, Links};
use crate::link::selection;

impl Running {
    /// Host first, then the table; so nothing is answered that the host does not hold. False:
    /// something could not be set on the host.
    pub(super) async fn take_in_force(&mut self) -> bool {
        let announcing: BTreeSet<IpAddr> = if self.yielding {
            self.host.held().clone()
        } else {
            let announcing = self
                .custody
                .iter()
                .filter(|(_, custody)| custody.standing() == Standing::Announcing);
            announcing.map(|(address, _)| *address).collect()
        };
        // Before an address is there, and until it is gone.
        let quiet = self.quiet_on(announcing.iter().any(IpAddr::is_ipv4));
        let mut all = true;
        if !quiet.is_empty() {
            all &= self.host.quiet(&quiet).await;
        }
        let held = self.host.hold(&announcing).await;
        all &= held == announcing;
        self.announce_late(&held);
        self.missing = announcing.difference(&held).copied().collect();
        let quiet = self.quiet_on(held.iter().any(IpAddr::is_ipv4));
        if quiet.is_empty() {
            all &= self.host.quiet(&quiet).await;
        }
        let own = self.links.0.values().filter_map(|link| link.mac).collect();
        let rows = self.custody.iter().map(|(address, custody)| {
            let interfaces = if held.contains(address) {
                custody.answering()
            } else {
                Vec::new()
            };
            (*address, interfaces)
        });
        self.shared.table.replace(Table::new(rows, own));
        self.listen(Instant::now());
        all
    }

    /// What was to be said of an address while the host did not have it was not said.
    fn announce_late(&mut self, held: &BTreeSet<IpAddr>) {
        for address in self.missing.intersection(held) {
            if let Some(custody) = self.custody.get_mut(address) {
                custody.announce_again(Instant::now());
            }
        }
    }

    /// Interfaces on which the kernel must not answer ARP: all that are used, while this host has
    /// addresses that are announced, here or by another node.
    fn quiet_on(&self, announces: bool) -> BTreeSet<String> {
        let holds = || self.links.0.values().any(selection::holds_services);
        match announces || holds() {
            true => self.lans.values().map(|lan| lan.name.clone()).collect(),
            false => BTreeSet::new(),
        }
    }

    /// An interface of the host, other than ours, that has the address as its own.
    pub(super) fn held_elsewhere(&self, address: IpAddr) -> Option<&Link> {
        let ours = self.host.index();
        self.links.0.values().find(|link| {
            link.addresses.contains(&address)
                && Some(link.index) != ours
                && selection::is_on_a_network(link)
        })
    }

    /// Somebody else removed our interface or an address of it: it is put back.
    pub(super) fn restore_host(&mut self, before: &Links) {
        let Some(index) = self.host.index() else {
            return;
        };
        match (before.0.get(&index), self.links.0.get(&index)) {
            (Some(_), None) if self.host.lost(index) => {
                warn!(
                    "{} was removed; it is made again",
                    selection::HOST_INTERFACE
                );
            }
            (Some(old), Some(new)) => {
                for address in old.addresses.difference(&new.addresses) {
                    self.host.lost_address(index, *address);
                }
            }
            _ => {}
        }
    }
}
