//! The host's interfaces and their addresses, as netlink tells them.
//!
//! Subscribed first and dumped after, so nothing is missed; when the kernel drops messages, all is
//! read anew. Nothing is polled.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, MulticastGroup};

use super::request::answered;
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

/// How often all is read anew while messages go on to be lost.
const DUMPS: u32 = 4;

/// A connection to the kernel that tells of every change.
#[derive(Debug)]
pub struct Watch {
    /// For requests.
    pub handle: Handle,
    messages: futures_channel::mpsc::UnboundedReceiver<(Message, rtnetlink::sys::SocketAddr)>,
    stale: bool,
}

impl Watch {
    /// Connects and subscribes; needs a tokio runtime, in the network namespace of this thread.
    ///
    /// # Errors
    /// No netlink socket.
    pub fn open() -> io::Result<Self> {
        let (connection, handle, messages) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ])?;
        tokio::spawn(connection);
        Ok(Self {
            handle,
            messages,
            stale: false,
        })
    }

    /// Reads everything.
    ///
    /// # Errors
    /// The kernel refused, or did not answer.
    pub async fn dump(&self) -> io::Result<Links> {
        answered(async {
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
        })
        .await
    }

    /// Reads everything after messages were lost. What waits to be read then is older than that: it
    /// would undo it.
    ///
    /// # Errors
    /// As [`dump`](Self::dump), or messages are lost again and again.
    pub async fn dump_anew(&mut self) -> io::Result<Links> {
        let anew = self.dump_after_loss().await;
        self.stale = anew.is_err();
        anew
    }

    /// Whether messages were lost, and what they said could not be read so far.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    async fn dump_after_loss(&mut self) -> io::Result<Links> {
        for _ in 0..DUMPS {
            // Its end comes after all that the kernel had buffered, which is there to discard then.
            self.dump().await?;
            let mut lost = false;
            while let Some(message) = self.ready() {
                lost |= matches!(message.payload, NetlinkPayload::Overrun(_));
            }
            if !lost {
                return self.dump().await;
            }
        }
        Err(io::Error::other(
            "more changes at a time than the kernel can tell",
        ))
    }

    /// Takes a message in, and those that are there already.
    ///
    /// # Errors
    /// Messages were lost, and what they said could not be read.
    pub async fn take(&mut self, first: Message, links: &mut Links) -> io::Result<()> {
        let mut result = Ok(());
        let mut next = Some(first);
        while let Some(message) = next {
            if links.apply(&message) == Applied::Overrun {
                result = self.dump_anew().await.map(|anew| *links = anew);
            }
            next = self.ready();
        }
        result
    }

    /// Waits for the next message; none when the connection is gone.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.next().await.map(|(message, _)| message)
    }

    /// A message that is there already.
    fn ready(&mut self) -> Option<Message> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn overrun() -> Message {
        Message::new(
            rtnetlink::packet_core::NetlinkHeader::default(),
            NetlinkPayload::Overrun(Vec::new()),
        )
    }

    /// The kernel tells of the loss first, and then what it had buffered before.
    #[tokio::test]
    async fn what_was_buffered_before_a_loss_does_not_undo_what_was_read_after_it() {
        let mut watch = Watch::open().unwrap();
        let before = watch.dump().await.unwrap();
        let mut gone = LinkMessage::default();
        gone.header.index = before.named("lo").unwrap().index;
        let gone = Message::from(RouteNetlinkMessage::DelLink(gone));
        let (sender, messages) = futures_channel::mpsc::unbounded();
        let source = rtnetlink::sys::SocketAddr::new(0, 0);
        sender.unbounded_send((gone, source)).unwrap();
        // The connection's own receiver stays, so that the connection lives.
        let _own = std::mem::replace(&mut watch.messages, messages);
        let mut links = Links::default();
        watch.take(overrun(), &mut links).await.unwrap();
        assert!(links.named("lo").is_some());
    }
}
