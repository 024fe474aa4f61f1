//! Servers of Gateways, merged per port, and their virtual hosts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::model::{Destination, Domain, Route, RouteOrigin};
use crate::resources::ObjectKey;

/// Where a server was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOrigin {
    /// The Gateway.
    pub gateway: ObjectKey,
    /// `servers[].port.name`.
    pub port_name: String,
}

/// One listener: all HTTP-family servers on one port and bind address, or one TCP server.
///
/// Istio merges HTTP servers of all Gateways on one port into one route table
/// (reference: Istio `MergeGateways`).
#[derive(Clone, Debug)]
pub struct Server {
    /// `servers[].port.number` as written; VirtualService `match.port` and redirects mean this one.
    pub port: u16,
    /// `servers[].bind`; none: wherever the placement says.
    pub bind: Option<IpAddr>,
    /// Of a server at a socket of this host: its path, or `@` and its name for an abstract one. The
    /// port is 0 then, and [`bind`](Self::bind) is the [stand-in](socket_stand_in) of the socket.
    pub socket: Option<Arc<str>>,
    /// The Gateway servers merged here, in merge order.
    pub origins: Vec<ServerOrigin>,
    /// Virtual hosts; their domains are unique within the server.
    pub virtual_hosts: Vec<VirtualHost>,
    /// Of a TCP server: where its connections go. It has no virtual hosts then.
    pub tcp: Option<TcpRoute>,
}

/// What stands for a socket where listeners are told apart by address: an address that nobody can
/// have (RFC 6666: the discard prefix), the same for the same socket.
pub fn socket_stand_in(socket: &str) -> IpAddr {
    let mut hasher = DefaultHasher::new();
    socket.hash(&mut hasher);
    let prefix = u128::from(0x0100_u16) << 112;
    IpAddr::from(Ipv6Addr::from(prefix | u128::from(hasher.finish())))
}

/// The routes of one host name (or wildcard) on one server.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    /// Which hosts; a request goes to the most specific one and never falls through to another.
    pub domain: Domain,
    /// First match wins; catch-alls are last already. Hosts with the same routes share one list,
    /// and so do models that follow one another.
    pub routes: Arc<[Arc<Route>]>,
    /// `httpsRedirect`: plain requests get a 301 to https before any route is looked at.
    pub require_tls: bool,
}

/// Where the connections of a TCP server go: one `tcp[]` route of a VirtualService.
#[derive(Clone, Debug)]
pub struct TcpRoute {
    /// Where it was written; the rule is an index in `spec.tcp`.
    pub origin: RouteOrigin,
    /// At least one; chosen anew for each connection, by weight.
    pub destinations: Vec<TcpDestination>,
}

/// One share of a TCP split.
#[derive(Clone, Debug)]
pub struct TcpDestination {
    /// Where to.
    pub destination: Destination,
    /// The share, relative to the sum; not zero.
    pub weight: u32,
}
