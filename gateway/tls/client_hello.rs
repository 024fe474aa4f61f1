//! The first message of a TLS client: the name it asks for, and the protocols it offers.
//!
//! Read without a TLS library, for these bytes are carried on as they came where TLS is not ended
//! here: hellos of versions that nobody ends any more, and of clients that encrypt the rest (ECH),
//! are read like all others. Pure, and strict where a length could lead outside.

/// A hello is not longer than this, in bytes on the wire; that of a browser with a post-quantum
/// key has about 2,000.
pub const MAX_HELLO: usize = 64 << 10;

/// Records that a hello may be split into.
const MAX_RECORDS: usize = 64;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The name (RFC 6066 §3), in lower case.
    pub server_name: Option<Box<str>>,
    /// The protocols that it would speak (RFC 7301), the preferred one first.
    pub protocols: Vec<Box<[u8]>>,
}

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// A whole hello; there may be bytes after it.
    Hello(ClientHello),
    /// The start of one. There is no use in looking again before there are so many bytes.
    Incomplete {
        /// More than there are now.
        needed: usize,
    },
    /// Something else: the first byte is not that of a handshake.
    NotTls,
    /// A handshake that does not begin as RFC 8446 §4.1.2 (or RFC 5246 §7.4.1.2) says.
    Malformed,
}

/// The type of records that carry handshakes (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// The most that a record carries: 2^14 bytes, and some more for ancient clients.
const MAX_RECORD: usize = (1 << 14) + 2048;
/// The type of the message (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;
/// Extensions that are looked at (RFC 6066 §3, RFC 7301 §3.1).
const SERVER_NAME: u16 = 0;
const PROTOCOLS: u16 = 16;

/// Looks at the first bytes of a connection.
pub fn read(bytes: &[u8]) -> FirstBytes {
    match bytes.first() {
        None => return FirstBytes::Incomplete { needed: 1 },
        Some(&HANDSHAKE) => {}
        Some(_) => return FirstBytes::NotTls,
    }
    let mut message = Vec::new();
    let mut rest = Reader(bytes);
    for _ in 0..MAX_RECORDS {
        let consumed = bytes.len() - rest.0.len();
        let Some(header) = rest.take(5) else {
            return FirstBytes::Incomplete {
                needed: consumed + 5,
            };
        };
        let &[kind, major, _, high, low] = header else {
            return FirstBytes::Malformed;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || major != 3 || length == 0 || length > MAX_RECORD {
            return FirstBytes::Malformed;
        }
        let Some(part) = rest.take(length) else {
            return FirstBytes::Incomplete {
                needed: consumed + 5 + length,
            };
        };
        message.extend_from_slice(part);
        if let Some((&[kind, a, b, c], body)) = message.split_first_chunk::<4>() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if kind != CLIENT_HELLO || length > MAX_HELLO {
                return FirstBytes::Malformed;
            }
            if let Some(body) = body.get(..length) {
                return match hello(Reader(body)) {
                    Some(hello) => FirstBytes::Hello(hello),
                    None => FirstBytes::Malformed,
                };
            }
        }
    }
    FirstBytes::Malformed
}

fn hello(mut body: Reader<'_>) -> Option<ClientHello> {
    let mut hello = ClientHello::default();
    // The version and the random.
    body.take(2 + 32)?;
    // The session, the suites and the compressions.
    body.vector8()?;
    body.vector16()?;
    body.vector8()?;
    if body.0.is_empty() {
        // Older than extensions.
        return Some(hello);
    }
    let mut extensions = body.vector16()?;
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let content = extensions.vector16()?;
        match kind {
            SERVER_NAME => hello.server_name = server_name(content)?,
            PROTOCOLS => hello.protocols = protocols(content)?,
            _ => {}
        }
    }
    Some(hello)
}

/// The first host name; the outer none where the list is broken.
fn server_name(mut content: Reader<'_>) -> Option<Option<Box<str>>> {
    let mut list = content.vector16()?;
    while !list.0.is_empty() {
        let kind = list.take(1)?;
        let name = list.vector16()?.0;
        if kind == [0] {
            // RFC 6066: ASCII, A-labels.
            let name = std::str::from_utf8(name).ok().filter(|n| n.is_ascii())?;
            let name = name.strip_suffix('.').unwrap_or(name);
            let is_name = !name.is_empty();
            return Some(is_name.then(|| name.to_ascii_lowercase().into()));
        }
    }
    Some(None)
}

