//! On which interfaces addresses are announced, and for which the groups of solicitations are joined.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Running;
use crate::link::interfaces::Link;
use crate::link::selection;
use crate::speaker::lan::OpenLan;

/// How long an interface that is back waits for heartbeats, where none were heard: as long as a node
/// that starts.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long after a group could not be joined it is tried again.
const JOIN_AGAIN: Duration = Duration::from_secs(1);

impl Running {
    /// Nobody is heard although there are other nodes: they may be alive behind an interface that is
    /// down, and have taken over.
    fn is_cut_off(&self) -> bool {
        let stations = &self.stations;
        stations.heard.is_empty() && (stations.others || !stations.nodes.is_empty())
    }

    /// Interfaces that are back are used again once somebody is heard, or nobody for long enough.
    pub(super) fn stop_waiting(&mut self, now: Instant) {
        let cut_off = self.is_cut_off();
        for lan in self.lans.values_mut() {
            let over = |until| !cut_off || until <= now;
            if lan.waits_until.is_some_and(over) {
                lan.waits_until = None;
                self.changed = true;
            }
        }
    }

    /// Opens sockets on interfaces that became usable, closes those of others. False: one could not
    /// be opened.
    pub(super) fn open_lans(&mut self, now: Instant) -> bool {
        let cut_off = self.is_cut_off();
        let excluded = &self.works.settings.excluded_interfaces;
        let mut all = true;
        self.refused
            .retain(|index, _| self.links.0.contains_key(index));
        self.lans.retain(|index, _| {
            self.links.0.get(index).is_some_and(|link| {
                selection::unused(link, excluded).is_none() || selection::only_down(link, excluded)
            })
        });
        for (&index, link) in &self.links.0 {
            if selection::unused(link, excluded).is_some() {
                if let Some(lan) = self.lans.get_mut(&index) {
                    lan.down = true;
                }
                continue;
            }
            match self.lans.get_mut(&index) {
                Some(lan) => {
                    all &= lan.open_ndp(&self.shared);
                    let back = std::mem::take(&mut lan.down);
                    if back && cut_off {
                        lan.waits_until = Some(now + PATIENCE);
                    }
                    if lan.refresh(link) || back {
                        info!(interface = lan.name, mac = %lan.lan().mac, "announcing again");
                        for custody in self.custody.values_mut() {
                            custody.carrier_up(now, index);
                        }
                    }
                }
                None => match OpenLan::open(link, &self.shared) {
                    Ok(mut lan) => {
                        all &= lan.open_ndp(&self.shared);
                        self.refused.remove(&index);
                        self.lans.insert(index, lan);
                    }
                    Err(error) => {
                        all = false;
                        let why = format!("no raw socket can be opened on it: {error}");
                        if self.refused.get(&index) != Some(&why) {
                            warn!("{}: {why}", link.name);
                            self.refused.insert(index, why);
                        }
                    }
                },
            }
        }
        all
    }

    /// Why the interface does not speak the family of an address: IPv6 needs an address of its own,
    /// and its socket.
    pub(super) fn mute(&self, index: u32, address: IpAddr) -> Option<String> {
        if address.is_ipv4() {
            return None;
        }
        let own = |link: &Link| link.addresses.iter().any(IpAddr::is_ipv6);
        if !self.links.0.get(&index).is_some_and(own) {
            return Some("it has no IPv6 address of its own, not even fe80::".to_owned());
        }
        self.lans.get(&index)?.without_ndp.clone()
    }

    /// Joins the groups in which neighbours ask for our addresses.
    pub(super) fn listen(&mut self, now: Instant) {
        let custody = &self.custody;
        let mut all = true;
        for (index, lan) in &mut self.lans {
            let on = custody.iter().filter(|(_, custody)| custody.is_on(*index));
            all &= lan.listen_for(on.filter_map(|(address, _)| match address {
                IpAddr::V6(v6) => Some(*v6),
                IpAddr::V4(_) => None,
            }));
        }
        self.join_again = (!all).then(|| now + JOIN_AGAIN);
    }
}
