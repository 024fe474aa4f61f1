//! Bytes to the header's meaning. Pure: no socket, no clock.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::header::SIGNATURE;

/// A line of version 1 with its end is never longer (§2.1).
const LONGEST_LINE: usize = 107;

/// The fixed part of version 2.
const FIXED: usize = 16;

/// What follows it is at most this long here: addresses take 36 bytes, or 216 of a Unix socket; the
/// rest are extensions (TLVs), which nobody here reads.
const LONGEST_REST: usize = 4096;

/// The two ends of the client's connection; none: the proxy speaks for itself (LOCAL, UNKNOWN), and
/// the connection's own addresses stand.
pub type Ends = Option<(SocketAddr, SocketAddr)>;

/// What bytes amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The header is not complete: all of the bytes belong to it.
    Incomplete,
    /// The header is the first `length` bytes.
    Header {
        /// What it says.
        ends: Ends,
        /// Its length.
        length: usize,
    },
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// They begin with neither `PROXY ` nor the signature of version 2.
    #[error("it does not begin with a PROXY header")]
    Missing,
    /// The line of version 1 is wrong.
    #[error("its PROXY line is malformed")]
    Line,
    /// The version, command, family or length of version 2 is wrong.
    #[error("its PROXY header of version 2 is malformed")]
    Binary,
}

