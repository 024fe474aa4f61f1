//! The host's interfaces and their addresses, as netlink tells them.
//!
//! Subscribed first and dumped after, so nothing is missed; when the kernel drops messages, all is
//! read anew. Nothing is polled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, MulticastGroup};

use crate::announce::Mac;

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number; never given twice.
    pub index: u32,
    /// Its name; it may change.
    pub name: String,
    /// Its Ethernet address; none for other kinds.
    pub mac: Option<Mac>,
    /// It is set up.
    pub up: bool,
    /// It has a carrier.
    pub carrier: bool,
    /// It can broadcast.
    pub broadcast: bool,
    /// It does no ARP.
    pub no_arp: bool,
    /// It is a loopback interface.
    pub loopback: bool,
    /// It is a dummy interface: nothing arrives on it, it only holds addresses.
    pub dummy: bool,
    /// The bridge, bond or VRF that it belongs to.
    pub master: Option<u32>,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// All interfaces, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(pub BTreeMap<u32, Link>);

/// A message from the kernel.
pub type Message = NetlinkMessage<RouteNetlinkMessage>;

/// A connection to the kernel that tells of every change.
#[derive(Debug)]
pub struct Watch {
    /// For requests.
    pub handle: Handle,
    messages: futures_channel::mpsc::UnboundedReceiver<(Message, rtnetlink::sys::SocketAddr)>,
}

impl Watch {
    /// Connects and subscribes; needs a tokio runtime, in the network namespace of this thread.
    ///
    /// # Errors
    /// No netlink socket.
    pub fn open() -> std::io::Result<Self> {
        let (connection, handle, messages) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ])?;
        tokio::spawn(connection);
        Ok(Self { handle, messages })
    }

    /// Reads everything.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn dump(&self) -> Result<Links, rtnetlink::Error> {
        let mut links = Links::default();
        let mut stream = std::pin::pin!(self.handle.link().get().execute());
        while let Some(message) = stream.try_next().await? {
            links.set_link(&message);
        }
        let mut stream = std::pin::pin!(self.handle.address().get().execute());
        while let Some(message) = stream.try_next().await? {
            links.set_address(&message, true);
        }
        Ok(links)
    }

    /// Waits for the next message; none when the connection is gone.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.next().await.map(|(message, _)| message)
    }

    /// A message that is there already.
    pub fn ready(&mut self) -> Option<Message> {
        self.messages.try_recv().ok().map(|(message, _)| message)
    }
}

/// What a message meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was taken in.
    Yes,
    /// Messages were lost: everything has to be read anew.
    Overrun,
}

impl Links {
    /// Takes a message in.
    pub fn apply(&mut self, message: &Message) -> Applied {
        match &message.payload {
            NetlinkPayload::InnerMessage(message) => match message {
                RouteNetlinkMessage::NewLink(message) => self.set_link(message),
                // A port that leaves a bridge is told as a deleted link of family AF_BRIDGE.
                RouteNetlinkMessage::DelLink(message)
                    if message.header.interface_family == AddressFamily::Unspec =>
                {
                    self.0.remove(&message.header.index);
                }
                RouteNetlinkMessage::NewAddress(message) => self.set_address(message, true),
                RouteNetlinkMessage::DelAddress(message) => self.set_address(message, false),
                _ => {}
            },
            NetlinkPayload::Overrun(_) => return Applied::Overrun,
            _ => {}
        }
        Applied::Yes
    }

    fn set_link(&mut self, message: &LinkMessage) {
        let header = &message.header;
        if header.interface_family != AddressFamily::Unspec {
            return;
        }
        let mut name = None;
        let mut mac = None;
        let mut master = None;
        let mut dummy = false;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name = Some(text.clone()),
                LinkAttribute::Address(bytes) => {
                    mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac);
                }
                LinkAttribute::Controller(index) if *index != 0 => master = Some(*index),
                LinkAttribute::LinkInfo(infos) => {
                    dummy = infos.contains(&LinkInfo::Kind(InfoKind::Dummy));
                }
                _ => {}
            }
        }
        // Wireless events come as links with nothing but the event in them.
        let Some(name) = name else { return };
        let link = self.0.entry(header.index).or_default();
        link.index = header.index;
        link.name = name;
        link.mac = mac.filter(|mac| {
            header.link_layer_type == LinkLayerType::Ether && !mac.is_zero() && !mac.is_group()
        });
        link.up = header.flags.contains(LinkFlags::Up);
        link.carrier = header.flags.contains(LinkFlags::LowerUp);
        link.broadcast = header.flags.contains(LinkFlags::Broadcast);
        link.no_arp = header.flags.contains(LinkFlags::Noarp);
        link.loopback = header.flags.contains(LinkFlags::Loopback);
        link.dummy = dummy;
        link.master = master;
    }

    fn set_address(&mut self, message: &AddressMessage, there: bool) {
        let mut address = None;
        for attribute in &message.attributes {
            match attribute {
                // On a point-to-point link `Address` is the other end's.
                AddressAttribute::Local(local) => address = Some(*local),
                AddressAttribute::Address(other) => address = address.or(Some(*other)),
                _ => {}
            }
        }
        let (Some(address), Some(link)) = (address, self.0.get_mut(&message.header.index)) else {
            return;
        };
        if there {
            link.addresses.insert(address);
        } else {
            link.addresses.remove(&address);
        }
    }

    /// The interface of a name.
    pub fn named(&self, name: &str) -> Option<&Link> {
        self.0.values().find(|link| link.name == name)
    }
}
