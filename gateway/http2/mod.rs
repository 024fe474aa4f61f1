//! HTTP/2 (RFC 9113): the `h2` crate's connections, turned into heads and streams of bytes, so that
//! an exchange sees no difference to HTTP/1.1 but in how heads and ends are sent.
//!
//! ```text
//! client ─► server::serve ─► Frames ─► exchange ─► Frames ─► client::Connections ─► endpoint
//!                            (one stream each, in a seat)
//! ```

pub mod client;
pub mod flood;
pub mod frames;
pub mod heads;
mod names;
mod seats;
pub mod server;

pub use frames::Frames;

/// What a client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much one stream may have on its way to us unread.
const STREAM_WINDOW: u32 = 256 * 1024;
/// How much all streams of a connection may have so.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How much of one stream may wait here to be sent.
const SEND_BUFFER: usize = 128 * 1024;

/// Whether these bytes are the beginning of HTTP/2; none: they may still become it.
pub fn is_preface(bytes: &[u8]) -> Option<bool> {
    let length = bytes.len().min(PREFACE.len());
    if bytes.get(..length) != PREFACE.get(..length) {
        return Some(false);
    }
    (length == PREFACE.len()).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_told_from_requests() {
        assert_eq!(is_preface(PREFACE), Some(true));
        assert_eq!(is_preface(b"PRI * HTTP/2.0\r\n"), None);
        assert_eq!(is_preface(b""), None);
        for other in ["POST / HTTP/1.1", "PROPFIND", "GET", "PRI * HTTP/1.1"] {
            assert_eq!(is_preface(other.as_bytes()), Some(false), "{other}");
        }
    }
}
