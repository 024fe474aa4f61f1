//! Sockets: listening, connecting, and moving bytes between two of them.
//!
//! A socket is made here and nowhere else in the data plane, so that no one forgets an option.

pub mod connect;
pub mod datagram;
pub mod in_use;
pub mod listen;
pub mod proxy_protocol;
pub mod splice;
pub mod stream;

pub use connect::{ConnectError, ConnectOptions, connect};
pub use listen::{AcceptError, BoundTcp, BoundUdp, ListenError, ListenOptions, Listener};
pub use proxy_protocol::proxy_header;
pub use splice::{Pipes, Side, SpliceError, splice_exact, splice_until_eof};
pub use stream::Stream;
