//! Layer 4: TCP and UDP Services carried to their endpoints.
//!
//! The worker accepts, chooses the endpoint and connects; what happens to the bytes is here.

pub mod counters;
pub mod http_tunnel;
pub mod tcp;
pub mod udp;

pub use counters::{TcpCounters, UdpCounters};
pub use tcp::{Carried, End, Memory, Peer, TcpSettings, carry};
pub use udp::{Carrier, Endpoints, Picked, UdpSettings};
