//! The speaker's loop: whatever happens, settle what is desired with what is possible.
//!
//! Order: an address is put on the host before it is answered for and announced, and taken off the
//! host before it is given up.

mod report;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::thread::CapabilitySet;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::counters::Counters;
use super::lan::{OpenLan, Shared};
use super::state::{AddressState, SpeakerState};
use super::{Desired, SpeakerSettings, Stations};
use crate::announce::Mac;
use crate::announce::custody::{Custody, Rival, Send, Standing};
use crate::announce::responder::{Sighting, Table};
use crate::link::host::Host;
use crate::link::interfaces::{Applied, Link, Links, Message, Watch};
use crate::link::selection;
use crate::plan::Announcement;

/// Everything the thread needs before it has anything open.
pub(super) struct Works {
    settings: SpeakerSettings,
    wanted: watch::Receiver<Desired>,
    states: watch::Sender<Arc<SpeakerState>>,
    counters: Arc<Counters>,
}

/// Sightings that wait for the loop.
const SIGHTINGS: usize = 256;

/// How long an interface that is back waits for heartbeats, where none were heard: as long as a node
/// that starts.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long after a group could not be joined it is tried again.
const JOIN_AGAIN: Duration = Duration::from_secs(1);

/// Timers that are due within this time are handled together.
const GRAIN: Duration = Duration::from_millis(5);

impl Works {
    pub(super) fn new(
        settings: SpeakerSettings,
        wanted: watch::Receiver<Desired>,
        states: watch::Sender<Arc<SpeakerState>>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            settings,
            wanted,
            states,
            counters,
        }
    }

    /// Runs until the sender of the desired state is dropped.
    pub(super) async fn run(self) {
        if let Some(why) = missing_capabilities() {
            warn!("{why}");
            return self.run_idle(&why).await;
        }
        let opened = match Watch::open() {
            Ok(watch) => watch
                .dump()
                .await
                .map(|links| (watch, links))
                .map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match opened {
            Ok((watch, links)) => Running::new(self, watch, links).await.run().await,
            Err(error) => {
                let why = format!(
                    "nothing is announced: the kernel does not tell the interfaces by netlink \
                     ({error}); allow AF_NETLINK sockets to the process"
                );
                warn!("{why}");
                self.run_idle(&why).await;
            }
        }
    }

    /// Says of every address why it is not announced.
    async fn run_idle(mut self, why: &str) {
        loop {
            let wanted = Arc::clone(&self.wanted.borrow_and_update().announcements);
            self.states.send_replace(Arc::new(SpeakerState {
                addresses: wanted
                    .iter()
                    .map(|announcement| {
                        let why = why.to_owned();
                        (announcement.address, AddressState::NotPermitted { why })
                    })
                    .collect(),
                interfaces: Vec::new(),
                messages: vec![why.to_owned()],
            }));
            if self.wanted.changed().await.is_err() {
                return;
            }
        }
    }
}

struct Running {
    works: Works,
    watch: Watch,
    host: Host,
    links: Links,
    desired: Arc<Vec<Announcement>>,
    stations: Arc<Stations>,
    custody: BTreeMap<IpAddr, Custody>,
    lans: BTreeMap<u32, OpenLan>,
    shared: Shared,
    sightings: mpsc::Receiver<(u32, Sighting)>,
    /// When each conflict began, by the calendar.
    conflicts: BTreeMap<IpAddr, SystemTime>,
    /// Sockets that could not be opened, by interface.
    refused: BTreeMap<u32, String>,
    /// The count of [`Desired::again`] that was obeyed.
    again: u64,
    /// Other nodes answer from now on.
    yielding: bool,
    /// When groups that could not be joined are tried again.
    join_again: Option<Instant>,
    /// Something other than time changed.
    changed: bool,
}

impl Running {
    async fn new(works: Works, watch: Watch, links: Links) -> Self {
        let host = Host::new(watch.handle.clone(), works.settings.state_dir.clone()).await;
        let (sender, sightings) = mpsc::channel(SIGHTINGS);
        let shared = Shared {
            table: Rc::new(RefCell::new(Table::default())),
            counters: Arc::clone(&works.counters),
            sightings: sender,
        };
        Self {
            works,
            watch,
            host,
            links,
            desired: Arc::default(),
            stations: Arc::default(),
            custody: BTreeMap::new(),
            lans: BTreeMap::new(),
            shared,
            sightings,
            conflicts: BTreeMap::new(),
            refused: BTreeMap::new(),
            again: 0,
            yielding: false,
            join_again: None,
            changed: true,
        }
    }

