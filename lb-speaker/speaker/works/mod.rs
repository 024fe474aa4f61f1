//! The speaker's loop: whatever happens, settle what is desired with what is possible.
//!
//! Order: an address is put on the host before it is answered for and announced, and taken off the
//! host before it is given up.

mod in_force;
mod lans;
mod report;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
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
use crate::announce::custody::{Custody, Rival, Send};
use crate::announce::responder::{Sighting, Table};
use crate::link::host::Host;
use crate::link::interfaces::{Links, Message, Watch};
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

/// The topic of what is said while the interfaces cannot be read.
const UNREAD: &str = "interfaces";

/// Timers that are due within this time are handled together.
const GRAIN: Duration = Duration::from_millis(5);

/// How long after something failed it is tried again, though nothing changed.
const TRY_AGAIN: Duration = Duration::from_secs(3);

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
    pub(super) async fn run(mut self) {
        if let Some(why) = missing_capabilities() {
            warn!("{why}");
            let _ended = self.idle(&why, None).await;
            return;
        }
        let mut told = String::new();
        loop {
            let error = match watch_links().await {
                Ok((watch, links)) => return Running::new(self, watch, links).await.run().await,
                Err(error) => error,
            };
            let why = format!(
                "nothing is announced: the kernel does not tell the interfaces by netlink \
                 ({error}); allow AF_NETLINK sockets to the process"
            );
            if told != why {
                warn!("{why}");
            }
            let again = Instant::now() + TRY_AGAIN;
            if self.idle(&why, Some(again)).await.is_break() {
                return;
            }
            told = why;
        }
    }

    /// Says of every address why it is not announced, until that time or the end.
    async fn idle(&mut self, why: &str, until: Option<Instant>) -> ControlFlow<()> {
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
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() {
                    return ControlFlow::Break(());
                },
                () = sleep_until(until) => return ControlFlow::Continue(()),
            }
        }
    }
}

async fn watch_links() -> io::Result<(Watch, Links)> {
    let watch = Watch::open()?;
    let links = watch.dump().await?;
    Ok((watch, links))
}

/// None: for ever.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
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
    /// When other things that failed, and that nothing tells of, are tried again.
    try_again: Option<Instant>,
    /// Addresses that were to be put on the host and could not.
    missing: BTreeSet<IpAddr>,
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
            try_again: None,
            missing: BTreeSet::new(),
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
            let next = next.chain(self.join_again).chain(self.try_again);
            let soonest = Instant::now() + GRAIN;
            let timer = sleep_until(next.chain(waiting).min().map(|next| next.max(soonest)));
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
        let taken = self.watch.take(first, &mut self.links).await;
        self.have_read(&before, taken);
    }

    /// Reads the interfaces anew, where that failed before.
    async fn read_anew(&mut self) {
        let before = self.links.clone();
        let anew = self.watch.dump_anew().await;
        let read = anew.map(|links| self.links = links);
        self.have_read(&before, read);
    }

    fn have_read(&mut self, before: &Links, read: io::Result<()>) {
        if let Err(error) = read {
            let text = format!(
                "what changed on the interfaces of this host is not known, since they cannot be \
                 read anew ({error}); it is tried again"
            );
            self.host.say(UNREAD, text);
            self.changed = true;
        } else if !self.watch.is_stale() && self.host.messages.remove(UNREAD).is_some() {
            self.changed = true;
        }
        if self.links != *before {
            self.changed = true;
            self.restore_host(before);
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

    /// Once it is time, everything is settled as after a change, which tries what failed.
    async fn try_what_failed(&mut self, now: Instant) {
        if self.try_again.take_if(|again| *again <= now).is_none() {
            return;
        }
        self.changed = true;
        if self.watch.is_stale() {
            self.read_anew().await;
        }
    }

    /// Brings sockets, custody, host and table in line, and sends what is due.
    async fn settle(&mut self) {
        let now = Instant::now();
        self.try_what_failed(now).await;
        self.stop_waiting(now);
        let mut all = !self.watch.is_stale();
        if self.changed {
            all &= self.open_lans(now);
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
            all &= self.take_in_force().await;
            self.publish();
            if !all {
                self.try_again
                    .get_or_insert_with(|| Instant::now() + TRY_AGAIN);
            }
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
                    .filter(|(index, _)| self.mute(**index, address).is_none())
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
