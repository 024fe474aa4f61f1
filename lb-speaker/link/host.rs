//! The addresses on `gatehouse0`, and the sysctls that keep the kernel from answering for them.
//!
//! Every change is written down before it is made and undone at the end, or at the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo,
};
use rtnetlink::{Handle, LinkBridge, LinkDummy};
use tracing::{debug, warn};

use super::leftovers::Leftovers;
use super::request::answered;
use super::selection::HOST_INTERFACE;
use super::sysctl;

/// Where the addresses are put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `gatehouse0`, with its number.
    Own(u32),
    /// `lo`: no interface could be made.
    Loopback(u32),
}

impl Place {
    /// The interface's number.
    pub fn index(&self) -> u32 {
        match self {
            Self::Own(index) | Self::Loopback(index) => *index,
        }
    }
}

/// What was done to the host. What fails is tried again at the next call.
#[derive(Debug)]
pub struct Host {
    handle: Handle,
    directory: Option<PathBuf>,
    left: Leftovers,
    place: Option<Place>,
    addresses: BTreeSet<IpAddr>,
    /// What went wrong, by topic, for people; each said once in the log.
    pub messages: BTreeMap<String, String>,
}

impl Host {
    /// Undoes what an earlier process left. Notes are kept below `directory`.
    pub async fn new(handle: Handle, directory: Option<PathBuf>) -> Self {
        let mut host = Self {
            handle,
            directory,
            left: Leftovers::default(),
            place: None,
            addresses: BTreeSet::new(),
            messages: BTreeMap::new(),
        };
        host.undo_leftovers().await;
        host
    }

    async fn undo_leftovers(&mut self) {
        if let Some(directory) = &self.directory {
            match Leftovers::read(directory) {
                Ok(left) => self.left = left,
                Err(error) => {
                    let text = format!(
                        "what an earlier run changed on this host cannot be read from {}: {error}; \
                         check arp_ignore and arp_announce of your interfaces, then delete that \
                         file",
                        directory.join(super::leftovers::FILE).display()
                    );
                    self.say("leftovers", text);
                }
            }
        }
        if let Ok(Some(index)) = self.find(HOST_INTERFACE).await {
            debug!(index, "{HOST_INTERFACE} was left behind and is removed");
            if let Err(error) = answered(self.handle.link().del(index).execute()).await {
                self.say(
                    "leftovers",
                    format!("{HOST_INTERFACE} of an earlier run cannot be removed: {error}"),
                );
            }
        }
        self.undo().await;
    }

    /// Makes the host hold exactly these addresses. Those that cannot be set are told in
    /// [`messages`](Self::messages) and left out of the result.
    pub async fn hold(&mut self, wanted: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let gone: Vec<IpAddr> = self.addresses.difference(wanted).copied().collect();
        for address in gone {
            self.remove(address).await;
        }
        // What was said of an address ends with the wish for it.
        self.messages.retain(|topic, _| {
            topic
                .parse()
                .map_or(true, |address: IpAddr| wanted.contains(&address))
        });
        let new: Vec<IpAddr> = wanted.difference(&self.addresses).copied().collect();
        if !new.is_empty() {
            match self.place().await {
                Ok(place) => {
                    if let Place::Loopback(_) = place {
                        let noted = self.left.on_loopback.len();
                        self.left.on_loopback.extend(new.iter().copied());
                        if self.left.on_loopback.len() != noted {
                            self.note();
                        }
                    }
                    for address in new {
                        self.add(&place, address).await;
                    }
                }
                Err(error) => {
                    for address in new {
                        self.say_not_put(address, &error);
                    }
                }
            }
        }
        self.addresses.clone()
    }

