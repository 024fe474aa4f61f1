//! Frames of HTTP/2 made by hand (RFC 9113 §6), and what comes back.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const REFUSED_STREAM: u32 = 7;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let bytes = self.payload[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(bytes)
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The header block of a request to `/` of a.test.
pub fn request(method: &str) -> Vec<u8> {
    let method = if method == "GET" { 0x82 } else { 0x83 };
    // :method, :scheme http, :path /, :authority.
    let mut block = vec![method, 0x86, 0x84, 0x01, 6];
    block.extend(b"a.test");
    block
}

/// A literal field without indexing.
pub fn field(name: &str, value: &[u8]) -> Vec<u8> {
    let mut field = vec![0];
    put_length(&mut field, name.len());
    field.extend(name.as_bytes());
    put_length(&mut field, value.len());
    field.extend(value);
    field
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn put_length(out: &mut Vec<u8>, length: usize) {
    let byte = |value: usize| u8::try_from(value).expect("a byte");
    if length < 127 {
        return out.push(byte(length));
    }
    out.push(127);
    let mut left = length - 127;
    while left >= 128 {
        out.push(byte(left % 128) | 128);
        left /= 128;
    }
    out.push(byte(left));
}

/// A connection that has said what it must.
pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    pub fn connect(address: SocketAddr, settings: &[u8]) -> Self {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_nodelay(true).expect("an option");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("an option");
        stream.set_write_timeout(patience).expect("an option");
        let mut raw = Self { stream };
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(&frame(SETTINGS, 0, 0, settings));
        raw.send(&frame(SETTINGS, ACK, 0, &[]));
        raw
    }

    /// Sends; who was sent away may find the door closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next frame; none at the end.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.read(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let mut payload = vec![0; length];
        self.read(&mut payload)?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(buffer) {
            Ok(()) => Some(()),
            Err(error) => {
                let is_end = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
                assert!(
                    is_end.contains(&error.kind()),
                    "neither frame nor end: {error}"
                );
                None
            }
        }
    }

    /// The first frame that is wanted; all else is passed over.
    pub fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        while let Some(frame) = self.next() {
            if wanted(&frame) {
                return Some(frame);
            }
        }
        None
    }

    /// With what the connection is ended; none where it is cut without a word.
    pub fn goaway(&mut self) -> Option<u32> {
        // A first one may only say that no more is wanted.
        let last = self.find(|frame| frame.kind == GOAWAY && frame.code() != 0)?;
        Some(last.code())
    }
}
