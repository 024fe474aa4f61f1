//! Sockets, interfaces and the addresses that the host holds: all I/O of the crate.
//!
//! * [`interfaces`]: what netlink tells of links and addresses; never polled;
//! * [`selection`]: which interfaces are used at all;
//! * [`socket`] and `sys`: raw sockets, one for ARP and one for NDP on each interface;
//! * [`heartbeats`]: the UDP socket on which nodes hear one another;
//! * `request`: what is asked of netlink, with a limit of time;
//! * [`host`]: the addresses on `gatehouse0`, sysctls, and what a killed process left behind.

pub mod heartbeats;
pub mod host;
pub mod interfaces;
pub mod leftovers;
mod request;
pub mod selection;
pub mod socket;
mod sys;
pub mod sysctl;
