//! Who the client of a new connection is: the other end of the socket, or whom a proxy in front
//! names in a PROXY header.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use tokio::net::TcpStream;

use crate::exchange::Connection;
use crate::net::proxy_protocol;
use crate::snapshot::Serves;
use crate::worker::Worker;
use crate::worker::listener::Slot;

impl Worker {
    /// The ends of a connection that `slot`'s listener accepted from `peer`; none where it must
    /// begin with a PROXY header and does not. As with Envoy, such a connection is closed without an
    /// answer: its first bytes are not those of a client.
    pub(super) async fn client(
        &self,
        serves: Option<Serves>,
        slot: &Slot,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> Option<Connection> {
        let local = stream.local_addr().unwrap_or(slot.address);
        let own = Connection {
            peer,
            local,
            tls: None,
        };
        // Carried Services are no Gateway's: what they carry is not looked into.
        let is_gateway = matches!(
            serves,
            Some(Serves::Http(_) | Serves::TcpServer(_) | Serves::Tls(_))
        );
        if !is_gateway || !self.view().snapshot.proxy.proxy_protocol {
            return Some(own);
        }
        if !is_believed(&self.settings.proxy_protocol_from, peer.ip()) {
            return Some(own);
        }
        match proxy_protocol::read(stream, self.settings.head_timeout).await {
            Ok(None) => Some(own),
            Ok(Some((peer, local))) => Some(Connection { peer, local, ..own }),
            Err(error) => {
                tracing::debug!(%peer, address = %slot.address, %error, "connection refused");
                self.with_metrics(|metrics| metrics.refused("proxy_protocol_error"));
                None
            }
        }
    }
}

fn is_believed(from: &[IpNet], peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    from.iter().any(|net| net.contains(&peer))
}

/// The networks of a LAN: loopback, private and link-local addresses (RFC 1122, 1918, 3927, 4193,
/// 4291).
pub(super) fn lan() -> Vec<IpNet> {
    [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    ]
    .map(|net| net.parse().expect("networks of the RFCs"))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lan_is_believed_and_the_internet_is_not() {
        let lan = lan();
        for (ip, believed) in [
            ("127.0.0.1", true),
            ("192.168.8.1", true),
            ("::ffff:10.1.2.3", true),
            ("fd00::1", true),
            ("8.8.8.8", false),
            ("172.32.0.1", false),
            ("2001:db8::1", false),
            // Clients of a socket of this host have no address.
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_believed(&lan, ip.parse().unwrap()), believed, "{ip}");
        }
    }
}