fn protocols(mut content: Reader<'_>) -> Option<Vec<Box<[u8]>>> {
    let mut list = content.vector16()?;
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        protocols.push(list.vector8()?.0.into());
    }
    Some(protocols)
}

/// Bytes, read from the front; none where there are too few.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number16(&mut self) -> Option<u16> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*number))
    }

    fn vector8(&mut self) -> Option<Reader<'b>> {
        let &[length] = self.take(1)? else {
            return None;
        };
        self.take(usize::from(length)).map(Reader)
    }

    fn vector16(&mut self) -> Option<Reader<'b>> {
        let length = self.number16()?;
        self.take(usize::from(length)).map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// What rustls sends first.
    fn sent(name: &'static str, protocols: &[&[u8]]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        let name = ServerName::try_from(name).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// The same message in records of `size` bytes.
    fn split(bytes: &[u8], size: usize) -> Vec<u8> {
        let mut split = Vec::new();
        for part in bytes[5..].chunks(size) {
            split.extend_from_slice(&[22, 3, 1]);
            split.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
            split.extend_from_slice(part);
        }
        split
    }

    #[test]
    fn names_and_protocols_are_read() {
        let bytes = sent("A.Lan", &[b"h2", b"http/1.1"]);
        let FirstBytes::Hello(hello) = read(&bytes) else {
            panic!("{:?}", read(&bytes));
        };
        assert_eq!(hello.server_name.as_deref(), Some("a.lan"));
        assert_eq!(
            hello.protocols,
            [b"h2".as_slice().into(), b"http/1.1".as_slice().into()]
        );
        let FirstBytes::Hello(hello) = read(&sent("192.168.8.1", &[])) else {
            panic!("an address is no name");
        };
        assert_eq!(hello, ClientHello::default());
    }

    #[test]
    fn a_hello_in_pieces_is_the_same_hello() {
        let bytes = sent("a.lan", &[b"h2"]);
        let whole = read(&bytes);
        for size in [40, 100, 511, 1500] {
            let split = split(&bytes, size);
            for end in 0..split.len() {
                match read(&split[..end]) {
                    FirstBytes::Incomplete { needed } => {
                        assert!(end < needed && needed <= split.len())
                    }
                    other => panic!("{end} of {}: {other:?}", split.len()),
                }
            }
            assert_eq!(read(&split), whole, "{size}");
        }
        // One byte a record is an attack on whoever looks at each.
        assert_eq!(read(&split(&bytes, 1)), FirstBytes::Malformed);
    }

    #[test]
    fn what_follows_the_hello_is_not_looked_at() {
        let mut bytes = sent("a.lan", &[]);
        let whole = read(&bytes);
        bytes.extend_from_slice(b"\x14\x03\x03\x00\x01\x01anything");
        assert_eq!(read(&bytes), whole);
    }

    #[test]
    fn anything_else_is_told_apart_and_never_panics() {
        assert_eq!(read(b"GET / HTTP/1.1\r\n"), FirstBytes::NotTls);
        assert_eq!(read(&[0x80, 0x2e, 1, 0, 2]), FirstBytes::NotTls, "SSL 2");
        assert_eq!(
            read(&[22, 3, 1, 0, 0]),
            FirstBytes::Malformed,
            "an empty record"
        );
        assert_eq!(read(&[22, 2, 1, 0, 4, 1, 0, 0, 0]), FirstBytes::Malformed);
        assert_eq!(
            read(&[22, 3, 1, 0, 4, 2, 0, 0, 0]),
            FirstBytes::Malformed,
            "a ServerHello"
        );
        let huge = [22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff];
        assert_eq!(read(&huge), FirstBytes::Malformed);
        let bytes = sent("a.lan", &[b"h2"]);
        // Each byte in turn is something else: any answer will do, but there is one.
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let _ = read(&bytes);
            }
        }
    }

    #[test]
    fn a_hello_of_last_century_has_no_name() {
        let mut body = vec![3, 0];
        body.extend_from_slice(&[7; 32]);
        body.extend_from_slice(&[0, 0, 2, 0, 10, 1, 0]);
        let mut bytes = vec![22, 3, 0, 0, u8::try_from(body.len()).unwrap() + 4, 1, 0, 0];
        bytes.push(u8::try_from(body.len()).unwrap());
        bytes.extend_from_slice(&body);
        assert_eq!(read(&bytes), FirstBytes::Hello(ClientHello::default()));
    }
}