/// Reads the header at the beginning of `bytes`, of either version.
///
/// # Errors
///
/// As soon as it is certain that no header begins there.
pub fn decode(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(b"PROXY ") {
        line(bytes)
    } else if begins(SIGNATURE) {
        binary(bytes)
    } else {
        Err(Malformed::Missing)
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`
fn line(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let longest = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = longest.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < LONGEST_LINE {
            Ok(Parsed::Incomplete)
        } else {
            Err(Malformed::Line)
        };
    };
    let line = bytes.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").ok_or(Malformed::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed::Line)?;
    let ends = words(line).ok_or(Malformed::Line)?;
    Ok(Parsed::Header {
        ends,
        length: end + 1,
    })
}

fn words(line: &str) -> Option<Ends> {
    let mut words = line.split(' ').skip(1);
    let is_v4 = match words.next()? {
        // Whatever else stands in the line is not looked at.
        "UNKNOWN" => return Some(None),
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let source: IpAddr = words.next()?.parse().ok()?;
    let destination: IpAddr = words.next()?.parse().ok()?;
    let source_port = port(words.next()?)?;
    let destination_port = port(words.next()?)?;
    let right = words.next().is_none() && source.is_ipv4() == is_v4;
    (right && destination.is_ipv4() == is_v4).then_some(Some((
        SocketAddr::new(source, source_port),
        SocketAddr::new(destination, destination_port),
    )))
}

/// Digits and nothing else.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn binary(bytes: &[u8]) -> Result<Parsed, Malformed> {
    // What is wrong is said as soon as it is there.
    let command = match bytes.get(12) {
        None => return Ok(Parsed::Incomplete),
        Some(0x20) => Command::Local,
        Some(0x21) => Command::Proxy,
        Some(_) => return Err(Malformed::Binary),
    };
    let (Some(family), Some(rest)) = (bytes.get(13), bytes.get(14..FIXED)) else {
        return Ok(Parsed::Incomplete);
    };
    let rest = rest
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    if rest > LONGEST_REST {
        return Err(Malformed::Binary);
    }
    let length = FIXED + rest;
    let Some(rest) = bytes.get(FIXED..length) else {
        return Ok(Parsed::Incomplete);
    };
    let ends = match (command, family) {
        (Command::Local, _) => None,
        (Command::Proxy, 0x11) => Some(ends_v4(rest).ok_or(Malformed::Binary)?),
        (Command::Proxy, 0x21) => Some(ends_v6(rest).ok_or(Malformed::Binary)?),
        // UNSPEC, datagrams and Unix sockets tell no address of a client.
        (Command::Proxy, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => None,
        (Command::Proxy, _) => return Err(Malformed::Binary),
    };
    Ok(Parsed::Header { ends, length })
}

#[derive(Clone, Copy)]
enum Command {
    Local,
    Proxy,
}

fn ends_v4(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, bytes) = bytes.split_first_chunk::<4>()?;
    let (destination, bytes) = bytes.split_first_chunk::<4>()?;
    ends(
        Ipv4Addr::from(*source).into(),
        Ipv4Addr::from(*destination).into(),
        bytes,
    )
}

fn ends_v6(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, bytes) = bytes.split_first_chunk::<16>()?;
    let (destination, bytes) = bytes.split_first_chunk::<16>()?;
    ends(
        Ipv6Addr::from(*source).into(),
        Ipv6Addr::from(*destination).into(),
        bytes,
    )
}

fn ends(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source_port, ports) = ports.split_first_chunk::<2>()?;
    let (destination_port, _) = ports.split_first_chunk::<2>()?;
    Some((
        SocketAddr::new(source, u16::from_be_bytes(*source_port)),
        SocketAddr::new(destination, u16::from_be_bytes(*destination_port)),
    ))
}

#[cfg(test)]
mod tests {
    use gatehouse_config::model::ProxyVersion;

    use super::*;
    use crate::net::proxy_protocol::proxy_header;

    fn end(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The first byte more of each header is another's; every shorter beginning is incomplete.
    fn assert_reads(header: &[u8], ends: Ends) {
        for length in 0..header.len() {
            assert_eq!(
                decode(&header[..length]),
                Ok(Parsed::Incomplete),
                "{length}"
            );
        }
        let length = header.len();
        let mut more = header.to_vec();
        more.extend(b"GET / HTTP/1.1\r\n");
        assert_eq!(decode(&more), Ok(Parsed::Header { ends, length }));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (from, to) in [
            ("192.0.2.1:56324", "198.51.100.2:443"),
            ("[2001:db8::1]:1", "[2001:db8::2]:65535"),
        ] {
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let ends = (end(from), end(to));
                assert_reads(&proxy_header(version, ends.0, ends.1), Some(ends));
            }
        }
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        assert_reads(b"PROXY UNKNOWN\r\n", None);
        assert_reads(b"PROXY UNKNOWN ffff::1 whatever 1 2\r\n", None);
        assert_reads(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00", None);
        // A health check that sends addresses all the same, and a Unix socket.
        assert_reads(b"\r\n\r\n\0\r\nQUIT\n\x20\x11\x00\x04abcd", None);
        assert_reads(b"\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\x02ab", None);
    }

    #[test]
    fn extensions_are_passed_over() {
        let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x11\xc0\0\x02\x01\xc0\0\x02\x02\0\x01\0\x02\x04\0\x02hi";
        let ends = (end("192.0.2.1:1"), end("192.0.2.2:2"));
        assert_reads(header, Some(ends));
    }

    #[test]
    fn what_is_wrong_is_refused_as_soon_as_it_is_there() {
        let refused: &[(&[u8], Malformed)] = &[
            (b"GET / HTTP/1.1\r\n", Malformed::Missing),
            (b"\x16\x03\x01", Malformed::Missing),
            (b"\r\n\r\nGET", Malformed::Missing),
            (b"PROXYTCP4", Malformed::Missing),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", Malformed::Line),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", Malformed::Line),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", Malformed::Line),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", Malformed::Line),
            (
                b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
                Malformed::Line,
            ),
            (b"PROXY TCP4 ::1 ::2 1 2\r\n", Malformed::Line),
            (b"PROXY TCP6 192.0.2.1 ::2 1 2\r\n", Malformed::Line),
            (b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", Malformed::Line),
            (b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", Malformed::Line),
            (b"PROXY TCP4 \xff\r\n", Malformed::Line),
            (b"\r\n\r\n\0\r\nQUIT\n\x11", Malformed::Binary),
            (b"\r\n\r\n\0\r\nQUIT\n\x22", Malformed::Binary),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", Malformed::Binary),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x04abcd",
                Malformed::Binary,
            ),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x51\x00\x00", Malformed::Binary),
        ];
        for (bytes, error) in refused {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(decode(bytes), Err(*error), "{text:?}");
        }
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(decode(&endless), Err(Malformed::Line));
        assert_eq!(decode(b""), Ok(Parsed::Incomplete));
    }
}