    async fn run(mut self) {
        self.take_desired();
        let mut watching = true;
        loop {
            self.settle().await;
            let next = self.custody.values().filter_map(Custody::next);
            let waiting = self.lans.values().filter_map(|lan| lan.waits_until);
            let next = next.chain(self.join_again).chain(waiting).min();
            let timer = async {
                match next {
                    Some(next) => {
                        let soonest = Instant::now() + GRAIN;
                        tokio::time::sleep_until(next.max(soonest).into()).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.works.wanted.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.take_desired();
                }
                message = self.watch.next(), if watching => match message {
                    Some(message) => self.take_messages(message).await,
                    None => {
                        watching = false;
                        self.host.messages.insert(
                            "netlink".to_owned(),
                            "the kernel no longer tells of changed interfaces (netlink closed); \
                             restart gatehouse".to_owned(),
                        );
                        self.changed = true;
                    }
                },
                sighting = self.sightings.recv() => {
                    if let Some((interface, sighting)) = sighting {
                        self.sighted(interface, sighting);
                    }
                }
                () = timer => {}
            }
        }
        self.host.leave().await;
        self.lans.clear();
        self.works.states.send_replace(Arc::default());
    }

    fn take_desired(&mut self) {
        let wanted = self.works.wanted.borrow_and_update().clone();
        self.desired = wanted.announcements;
        self.stations = wanted.stations;
        self.yielding = wanted.yielding;
        if self.again != wanted.again {
            self.again = wanted.again;
            let now = Instant::now();
            for custody in self.custody.values_mut() {
                custody.announce_again(now);
            }
        }
        self.changed = true;
    }

    async fn take_messages(&mut self, first: Message) {
        let before = self.links.clone();
        let mut next = Some(first);
        while let Some(message) = next {
            if self.links.apply(&message) == Applied::Overrun {
                match self.watch.dump().await {
                    Ok(links) => self.links = links,
                    Err(error) => warn!("interfaces cannot be read anew: {error}"),
                }
            }
            next = self.watch.ready();
        }
        if self.links != before {
            self.changed = true;
            self.restore_host(&before);
        }
    }

    /// Somebody else removed our interface or an address of it: it is put back.
    fn restore_host(&mut self, before: &Links) {
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

    /// What is known of a station that speaks of an address of ours.
    fn rival(&self, address: IpAddr, mac: Mac) -> Rival {
        match self.stations.nodes.get(&mac) {
            Some(node) => {
                let mut desired = self.desired.iter();
                let announcement = desired.find(|wanted| wanted.address == address);
                match announcement.is_some_and(|wanted| wanted.first.contains(node)) {
                    true => Rival::First,
                    false => Rival::Second,
                }
            }
            None if self.stations.others => Rival::PerhapsOurs,
            None => Rival::Stranger,
        }
    }

    fn sighted(&mut self, interface: u32, sighting: Sighting) {
        let rival = self.rival(sighting.address, sighting.mac);
        let (Some(lan), Some(custody)) = (
            self.lans.get(&interface),
            self.custody.get_mut(&sighting.address),
        ) else {
            return;
        };
        let before = (custody.standing(), custody.disputed());
        custody.sighted(
            Instant::now(),
            interface,
            lan.lan().mac,
            sighting.mac,
            sighting.kind,
            rival,
        );
        if (custody.standing(), custody.disputed()) != before {
            self.changed = true;
        }
    }

    /// Brings sockets, custody, host and table in line, and sends what is due.
    async fn settle(&mut self) {
        let now = Instant::now();
        self.stop_waiting(now);
        if self.changed {
            self.open_lans(now);
            self.assign(now);
        }
        let mut send: Vec<(IpAddr, Send)> = Vec::new();
        for (&address, custody) in &mut self.custody {
            if custody.next().is_none_or(|next| next > now) {
                continue;
            }
            let look = |custody: &Custody| {
                let answering = custody.answering().len();
                (custody.standing(), custody.disputed(), answering)
            };
            let before = look(custody);
            send.extend(custody.tick(now).into_iter().map(|send| (address, send)));
            self.changed |= look(custody) != before;
        }
        if std::mem::take(&mut self.changed) {
            self.take_in_force().await;
            self.publish();
        } else if self.join_again.is_some_and(|again| again <= now) {
            self.listen(now);
        }
        let held = self.host.held();
        for (address, what) in send {
            match what {
                Send::Probe(interface) => {
                    if let Some(lan) = self.lans.get(&interface) {
                        lan.probe(address);
                    }
                }
                Send::Announce(interface) if held.contains(&address) => {
                    if let Some(lan) = self.lans.get(&interface) {
                        lan.announce(address);
                    }
                }
                Send::Announce(_) => {}
            }
        }
    }

    /// Nobody is heard although there are other nodes: they may be alive behind an interface that is
    /// down, and have taken over.
    fn is_cut_off(&self) -> bool {
        let stations = &self.stations;
        stations.heard.is_empty() && (stations.others || !stations.nodes.is_empty())
    }

    /// Interfaces that are back are used again once somebody is heard, or nobody for long enough.
    fn stop_waiting(&mut self, now: Instant) {
        let cut_off = self.is_cut_off();
        for lan in self.lans.values_mut() {
            let over = |until| !cut_off || until <= now;
            if lan.waits_until.is_some_and(over) {
                lan.waits_until = None;
                self.changed = true;
            }
        }
    }

    /// Opens sockets on interfaces that became usable, closes those of others.
    fn open_lans(&mut self, now: Instant) {
        let cut_off = self.is_cut_off();
        let excluded = &self.works.settings.excluded_interfaces;
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
                    Ok(lan) => {
                        self.refused.remove(&index);
                        self.lans.insert(index, lan);
                    }
                    Err(error) => {
                        warn!("{}: no raw socket: {error}", link.name);
                        self.refused
                            .insert(index, format!("no raw socket can be opened on it: {error}"));
                    }
                },
            }
        }
    }

    /// Sets where each desired address is to be announced; forgets others.
    fn assign(&mut self, now: Instant) {
        if self.yielding {
            self.custody.clear();
            return;
        }
        let wanted: BTreeSet<IpAddr> = self.desired.iter().map(|a| a.address).collect();
        self.custody.retain(|address, _| wanted.contains(address));
        for announcement in self.desired.iter() {
            let address = announcement.address;
            let interfaces: Vec<u32> = if self.held_elsewhere(address).is_some() {
                Vec::new()
            } else {
                self.lans
                    .iter()
                    .filter(|(_, lan)| announcement.interfaces.allow(&lan.name))
                    .filter(|(_, lan)| lan.waits_until.is_none())
                    .filter(|(index, _)| self.speaks(**index, address))
                    .map(|(index, _)| *index)
                    .collect()
            };
            let interval = self.works.settings.gratuitous_interval;
            self.custody
                .entry(address)
                .or_insert_with(|| Custody::new(interval))
                .set_interfaces(now, &interfaces, announcement.former);
        }
    }

    /// Whether the interface speaks the family of an address: IPv6 needs an address of its own.
    fn speaks(&self, index: u32, address: IpAddr) -> bool {
        address.is_ipv4()
            || self
                .links
                .0
                .get(&index)
                .is_some_and(|link| link.addresses.iter().any(IpAddr::is_ipv6))
    }

    /// An interface of the host, other than ours, that has the address as its own.
    fn held_elsewhere(&self, address: IpAddr) -> Option<&Link> {
        let ours = self.host.index();
        self.links.0.values().find(|link| {
            link.addresses.contains(&address)
                && Some(link.index) != ours
                && selection::is_on_a_network(link)
        })
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

    /// Host first, then the table; so nothing is answered that the host does not hold.
    async fn take_in_force(&mut self) {
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
        if !quiet.is_empty() {
            self.host.quiet(&quiet).await;
        }
        let held = self.host.hold(&announcing).await;
        let quiet = self.quiet_on(held.iter().any(IpAddr::is_ipv4));
        if quiet.is_empty() {
            self.host.quiet(&quiet).await;
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
    }

    /// Joins the groups in which neighbours ask for our addresses.
    fn listen(&mut self, now: Instant) {
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

    fn publish(&mut self) {
        let state = self.state();
        self.works.states.send_if_modified(|current| {
            let changed = **current != state;
            if changed {
                for (address, new) in &state.addresses {
                    if current.addresses.get(address) != Some(new) {
                        info!(%address, state = ?new, "address");
                    }
                }
                *current = Arc::new(state);
            }
            changed
        });
    }
}

/// What the process lacks to announce anything, in words; none: it has all.
fn missing_capabilities() -> Option<String> {
    let effective = match rustix::thread::capabilities(None) {
        Ok(sets) => sets.effective,
        Err(error) => {
            return Some(format!(
                "nothing is announced: capabilities cannot be read: {error}"
            ));
        }
    };
    let missing: Vec<&str> = [
        (CapabilitySet::NET_RAW, "CAP_NET_RAW (to answer ARP)"),
        (
            CapabilitySet::NET_ADMIN,
            "CAP_NET_ADMIN (to put addresses on this host)",
        ),
    ]
    .into_iter()
    .filter(|(capability, _)| !effective.contains(*capability))
    .map(|(_, name)| name)
    .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "nothing is announced: the process has no {}; run it as root, under the systemd unit, \
             or after: setcap cap_net_raw,cap_net_admin,cap_net_bind_service+ep on the binary",
            missing.join(" and no ")
        )
    })
}