    /// Sets arp_ignore and arp_announce on these interfaces and puts others back. False: something
    /// could not be set.
    pub async fn quiet(&mut self, interfaces: &BTreeSet<String>) -> bool {
        let (keep, back): (Vec<_>, Vec<_>) = std::mem::take(&mut self.left.sysctls)
            .into_iter()
            .partition(|changed| {
                changed
                    .path
                    .parent()
                    .and_then(|parent| parent.file_name())
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| interfaces.contains(name))
            });
        for changed in &back {
            self.restore(changed).await;
        }
        let mut changed_something = !back.is_empty();
        self.left.sysctls = keep;
        let mut needed = Vec::new();
        let mut failed = Vec::new();
        for interface in interfaces {
            match sysctl::needed(interface) {
                Ok(more) => needed.extend(more),
                Err(error) => failed.push(format!("{interface}: {error}")),
            }
        }
        for changed in &needed {
            // A value that was put back by somebody else meanwhile: the first old one counts.
            if !self.left.sysctls.iter().any(|old| old.path == changed.path) {
                self.left.sysctls.push(changed.clone());
                changed_something = true;
            }
        }
        if changed_something {
            self.note();
        }
        for changed in &needed {
            if let Err(error) = sysctl::set(&self.handle, changed).await {
                failed.push(format!("{}: {error}", changed.path.display()));
            }
        }
        self.say_sysctl(&failed);
        failed.is_empty()
    }

    /// Takes everything back: addresses first, then the interface, then sysctls.
    pub async fn leave(&mut self) {
        self.hold(&BTreeSet::new()).await;
        if let Some(Place::Own(index)) = self.place.take()
            && let Err(error) = answered(self.handle.link().del(index).execute()).await
        {
            warn!("{HOST_INTERFACE} cannot be removed: {error}");
        }
        self.undo().await;
    }

    /// Undoes what is noted, and notes that.
    async fn undo(&mut self) {
        if let Ok(Some(loopback)) = self.find("lo").await {
            for address in std::mem::take(&mut self.left.on_loopback) {
                let message = message(loopback, address);
                // It may be gone already.
                let _ = answered(self.handle.address().del(message).execute()).await;
            }
        }
        for changed in std::mem::take(&mut self.left.sysctls) {
            self.restore(&changed).await;
        }
        self.note();
    }

    async fn restore(&mut self, changed: &sysctl::Changed) {
        if let Err(error) = sysctl::restore(&self.handle, changed).await {
            self.say(
                &changed.path.display().to_string(),
                format!(
                    "{} cannot be put back to {}: {error}",
                    changed.path.display(),
                    changed.old
                ),
            );
        }
    }

    /// `gatehouse0`, made when it is first needed: a dummy interface; where the kernel has none, a
    /// bridge without ports, which does the same; else `lo`.
    async fn place(&mut self) -> io::Result<Place> {
        if let Some(place) = &self.place {
            return Ok(place.clone());
        }
        let links = self.handle.link();
        let dummy = LinkDummy::new(HOST_INTERFACE).up().build();
        let mut why = String::new();
        if let Err(error) = answered(links.add(dummy).execute()).await {
            debug!("no dummy interface: {error}");
            let bridge = LinkBridge::new(HOST_INTERFACE).up().build();
            if let Err(second) = answered(links.add(bridge).execute()).await {
                why = format!(
                    "{HOST_INTERFACE} cannot be made as a dummy interface ({error}) nor as a \
                     bridge ({second}), so addresses are put on lo; load the kernel module dummy \
                     for an interface of their own"
                );
            }
        }
        // It is there too where only the answer to making it was lost.
        let place = match self.find(HOST_INTERFACE).await? {
            Some(index) => {
                self.messages.remove("host interface");
                Place::Own(index)
            }
            None => {
                let loopback = self.find("lo").await?;
                let loopback = loopback.ok_or_else(|| io::Error::other("there is no lo"))?;
                self.say("host interface", why);
                Place::Loopback(loopback)
            }
        };
        self.place = Some(place.clone());
        Ok(place)
    }

    async fn add(&mut self, place: &Place, address: IpAddr) {
        let mut request = self
            .handle
            .address()
            .add(place.index(), address, prefix(address))
            .replace();
        *request.message_mut() = message(place.index(), address);
        match answered(request.execute()).await {
            Ok(()) => {
                self.addresses.insert(address);
                self.messages.remove(&address.to_string());
            }
            Err(error) => self.say_not_put(address, &error),
        }
    }

    async fn remove(&mut self, address: IpAddr) {
        self.addresses.remove(&address);
        let Some(place) = &self.place else { return };
        let message = message(place.index(), address);
        if let Err(error) = answered(self.handle.address().del(message).execute()).await {
            // Somebody else removed it, or the interface.
            debug!("{address} was gone already: {error}");
        }
        if self.left.on_loopback.remove(&address) {
            self.note();
        }
    }

    /// The interface was removed by somebody else: everything on it has to be put back.
    pub fn lost(&mut self, index: u32) -> bool {
        if self.place != Some(Place::Own(index)) {
            return false;
        }
        self.place = None;
        self.addresses.clear();
        true
    }

    /// An address was removed by somebody else.
    pub fn lost_address(&mut self, index: u32, address: IpAddr) -> bool {
        let ours = self.place.as_ref().map(Place::index) == Some(index);
        ours && self.addresses.remove(&address)
    }

    /// The addresses that the host holds.
    pub fn held(&self) -> &BTreeSet<IpAddr> {
        &self.addresses
    }

    /// Where the addresses are.
    pub fn index(&self) -> Option<u32> {
        self.place.as_ref().map(Place::index)
    }

    /// The number of an interface, if there is one of that name.
    async fn find(&self, name: &str) -> io::Result<Option<u32>> {
        let request = self.handle.link().get().match_name(name.to_owned());
        let mut stream = std::pin::pin!(request.execute());
        match answered(stream.try_next()).await {
            Ok(message) => Ok(message.map(|message| message.header.index)),
            Err(error) if error.raw_os_error() == Some(NO_DEVICE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn note(&mut self) {
        let Some(directory) = &self.directory else {
            return;
        };
        if let Err(error) = self.left.write(directory) {
            let text = format!(
                "what is changed on this host cannot be noted in {}: {error}; after a kill it \
                 would stay changed",
                directory.display()
            );
            self.say("note", text);
        }
    }

    fn say_not_put(&mut self, address: IpAddr, error: &io::Error) {
        self.say(
            &address.to_string(),
            format!(
                "{address} cannot be put on this host ({error}), so its traffic would not arrive \
                 here and it is not announced"
            ),
        );
    }

    /// All failures in one text, so that it is the same when all fail again.
    fn say_sysctl(&mut self, failed: &[String]) {
        if failed.is_empty() {
            self.messages.remove("sysctl");
            return;
        }
        self.say(
            "sysctl",
            format!(
                "arp_ignore=1 and arp_announce=2 cannot be set ({}): the kernel answers ARP for \
                 announced addresses too, on every interface; set them with sysctl on the host, \
                 or give the process CAP_NET_ADMIN",
                failed.join("; ")
            ),
        );
    }

    /// Tells people something, and the log if it is new.
    pub fn say(&mut self, topic: &str, text: String) {
        if self.messages.get(topic) != Some(&text) {
            warn!("{text}");
            self.messages.insert(topic.to_owned(), text);
        }
    }
}

const NO_DEVICE: i32 = rustix::io::Errno::NODEV.raw_os_error();

fn prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// A host address without route or duplicate detection; IPv6 as deprecated, so that the host does
/// not choose it as the source of its own connections.
fn message(index: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = prefix(address);
    message.header.scope = AddressScope::Universe;
    message.attributes = vec![
        AddressAttribute::Address(address),
        AddressAttribute::Local(address),
    ];
    match address {
        IpAddr::V4(_) => message.header.family = AddressFamily::Inet,
        IpAddr::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_preferred = 0;
            lifetime.ifa_valid = u32::MAX;
            message
                .attributes
                .push(AddressAttribute::CacheInfo(lifetime));
        }
    }
    message
}
