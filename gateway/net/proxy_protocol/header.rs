//! The PROXY protocol's header towards an endpoint (haproxy.org/download/2.9/doc/proxy-protocol.txt):
//! who the client is, before its first byte.

use std::net::{IpAddr, SocketAddr};

use gatehouse_config::model::ProxyVersion;

/// What begins a header of version 2.
pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The header for a client at `source` that connected to `destination`.
pub fn proxy_header(version: ProxyVersion, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    // An IPv4 client of an IPv6 socket is an IPv4 client.
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    match version {
        ProxyVersion::V1 => {
            let family = match (from, to) {
                (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
                (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
                _ => return b"PROXY UNKNOWN\r\n".to_vec(),
            };
            let (from_port, to_port) = (source.port(), destination.port());
            format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
        }
        ProxyVersion::V2 => {
            let mut header = SIGNATURE.to_vec();
            let mut addresses = Vec::with_capacity(36);
            let family = match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    addresses.extend(from.octets());
                    addresses.extend(to.octets());
                    0x11
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    addresses.extend(from.octets());
                    addresses.extend(to.octets());
                    0x21
                }
                _ => {
                    header.extend([0x20, 0, 0, 0]); // LOCAL: no addresses
                    return header;
                }
            };
            addresses.extend(source.port().to_be_bytes());
            addresses.extend(destination.port().to_be_bytes());
            header.extend([0x21, family]);
            let length = u16::try_from(addresses.len()).expect("two addresses and two ports");
            header.extend(length.to_be_bytes());
            header.extend(addresses);
            header
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_tell_both_ends() {
        let end = |text: &str| text.parse::<SocketAddr>().unwrap();
        let v1 = |from, to| {
            String::from_utf8(proxy_header(ProxyVersion::V1, end(from), end(to))).unwrap()
        };
        assert_eq!(
            v1("10.0.0.1:5000", "10.0.0.2:80"),
            "PROXY TCP4 10.0.0.1 10.0.0.2 5000 80\r\n"
        );
        assert_eq!(
            v1("[::ffff:10.0.0.1]:5000", "10.0.0.2:80"),
            "PROXY TCP4 10.0.0.1 10.0.0.2 5000 80\r\n"
        );
        assert_eq!(
            v1("[fd00::1]:5000", "[fd00::2]:80"),
            "PROXY TCP6 fd00::1 fd00::2 5000 80\r\n"
        );
        assert_eq!(v1("[fd00::1]:5000", "10.0.0.2:80"), "PROXY UNKNOWN\r\n");
        let v2 = proxy_header(ProxyVersion::V2, end("10.0.0.1:5000"), end("10.0.0.2:80"));
        assert_eq!(
            v2,
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x0a\0\0\x01\x0a\0\0\x02\x13\x88\0\x50"
        );
        let v6 = proxy_header(ProxyVersion::V2, end("[fd00::1]:1"), end("[fd00::2]:2"));
        assert_eq!(v6[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(v6.len(), 16 + 36);
    }
}
