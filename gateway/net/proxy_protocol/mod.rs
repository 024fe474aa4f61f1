//! The PROXY protocol (haproxy.org/download/3.0/doc/proxy-protocol.txt): who the client is, said by
//! a proxy before the client's first byte.
//!
//! Towards endpoints a header is written ([`proxy_header`]); from proxies in front one is read
//! ([`decode`] is pure, [`read`] does the reading).

mod decode;
mod header;
mod read;

pub use decode::{Ends, Malformed, Parsed, decode};
pub use header::proxy_header;
pub use read::{Refused, read};
